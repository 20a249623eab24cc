"""Tail risk: against closed forms where there are any, against itself where there are not."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from random import Random

import numpy as np
import pytest

from risk.fast_margin import Book, make_book
from risk.fixed_point import ONE_Q38
from risk.margin_calls import CallLevel
from risk.market import Market, Portfolio
from risk.parameter_sets import PARAMETER_SETS
from risk.value_at_risk import (
    LEVELS,
    Block,
    Paths,
    Reals,
    TailRisk,
    compute_tail_risk,
    make_historical_paths,
    make_paths,
    measure_tails,
    rate_accounts,
    revalue,
    simulate_paths,
)
from tests.risk.samples import make_market, make_portfolio

KEEL = PARAMETER_SETS["keel"]
IDENTITY = [[1.0, 0.0], [0.0, 1.0]]


def lay_out(random: Random, count: int) -> tuple[Market, Book, list[tuple[int, int, int, bool]], list[Portfolio]]:
    market = make_market(random)
    portfolios = [make_portfolio(random, market, 6) for _ in range(count)]
    instruments = sorted({(o.underlying, o.expiry, o.strike, o.is_call) for p in portfolios for o in p.options})
    return market, make_book(KEEL, market, instruments, portfolios), instruments, portfolios


def test_a_linear_position_has_the_normal_quantile(seed: int) -> None:
    """For a perpetual alone VaR is the lognormal quantile of its underlying, to the noise of 40,000 paths."""
    market = make_market(Random(seed))
    portfolio = Portfolio(0, (1000, 0), (), ())
    book = make_book(KEEL, market, [], [portfolio])
    paths = simulate_paths(seed, IDENTITY, [0.8, 0.6], days=1, count=40_000)
    tail = compute_tail_risk(book, np.empty((0, 40_000), np.int64), paths)
    deviation = 0.8 / np.sqrt(365)
    notional = 1000 * market.underlyings[0].mark
    for column, score in enumerate((1.6449, 2.3263, 2.5758)):
        expected = notional * (1 - np.exp(-score * deviation - deviation**2 / 2))
        assert abs(tail.value_at_risk[0, column] / expected - 1) < 0.05


def test_revaluation_without_moves_is_nothing(seed: int) -> None:
    """On a path where nothing moves and no time passes no instrument has a P&L."""
    market, _, instruments, _ = lay_out(Random(seed), 4)
    still = make_paths(np.zeros((3, 2)), np.zeros((3, 2)))
    pnl = revalue(KEEL, market, instruments, still, days=0)
    assert np.all(pnl == 0)


def test_shortfall_is_beyond_the_quantile(seed: int) -> None:
    """Expected shortfall is at least VaR, and both rise with the level, for random portfolios."""
    market, book, instruments, _ = lay_out(Random(seed), 20)
    paths = simulate_paths(seed, [[1, 0.7], [0.7, 1]], [0.8, 0.9], days=1, count=2_000)
    tail = compute_tail_risk(book, revalue(KEEL, market, instruments, paths, days=1), paths)
    assert np.all(tail.expected_shortfall >= tail.value_at_risk)
    assert np.all(np.diff(tail.value_at_risk, axis=1) >= 0)
    assert np.all(np.diff(tail.expected_shortfall, axis=1) >= 0)


def test_the_same_seed_gives_the_same_risk(seed: int) -> None:
    """Paths are a function of their seed alone."""
    first, second = (simulate_paths(seed, IDENTITY, [0.8, 0.6], days=1, count=500) for _ in range(2))
    assert np.array_equal(first.spot_q38, second.spot_q38)
    assert np.array_equal(first.vol_q38, second.vol_q38)


def test_a_sweep_may_run_anywhere(seed: int) -> None:
    """Through another executor the same blocks give the same answers."""
    market, book, instruments, portfolios = lay_out(Random(seed), 3)
    many = make_book(KEEL, market, instruments, portfolios * 200)
    paths = simulate_paths(seed, IDENTITY, [0.8, 0.6], days=1, count=300)
    pnl = revalue(KEEL, market, instruments, paths, days=1)

    def run(work: Callable[[Block], Reals], blocks: Iterable[Block]) -> Iterable[Reals]:
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(work, blocks))

    here, there = compute_tail_risk(many, pnl, paths), compute_tail_risk(many, pnl, paths, run)
    assert np.array_equal(here.value_at_risk, there.value_at_risk)
    assert here.value_at_risk.shape == (600, len(LEVELS))
    assert np.array_equal(here.value_at_risk[:3], compute_tail_risk(book, pnl, paths).value_at_risk)


def test_tails_of_a_known_sample() -> None:
    """Of the losses 1 to 1000 the 99 % quantile is 991, and the shortfall the mean of 991 to 1000."""
    tails = measure_tails(-np.arange(1.0, 1001)[None, ::-1])
    assert tails[0, 0].tolist() == [951, 991, 996]
    assert tails[0, 1].tolist() == [975.5, 995.5, 998]


def test_history_gives_every_overlapping_move() -> None:
    """A table of closes becomes its moves over the window, in order."""
    closes = np.array([[100.0, 10.0], [110.0, 10.0], [121.0, 20.0]])
    paths = make_historical_paths(closes, 1)
    assert isinstance(paths, Paths)
    assert paths.spot_q38 / ONE_Q38 == pytest.approx(np.array([[1.1, 1.0], [1.1, 2.0]]))
    assert np.all(paths.vol_q38 == ONE_Q38)


def test_every_account_is_rated() -> None:
    """Surpluses and tails of many accounts become levels, each from its own."""
    tail = TailRisk(np.full((4, 3), 100.0), np.full((4, 3), 150.0))
    levels = [CallLevel.NONE, CallLevel.WATCH, CallLevel.CALL, CallLevel.LIQUIDATION]
    assert rate_accounts(np.array([200, 120, 50, -1]), tail) == levels


def test_more_of_everything_loses_more(seed: int) -> None:
    """Twice the positions have twice the tail, exactly in relative terms."""
    market, _, instruments, portfolios = lay_out(Random(seed), 1)
    bare = replace(portfolios[0], collateral=())
    double = replace(
        bare,
        perpetuals=tuple(2 * q for q in bare.perpetuals),
        options=tuple(replace(o, quantity=2 * o.quantity) for o in bare.options),
        futures=tuple(replace(f, quantity=2 * f.quantity) for f in bare.futures),
    )
    paths = simulate_paths(seed, IDENTITY, [0.8, 0.6], days=1, count=1_000)
    pnl = revalue(KEEL, market, instruments, paths, days=1)
    tail = compute_tail_risk(make_book(KEEL, market, instruments, [bare, double]), pnl, paths)
    assert tail.value_at_risk[1] == pytest.approx(2 * tail.value_at_risk[0], rel=1e-9)

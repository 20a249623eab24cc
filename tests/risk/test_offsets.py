"""Offsets between underlyings: exact properties, and how often they were too generous, counted."""

import csv
import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from random import Random

import numpy as np
import pytest

from risk.fast_account import load, revalue_compiled
from risk.fixed_point import ONE_Q38
from risk.margin import compute_underlying_risk
from risk.market import Market, Portfolio
from risk.offsets import CORRELATION_ONE, LOSS_SUM_END, combine_losses_ceil, sqrt_ceil
from risk.parameter_sets import KEEL_LOADING, PARAMETER_SETS
from risk.parameters import Parameters, Scenario, VolShock
from tests.risk.samples import make_market, make_portfolio, q38

KEEL = PARAMETER_SETS["keel"]


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    load()


def draw_loading(random: Random) -> int:
    return random.choice((0, CORRELATION_ONE, random.randrange(CORRELATION_ONE)))


def test_combined_losses_lie_between_the_largest_and_the_sum(seed: int) -> None:
    """On random losses of any size and random loadings."""
    random = Random(seed)
    for _ in range(3_000):
        count = random.randrange(1, 9)
        losses = [int(2 ** random.uniform(0, 108)) * random.randrange(2) for _ in range(count)]
        loadings = [draw_loading(random) for _ in range(count)]
        assert max(losses) <= combine_losses_ceil(losses, loadings) <= sum(losses)


def test_more_loss_or_more_correlation_never_helps(seed: int) -> None:
    """The combination rises with every single loss and with every loading."""
    random = Random(seed)
    for _ in range(3_000):
        count = random.randrange(2, 9)
        losses = [int(2 ** random.uniform(0, 108)) for _ in range(count)]
        loadings = [draw_loading(random) for _ in range(count)]
        before = combine_losses_ceil(losses, loadings)
        worse = list(losses)
        worse[random.randrange(count)] += random.randrange(1 << random.randrange(1, 107))
        assert combine_losses_ceil(worse, loadings) >= before
        index = random.randrange(count)
        loadings[index] = random.randrange(loadings[index], CORRELATION_ONE + 1)
        assert combine_losses_ceil(losses, loadings) >= before


def test_the_ends_are_exact() -> None:
    """Full loadings add up, a single loss is itself, and the root of nothing is nothing."""
    assert combine_losses_ceil([3, 5, 7], [CORRELATION_ONE] * 3) == 15
    assert combine_losses_ceil([3, 5, 7], ()) == 15
    assert combine_losses_ceil([0, 5, 0], [0] * 3) == 5
    assert combine_losses_ceil([3, 4], [0, CORRELATION_ONE]) == 5
    assert [sqrt_ceil(square) for square in (0, 1, 2, 4, 5)] == [0, 1, 2, 2, 3]


def test_losses_beyond_every_account_add_up() -> None:
    """From LOSS_SUM_END on there is no offset, and just below it the form is still far from 256 bits."""
    half = LOSS_SUM_END // 2
    assert combine_losses_ceil([half, half], [0, 0]) == LOSS_SUM_END
    below = combine_losses_ceil([half, half - 1], [0, 0])
    assert half < below < LOSS_SUM_END - 1
    assert ((LOSS_SUM_END - 1) * CORRELATION_ONE) ** 2 < 1 << 252


def test_it_is_the_quadratic_form_of_a_correlation_matrix(seed: int) -> None:
    """The same as l' C l with C_ij = c_i c_j beside a diagonal of ones, to the rounding of the root."""
    random = Random(seed)
    for _ in range(300):
        losses = [random.randrange(10**9) for _ in range(random.randrange(1, 9))]
        loadings = [draw_loading(random) for _ in losses]
        form = sum(
            Fraction(a * b * c * d, CORRELATION_ONE**2) if i != j else Fraction(a * a)
            for i, (a, c) in enumerate(zip(losses, loadings, strict=True))
            for j, (b, d) in enumerate(zip(losses, loadings, strict=True))
        )
        combined = combine_losses_ceil(losses, loadings)
        assert (combined - 1) ** 2 < form <= combined**2 or combined == form == 0


JOINT = Parameters("joint", "", (Scenario(0, VolShock.NONE),), KEEL.vol_range, KEEL.tiers)


def revalue_jointly(market: Market, portfolio: Portfolio, moves: Sequence[float]) -> int:
    """Loss when each underlying makes its own move today, vols unchanged: full revaluation, no dampening."""
    pnl = 0
    for index, move in enumerate(moves):
        scenario = Scenario(max(q38(math.expm1(move)), -ONE_Q38), VolShock.NONE)
        plain = replace(JOINT, scenarios=(scenario,))
        pnl += compute_underlying_risk(plain, market, portfolio, index, revalue_compiled).pnl[0]
    return max(-pnl, 0)


def compute_losses(market: Market, portfolio: Portfolio) -> list[int]:
    """What `keel` takes from each underlying before the offset."""
    count = len(market.underlyings)
    return [compute_underlying_risk(KEEL, market, portfolio, index, revalue_compiled).loss for index in range(count)]


def read_closes(folder: Path, pattern: str) -> dict[str, list[float]]:
    """Minute closes by symbol, of the minutes that all symbols have."""
    prices: dict[int, dict[str, float]] = {}
    for file in sorted(folder.glob(pattern)):
        for row in csv.DictReader(file.read_text().splitlines()):
            prices.setdefault(int(row["timestamp_ms"]), {})[row["symbol"]] = float(row["close"])
    symbols = sorted({symbol for quotes in prices.values() for symbol in quotes})
    times = [time for time in sorted(prices) if len(prices[time]) == len(symbols)]
    return {symbol: [prices[time][symbol] for time in times] for symbol in symbols}


def move_over(closes: Sequence[float], minutes: int) -> np.ndarray:
    """Every overlapping log move."""
    logs = np.log(np.array(closes))
    return logs[minutes:] - logs[:-minutes]


@pytest.mark.parametrize(("pattern", "minutes"), [("calm*", 60), ("calm*", 240), ("crash*", 60), ("crash*", 480)])
def test_the_default_loading_is_above_what_was_measured(shared: Path, pattern: str, minutes: int) -> None:
    """By it two underlyings correlate more than BTC and ETH did on a calm day and in a crash, over hours."""
    closes = read_closes(shared / "data/market", pattern)
    correlation = np.corrcoef(move_over(closes["BTCUSD"], minutes), move_over(closes["ETHUSD"], minutes))[0, 1]
    conceded = (KEEL_LOADING / CORRELATION_ONE) ** 2
    print(f"{pattern} over {minutes} minutes: measured {correlation:.3f}, conceded {conceded:.3f}")
    assert correlation < conceded < 1


def count_breaches(random: Random, returns: Sequence[Sequence[float]], loadings: Sequence[float]) -> list[int]:
    """How many joint moves cost a random account more than its combined loss, under each uniform loading."""
    breaches = [0] * len(loadings)
    for moves in returns:
        market = make_market(random, underlyings=len(moves))
        portfolio = make_portfolio(random, market, options=6)
        losses, joint = compute_losses(market, portfolio), revalue_jointly(market, portfolio, moves)
        for index, loading in enumerate(loadings):
            combined = combine_losses_ceil(losses, [round(loading * CORRELATION_ONE)] * len(moves))
            breaches[index] += joint > combined
    return breaches


WIDE = 0.14
"""Deviation of the moves drawn below: twice a day of the crash, so that there is something to count."""

LOADINGS = (1.0, KEEL_LOADING / CORRELATION_ONE, 0.7, 0.0)


def test_breaches_on_historical_joint_windows(shared: Path, seed: int) -> None:
    """On every half hour's joint moves of BTC, ETH, LTC and XRP over half a day of a crash the default is breached
    hardly more often than no offset at all.
    """
    closes = read_closes(shared / "data/market", "crash*")
    returns = np.stack([move_over(column, 720)[::30] for column in closes.values()], axis=1).tolist()
    breaches = count_breaches(Random(seed), returns, LOADINGS)
    print(f"historical joint windows, loadings {LOADINGS}: {breaches} breaches in {len(returns)}")
    assert len(returns) == 120
    assert breaches[0] <= breaches[1] <= breaches[2] <= breaches[3]
    assert breaches[1] <= breaches[0] + 1
    assert breaches[1] <= len(returns) // 20


def test_breaches_under_random_correlations(seed: int) -> None:
    """Joint normal moves under random correlation matrices cost more than the default's combined loss in fewer than one
    of thirty, and hardly more often than the sum.
    """
    random, generator = Random(seed), np.random.default_rng(seed)
    returns = []
    for _ in range(300):
        factors = generator.normal(size=(4, 4))
        covariance = factors @ factors.T
        deviations = np.sqrt(np.diag(covariance))
        returns.append(generator.multivariate_normal(np.zeros(4), covariance / np.outer(deviations, deviations)) * WIDE)
    breaches = count_breaches(random, [tuple(row) for row in returns], LOADINGS)
    print(f"random correlations, loadings {LOADINGS}: {breaches} breaches in {len(returns)}")
    assert breaches[0] <= breaches[1] <= breaches[2] <= breaches[3]
    assert breaches[1] <= breaches[0] + 2
    assert breaches[1] <= len(returns) // 30


def test_breaches_where_the_loadings_are_the_truth(seed: int) -> None:
    """Where underlyings do move by one common factor with the loadings that margin uses, the offset is breached in
    fewer than one of twenty joint moves, and what it concedes is real.
    """
    random, generator = Random(seed), np.random.default_rng(seed)
    breaches = 0
    conceded = []
    for _ in range(300):
        loadings = generator.uniform(0.3, 1, 4)
        moves = (loadings * generator.normal() + np.sqrt(1 - loadings**2) * generator.normal(size=4)) * WIDE
        market = make_market(random, underlyings=4)
        portfolio = make_portfolio(random, market, options=6)
        losses = compute_losses(market, portfolio)
        combined = combine_losses_ceil(losses, [round(loading * CORRELATION_ONE) for loading in loadings])
        breaches += revalue_jointly(market, portfolio, moves.tolist()) > combined
        conceded.append(1 - combined / max(sum(losses), 1))
    print(f"true loadings: {breaches} breaches in 300, conceding {100 * sum(conceded) / 300:.1f} % on average")
    assert breaches <= 15
    assert sum(conceded) / 300 > 0.02

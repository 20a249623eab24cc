"""One account by compiled code: the reference's margin to the last bit, and quick enough to ask before every order."""

import time
from dataclasses import replace
from random import Random

import pytest

from risk import fast_account
from risk.fast_account import compute_account_margin, is_loaded, load, revalue_compiled
from risk.margin import Margin, compute_margin
from risk.market import Market
from risk.offsets import CORRELATION_ONE
from risk.parameter_sets import PARAMETER_SETS
from risk.scenarios import revalue_options
from tests.risk.samples import make_market, make_portfolio

KEEL = PARAMETER_SETS["keel"]


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    load()


def without_breakdown(margin: Margin) -> Margin:
    return replace(margin, underlyings=tuple(replace(risk, expiries=()) for risk in margin.underlyings))


def age(random: Random, market: Market) -> Market:
    """The same market later: in each underlying the first expiry is settled, due, in its window, or as it was."""
    underlyings = []
    for underlying in market.underlyings:
        first = underlying.expiries[0]
        settled = replace(first, time_ms=0, settlement=first.forward)
        window = replace(first, time_ms=random.randrange(1_800_000), fixed=random.randrange(first.forward))
        aged = random.choice((first, settled, replace(first, time_ms=0), window))
        underlyings.append(replace(underlying, expiries=(aged, *underlying.expiries[1:])))
    return replace(market, underlyings=tuple(underlyings))


@pytest.mark.parametrize("name", PARAMETER_SETS)
def test_margin_is_the_references(name: str, seed: int) -> None:
    """Every part of the margin agrees for random accounts of every size, tier and set, at every age of an expiry."""
    random = Random(seed)
    parameters = PARAMETER_SETS[name]
    tight = tuple(replace(tier, gamma_threshold=10**9, vega_threshold=10**9) for tier in parameters.tiers)
    parameters = replace(parameters, tiers=tight)
    for _ in range(12):
        market = age(random, make_market(random, underlyings=3, expiries=3))
        portfolio = make_portfolio(random, market, options=random.randrange(0, 14))
        loadings = random.choice(((), tuple(random.randrange(CORRELATION_ONE + 1) for _ in range(3))))
        tier = random.randrange(3)
        exact = compute_margin(parameters, market, portfolio, loadings, tier)
        assert compute_account_margin(parameters, market, portfolio, loadings, tier) == without_breakdown(exact)


def test_until_it_is_loaded_the_reference_answers(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a compiler, and nothing but the time it takes is different."""
    random = Random(seed)
    market = make_market(random)
    portfolio = make_portfolio(random, market)
    assert is_loaded()
    after = compute_account_margin(KEEL, market, portfolio)
    monkeypatch.setattr(fast_account, "_loaded", [])
    assert not is_loaded()
    assert compute_account_margin(KEEL, market, portfolio) == after


def test_what_might_leave_64_bits_goes_to_the_reference(seed: int) -> None:
    """Quantities around the bound of int64, and far beyond it, are answered alike."""
    random = Random(seed)
    market = make_market(random, underlyings=1)
    underlying = market.underlyings[0]
    portfolio = make_portfolio(random, market)
    for bits in range(8, 48, 4):
        options = [replace(option, quantity=option.quantity << bits) for option in portfolio.options]
        exact = replace(revalue_options(KEEL, underlying, options), expiries=())
        assert revalue_compiled(KEEL, underlying, options) == exact


def test_parameters_are_told_apart(seed: int) -> None:
    """More versions than are kept, asked in turn, each get their own answer."""
    random = Random(seed)
    market = make_market(random, underlyings=1)
    portfolio = make_portfolio(random, market)
    versions = [replace(KEEL, discount=replace(KEEL.discount, long_spread_q38=n << 34)) for n in range(20)]
    for parameters in versions + versions[::-1]:
        exact = compute_margin(parameters, market, portfolio)
        assert compute_account_margin(parameters, market, portfolio).initial == exact.initial


def test_twenty_options_take_well_under_a_millisecond() -> None:
    """The best of many tries, since other work may run beside it; the bench says how long it takes."""
    market = make_market(Random(1))
    portfolio = make_portfolio(Random(1), market, options=20)
    compute_account_margin(KEEL, market, portfolio)
    best = float("inf")
    for _ in range(50):
        start = time.perf_counter()
        compute_account_margin(KEEL, market, portfolio)
        best = min(best, time.perf_counter() - start)
    assert best < 0.001

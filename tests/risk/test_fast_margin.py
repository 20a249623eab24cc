"""Margin of many accounts at once is the reference's, bit for bit."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from random import Random

import numpy as np
import pytest

from risk.fast import combine_losses_ceil
from risk.fast_margin import compute_risk_arrays, fits, make_book, sum_scenarios, sweep
from risk.margin import compute_margin
from risk.market import Market, Portfolio
from risk.offsets import CORRELATION_ONE
from risk.offsets import combine_losses_ceil as combine_exactly_ceil
from risk.parameter_sets import PARAMETER_SETS
from tests.risk.samples import make_market, make_portfolio

Instrument = tuple[int, int, int, bool]


def make_accounts(random: Random, count: int) -> tuple[Market, list[Portfolio], list[Instrument]]:
    """Accounts of one market, and every instrument that they hold, ascending."""
    market = make_market(random, underlyings=3, expiries=3)
    portfolios = [make_portfolio(random, market, options=random.randrange(0, 12)) for _ in range(count)]
    held = {(o.underlying, o.expiry, o.strike, o.is_call) for p in portfolios for o in p.options}
    return market, portfolios, sorted(held)


@pytest.mark.parametrize("name", PARAMETER_SETS)
def test_margins_are_the_references(name: str, seed: int) -> None:
    """A sweep's answers for random accounts agree under every set, in every tier, with and without loadings."""
    random = Random(seed)
    parameters = PARAMETER_SETS[name]
    low = tuple(replace(tier, gamma_threshold=10**6, vega_threshold=10**6) for tier in parameters.tiers)
    parameters = replace(parameters, tiers=low)  # so low that size costs
    for loadings in ((), [random.randrange(CORRELATION_ONE + 1) for _ in range(3)], [CORRELATION_ONE] * 3):
        market, portfolios, instruments = make_accounts(random, 12)
        tiers = [random.randrange(3) for _ in portfolios]
        book = make_book(parameters, market, instruments, portfolios, tiers)
        answers = sweep(parameters, market, instruments, book, loadings).tolist()
        for portfolio, tier, answer in zip(portfolios, tiers, answers, strict=True):
            expected = compute_margin(parameters, market, portfolio, loadings, tier)
            assert answer == [expected.quote_equity, expected.equity, expected.initial, expected.maintenance]


def test_what_has_settled_is_cash_in_a_book(seed: int) -> None:
    """Accounts whose first expiry has settled are margined as the reference does it."""
    random = Random(seed)
    market, portfolios, instruments = make_accounts(random, 8)
    underlyings = list(market.underlyings)
    first = underlyings[1].expiries[0]
    settled = replace(first, time_ms=0, settlement=first.forward)
    underlyings[1] = replace(underlyings[1], expiries=(settled, *underlyings[1].expiries[1:]))
    market = replace(market, underlyings=tuple(underlyings))
    live = [instrument for instrument in instruments if instrument[:2] != (1, 0)]
    keel = PARAMETER_SETS["keel"]
    answers = sweep(keel, market, live, make_book(keel, market, live, portfolios)).tolist()
    for portfolio, (_, *answer) in zip(portfolios, answers, strict=True):
        expected = compute_margin(keel, market, portfolio)
        assert answer == [expected.equity, expected.initial, expected.maintenance]


def test_a_sweep_may_run_anywhere(seed: int) -> None:
    """Through another executor the same blocks give the same answers, more than one of them."""
    market, portfolios, instruments = make_accounts(Random(seed), 3)
    keel = PARAMETER_SETS["keel"]
    book = make_book(keel, market, instruments, portfolios * 500)
    with ThreadPoolExecutor(2) as pool:
        there = sweep(keel, market, instruments, book, run=pool.map)
    assert np.array_equal(there, sweep(keel, market, instruments, book))
    assert np.array_equal(there[:3], there[-3:])


def test_combined_losses_are_the_references(seed: int) -> None:
    """Offsets agree for losses of any size whose sum fits."""
    random = Random(seed)
    for _ in range(5_000):
        losses = [int(2 ** random.uniform(0, 59)) * random.randrange(2) for _ in range(random.randrange(1, 9))]
        loadings = [random.choice((0, CORRELATION_ONE, random.randrange(CORRELATION_ONE))) for _ in losses]
        expected = combine_exactly_ceil(losses, loadings)
        assert combine_losses_ceil(np.array(losses), np.array(loadings)) == expected


def test_a_book_that_is_too_large_is_refused(seed: int) -> None:
    """Quantities whose sums might leave int64 are told before they are summed."""
    random = Random(seed)
    market, portfolios, instruments = make_accounts(random, 3)
    portfolio = next(p for p in portfolios if p.options)
    larger = tuple(replace(option, quantity=option.quantity << 45) for option in portfolio.options)
    keel = PARAMETER_SETS["keel"]
    arrays = compute_risk_arrays(keel, market, instruments)
    assert fits(keel, arrays, make_book(keel, market, instruments, [portfolio]))
    book = make_book(keel, market, instruments, [replace(portfolio, options=larger)])
    assert not fits(keel, arrays, book)
    with pytest.raises(OverflowError):
        sweep(keel, market, instruments, book)


def test_plain_sums_are_exact(seed: int) -> None:
    """The plain grid's worst sum is that of a dense product in Python integers."""
    generator = np.random.default_rng(seed)
    prices = generator.integers(-(2**30), 2**30, (50, 27))
    instruments = generator.integers(0, 50, 200)
    quantities = generator.integers(-1000, 1000, 200)
    starts = np.arange(0, 201, 20)
    out = np.empty(10, np.int64)
    sum_scenarios(starts, instruments, quantities, prices, out)
    for account in range(10):
        rows = range(20 * account, 20 * account + 20)
        sums = [sum(int(quantities[r]) * int(prices[instruments[r], c]) for r in rows) for c in range(27)]
        assert out[account] == min(sums)

"""Margin of many accounts at once is the reference's, bit for bit."""

from dataclasses import replace
from random import Random

import numpy as np
import pytest

from risk.fast_margin import Book, RiskArrays, compute_margins, compute_risk_arrays, fits, make_book, sum_scenarios
from risk.margin import compute_margin
from risk.market import Market, Portfolio
from risk.parameter_sets import PARAMETER_SETS
from tests.risk.samples import make_market, make_portfolio

Instrument = tuple[int, int, int, bool]


def make_accounts(random: Random, count: int) -> tuple[Market, list[Portfolio], list[Instrument]]:
    """Accounts of one market, and every instrument that they hold, ascending."""
    market = make_market(random, underlyings=3, expiries=3)
    portfolios = [make_portfolio(random, market, options=random.randrange(0, 12)) for _ in range(count)]
    held = {(o.underlying, o.expiry, o.strike, o.is_call) for p in portfolios for o in p.options}
    return market, portfolios, sorted(held)


def margins(arrays: RiskArrays, book: Book) -> list[tuple[int, ...]]:
    out = np.empty((len(book.base), 3), np.int64)
    compute_margins(arrays, book, out)
    return [tuple(row) for row in out.tolist()]


@pytest.mark.parametrize("name", PARAMETER_SETS)
def test_margins_are_the_references(name: str, seed: int) -> None:
    """Equity, IM and MM of random accounts agree under every parameter set."""
    random = Random(seed)
    parameters = PARAMETER_SETS[name]
    if parameters.concentration is not None:  # so low that it binds
        low = replace(parameters.concentration, gamma_threshold=10**6, vega_threshold=10**6)
        parameters = replace(parameters, concentration=low)
    for _ in range(4):
        market, portfolios, instruments = make_accounts(random, 12)
        arrays = compute_risk_arrays(parameters, market, instruments)
        book = make_book(parameters, market, instruments, portfolios)
        assert fits(arrays, book)
        for portfolio, answer in zip(portfolios, margins(arrays, book), strict=True):
            expected = compute_margin(parameters, market, portfolio)
            assert answer == (expected.equity, expected.initial, expected.maintenance)


def test_a_book_that_is_too_large_is_refused(seed: int) -> None:
    """Quantities whose sums might leave int64 are told before they are summed."""
    random = Random(seed)
    market, portfolios, instruments = make_accounts(random, 3)
    portfolio = next(p for p in portfolios if p.options)
    larger = tuple(replace(option, quantity=option.quantity << 45) for option in portfolio.options)
    keel = PARAMETER_SETS["keel"]
    arrays = compute_risk_arrays(keel, market, instruments)
    assert fits(arrays, make_book(keel, market, instruments, [portfolio]))
    assert not fits(arrays, make_book(keel, market, instruments, [replace(portfolio, options=larger)]))


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

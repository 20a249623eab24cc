"""state/valuation.py: what accounts are worth, with every rounding against them."""

from dataclasses import replace
from fractions import Fraction
from math import ceil, floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.constants import ACCOUNT_UNDERLYINGS_MAX, CASH_MAX, FUNDING_INDEX_MAX, PPM, PRICE_MAX, QUANTITY_MAX
from state.leaves import Account, Instrument, Underlying, perpetual
from state.ledger import Ledger
from state.tree import get_index
from state.valuation import (
    add_balance,
    add_position,
    compute_account_margin,
    compute_fee_ceil,
    compute_funding_index_floor,
    compute_premium_clamped,
    drop_stale_spots,
    is_balance_covered,
    is_fresh,
    is_margin_kept,
    is_within_caps,
    needs_prices,
    read_quotes,
)
from tests.strategies import i64, u16, u32, u128, within
from tests.world import build_params, open_market

PARAMS = build_params()
QUOTE = Underlying(bytes(8), oracle_time=100, spot=1_000_000, mark=1_000_000)

prices = within(1, PRICE_MAX)
quantities = within(-QUANTITY_MAX, QUANTITY_MAX)


@given(
    index=within(-FUNDING_INDEX_MAX, FUNDING_INDEX_MAX),
    premium=i64,
    seconds=within(0, 1 << 40),
    period=within(1, (1 << 32) - 1),
)
def test_the_current_index_is_floored_and_saturates(index: int, premium: int, seconds: int, period: int) -> None:
    """It is the exact index, rounded towards minus infinity, also below 0, and never passes its bound."""
    underlying = replace(QUOTE, funding_index=index, index_time=5, premium=premium)
    exact = index + Fraction(premium * seconds, period)
    expected = max(-FUNDING_INDEX_MAX, min(FUNDING_INDEX_MAX, floor(exact)))
    assert compute_funding_index_floor(underlying, 5 + seconds, build_params(funding_period=period)) == expected


@pytest.mark.parametrize(
    ("premium", "seconds", "index"),
    [(1, 28_799, 0), (1, 28_800, 1), (-1, 1, -1), (-1, 28_800, -1), (-1, 28_801, -2), (0, 1 << 40, 0)],
)
def test_small_premiums_round_down(premium: int, seconds: int, index: int) -> None:
    """A period has 28 800 seconds: a premium of 1 counts when it is over, one of -1 from its first second."""
    assert compute_funding_index_floor(replace(QUOTE, premium=premium), seconds, PARAMS) == index


@given(prices, prices, u32)
def test_the_premium_is_clamped_to_its_cap(spot: int, mark: int, cap_ppm: int) -> None:
    """Mark less spot, but no further from 0 than so many parts of spot, rounded down."""
    premium = compute_premium_clamped(spot, mark, build_params(funding_cap_ppm=cap_ppm))
    assert abs(premium) == min(abs(mark - spot), spot * cap_ppm // PPM)
    assert premium * (mark - spot) >= 0


@given(within(1, QUANTITY_MAX), prices, u32, u128)
def test_fees_are_ceiled(quantity: int, price: int, rate_ppm: int, l1_fee: int) -> None:
    """Never less than the exact part of the notional, and less than one unit more."""
    assert compute_fee_ceil(quantity, price, rate_ppm, l1_fee) - l1_fee == ceil(
        Fraction(quantity * price * rate_ppm, PPM)
    )


@given(
    cash=within(-CASH_MAX, CASH_MAX),
    held=st.lists(st.tuples(quantities, prices, within(-FUNDING_INDEX_MAX, FUNDING_INDEX_MAX)), max_size=4),
    ether=within(0, 1 << 96),
)
def test_margin_is_the_exact_one_rounded_against_the_account(
    cash: int, held: list[tuple[int, int, int]], ether: int
) -> None:
    """Equity is the exact one rounded down, each requirement is the exact one rounded up."""
    quotes = {
        number: Underlying(bytes(8), spot=mark, mark=mark, funding_index=index)
        for number, (_, mark, index) in enumerate(held)
    }
    quotes.setdefault(1, QUOTE)
    positions = tuple((perpetual(number), quantity) for number, (quantity, _, _) in enumerate(held))
    account = Account(bytes(20), cash=cash, positions=positions, collateral=((1, ether),) if ether else ())
    margin = compute_account_margin(account, quotes, 0, PARAMS)
    assert margin.quote_equity == cash + sum(quantity * (mark - index) for quantity, mark, index in held)
    value = Fraction(ether * quotes[1].spot * 850_000, PPM * 10_000_000)
    assert margin.equity == margin.quote_equity + floor(value)
    assert margin.initial == sum(ceil(Fraction(abs(q) * mark, 10)) for q, mark, _ in held)
    assert margin.maintenance == sum(ceil(Fraction(abs(q) * mark * 6, 100)) for q, mark, _ in held)


def test_what_an_account_needs_is_read_in_order() -> None:
    """Positions, collateral and what is traded name underlyings; each is read once, ascending."""
    ledger = Ledger(open_market().state.leaves)
    account = Account(bytes(20), positions=((perpetual(3), 1), (perpetual(0), 1)), collateral=((1, 5),))
    quotes = read_quotes(ledger, account, PARAMS, [perpetual(2), perpetual(0)])
    assert list(quotes) == [0, 1, 2, 3]
    assert [get_index(key) for key in ledger.reads] == [0, 1, 2, 3]


def test_one_old_mark_makes_all_stale() -> None:
    """Three hundred seconds are young, one more is not; where nothing is held nothing is stale."""
    young, old = replace(QUOTE, oracle_time=700), replace(QUOTE, oracle_time=699)
    account = Account(bytes(20), positions=((perpetual(0), 1), (perpetual(1), -1)), collateral=((1, 5),))
    assert is_fresh(account, {0: young, 1: young, 2: old}, 1000, PARAMS)
    assert not is_fresh(account, {0: young, 1: old}, 1000, PARAMS)
    assert is_fresh(replace(account, positions=()), {1: old}, 1000, PARAMS)


def test_old_spots_cover_nothing() -> None:
    """Where collateral must cover, a price one second too old is none; the mark stays what it was."""
    young, old = replace(QUOTE, oracle_time=700), replace(QUOTE, oracle_time=699)
    assert drop_stale_spots({0: young, 1: old}, 1000, PARAMS) == {0: young, 1: replace(old, spot=0)}


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(-3, 3).filter(bool)), max_size=30))
def test_positions_stay_sorted_and_without_zeros(changes: list[tuple[int, int]]) -> None:
    """Lots added in any order leave what an account of sums would hold."""
    account, sums = Account(bytes(20)), dict[Instrument, int]()
    for underlying, quantity in changes:
        instrument = perpetual(underlying)
        account = add_position(account, instrument, quantity)
        sums[instrument] = sums.get(instrument, 0) + quantity
    assert account.positions == tuple(sorted(item for item in sums.items() if item[1]))


@given(u16, within(1, 1 << 90))
def test_what_is_added_can_be_taken(asset: int, amount: int) -> None:
    """Adding and taking the same amount leaves the account as it was: cash for asset 0, else collateral."""
    account = Account(bytes(20), cash=5, collateral=((3, 7),))
    more = add_balance(account, asset, amount)
    assert (more.cash - 5 == amount) == (asset == 0)
    assert asset == 0 or more.get_collateral(asset) == account.get_collateral(asset) + amount
    assert add_balance(more, asset, -amount) == account


def test_caps_of_an_account() -> None:
    """Each number and count stands at its bound and not beyond."""

    def hold(count: int, quantity: int = 1, cash: int = 0) -> bool:
        positions = tuple((perpetual(number), quantity) for number in range(count))
        return is_within_caps(Account(bytes(20), cash=cash, positions=positions))

    assert hold(ACCOUNT_UNDERLYINGS_MAX)
    assert not hold(ACCOUNT_UNDERLYINGS_MAX + 1)
    for sign in (1, -1):
        assert hold(1, quantity=sign * QUANTITY_MAX)
        assert not hold(1, quantity=sign * (QUANTITY_MAX + 1))
        assert hold(0, cash=sign * CASH_MAX)
        assert not hold(0, cash=sign * (CASH_MAX + 1))


def test_caps_count_expiries_and_positions_too() -> None:
    """Twenty-four expiries and sixty-four positions are the most, over all underlyings."""
    expiries = [(Instrument(0, number, 1, 5), 1) for number in range(25)]
    strikes = [(Instrument(0, 1, 1, number), 1) for number in range(65)]
    for held, most in ((expiries, 24), (strikes, 64)):
        assert is_within_caps(Account(bytes(20), positions=tuple(held[:most])))
        assert not is_within_caps(Account(bytes(20), positions=tuple(held)))


@pytest.mark.parametrize(
    ("account", "asset", "amount", "needed"),
    [
        (Account(bytes(20), cash=5), 0, 5, False),
        (Account(bytes(20), cash=5, collateral=((1, 9),)), 0, 6, True),
        (Account(bytes(20), cash=0, collateral=((1, 9),)), 1, 9, False),
        (Account(bytes(20), cash=-1, collateral=((1, 9),)), 1, 1, True),
        (Account(bytes(20), cash=5, positions=((perpetual(0), 1),)), 0, 1, True),
        (Account(bytes(20), cash=5, collateral=((1, 9),), positions=((perpetual(0), 1),)), 1, 1, True),
    ],
)
def test_when_prices_are_needed(account: Account, asset: int, amount: int, needed: bool) -> None:
    """Only for positions, and for cash that would be below 0."""
    assert needs_prices(account, asset, amount) == needed
    ledger = Ledger(open_market().state.leaves)
    is_balance_covered(ledger, account, asset, amount)
    is_margin_kept(ledger, account, asset, amount)
    assert (len(ledger.reads) > 2) == needed


def test_collateral_that_is_not_there_covers_nothing() -> None:
    """Asking whether the margin holds without what the account does not have is no error."""
    ledger = Ledger(open_market().state.leaves)
    account = Account(bytes(20), cash=10**12, positions=((perpetual(0), 1),))
    assert not is_margin_kept(ledger, account, 1, 1)
    assert not is_margin_kept(ledger, account, 9, 1)

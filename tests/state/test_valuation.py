"""state/valuation.py: what accounts are worth, with every rounding against them."""

from dataclasses import replace
from fractions import Fraction
from math import ceil, floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from risk.market import VALUE_MAX
from state.constants import (
    ACCOUNT_UNDERLYINGS_MAX,
    CASH_MAX,
    FUNDING_INDEX_MAX,
    PPM,
    PRICE_MAX,
    QUANTITY_MAX,
    RULES_OFFSET,
)
from state.leaves import Account, Expiry, Instrument, Underlying, call, perpetual
from state.leaving import is_balance_covered, is_margin_kept, needs_prices
from state.ledger import Ledger, SubjectMissing
from state.tree import get_index
from state.valuation import (
    Quotes,
    add_balance,
    add_position,
    compute_account_margin,
    compute_fee_ceil,
    compute_funding_index_floor,
    compute_premium_clamped,
    drop_stale_spots,
    is_fresh,
    is_halted,
    is_within_caps,
    is_young,
    read_quotes,
)
from tests.strategies import i64, u16, u32, u128, within
from tests.world import RULES, WEEK, build_params, open_market

PARAMS = build_params()
QUOTE = Underlying(bytes(8), oracle_time=100, spot=1_000_000, mark=1_000_000)

YOUNG, OLD = replace(QUOTE, oracle_time=700), replace(QUOTE, oracle_time=699)
"""At 1000, when prices of 300 seconds are young."""

prices = within(1, PRICE_MAX - 1)
quantities = within(-QUANTITY_MAX, QUANTITY_MAX)


def quote(underlyings: dict[int, Underlying], expiries: dict[tuple[int, int], Expiry] | None = None) -> Quotes:
    """Prices under the linear rules."""
    return Quotes(RULES, underlyings, expiries or {})


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
    """Equity is the exact one rounded down, each requirement under the linear rules the exact one rounded up."""
    marks = {
        number: Underlying(bytes(8), spot=mark, mark=mark, funding_index=index)
        for number, (_, mark, index) in enumerate(held)
    }
    marks.setdefault(1, QUOTE)
    quotes = Quotes(RULES, dict(sorted(marks.items())), {})
    positions = tuple((perpetual(number), quantity) for number, (quantity, _, _) in enumerate(held))
    account = Account(bytes(20), cash=cash, positions=positions, collateral=((1, ether),) if ether else ())
    margin = compute_account_margin(account, quotes, 0, PARAMS)
    assert margin.quote_equity == cash + sum(quantity * (mark - index) for quantity, mark, index in held)
    value = min(floor(Fraction(ether * marks[1].spot, 10_000_000)), VALUE_MAX)
    assert margin.equity == margin.quote_equity + value
    moving = {number: quantity * mark for number, (quantity, mark, _) in enumerate(held)}
    moving[1] = moving.get(1, 0) + value
    shock = RULES.scenarios[1].spot_move_q38
    loss = sum(ceil(Fraction(abs(notional) * shock, 1 << 38)) for notional in moving.values())
    kept = ceil(Fraction(loss * RULES.tiers[0].maintenance_factor_q38, 1 << 38))
    first, more = (ceil(Fraction(value * ((parts << 38) // PPM), 1 << 38)) for parts in (100_000, 50_000))
    assert margin.maintenance == margin.equity - kept - first
    assert margin.initial == margin.equity - loss - first - more


def test_what_an_account_needs_is_read_in_order() -> None:
    """Positions, collateral and what is traded name underlyings; each is read once, ascending."""
    ledger = Ledger(open_market().state.leaves)
    account = Account(bytes(20), positions=((perpetual(3), 1), (perpetual(0), 1)), collateral=((1, 5),))
    quotes = read_quotes(ledger, account, PARAMS, [perpetual(2), perpetual(0)])
    assert list(quotes.underlyings) == [0, 1, 2, 3]
    assert [get_index(key) for key in ledger.reads] == [0, RULES_OFFSET, 0, 1, 2, 3]


def test_one_old_mark_makes_all_stale() -> None:
    """Three hundred seconds are young, one more is not; where nothing is held nothing is stale."""
    account = Account(bytes(20), positions=((perpetual(0), 1), (perpetual(1), -1)), collateral=((1, 5),))
    assert is_fresh(account, quote({0: YOUNG, 1: YOUNG, 2: OLD}), 1000, PARAMS)
    assert not is_fresh(account, quote({0: YOUNG, 1: OLD}), 1000, PARAMS)
    assert is_fresh(replace(account, positions=()), quote({1: OLD}), 1000, PARAMS)


def test_surfaces_grow_old_until_they_settle() -> None:
    """An option needs the surface of its expiry besides, and no longer once there is a settlement price."""
    account = Account(bytes(20), positions=((call(0, WEEK, 5), 1),))
    for surface, is_young_then in (
        (Expiry(time=700), True),
        (Expiry(time=699), False),
        (Expiry(time=699, settlement=1), True),
    ):
        quotes = quote({0: YOUNG}, {(0, WEEK): surface})
        assert is_young(account, quotes, 1000, PARAMS) == is_young_then
    assert not is_young(account, quote({0: OLD}, {(0, WEEK): Expiry(settlement=1)}), 1000, PARAMS)


def test_the_quote_assets_own_price_counts_for_everybody() -> None:
    """Where the quote is no dollar by decree, whoever takes on risk needs its price, whatever he holds."""
    params = build_params(peg_underlying=3)
    assert is_young(Account(bytes(20)), quote({3: YOUNG}), 1000, params)
    assert not is_young(Account(bytes(20)), quote({3: OLD}), 1000, params)


def test_a_halt_ends_when_it_says() -> None:
    """Nobody takes on risk in what has jumped, until its second comes; others are not concerned."""
    account = Account(bytes(20), positions=((perpetual(0), 1),))
    halted = replace(YOUNG, halted_until=1000)
    assert is_halted(account, quote({0: halted}), 999)
    assert not is_halted(account, quote({0: halted}), 1000)
    assert not is_halted(account, quote({0: YOUNG, 1: halted}), 999)
    assert is_young(account, quote({0: halted}), 999, PARAMS)
    assert not is_fresh(account, quote({0: halted}), 999, PARAMS)


def test_old_spots_cover_nothing() -> None:
    """Where collateral must cover, a price one second too old is none."""
    account = Account(bytes(20), cash=7, collateral=((1, 10**9),))
    for spot, value in ((YOUNG, 100 * QUOTE.spot), (OLD, 0)):
        quotes = drop_stale_spots(quote({1: spot}), 1000, PARAMS)
        assert compute_account_margin(account, quotes, 1000, PARAMS).equity == 7 + value


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
    expiries = [(Instrument(0, number, 5, 2), 1) for number in range(25)]
    strikes = [(Instrument(0, 1, number, 2), 1) for number in range(65)]
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
    """Without what the account does not have there is nothing of which the margin could hold."""
    ledger = Ledger(open_market().state.leaves)
    account = Account(bytes(20), cash=10**12, positions=((perpetual(0), 1),))
    for asset in (1, 9):
        with pytest.raises(SubjectMissing):
            is_margin_kept(ledger, account, asset, 1)

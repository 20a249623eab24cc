"""What an account is worth and what it must hold: gathers leaves for risk/ (SPEC.md section 8).

Mirrors contracts/valuation.vy, contracts/margins.vy and contracts/margin.vy.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from risk import fast_account
from risk.fixed_point import ONE_Q38
from risk.margin import Margin
from risk.market import Collateral, Future, Market, Option, Portfolio, value_holding_floor
from risk.market import Underlying as MarketUnderlying
from risk.parameters import Parameters
from state.constants import (
    ACCOUNT_EXPIRIES_MAX,
    ACCOUNT_UNDERLYINGS_MAX,
    CASH_MAX,
    FUNDING_INDEX_MAX,
    POSITIONS_MAX,
    PPM,
    QUANTITY_MAX,
)
from state.leaves import CALL, PERPETUAL, QUOTE_UNDERLYING, Account, Expiry, Instrument, Params, Underlying
from state.ledger import Ledger
from state.marks import convert_expiry, convert_ppm_floor_q38

QUOTE_UNITS_A_DOLLAR = 1_000_000


class Quotes(NamedTuple):
    """What a margin is computed from beside the account: the rules, and prices, each in ascending order. Collateral
    whose price is that of a `stale` underlying counts for nothing."""

    rules: Parameters
    underlyings: Mapping[int, Underlying]
    expiries: Mapping[tuple[int, int], Expiry]
    stale: tuple[int, ...] = ()


# Prices


def compute_funding_index_floor(underlying: Underlying, time: int, params: Params) -> int:
    """Quote units a lot at state time `time`, extrapolated from the stored index, saturating."""
    accrued = underlying.premium * (time - underlying.index_time) // params.funding_period
    return max(-FUNDING_INDEX_MAX, min(FUNDING_INDEX_MAX, underlying.funding_index + accrued))


def compute_premium_clamped(spot: int, mark: int, params: Params) -> int:
    """What a long lot pays a funding period, in quote units."""
    cap = spot * params.funding_cap_ppm // PPM
    return max(-cap, min(cap, mark - spot))


def compute_fee_ceil(quantity: int, base: int, rate_ppm: int, l1_fee: int) -> int:
    """Quote units that one side of a fill pays; `base` is quote units a lot."""
    return -(-quantity * base * rate_ppm // PPM) + l1_fee


def read_quotes(ledger: Ledger, account: Account, params: Params, traded: Iterable[Instrument] = ()) -> Quotes:
    """Rules, underlyings and expiries that the margin of an account needs, also once it has traded, read in this order.
    A proof's scenarios stand before them.

    Raises SubjectMissing.
    """
    if ledger.exhibit_at is None:
        ledger.exhibit_at = len(ledger.reads)
    rules = ledger.get_rules()
    instruments = [*(instrument for instrument, _ in account.positions), *traded]
    needed = dict.fromkeys(instrument.underlying for instrument in instruments)
    needed.update((params.assets[asset].underlying, None) for asset, _ in account.collateral)
    if params.peg_underlying != QUOTE_UNDERLYING:
        needed[params.peg_underlying] = None
    underlyings = {underlying: ledger.require_underlying(underlying) for underlying in sorted(needed)}
    dated = dict.fromkeys((instrument.underlying, instrument.expiry) for instrument in instruments if instrument.expiry)
    return Quotes(rules, underlyings, {key: ledger.require_expiry(*key) for key in sorted(dated)})


def is_price_young(quote: Underlying, time: int, params: Params) -> bool:
    """Whether an underlying's price is young enough to cover new risk."""
    return quote.oracle_time + params.price_age_max >= time


def is_surface_young(quote: Expiry, time: int, params: Params) -> bool:
    """The same of an expiry's; what has settled does not age."""
    return quote.settlement > 0 or quote.time + params.price_age_max >= time


def is_young(account: Account, quotes: Quotes, time: int, params: Params) -> bool:
    """Whether every price of what the account holds a position in is young, and the quote asset's. Collateral's need
    not be."""
    peg, instruments = params.peg_underlying, [instrument for instrument, _ in account.positions]
    needed = dict.fromkeys(instrument.underlying for instrument in instruments)
    dated = dict.fromkeys((instrument.underlying, instrument.expiry) for instrument in instruments if instrument.expiry)
    return (
        (peg == QUOTE_UNDERLYING or is_price_young(quotes.underlyings[peg], time, params))
        and all(is_price_young(quotes.underlyings[underlying], time, params) for underlying in needed)
        and all(is_surface_young(quotes.expiries[key], time, params) for key in dated)
    )


def is_halted(account: Account, quotes: Quotes, time: int) -> bool:
    """Whether the price of anything that the account holds a position in has jumped a moment ago."""
    return any(quotes.underlyings[instrument.underlying].halted_until > time for instrument, _ in account.positions)


def is_fresh(account: Account, quotes: Quotes, time: int, params: Params) -> bool:
    """Whether the account may take on risk at these prices."""
    return is_young(account, quotes, time, params) and not is_halted(account, quotes, time)


def drop_stale_spots(quotes: Quotes, time: int, params: Params) -> Quotes:
    """The same prices for whoever must cover: collateral whose price is stale counts for nothing."""
    stale = [index for index, quote in quotes.underlyings.items() if not is_price_young(quote, time, params)]
    return quotes._replace(stale=tuple(stale))


# Margin


@lru_cache(maxsize=1024)
def convert_underlying(quote: Underlying) -> MarketUnderlying:
    """An underlying as margin reads it, without its expiries."""
    return MarketUnderlying(
        spot=quote.spot,
        mark=quote.mark,
        spot_confidence_q38=convert_ppm_floor_q38(quote.spot_confidence),
        mark_confidence_q38=convert_ppm_floor_q38(quote.mark_confidence),
        volatility_q38=convert_ppm_floor_q38(quote.volatility),
        expiries=(),
    )


def compute_stable_floor_q38(quotes: Quotes, params: Params) -> int:
    """What the quote asset is worth in dollars, above 0; a lot of its underlying is one of it."""
    if params.peg_underlying == QUOTE_UNDERLYING:
        return ONE_Q38
    return max((quotes.underlyings[params.peg_underlying].spot << 38) // QUOTE_UNITS_A_DOLLAR, 1)


def build_market(quotes: Quotes, time: int, params: Params) -> Market:
    """The market at state time `time`: underlyings and their expiries in ascending order, as `quotes` has them."""
    by_underlying: dict[int, list[tuple[int, Expiry]]] = {}
    for (underlying, expiry), leaf in quotes.expiries.items():
        by_underlying.setdefault(underlying, []).append((expiry, leaf))
    underlyings = []
    for index, quote in quotes.underlyings.items():
        known = convert_underlying(quote)
        dated = by_underlying.get(index)
        if dated:
            known = replace(known, expiries=tuple(convert_expiry(leaf, expiry, time) for expiry, leaf in dated))
        underlyings.append(known)
    return Market(tuple(underlyings), compute_stable_floor_q38(quotes, params))


def build_collateral(account: Account, quotes: Quotes, params: Params) -> tuple[Collateral, ...]:
    """What the account holds beside cash, valued at spot; each follows the underlying that it is."""
    order = {underlying: place for place, underlying in enumerate(quotes.underlyings)}
    found = []
    for asset, amount in account.collateral:
        terms = params.assets[asset]
        quote = quotes.underlyings[terms.underlying]
        spot = 0 if terms.underlying in quotes.stale else quote.spot
        found.append(
            Collateral(
                value=value_holding_floor(amount, spot, terms.units_per_lot),
                follows=order[terms.underlying],
                maintenance_haircut_q38=convert_ppm_floor_q38(terms.maintenance_haircut_ppm),
                initial_haircut_q38=convert_ppm_floor_q38(terms.initial_haircut_ppm),
                confidence_q38=convert_ppm_floor_q38(quote.spot_confidence),
                confidence_threshold_q38=convert_ppm_floor_q38(terms.confidence_threshold_ppm),
            )
        )
    return tuple(found)


def build_portfolio(account: Account, quotes: Quotes, time: int, params: Params) -> Portfolio:
    """The account as margin reads it; what its perpetuals owe of funding is taken from its cash."""
    order = {underlying: place for place, underlying in enumerate(quotes.underlyings)}
    places: dict[tuple[int, int], int] = {}
    counts: dict[int, int] = {}
    for underlying, expiry in quotes.expiries:
        places[underlying, expiry] = counts.get(underlying, 0)
        counts[underlying] = places[underlying, expiry] + 1
    cash, perpetuals = account.cash, [0] * len(order)
    futures: list[Future] = []
    options: list[Option] = []
    for instrument, quantity in account.positions:
        index = order[instrument.underlying]
        if instrument.kind == PERPETUAL:
            quote = quotes.underlyings[instrument.underlying]
            perpetuals[index] = quantity
            cash += quantity * (quote.mark - compute_funding_index_floor(quote, time, params))
            continue
        place = places[instrument.underlying, instrument.expiry]
        if instrument.is_option:
            options.append(Option(index, place, instrument.strike, instrument.kind == CALL, quantity))
        else:
            futures.append(Future(index, place, quantity))
    collateral = build_collateral(account, quotes, params)
    return Portfolio(cash, tuple(perpetuals), tuple(options), collateral, tuple(futures))


def compute_account_margin(account: Account, quotes: Quotes, time: int, params: Params) -> Margin:
    """Equity and surpluses of the account at state time `time`, in quote units."""
    return fast_account.compute_account_margin(
        quotes.rules,
        build_market(quotes, time, params),
        build_portfolio(account, quotes, time, params),
        list_loadings_q20(quotes, params),
        account.tier,
    )


def list_loadings_q20(quotes: Quotes, params: Params) -> list[int]:
    """How far the losses of each underlying come with the others'."""
    return [params.underlyings[underlying].correlation_q20 for underlying in quotes.underlyings]


# What moves


def add_position(account: Account, instrument: Instrument, quantity: int) -> Account:
    """The account with `quantity` signed lots more; a position of 0 disappears."""
    return add_positions(account, [(instrument, quantity)])


def add_positions(account: Account, changes: Sequence[tuple[Instrument, int]]) -> Account:
    """The same for several instruments."""
    positions = dict(account.positions)
    for instrument, quantity in changes:
        positions[instrument] = positions.get(instrument, 0) + quantity
    return replace(account, positions=tuple(sorted(item for item in positions.items() if item[1] != 0)))


def add_balance(account: Account, asset: int, amount: int) -> Account:
    """The account with `amount` signed units more of an asset: cash for asset 0, else collateral."""
    if asset == 0:
        return replace(account, cash=account.cash + amount)
    collateral = dict(account.collateral)
    collateral[asset] = collateral.get(asset, 0) + amount
    return replace(account, collateral=tuple(sorted(item for item in collateral.items() if item[1] != 0)))


def is_within_caps(account: Account) -> bool:
    """Whether a proof about this account stays within its budget, and its numbers within their fields."""
    instruments = [instrument for instrument, _ in account.positions]
    return (
        abs(account.cash) <= CASH_MAX
        and all(abs(quantity) <= QUANTITY_MAX for _, quantity in account.positions)
        and len(instruments) <= POSITIONS_MAX
        and len({i.underlying: None for i in instruments}) <= ACCOUNT_UNDERLYINGS_MAX
        and len({(i.underlying, i.expiry): None for i in instruments}) <= ACCOUNT_EXPIRIES_MAX
    )


def measure_account(ledger: Ledger, account: int) -> tuple[Margin, bool]:
    """An account's margin as the state stands, and whether its prices are young; reads G, P, A, M*. Raises
    SubjectMissing."""
    params, time = ledger.get_params(), ledger.get_globals().time
    held = ledger.require_account(account)
    quotes = read_quotes(ledger, held, params)
    return compute_account_margin(held, quotes, time, params), is_young(held, quotes, time, params)

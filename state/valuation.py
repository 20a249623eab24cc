"""What an account is worth and what it must hold: gathers leaves for risk/linear.py (SPEC.md section 8).

Mirrors contracts/valuation.vy.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from risk.linear import Collateral, Holding, Margin, ceil_div, compute_margin
from state.constants import (
    ACCOUNT_EXPIRIES_MAX,
    ACCOUNT_UNDERLYINGS_MAX,
    CASH_MAX,
    FUNDING_INDEX_MAX,
    POSITIONS_MAX,
    PPM,
    QUANTITY_MAX,
)
from state.leaves import Account, Instrument, Params, Underlying
from state.ledger import Ledger

Quotes = Mapping[int, Underlying]


def compute_funding_index_floor(underlying: Underlying, time: int, params: Params) -> int:
    """Quote units a lot at state time `time`, extrapolated from the stored index, saturating."""
    accrued = underlying.premium * (time - underlying.index_time) // params.funding_period
    return max(-FUNDING_INDEX_MAX, min(FUNDING_INDEX_MAX, underlying.funding_index + accrued))


def compute_premium_clamped(spot: int, mark: int, params: Params) -> int:
    """What a long lot pays a funding period, in quote units."""
    cap = spot * params.funding_cap_ppm // PPM
    return max(-cap, min(cap, mark - spot))


def compute_fee_ceil(quantity: int, price: int, rate_ppm: int, l1_fee: int) -> int:
    """Quote units that one side of a fill pays."""
    return ceil_div(quantity * price * rate_ppm, PPM) + l1_fee


def read_quotes(ledger: Ledger, account: Account, params: Params, traded: Iterable[Instrument] = ()) -> Quotes:
    """Every underlying that the account's margin needs, read in ascending order. Raises SubjectMissing."""
    needed = {instrument.underlying: None for instrument, _ in account.positions}
    needed.update({params.assets[asset].underlying: None for asset, _ in account.collateral})
    needed.update({instrument.underlying: None for instrument in traded})
    return {underlying: ledger.require_underlying(underlying) for underlying in sorted(needed)}


def is_price_young(quote: Underlying, time: int, params: Params) -> bool:
    """Whether one price is young enough to cover new risk."""
    return quote.oracle_time + params.price_age_max >= time


def is_fresh(account: Account, quotes: Quotes, time: int, params: Params) -> bool:
    """Whether the price of everything that the account holds a position in is young. Collateral's need not be."""
    return all(is_price_young(quotes[instrument.underlying], time, params) for instrument, _ in account.positions)


def drop_stale_spots(quotes: Quotes, time: int, params: Params) -> Quotes:
    """The same prices for whoever must cover: collateral whose price is stale counts for nothing."""
    return {
        underlying: quote if is_price_young(quote, time, params) else replace(quote, spot=0)
        for underlying, quote in quotes.items()
    }


def compute_account_margin(account: Account, quotes: Quotes, time: int, params: Params) -> Margin:
    """The account's equity and requirements at state time `time`."""
    holdings = [
        Holding(
            quantity=quantity,
            mark=quotes[instrument.underlying].mark,
            funding_index=compute_funding_index_floor(quotes[instrument.underlying], time, params),
            initial_ppm=params.underlyings[instrument.underlying].initial_ppm,
            maintenance_ppm=params.underlyings[instrument.underlying].maintenance_ppm,
        )
        for instrument, quantity in account.positions
    ]
    collateral = [
        Collateral(
            amount=amount,
            spot=quotes[params.assets[asset].underlying].spot,
            units_per_lot=params.assets[asset].units_per_lot,
            haircut_ppm=params.assets[asset].haircut_ppm,
        )
        for asset, amount in account.collateral
    ]
    return compute_margin(account.cash, holdings, collateral)


def add_position(account: Account, instrument: Instrument, quantity: int) -> Account:
    """The account with `quantity` signed lots more; a position of 0 disappears."""
    positions = dict(account.positions)
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


def needs_prices(account: Account, asset: int, amount: int) -> bool:
    """Whether taking `amount` out of the account can be judged only with prices."""
    cash_after = account.cash - amount if asset == 0 else account.cash
    return bool(account.positions) or cash_after < 0


def is_balance_covered(ledger: Ledger, account: Account, asset: int, amount: int) -> bool:
    """Whether the account owns what it gives away: quote equity for asset 0, else that collateral."""
    params = ledger.get_params()
    quotes = read_quotes(ledger, account, params) if needs_prices(account, asset, amount) else {}
    if asset != 0:
        return account.get_collateral(asset) >= amount
    bare = replace(account, collateral=())
    return compute_account_margin(bare, quotes, ledger.get_globals().time, params).quote_equity >= amount


def is_margin_kept(ledger: Ledger, account: Account, asset: int, amount: int) -> bool:
    """Whether the account still covers its initial margin after `amount` has left it."""
    params = ledger.get_params()
    if not needs_prices(account, asset, amount):
        return True
    time = ledger.get_globals().time
    quotes = drop_stale_spots(read_quotes(ledger, account, params), time, params)
    if asset != 0 and account.get_collateral(asset) < amount:
        return False
    margin = compute_account_margin(add_balance(account, asset, -amount), quotes, time, params)
    return is_fresh(account, quotes, time, params) and margin.equity >= margin.initial

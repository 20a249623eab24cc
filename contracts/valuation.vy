# pragma version 0.4.3
"""
@title What an account is worth and what it must hold
@notice The money rules of state/SPEC.md section 8. Cash, equity and margin are quote units, quantities lots, prices and
        indices quote units a lot; every rounding is in the name of its function.
@dev BOUNDS. Numbers come from leaves under a root: quantities up to 2**40, prices 2**44, indices 2**56, amounts 2**96,
     cash 2**112, parts per million and periods 2**32, times 2**64. The largest product, amount * price * PPM, is below
     2**160, so no checked operation here can revert.
     Mirrors state/valuation.py and risk/linear.py.
"""
import accounts
import constants
import fields
import params as parameters
import underlyings
import witness as witnesses

# Underlyings of an account's positions and of its collateral, and a traded one.
QUOTES_MAX: constant(uint256) = constants.ACCOUNT_UNDERLYINGS_MAX + constants.ASSETS_MAX

# The prices of one underlying; `funding_index` is the current one. A stale spot is 0: it covers nothing.
struct Quote:
    underlying: uint256
    is_young: bool
    spot: uint256
    mark: uint256
    funding_index: int256

# U*: all prices that an account's margin needs, ascending.
struct Quotes:
    quotes: DynArray[Quote, QUOTES_MAX]
    is_missing: bool  # an underlying is not listed: reading stops there, and whatever needs it fails
    end: uint256  # where the witness goes on

# Maintenance margin is a threshold of liquidation; no check of version 1 asks for it.
struct Margin:
    quote_equity: int256
    equity: int256
    initial: int256


# Prices


@internal
@pure
def _compute_funding_index_floor(
    underlying: underlyings.Underlying, time: uint256, params: parameters.Params
) -> int256:
    """
    @notice Quote units a lot at state time `time`, extrapolated from the stored index, saturating.
    """
    elapsed: int256 = convert(time, int256) - convert(underlying.index_time, int256)
    accrued: int256 = self._floor_div(underlying.premium * elapsed, convert(params.funding_period, int256))
    index: int256 = underlying.funding_index + accrued
    return max(-constants.FUNDING_INDEX_MAX, min(constants.FUNDING_INDEX_MAX, index))


@internal
@pure
def _compute_premium_clamped(spot: uint256, mark: uint256, params: parameters.Params) -> int256:
    """
    @notice What a long lot pays a funding period, in quote units.
    """
    cap: int256 = convert(spot * params.funding_cap_ppm // constants.PPM, int256)
    return max(-cap, min(cap, convert(mark, int256) - convert(spot, int256)))


@internal
@pure
def _compute_fee_ceil(quantity: uint256, price: uint256, rate_ppm: uint256, l1_fee: uint256) -> uint256:
    """
    @notice Quote units that one side of a fill pays.
    """
    return self._ceil_div(quantity * price * rate_ppm, constants.PPM) + l1_fee


@internal
@pure
def _list_needed(account: accounts.Account, params: parameters.Params) -> uint256:
    """
    @notice The underlyings that the account's margin needs: bit u stands for underlying u.
            A fill adds the bit of the traded one.
    """
    needed: uint256 = 0
    for i: uint256 in range(account.position_count, bound=accounts.POSITIONS_HELD_MAX):
        held: accounts.Position = account.positions[i]
        needed |= 1 << (held.instrument >> 80)
    for i: uint256 in range(account.collateral_count, bound=constants.ASSETS_MAX):
        held: accounts.Collateral = account.collateral[i]
        needed |= 1 << parameters._get_asset_terms(params, held.asset).underlying
    return needed


@internal
@pure
def _peek_quotes(
    witness: Bytes[constants.WITNESS_BYTES_MAX],
    at: uint256,
    needed: uint256,
    time: uint256,
    params: parameters.Params,
) -> Quotes:
    """
    @notice The prices of the needed underlyings, as the witness gives them from `at` on, NOT authenticated.
    """
    found: Quotes = empty(Quotes)
    found.end = at
    leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    for u: uint256 in range(constants.UNDERLYINGS_MAX):
        if needed >> u == 0:
            break
        if (needed >> u) & 1 == 0:
            continue
        leaf, found.end = witnesses._peek(witness, found.end)
        if len(leaf) == 0:
            found.is_missing = True
            break
        underlying: underlyings.Underlying = underlyings._decode_underlying(leaf)
        is_young: bool = underlying.oracle_time + params.price_age_max >= time
        found.quotes.append(
            Quote(
                underlying=u,
                is_young=is_young,
                spot=underlying.spot if is_young else 0,
                mark=underlying.mark,
                funding_index=self._compute_funding_index_floor(underlying, time, params),
            )
        )
    return found


@internal
@pure
def _authenticate_quotes(
    witness: Bytes[constants.WITNESS_BYTES_MAX], at: uint256, root: bytes32, needed: uint256
):
    """
    @notice What `_peek_quotes` gave for the same witness, `at` and `needed` stands under `root`.
    """
    next: uint256 = at
    leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    for u: uint256 in range(constants.UNDERLYINGS_MAX):
        if needed >> u == 0:
            break
        if (needed >> u) & 1 == 0:
            continue
        leaf, next = witnesses._read(witness, next, root, constants.UNDERLYINGS, u)
        if len(leaf) == 0:
            break


@internal
@pure
def _read_quotes(
    witness: Bytes[constants.WITNESS_BYTES_MAX],
    at: uint256,
    root: bytes32,
    needed: uint256,
    time: uint256,
    params: parameters.Params,
) -> Quotes:
    """
    @notice The prices of the needed underlyings under `root`.
    """
    self._authenticate_quotes(witness, at, root, needed)
    return self._peek_quotes(witness, at, needed, time, params)


@internal
@pure
def _is_fresh(account: accounts.Account, quotes: Quotes) -> bool:
    """
    @notice Whether the price of everything that the account holds a position in is young. Collateral's need not be.
    """
    for i: uint256 in range(account.position_count, bound=accounts.POSITIONS_HELD_MAX):
        if not self._get_quote(quotes, account.positions[i].instrument >> 80).is_young:
            return False
    return True


# Margin


@internal
@pure
def _compute_account_margin(account: accounts.Account, quotes: Quotes, params: parameters.Params) -> Margin:
    """
    @notice The account's equity and initial margin; every underlying that it needs is among the quotes.
    """
    margin: Margin = Margin(quote_equity=account.cash, equity=0, initial=0)
    for i: uint256 in range(account.position_count, bound=accounts.POSITIONS_HELD_MAX):
        held: accounts.Position = account.positions[i]
        underlying: uint256 = held.instrument >> 80
        quote: Quote = self._get_quote(quotes, underlying)
        terms: parameters.UnderlyingTerms = parameters._get_underlying_terms(params, underlying)
        size: uint256 = convert(abs(held.quantity), uint256)
        margin.quote_equity += held.quantity * (convert(quote.mark, int256) - quote.funding_index)
        margin.initial += convert(
            self._ceil_div(size * quote.mark * terms.initial_ppm, constants.PPM), int256
        )
    margin.equity = margin.quote_equity
    for i: uint256 in range(account.collateral_count, bound=constants.ASSETS_MAX):
        held: accounts.Collateral = account.collateral[i]
        terms: parameters.AssetTerms = parameters._get_asset_terms(params, held.asset)
        quote: Quote = self._get_quote(quotes, terms.underlying)
        margin.equity += convert(self._compute_collateral_value_floor(held.amount, quote.spot, terms), int256)
    return margin


@internal
@pure
def _compute_collateral_value_floor(amount: uint256, spot: uint256, terms: parameters.AssetTerms) -> uint256:
    """
    @notice Quote units that collateral counts for.
    """
    return amount * spot * (constants.PPM - terms.haircut_ppm) // (constants.PPM * terms.units_per_lot)


@internal
@pure
def _get_quote(quotes: Quotes, underlying: uint256) -> Quote:
    """
    @notice The quote of one underlying; it was needed and was not missing.
    """
    for quote: Quote in quotes.quotes:
        if quote.underlying == underlying:
            return quote
    raise "quote"


# What moves


@internal
@pure
def _add_position(account: accounts.Account, instrument: uint256, quantity: int256) -> accounts.Account:
    """
    @notice The account with `quantity` signed lots more; a position of 0 disappears.
    """
    after: accounts.Account = account
    after.position_count = 0
    total: int256 = accounts._get_position(account, instrument) + quantity
    added: accounts.Position = accounts.Position(instrument=instrument, quantity=total)
    is_waiting: bool = total != 0
    for i: uint256 in range(account.position_count, bound=constants.POSITIONS_MAX):
        held: accounts.Position = account.positions[i]
        if is_waiting and held.instrument >= instrument:
            after.positions[after.position_count] = added
            after.position_count += 1
            is_waiting = False
        if held.instrument != instrument:
            after.positions[after.position_count] = held
            after.position_count += 1
    if is_waiting:
        after.positions[after.position_count] = added
        after.position_count += 1
    return after


@internal
@pure
def _add_balance(account: accounts.Account, asset: uint256, amount: int256) -> accounts.Account:
    """
    @notice The account with `amount` signed units more of an asset: cash for asset 0, else collateral, of which it
            holds enough; a collateral of 0 disappears.
    """
    after: accounts.Account = account
    if asset == 0:
        after.cash += amount
        return after
    after.collateral_count = 0
    total: uint256 = convert(convert(accounts._get_collateral(account, asset), int256) + amount, uint256)
    added: accounts.Collateral = accounts.Collateral(asset=asset, amount=total)
    is_waiting: bool = total != 0
    for i: uint256 in range(account.collateral_count, bound=constants.ASSETS_MAX):
        held: accounts.Collateral = account.collateral[i]
        if is_waiting and held.asset >= asset:
            after.collateral[after.collateral_count] = added
            after.collateral_count += 1
            is_waiting = False
        if held.asset != asset:
            after.collateral[after.collateral_count] = held
            after.collateral_count += 1
    if is_waiting:
        after.collateral[after.collateral_count] = added
        after.collateral_count += 1
    return after


@internal
@pure
def _is_within_caps(account: accounts.Account) -> bool:
    """
    @notice Whether a proof about this account stays within its budget, and its numbers within their fields.
    @dev Positions stand in order, and an instrument begins with underlying and expiry: equal ones are neighbours.
    """
    if abs(account.cash) > constants.CASH_MAX or account.position_count > constants.POSITIONS_MAX:
        return False
    underlying_count: uint256 = 0
    expiry_count: uint256 = 0
    last: uint256 = max_value(uint256)
    for i: uint256 in range(account.position_count, bound=accounts.POSITIONS_HELD_MAX):
        held: accounts.Position = account.positions[i]
        if abs(held.quantity) > convert(constants.QUANTITY_MAX, int256):
            return False
        underlying_count += convert(held.instrument >> 80 != last >> 80, uint256)
        expiry_count += convert(held.instrument >> 48 != last >> 48, uint256)
        last = held.instrument
    return (
        underlying_count <= constants.ACCOUNT_UNDERLYINGS_MAX
        and expiry_count <= constants.ACCOUNT_EXPIRIES_MAX
    )


# What may leave


@internal
@pure
def _needs_prices(account: accounts.Account, asset: uint256, amount: uint256) -> bool:
    """
    @notice Whether taking `amount` out of the account can be judged only with prices.
    """
    cash_after: int256 = account.cash
    if asset == 0:
        cash_after -= convert(amount, int256)
    return account.position_count > 0 or cash_after < 0


@internal
@pure
def _is_balance_covered(
    account: accounts.Account, asset: uint256, amount: uint256, quotes: Quotes, params: parameters.Params
) -> bool:
    """
    @notice Whether the account owns what it gives away: quote equity for asset 0, else that collateral.
    @param quotes None when prices are not needed
    """
    if quotes.is_missing:
        return False
    if asset != 0:
        return accounts._get_collateral(account, asset) >= amount
    bare: accounts.Account = account
    bare.collateral_count = 0
    return self._compute_account_margin(bare, quotes, params).quote_equity >= convert(amount, int256)


@internal
@pure
def _is_margin_kept(
    account: accounts.Account,
    asset: uint256,
    amount: uint256,
    quotes: Quotes,
    params: parameters.Params,
) -> bool:
    """
    @notice Whether the account still covers its initial margin after `amount` has left it.
    @param quotes None when prices are not needed
    """
    if not self._needs_prices(account, asset, amount):
        return True
    if quotes.is_missing or not self._is_fresh(account, quotes):
        return False
    if asset != 0 and accounts._get_collateral(account, asset) < amount:
        return False
    after: accounts.Account = self._add_balance(account, asset, -convert(amount, int256))
    margin: Margin = self._compute_account_margin(after, quotes, params)
    return margin.equity >= margin.initial


# Rounding: the EVM's division truncates towards zero.


@internal
@pure
def _floor_div(numerator: int256, denominator: int256) -> int256:
    """
    @notice Quotient rounded towards minus infinity; the denominator is positive.
    """
    if numerator >= 0:
        return numerator // denominator
    return -((denominator - 1 - numerator) // denominator)


@internal
@pure
def _ceil_div(numerator: uint256, denominator: uint256) -> uint256:
    """
    @notice Quotient rounded towards plus infinity; the denominator is positive.
    """
    return (numerator + denominator - 1) // denominator

# pragma version 0.4.3
"""
@title What funding, fees and moves make of an account
@notice The money rules of state/SPEC.md section 8 that need no margin; that is contracts/margin.vy. Cash is quote
        units, quantities lots, prices and indices quote units a lot; every rounding is in the name of its function.
@dev BOUNDS. Numbers come from leaves under a root: quantities up to 2**40, prices 2**44, indices 2**56, amounts 2**96,
     cash 2**112, parts per million and periods 2**32, times 2**64. No checked operation here can revert.
     Mirrors state/valuation.py.
"""
import accounts
import constants
import instruments
import params as parameters
import underlyings


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
def _roll_funding(
    underlying: underlyings.Underlying, reading: underlyings.Underlying, time: uint256, params: parameters.Params
) -> underlyings.Underlying:
    """
    @notice The reading of an underlying that stood as `underlying`, with what funding was owed until now.
    """
    after: underlyings.Underlying = reading
    after.funding_index = self._compute_funding_index_floor(underlying, time, params)
    after.index_time = time
    after.premium = self._compute_premium_clamped(reading.spot, reading.mark, params)
    return after


@internal
@pure
def _compute_fee_ceil(quantity: uint256, base: uint256, rate_ppm: uint256, l1_fee: uint256) -> uint256:
    """
    @notice Quote units that one side of a fill pays.
    """
    return self._ceil_div(quantity * base * rate_ppm, constants.PPM) + l1_fee


@internal
@pure
def _list_needed(
    account: accounts.Account, params: parameters.Params, params_leaf: Bytes[constants.LEAF_BYTES_MAX]
) -> uint256:
    """
    @notice The underlyings that the account's margin needs: bit u stands for underlying u.
            A fill adds the bit of the traded one.
    """
    needed: uint256 = 0
    for i: uint256 in range(account.position_count, bound=accounts.POSITIONS_HELD_MAX):
        needed |= 1 << instruments._get_underlying(account.positions[i].instrument)
    for i: uint256 in range(account.collateral_count, bound=constants.ASSETS_MAX):
        needed |= 1 << parameters._get_asset_terms(params_leaf, account.collateral[i].asset).underlying
    if params.peg_underlying != parameters.NO_UNDERLYING:
        needed |= 1 << params.peg_underlying
    return needed


# What moves


@internal
@pure
def _add_position(account: accounts.Account, instrument: uint256, quantity: int256) -> accounts.Account:
    """
    @notice The account with `quantity` signed lots more; a position of 0 disappears.
    """
    added: accounts.Position[constants.LEGS_MAX] = empty(accounts.Position[constants.LEGS_MAX])
    added[0] = accounts.Position(instrument=instrument, quantity=quantity)
    return self._add_positions(account, added, 1)


@internal
@pure
def _add_positions(
    account: accounts.Account, added: accounts.Position[constants.LEGS_MAX], added_count: uint256
) -> accounts.Account:
    """
    @notice The same of several instruments, ascending, in one pass.
    """
    after: accounts.Account = account
    after.position_count = 0
    next: uint256 = 0
    waiting: uint256 = added[0].instrument
    for i: uint256 in range(account.position_count, bound=accounts.POSITIONS_HELD_MAX):
        held: accounts.Position = account.positions[i]
        for j: uint256 in range(constants.LEGS_MAX):
            if waiting > held.instrument:
                break
            if waiting == held.instrument:
                held.quantity += added[next].quantity
            elif added[next].quantity != 0:
                after.positions[after.position_count] = added[next]
                after.position_count += 1
            next += 1
            waiting = added[next].instrument if next < added_count else max_value(uint256)
        if held.quantity != 0:
            after.positions[after.position_count] = held
            after.position_count += 1
    for j: uint256 in range(constants.LEGS_MAX):
        if next + j >= added_count:
            break
        if added[next + j].quantity != 0:
            after.positions[after.position_count] = added[next + j]
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

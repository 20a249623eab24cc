# pragma version 0.4.3
"""
@title What a fill makes of its two sides
@notice The rules of state/SPEC.md section 8 that a fill's checks and its effect share.
@dev BOUNDS. A decoded fill has a quantity up to 2**40 and a price within 2**44, ratios are at most 16 in four legs, a
     rate is below 2**32 and an index within 2**56. So notional, fee and cash change are below 2**124, cash is 2**112 at
     most, and nothing checked here can revert.
     Mirrors state/process_fill.py.
"""
import accounts
import constants
import instruments
import orders
import params as parameters
import underlyings
import valuation


@internal
@pure
def _is_buyer_maker(buy: orders.Order, sell: orders.Order) -> bool:
    """
    @notice The maker is the order that was accepted earlier.
    """
    return buy.accepted <= sell.accepted


@internal
@pure
def _compute_fee_base(order: orders.Order, price: int256, underlying: underlyings.Underlying) -> uint256:
    """
    @notice Quote units a lot that fees are a part of: the price where it is that of the whole thing, else spot.
    """
    if order.leg_count == 1 and instruments._get_kind(order.legs[0] >> 8) <= instruments.FUTURE:
        return convert(max(price, 0), uint256)
    ratios: int256 = 0
    for i: uint256 in range(order.leg_count, bound=constants.LEGS_MAX):
        ratios += abs(orders._get_ratio(order.legs[i]))
    return convert(ratios, uint256) * underlying.spot


@internal
@pure
def _compute_side_fee(
    is_buyer: bool,
    quantity: uint256,
    base: uint256,
    buy: orders.Order,
    sell: orders.Order,
    params: parameters.Params,
) -> uint256:
    """
    @notice Quote units that this side pays.
    """
    is_maker: bool = self._is_buyer_maker(buy, sell) == is_buyer
    rate_ppm: uint256 = params.maker_fee_ppm if is_maker else params.taker_fee_ppm
    return valuation._compute_fee_ceil(quantity, base, rate_ppm, params.l1_fee)


@internal
@pure
def _compute_account_after(
    is_buyer: bool,
    account: accounts.Account,
    fill: orders.Fill,
    order: orders.Order,
    funding_index: int256,
    fee: uint256,
) -> accounts.Account:
    """
    @notice Trades book their whole notional in cash, a perpetual's net of the funding index.
    """
    sign: int256 = 1 if is_buyer else -1
    quantity: int256 = sign * convert(fill.quantity, int256)
    price: int256 = fill.price
    traded: accounts.Position[constants.LEGS_MAX] = empty(accounts.Position[constants.LEGS_MAX])
    for i: uint256 in range(order.leg_count, bound=constants.LEGS_MAX):
        instrument: uint256 = order.legs[i] >> 8
        ratio: int256 = orders._get_ratio(order.legs[i])
        if instruments._get_kind(instrument) == instruments.PERPETUAL:
            price -= ratio * funding_index
        traded[i] = accounts.Position(instrument=instrument, quantity=quantity * ratio)
    after: accounts.Account = valuation._add_positions(account, traded, order.leg_count)
    after.cash -= quantity * price + convert(fee, int256)
    return after


@internal
@pure
def _count_long_change(account: accounts.Account, order: orders.Order, quantity: int256) -> int256:
    """
    @notice By how many lots an account gets longer, over all legs, by `quantity` signed lots of the order.
    """
    change: int256 = 0
    for i: uint256 in range(order.leg_count, bound=constants.LEGS_MAX):
        lots: int256 = accounts._get_position(account, order.legs[i] >> 8)
        change += max(0, lots + quantity * orders._get_ratio(order.legs[i])) - max(0, lots)
    return change

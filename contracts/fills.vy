# pragma version 0.4.3
"""
@title What a fill makes of its two sides
@notice The rules of state/SPEC.md section 8 that a fill's checks and its effect share.
@dev BOUNDS. A decoded fill has a quantity up to 2**40 and a price up to 2**44, a rate is below 2**32 and an index
     within 2**56. So notional and fee are below 2**98, cash is 2**112 at most, and nothing checked here can revert.
     Mirrors state/process_fill.py.
"""
import accounts
import orders
import params as parameters
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
def _compute_side_fee(
    is_buyer: bool, fill: orders.Fill, buy: orders.Order, sell: orders.Order, params: parameters.Params
) -> uint256:
    """
    @notice Quote units that this side pays.
    """
    is_maker: bool = self._is_buyer_maker(buy, sell) == is_buyer
    rate_ppm: uint256 = params.maker_fee_ppm if is_maker else params.taker_fee_ppm
    return valuation._compute_fee_ceil(fill.quantity, fill.price, rate_ppm, params.l1_fee)


@internal
@pure
def _compute_account_after(
    is_buyer: bool,
    account: accounts.Account,
    fill: orders.Fill,
    instrument: uint256,
    funding_index: int256,
    fee: uint256,
) -> accounts.Account:
    """
    @notice Trades book their whole notional in cash, net of the funding index.
    """
    sign: int256 = 1 if is_buyer else -1
    quantity: int256 = sign * convert(fill.quantity, int256)
    after: accounts.Account = valuation._add_position(account, instrument, quantity)
    after.cash -= quantity * (convert(fill.price, int256) - funding_index) + convert(fee, int256)
    return after

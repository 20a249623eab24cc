# pragma version 0.4.3
"""
@title Verifier of fills
@notice Whether a numbered check of a fill fails in the state before it (CHECK). The numbers, the rules and the order of
        reads are those of state/SPEC.md sections 6 and 8. The other ground, EFFECT, is handed to a contract of its own,
        contracts/verify_fill_effect.vy: one alone would be larger than EIP-170 allows.
@dev Answers true for fraud and false for what is not shown; reverts for a bad witness alone, whatever the op's bytes.
     BOUNDS. Beside those of fills.vy: a fee times PPM is below 2**118, notional times a fee limit below 2**104.
     Mirrors state/process_fill.py.
"""
import accounts
import constants
import context as contexts
import fills
import globals
import orders
import params as parameters
import underlyings
import valuation
import witness as witnesses

interface Verifier:
    def evaluate(
        context: contexts.Context,
        op: Bytes[constants.OP_BYTES_MAX],
        ground: uint256,
        check: uint256,
        witness: Bytes[constants.WITNESS_BYTES_MAX],
    ) -> bool: view

# The leaves that a check reads, and where the witness goes on behind them.
struct Leaves:
    state: globals.Globals
    params: parameters.Params
    buy: orders.Order
    sell: orders.Order
    account: accounts.Account  # of the side that the check is about
    underlying: underlyings.Underlying
    quotes: valuation.Quotes
    is_missing: bool  # a subject does not exist, so the check fails
    end: uint256

# Checks of SPEC.md section 6
MUST_DECODE: constant(uint256) = 0
POSITION_MUST_INCREASE: constant(uint256) = 1
MUST_NOT_BE_CANCEL_ONLY: constant(uint256) = 2
ACCOUNTS_MUST_DIFFER: constant(uint256) = 3
BUY_ORDER_MUST_BE_LIVE: constant(uint256) = 4
SELL_ORDER_MUST_BE_LIVE: constant(uint256) = 5
SIDES_MUST_OPPOSE: constant(uint256) = 6
COUNTERPARTY_MUST_MATCH: constant(uint256) = 7
PRICE_MUST_KEEP_LIMITS: constant(uint256) = 8
PRICE_MUST_BE_MAKERS: constant(uint256) = 9
QUANTITY_MUST_REMAIN: constant(uint256) = 10
TAKER_MUST_NOT_BE_POST_ONLY: constant(uint256) = 11
PRICE_MUST_BE_IN_BAND: constant(uint256) = 12
BUYER_MUST_REDUCE: constant(uint256) = 13
SELLER_MUST_REDUCE: constant(uint256) = 14
BUYER_FEE_MUST_KEEP_LIMIT: constant(uint256) = 15
SELLER_FEE_MUST_KEEP_LIMIT: constant(uint256) = 16
BUYER_MUST_FIT: constant(uint256) = 17
SELLER_MUST_FIT: constant(uint256) = 18
BUYER_MARGIN_MUST_HOLD: constant(uint256) = 19
SELLER_MARGIN_MUST_HOLD: constant(uint256) = 20
CHECKS: constant(uint256) = 21

# Reads of SPEC.md section 6, a row a check, as numbered above; each is a part of the one order G, P, B, S, A, U, Q.
G: constant(uint256) = 1
P: constant(uint256) = 2
B: constant(uint256) = 4  # O(buyer)
S: constant(uint256) = 8  # O(seller)
A: constant(uint256) = 16  # A(buyer) or A(seller)
U: constant(uint256) = 32  # U(instrument)
Q: constant(uint256) = 64  # U*
READS: constant(uint256[CHECKS]) = [
    0,
    G,
    G,
    0,
    G | B | A,
    G | S | A,
    B | S,
    B | S,
    B | S,
    B | S,
    B | S,
    B | S,
    G | P | B | U,
    B | A,
    S | A,
    G | P | B | S,
    G | P | B | S,
    G | P | B | S | A | U,
    G | P | B | S | A | U,
    G | P | B | S | A | Q,
    G | P | B | S | A | Q,
]

VERIFY_EFFECT: immutable(address)


@deploy
def __init__(verify_effect: address):
    """
    @param verify_effect The deployed contracts/verify_fill_effect.vy
    """
    assert verify_effect.is_contract, "effect"
    VERIFY_EFFECT = verify_effect


@external
@view
def evaluate(
    context: contexts.Context,
    op: Bytes[constants.OP_BYTES_MAX],
    ground: uint256,
    check: uint256,
    witness: Bytes[constants.WITNESS_BYTES_MAX],
) -> bool:
    """
    @notice Whether the ground convicts the step.
    @param op The disputed op; its first byte is fill
    @param check The number of the check within its kind; ignored for EFFECT
    """
    fill: orders.Fill = orders._decode_fill(op)
    header: contexts.Header = contexts._decode_header(context.header)
    if not (fill.decodes and contexts._may_stand(constants.FILL, context.step, header)):
        return ground == constants.CHECK and check == MUST_DECODE
    if ground == constants.EFFECT:
        return staticcall Verifier(VERIFY_EFFECT).evaluate(context, op, ground, check, witness)
    if ground != constants.CHECK or check == MUST_DECODE or check >= CHECKS:
        return False
    is_buyer: bool = not self._is_of_seller(check)
    leaves: Leaves = self._read_leaves(witness, context.pre_root, READS[check], fill, is_buyer)
    witnesses._finish(witness, leaves.end)
    return leaves.is_missing or not self._does_hold(header, fill, check, is_buyer, leaves)


@internal
@pure
def _is_of_seller(check: uint256) -> bool:
    """
    @notice Whether a check of one side is about the seller's.
    """
    return check in [
        SELL_ORDER_MUST_BE_LIVE,
        SELLER_MUST_REDUCE,
        SELLER_FEE_MUST_KEEP_LIMIT,
        SELLER_MUST_FIT,
        SELLER_MARGIN_MUST_HOLD,
    ]


@internal
@pure
def _does_hold(
    header: contexts.Header, fill: orders.Fill, check: uint256, is_buyer: bool, leaves: Leaves
) -> bool:
    """
    @notice Whether a check from 1 on holds; its leaves are there.
    """
    buy: orders.Order = leaves.buy
    sell: orders.Order = leaves.sell
    if check == POSITION_MUST_INCREASE:
        return contexts._is_position_next(leaves.state, header, fill.position)
    if check == MUST_NOT_BE_CANCEL_ONLY:
        return leaves.state.time >= leaves.state.cancel_only_until
    if check == ACCOUNTS_MUST_DIFFER:
        return fill.buyer != fill.seller
    if check == BUY_ORDER_MUST_BE_LIVE:
        return self._is_order_live(buy, leaves.account, leaves.state)
    if check == SELL_ORDER_MUST_BE_LIVE:
        return self._is_order_live(sell, leaves.account, leaves.state)
    if check == SIDES_MUST_OPPOSE:
        return (
            buy.flags & orders.SELL == 0 and sell.flags & orders.SELL != 0 and buy.instrument == sell.instrument
        )
    if check == COUNTERPARTY_MUST_MATCH:
        return (buy.counterparty == 0 or buy.counterparty == fill.seller) and (
            sell.counterparty == 0 or sell.counterparty == fill.buyer
        )
    if check == PRICE_MUST_KEEP_LIMITS:
        return sell.price <= fill.price and fill.price <= buy.price
    if check == PRICE_MUST_BE_MAKERS:
        return fill.price == (buy.price if fills._is_buyer_maker(buy, sell) else sell.price)
    if check == QUANTITY_MUST_REMAIN:
        return fill.quantity <= min(buy.remaining, sell.remaining)
    if check == TAKER_MUST_NOT_BE_POST_ONLY:
        taker_flags: uint256 = sell.flags if fills._is_buyer_maker(buy, sell) else buy.flags
        return taker_flags & orders.POST_ONLY == 0
    if check == PRICE_MUST_BE_IN_BAND:
        mark: uint256 = leaves.underlying.mark
        distance: uint256 = max(fill.price, mark) - min(fill.price, mark)
        return distance * constants.PPM <= mark * leaves.params.band_ppm
    if check == BUYER_MUST_REDUCE:
        return self._is_reducing(is_buyer, buy, leaves.account, fill.quantity)
    if check == SELLER_MUST_REDUCE:
        return self._is_reducing(is_buyer, sell, leaves.account, fill.quantity)
    fee: uint256 = fills._compute_side_fee(is_buyer, fill, buy, sell, leaves.params)
    if check == BUYER_FEE_MUST_KEEP_LIMIT:
        return fee * constants.PPM <= fill.quantity * fill.price * buy.max_fee_ppm
    if check == SELLER_FEE_MUST_KEEP_LIMIT:
        return fee * constants.PPM <= fill.quantity * fill.price * sell.max_fee_ppm
    if check == BUYER_MUST_FIT or check == SELLER_MUST_FIT:
        index: int256 = valuation._compute_funding_index_floor(leaves.underlying, leaves.state.time, leaves.params)
        return valuation._is_within_caps(
            fills._compute_account_after(is_buyer, leaves.account, fill, buy.instrument, index, fee)
        )
    # BUYER_MARGIN_MUST_HOLD, SELLER_MARGIN_MUST_HOLD
    return self._is_margin_held(is_buyer, fill, buy.instrument, fee, leaves)


@internal
@pure
def _is_order_live(order: orders.Order, account: accounts.Account, state: globals.Globals) -> bool:
    """
    @notice Whether something remains of the order and nothing has ended it.
    """
    return (
        order.remaining > 0
        and order.generation == state.generation
        and order.epoch == account.epoch
        and state.time <= order.valid_until
    )


@internal
@pure
def _is_reducing(
    is_buyer: bool, order: orders.Order, account: accounts.Account, quantity: uint256
) -> bool:
    """
    @notice Whether a reduce-only order only reduces.
    """
    position: int256 = accounts._get_position(account, order.instrument)
    held: int256 = -position if is_buyer else position
    return order.flags & orders.REDUCE_ONLY == 0 or held >= convert(quantity, int256)


@internal
@pure
def _is_margin_held(
    is_buyer: bool, fill: orders.Fill, instrument: uint256, fee: uint256, leaves: Leaves
) -> bool:
    """
    @notice Whether this side is margined after the trade, or at least less short of margin and smaller.
    """
    index: int256 = valuation._get_quote(leaves.quotes, orders._get_underlying(instrument)).funding_index
    after: accounts.Account = fills._compute_account_after(is_buyer, leaves.account, fill, instrument, index, fee)
    margin: valuation.Margin = valuation._compute_account_margin(after, leaves.quotes, leaves.params)
    if valuation._is_fresh(after, leaves.quotes) and margin.equity >= margin.initial:
        return True
    held: int256 = accounts._get_position(leaves.account, instrument)
    kept: int256 = accounts._get_position(after, instrument)
    if abs(kept) >= abs(held) or kept * held < 0:
        return False
    before: valuation.Margin = valuation._compute_account_margin(leaves.account, leaves.quotes, leaves.params)
    return margin.initial - margin.equity < before.initial - before.equity


@internal
@pure
def _read_leaves(
    witness: Bytes[constants.WITNESS_BYTES_MAX],
    root: bytes32,
    reads: uint256,
    fill: orders.Fill,
    is_buyer: bool,
) -> Leaves:
    """
    @notice The leaves that `reads` names, under `root`; reading stops at a subject that does not exist.
    """
    leaves: Leaves = empty(Leaves)
    leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    if reads & G != 0:
        leaf, leaves.end = witnesses._read(witness, 0, root, constants.GLOBALS, 0)
        leaves.state = globals._decode_globals(leaf)
    if reads & P != 0:
        leaf, leaves.end = witnesses._read(
            witness, leaves.end, root, constants.PARAMS, leaves.state.params_version
        )
        leaves.params = parameters._decode_params(leaf)
    buy_index: uint256 = orders._get_slot_index(fill.buyer, fill.buyer_slot)
    sell_index: uint256 = orders._get_slot_index(fill.seller, fill.seller_slot)
    if reads & B != 0:
        leaf, leaves.end = witnesses._read(witness, leaves.end, root, constants.ORDERS, buy_index)
        leaves.buy = orders._decode_order(leaf)
        leaves.is_missing = leaves.buy.leg_count == 0
        if leaves.is_missing:
            return leaves
    if reads & S != 0:
        # A witness gives each leaf once, also when an op names one slot for both sides.
        if sell_index != buy_index or reads & B == 0:
            leaf, leaves.end = witnesses._read(witness, leaves.end, root, constants.ORDERS, sell_index)
        leaves.sell = orders._decode_order(leaf)
        leaves.is_missing = leaves.sell.leg_count == 0
        if leaves.is_missing:
            return leaves
    if reads & A != 0:
        account: uint256 = fill.buyer if is_buyer else fill.seller
        leaf, leaves.end = witnesses._read(witness, leaves.end, root, constants.ACCOUNTS, account)
        leaves.is_missing = len(leaf) == 0
        if leaves.is_missing:
            return leaves
        leaves.account = accounts._decode_account(leaf)
    traded: uint256 = orders._get_underlying(leaves.buy.instrument)
    if reads & U != 0:
        leaf, leaves.end = witnesses._read(witness, leaves.end, root, constants.UNDERLYINGS, traded)
        leaves.is_missing = len(leaf) == 0
        if leaves.is_missing:
            return leaves
        leaves.underlying = underlyings._decode_underlying(leaf)
    if reads & Q != 0:
        needed: uint256 = valuation._list_needed(leaves.account, leaves.params) | (1 << traded)
        leaves.quotes = valuation._read_quotes(
            witness, leaves.end, root, needed, leaves.state.time, leaves.params
        )
        leaves.end = leaves.quotes.end
        leaves.is_missing = leaves.quotes.is_missing
    return leaves

# pragma version 0.4.3
"""
@title Verifier of fills
@notice Whether a numbered check of a fill fails in the state before it (CHECK). The numbers, the rules and the order of
        reads are those of state/SPEC.md sections 6 and 8. The other ground, EFFECT, is handed to a contract of its own,
        contracts/verify_fill_effect.vy: one alone would be larger than EIP-170 allows.
@dev Answers true for fraud and false for what is not shown; reverts for a bad witness alone, whatever the op's bytes.
     BOUNDS. Beside those of fills.vy: a fee times PPM is below 2**146, notional times a fee limit below 2**124.
     Mirrors state/process_fill.py.
"""
import accounts
import constants
import context as contexts
import entries
import fills
import globals
import instruments
import margins
import orders
import params as parameters
import underlyings
import valuation

initializes: margins

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
    params_leaf: Bytes[constants.LEAF_BYTES_MAX]
    buy: orders.Order
    sell: orders.Order
    account: accounts.Account  # of the side that the check is about
    account_leaf: Bytes[constants.LEAF_BYTES_MAX]
    other: accounts.Account  # of the seller, where a check is about both
    underlying: underlyings.Underlying
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
OPEN_INTEREST_MUST_FIT: constant(uint256) = 21
INSTRUMENTS_MUST_BE_LIVE: constant(uint256) = 22
CHECKS: constant(uint256) = 23

# Reads of SPEC.md section 6, a row a check, as numbered above; each is a part of the one order G, P, B, S, A, A2, U.
# The marks of the band and M* of the margin follow in the witness, and contracts/margin.vy reads them.
G: constant(uint256) = 1
P: constant(uint256) = 2
B: constant(uint256) = 4  # O(buyer)
S: constant(uint256) = 8  # O(seller)
A: constant(uint256) = 16  # A(buyer) or A(seller)
A2: constant(uint256) = 32  # A(seller) behind A(buyer)
U: constant(uint256) = 64  # U(instrument)
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
    G | P | B,
    B | A,
    S | A,
    G | P | B | S | U,
    G | P | B | S | U,
    G | P | B | S | A | U,
    G | P | B | S | A | U,
    G | P | B | S | A,
    G | P | B | S | A,
    G | P | B | A | A2 | U,
    G | B,
]

VERIFY_EFFECT: immutable(address)


@deploy
def __init__(verify_effect: address, margin: address):
    """
    @param verify_effect The deployed contracts/verify_fill_effect.vy
    @param margin The deployed contracts/margin.vy
    """
    assert verify_effect.is_contract, "effect"
    VERIFY_EFFECT = verify_effect
    margins.__init__(margin)


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
    witness_at: uint256 = entries._begin_witness()
    leaves: Leaves = self._read_leaves(witness_at, context.pre_root, READS[check], fill, is_buyer)
    if not leaves.is_missing:
        if check == PRICE_MUST_BE_IN_BAND:
            return not self._is_in_band(context.pre_root, fill, leaves, witness)
        if check == BUYER_MARGIN_MUST_HOLD or check == SELLER_MARGIN_MUST_HOLD:
            return not self._is_margin_held(context.pre_root, is_buyer, fill, leaves, witness)
    entries._finish(witness_at, leaves.end)
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
            buy.flags & orders.SELL == 0
            and sell.flags & orders.SELL != 0
            and keccak256(abi_encode(buy.legs)) == keccak256(abi_encode(sell.legs))
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
    if check == BUYER_MUST_REDUCE:
        return self._is_reducing(is_buyer, buy, leaves.account, fill.quantity)
    if check == SELLER_MUST_REDUCE:
        return self._is_reducing(is_buyer, sell, leaves.account, fill.quantity)
    if check == INSTRUMENTS_MUST_BE_LIVE:
        return self._are_instruments_live(buy, leaves.state.time)
    if check == OPEN_INTEREST_MUST_FIT:
        return self._does_open_interest_fit(fill, leaves)
    base: uint256 = fills._compute_fee_base(buy, fill.price, leaves.underlying)
    fee: uint256 = fills._compute_side_fee(is_buyer, fill.quantity, base, buy, sell, leaves.params)
    if check == BUYER_FEE_MUST_KEEP_LIMIT:
        return fee * constants.PPM <= fill.quantity * base * buy.max_fee_ppm
    if check == SELLER_FEE_MUST_KEEP_LIMIT:
        return fee * constants.PPM <= fill.quantity * base * sell.max_fee_ppm
    # BUYER_MUST_FIT, SELLER_MUST_FIT
    return valuation._is_within_caps(self._compute_after(is_buyer, fill, leaves))


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
    @notice Whether a reduce-only order only reduces, in every leg.
    """
    if order.flags & orders.REDUCE_ONLY == 0:
        return True
    sign: int256 = 1 if is_buyer else -1
    for i: uint256 in range(order.leg_count, bound=constants.LEGS_MAX):
        traded: int256 = sign * orders._get_ratio(order.legs[i]) * convert(quantity, int256)
        held: int256 = accounts._get_position(account, order.legs[i] >> 8)
        if held * traded >= 0 or abs(held) < abs(traded):
            return False
    return True


@internal
@pure
def _are_instruments_live(order: orders.Order, time: uint256) -> bool:
    """
    @notice Whether nothing of what is traded has expired.
    """
    for i: uint256 in range(order.leg_count, bound=constants.LEGS_MAX):
        expiry: uint256 = instruments._get_expiry(order.legs[i] >> 8)
        if expiry != 0 and time >= expiry:
            return False
    return True


@internal
@pure
def _does_open_interest_fit(fill: orders.Fill, leaves: Leaves) -> bool:
    """
    @notice Whether what is held of the underlying stays within its bound, or at least does not grow.
    """
    terms: parameters.UnderlyingTerms = parameters._get_underlying_terms(
        leaves.params_leaf, leaves.params, orders._get_underlying(leaves.buy)
    )
    quantity: int256 = convert(fill.quantity, int256)
    change: int256 = fills._count_long_change(leaves.account, leaves.buy, quantity)
    change += fills._count_long_change(leaves.other, leaves.buy, -quantity)
    after: int256 = convert(leaves.underlying.open_interest, int256) + change
    return change <= 0 or after <= convert(terms.open_interest_max, int256)


@internal
@view
def _is_in_band(
    root: bytes32, fill: orders.Fill, leaves: Leaves, witness: Bytes[constants.WITNESS_BYTES_MAX]
) -> bool:
    """
    @notice Whether the price is near the marks of what is traded, by the size of the underlying.
    """
    traded: DynArray[uint256, constants.LEGS_MAX] = []
    for i: uint256 in range(leaves.buy.leg_count, bound=constants.LEGS_MAX):
        traded.append(leaves.buy.legs[i] >> 8)
    found: margins.Marks = margins._compute_marks(witness, leaves.end, leaves.state.time, traded)
    assert found.root == root, "root"
    entries._finish(entries._begin_witness(), found.end)
    if found.is_missing:
        return False
    distance: int256 = fill.price
    size: uint256 = 0
    for i: uint256 in range(leaves.buy.leg_count, bound=constants.LEGS_MAX):
        ratio: int256 = orders._get_ratio(leaves.buy.legs[i])
        distance -= ratio * convert(found.marks[i], int256)
        size += convert(abs(ratio), uint256) * found.underlying_mark
    return convert(abs(distance), uint256) * constants.PPM <= size * leaves.params.band_ppm


@internal
@view
def _is_margin_held(
    root: bytes32,
    is_buyer: bool,
    fill: orders.Fill,
    leaves: Leaves,
    witness: Bytes[constants.WITNESS_BYTES_MAX],
) -> bool:
    """
    @notice Whether this side is margined after the trade, or smaller in each leg and less short of margin than it was
            in the scenarios that the op names. Those of the account before are for the op to choose: of any others that
            a witness exhibits nothing follows.
    """
    known: Leaves = leaves
    known.underlying = self._peek_traded(leaves)
    after: accounts.Account = self._compute_after(is_buyer, fill, known)
    # Encoded first: a call among the arguments would have the witness copied once more.
    after_leaf: Bytes[constants.LEAF_BYTES_MAX] = accounts._encode_account(after)
    found: margins.Found = margins._compute(
        witness,
        leaves.end,
        leaves.state.time,
        leaves.state.params_version,
        leaves.params_leaf,
        leaves.account_leaf,
        after_leaf,
        True,
    )
    assert found.root == root, "root"
    entries._finish(entries._begin_witness(), found.end)
    if found.is_missing:
        return False
    if found.is_fresh and found.after.initial >= 0:
        return True
    for i: uint256 in range(leaves.buy.leg_count, bound=constants.LEGS_MAX):
        held: int256 = accounts._get_position(leaves.account, leaves.buy.legs[i] >> 8)
        kept: int256 = accounts._get_position(after, leaves.buy.legs[i] >> 8)
        if abs(kept) >= abs(held) or kept * held < 0:
            return False
    active: uint256 = fill.buyer_active if is_buyer else fill.seller_active
    return found.exhibit.before != active or found.after.initial > found.before.initial


@internal
@view
def _peek_traded(leaves: Leaves) -> underlyings.Underlying:
    """
    @notice The traded underlying out of M*, where it stands behind the exhibit, the rules and all lower ones; NOT
            authenticated. All zeros when an underlying is missing: then nothing else is asked of the account after.
    """
    traded: uint256 = orders._get_underlying(leaves.buy)
    needed: uint256 = valuation._list_needed(leaves.account, leaves.params, leaves.params_leaf)
    leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    next: uint256 = 0
    witness_at: uint256 = entries._begin_witness()
    leaf, next = entries._peek(witness_at, leaves.end + margins.EXHIBIT_BYTES)
    for u: uint256 in range(constants.UNDERLYINGS_MAX):
        if u != traded and (needed >> u) & 1 == 0:
            continue
        leaf, next = entries._peek(witness_at, next)
        if len(leaf) == 0:
            break
        if u == traded:
            return underlyings._decode_underlying(leaf)
    return empty(underlyings.Underlying)


@internal
@pure
def _compute_after(is_buyer: bool, fill: orders.Fill, leaves: Leaves) -> accounts.Account:
    """
    @notice This side's account after the fill.
    """
    base: uint256 = fills._compute_fee_base(leaves.buy, fill.price, leaves.underlying)
    fee: uint256 = fills._compute_side_fee(is_buyer, fill.quantity, base, leaves.buy, leaves.sell, leaves.params)
    index: int256 = valuation._compute_funding_index_floor(leaves.underlying, leaves.state.time, leaves.params)
    return fills._compute_account_after(is_buyer, leaves.account, fill, leaves.buy, index, fee)


@internal
@view
def _read_leaves(
    witness: uint256,
    root: bytes32,
    reads: uint256,
    fill: orders.Fill,
    is_buyer: bool,
) -> Leaves:
    """
    @notice The leaves that `reads` names, under `root`; reading stops at a subject that does not exist.
    @param witness Where it begins in the calldata
    """
    leaves: Leaves = empty(Leaves)
    leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    if reads & G != 0:
        leaf, leaves.end = entries._read(witness, 0, root, constants.GLOBALS, 0)
        leaves.state = globals._decode_globals(leaf)
    if reads & P != 0:
        leaves.params_leaf, leaves.end = entries._read(
            witness, leaves.end, root, constants.PARAMS, leaves.state.params_version
        )
        leaves.params = parameters._decode_params(leaves.params_leaf)
    buy_index: uint256 = orders._get_slot_index(fill.buyer, fill.buyer_slot)
    sell_index: uint256 = orders._get_slot_index(fill.seller, fill.seller_slot)
    if reads & B != 0:
        leaf, leaves.end = entries._read(witness, leaves.end, root, constants.ORDERS, buy_index)
        leaves.buy = orders._decode_order(leaf)
        leaves.is_missing = leaves.buy.leg_count == 0
        if leaves.is_missing:
            return leaves
    if reads & S != 0:
        # A witness gives each leaf once, also when an op names one slot for both sides.
        if sell_index != buy_index or reads & B == 0:
            leaf, leaves.end = entries._read(witness, leaves.end, root, constants.ORDERS, sell_index)
        leaves.sell = orders._decode_order(leaf)
        leaves.is_missing = leaves.sell.leg_count == 0
        if leaves.is_missing:
            return leaves
    if reads & A != 0:
        account: uint256 = fill.buyer if is_buyer else fill.seller
        leaf, leaves.end = entries._read(witness, leaves.end, root, constants.ACCOUNTS, account)
        leaves.is_missing = len(leaf) == 0
        if leaves.is_missing:
            return leaves
        leaves.account = accounts._decode_account(leaf)
        leaves.account_leaf = leaf
    if reads & A2 != 0:
        # As with the slots: an op may name one account twice.
        if fill.seller != fill.buyer:
            leaf, leaves.end = entries._read(witness, leaves.end, root, constants.ACCOUNTS, fill.seller)
        leaves.is_missing = len(leaf) == 0
        if leaves.is_missing:
            return leaves
        leaves.other = accounts._decode_account(leaf)
    if reads & U != 0:
        traded: uint256 = orders._get_underlying(leaves.buy)
        leaf, leaves.end = entries._read(witness, leaves.end, root, constants.UNDERLYINGS, traded)
        leaves.is_missing = len(leaf) == 0
        if leaves.is_missing:
            return leaves
        leaves.underlying = underlyings._decode_underlying(leaf)
    return leaves

# pragma version 0.4.3
"""
@title Orders: the leaf of an order slot, and the ops that register, cancel and fill orders
@notice state/SPEC.md sections 3 and 5. Decoding an op is total: `decodes` is false for any bytes that are not exactly
        one well-formed op, and then the other fields mean nothing; a decoded op is within every bound that can be
        read off its bytes, so no caller needs to ask again.

        A leg is its thirteen bytes as one number: the instrument, and in the lowest byte the ratio. Legs that are not
        there are 0.
@dev Mirrors Order of state/leaves.py, and OrderOp, Cancel and Fill of state/operations.py.
"""
import constants
import fields
import instruments
import operations

ORDER_HEAD_BYTES: constant(uint256) = 73  # up to the legs
CANCEL_OP_BYTES: constant(uint256) = 92
FILL_OP_BYTES: constant(uint256) = 37
FILL_ACTIVE_BYTES: constant(uint256) = 16  # behind those, where scenarios are named

# Where the signed part of an op begins and ends; behind it stand key_index and signature. An order's ends with its
# legs.
ORDER_SIGNED_AT: constant(uint256) = 17
CANCEL_SIGNED_AT: constant(uint256) = 9
CANCEL_SIGNED_END: constant(uint256) = 27
SIGNED_TAIL_BYTES: constant(uint256) = 65

# A leaf with all legs, and without legs, as a cancel leaves it.
BYTES: constant(uint256) = BARE_BYTES + LEG_BYTES * constants.LEGS_MAX
BARE_BYTES: constant(uint256) = 58
LEG_BYTES: constant(uint256) = 13

SELL: constant(uint256) = 1
REDUCE_ONLY: constant(uint256) = 2
POST_ONLY: constant(uint256) = 4
FLAGS_END: constant(uint256) = 8

struct Order:
    counter: uint256
    accepted: uint256
    generation: uint256
    epoch: uint256
    valid_until: uint256
    flags: uint256
    price: int256
    remaining: uint256
    max_fee_ppm: uint256
    counterparty: uint256
    leg_count: uint256
    legs: uint256[constants.LEGS_MAX]

struct OrderOp:
    decodes: bool
    position: uint256
    account: uint256
    slot: uint256
    order: Order  # as its slot will hold it
    signed_end: uint256
    key_index: uint256

struct Cancel:
    decodes: bool
    position: uint256
    account: uint256
    slot: uint256
    counter: uint256
    generation: uint256
    key_index: uint256

struct Fill:
    decodes: bool
    position: uint256
    buyer: uint256
    buyer_slot: uint256
    seller: uint256
    seller_slot: uint256
    price: int256
    quantity: uint256
    buyer_active: uint256  # the scenarios that it names for each side, eight bytes; 0 where it has none
    seller_active: uint256


@internal
@pure
def _decode_order(leaf: Bytes[constants.LEAF_BYTES_MAX]) -> Order:
    """
    @notice The order of a leaf, all zeros for a slot that was never used.
    """
    if len(leaf) == 0:
        return empty(Order)
    order: Order = Order(
        counter=fields._uint(leaf, 0, 8),
        accepted=fields._uint(leaf, 8, 8),
        generation=fields._uint(leaf, 16, 4),
        epoch=fields._uint(leaf, 20, 4),
        valid_until=fields._uint(leaf, 24, 8),
        flags=fields._uint(leaf, 32, 1),
        price=fields._int(leaf, 33, 8),
        remaining=fields._uint(leaf, 41, 8),
        max_fee_ppm=fields._uint(leaf, 49, 4),
        counterparty=fields._uint(leaf, 53, 4),
        leg_count=fields._uint(leaf, 57, 1),
        legs=empty(uint256[constants.LEGS_MAX]),
    )
    for i: uint256 in range(order.leg_count, bound=constants.LEGS_MAX):
        order.legs[i] = fields._uint(leaf, BARE_BYTES + LEG_BYTES * i, LEG_BYTES)
    return order


@internal
@pure
def _encode_order(order: Order) -> Bytes[BYTES]:
    """
    @notice The bytes of the leaf.
    """
    leaf: Bytes[BYTES] = concat(
        fields._u64(order.counter),
        fields._u64(order.accepted),
        fields._u32(order.generation),
        fields._u32(order.epoch),
        fields._u64(order.valid_until),
        fields._u8(order.flags),
        fields._i64(order.price),
        fields._u64(order.remaining),
        fields._u32(order.max_fee_ppm),
        fields._u32(order.counterparty),
        fields._u8(order.leg_count),
    )
    for i: uint256 in range(order.leg_count, bound=constants.LEGS_MAX):
        leg: bytes13 = convert(convert(order.legs[i], uint104), bytes13)
        leaf = convert(concat(leaf, leg), Bytes[BYTES])
    return leaf


@internal
@pure
def _get_slot_index(account: uint256, slot: uint256) -> uint256:
    """
    @notice Where the leaf of a slot stands in its collection.
    """
    return account * constants.SLOTS_PER_ACCOUNT + slot


@internal
@pure
def _get_underlying(order: Order) -> uint256:
    """
    @notice The one underlying of an order's legs; it has a leg.
    """
    return order.legs[0] >> 88


@internal
@pure
def _get_ratio(leg: uint256) -> int256:
    """
    @notice Lots of a leg that a buyer of one lot of the order gets.
    """
    return fields._signed(leg, 8)


@internal
@pure
def _decode_order_op(op: Bytes[constants.OP_BYTES_MAX]) -> OrderOp:
    """
    @notice The op, if the bytes are one.
    """
    leg_count: uint256 = (len(op) - min(len(op), ORDER_HEAD_BYTES + SIGNED_TAIL_BYTES)) // LEG_BYTES
    if leg_count == 0 or leg_count > constants.LEGS_MAX:
        return empty(OrderOp)
    if len(op) != ORDER_HEAD_BYTES + LEG_BYTES * leg_count + SIGNED_TAIL_BYTES or fields._uint(op, 72, 1) != leg_count:
        return empty(OrderOp)
    # From `generation` to the legs an op is laid out as the leaf: `size` stands where `remaining` will.
    order: Order = self._decode_order(concat(slice(op, 23, 8), slice(op, 9, 8), slice(op, 31, len(op) - 96)))
    signed_end: uint256 = len(op) - SIGNED_TAIL_BYTES
    order_op: OrderOp = OrderOp(
        decodes=False,
        position=fields._uint(op, 1, 8),
        account=fields._uint(op, 17, 4),
        slot=fields._uint(op, 21, 2),
        order=order,
        signed_end=signed_end,
        key_index=fields._uint(op, signed_end, 1),
    )
    order_op.decodes = (
        operations._is_account(order_op.account)
        and order_op.slot < constants.SLOTS_PER_ACCOUNT
        and order.counter >= 1
        and order.flags < FLAGS_END
        and self._is_price(order.price)
        and (order.price >= 1 or leg_count > 1)
        and self._is_quantity(order.remaining)
        and order.max_fee_ppm <= constants.FEE_PPM_MAX
        and order.counterparty < constants.ACCOUNTS_MAX
        and self._are_legs_canonical(order)
        and order_op.key_index < constants.KEYS_MAX
    )
    return order_op


@internal
@pure
def _are_legs_canonical(order: Order) -> bool:
    """
    @notice Whether no other legs say the same: one underlying, ascending instruments, the first ratio positive, and
            no common divisor; of one leg that leaves the ratio 1.
    """
    last: uint256 = 0
    divisor: uint256 = 0
    for i: uint256 in range(order.leg_count, bound=constants.LEGS_MAX):
        leg: uint256 = order.legs[i]
        instrument: uint256 = leg >> 8
        ratio: int256 = self._get_ratio(leg)
        is_behind: bool = ratio > 0 if i == 0 else instrument > last
        if not (is_behind and instruments._is_instrument(instrument) and leg >> 88 == self._get_underlying(order)):
            return False
        if ratio == 0 or abs(ratio) > convert(constants.RATIO_MAX, int256):
            return False
        divisor = self._compute_divisor(convert(abs(ratio), uint256), divisor)
        last = instrument
    return divisor == 1


@internal
@pure
def _compute_divisor(ratio: uint256, divisor: uint256) -> uint256:
    """
    @notice The greatest common divisor of two ratios, each at most RATIO_MAX; the first is not 0.
    """
    a: uint256 = ratio
    b: uint256 = divisor
    for i: uint256 in range(constants.RATIO_MAX):
        if b == 0:
            break
        rest: uint256 = a % b
        a = b
        b = rest
    return a


@internal
@pure
def _decode_cancel(op: Bytes[constants.OP_BYTES_MAX]) -> Cancel:
    """
    @notice The op, if the bytes are one.
    """
    if len(op) != CANCEL_OP_BYTES:
        return empty(Cancel)
    cancel: Cancel = Cancel(
        decodes=False,
        position=fields._uint(op, 1, 8),
        account=fields._uint(op, 9, 4),
        slot=fields._uint(op, 13, 2),
        counter=fields._uint(op, 15, 8),
        generation=fields._uint(op, 23, 4),
        key_index=fields._uint(op, 27, 1),
    )
    cancel.decodes = (
        operations._is_account(cancel.account)
        and cancel.slot < constants.SLOTS_PER_ACCOUNT
        and cancel.counter >= 1
        and cancel.key_index < constants.KEYS_MAX
    )
    return cancel


@internal
@pure
def _decode_fill(op: Bytes[constants.OP_BYTES_MAX]) -> Fill:
    """
    @notice The op, if the bytes are one.
    """
    active: uint256 = 0
    if len(op) == FILL_OP_BYTES + FILL_ACTIVE_BYTES:
        active = fields._uint(op, FILL_OP_BYTES, FILL_ACTIVE_BYTES)
    # Where nothing is named nothing stands there: else one fill could be said twice.
    if len(op) != FILL_OP_BYTES and active == 0:
        return empty(Fill)
    fill: Fill = Fill(
        decodes=False,
        position=fields._uint(op, 1, 8),
        buyer=fields._uint(op, 9, 4),
        buyer_slot=fields._uint(op, 13, 2),
        seller=fields._uint(op, 15, 4),
        seller_slot=fields._uint(op, 19, 2),
        price=fields._int(op, 21, 8),
        quantity=fields._uint(op, 29, 8),
        buyer_active=active >> 64,
        seller_active=active & (2**64 - 1),
    )
    fill.decodes = (
        operations._is_account(fill.buyer)
        and fill.buyer_slot < constants.SLOTS_PER_ACCOUNT
        and operations._is_account(fill.seller)
        and fill.seller_slot < constants.SLOTS_PER_ACCOUNT
        and self._is_price(fill.price)
        and self._is_quantity(fill.quantity)
    )
    return fill


@internal
@pure
def _is_price(price: int256) -> bool:
    """
    @notice Whether some order may have this price; that of one leg is positive besides.
    """
    return abs(price) < convert(constants.PRICE_MAX, int256)


@internal
@pure
def _is_quantity(quantity: uint256) -> bool:
    return 1 <= quantity and quantity <= constants.QUANTITY_MAX

# pragma version 0.4.3
"""
@title Orders: the leaf of an order slot, and the ops that register, cancel and fill orders
@notice state/SPEC.md sections 3 and 5. Decoding an op is total: `decodes` is false for any bytes that are not exactly
        one well-formed op, and then the other fields mean nothing; a decoded op is within every bound that can be
        read off its bytes, so no caller needs to ask again.

        An instrument is its twelve bytes as one number, underlying first.
@dev Mirrors Order of state/leaves.py, and OrderOp, Cancel and Fill of state/operations.py. Prices are i64 there; here
     they are read unsigned, which puts every negative one above PRICE_MAX.
"""
import constants
import fields
import operations

ORDER_OP_BYTES: constant(uint256) = 151
CANCEL_OP_BYTES: constant(uint256) = 92
FILL_OP_BYTES: constant(uint256) = 37

# Where the signed part of an op begins and ends; behind it stand key_index and signature.
ORDER_SIGNED_AT: constant(uint256) = 17
ORDER_SIGNED_END: constant(uint256) = 86
CANCEL_SIGNED_AT: constant(uint256) = 9
CANCEL_SIGNED_END: constant(uint256) = 27

# A leaf with one leg, and without legs, as a cancel leaves it.
BYTES: constant(uint256) = 71
BARE_BYTES: constant(uint256) = 58

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
    price: uint256
    remaining: uint256
    max_fee_ppm: uint256
    counterparty: uint256
    leg_count: uint256
    instrument: uint256  # of the one leg, whose ratio is 1

struct OrderOp:
    decodes: bool
    position: uint256
    account: uint256
    slot: uint256
    order: Order  # as its slot will hold it
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
    price: uint256
    quantity: uint256


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
        price=fields._uint(leaf, 33, 8),
        remaining=fields._uint(leaf, 41, 8),
        max_fee_ppm=fields._uint(leaf, 49, 4),
        counterparty=fields._uint(leaf, 53, 4),
        leg_count=fields._uint(leaf, 57, 1),
        instrument=0,
    )
    if order.leg_count == 1:
        order.instrument = fields._uint(leaf, 58, 12)
    return order


@internal
@pure
def _encode_order(order: Order) -> Bytes[BYTES]:
    """
    @notice The bytes of the leaf.
    """
    head: Bytes[BARE_BYTES] = concat(
        fields._u64(order.counter),
        fields._u64(order.accepted),
        fields._u32(order.generation),
        fields._u32(order.epoch),
        fields._u64(order.valid_until),
        fields._u8(order.flags),
        fields._u64(order.price),
        fields._u64(order.remaining),
        fields._u32(order.max_fee_ppm),
        fields._u32(order.counterparty),
        fields._u8(order.leg_count),
    )
    if order.leg_count == 0:
        return head
    return concat(head, convert(convert(order.instrument, uint96), bytes12), fields._u8(1))


@internal
@pure
def _get_slot_index(account: uint256, slot: uint256) -> uint256:
    """
    @notice Where the leaf of a slot stands in its collection.
    """
    return account * constants.SLOTS_PER_ACCOUNT + slot


@internal
@pure
def _get_underlying(instrument: uint256) -> uint256:
    """
    @notice The underlying of an instrument.
    """
    return instrument >> 80


@internal
@pure
def _decode_order_op(op: Bytes[constants.OP_BYTES_MAX]) -> OrderOp:
    """
    @notice The op, if the bytes are one.
    """
    if len(op) != ORDER_OP_BYTES:
        return empty(OrderOp)
    # From `generation` to the legs an op is laid out as the leaf: `size` stands where `remaining` will.
    order: Order = self._decode_order(concat(slice(op, 23, 8), slice(op, 9, 8), slice(op, 31, 55)))
    order_op: OrderOp = OrderOp(
        decodes=False,
        position=fields._uint(op, 1, 8),
        account=fields._uint(op, 17, 4),
        slot=fields._uint(op, 21, 2),
        order=order,
        key_index=fields._uint(op, 86, 1),
    )
    order_op.decodes = (
        operations._is_account(order_op.account)
        and order_op.slot < constants.SLOTS_PER_ACCOUNT
        and order.counter >= 1
        and order.flags < FLAGS_END
        and self._is_price(order.price)
        and self._is_quantity(order.remaining)
        and order.max_fee_ppm <= constants.FEE_PPM_MAX
        and order.counterparty < constants.ACCOUNTS_MAX
        and order.leg_count == 1
        and fields._uint(op, 85, 1) == 1  # ratio
        and self._get_underlying(order.instrument) < constants.UNDERLYINGS_MAX
        and order.instrument % 2**80 == 0  # expiry, kind and strike
        and order_op.key_index < constants.KEYS_MAX
    )
    return order_op


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
    if len(op) != FILL_OP_BYTES:
        return empty(Fill)
    fill: Fill = Fill(
        decodes=False,
        position=fields._uint(op, 1, 8),
        buyer=fields._uint(op, 9, 4),
        buyer_slot=fields._uint(op, 13, 2),
        seller=fields._uint(op, 15, 4),
        seller_slot=fields._uint(op, 19, 2),
        price=fields._uint(op, 21, 8),
        quantity=fields._uint(op, 29, 8),
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
def _is_price(price: uint256) -> bool:
    return 1 <= price and price <= constants.PRICE_MAX


@internal
@pure
def _is_quantity(quantity: uint256) -> bool:
    return 1 <= quantity and quantity <= constants.QUANTITY_MAX

# pragma version 0.4.3
"""
@title Verifier of order and cancel
@notice Judges one ground against one step: whether a numbered check of its op fails in the state before it (CHECK), or
        whether the root after it, if the op were valid, is another than the claimed one (EFFECT). The numbers, the
        rules and the order of reads are those of state/SPEC.md sections 6 and 7.
@dev Answers true for fraud and false for what is not shown; reverts for a bad witness alone, whatever the op's bytes.
     Mirrors state/process_market.py.
"""
import accounts
import constants
import context as contexts
import globals
import instruments
import operations
import orders
import signatures
import witness as witnesses

initializes: signatures

# The leaves that a check reads, and where the witness goes on behind them.
struct Leaves:
    state: globals.Globals
    account: accounts.Account
    has_order: bool
    order: orders.Order
    is_missing: bool  # the account does not exist, so the check fails
    end: uint256

# Checks of SPEC.md section 6, by their number within a kind
MUST_DECODE: constant(uint256) = 0
ORDER_POSITION_MUST_INCREASE: constant(uint256) = 1
ORDER_ACCEPTED_MUST_NOT_FOLLOW: constant(uint256) = 2
ORDER_ACCOUNT_MUST_EXIST: constant(uint256) = 3
ORDER_GENERATION_MUST_MATCH: constant(uint256) = 4
ORDER_MUST_NOT_BE_CANCEL_ONLY: constant(uint256) = 5
ORDER_EPOCH_MUST_MATCH: constant(uint256) = 6
ORDER_MUST_NOT_BE_EXPIRED: constant(uint256) = 7
ORDER_INSTRUMENT_MUST_BE_LISTED: constant(uint256) = 8
ORDER_COUNTER_MUST_RISE: constant(uint256) = 9
ORDER_KEY_MUST_BE_LIVE: constant(uint256) = 10
ORDER_SIGNATURE_MUST_VERIFY: constant(uint256) = 11
ORDER_CHECKS: constant(uint256) = 12

CANCEL_POSITION_MUST_INCREASE: constant(uint256) = 1
CANCEL_ACCOUNT_MUST_EXIST: constant(uint256) = 2
CANCEL_GENERATION_MUST_MATCH: constant(uint256) = 3
CANCEL_COUNTER_MUST_RISE: constant(uint256) = 4
CANCEL_KEY_MUST_BE_LIVE: constant(uint256) = 5
CANCEL_SIGNATURE_MUST_VERIFY: constant(uint256) = 6
CANCEL_CHECKS: constant(uint256) = 7

# Reads of SPEC.md section 6, a row a kind and a column a check. Every one is a part of the same order G, A, O; the
# expiries of an order's legs follow where they are asked for.
G: constant(uint256) = 1
A: constant(uint256) = 2
O: constant(uint256) = 4
ORDER_READS: constant(uint256[ORDER_CHECKS]) = [0, G, 0, A, G, G, A, G, G, O, G | A, A]
CANCEL_READS: constant(uint256[CANCEL_CHECKS]) = [0, G, A, G, O, G | A, A]


@deploy
def __init__(ed25519: address):
    """
    @param ed25519 The deployed contracts/ed25519.vy
    """
    signatures.__init__(ed25519)


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
    @param op The disputed op; its first byte is order or cancel
    @param check The number of the check within its kind; ignored for EFFECT
    """
    kind: uint256 = operations._get_kind(op)
    header: contexts.Header = contexts._decode_header(context.header)
    if kind == constants.ORDER:
        return self._judge_order(context, header, op, ground, check, witness)
    if kind == constants.CANCEL:
        return self._judge_cancel(context, header, op, ground, check, witness)
    return False


# order


@internal
@view
def _judge_order(
    context: contexts.Context,
    header: contexts.Header,
    op: Bytes[constants.OP_BYTES_MAX],
    ground: uint256,
    check: uint256,
    witness: Bytes[constants.WITNESS_BYTES_MAX],
) -> bool:
    order_op: orders.OrderOp = orders._decode_order_op(op)
    if not (order_op.decodes and contexts._may_stand(constants.ORDER, context.step, header)):
        return ground == constants.CHECK and check == MUST_DECODE
    if ground == constants.EFFECT:
        # EFFECTS: the order in its slot, whole
        return self._is_slot_effect_wrong(
            context, order_op.position, order_op.account, order_op.slot, order_op.order, witness
        )
    if ground != constants.CHECK or check == MUST_DECODE or check >= ORDER_CHECKS:
        return False
    leaves: Leaves = self._read_leaves(
        witness,
        context.pre_root,
        ORDER_READS[check],
        order_op.account,
        order_op.slot,
    )
    if check == ORDER_SIGNATURE_MUST_VERIFY and not leaves.is_missing:
        return self._is_signature_invalid(
            context.domain,
            op,
            orders.ORDER_SIGNED_AT,
            order_op.signed_end,
            leaves.account,
            order_op.key_index,
            witness,
            leaves.end,
        )
    if check == ORDER_INSTRUMENT_MUST_BE_LISTED:
        return not self._are_legs_listed(context.pre_root, order_op.order, leaves, witness)
    witnesses._finish(witness, leaves.end)
    return leaves.is_missing or not self._does_order_hold(header, order_op, check, leaves)


@internal
@pure
def _does_order_hold(
    header: contexts.Header, order_op: orders.OrderOp, check: uint256, leaves: Leaves
) -> bool:
    """
    @notice Whether a check from 1 to 10, but for that of its instruments, holds; its leaves are there.
    """
    state: globals.Globals = leaves.state
    order: orders.Order = order_op.order
    if check == ORDER_POSITION_MUST_INCREASE:
        return contexts._is_position_next(state, header, order_op.position)
    if check == ORDER_ACCEPTED_MUST_NOT_FOLLOW:
        return order.accepted <= order_op.position
    if check == ORDER_ACCOUNT_MUST_EXIST:
        return True
    if check == ORDER_GENERATION_MUST_MATCH:
        return order.generation == state.generation
    if check == ORDER_MUST_NOT_BE_CANCEL_ONLY:
        return state.time >= state.cancel_only_until
    if check == ORDER_EPOCH_MUST_MATCH:
        return order.epoch == leaves.account.epoch
    if check == ORDER_MUST_NOT_BE_EXPIRED:
        return state.time <= order.valid_until
    if check == ORDER_COUNTER_MUST_RISE:
        return not leaves.has_order or order.counter > leaves.order.counter
    # ORDER_KEY_MUST_BE_LIVE
    return contexts._is_key_live(leaves.account, order_op.key_index, accounts.SCOPE_TRADE, state.time)


@internal
@pure
def _are_legs_listed(
    root: bytes32, order: orders.Order, leaves: Leaves, witness: Bytes[constants.WITNESS_BYTES_MAX]
) -> bool:
    """
    @notice Whether the underlying is listed, and every expiry, which has not come yet. Legs ascend, so expiries do.
    """
    underlying: uint256 = orders._get_underlying(order)
    is_listed: bool = underlying < leaves.state.underlying_count
    leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    end: uint256 = leaves.end
    last: uint256 = 0
    for i: uint256 in range(order.leg_count, bound=constants.LEGS_MAX):
        expiry: uint256 = instruments._get_expiry(order.legs[i] >> 8)
        if expiry == last:
            continue
        last = expiry
        leaf, end = witnesses._read(
            witness, end, root, constants.EXPIRIES, instruments._get_expiry_index(underlying, expiry)
        )
        is_listed = is_listed and expiry > leaves.state.time
        if len(leaf) == 0:
            is_listed = False
            break
    witnesses._finish(witness, end)
    return is_listed


# cancel


@internal
@view
def _judge_cancel(
    context: contexts.Context,
    header: contexts.Header,
    op: Bytes[constants.OP_BYTES_MAX],
    ground: uint256,
    check: uint256,
    witness: Bytes[constants.WITNESS_BYTES_MAX],
) -> bool:
    cancel: orders.Cancel = orders._decode_cancel(op)
    if not (cancel.decodes and contexts._may_stand(constants.CANCEL, context.step, header)):
        return ground == constants.CHECK and check == MUST_DECODE
    if ground == constants.EFFECT:
        # EFFECTS: the counter stays, so that nothing up to it can come back
        killed: orders.Order = empty(orders.Order)
        killed.counter = cancel.counter
        return self._is_slot_effect_wrong(
            context, cancel.position, cancel.account, cancel.slot, killed, witness
        )
    if ground != constants.CHECK or check == MUST_DECODE or check >= CANCEL_CHECKS:
        return False
    leaves: Leaves = self._read_leaves(
        witness,
        context.pre_root,
        CANCEL_READS[check],
        cancel.account,
        cancel.slot,
    )
    if check == CANCEL_SIGNATURE_MUST_VERIFY and not leaves.is_missing:
        return self._is_signature_invalid(
            context.domain,
            op,
            orders.CANCEL_SIGNED_AT,
            orders.CANCEL_SIGNED_END,
            leaves.account,
            cancel.key_index,
            witness,
            leaves.end,
        )
    witnesses._finish(witness, leaves.end)
    return leaves.is_missing or not self._does_cancel_hold(header, cancel, check, leaves)


@internal
@pure
def _does_cancel_hold(
    header: contexts.Header, cancel: orders.Cancel, check: uint256, leaves: Leaves
) -> bool:
    """
    @notice Whether a check from 1 to 5 holds; its leaves are there.
    """
    state: globals.Globals = leaves.state
    if check == CANCEL_POSITION_MUST_INCREASE:
        return contexts._is_position_next(state, header, cancel.position)
    if check == CANCEL_ACCOUNT_MUST_EXIST:
        return True
    if check == CANCEL_GENERATION_MUST_MATCH:
        return cancel.generation == state.generation
    if check == CANCEL_COUNTER_MUST_RISE:
        return (
            not leaves.has_order
            or cancel.counter > leaves.order.counter
            or (cancel.counter == leaves.order.counter and leaves.order.remaining > 0)
        )
    # CANCEL_KEY_MUST_BE_LIVE
    return contexts._is_key_live(leaves.account, cancel.key_index, accounts.SCOPE_TRADE, state.time)


# What they share


@internal
@pure
def _read_leaves(
    witness: Bytes[constants.WITNESS_BYTES_MAX], root: bytes32, reads: uint256, account: uint256, slot: uint256
) -> Leaves:
    """
    @notice The leaves that `reads` names, under `root`; reading stops at an account that does not exist.
    """
    leaves: Leaves = empty(Leaves)
    leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    if reads & G != 0:
        leaf, leaves.end = witnesses._read(witness, 0, root, constants.GLOBALS, 0)
        leaves.state = globals._decode_globals(leaf)
    if reads & A != 0:
        leaf, leaves.end = witnesses._read(witness, leaves.end, root, constants.ACCOUNTS, account)
        if len(leaf) == 0:
            leaves.is_missing = True
            return leaves
        leaves.account = accounts._decode_account(leaf)
    if reads & O != 0:
        leaf, leaves.end = witnesses._read(
            witness, leaves.end, root, constants.ORDERS, orders._get_slot_index(account, slot)
        )
        leaves.has_order = len(leaf) != 0
        leaves.order = orders._decode_order(leaf)
    return leaves


@internal
@view
def _is_signature_invalid(
    domain: bytes32,
    op: Bytes[constants.OP_BYTES_MAX],
    signed_at: uint256,
    signed_end: uint256,
    account: accounts.Account,
    key_index: uint256,
    witness: Bytes[constants.WITNESS_BYTES_MAX],
    hints_at: uint256,
) -> bool:
    """
    @notice Whether the op is not signed by the key that it names; a key that does not exist signs nothing.
    @dev key_index and signature stand behind the signed fields.
    """
    if key_index >= account.key_count:
        witnesses._finish(witness, hints_at)
        return True
    return signatures._is_invalid(
        account.keys[key_index].public_key,
        signatures._hash_digest(domain, op, signed_at, signed_end - signed_at),
        extract32(op, signed_end + 1),
        extract32(op, signed_end + 33),
        witness,
        hints_at,
    )


@internal
@pure
def _is_slot_effect_wrong(
    context: contexts.Context,
    position: uint256,
    account: uint256,
    slot: uint256,
    order: orders.Order,
    witness: Bytes[constants.WITNESS_BYTES_MAX],
) -> bool:
    """
    @notice Reads G, O; the slot holds `order` after the op at `position`.
    """
    if position == constants.NEVER:
        return False
    leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    order_at: uint256 = 0
    end: uint256 = 0
    leaf, order_at = witnesses._peek(witness, 0)
    state: globals.Globals = globals._decode_globals(leaf)
    leaf, end = witnesses._peek(witness, order_at)
    witnesses._finish(witness, end)
    state.next_position = position + 1
    root: bytes32 = witnesses._write(
        witness, 0, context.pre_root, constants.GLOBALS, 0, globals._encode_globals(state)
    )
    root = witnesses._write(
        witness,
        order_at,
        root,
        constants.ORDERS,
        orders._get_slot_index(account, slot),
        orders._encode_order(order),
    )
    return root != context.post_root

# pragma version 0.4.3
"""
@title Verifier of oracle, order and cancel
@notice Judges one ground against one step: whether a numbered check of its op fails in the state before it (CHECK), or
        whether the root after it, if the op were valid, is another than the claimed one (EFFECT). The numbers, the
        rules and the order of reads are those of state/SPEC.md sections 6 and 7.
@dev Answers true for fraud and false for what is not shown; reverts for a bad witness alone, whatever the op's bytes.
     Mirrors state/process_market.py.
"""
import accounts
import constants
import context as contexts
import fields
import globals
import operations
import orders
import params as parameters
import signatures
import underlyings
import valuation
import witness as witnesses

initializes: signatures

# An oracle op as decoded; its signatures stay in the bytes.
struct Oracle:
    decodes: bool
    position: uint256
    underlying: uint256
    time: uint256
    spot: uint256
    mark: uint256
    signer_mask: uint256

# What the three kinds are about, each as far as it applies.
struct Subject:
    account: uint256
    slot: uint256
    underlying: uint256

# The leaves that a check reads, and where the witness goes on behind them.
struct Leaves:
    state: globals.Globals
    params: parameters.Params
    account: accounts.Account
    has_order: bool
    order: orders.Order
    underlying: underlyings.Underlying
    is_missing: bool  # the subject does not exist, so the check fails
    end: uint256

ORACLE_HEAD_BYTES: constant(uint256) = 36
ORACLE_SIGNATURE_BYTES: constant(uint256) = 65
ORACLE_SIGNED_AT: constant(uint256) = 9
ORACLE_SIGNED_BYTES: constant(uint256) = 26
SIGNER_MASK_END: constant(uint256) = 2**constants.ORACLE_SIGNERS_MAX

# Checks of SPEC.md section 6, by their number within a kind
MUST_DECODE: constant(uint256) = 0
ORACLE_POSITION_MUST_INCREASE: constant(uint256) = 1
ORACLE_UNDERLYING_MUST_BE_LISTED: constant(uint256) = 2
ORACLE_TIME_MUST_ADVANCE: constant(uint256) = 3
ORACLE_MUST_NOT_BE_STALE: constant(uint256) = 4
ORACLE_MUST_NOT_BE_AHEAD: constant(uint256) = 5
ORACLE_SIGNERS_MUST_SUFFICE: constant(uint256) = 6
ORACLE_SIGNATURES_MUST_VERIFY: constant(uint256) = 7
ORACLE_CHECKS: constant(uint256) = 8

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

# Reads of SPEC.md section 6, a row a kind and a column a check. Every one is a part of the same order G, P, A, O, U.
G: constant(uint256) = 1
P: constant(uint256) = 2
A: constant(uint256) = 4
O: constant(uint256) = 8
U: constant(uint256) = 16
ORACLE_READS: constant(uint256[ORACLE_CHECKS]) = [0, G, G, U, G | P, G | P, G | P, G | P]
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
    @param op The disputed op; its first byte is oracle, order or cancel
    @param check The number of the check within its kind; ignored for EFFECT
    """
    kind: uint256 = operations._get_kind(op)
    header: contexts.Header = contexts._decode_header(context.header)
    if kind == constants.ORACLE:
        return self._judge_oracle(context, header, op, ground, check, witness)
    if kind == constants.ORDER:
        return self._judge_order(context, header, op, ground, check, witness)
    if kind == constants.CANCEL:
        return self._judge_cancel(context, header, op, ground, check, witness)
    return False


# oracle


@internal
@view
def _judge_oracle(
    context: contexts.Context,
    header: contexts.Header,
    op: Bytes[constants.OP_BYTES_MAX],
    ground: uint256,
    check: uint256,
    witness: Bytes[constants.WITNESS_BYTES_MAX],
) -> bool:
    oracle: Oracle = self._decode_oracle(op)
    if not (oracle.decodes and contexts._may_stand(constants.ORACLE, context.step, header)):
        return ground == constants.CHECK and check == MUST_DECODE
    if ground == constants.EFFECT:
        return self._is_oracle_effect_wrong(context, oracle, witness)
    if ground != constants.CHECK or check == MUST_DECODE or check >= ORACLE_CHECKS:
        return False
    leaves: Leaves = self._read_leaves(
        witness, context.pre_root, ORACLE_READS[check], Subject(account=0, slot=0, underlying=oracle.underlying)
    )
    witnesses._finish(witness, leaves.end)
    return leaves.is_missing or not self._does_oracle_hold(context, header, op, oracle, check, leaves)


@internal
@pure
def _does_oracle_hold(
    context: contexts.Context,
    header: contexts.Header,
    op: Bytes[constants.OP_BYTES_MAX],
    oracle: Oracle,
    check: uint256,
    leaves: Leaves,
) -> bool:
    """
    @notice Whether a check from 1 on holds; its leaves are there.
    """
    state: globals.Globals = leaves.state
    if check == ORACLE_POSITION_MUST_INCREASE:
        return contexts._is_position_next(state, header, oracle.position)
    if check == ORACLE_UNDERLYING_MUST_BE_LISTED:
        return oracle.underlying < state.underlying_count
    if check == ORACLE_TIME_MUST_ADVANCE:
        return oracle.time > leaves.underlying.oracle_time
    if check == ORACLE_MUST_NOT_BE_STALE:
        return oracle.time + leaves.params.oracle_age_max >= state.time
    if check == ORACLE_MUST_NOT_BE_AHEAD:
        return oracle.time <= state.time + leaves.params.oracle_skew_max
    if check == ORACLE_SIGNERS_MUST_SUFFICE:
        return (
            oracle.signer_mask >> leaves.params.oracle_count == 0
            and self._count_signers(oracle.signer_mask) >= leaves.params.oracle_threshold
        )
    # ORACLE_SIGNATURES_MUST_VERIFY
    return self._are_readings_signed(context.domain, op, oracle.signer_mask, leaves.params)


@internal
@pure
def _are_readings_signed(
    domain: bytes32, op: Bytes[constants.OP_BYTES_MAX], signer_mask: uint256, params: parameters.Params
) -> bool:
    """
    @notice Whether each signature recovers to the signer whose bit it stands for, lowest bit first.
    """
    digest: bytes32 = signatures._hash_digest(domain, op, ORACLE_SIGNED_AT, ORACLE_SIGNED_BYTES)
    at: uint256 = ORACLE_HEAD_BYTES
    for signer: uint256 in range(constants.ORACLE_SIGNERS_MAX):
        if (signer_mask >> signer) & 1 == 0:
            continue
        if signer >= params.oracle_count:
            return False
        recovered: address = signatures._recover_signer(
            digest, fields._uint(op, at, 32), fields._uint(op, at + 32, 32), fields._uint(op, at + 64, 1)
        )
        # The zero address stands for "no signer", and is never one.
        if recovered == empty(address) or recovered != parameters._get_oracle_signer(params, signer):
            return False
        at += ORACLE_SIGNATURE_BYTES
    return True


@internal
@pure
def _is_oracle_effect_wrong(
    context: contexts.Context, oracle: Oracle, witness: Bytes[constants.WITNESS_BYTES_MAX]
) -> bool:
    """
    @notice Reads G, P, U; stores the reading, and with it what funding was owed until now.
    """
    if oracle.position == constants.NEVER:
        return False
    globals_leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    params_leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    underlying_leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    params_at: uint256 = 0
    underlying_at: uint256 = 0
    end: uint256 = 0
    globals_leaf, params_at = witnesses._peek(witness, 0)
    params_leaf, underlying_at = witnesses._peek(witness, params_at)
    underlying_leaf, end = witnesses._peek(witness, underlying_at)
    witnesses._finish(witness, end)
    if len(underlying_leaf) == 0:
        return False
    state: globals.Globals = globals._decode_globals(globals_leaf)
    params: parameters.Params = parameters._decode_params(params_leaf)
    underlying: underlyings.Underlying = underlyings._decode_underlying(underlying_leaf)
    # EFFECTS
    state.next_position = oracle.position + 1
    underlying.funding_index = valuation._compute_funding_index_floor(underlying, state.time, params)
    underlying.index_time = state.time
    underlying.premium = valuation._compute_premium_clamped(oracle.spot, oracle.mark, params)
    underlying.oracle_time = oracle.time
    underlying.spot = oracle.spot
    underlying.mark = oracle.mark
    # The root after them, and every leaf authenticated on the way
    root: bytes32 = witnesses._write(
        witness, 0, context.pre_root, constants.GLOBALS, 0, globals._encode_globals(state)
    )
    root = witnesses._write(witness, params_at, root, constants.PARAMS, state.params_version, params_leaf)
    root = witnesses._write(
        witness,
        underlying_at,
        root,
        constants.UNDERLYINGS,
        oracle.underlying,
        underlyings._encode_underlying(underlying),
    )
    return root != context.post_root


@internal
@pure
def _decode_oracle(op: Bytes[constants.OP_BYTES_MAX]) -> Oracle:
    """
    @notice The op, if the bytes are one.
    """
    if len(op) < ORACLE_HEAD_BYTES:
        return empty(Oracle)
    oracle: Oracle = Oracle(
        decodes=False,
        position=fields._uint(op, 1, 8),
        underlying=fields._uint(op, 9, 2),
        time=fields._uint(op, 11, 8),
        spot=fields._uint(op, 19, 8),
        mark=fields._uint(op, 27, 8),
        signer_mask=fields._uint(op, 35, 1),
    )
    oracle.decodes = (
        oracle.signer_mask >= 1
        and oracle.signer_mask < SIGNER_MASK_END
        and len(op) == ORACLE_HEAD_BYTES + ORACLE_SIGNATURE_BYTES * self._count_signers(oracle.signer_mask)
        and oracle.underlying < constants.UNDERLYINGS_MAX
        and orders._is_price(oracle.spot)
        and orders._is_price(oracle.mark)
    )
    return oracle


@internal
@pure
def _count_signers(signer_mask: uint256) -> uint256:
    """
    @notice Bits that are set among those of ORACLE_SIGNERS_MAX signers.
    """
    count: uint256 = 0
    for signer: uint256 in range(constants.ORACLE_SIGNERS_MAX):
        count += (signer_mask >> signer) & 1
    return count


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
        Subject(account=order_op.account, slot=order_op.slot, underlying=0),
    )
    if check == ORDER_SIGNATURE_MUST_VERIFY and not leaves.is_missing:
        return self._is_signature_invalid(
            context.domain,
            op,
            orders.ORDER_SIGNED_AT,
            orders.ORDER_SIGNED_END,
            leaves.account,
            order_op.key_index,
            witness,
            leaves.end,
        )
    witnesses._finish(witness, leaves.end)
    return leaves.is_missing or not self._does_order_hold(header, order_op, check, leaves)


@internal
@pure
def _does_order_hold(
    header: contexts.Header, order_op: orders.OrderOp, check: uint256, leaves: Leaves
) -> bool:
    """
    @notice Whether a check from 1 to 10 holds; its leaves are there.
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
    if check == ORDER_INSTRUMENT_MUST_BE_LISTED:
        return orders._get_underlying(order.instrument) < state.underlying_count
    if check == ORDER_COUNTER_MUST_RISE:
        return not leaves.has_order or order.counter > leaves.order.counter
    # ORDER_KEY_MUST_BE_LIVE
    return contexts._is_key_live(leaves.account, order_op.key_index, accounts.SCOPE_TRADE, state.time)


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
        Subject(account=cancel.account, slot=cancel.slot, underlying=0),
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
    witness: Bytes[constants.WITNESS_BYTES_MAX], root: bytes32, reads: uint256, subject: Subject
) -> Leaves:
    """
    @notice The leaves that `reads` names, under `root`; reading stops at an account or underlying that does not exist.
    """
    leaves: Leaves = empty(Leaves)
    leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    if reads & G != 0:
        leaf, leaves.end = witnesses._read(witness, leaves.end, root, constants.GLOBALS, 0)
        leaves.state = globals._decode_globals(leaf)
    if reads & P != 0:
        leaf, leaves.end = witnesses._read(
            witness, leaves.end, root, constants.PARAMS, leaves.state.params_version
        )
        leaves.params = parameters._decode_params(leaf)
    if reads & A != 0:
        leaf, leaves.end = witnesses._read(witness, leaves.end, root, constants.ACCOUNTS, subject.account)
        if len(leaf) == 0:
            leaves.is_missing = True
            return leaves
        leaves.account = accounts._decode_account(leaf)
    if reads & O != 0:
        leaf, leaves.end = witnesses._read(
            witness, leaves.end, root, constants.ORDERS, orders._get_slot_index(subject.account, subject.slot)
        )
        leaves.has_order = len(leaf) != 0
        if leaves.has_order:
            leaves.order = orders._decode_order(leaf)
    if reads & U != 0:
        leaf, leaves.end = witnesses._read(
            witness, leaves.end, root, constants.UNDERLYINGS, subject.underlying
        )
        if len(leaf) == 0:
            leaves.is_missing = True
            return leaves
        leaves.underlying = underlyings._decode_underlying(leaf)
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

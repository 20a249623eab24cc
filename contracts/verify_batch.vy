# pragma version 0.4.3
"""
@title Verifier of open, close and tick
@notice The frame of a batch in time and in the log: state/SPEC.md sections 6 and 7, kinds 1 to 3.
@dev Mirrors state/process_batch.py.
"""
import constants
import context as contexts
import globals
import operations
import params as parameters
import underlyings
import witness as witnesses

# Checks of open
BATCH_MUST_BE_NEXT: constant(uint256) = 1
GENERATION_MUST_NOT_FALL: constant(uint256) = 2
TIME_FROM_MUST_MATCH: constant(uint256) = 3
POSITION_FROM_MUST_MATCH: constant(uint256) = 4

# Checks of close
CURSOR_MUST_MATCH: constant(uint256) = 1
INBOX_HASH_MUST_MATCH: constant(uint256) = 2
TIME_MUST_MATCH: constant(uint256) = 3
POSITION_TO_MUST_MATCH: constant(uint256) = 4
ORACLE_TIME_MUST_MATCH: constant(uint256) = 5

# Checks of tick
POSITION_MUST_INCREASE: constant(uint256) = 1
TIME_MUST_ADVANCE: constant(uint256) = 2
TIME_MUST_NOT_PASS_HEADER: constant(uint256) = 3


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
    @notice Whether the ground shows that the step is a fraud; reverts only for a bad witness.
    @param context The disputed step, as the judge has bound it to a batch
    @param op An open, close or tick, by its first byte
    @param ground CHECK or EFFECT
    @param check The check's number within its kind; read for CHECK alone
    @param witness fraud_proofs/SPEC.md section 3
    """
    kind: uint256 = operations._get_kind(op)
    assert constants.OPEN <= kind and kind <= constants.TICK, "kind"
    header: contexts.Header = contexts._decode_header(context.header)
    tick: operations.Tick = empty(operations.Tick)
    decodes: bool = len(op) == 1
    if kind == constants.TICK:
        tick = operations._decode_tick(op)
        decodes = tick.decodes

    if not (decodes and contexts._may_stand(kind, context.step, header)):
        return ground == constants.CHECK and check == 0
    if ground == constants.EFFECT:
        if kind == constants.TICK:
            return self._is_tick_wrong(context, tick, witness)
        return self._is_bound_wrong(context, header, kind, witness)
    if ground != constants.CHECK or check == 0:
        return False
    # One check compares op and header, and reads nothing.
    if kind == constants.TICK and check == TIME_MUST_NOT_PASS_HEADER:
        witnesses._finish(witness, 0)
        return tick.time > header.time

    leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    at: uint256 = 0
    leaf, at = witnesses._read(witness, 0, context.pre_root, constants.GLOBALS, 0)
    state: globals.Globals = globals._decode_globals(leaf)
    if kind == constants.CLOSE and check == ORACLE_TIME_MUST_MATCH:
        return self._is_oracle_time_wrong(context.pre_root, header, state, at, witness)
    witnesses._finish(witness, at)
    if kind == constants.OPEN:
        return self._is_open_check_failed(header, state, check)
    if kind == constants.CLOSE:
        return self._is_close_check_failed(header, state, check)
    if check == POSITION_MUST_INCREASE:
        return not contexts._is_position_next(state, header, tick.position)
    if check == TIME_MUST_ADVANCE:
        return tick.time <= state.time
    return False


# Checks; a number that is not among them shows nothing.


@internal
@pure
def _is_open_check_failed(header: contexts.Header, state: globals.Globals, check: uint256) -> bool:
    if check == BATCH_MUST_BE_NEXT:
        return header.index != state.batch + 1
    if check == GENERATION_MUST_NOT_FALL:
        return header.generation < state.generation
    if check == TIME_FROM_MUST_MATCH:
        return header.time_from != state.time
    if check == POSITION_FROM_MUST_MATCH:
        is_new: bool = header.generation > state.generation
        return header.position_from != (0 if is_new else state.next_position)
    return False


@internal
@pure
def _is_close_check_failed(header: contexts.Header, state: globals.Globals, check: uint256) -> bool:
    if check == CURSOR_MUST_MATCH:
        return header.inbox_cursor != state.inbox_cursor
    if check == INBOX_HASH_MUST_MATCH:
        return header.inbox_hash != state.inbox_hash
    if check == TIME_MUST_MATCH:
        return header.time != state.time
    if check == POSITION_TO_MUST_MATCH:
        return header.position_to < state.next_position
    return False


@internal
@pure
def _is_oracle_time_wrong(
    pre_root: bytes32,
    header: contexts.Header,
    state: globals.Globals,
    at: uint256,
    witness: Bytes[constants.WITNESS_BYTES_MAX],
) -> bool:
    """
    @notice Whether the header misstates how old the oldest price is that somebody depends on.
    """
    oldest: uint256 = constants.NEVER
    is_anyone_exposed: bool = False
    leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    next: uint256 = at
    for i: uint256 in range(state.underlying_count, bound=constants.UNDERLYINGS_MAX):
        leaf, next = witnesses._read(witness, next, pre_root, constants.UNDERLYINGS, i)
        underlying: underlyings.Underlying = underlyings._decode_underlying(leaf)
        if underlying.open_interest > 0:
            is_anyone_exposed = True
            oldest = min(oldest, underlying.oracle_time)
    witnesses._finish(witness, next)
    return header.oracle_time != (oldest if is_anyone_exposed else header.time)


# Effects


@internal
@pure
def _is_bound_wrong(
    context: contexts.Context,
    header: contexts.Header,
    kind: uint256,
    witness: Bytes[constants.WITNESS_BYTES_MAX],
) -> bool:
    """
    @notice Whether the root after an open, which counts the batch, or a close, which commits the log, is another.
    """
    leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    end: uint256 = 0
    leaf, end = witnesses._peek(witness, 0)
    witnesses._finish(witness, end)
    state: globals.Globals = globals._decode_globals(leaf)
    if kind == constants.CLOSE:
        state.next_position = header.position_to
        state.log_hash = header.log_hash
    else:
        state.batch = header.index
        if header.generation > state.generation:
            state.generation = header.generation
            state.next_position = 0
            state.log_hash = empty(bytes32)
            state.cancel_only_until = constants.NEVER
    leaf = globals._encode_globals(state)
    return context.post_root != witnesses._write(witness, 0, context.pre_root, constants.GLOBALS, 0, leaf)


@internal
@pure
def _is_tick_wrong(
    context: contexts.Context, tick: operations.Tick, witness: Bytes[constants.WITNESS_BYTES_MAX]
) -> bool:
    """
    @notice Whether the root after the tick is another; the first of a generation starts its cancel-only interval, and
            parameters whose day has come are the active ones.
    """
    if tick.position == constants.NEVER:
        return False
    params_at: uint256 = 0
    next_at: uint256 = 0
    end: uint256 = 0
    globals_leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    params_leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    next_leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    globals_leaf, params_at = witnesses._peek(witness, 0)
    params_leaf, next_at = witnesses._peek(witness, params_at)
    state: globals.Globals = globals._decode_globals(globals_leaf)
    params: parameters.Params = parameters._decode_params(params_leaf)
    version: uint256 = state.params_version
    may_follow: bool = version + 1 < constants.RULES_OFFSET
    end = next_at
    if may_follow:
        next_leaf, end = witnesses._peek(witness, next_at)
    witnesses._finish(witness, end)
    if len(next_leaf) > 0 and parameters._decode_params(next_leaf).active_from <= tick.time:
        state.params_version += 1
    if state.cancel_only_until == constants.NEVER:
        state.cancel_only_until = min(constants.NEVER - 1, tick.time + params.cancel_only_interval)
    state.time = tick.time
    state.next_position = tick.position + 1

    globals_leaf = globals._encode_globals(state)
    root: bytes32 = witnesses._write(witness, 0, context.pre_root, constants.GLOBALS, 0, globals_leaf)
    root = witnesses._write(witness, params_at, root, constants.PARAMS, version, params_leaf)
    if may_follow:
        root = witnesses._write(witness, next_at, root, constants.PARAMS, version + 1, next_leaf)
    return root != context.post_root

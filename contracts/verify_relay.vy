# pragma version 0.4.3
"""
@title Verifier of relay
@notice What becomes of a signed reading that came through L1: state/SPEC.md sections 6 to 9, kind 18.
@dev Answers true for fraud and false for what is not shown; reverts for a bad witness alone, whatever the op's bytes.
     What a reading is and must keep is in readings.vy.
     Mirrors state/process_relay.py.
"""
import constants
import context as contexts
import expiries
import fields
import globals
import instruments
import messages
import operations
import params as parameters
import readings
import underlyings
import valuation
import witness as witnesses

# A message carries what an op does from its signed fields on.
PAYLOAD_BYTES_MAX: constant(uint256) = constants.OP_BYTES_MAX - readings.SIGNED_AT


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
    @param op The disputed op; its first byte is relay
    @param check The number of the check within its kind; ignored for EFFECT
    """
    header: contexts.Header = contexts._decode_header(context.header)
    relay: operations.L1 = operations._decode_l1(op)
    if not (relay.decodes and contexts._may_stand(constants.RELAY, context.step, header)):
        return ground == constants.CHECK and check == 0
    if ground == constants.CHECK and check < messages.MESSAGE_MUST_BE_FOR_KIND:
        return messages._is_place_wrong(context, header, relay.position, relay.index, check, witness)
    # A message that the header does not claim is of no type here, and has no effect.
    if relay.index >= header.inbox_cursor or (ground == constants.EFFECT and relay.position == constants.NEVER):
        return False
    if ground != constants.EFFECT and (ground != constants.CHECK or check > messages.TIME_MUST_REACH_MESSAGE):
        return False
    message: messages.Message = empty(messages.Message)
    data: Bytes[constants.MESSAGE_BYTES_MAX] = b""
    message, data = messages._read(context.rollup, relay.index, witness)
    if ground == constants.CHECK:
        return messages._is_message_wrong(context, constants.RELAY, message, check, witness)
    if messages._get_taker(message.type) != constants.RELAY:
        return False
    kind: uint256 = constants.ORACLE if message.type == messages.READING else constants.SURFACE
    length: uint256 = len(data) - messages.HEAD_BYTES
    carried: Bytes[constants.OP_BYTES_MAX] = b""
    if length <= PAYLOAD_BYTES_MAX:
        carried = concat(
            fields._u8(kind),
            fields._u64(relay.position),
            convert(slice(data, messages.HEAD_BYTES, length), Bytes[PAYLOAD_BYTES_MAX]),
        )
    return self._is_relay_effect_wrong(context, relay.position, message, kind, carried, witness)


@internal
@view
def _is_relay_effect_wrong(
    context: contexts.Context,
    position: uint256,
    message: messages.Message,
    kind: uint256,
    op: Bytes[constants.OP_BYTES_MAX],
    witness: Bytes[constants.WITNESS_BYTES_MAX],
) -> bool:
    """
    @notice Reads G, and of what is listed P and U, or E; stores the reading that `op` is, if none of its own kind's
            checks speaks against it.
    """
    leaves: readings.Leaves = empty(readings.Leaves)
    leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    params_at: uint256 = 0
    leaf, params_at = witnesses._peek(witness, message.end)
    leaves.state = globals._decode_globals(leaf)
    leaf = globals._encode_globals(messages._advance(leaves.state, position, message.message_hash))
    root: bytes32 = witnesses._write(witness, message.end, context.pre_root, constants.GLOBALS, 0, leaf)
    reading: readings.Reading = self._decode(kind, op)
    if not reading.decodes or reading.underlying >= leaves.state.underlying_count:
        witnesses._finish(witness, params_at)
        return root != context.post_root
    subject_at: uint256 = 0
    leaves.params_leaf, subject_at = witnesses._read(
        witness, params_at, root, constants.PARAMS, leaves.state.params_version
    )
    leaves.params = parameters._decode_params(leaves.params_leaf)
    leaf, leaves.end = witnesses._peek(witness, subject_at)
    witnesses._finish(witness, leaves.end)
    collection: uint256 = constants.UNDERLYINGS
    index: uint256 = reading.underlying
    if kind == constants.SURFACE:
        collection = constants.EXPIRIES
        index = instruments._get_expiry_index(reading.underlying, reading.expiry)
        leaves.surface = expiries._decode_expiry(leaf)
    else:
        leaves.underlying = underlyings._decode_underlying(leaf)
    if self._does_relayed_hold(context.domain, kind, op, reading, message.time, leaves):
        if kind == constants.SURFACE:
            leaf = expiries._encode_expiry(readings._take_surface(leaves.surface, reading))
        else:
            after: underlyings.Underlying = readings._take_reading(
                leaves.underlying, reading, leaves.state.time, leaves.params
            )
            after = valuation._roll_funding(leaves.underlying, after, leaves.state.time, leaves.params)
            leaf = underlyings._encode_underlying(after)
    root = witnesses._write(witness, subject_at, root, collection, index, leaf)
    return root != context.post_root


@internal
@pure
def _does_relayed_hold(
    domain: bytes32,
    kind: uint256,
    op: Bytes[constants.OP_BYTES_MAX],
    reading: readings.Reading,
    sent_at: uint256,
    leaves: readings.Leaves,
) -> bool:
    """
    @notice Whether every check of the reading's own kind holds, its age taken when L1 took it.
    """
    aged: readings.Leaves = leaves
    aged.state.time = sent_at
    for check: uint256 in range(readings.ORACLE_CHECKS):
        if check < readings.ORACLE_UNDERLYING_MUST_BE_LISTED:
            continue
        # The number of staleness is the same in either kind.
        seen: readings.Leaves = aged if check == readings.ORACLE_MUST_NOT_BE_STALE else leaves
        holds: bool = False
        if kind == constants.ORACLE:
            holds = readings._does_oracle_hold(domain, op, reading, check, seen)
        else:
            holds = readings._does_surface_hold(domain, op, reading, check, seen)
        if not holds:
            return False
    return True


@internal
@pure
def _decode(kind: uint256, op: Bytes[constants.OP_BYTES_MAX]) -> readings.Reading:
    """
    @notice The reading, if the bytes are one of its kind.
    """
    return readings._decode_oracle(op) if kind == constants.ORACLE else readings._decode_surface(op)

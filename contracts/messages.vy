# pragma version 0.4.3
"""
@title L1 messages, as a witness gives them, and the checks that all ops share which take one
@notice A ground that reads a message begins its witness with `length u16 || message`. The message is the one that the
        rollup keeps at an index when it lies between two neighbouring accumulators of its inbox.
@dev The rollup wrote the message, so its head is there and its layout holds. Whatever else does not hold here is a bad
     witness and reverts.
     Mirrors the checks, decode_message and hash_accumulator of state/process_inbox.py.
"""
import constants
import context as contexts
import fields
import globals
import witness as witnesses

interface Rollup:
    def accumulator(index: uint256) -> bytes32: view

DEPOSIT: constant(uint256) = 1
REGISTER_KEY: constant(uint256) = 2
FORCE_WITHDRAW: constant(uint256) = 3
CANCEL_ALL: constant(uint256) = 5
FORCE_CLOSE: constant(uint256) = 6
FORCE_LIQUIDATE: constant(uint256) = 7
TAKE: constant(uint256) = 8
READING: constant(uint256) = 9
SURFACE: constant(uint256) = 10
PARAMS: constant(uint256) = 11

# `type u8 || sender b20 || time u64 || account u32`, and the payload.
HEAD_BYTES: constant(uint256) = 33

# Checks of SPEC.md section 6, by the number that they have in each of the kinds; the last is none of l1, which has
# another in its place.
POSITION_MUST_INCREASE: constant(uint256) = 1
INDEX_MUST_BE_CURSOR: constant(uint256) = 2
INDEX_MUST_NOT_PASS_HEADER: constant(uint256) = 3
MESSAGE_MUST_BE_FOR_KIND: constant(uint256) = 4
TIME_MUST_REACH_MESSAGE: constant(uint256) = 5

struct Message:
    type: uint256
    sender: address
    time: uint256  # of L1 when it took the message
    account: uint256
    message_hash: bytes32
    end: uint256  # where the leaves of the witness begin


@internal
@view
def _read(
    rollup: address, index: uint256, witness: Bytes[constants.WITNESS_BYTES_MAX]
) -> (Message, Bytes[constants.MESSAGE_BYTES_MAX]):
    """
    @notice The message with which the witness begins, and all its bytes.
    """
    length: uint256 = convert(slice(witness, 0, 2), uint256)
    assert length <= constants.MESSAGE_BYTES_MAX, "message"
    data: Bytes[constants.MESSAGE_BYTES_MAX] = convert(
        slice(witness, 2, length), Bytes[constants.MESSAGE_BYTES_MAX]
    )
    message_hash: bytes32 = sha256(data)
    before: bytes32 = staticcall Rollup(rollup).accumulator(index)
    after: bytes32 = staticcall Rollup(rollup).accumulator(index + 1)
    assert self._hash_accumulator(before, message_hash) == after, "message"
    head: Bytes[HEAD_BYTES] = slice(data, 0, HEAD_BYTES)
    message: Message = Message(
        type=fields._uint(head, 0, 1),
        sender=convert(fields._uint(head, 1, 20), address),
        time=fields._uint(head, 21, 8),
        account=fields._uint(head, 29, 4),
        message_hash=message_hash,
        end=2 + length,
    )
    return message, data


@internal
@pure
def _hash_accumulator(accumulator: bytes32, message_hash: bytes32) -> bytes32:
    """
    @notice The inbox hash after one more message.
    """
    return sha256(concat(accumulator, message_hash))


@internal
@pure
def _get_taker(type: uint256) -> uint256:
    """
    @notice The kind of op that takes messages of a type.
    """
    if type == TAKE:
        return constants.BID
    return constants.RELAY if type == READING or type == SURFACE else constants.L1


@internal
@pure
def _is_place_wrong(
    context: contexts.Context,
    header: contexts.Header,
    position: uint256,
    index: uint256,
    check: uint256,
    witness: Bytes[constants.WITNESS_BYTES_MAX],
) -> bool:
    """
    @notice Whether one of the first three checks fails, which ask nothing of the message; any other is not shown.
    """
    if check == INDEX_MUST_NOT_PASS_HEADER:
        witnesses._finish(witness, 0)
        return index >= header.inbox_cursor
    if check != POSITION_MUST_INCREASE and check != INDEX_MUST_BE_CURSOR:
        return False
    state: globals.Globals = self._read_globals(context.pre_root, 0, witness)
    if check == POSITION_MUST_INCREASE:
        return not contexts._is_position_next(state, header, position)
    return index != state.inbox_cursor


@internal
@pure
def _is_message_wrong(
    context: contexts.Context,
    kind: uint256,
    message: Message,
    check: uint256,
    witness: Bytes[constants.WITNESS_BYTES_MAX],
) -> bool:
    """
    @notice Whether another kind of op takes such a message, or state time has not reached it.
    """
    if check == MESSAGE_MUST_BE_FOR_KIND:
        witnesses._finish(witness, message.end)
        return self._get_taker(message.type) != kind
    # TIME_MUST_REACH_MESSAGE
    return self._read_globals(context.pre_root, message.end, witness).time < message.time


@internal
@pure
def _read_globals(
    root: bytes32, at: uint256, witness: Bytes[constants.WITNESS_BYTES_MAX]
) -> globals.Globals:
    """
    @notice The globals, with which the witness ends.
    """
    leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    end: uint256 = 0
    leaf, end = witnesses._read(witness, at, root, constants.GLOBALS, 0)
    witnesses._finish(witness, end)
    return globals._decode_globals(leaf)


@internal
@pure
def _advance(state: globals.Globals, position: uint256, message_hash: bytes32) -> globals.Globals:
    """
    @notice The globals once an op at this position has taken the message of this hash.
    """
    after: globals.Globals = state
    after.next_position = position + 1
    after.inbox_cursor += 1
    after.inbox_hash = self._hash_accumulator(state.inbox_hash, message_hash)
    return after

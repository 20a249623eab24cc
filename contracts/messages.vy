# pragma version 0.4.3
"""
@title L1 messages, as a witness gives them
@notice A ground that reads a message begins its witness with `length u16 || message`. The message is the one that the
        rollup keeps at an index when it lies between two neighbouring accumulators of its inbox.
@dev The rollup wrote the message, so its head is there and its layout holds. Whatever else does not hold here is a bad
     witness and reverts.
     Mirrors decode_message and hash_accumulator of state/process_inbox.py.
"""
import constants
import fields

interface Rollup:
    def accumulator(index: uint256) -> bytes32: view

DEPOSIT: constant(uint256) = 1
REGISTER_KEY: constant(uint256) = 2
FORCE_WITHDRAW: constant(uint256) = 3
CANCEL_ALL: constant(uint256) = 5
FORCE_CLOSE: constant(uint256) = 6
FORCE_LIQUIDATE: constant(uint256) = 7
PARAMS: constant(uint256) = 11

# `type u8 || sender b20 || time u64 || account u32`, and the payload.
HEAD_BYTES: constant(uint256) = 33

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

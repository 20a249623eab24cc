# pragma version 0.4.3
"""
@title Verifier of l1
@notice Which message of the inbox an op takes: state/SPEC.md sections 6 and 9, kind 4. What the message does, and what
        the op says of it, is in inbox.vy.
@dev Mirrors the checks of state/process_inbox.py.
"""
import constants
import context as contexts
import inbox
import messages
import operations

initializes: inbox

# A check of SPEC.md section 6, behind those of messages.vy
MARGIN_MUST_MATCH: constant(uint256) = 5


@deploy
def __init__(margin: address):
    """
    @param margin The deployed contracts/margin.vy
    """
    inbox.__init__(margin)


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
    @param op An l1, by its first byte
    @param ground CHECK or EFFECT
    @param check The check's number within its kind; read for CHECK alone
    @param witness fraud_proofs/SPEC.md section 3
    """
    assert operations._get_kind(op) == constants.L1, "kind"
    header: contexts.Header = contexts._decode_header(context.header)
    l1: operations.L1 = operations._decode_l1(op)
    if not (l1.decodes and contexts._may_stand(constants.L1, context.step, header)):
        return ground == constants.CHECK and check == 0
    if ground == constants.CHECK and check not in [messages.MESSAGE_MUST_BE_FOR_KIND, MARGIN_MUST_MATCH]:
        return messages._is_place_wrong(context, header, l1.position, l1.index, check, witness)
    # A message that the header does not claim is of no type here, and has no effect.
    if l1.index >= header.inbox_cursor:
        return False
    if ground == constants.EFFECT:
        if l1.position == constants.NEVER:
            return False
        root: bytes32 = inbox._compute_root_after(context.rollup, context.pre_root, l1, witness)
        return root != context.post_root and root != empty(bytes32)
    if ground != constants.CHECK:
        return False
    if check == MARGIN_MUST_MATCH:
        return not inbox._is_claimed_shortage_true(context.rollup, context.pre_root, l1, witness)
    message: messages.Message = empty(messages.Message)
    data: Bytes[constants.MESSAGE_BYTES_MAX] = b""
    message, data = messages._read(context.rollup, l1.index, witness)
    return messages._is_message_wrong(context, constants.L1, message, check, witness)

# pragma version 0.4.3
# pragma optimize gas
"""
@title Judge: is this step of this batch false?
@notice Takes a proof apart (fraud_proofs/SPEC.md section 2), ties its header and its frame to the batch hash, finds the
        disputed step with the roots around it, and answers the ground: the malformed frame and the unknown kind by
        itself, every other check and effect through the verifier of the op's kind.

        Three outcomes. A revert says that the proof is bad, and nothing about the batch; false says that the proof is
        good and shows no fraud; true says fraud.

@dev No storage, no ether, no owner: the answer depends on the arguments and on the inbox of the rollup that asks.
     A frame that breaks off behind the disputed step may be answered on any ground: its batch is false anyway. One that
     breaks off before has no such step, and MALFORMED convicts it.
     Mirrors fraud_proofs/step.py.
"""
import constants
import context as contexts
import frames

# The bounds of `op` and `witness` here only size this contract's memory; a verifier's own are tighter.
interface Verifier:
    def evaluate(
        context: contexts.Context,
        op: Bytes[constants.FRAME_BYTES_MAX],
        ground: uint256,
        check: uint256,
        witness: Bytes[constants.PROOF_BYTES_MAX],
    ) -> bool: view


KIND_MUST_BE_KNOWN: constant(uint256) = 0

# Who knows the checks and effects of which kinds
VERIFY_BATCH: public(immutable(address))  # open, close, tick
VERIFY_INBOX: public(immutable(address))  # l1
VERIFY_ORACLE: public(immutable(address))  # oracle, surface, index
VERIFY_MARKET: public(immutable(address))  # order, cancel
VERIFY_FILL: public(immutable(address))  # fill
VERIFY_ACCOUNT: public(immutable(address))  # transfer, withdraw
VERIFY_LIQUIDATION: public(immutable(address))  # settle, liquidate, interest
VERIFY_TAKE: public(immutable(address))  # take
VERIFY_DELEVERAGE: public(immutable(address))  # deleverage
VERIFY_BID: public(immutable(address))  # bid
VERIFY_RELAY: public(immutable(address))  # relay


@deploy
def __init__(
    verify_batch: address,
    verify_inbox: address,
    verify_oracle: address,
    verify_market: address,
    verify_fill: address,
    verify_account: address,
    verify_liquidation: address,
    verify_take: address,
    verify_deleverage: address,
    verify_bid: address,
    verify_relay: address,
):
    # An empty verifier would make every op of its kinds an unknown one.
    for verifier: address in [
        verify_batch,
        verify_inbox,
        verify_oracle,
        verify_market,
        verify_fill,
        verify_account,
        verify_liquidation,
        verify_take,
        verify_deleverage,
        verify_bid,
        verify_relay,
    ]:
        assert verifier.is_contract, "judge: verifier"
    VERIFY_BATCH = verify_batch
    VERIFY_INBOX = verify_inbox
    VERIFY_ORACLE = verify_oracle
    VERIFY_MARKET = verify_market
    VERIFY_FILL = verify_fill
    VERIFY_ACCOUNT = verify_account
    VERIFY_LIQUIDATION = verify_liquidation
    VERIFY_TAKE = verify_take
    VERIFY_DELEVERAGE = verify_deleverage
    VERIFY_BID = verify_bid
    VERIFY_RELAY = verify_relay


@external
@view
def judge(domain: bytes32, batch_hash: bytes32, proof: Bytes[constants.PROOF_BYTES_MAX]) -> bool:
    """
    @notice Whether the proof shows fraud in the batch. Asked by a rollup, whose inbox is then the one that counts.
    @param domain What the users of that rollup sign under.
    """
    header: Bytes[constants.HEADER_BYTES] = slice(proof, 0, constants.HEADER_BYTES)
    frame_count: uint256 = convert(slice(proof, constants.HEADER_BYTES, 2), uint256)
    assert frame_count <= constants.FRAMES_MAX, "judge: frame count"
    frame_hashes: bytes32[constants.FRAMES_MAX] = empty(bytes32[constants.FRAMES_MAX])
    offset: uint256 = constants.HEADER_BYTES + 2
    for number: uint256 in range(frame_count, bound=constants.FRAMES_MAX):
        frame_hashes[number] = convert(slice(proof, offset, 32), bytes32)
        offset += 32
    commitment: bytes32 = sha256(concat(header, slice(abi_encode(frame_hashes), 0, 32 * frame_count)))
    assert commitment == batch_hash, "judge: batch hash"

    frame_number: uint256 = convert(slice(proof, offset, 2), uint256)
    assert frame_number < frame_count, "judge: frame number"
    frame_length: uint256 = convert(slice(proof, offset + 2, 4), uint256)
    offset += 6
    frame: Bytes[constants.FRAME_BYTES_MAX] = convert(
        slice(proof, offset, frame_length), Bytes[constants.FRAME_BYTES_MAX]
    )
    assert sha256(frame) == frame_hashes[frame_number], "judge: frame hash"
    offset += frame_length

    number: uint256 = convert(slice(proof, offset, 2), uint256)
    ground: uint256 = convert(slice(proof, offset + 2, 1), uint256)
    check: uint256 = convert(slice(proof, offset + 3, 1), uint256)
    offset += 4
    assert ground <= constants.EFFECT, "judge: ground"
    assert ground == constants.CHECK or check == 0, "judge: check"

    step: frames.Step = frames._find_step(frame, number)
    if ground == constants.MALFORMED:
        assert offset == len(proof), "judge: witness"
        return not step.is_whole
    assert step.is_found, "judge: step"

    op: Bytes[constants.FRAME_BYTES_MAX] = slice(frame, step.start, step.end - step.start)
    verifier: address = self._get_verifier(convert(slice(op, 0, 1), uint256))
    if verifier == empty(address):
        assert offset == len(proof), "judge: witness"
        return ground == constants.CHECK and check == KIND_MUST_BE_KNOWN
    context: contexts.Context = contexts.Context(
        domain=domain,
        rollup=msg.sender,
        header=header,
        step=frames._get_first_index(frame) + number,
        pre_root=frames._get_pre_root(frame, number, step),
        post_root=extract32(frame, step.end),
    )
    witness: Bytes[constants.PROOF_BYTES_MAX] = slice(proof, offset, len(proof) - offset)
    return staticcall Verifier(verifier).evaluate(context, op, ground, check, witness)


@internal
@view
def _get_verifier(kind: uint256) -> address:
    """
    @notice Who knows the checks and effects of a kind; empty for a kind that does not exist.
    """
    if kind == constants.INTEREST:
        return VERIFY_LIQUIDATION
    if kind == 0 or kind > constants.RELAY:
        return empty(address)
    if kind <= constants.TICK:
        return VERIFY_BATCH
    if kind == constants.L1:
        return VERIFY_INBOX
    if kind in [constants.ORACLE, constants.SURFACE, constants.INDEX]:
        return VERIFY_ORACLE
    if kind <= constants.CANCEL:
        return VERIFY_MARKET
    if kind == constants.FILL:
        return VERIFY_FILL
    if kind <= constants.WITHDRAW:
        return VERIFY_ACCOUNT
    if kind <= constants.LIQUIDATE:
        return VERIFY_LIQUIDATION
    if kind == constants.TAKE:
        return VERIFY_TAKE
    if kind == constants.DELEVERAGE:
        return VERIFY_DELEVERAGE
    return VERIFY_BID if kind == constants.BID else VERIFY_RELAY

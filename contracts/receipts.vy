# pragma version 0.4.3
# pragma optimize gas
"""
@title Receipts: has a sequencer's key contradicted itself?
@notice A receipt is a sequencer's signed word that an op stands at a position of its log. Here it is held against
        another receipt of that key, or against a batch that the key itself posted in that generation
        (fraud_proofs/SPEC.md section 5).

        Answers whose word it was, or reverts. Whoever posts what his log holds, and gives no position twice, has
        signed nothing that convicts him here, through rollbacks, reorgs and restarts alike: a batch of another
        submitter, or of another generation, says nothing about a receipt.

@dev No storage, no ether, no owner: the answer depends on the arguments and on the batches of the rollup that asks.
     What a batch claims is taken at its word, for it is the signer's own; only its bytes are looked at.
     Mirrors fraud_proofs/contradictions.py.
@custom:security Nothing is shown here that the key itself has not signed, or posted from its own address.
"""
import constants
import fields
import frames
import orders
import signatures
import witness as witnesses

interface Rollup:
    def batches(index: uint256) -> Batch: view


TWO_RECEIPTS: constant(uint256) = 0
OTHER_OP: constant(uint256) = 1
OTHER_LOG: constant(uint256) = 2
MISSING: constant(uint256) = 3
CANCELLED_FILL: constant(uint256) = 4

RECEIPT_BYTES: constant(uint256) = 141
# kind and signed fields; those of an order are the longest.
REQUEST_BYTES_MAX: constant(uint256) = 109
HASHES_BYTES_MAX: constant(uint256) = 32 * constants.FRAMES_MAX
# Kind, two receipts or one and a request, header, frame hashes, two frames with their steps, an order leaf.
CONTRADICTION_BYTES_MAX: constant(uint256) = 24_576

# Of every op that is posted where it was accepted; a take's claims come before what is signed.
SIGNED_AT: constant(uint256) = 9
TAKE_SIGNED_AT: constant(uint256) = 89


# As the rollup answers it.
struct Batch:
    hash: bytes32
    root: bytes32
    submitted_at: uint256
    time: uint256
    inbox_cursor: uint256
    generation: uint256
    position_to: uint256
    submitter: address
    duty_at: uint256

struct Receipt:
    signer: address
    generation: uint256
    position: uint256
    op_digest: bytes32
    log_hash: bytes32

struct Request:
    data: Bytes[REQUEST_BYTES_MAX]  # kind u8 || signed fields
    end: uint256  # where the proof goes on

struct Posted:
    header: Bytes[constants.HEADER_BYTES]
    frame_count: uint256
    frame_hashes: Bytes[HASHES_BYTES_MAX]
    end: uint256  # where the proof goes on

struct Step:
    op: Bytes[constants.OP_BYTES_MAX]
    index: uint256  # within the batch
    pre_root: bytes32
    end: uint256  # where the proof goes on


@external
@view
def find_signer(domain: bytes32, proof: Bytes[CONTRADICTION_BYTES_MAX]) -> address:
    """
    @notice The key that the proof shows to have contradicted itself; reverts when it shows nothing.
    @param domain What the receipts of the rollup that asks are signed under.
    """
    kind: uint256 = convert(slice(proof, 0, 1), uint256)
    receipt: Receipt = self._read_receipt(domain, proof, 1)
    at: uint256 = 1 + RECEIPT_BYTES
    end: uint256 = 0
    if kind == TWO_RECEIPTS:
        end = self._assert_other_receipt(domain, receipt, proof, at)
    elif kind == OTHER_OP:
        end = self._assert_other_op(domain, receipt, proof, at)
    elif kind == OTHER_LOG:
        end = self._assert_other_log(receipt, proof, at)
    elif kind == MISSING:
        end = self._assert_missing(domain, receipt, proof, at)
    else:
        assert kind == CANCELLED_FILL, "receipts: kind"
        end = self._assert_cancelled_fill(domain, receipt, proof, at)
    assert end == len(proof), "receipts: trailing bytes"
    return receipt.signer


# ---------------------------------------------------------------- Internal: contradictions


@internal
@pure
def _assert_other_receipt(
    domain: bytes32, receipt: Receipt, proof: Bytes[CONTRADICTION_BYTES_MAX], at: uint256
) -> uint256:
    """
    @notice The key has given one position of one generation twice.
    """
    other: Receipt = self._read_receipt(domain, proof, at)
    assert other.signer == receipt.signer, "receipts: signer"
    assert other.generation == receipt.generation and other.position == receipt.position, "receipts: position"
    assert other.op_digest != receipt.op_digest or other.log_hash != receipt.log_hash, "receipts: no contradiction"
    return at + RECEIPT_BYTES


@internal
@view
def _assert_other_op(
    domain: bytes32, receipt: Receipt, proof: Bytes[CONTRADICTION_BYTES_MAX], at: uint256
) -> uint256:
    """
    @notice Another op is posted at the position.
    """
    posted: Posted = self._read_posted(receipt, proof, at)
    step: Step = self._read_step(posted, proof, posted.end)
    assert self._get_position(step.op) == receipt.position, "receipts: position"
    assert not self._is_receipted(domain, receipt, step.op), "receipts: no contradiction"
    return step.end


@internal
@view
def _assert_other_log(receipt: Receipt, proof: Bytes[CONTRADICTION_BYTES_MAX], at: uint256) -> uint256:
    """
    @notice The position is the last one of a batch, which commits another log.
    """
    posted: Posted = self._read_posted(receipt, proof, at)
    assert receipt.position + 1 == fields._uint(posted.header, 180, 8), "receipts: position"
    assert extract32(posted.header, 188) != receipt.log_hash, "receipts: no contradiction"
    return posted.end


@internal
@view
def _assert_missing(
    domain: bytes32, receipt: Receipt, proof: Bytes[CONTRADICTION_BYTES_MAX], at: uint256
) -> uint256:
    """
    @notice The position of a transfer, a withdrawal or a take lies between two neighbouring steps.
    @dev Orders and cancels may be accepted without being posted; what moves money may not.
    """
    request: Request = self._read_request(domain, receipt, proof, at)
    kind: uint256 = convert(slice(request.data, 0, 1), uint256)
    assert kind in [constants.TRANSFER, constants.WITHDRAW, constants.TAKE], "receipts: kind of request"
    posted: Posted = self._read_posted(receipt, proof, request.end)
    left: Step = self._read_step(posted, proof, posted.end)
    right: Step = self._read_step(posted, proof, left.end)
    assert right.index == left.index + 1, "receipts: neighbours"
    # The positions that the two leave free; the ends of a batch carry none, and stand for the header's.
    first: uint256 = fields._uint(posted.header, 172, 8)
    if convert(slice(left.op, 0, 1), uint256) != constants.OPEN:
        first = self._get_position(left.op) + 1
    end: uint256 = fields._uint(posted.header, 180, 8)
    if convert(slice(right.op, 0, 1), uint256) != constants.CLOSE:
        end = self._get_position(right.op)
    assert first <= receipt.position and receipt.position < end, "receipts: no contradiction"
    return right.end


@internal
@view
def _assert_cancelled_fill(
    domain: bytes32, receipt: Receipt, proof: Bytes[CONTRADICTION_BYTES_MAX], at: uint256
) -> uint256:
    """
    @notice An order is filled at a later position than the one at which its cancel, or its replacement, was taken.
    @dev Which order it is that a fill names, its slot's leaf before the fill says. Signed fields of cancel and order
         begin alike: account u32, slot u16, counter u64.
    """
    request: Request = self._read_request(domain, receipt, proof, at)
    kind: uint256 = convert(slice(request.data, 0, 1), uint256)
    assert kind == constants.CANCEL or kind == constants.ORDER, "receipts: kind of request"
    account: uint256 = fields._uint(request.data, 1, 4)
    slot: uint256 = fields._uint(request.data, 5, 2)
    counter: uint256 = fields._uint(request.data, 7, 8)

    posted: Posted = self._read_posted(receipt, proof, request.end)
    step: Step = self._read_step(posted, proof, posted.end)
    assert convert(slice(step.op, 0, 1), uint256) == constants.FILL, "receipts: kind of step"
    fill: orders.Fill = orders._decode_fill(step.op)
    assert fill.decodes and fill.position > receipt.position, "receipts: position"
    is_buyer: bool = fill.buyer == account and fill.buyer_slot == slot
    is_seller: bool = fill.seller == account and fill.seller_slot == slot
    assert is_buyer or is_seller, "receipts: slot"

    leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    end: uint256 = 0
    slot_index: uint256 = orders._get_slot_index(account, slot)
    leaf, end = witnesses._read(proof, step.end, step.pre_root, constants.ORDERS, slot_index)
    assert len(leaf) > 0, "receipts: no order"
    filled: uint256 = fields._uint(leaf, 0, 8)
    assert filled < counter or (filled == counter and kind == constants.CANCEL), "receipts: no contradiction"
    return end


# ---------------------------------------------------------------- Internal: parts of a proof


@internal
@pure
def _read_receipt(domain: bytes32, proof: Bytes[CONTRADICTION_BYTES_MAX], at: uint256) -> Receipt:
    """
    @notice `generation u32 || position u64 || op_digest b32 || log_hash b32 || r b32 || s b32 || v u8`, signed.
    @dev Mirrors sequencer/receipts.py.
    """
    data: Bytes[RECEIPT_BYTES] = slice(proof, at, RECEIPT_BYTES)
    digest: bytes32 = sha256(concat(domain, b"receipt", slice(data, 0, 76)))
    r: uint256 = convert(extract32(data, 76), uint256)
    s: uint256 = convert(extract32(data, 108), uint256)
    signer: address = signatures._recover_signer(digest, r, s, fields._uint(data, 140, 1))
    assert signer != empty(address), "receipts: signature"
    return Receipt(
        signer=signer,
        generation=fields._uint(data, 0, 4),
        position=fields._uint(data, 4, 8),
        op_digest=extract32(data, 12),
        log_hash=extract32(data, 44),
    )


@internal
@pure
def _read_request(
    domain: bytes32, receipt: Receipt, proof: Bytes[CONTRADICTION_BYTES_MAX], at: uint256
) -> Request:
    """
    @notice `length u8 || kind u8 || signed fields`: what the receipt is for.
    @dev No op kind is told by a digest alone; under the domain, one digest has one kind and one run of fields.
    """
    length: uint256 = convert(slice(proof, at, 1), uint256)
    assert length > 0 and length <= REQUEST_BYTES_MAX, "receipts: request"
    data: Bytes[REQUEST_BYTES_MAX] = convert(slice(proof, at + 1, length), Bytes[REQUEST_BYTES_MAX])
    assert sha256(concat(domain, data)) == receipt.op_digest, "receipts: request"
    return Request(data=data, end=at + 1 + length)


@internal
@view
def _read_posted(receipt: Receipt, proof: Bytes[CONTRADICTION_BYTES_MAX], at: uint256) -> Posted:
    """
    @notice `index u64 || header b228 || frame_count u16 || frame_count x b32`: a living batch, pending or final, that
            the receipt's signer posted in the receipt's generation.
    """
    batch: Batch = staticcall Rollup(msg.sender).batches(convert(slice(proof, at, 8), uint256))
    assert batch.submitter == receipt.signer, "receipts: submitter"
    assert batch.generation == receipt.generation, "receipts: generation"
    header: Bytes[constants.HEADER_BYTES] = slice(proof, at + 8, constants.HEADER_BYTES)
    hashes_at: uint256 = at + 10 + constants.HEADER_BYTES
    frame_count: uint256 = convert(slice(proof, hashes_at - 2, 2), uint256)
    assert frame_count <= constants.FRAMES_MAX, "receipts: frame count"
    frame_hashes: Bytes[HASHES_BYTES_MAX] = convert(
        slice(proof, hashes_at, 32 * frame_count), Bytes[HASHES_BYTES_MAX]
    )
    assert sha256(concat(header, frame_hashes)) == batch.hash, "receipts: batch hash"
    return Posted(
        header=header, frame_count=frame_count, frame_hashes=frame_hashes, end=hashes_at + 32 * frame_count
    )


@internal
@pure
def _read_step(posted: Posted, proof: Bytes[CONTRADICTION_BYTES_MAX], at: uint256) -> Step:
    """
    @notice `frame_number u16 || frame_length u32 || frame || step u16`: a step of the batch.
    """
    frame_number: uint256 = convert(slice(proof, at, 2), uint256)
    assert frame_number < posted.frame_count, "receipts: frame number"
    frame_length: uint256 = convert(slice(proof, at + 2, 4), uint256)
    assert frame_length <= constants.FRAME_BYTES_MAX, "receipts: frame length"
    frame: Bytes[constants.FRAME_BYTES_MAX] = convert(
        slice(proof, at + 6, frame_length), Bytes[constants.FRAME_BYTES_MAX]
    )
    assert sha256(frame) == extract32(posted.frame_hashes, 32 * frame_number), "receipts: frame hash"
    number: uint256 = convert(slice(proof, at + 6 + frame_length, 2), uint256)
    step: frames.Step = frames._find_step(frame, number)
    assert step.is_found, "receipts: step"
    return Step(
        op=convert(slice(frame, step.start, step.end - step.start), Bytes[constants.OP_BYTES_MAX]),
        index=frames._get_first_index(frame) + number,
        pre_root=frames._get_pre_root(frame, number, step),
        end=at + 8 + frame_length,
    )


@internal
@pure
def _get_position(op: Bytes[constants.OP_BYTES_MAX]) -> uint256:
    """
    @notice Where an op stands in the log: the first field of all that have one, which `open` and `close` do not.
    """
    assert len(op) >= SIGNED_AT, "receipts: no position"
    return fields._uint(op, 1, 8)


@internal
@pure
def _is_receipted(domain: bytes32, receipt: Receipt, op: Bytes[constants.OP_BYTES_MAX]) -> bool:
    """
    @notice Whether this is the op, posted where it was accepted, that the receipt is for.
    @dev An order is posted to register it, behind the position at which it was accepted; nobody asks for the others.
    """
    kind: uint256 = convert(slice(op, 0, 1), uint256)
    signed_at: uint256 = SIGNED_AT
    signed_bytes: uint256 = 0
    if kind == constants.ORACLE:
        signed_bytes = 38
    elif kind == constants.SURFACE:
        signed_bytes = 90
    elif kind == constants.TRANSFER:
        signed_bytes = 26
    elif kind == constants.WITHDRAW:
        signed_bytes = 22
    elif kind == constants.CANCEL:
        signed_bytes = 18
    elif kind == constants.TAKE:
        signed_at = TAKE_SIGNED_AT
        signed_bytes = 36
    else:
        return False
    assert len(op) >= signed_at + signed_bytes, "receipts: op"
    return signatures._hash_digest(domain, op, signed_at, signed_bytes) == receipt.op_digest

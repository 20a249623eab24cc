"""Has a sequencer's key contradicted itself? What L1 does with a proof of that, in Python (SPEC.md section 5).

A receipt is held against another receipt of its key, or against a batch that the key itself posted in that generation.

Mirrors contracts/receipts.vy.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256
from typing import NamedTuple

from state.batches import FRAME_HEAD_BYTES, HEADER_BYTES, Header, decode_header, hash_batch_commitment
from state.codes import Kind
from state.constants import FRAME_BYTES_MAX, FRAMES_MAX, OP_BYTES_MAX
from state.operations import Fill, decode_operation
from state.receipts import RECEIPT_BYTES, decode_receipt
from state.tree import Path, compute_root, get_depth, hash_leaf, order_key

REQUEST_BYTES_MAX = 109
LEAF_BYTES_MAX = 2044
CONTRADICTION_BYTES_MAX = 24_576

_SIGNED_AT = 9
_SIGNED: dict[int, tuple[int, int]] = {
    Kind.ORACLE: (9, 38),
    Kind.SURFACE: (9, 90),
    Kind.CANCEL: (9, 18),
    Kind.TRANSFER: (9, 26),
    Kind.WITHDRAW: (9, 22),
    Kind.TAKE: (89, 36),
}
"""Of the ops that are posted where they were accepted. An order is posted to register it, behind that position."""


class ContradictionKind(IntEnum):
    """The first byte of a proof."""

    TWO_RECEIPTS = 0
    OTHER_OP = 1
    OTHER_LOG = 2
    MISSING = 3
    CANCELLED_FILL = 4


class BadProof(Exception):
    """The proof shows nothing."""


class L1Batch(NamedTuple):
    """What L1 answers of a batch that lives."""

    hash: bytes
    generation: int
    submitter: bytes


GetBatch = Callable[[int], L1Batch | None]
"""Index -> what L1 keeps; None for a batch that does not live."""


class Receipt(NamedTuple):
    """A receipt and whose it is."""

    signer: bytes
    generation: int
    position: int
    op_digest: bytes
    log_hash: bytes


@dataclass(frozen=True, slots=True)
class _Posted:
    """A batch of the receipt's key and generation: its header and the hashes of its frames."""

    header: Header
    frame_hashes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class _Step:
    """A step of a batch; `index` is within the batch."""

    op: bytes
    index: int
    pre_root: bytes


class _Reader:
    """A proof, read from its first byte to its last. Raises BadProof where it ends too soon."""

    def __init__(self, proof: bytes) -> None:
        self._proof = proof
        self._at = 0

    def take(self, count: int) -> bytes:
        data = self._proof[self._at : self._at + count]
        if len(data) != count:
            raise BadProof("proof: too short")
        self._at += count
        return data

    def take_uint(self, width: int) -> int:
        return int.from_bytes(self.take(width))

    @property
    def is_at_end(self) -> bool:
        return self._at == len(self._proof)


def find_signer(domain: bytes, get_batch: GetBatch, proof: bytes) -> bytes:
    """The key that the proof shows to have contradicted itself. Raises BadProof when it shows nothing."""
    _require(len(proof) <= CONTRADICTION_BYTES_MAX, "too long")
    reader = _Reader(proof)
    kind = reader.take_uint(1)
    receipt = _read_receipt(domain, reader)
    match kind:
        case ContradictionKind.TWO_RECEIPTS:
            _assert_other_receipt(domain, receipt, reader)
        case ContradictionKind.OTHER_OP:
            _assert_other_op(domain, receipt, get_batch, reader)
        case ContradictionKind.OTHER_LOG:
            _assert_other_log(receipt, get_batch, reader)
        case ContradictionKind.MISSING:
            _assert_missing(domain, receipt, get_batch, reader)
        case ContradictionKind.CANCELLED_FILL:
            _assert_cancelled_fill(domain, receipt, get_batch, reader)
        case _:
            raise BadProof("kind")
    _require(reader.is_at_end, "trailing bytes")
    return receipt.signer


# Contradictions


def _assert_other_receipt(domain: bytes, receipt: Receipt, reader: _Reader) -> None:
    """The key has given one position of one generation twice."""
    other = _read_receipt(domain, reader)
    _require(other.signer == receipt.signer, "signer")
    _require((other.generation, other.position) == (receipt.generation, receipt.position), "position")
    _require((other.op_digest, other.log_hash) != (receipt.op_digest, receipt.log_hash), "no contradiction")


def _assert_other_op(domain: bytes, receipt: Receipt, get_batch: GetBatch, reader: _Reader) -> None:
    """Another op is posted at the position."""
    posted = _read_posted(receipt, get_batch, reader)
    step = _read_step(posted, reader)
    _require(_get_position(step.op) == receipt.position, "position")
    _require(not _is_receipted(domain, receipt, step.op), "no contradiction")


def _assert_other_log(receipt: Receipt, get_batch: GetBatch, reader: _Reader) -> None:
    """The position is the last one of a batch, which commits another log."""
    header = _read_posted(receipt, get_batch, reader).header
    _require(receipt.position + 1 == header.position_to, "position")
    _require(header.log_hash != receipt.log_hash, "no contradiction")


def _assert_missing(domain: bytes, receipt: Receipt, get_batch: GetBatch, reader: _Reader) -> None:
    """The position of a transfer, a withdrawal or a take lies between two neighbouring steps.

    Orders and cancels may be accepted without being posted; what moves money may not.
    """
    request = _read_request(domain, receipt, reader)
    _require(request[0] in (Kind.TRANSFER, Kind.WITHDRAW, Kind.TAKE), "kind of request")
    posted = _read_posted(receipt, get_batch, reader)
    left, right = _read_step(posted, reader), _read_step(posted, reader)
    _require(right.index == left.index + 1, "neighbours")
    # The positions that the two leave free; the ends of a batch carry none, and stand for the header's.
    first = posted.header.position_from if left.op[0] == Kind.OPEN else _get_position(left.op) + 1
    end = posted.header.position_to if right.op[0] == Kind.CLOSE else _get_position(right.op)
    _require(first <= receipt.position < end, "no contradiction")


def _assert_cancelled_fill(domain: bytes, receipt: Receipt, get_batch: GetBatch, reader: _Reader) -> None:
    """An order is filled at a later position than the one at which its cancel, or its replacement, was taken.

    Which order it is that a fill names, its slot's leaf before the fill says. Signed fields of cancel and order begin
    alike: account u32, slot u16, counter u64.
    """
    request = _read_request(domain, receipt, reader)
    _require(request[0] in (Kind.CANCEL, Kind.ORDER), "kind of request")
    _require(len(request) >= 15, "request")
    account, slot, counter = (int.from_bytes(request[at:end]) for at, end in ((1, 5), (5, 7), (7, 15)))

    step = _read_step(_read_posted(receipt, get_batch, reader), reader)
    _require(step.op[0] == Kind.FILL, "kind of step")
    fill = decode_operation(step.op)
    if not isinstance(fill, Fill) or fill.position <= receipt.position:
        raise BadProof("position")
    is_buyer = (fill.buyer, fill.buyer_slot) == (account, slot)
    is_seller = (fill.seller, fill.seller_slot) == (account, slot)
    _require(is_buyer or is_seller, "slot")

    leaf = _read_order_leaf(account, slot, step.pre_root, reader)
    _require(len(leaf) >= 8, "no order")
    filled = int.from_bytes(leaf[:8])
    _require(filled < counter or (filled == counter and request[0] == Kind.CANCEL), "no contradiction")


# Parts of a proof


def _read_receipt(domain: bytes, reader: _Reader) -> Receipt:
    """`generation u32 || position u64 || op_digest b32 || log_hash b32 || r b32 || s b32 || v u8`, signed."""
    signed = decode_receipt(reader.take(RECEIPT_BYTES))
    signer = None if signed is None else signed.recover(domain)
    if signed is None or signer is None:
        raise BadProof("signature")
    body = signed.body
    return Receipt(signer, body.generation, body.position, body.op_digest, body.log_hash)


def _read_request(domain: bytes, receipt: Receipt, reader: _Reader) -> bytes:
    """`length u8 || kind u8 || signed fields`: what the receipt is for."""
    length = reader.take_uint(1)
    _require(0 < length <= REQUEST_BYTES_MAX, "request")
    request = reader.take(length)
    _require(sha256(domain + request).digest() == receipt.op_digest, "request")
    return request


def _read_posted(receipt: Receipt, get_batch: GetBatch, reader: _Reader) -> _Posted:
    """`index u64 || header b228 || frame_count u16 || frame_count x b32`: a living batch, pending or final, that the
    receipt's signer posted in the receipt's generation."""
    batch = get_batch(reader.take_uint(8))
    if batch is None or batch.submitter != receipt.signer:
        raise BadProof("submitter")
    _require(batch.generation == receipt.generation, "generation")
    header = reader.take(HEADER_BYTES)
    frame_count = reader.take_uint(2)
    _require(frame_count <= FRAMES_MAX, "frame count")
    frame_hashes = tuple(reader.take(32) for _ in range(frame_count))
    _require(hash_batch_commitment(header, frame_hashes) == batch.hash, "batch hash")
    return _Posted(decode_header(header), frame_hashes)


def _read_step(posted: _Posted, reader: _Reader) -> _Step:
    """`frame_number u16 || frame_length u32 || frame || step u16`: a step of the batch."""
    frame_number, frame_length = reader.take_uint(2), reader.take_uint(4)
    _require(frame_number < len(posted.frame_hashes), "frame number")
    _require(frame_length <= FRAME_BYTES_MAX, "frame length")
    frame = reader.take(frame_length)
    _require(sha256(frame).digest() == posted.frame_hashes[frame_number], "frame hash")
    return _find_step(frame, reader.take_uint(2))


def _read_order_leaf(account: int, slot: int, root: bytes, reader: _Reader) -> bytes:
    """`length u16 || leaf || mask u64 || siblings`: the leaf of an order slot under a root."""
    length = reader.take_uint(2)
    _require(length <= LEAF_BYTES_MAX, "leaf too long")
    leaf, mask, key = reader.take(length), reader.take_uint(8), order_key(account, slot)
    _require(mask >> get_depth(key) == 0, "mask")
    path = Path(mask, tuple(reader.take(32) for _ in range(mask.bit_count())))
    _require(compute_root(key, hash_leaf(key, leaf), path) == root, "leaf")
    return leaf


def _find_step(frame: bytes, number: int) -> _Step:
    """Walk to a step of a frame, however the frame goes on behind it. Raises BadProof when there is no such step."""
    first_index, count = int.from_bytes(frame[32:36]), int.from_bytes(frame[36:38])
    _require(number < count, "step")
    pre_root, end = frame[:32], FRAME_HEAD_BYTES
    for at in range(number + 1):
        length = int.from_bytes(frame[end : end + 2])
        start, end = end + 2, end + 2 + length + 32
        _require(1 <= length <= OP_BYTES_MAX and end <= len(frame), "step")
        if at < number:
            pre_root = frame[end - 32 : end]
    return _Step(frame[start : end - 32], first_index + number, pre_root)


def _get_position(op: bytes) -> int:
    """Where an op stands in the log: the first field of all that have one, which `open` and `close` do not."""
    _require(len(op) >= _SIGNED_AT, "no position")
    return int.from_bytes(op[1:_SIGNED_AT])


def _is_receipted(domain: bytes, receipt: Receipt, op: bytes) -> bool:
    """Whether this is the op, posted where it was accepted, that the receipt is for."""
    if op[0] not in _SIGNED:
        return False
    signed_at, signed_bytes = _SIGNED[op[0]]
    _require(len(op) >= signed_at + signed_bytes, "op")
    return sha256(domain + op[:1] + op[signed_at : signed_at + signed_bytes]).digest() == receipt.op_digest


def _require(holds: bool, what: str) -> None:
    """Raises BadProof."""
    if not holds:
        raise BadProof(f"receipts: {what}")

"""Looks for what contradicts a receipt, and writes the proof of it (SPEC.md section 5).

Whoever holds a receipt keeps the request that it is for; everything else stands on L1, and for a fill in the state.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from typing import NamedTuple

from fraud_proofs.challenger import State
from fraud_proofs.contradictions import ContradictionKind
from fraud_proofs.witness import WitnessLeaf
from state.batches import BatchData, decode_frame, decode_header
from state.codes import Kind
from state.context import StepContext
from state.ledger import Ledger, Slot
from state.operations import (
    Cancel,
    Fill,
    Oracle,
    OrderOp,
    SignedOperation,
    Surface,
    Transfer,
    Withdraw,
    decode_operation,
    hash_digest,
)
from state.receipts import ReceiptBody, decode_receipt
from state.transition import Invalid, apply_step
from state.tree import LeafKey, order_key


@dataclass(frozen=True, slots=True)
class HeldReceipt:
    """A receipt's bytes and the op that it is for; whose receipt it is, the holder has checked."""

    data: bytes
    op: SignedOperation | Oracle | Surface

    @property
    def body(self) -> ReceiptBody:
        """What it says."""
        receipt = decode_receipt(self.data)
        assert receipt is not None, "the holder has checked it"
        return receipt.body

    @property
    def generation(self) -> int:
        """In which it was given."""
        return self.body.generation

    @property
    def position(self) -> int:
        """At which the op is said to stand."""
        return self.body.position

    @property
    def op_digest(self) -> bytes:
        """Of the op."""
        return self.body.op_digest

    @property
    def log_hash(self) -> bytes:
        """Of the log up to that position."""
        return self.body.log_hash

    def encode_request(self) -> bytes:
        """`length u8 || kind u8 || signed fields`."""
        request = bytes([self.op.kind]) + self.op.encode_signed()
        return bytes([len(request)]) + request


class PostedStep(NamedTuple):
    """A step's op, and where it stands in the frames of its batch."""

    op: bytes
    frame: int
    step: int


def prove_other_receipt(one: bytes, other: bytes) -> bytes:
    """Two receipts of one key for one position."""
    return bytes([ContradictionKind.TWO_RECEIPTS]) + one + other


def find_contradiction(domain: bytes, held: HeldReceipt, index: int, batch: BatchData) -> bytes | None:
    """The proof that a posted batch of the receipt's key contradicts it by what it holds at its position, if it does.

    A batch of another generation, or of other positions, does not; nor does one that does not parse: that is fraud.
    """
    header = decode_header(batch.header)
    if header.generation != held.generation or not header.position_from <= held.position < header.position_to:
        return None
    posted = encode_batch(index, batch)
    if held.position + 1 == header.position_to and header.log_hash != held.log_hash:
        return bytes([ContradictionKind.OTHER_LOG]) + held.data + posted
    steps = list(list_steps(batch))
    for left, right in pairwise(steps):
        position = header.position_from - 1 if left.op[0] == Kind.OPEN else _get_position(left.op)
        end = header.position_to if right.op[0] == Kind.CLOSE else _get_position(right.op)
        if position == held.position and not _is_receipted(domain, held, left.op):
            return bytes([ContradictionKind.OTHER_OP]) + held.data + posted + encode_step(batch, left)
        if position < held.position < end and isinstance(held.op, Transfer | Withdraw):
            neighbours = encode_step(batch, left) + encode_step(batch, right)
            return bytes([ContradictionKind.MISSING]) + held.data + held.encode_request() + posted + neighbours
    return None


def find_cancelled_fill(
    held: HeldReceipt, index: int, batch: BatchData, state: State, context: StepContext
) -> bytes | None:
    """The proof that a posted batch of the receipt's key fills an order behind its cancel or replacement, if it does.

    `state` is the one before the batch, and is left as it was; `context` is the batch's.
    """
    if not isinstance(held.op, Cancel | OrderOp) or decode_header(batch.header).generation != held.generation:
        return None
    slot, dead_below = _get_ended(held.op)
    steps = list(list_steps(batch))
    later = [number for number, step in enumerate(steps) if is_later_fill(step.op, held.position, slot)]
    undo: dict[LeafKey, bytes] = {}
    try:
        for number, step in enumerate(steps[: max(later, default=-1) + 1]):
            order = Ledger(state.leaves).get_order(slot)
            if number in later and order is not None and order.counter < dead_below:
                key = order_key(*slot)
                head = bytes([ContradictionKind.CANCELLED_FILL]) + held.data + held.encode_request()
                leaf = WitnessLeaf(key, state.leaves[key], state.tree.prove(key))
                return head + encode_batch(index, batch) + encode_step(batch, step) + leaf.encode()
            ledger = Ledger(state.leaves)
            if isinstance(apply_step(ledger, context.at(number), step.op), Invalid):
                return None
            for written in ledger.writes:
                undo.setdefault(written, state.leaves.get(written, b""))
            state.commit(ledger.writes)
        return None
    finally:
        state.commit(undo)


class FilledOrder(NamedTuple):
    """An order that a fill names: the fill's log position, the order's slot and counter."""

    position: int
    slot: Slot
    counter: int


def list_filled_orders(batch: BatchData, state: State) -> list[FilledOrder]:
    """Both orders of every fill of a batch on top of `state`, read off its ops: right where the batch is."""
    counters: dict[Slot, int] = {}
    filled: list[FilledOrder] = []
    for step in list_steps(batch):
        op = decode_operation(step.op)
        if isinstance(op, OrderOp):
            counters[Slot(op.terms.account, op.terms.slot)] = op.terms.counter
        elif isinstance(op, Fill):
            for slot in (Slot(op.buyer, op.buyer_slot), Slot(op.seller, op.seller_slot)):
                if slot not in counters:
                    held = Ledger(state.leaves).get_order(slot)
                    counters[slot] = 0 if held is None else held.counter
                filled.append(FilledOrder(op.position, slot, counters[slot]))
    return filled


def ends_order(held: HeldReceipt, filled: FilledOrder) -> bool:
    """Whether a receipt's cancel or replacement ended the order before it was filled."""
    if not isinstance(held.op, Cancel | OrderOp) or filled.position <= held.position:
        return False
    slot, dead_below = _get_ended(held.op)
    return filled.slot == slot and filled.counter < dead_below


def _get_ended(op: Cancel | OrderOp) -> tuple[Slot, int]:
    """The slot, and the lowest counter in it that still may be filled."""
    if isinstance(op, Cancel):
        return Slot(op.account, op.slot), op.counter + 1
    return Slot(op.terms.account, op.terms.slot), op.terms.counter


def is_later_fill(data: bytes, position: int, slot: Slot) -> bool:
    """Whether this is a fill of the slot, behind a position."""
    op = decode_operation(data)
    if not isinstance(op, Fill) or op.position <= position:
        return False
    return slot in ((op.buyer, op.buyer_slot), (op.seller, op.seller_slot))


# Parts of a proof


def encode_batch(index: int, batch: BatchData) -> bytes:
    """`index u64 || header b228 || frame_count u16 || frame_count x b32`."""
    hashes = b"".join(sha256(frame).digest() for frame in batch.frames)
    return index.to_bytes(8) + batch.header + len(batch.frames).to_bytes(2) + hashes


def encode_step(batch: BatchData, step: PostedStep) -> bytes:
    """`frame_number u16 || frame_length u32 || frame || step u16`."""
    frame = batch.frames[step.frame]
    return step.frame.to_bytes(2) + len(frame).to_bytes(4) + frame + step.step.to_bytes(2)


def list_steps(batch: BatchData) -> Iterator[PostedStep]:
    """Every step of a batch up to a frame that does not parse."""
    for number, data in enumerate(batch.frames):
        frame = decode_frame(data)
        if frame is None:
            return
        yield from (PostedStep(step.op, number, at) for at, step in enumerate(frame.steps))


def _get_position(op: bytes) -> int:
    """Of any op but open and close."""
    return int.from_bytes(op[1:9])


def _is_receipted(domain: bytes, held: HeldReceipt, data: bytes) -> bool:
    """Whether this is the receipt's op, posted where it was accepted, as no order is."""
    op = decode_operation(data)
    return isinstance(op, Oracle | Cancel | Transfer | Withdraw) and hash_digest(domain, op) == held.op_digest

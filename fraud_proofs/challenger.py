"""The honest challenger: a pure decision about one posted batch.

It re-executes the batch from the last good state and answers the first step that is wrong, the ground, and the proof.
Only the first divergent step is disputed: every honest node holds the state before it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from fraud_proofs.grounds import EFFECT, MALFORMED, Ground, check_ground
from fraud_proofs.witness import Witness, build_witness
from state.batches import BatchData, Frame, Step, decode_frame
from state.context import Receipt, StepContext
from state.ledger import Ledger
from state.transition import Invalid, apply_step
from state.tree import LeafKey, Tree, hash_leaf

PROOF_GAS_MAX = 8_400_000
"""No proof costs more (SPEC.md section 4): half of what a transaction may have (EIP-7825)."""


@dataclass(frozen=True, slots=True)
class Proof:
    """Everything that `prove` takes (SPEC.md section 2)."""

    batch: BatchData
    frame_number: int
    step: int
    ground: Ground
    witness: Witness

    def encode(self) -> bytes:
        """The calldata argument of prove."""
        frame = self.batch.frames[self.frame_number]
        return b"".join(
            (
                self.batch.header,
                len(self.batch.frames).to_bytes(2),
                *(sha256(one).digest() for one in self.batch.frames),
                self.frame_number.to_bytes(2),
                len(frame).to_bytes(4),
                frame,
                self.step.to_bytes(2),
                bytes([self.ground.kind, self.ground.check]),
                self.witness.encode(),
            )
        )


@dataclass(slots=True)
class State:
    """Leaves and the tree over them, moved together."""

    leaves: dict[LeafKey, bytes]
    tree: Tree

    def commit(self, writes: Mapping[LeafKey, bytes]) -> bytes:
        """Write leaves (empty bytes remove one) and answer the new root."""
        for key, data in writes.items():
            if data:
                self.leaves[key] = data
            else:
                self.leaves.pop(key, None)
        return self.tree.update({key: hash_leaf(key, data) for key, data in writes.items()})


@dataclass(frozen=True, slots=True)
class Honest:
    """Every step holds; `undo` is what each written leaf was before, `receipts` one for each step."""

    undo: dict[LeafKey, bytes]
    receipts: list[Receipt]


@dataclass(slots=True)
class _Run:
    """A batch in the course of its re-execution."""

    state: State
    undo: dict[LeafKey, bytes] = field(default_factory=dict)
    receipts: list[Receipt] = field(default_factory=list)

    def apply(self, context: StepContext, step: Step) -> Ground | None:
        """Apply one step; the ground on which it is wrong, and then nothing is applied."""
        ledger = Ledger(self.state.leaves)
        result = apply_step(ledger, context, step.op)
        if isinstance(result, Invalid):
            return check_ground(result.code)
        before = {key: self.state.leaves.get(key, b"") for key in ledger.writes}
        if self.state.commit(ledger.writes) != step.post_root:
            self.state.commit(before)
            return EFFECT
        for key, data in before.items():
            self.undo.setdefault(key, data)
        self.receipts.append(result.receipt)
        return None


def examine_batch(state: State, batch: BatchData, context: StepContext) -> Honest | Proof:
    """Re-execute a batch that L1 accepted. `state` is the parent's; an honest batch moves it, and nothing else does.

    Raises MessageUnknown when the batch takes an L1 message that the caller has not derived yet.
    """
    run = _Run(state)
    is_honest = False
    try:
        proof = _find_fault(run, batch, context)
        is_honest = proof is None
    finally:
        if not is_honest:
            state.commit(run.undo)
    return Honest(run.undo, run.receipts) if proof is None else proof


def _find_fault(run: _Run, batch: BatchData, context: StepContext) -> Proof | None:
    for number, data in enumerate(batch.frames):
        frame = decode_frame(data)
        if frame is None:
            return Proof(batch, number, 0, MALFORMED, Witness(()))
        proof = _examine_frame(run, batch, number, frame, context)
        if proof is not None:
            return proof
    return None


def _examine_frame(run: _Run, batch: BatchData, number: int, frame: Frame, context: StepContext) -> Proof | None:
    for offset, step in enumerate(frame.steps):
        here = context.at(frame.first_index + offset)
        ground = run.apply(here, step)
        if ground is not None:
            witness = build_witness(run.state.leaves, run.state.tree, here, step.op, ground)
            return Proof(batch, number, offset, ground, witness)
    return None

"""Steps of a replay put to the contracts: the true root must not convict, another must, and no check may fail.

Every settlement, auction, take and deleveraging is put to every check of its kind; of all other steps a drawn share is
put to its effect and to one drawn check.
"""

import random
from dataclasses import dataclass, field, replace

from devnet.crash_follower import PostedStep
from fraud_proofs.challenger import Proof
from fraud_proofs.grounds import EFFECT, Ground, check_ground
from fraud_proofs.witness import build_witness
from state.batches import BatchData, Step, decode_frame
from state.codes import Kind
from state.transition import PROCESSES
from tests.parity.tribunal import Ruling, Tribunal

ALWAYS_KINDS = (Kind.SETTLE, Kind.LIQUIDATE, Kind.TAKE, Kind.DELEVERAGE)


@dataclass(slots=True)
class Bytecode:
    """Counts steps; raises AssertionError at the first on which the contract and the node disagree."""

    tribunal: Tribunal
    messages: list[bytes]
    share: float
    dice: random.Random
    executed: dict[str, int] = field(default_factory=dict)
    rulings: int = 0
    _told: int = 0

    @property
    def steps(self) -> int:
        """Steps that the bytecode has executed."""
        return sum(self.executed.values())

    def examine(self, step: PostedStep) -> None:
        """Put a step to the contract, if it is drawn or of a kind that always is."""
        kind = Kind(step.op[0])
        is_always = kind in ALWAYS_KINDS
        if not is_always and self.dice.random() >= self.share:
            return
        while self._told < len(self.messages):
            self.tribunal.take_message(self.messages[self._told])
            self._told += 1
        self._expect(step, EFFECT, step.batch, Ruling.NOT_SHOWN)
        self._expect(step, EFFECT, forge_root(step), Ruling.FRAUD)
        codes = [code for code, _ in PROCESSES[kind].checks]
        for code in codes if is_always else codes and [self.dice.choice(codes)]:
            self._expect(step, check_ground(code), step.batch, Ruling.NOT_SHOWN)
        self.executed[kind.name.lower()] = self.executed.get(kind.name.lower(), 0) + 1

    def _expect(self, step: PostedStep, ground: Ground, batch: BatchData, wanted: Ruling) -> None:
        witness = build_witness(step.state.leaves, step.state.tree, step.context, step.op, ground)
        proof = Proof(batch, step.frame_number, step.offset, ground, witness)
        ruling = self.tribunal.rule(batch.batch_hash, proof.encode())
        name = f"{Kind(step.op[0]).name} {ground}"
        assert ruling is wanted, f"{name}: the contract says {ruling.value}, not {wanted.value}"
        self.rulings += 1


def forge_root(step: PostedStep) -> BatchData:
    """The batch with another root after the step."""
    frame = decode_frame(step.batch.frames[step.frame_number])
    assert frame is not None
    steps = list(frame.steps)
    root = bytes([step.post_root[0] ^ 1]) + step.post_root[1:]
    steps[step.offset] = Step(step.op, root)
    frames = list(step.batch.frames)
    frames[step.frame_number] = replace(frame, steps=tuple(steps)).encode()
    return BatchData(step.batch.header, tuple(frames))

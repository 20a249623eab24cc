"""A step in dispute: where it stands, the state before it, and what can be said against it."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from fraud_proofs.challenger import Proof, State
from fraud_proofs.grounds import EFFECT, Ground, check_ground
from fraud_proofs.step import BadWitness, is_fraud_shown
from fraud_proofs.witness import Witness, build_witness
from state.batches import BatchData, Frame, Step
from state.codes import Code, Kind
from state.context import StepContext
from state.ledger import Ledger
from state.transition import Invalid, Valid, apply_step
from state.tree import LeafKey
from tests.contracts.scene import Scene, draw_exhibit
from tests.parity.tally import Tally
from tests.parity.tribunal import Ruling, Tribunal

EXHIBITS = 2
"""Other scenarios that are tried for each margin."""


@dataclass(frozen=True, slots=True)
class Case:
    """A claimed step: `state` stands before it, and step `offset` of frame `frame_number` of `batch` is it."""

    state: State
    context: StepContext
    pre_root: bytes
    op: bytes
    post_root: bytes
    batch: BatchData
    frame_number: int
    offset: int

    def judge(self) -> Valid | Invalid:
        """What the rules say of the op here."""
        return apply_step(Ledger(self.state.leaves), self.context, self.op)

    def build_witness(self, ground: Ground) -> Witness:
        """The honest one."""
        return build_witness(self.state.leaves, self.state.tree, self.context, self.op, ground)

    def rule(self, ground: Ground, witness: Witness) -> Ruling:
        """The ruling of the Python twin."""
        try:
            shown = is_fraud_shown(self.context, self.op, ground, witness, self.pre_root, self.post_root)
        except BadWitness:
            return Ruling.BAD_WITNESS
        return Ruling.FRAUD if shown else Ruling.NOT_SHOWN

    def encode(self, ground: Ground, witness: Witness) -> bytes:
        """The whole proof."""
        return Proof(self.batch, self.frame_number, self.offset, ground, witness).encode()

    def compute_post_root(self) -> bytes:
        """The root after a valid op."""
        ledger = Ledger(self.state.leaves)
        assert isinstance(apply_step(ledger, self.context, self.op), Valid)
        before = {key: self.state.leaves.get(key, b"") for key in ledger.writes}
        root = self.state.commit(ledger.writes)
        self.state.commit(before)
        return root

    def claim(self, op: bytes, post_root: bytes, chance: random.Random) -> "Case":
        """Another step in the place of this one, in a batch made around it."""
        return enclose(self.state, self.context, op, post_root, chance)

    def compare(self, tribunal: Tribunal, tally: Tally, ground: Ground) -> Ruling:
        """The ruling on a proof with the honest witness, on which contract and twin agree."""
        witness = self.build_witness(ground)
        ruling = tribunal.rule(self.batch.batch_hash, self.encode(ground, witness))
        assert ruling is self.rule(ground, witness), f"{ground} of {self.op.hex()}: the contract says {ruling.value}"
        assert ruling is not Ruling.BAD_WITNESS, f"{ground} of {self.op.hex()}: an honest witness is refused"
        tally.add(ground, ruling)
        if witness.scenarios is not None:
            self.compare_exhibits(tribunal, ground, witness, ruling)
        return ruling

    def compare_exhibits(self, tribunal: Tribunal, ground: Ground, witness: Witness, honest: Ruling) -> None:
        """Whatever scenarios a prover exhibits, contract and twin agree, and where the honest ones convict nobody no
        others do. They follow from the bytes of the op."""
        chance = random.Random(self.op)
        for _ in range(EXHIBITS):
            other = replace(witness, scenarios=draw_exhibit(chance))
            ruling = tribunal.rule(self.batch.batch_hash, self.encode(ground, other))
            told = f"{ground} of {self.op.hex()} under {other.scenarios}"
            assert ruling is self.rule(ground, other), f"{told}: the contract says {ruling.value}"
            assert ruling is Ruling.NOT_SHOWN or ruling is honest, told


def enclose(state: State, context: StepContext, op: bytes, post_root: bytes, chance: random.Random) -> Case:
    """A step in a batch made around it: in one of several frames, behind and before steps that mean nothing."""
    pre_root = state.tree.root
    offset = min(context.step, chance.choice((0, 1, 5)))
    before = [Step(chance.randbytes(chance.randint(1, 40)), chance.randbytes(32)) for _ in range(offset)]
    first_root = chance.randbytes(32) if offset else pre_root
    if offset:
        before[-1] = before[-1]._replace(post_root=pre_root)
    after = [Step(chance.randbytes(chance.randint(1, 40)), chance.randbytes(32)) for _ in range(chance.randrange(3))]
    frame = Frame(first_root, context.step - offset, (*before, Step(op, post_root), *after)).encode()
    number, count = chance.choice(((0, 1), (0, 2), (1, 2), (2, 5)))
    frames = [frame if i == number else chance.randbytes(80) for i in range(count)]
    batch = BatchData(context.header.encode(), tuple(frames))
    return Case(state, context, pre_root, op, post_root, batch, number, offset)


@contextmanager
def overlay(state: State, scene: Scene) -> Iterator[None]:
    """The state with the leaves of a scene; at the end it is as it was."""
    before = {key: state.leaves.get(key, b"") for key in list_changed(state, scene)}
    state.commit({key: scene.leaves.get(key, b"") for key in before})
    try:
        yield
    finally:
        state.commit(before)


@contextmanager
def bent(case: Case, scene: Scene, chance: random.Random) -> Iterator[Case]:
    """The case in the state, under the header and with the op of a bent scene; at the end the state is as it was."""
    with overlay(case.state, scene):
        yield enclose(case.state, scene.context, scene.op, chance.randbytes(32), chance)


def list_changed(state: State, scene: Scene) -> list[LeafKey]:
    """The leaves that a scene has bent, in the order of their keys."""
    keys = sorted(state.leaves.keys() | scene.leaves.keys())
    return [key for key in keys if state.leaves.get(key, b"") != scene.leaves.get(key, b"")]


def list_grounds(kind: Kind) -> list[Ground]:
    """Every check of the kind from number 0 on, and EFFECT."""
    return [*(check_ground(code) for code in Code if code // 100 == kind), EFFECT]

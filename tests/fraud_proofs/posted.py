"""A posted batch in a test: the state before it, honest or with lies put into it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from fraud_proofs.challenger import Honest, Proof, State, examine_batch
from fraud_proofs.grounds import GroundKind
from fraud_proofs.step import is_fraud_shown, is_malformed
from state.batches import BatchData, Frame, Header, Step, decode_frame, decode_header, pack_frames
from state.codes import Code
from state.constants import EXPIRY_STEP
from state.context import StepContext
from state.leaves import call, perpetual
from state.ledger import Ledger
from state.process_deleverage import claim_deleverage
from state.process_interest import claim_interest
from state.process_liquidate import claim_liquidate
from state.tree import LeafKey, build_tree
from tests.workload import random_steps
from tests.world import MIX, WEEK, Attempt, World, open_mixed_market

FRAME_BYTES = 400
"""Small, so that a batch of some steps has many frames."""


@dataclass(frozen=True)
class Posted:
    """A batch of a world on top of the leaves before it."""

    world: World
    leaves: dict[LeafKey, bytes]
    header: Header
    steps: tuple[Step, ...]

    @property
    def batch(self) -> BatchData:
        """As it is posted: post_root and step_count are what its frames say, since L1 checks that."""
        header = replace(self.header, post_root=self.steps[-1].post_root, step_count=len(self.steps))
        frames = pack_frames(header.pre_root, self.steps, FRAME_BYTES)
        return BatchData(header.encode(), tuple(frame.encode() for frame in frames))

    def with_steps(self, steps: Sequence[Step]) -> "Posted":
        """The same with other steps."""
        return replace(self, steps=tuple(steps))

    def with_step(self, at: int, change: Callable[[Step], Step]) -> "Posted":
        """The same with one step changed."""
        return self.with_steps([change(step) if at == number else step for number, step in enumerate(self.steps)])

    def with_header(self, **changes: object) -> "Posted":
        """The same under a header with these claims."""
        return replace(self, header=replace(self.header, **changes))  # type: ignore[arg-type]

    def build_state(self) -> State:
        """The parent's state, fresh."""
        return State(dict(self.leaves), build_tree(self.leaves.items()))

    def get_attempt(self, at: int) -> Attempt:
        """The honest step of that number, before it was played."""
        played = [step for step in self.world.steps if step.context.header.index == self.header.index]
        return played[at].attempt

    def get_context(self, batch: BatchData) -> StepContext:
        """Everybody's context of the batch."""
        return StepContext(decode_header(batch.header), 0, self.world.domain, self.world.get_message)

    def examine(self, batch: BatchData | None = None) -> Honest | Proof:
        """The challenger's verdict; a wrong batch leaves the state as it was."""
        batch, state = batch or self.batch, self.build_state()
        found = examine_batch(state, batch, self.get_context(batch))
        if isinstance(found, Proof):
            assert state.leaves == self.leaves
            assert state.tree.root == build_tree(self.leaves.items()).root
            assert state.tree.root == self.header.pre_root
        return found

    def convict(self, batch: BatchData | None = None) -> "Conviction":
        """The challenger's proof, which the judge takes."""
        proof = self.examine(batch)
        assert isinstance(proof, Proof), "the batch was found honest"
        data = proof.batch.frames[proof.frame_number]
        frame = decode_frame(data)
        if proof.ground.kind is GroundKind.MALFORMED:
            assert is_malformed(data)
            return Conviction(proof.frame_number, None, proof)
        assert frame is not None
        at = frame.first_index + proof.step
        pre_root = frame.pre_root if proof.step == 0 else frame.steps[proof.step - 1].post_root
        step = frame.steps[proof.step]
        context = self.get_context(proof.batch).at(at)
        assert is_fraud_shown(context, step.op, proof.ground, proof.witness, pre_root, step.post_root)
        return Conviction(proof.frame_number, at, proof)


@dataclass(frozen=True)
class Conviction:
    """Where a batch is wrong: the frame, and the step in the batch unless the frame is malformed."""

    frame: int
    step: int | None
    proof: Proof

    @property
    def code(self) -> Code | None:
        """The check that failed; None when it was the effect, or the frame."""
        return self.proof.ground.code


def post_history(seed: int, count: int = 40) -> Posted:
    """A batch of some random steps on top of an open market."""
    world = open_mixed_market(seed)
    world.seal()
    leaves, header = dict(world.steps[-1].leaves), world.context.header
    for _ in random_steps(world, count):
        if world.batch_index != header.index:
            break
    if world.batch_index == header.index:
        world.seal(b"l" * 32)
    played = [step for step in world.steps if step.context.header.index == header.index]
    steps = tuple(Step(step.op, step.post_root) for step in played)
    return Posted(world, leaves, played[-1].context.header, steps)


def ruin_two() -> World:
    """A market in which Alice holds a call that has settled, Dave's auction is over, and Erin is short of margin."""
    world = open_mixed_market()
    world.trade("alice", "bob", call(0, WEEK, 18_000_000), 10, 300_000, max_fee_ppm=100_000)
    world.settle_expiry(0, WEEK, 19_000_000)
    for name in ("dave", "erin"):
        world.deposit(name, 200_000_000_000)
        world.tick(1)
        world.price(0, 17_000_000)
        world.trade(name, "bob", 0, 100_000, 17_000_000)
    world.tick(1)
    world.price(0, 15_000_000)
    world.play(claim_liquidate(Ledger(world.state.leaves), world.position, world.person("dave").account))
    world.tick(1200)
    return world


def post_market() -> Posted:
    """A batch with an op of every kind, of which the last but one is a withdrawal."""
    world = ruin_two()
    world.seal()
    leaves = dict(world.steps[-1].leaves)
    world.deposit("alice", 5)
    world.tick(3)
    for underlying, price in ((0, 15_000_000), (1, 7_100_000)):
        world.price(underlying, price)
    world.index(MIX)
    world.read_surface(0, WEEK + EXPIRY_STEP)
    world.trade("alice", "carol", 1, 100, 7_000_000)
    world.place("carol", 1, 5, 6_900_000)
    world.play(world.sign_cancel("carol"))
    world.settle("alice")
    world.play(claim_interest(Ledger(world.state.leaves), world.position, world.person("erin").account))
    world.play(claim_liquidate(Ledger(world.state.leaves), world.position, world.person("erin").account))
    world.play(world.sign_take("carol", "dave", 100_000))
    dave, bob = world.person("dave").account, world.person("bob").account
    world.play(claim_deleverage(Ledger(world.state.leaves), world.position, dave, bob, perpetual(0), 10))
    world.play(world.sign_transfer("alice", "bob", 7))
    world.play(world.sign_withdraw("bob", 8))
    index = world.batch_index
    world.seal(b"l" * 32)
    played = [step for step in world.steps if step.context.header.index == index]
    steps = tuple(Step(step.op, step.post_root) for step in played)
    return Posted(world, leaves, played[-1].context.header, steps)


def tear_frame(batch: BatchData, number: int, data: bytes) -> BatchData:
    """The batch with other bytes for one frame."""
    return batch._replace(frames=(*batch.frames[:number], data, *batch.frames[number + 1 :]))


def read_frame(batch: BatchData, number: int) -> Frame:
    """A frame that parses."""
    frame = decode_frame(batch.frames[number])
    assert frame is not None
    return frame

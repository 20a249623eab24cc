"""A follower of the replay: it re-executes every posted batch from its bytes and compares root by root.

Steps that a chooser picks are handed on with the state before them, so that the contract's bytecode can be asked too.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from fraud_proofs.challenger import State
from sequencer.batcher import Batcher
from sequencer.engine import Sealed
from state.batches import BatchData, decode_frame, decode_header
from state.context import StepContext
from state.genesis import Genesis
from state.ledger import Ledger
from state.transition import Valid, apply_step
from state.tree import build_tree


@dataclass(frozen=True, slots=True)
class PostedStep:
    """A step where it stands in a batch, and the state before it (which moves on when the call returns)."""

    batch: BatchData
    frame_number: int
    offset: int
    context: StepContext
    op: bytes
    state: State
    post_root: bytes


def watch_nothing(step: PostedStep) -> None:
    """For whoever compares roots alone."""


@dataclass(slots=True)
class CrashFollower:
    """Roots that departed are counted; `on_step` sees each step before it is applied."""

    genesis: Genesis
    domain: bytes
    messages: list[bytes]
    on_step: Callable[[PostedStep], None] = watch_nothing
    divergent_roots: int = 0
    steps: int = 0
    batches: int = 0
    state: State = field(init=False)
    _batcher: Batcher = field(init=False)

    def __post_init__(self) -> None:
        leaves = self.genesis.build_leaves()
        self.state = State(leaves, build_tree(leaves.items()))
        self._batcher = Batcher(build_tree(leaves.items()), self.genesis.batch_hash)

    def follow(self, sealed: list[Sealed]) -> None:
        """Build the batches as the sequencer posts them, then forget all but their bytes and execute those."""
        for one in sealed:
            self._execute(self._batcher.build(one))
            self.batches += 1
        sealed.clear()

    def _execute(self, batch: BatchData) -> None:
        context = StepContext(decode_header(batch.header), 0, self.domain, self.messages.__getitem__)
        for number, data in enumerate(batch.frames):
            frame = decode_frame(data)
            assert frame is not None, "the sequencer's own frame does not parse"
            for offset, step in enumerate(frame.steps):
                here = context.at(frame.first_index + offset)
                self.on_step(PostedStep(batch, number, offset, here, step.op, self.state, step.post_root))
                ledger = Ledger(self.state.leaves)
                result = apply_step(ledger, here, step.op)
                is_same = isinstance(result, Valid) and self.state.commit(ledger.writes) == step.post_root
                self.divergent_roots += not is_same
                self.steps += 1

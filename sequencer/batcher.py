"""From sealed ops to a posted batch: roots after every step, frames, the final header.

This is where the tree is kept: off the hot path, since nobody who trades waits for a root.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from sequencer.engine import PostedOp, Sealed
from state.batches import BatchData, Step, pack_frames
from state.tree import Tree, hash_leaf


@dataclass(slots=True)
class Batcher:
    """The tree and the hash of the last batch; one writer.

    Roots may be computed while a batch is still open, a few at a time, so that sealing it takes no long breath.
    """

    tree: Tree
    parent: bytes
    _pre_root: bytes = b""
    _steps: list[Step] = field(default_factory=list)

    def advance(self, ops: Sequence[PostedOp]) -> None:
        """Compute the roots of those of the open batch's ops, of which there is a first, that have none yet."""
        if not self._steps:
            self._pre_root = self.tree.root
        for posted in ops[len(self._steps) :]:
            hashes = {key: hash_leaf(key, data) for key, data in posted.writes.items()}
            self._steps.append(Step(posted.op, self.tree.update(hashes)))

    def build(self, sealed: Sealed) -> BatchData:
        """The batch of sealed ops with their roots, in the order of sealing, cut into frames."""
        self.advance(sealed.ops)
        steps, pre_root = self._steps, self._pre_root
        header = replace(sealed.header, parent=self.parent, pre_root=pre_root, post_root=steps[-1].post_root)
        frames = tuple(frame.encode() for frame in pack_frames(pre_root, steps))
        batch = BatchData(header.encode(), frames)
        self.parent, self._steps = batch.batch_hash, []
        return batch


@dataclass(frozen=True, slots=True)
class SealRule:
    """When a batch is worth posting."""

    bytes_max: int = 90_000
    age_max: int = 10

    def is_due(self, pending_bytes: int, pending_count: int, age: int) -> bool:
        """Full enough, or old enough and not empty (`open` alone is nothing)."""
        return pending_bytes >= self.bytes_max or (pending_count > 1 and age >= self.age_max)

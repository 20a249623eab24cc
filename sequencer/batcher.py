"""From sealed ops to a posted batch: roots after every step, frames, the final header.

This is where the tree is kept: off the hot path, since nobody who trades waits for a root.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sequencer.engine import Sealed
from state.batches import BatchData, Step, pack_frames
from state.tree import LeafKey, Tree, hash_leaf


@dataclass(slots=True)
class Batcher:
    """The tree and the hash of the last batch; one writer."""

    tree: Tree
    parent: bytes

    def build(self, sealed: Sealed) -> BatchData:
        """Compute the roots of a sealed batch, in the order of sealing, and cut it into frames."""
        pre_root = self.tree.root
        steps = [
            Step(
                posted.op,
                self.tree.update({key: hash_leaf(key, data) for key, data in posted.writes.items()}),
            )
            for posted in sealed.ops
        ]
        header = replace(sealed.header, parent=self.parent, pre_root=pre_root, post_root=steps[-1].post_root)
        frames = tuple(frame.encode() for frame in pack_frames(pre_root, steps))
        batch = BatchData(header.encode(), frames)
        self.parent = batch.batch_hash
        return batch

    def rewind(self, undo: Mapping[LeafKey, bytes], parent: bytes) -> None:
        """Take a batch back: its leaves as they were before, and the hash of the batch before it."""
        self.tree.update({key: hash_leaf(key, data) for key, data in undo.items()})
        self.parent = parent


@dataclass(frozen=True, slots=True)
class SealRule:
    """When a batch is worth posting."""

    bytes_max: int = 90_000
    age_max: int = 10

    def is_due(self, pending_bytes: int, pending_count: int, age: int) -> bool:
        """Full enough, or old enough and not empty (`open` alone is nothing)."""
        return pending_bytes >= self.bytes_max or (pending_count > 1 and age >= self.age_max)

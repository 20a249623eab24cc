"""From sealed ops to a posted batch: roots after every step, frames, the final header.

This is where the tree is kept: off the hot path, since nobody who trades waits for a root.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from sequencer.engine import PostedOp, Sealed
from state.batches import BatchData, Step, pack_frames
from state.tree import LeafKey, Root, Tree, build_tree, hash_leaf


class BatchBuilder(Protocol):
    """What makes batches of sealed ops, here or in another process: the seam behind which the tree is kept."""

    @property
    def root(self) -> Root:
        """Of the state behind the last batch."""

    @property
    def parent(self) -> bytes:
        """The hash of the last batch."""

    def advance(self, ops: Sequence[PostedOp]) -> None:
        """Of the open batch's ops so far, `open` included: their roots may be computed while more come. No batch that
        is sealed may wait for `build` then."""

    def build(self, sealed: Sealed) -> BatchData:
        """The next batch, in the order of sealing."""


OpenBatcher = Callable[[Mapping[LeafKey, bytes], bytes], BatchBuilder]
"""(leaves of a state, hash of the batch before it) -> what builds the batches behind it."""


@dataclass(slots=True)
class Batcher:
    """The tree and the hash of the last batch; one writer.

    Roots may be computed while a batch is still open, a few at a time, so that sealing it takes no long breath.
    """

    tree: Tree
    parent: bytes
    _pre_root: bytes = b""
    _steps: list[Step] = field(default_factory=list)

    @property
    def root(self) -> Root:
        """Of the tree as it stands."""
        return self.tree.root

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


def open_batcher(leaves: Mapping[LeafKey, bytes], parent: bytes) -> Batcher:
    """A batcher on a state, behind batch `parent`."""
    return Batcher(build_tree(leaves.items()), parent)


@dataclass(frozen=True, slots=True)
class SealRule:
    """When a batch is worth posting."""

    bytes_max: int = 90_000
    age_max: int = 10

    def is_due(self, pending_bytes: int, pending_count: int, age: int) -> bool:
        """Full enough, or old enough and not empty (`open` alone is nothing)."""
        return pending_bytes >= self.bytes_max or (pending_count > 1 and age >= self.age_max)

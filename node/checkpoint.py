"""What a sequencer keeps on disk beside its log: where the leaves there stand, where batches ended, and the batches.

None of it is the truth. A checkpoint that does not come to its own root and digest is refused and made again from the
log, on top of the leaves with which its generation began.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256

from state.batches import BatchData, decode_batch
from state.codec import Value, decode, encode
from state.store import Store, StoreError
from state.tree import LeafKey


@dataclass(frozen=True, slots=True)
class Head:
    """Where a checkpoint stands: after batch `index` with hash `parent`, at state root `root`.

    The open batch is of `generation`; its log goes on at `position`, behind `log_hash`.
    """

    generation: int
    index: int
    parent: bytes
    position: int
    log_hash: bytes
    root: bytes

    def encode(self) -> bytes:
        """As kept under one name."""
        return encode([self.generation, self.index, self.parent, self.position, self.log_hash, self.root])


def decode_head(data: bytes) -> Head:
    """The inverse of Head.encode. Raises StoreError."""
    value = decode(data)
    if not isinstance(value, list) or len(value) != 6:
        raise StoreError("the data folder was written by another release; move it away to start anew")
    return Head(*value)  # type: ignore[arg-type]


DIGEST_BYTES = 32
_DIGEST_MODULUS = 1 << 8 * DIGEST_BYTES


def add_to_digest(digest: bytes, gone: Iterable[tuple[bytes, bytes]], come: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The digest of all slots, the sum of their hashes, after some (key, value) went and others came.

    It finds what a disk has damaged. Against somebody who can write there it is none: nothing is.
    """
    total = int.from_bytes(digest)
    total -= sum(_hash_slot(key, value) for key, value in gone)
    total += sum(_hash_slot(key, value) for key, value in come)
    return (total % _DIGEST_MODULUS).to_bytes(DIGEST_BYTES)


def _hash_slot(key: bytes, value: bytes) -> int:
    return int.from_bytes(sha256(key + value).digest()) if value else 0


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a batch ended: before the log's record `position`, with this hash. Kept as long as its generation's log."""

    position: int
    batch_hash: bytes

    def encode(self) -> bytes:
        """40 bytes."""
        return self.position.to_bytes(8) + self.batch_hash


def decode_mark(data: bytes) -> Mark:
    """The inverse of Mark.encode."""
    return Mark(int.from_bytes(data[:8]), data[8:])


@dataclass(frozen=True, slots=True)
class SealedRecord:
    """A sealed batch as it is kept until it is final, and what was on disk before it."""

    batch: BatchData
    before: Head
    leaves: dict[LeafKey, bytes]
    slots: dict[bytes, bytes]

    def encode(self) -> bytes:
        """As kept under its index."""
        leaves: list[Value] = [part for item in self.leaves.items() for part in item]
        slots: list[Value] = [part for item in self.slots.items() for part in item]
        return encode([self.batch.encode(), self.before.encode(), leaves, slots])


def decode_sealed(data: bytes) -> SealedRecord:
    """The inverse of SealedRecord.encode. Raises StoreError."""
    value = decode(data)
    assert isinstance(value, list)
    batch_bytes, before, leaves, slots = value
    batch = decode_batch(batch_bytes)  # type: ignore[arg-type]
    if batch is None:
        raise StoreError("a sealed batch on disk does not parse: the data folder is damaged")
    return SealedRecord(
        batch,
        decode_head(before),  # type: ignore[arg-type]
        dict(zip(leaves[::2], leaves[1::2], strict=True)),  # type: ignore[index, arg-type]
        dict(zip(slots[::2], slots[1::2], strict=True)),  # type: ignore[index, arg-type]
    )


class SealedBatches(Mapping[int, BatchData]):
    """Batches that are sealed, on disk and not final, by index, in order.

    A window can be days long: they are read from disk when they are asked for.
    """

    def __init__(self, store: Store, indices: Iterable[int]) -> None:
        self._store = store
        self._indices: dict[int, None] = dict.fromkeys(indices)

    def __getitem__(self, index: int) -> BatchData:
        if index not in self._indices:
            raise KeyError(index)
        return self.read(index).batch

    def __iter__(self) -> Iterator[int]:
        return iter(list(self._indices))

    def __len__(self) -> int:
        return len(self._indices)

    def read(self, index: int) -> SealedRecord:
        """All that is kept of one that is on disk. Raises StoreError."""
        data = self._store.read_sealed(index)
        if data is None:
            raise StoreError(f"{self._store.folder}: sealed batch {index} is gone: the data folder is damaged")
        return decode_sealed(data)

    def note_written(self, index: int) -> None:
        """It is on disk now."""
        self._indices[index] = None

    def forget(self, index: int) -> None:
        """It is final."""
        del self._indices[index]

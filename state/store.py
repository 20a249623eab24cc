"""LevelDB: the only disk of the state. Leaves, the op log, order slots and sealed batches, each under its own prefix.

The log is the truth, on top of its base, the leaves on which its generation began: a record is durable before anybody
is told of it. Leaves and slots are a checkpoint of it, as of the last sealed batch, and can be made again from base,
log and marks, which say where batches end; tree nodes are never stored. Every `commit` is one atomic write.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

import plyvel

from state.tree import LeafKey

_LEAF = b"leaf"
_LOG = b"log:"
_SLOT = b"slot"
_SEAL = b"seal"
_META = b"meta"
_BASE = b"base"
_MARK = b"mark"
_MESSAGE = b"mesg"
_BATCH = b"btch"


class StoreError(Exception):
    """The data folder cannot be used; the text says why and what to do."""


def _u64(number: int) -> bytes:
    return number.to_bytes(8)


class Store:
    """One folder, one process. Raises StoreError when it cannot be opened or written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._db = plyvel.DB(str(folder / "leveldb"), create_if_missing=True)
        except plyvel.IOError as error:
            raise StoreError(
                f"{folder}: another process holds this data folder, or it cannot be read: {error}"
            ) from error
        except plyvel.Error as error:
            raise StoreError(f"{folder}: the data folder is damaged: {error}; move it away to start anew") from error
        except OSError as error:
            raise StoreError(f"{folder}: cannot be created: {error}") from error

    def close(self) -> None:
        """Release the folder."""
        self._db.close()

    def __enter__(self) -> "Store":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Reading

    def read_leaves(self) -> dict[LeafKey, bytes]:
        """Every leaf, as of the last commit that wrote leaves."""
        return self._read_leaves(_LEAF)

    def read_base(self) -> dict[LeafKey, bytes]:
        """Every leaf, as of the last reset."""
        return self._read_leaves(_BASE)

    def _read_leaves(self, prefix: bytes) -> dict[LeafKey, bytes]:
        return {
            LeafKey(int.from_bytes(key[len(prefix) :])): data
            for key, data in self._db.iterator(prefix=prefix, fill_cache=False)
        }

    def read_meta(self, name: str) -> bytes | None:
        """One small named value."""
        found: bytes | None = self._db.get(_META + name.encode())
        return found

    def read_log(self, generation: int, position: int) -> Iterator[tuple[int, bytes]]:
        """(position, record) of a generation from a position on, in order."""
        prefix = _LOG + generation.to_bytes(4)
        for key, data in self._db.iterator(start=prefix + _u64(position), stop=_LOG + (generation + 1).to_bytes(4)):
            yield int.from_bytes(key[len(prefix) :]), data

    def read_slots(self) -> Iterator[tuple[bytes, bytes]]:
        """(slot, what the engine remembers of it)."""
        for key, data in self._db.iterator(prefix=_SLOT):
            yield key[len(_SLOT) :], data

    def read_sealed(self, index: int) -> bytes | None:
        """What is kept of a sealed batch."""
        found: bytes | None = self._db.get(_SEAL + _u64(index))
        return found

    def read_messages(self) -> list[bytes]:
        """L1 messages as a replica keeps them, in order."""
        return [data for _, data in self._db.iterator(prefix=_MESSAGE)]

    def read_batches(self) -> list[tuple[int, bytes]]:
        """(index, what a replica keeps of a posted batch), in order."""
        return [(int.from_bytes(key[len(_BATCH) :]), data) for key, data in self._db.iterator(prefix=_BATCH)]

    def read_marks(self, index: int) -> Iterator[tuple[int, bytes]]:
        """(batch index, mark) from an index on, in order."""
        for key, data in self._db.iterator(start=_MARK + _u64(index), stop=_MARK + b"\xff" * 9):
            yield int.from_bytes(key[len(_MARK) :]), data

    # Writing

    def keep_replica(
        self,
        meta: Mapping[str, bytes],
        leaves: Mapping[LeafKey, bytes],
        messages: Mapping[int, bytes],
        batches: Mapping[int, bytes],
    ) -> None:
        """Move what a replica keeps on by some blocks, atomically. Empty bytes remove a leaf or a batch."""
        changes = {_META + name.encode(): data for name, data in meta.items()}
        changes.update({_BATCH + _u64(index): data for index, data in batches.items()})
        changes.update({_MESSAGE + _u64(index): data for index, data in messages.items()})
        changes.update({_LEAF + _u64(key): data for key, data in leaves.items()})
        self._write(changes)

    def forget_replica(self, name: str) -> None:
        """Drop all that `keep_replica` wrote, and the value of that name."""
        self._write({_META + name.encode(): b"", **self._clear(_LEAF, _MESSAGE, _BATCH)})

    def append_log(self, generation: int, records: Sequence[tuple[int, bytes]]) -> None:
        """Make a group of log records durable: when this returns they survive a crash of the machine."""
        prefix = _LOG + generation.to_bytes(4)
        self._write({prefix + _u64(position): data for position, data in records})

    def commit(
        self,
        *,
        leaves: Mapping[LeafKey, bytes] | None = None,
        slots: Mapping[bytes, bytes] | None = None,
        sealed: tuple[int, bytes] | None = None,
        forget_batches: Sequence[int] = (),
        marks: Mapping[int, bytes] | None = None,
        meta: Mapping[str, bytes] | None = None,
    ) -> None:
        """One durable, atomic change, what it is about first. Empty bytes remove a leaf, a slot, a mark or a value."""
        changes = {_META + name.encode(): data for name, data in (meta or {}).items()}
        if sealed is not None:
            changes[_SEAL + _u64(sealed[0])] = sealed[1]
        changes.update({_SEAL + _u64(index): b"" for index in forget_batches})
        changes.update({_MARK + _u64(index): data for index, data in (marks or {}).items()})
        changes.update({_LEAF + _u64(key): data for key, data in (leaves or {}).items()})
        changes.update({_SLOT + key: data for key, data in (slots or {}).items()})
        self._write(changes)

    def reset(self, leaves: Mapping[LeafKey, bytes], meta: Mapping[str, bytes]) -> None:
        """Put another state in the place of this one, atomically: leaves, base and values; no slots, batches, marks.

        The log is kept: it is told apart by generation, and what was acknowledged in it stays readable.
        """
        changes = {_META + name.encode(): data for name, data in meta.items()}
        changes.update(self._clear(_LEAF, _SLOT, _SEAL, _BASE, _MARK))
        changes.update({prefix + _u64(key): data for prefix in (_LEAF, _BASE) for key, data in leaves.items()})
        self._write(changes)

    def fall_back(self, meta: Mapping[str, bytes]) -> None:
        """Give up the checkpoint, atomically: the leaves are those of the base again; no slots, no batches."""
        changes = {_META + name.encode(): data for name, data in meta.items()}
        changes.update(self._clear(_LEAF, _SLOT, _SEAL))
        changes.update({_LEAF + _u64(key): data for key, data in self.read_base().items()})
        self._write(changes)

    def _clear(self, *prefixes: bytes) -> dict[bytes, bytes]:
        return {key: b"" for prefix in prefixes for key in self._db.iterator(prefix=prefix, include_value=False)}

    def _write(self, changes: Mapping[bytes, bytes]) -> None:
        try:
            with self._db.write_batch(transaction=True, sync=True) as batch:
                for key, data in changes.items():
                    if data:
                        batch.put(key, data)
                    else:
                        batch.delete(key)
        except plyvel.Error as error:
            raise StoreError(f"{self.folder}: a write failed, nothing of it was acknowledged: {error}") from error

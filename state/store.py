"""LevelDB: the only disk of the state. Leaves, the op log, order slots and sealed batches, each under its own prefix.

The log is the truth: a record is durable before anybody is told of it. Leaves are a cache of it, as of the last sealed
batch; tree nodes are never stored. Every `commit` is one atomic write.
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
        return {
            LeafKey(int.from_bytes(key[len(_LEAF) :])): data
            for key, data in self._db.iterator(prefix=_LEAF, fill_cache=False)
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

    def read_sealed(self) -> list[tuple[int, bytes]]:
        """(batch index, posted bytes) of every sealed batch that is kept, in order."""
        return [(int.from_bytes(key[len(_SEAL) :]), data) for key, data in self._db.iterator(prefix=_SEAL)]

    # Writing

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
        meta: Mapping[str, bytes] | None = None,
    ) -> None:
        """One durable, atomic change, what it is about first. Empty bytes remove a leaf, a slot or a value."""
        changes = {_META + name.encode(): data for name, data in (meta or {}).items()}
        if sealed is not None:
            changes[_SEAL + _u64(sealed[0])] = sealed[1]
        changes.update({_SEAL + _u64(index): b"" for index in forget_batches})
        changes.update({_LEAF + _u64(key): data for key, data in (leaves or {}).items()})
        changes.update({_SLOT + key: data for key, data in (slots or {}).items()})
        self._write(changes)

    def reset(self, leaves: Mapping[LeafKey, bytes], meta: Mapping[str, bytes]) -> None:
        """Put another state in the place of this one, atomically: leaves and values; no slots, no sealed batches.

        The log is kept: it is told apart by generation, and what was acknowledged in it stays readable.
        """
        changes = {_META + name.encode(): data for name, data in meta.items()}
        changes.update({key: b"" for prefix in (_LEAF, _SLOT, _SEAL) for key, _ in self._db.iterator(prefix=prefix)})
        changes.update({_LEAF + _u64(key): data for key, data in leaves.items()})
        self._write(changes)

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

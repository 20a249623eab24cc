"""The op log in LevelDB: the default behind the seam of sequencer/oplog.py.

A sequencer keeps it in a folder of its own: within one, every write waits for the one before it, and a group that
people wait for would wait for a sealed batch, which nobody waits for.

An epoch is one taking-over of the log. It is durable, so a writer that was left behind finds out at its next append.
"""

from collections.abc import Iterator, Sequence

from sequencer.oplog import Fenced, LogRecord, decode_record
from state.store import Store

_EPOCH = "log epoch"
LOG_FOLDER = "log"
"""Of a sequencer's data folder, where its log is."""


class LevelDbLog:
    """An OpLog in a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def epoch(self) -> int:
        """The highest that has fenced this log; 0 before the first."""
        return int.from_bytes(self._store.read_meta(_EPOCH) or b"\0")

    def fence(self, epoch: int) -> None:
        """Take the log over. Raises Fenced when this epoch or a higher one holds it, StoreError when it cannot."""
        if epoch <= self.epoch:
            raise Fenced(f"epoch {self.epoch} holds this log; epoch {epoch} cannot take it")
        self._store.commit(meta={_EPOCH: epoch.to_bytes(8)})

    def append_group(self, epoch: int, generation: int, records: Sequence[LogRecord]) -> None:
        """Make a group durable, all or none. Raises Fenced, StoreError; then nobody may be told of any of it."""
        if epoch != self.epoch:
            raise Fenced(f"epoch {self.epoch} holds this log; a writer of epoch {epoch} must stop")
        if records:
            self._store.append_log(generation, [(record.position, record.encode()) for record in records])

    def read_from(self, generation: int, position: int) -> Iterator[LogRecord]:
        """Every record of a generation from a position on, in order."""
        for at, data in self._store.read_log(generation, position):
            yield decode_record(at, data)

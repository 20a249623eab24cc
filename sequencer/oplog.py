"""The sequencing log: everything that was accepted, posted or not, in one order.

Positions start at 0 in each generation and have no gaps. The hash runs over every record, so one hash in a `close`
commits the whole log so far. The log stands behind a seam: where it is kept is not this package's business.
"""

import hashlib
from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import NamedTuple, Protocol


class RecordKind(IntEnum):
    """ACCEPTED: a request that is not posted (yet). POSTED: an op of the chain, with its position inside."""

    ACCEPTED = 0
    POSTED = 1


_KIND_BYTES = tuple(bytes([kind]) for kind in RecordKind)


class LogRecord(NamedTuple):
    """One position of the log."""

    position: int
    kind: RecordKind
    body: bytes

    def encode(self) -> bytes:
        """As it is kept: `kind u8 || body`; the position is its address."""
        return _KIND_BYTES[self.kind] + self.body


def decode_record(position: int, data: bytes) -> LogRecord:
    """From what was kept at a position."""
    return LogRecord(position, RecordKind(data[0]), data[1:])


def hash_log(log_hash: bytes, record: LogRecord) -> bytes:
    """The log's hash after one more record."""
    body = hashlib.sha256(record.encode()).digest()
    return hashlib.sha256(log_hash + record.position.to_bytes(8) + body).digest()


class Fenced(Exception):
    """Another writer has taken the log over: whoever holds an older epoch must stop."""


class OpLog(Protocol):
    """Where the log is kept. One writer at a time, told apart by epochs."""

    @property
    def epoch(self) -> int:
        """The highest that holds the log; 0 before the first."""

    def fence(self, epoch: int) -> None:
        """Take the log over; raises Fenced when a higher epoch holds it. Later writes of lower epochs are refused."""

    def append_group(self, epoch: int, generation: int, records: Sequence[LogRecord]) -> None:
        """Make a group of records durable, all or none. Raises Fenced."""

    def read_from(self, generation: int, position: int) -> Iterator[LogRecord]:
        """Every record of a generation from a position on, in order."""

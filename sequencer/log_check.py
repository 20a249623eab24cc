"""A log that somebody gave out, against what L1 holds: is it the one that `close` commits to, and was it posted so?

Every batch of the log's generation commits its hash at one position, and posts some of its records; between the two a
log cannot be bent without an alarm. What is behind the last posted batch is the sequencer's word until then.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import zip_longest
from typing import NamedTuple

from sequencer.oplog import LogRecord, RecordKind, decode_record, hash_log
from state.batches import BatchData, Header, decode_frame, decode_header
from state.codes import Kind


class AlarmCode(IntEnum):
    """What may be wrong with a feed."""

    GAP = 9301
    OTHER_LOG = 9302
    OTHER_OP = 9303
    NOT_POSTED = 9304
    OP_INVALID = 9305
    PRIORITY_BROKEN = 9306


EXPLANATIONS: dict[AlarmCode, str] = {
    AlarmCode.GAP: "the feed gives something else than the next records of the log",
    AlarmCode.OTHER_LOG: "the feed's log has another hash than the posted batch commits to",
    AlarmCode.OTHER_OP: "a batch posts an op that the feed's log does not have at its position",
    AlarmCode.NOT_POSTED: "the feed's log has an op to post, and the batch that goes beyond it does not hold it",
    AlarmCode.OP_INVALID: "the feed's log has an op that may not stand on the chain",
    AlarmCode.PRIORITY_BROKEN: "the feed's log does not follow from its requests by price and time",
}


class Alarm(NamedTuple):
    """One departure of a feed, and the position in its generation where it shows."""

    code: AlarmCode
    generation: int
    position: int

    def __str__(self) -> str:
        words = EXPLANATIONS[self.code]
        return f"{self.code.value} {self.code.name}: generation {self.generation}, position {self.position}: {words}"


def decode_records(position: int, data: Sequence[object]) -> list[LogRecord] | None:
    """Records as a feed gives them, from a position on; None when they are not such, or of another place."""
    records: list[LogRecord] = []
    for at, item in enumerate(data, position):
        if not isinstance(item, bytes) or len(item) < 2 or item[0] not in (RecordKind.ACCEPTED, RecordKind.POSTED):
            return None
        record = decode_record(at, item)
        if record.kind is RecordKind.POSTED and record.body[1:9] != at.to_bytes(8):
            return None
        records.append(record)
    return records


ReadFrom = Callable[[int], Iterator[LogRecord]]
"""Position -> every record of the log from there on, in order and without a gap."""


@dataclass(slots=True)
class LogCheck:
    """One generation's log beside the batches of it, in their order, from the first. `read_from` reads the log."""

    generation: int
    read_from: ReadFrom
    position: int = 0
    log_hash: bytes = bytes(32)
    _waiting: deque[tuple[Header, BatchData]] = field(default_factory=deque)

    def add_batch(self, batch: BatchData) -> None:
        """L1 holds another batch. One of another generation says nothing of this log."""
        header = decode_header(batch.header)
        if header.generation == self.generation:
            self._waiting.append((header, batch))

    def compare(self, end: int) -> Alarm | None:
        """Hold the log, which ends at `end`, against every batch that it reaches the end of; the first departure."""
        while self._waiting and self._waiting[0][0].position_to <= end:
            header, batch = self._waiting.popleft()
            code, position = self._compare(header, batch)
            if code is not None:
                return Alarm(code, self.generation, position)
        return None

    def _compare(self, header: Header, batch: BatchData) -> tuple[AlarmCode | None, int]:
        logged: list[tuple[int, bytes]] = []
        for record in self.read_from(self.position):
            if record.position == header.position_to:
                break
            self.log_hash = hash_log(self.log_hash, record)
            if record.kind is RecordKind.POSTED:
                logged.append((record.position, record.body))
        self.position = header.position_to
        code, position = find_difference(logged, list_posted(batch))
        if code is None and self.log_hash != header.log_hash:
            code, position = AlarmCode.OTHER_LOG, header.position_to - 1
        return code, position


def list_posted(batch: BatchData) -> list[tuple[int, bytes]]:
    """(position, op) of every op of a batch that has a position; none of a frame that does not parse."""
    frames = [frame for data in batch.frames if (frame := decode_frame(data))]
    ops = (step.op for frame in frames for step in frame.steps)
    return [(int.from_bytes(op[1:9]), op) for op in ops if op[0] not in (Kind.OPEN, Kind.CLOSE)]


def find_difference(
    logged: Iterable[tuple[int, bytes]], posted: Iterable[tuple[int, bytes]]
) -> tuple[AlarmCode | None, int]:
    """The first position where what a log has to post is not what a batch holds."""
    for ours, theirs in zip_longest(logged, posted):
        if ours == theirs:
            continue
        if theirs is None or (ours is not None and ours[0] < theirs[0]):
            return AlarmCode.NOT_POSTED, ours[0]
        return AlarmCode.OTHER_OP, theirs[0]
    return None, 0

"""A log that somebody gave out, against what L1 holds: is it the one that `close` commits to, and was it posted so?

Every batch of the log's generation commits its hash at one position, and posts some of its records; between the two a
log cannot be bent without an alarm. What is behind the last posted batch is the sequencer's word until then.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import reduce
from itertools import takewhile, zip_longest
from typing import NamedTuple

from sequencer.oplog import LogRecord, RecordKind, decode_record, hash_log
from state.batches import BatchData, decode_frame, decode_header
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


ENDS_KEPT_MAX = 1_000


@dataclass(slots=True)
class LogCheck:
    """One generation's log beside the batches of it. `read_from` reads the log.

    In order each record is read once; after a reorg batches may come again, and some other way than before.
    """

    generation: int
    read_from: ReadFrom
    _hashes: dict[int, bytes] = field(default_factory=lambda: {0: bytes(32)})

    def compare(self, batch: BatchData) -> Alarm | None:
        """Hold a batch of the generation against the log, which reaches its end; the first departure."""
        header = decode_header(batch.header)
        logged: list[tuple[int, bytes]] = []
        log_hash = self._get_hash(header.position_from)
        for record in self._read(header.position_from, header.position_to):
            log_hash = hash_log(log_hash, record)
            if record.kind is RecordKind.POSTED:
                logged.append((record.position, record.body))
        self._hashes[header.position_to] = log_hash
        if len(self._hashes) > ENDS_KEPT_MAX:
            del self._hashes[next(iter(self._hashes))]
        code, position = find_difference(logged, list_posted(batch))
        if code is None and log_hash != header.log_hash:
            code, position = AlarmCode.OTHER_LOG, header.position_to - 1
        return None if code is None else Alarm(code, self.generation, position)

    def _get_hash(self, position: int) -> bytes:
        """Of the log up to a position, where the last batch ended as a rule."""
        if position not in self._hashes:
            self._hashes[position] = reduce(hash_log, self._read(0, position), bytes(32))
        return self._hashes[position]

    def _read(self, start: int, end: int) -> Iterator[LogRecord]:
        return takewhile(lambda record: record.position < end, self.read_from(start))


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

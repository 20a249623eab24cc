"""The feed: everything that the sequencer has accepted, with its position, to whoever subscribes; from any position.

It is the log as it was made durable, record for record, so a reader can compute the hash that receipts and `close`
commit to (sequencer/log_check.py), and replay the matching (sequencer/matching_audit.py). Whoever reads at the head is
served from memory; whoever is behind reads the log, one part at a time among all who are behind, so that no reader's
history delays the head. A reader that does not read is paused, and at last cut, by its connection alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import trio

from node.gateway import Method, MethodError, Send, Stream, take_int
from sequencer.oplog import LogRecord, OpLog
from state.codec import Value

FEED_NOT_BEGUN = 9200
FEED_BEYOND_END = 9201
FEED_NOT_KEPT = 9202
FEED_FULL = 9203

# A part and what frames it fit FRAME_BYTES_MAX, whatever the length of its last record.
PART_BYTES_MAX = 48_000
TAIL_RECORDS_MAX = 20_000
PACE_SECONDS = 0.005


@dataclass(slots=True)
class FeedCounters:
    """What the metrics page tells of a feed."""

    readers: int = 0
    parts: int = 0
    records: int = 0
    end: int = 0


class Feed:
    """One log's feed. `begin` it with the generation that is served at the head, and tell it what is durable."""

    def __init__(self, log: OpLog, *, readers_max: int = 256) -> None:
        self._log = log
        self._readers_max = readers_max
        self._generation = 0
        self._tail: list[bytes] = []
        self._news = trio.Event()
        self._behind = trio.Lock()
        self.counters = FeedCounters()

    @property
    def generation(self) -> int:
        """The one that is served at the head."""
        return self._generation

    @property
    def end(self) -> int:
        """The position behind the last durable record of the generation."""
        return self.counters.end

    def begin(self, generation: int) -> None:
        """Serve a generation at the head, from what the log holds of it. Readers of others are told when they end."""
        self._generation = generation
        self.counters.end = find_end(self._log, generation)
        self._tail.clear()
        self._announce()

    def publish(self, generation: int, records: Sequence[LogRecord]) -> None:
        """Records that have just become durable, in order and without a gap."""
        if not records:
            return
        if generation != self._generation:
            # The log holds them already.
            self.begin(generation)
            return
        self._tail += [record.encode() for record in records]
        if len(self._tail) > 2 * TAIL_RECORDS_MAX:
            del self._tail[:-TAIL_RECORDS_MAX]
        self.counters.end = records[-1].position + 1
        self._announce()

    def _announce(self) -> None:
        self._news.set()
        self._news = trio.Event()

    # What a gateway serves

    @property
    def methods(self) -> dict[str, Method]:
        """`feed_head`."""
        return {"feed_head": self._get_head}

    @property
    def streams(self) -> dict[str, Stream]:
        """`subscribe`."""
        return {"subscribe": self._subscribe}

    async def _get_head(self, arguments: list[Value]) -> Value:
        """[] -> [generation, position behind its last record]."""
        return [self._generation, self.counters.end]

    async def _subscribe(self, send: Send, arguments: list[Value]) -> Value:
        """[generation, from position] -> parts [generation, position, records], in order and without a gap.

        A record is `kind u8 || body`, as it is hashed. When the generation is over, the last answer is the number of
        the one that is served now.
        """
        generation = take_int(arguments, 0, "generation", 1 << 32)
        position = take_int(arguments, 1, "from_position")
        self._check_place(generation, position)
        self.counters.readers += 1
        try:
            while True:
                news = self._news
                part = await self._read(generation, position)
                if part:
                    self.counters.parts += 1
                    self.counters.records += len(part)
                    await send([generation, position, list(part)])
                    position += len(part)
                elif generation != self._generation:
                    return self._generation
                else:
                    await news.wait()
                    # What comes close behind goes with it.
                    await trio.sleep(PACE_SECONDS)
        finally:
            self.counters.readers -= 1

    def _check_place(self, generation: int, position: int) -> None:
        """Raises MethodError for a place that this log does not have, or for one reader too many."""
        if generation > self._generation:
            raise MethodError(
                FEED_NOT_BEGUN, f"generation: {self._generation} is served here; a later one has not begun"
            )
        end = self.end if generation == self._generation else find_end(self._log, generation)
        if position > end:
            raise MethodError(FEED_BEYOND_END, f"from_position: the log of generation {generation} ends at {end}")
        if self.counters.readers >= self._readers_max:
            raise MethodError(FEED_FULL, "too many readers: read from a follower")

    async def _read(self, generation: int, position: int) -> Sequence[bytes]:
        """The records of one part; none at the end of the log."""
        start = self.end - len(self._tail)
        if generation == self._generation and position >= start:
            return _cut(self._tail, position - start)
        async with self._behind:
            part = self._read_log(generation, position)
            await trio.sleep(PACE_SECONDS)
            return part

    def _read_log(self, generation: int, position: int) -> list[bytes]:
        part: list[bytes] = []
        size = 0
        for record in self._log.read_from(generation, position):
            if record.position != position + len(part):
                raise MethodError(FEED_NOT_KEPT, f"from_position: what stood before {record.position} is not kept here")
            part.append(record.encode())
            size += len(part[-1])
            if size >= PART_BYTES_MAX:
                break
        return part


def _cut(records: Sequence[bytes], start: int) -> Sequence[bytes]:
    """From a place on as much as one part may hold."""
    size = 0
    for at in range(start, len(records)):
        size += len(records[at])
        if size >= PART_BYTES_MAX:
            return records[start : at + 1]
    return records[start:]


def find_end(log: OpLog, generation: int) -> int:
    """The position behind the last record of a generation, by halving: positions have no gaps."""

    def reaches(position: int) -> bool:
        return next(iter(log.read_from(generation, position)), None) is not None

    if not reaches(0):
        return 0
    step = 1
    while reaches(step):
        step *= 2
    known, beyond = step // 2, step
    while beyond - known > 1:
        middle = (known + beyond) // 2
        known, beyond = (middle, beyond) if reaches(middle) else (known, middle)
    return known + 1

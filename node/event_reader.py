"""Following a rollup's events on an L1 that may change its mind.

    reader = EventReader(rollup)
    reading = reader.read()          # again and again; `await in_thread(reader.read)` beside other tasks
    if reading.is_reorg:
        ...                          # forget every event of block reading.first and later
    for event in reading.events: ...

A read that fails leaves no trace: the next one tells what it would have told.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from node.errors import L1Behind, L1Inconsistent
from node.l1 import Block
from node.rollup import Rollup
from sequencer.derivation import L1Cursor
from state.l1_events import L1Event

ATTEMPTS = 3
"""The L1 may move while it is read; so often one read starts over."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The events of blocks `first` to `head`. After a reorg `first` lies below what was read before.

    Events up to block `finalized` stay for ever. Those up to `settled`, which lies at or below it, are not told again,
    unless all are: an endpoint that had left something out is read anew from the rollup's genesis.
    """

    events: tuple[L1Event, ...]
    first: int
    head: Block
    finalized: int
    is_reorg: bool
    settled: int = -1


@dataclass(frozen=True, slots=True)
class ReadPoint:
    """A block up to which everything was read, and the cursor there; without a hash, the one before the rollup's."""

    number: int
    hash: bytes | None
    cursor: L1Cursor


class EventReader:
    """One reader of one rollup; it remembers the blocks it has read since the last finalized one."""

    def __init__(self, rollup: Rollup, first: int | None = None, start: ReadPoint | None = None) -> None:
        """`first` is the block of the rollup's deployment or an earlier one; without it, it is looked for.

        With `start`, a finalized block of an earlier reader's, only what follows it is told.

        What the reader has told its caller ends at block `_told`; the checkpoints may have had to go back further.
        """
        self.rollup = rollup
        self._first = rollup.first_block if first is None else first
        self._checkpoints: list[ReadPoint] = [] if start is None else [start]
        self._told = -1

    @property
    def settled(self) -> ReadPoint:
        """The last block that is never read again; only after a read."""
        return self._checkpoints[0]

    def read(self, tag: str = "latest") -> Reading:
        """Every event since the last read, up to the block that the tag names. Raises L1Error."""
        if not self._checkpoints:
            birth = self.rollup.l1.find_birth(self.rollup.address) if self._first is None else self._first
            self._checkpoints.append(ReadPoint(birth - 1, None, L1Cursor()))
        for _ in range(ATTEMPTS):
            reading = self._read_once(tag)
            if reading is not None:
                self._told = reading.head.number
                return reading
        raise L1Inconsistent("the L1 changed under every attempt to read it; try again, or use another endpoint")

    def _read_once(self, tag: str) -> Reading | None:
        """None when the head left the chain in the meantime."""
        l1 = self.rollup.l1
        finalized, head = l1.get_block("finalized").number, l1.get_block(tag)
        if head.number < self._checkpoints[-1].number:
            # Not yet a reorg: who replaces blocks soon has more of them, and who lags has not.
            raise L1Behind(
                f"L1 stands at block {head.number}, and block {self._checkpoints[-1].number} was read already"
            )
        self._drop_dead_checkpoints()
        start = self._checkpoints[-1]
        events: list[L1Event] = []
        fresh: list[ReadPoint] = []
        cursor = start.cursor
        for first, last in _split(start.number + 1, head.number, finalized):
            try:
                cursor, found = self.rollup.read_events(cursor, first, last)
            except L1Inconsistent:
                # A log may have been missing in an earlier read already, unnoticed: begin at the beginning.
                self._checkpoints.clear()
                raise
            block = head if last == head.number else l1.get_block(last)
            fresh.append(ReadPoint(last, block.hash, cursor))
            events.extend(found)
        if l1.get_block(head.number).hash != head.hash:
            return None
        self._checkpoints.extend(fresh)
        self._forget_before(finalized)
        settled = self._checkpoints[0].number
        return Reading(tuple(events), start.number + 1, head, finalized, start.number < self._told, settled)

    def _drop_dead_checkpoints(self) -> None:
        """Go back to the last block that is still there. Raises L1Inconsistent when it was finalized."""
        while (last := self._checkpoints[-1]).hash is not None:
            if self.rollup.l1.get_block(last.number).hash == last.hash:
                return
            if len(self._checkpoints) == 1:
                raise L1Inconsistent(f"L1 block {last.number} was finalized and has changed: use another endpoint")
            self._checkpoints.pop()

    def _forget_before(self, finalized: int) -> None:
        """Keep the last checkpoint that is finalized and all after it."""
        while len(self._checkpoints) > 1 and self._checkpoints[1].number <= finalized:
            self._checkpoints.pop(0)


def _split(first: int, last: int, finalized: int) -> Iterator[tuple[int, int]]:
    """Blocks `first` to `last`, cut behind the finalized one: what precedes it will never be read again."""
    if first <= finalized < last:
        yield first, finalized
        first = finalized + 1
    if first <= last:
        yield first, last

"""The audit of a feed: whoever doubts that the sequencer matches by price and time replays its log from the start.

The state before a generation's first batch and the messages come from L1, the log from any feed of it, and the hash of
the log is held against what every posted batch commits to. Nothing of it is the sequencer's word.
"""

from contextlib import aclosing
from dataclasses import dataclass

import trio

from fraud_proofs.replica import ForeignContract, Replica
from node.client import Client, GatewayAddress, open_client
from node.errors import NodeError, WrongContract
from node.event_reader import EventReader
from node.l1 import in_thread
from node.rollup import Rollup
from sequencer.log_check import Alarm, AlarmCode, decode_records
from sequencer.matching_audit import Departure, MatchingAudit
from sequencer.oplog import LogRecord, hash_log
from state.batches import HEADER_BYTES, decode_header
from state.codec import Value
from state.context import MessageUnknown
from state.l1_events import BatchPosted, MessageSent
from state.tree import LeafKey


class NotAuditable(NodeError):
    """There is no such generation, or no feed of it from its first position."""


@dataclass(frozen=True, slots=True)
class AuditReport:
    """Of a generation's positions below `end`: how many fills there were, the last position that L1 commits to, and
    the first departure, if there is one."""

    generation: int
    end: int
    fills: int
    committed: int
    departure: Departure | Alarm | None

    def __str__(self) -> str:
        if self.departure is not None:
            return f"departure: {self.departure}"
        return (
            f"generation {self.generation}, positions 0 to {self.end - 1}: {self.fills} fills, all by price and time; "
            f"L1 commits to this log up to position {self.committed - 1}"
        )


class FeedAudit:
    """One generation's log, taken in order. Blocking; `look` first."""

    def __init__(self, rollup: Rollup, generation: int) -> None:
        self._rollup = rollup
        self._generation = generation
        self._domain = rollup.get_domain()
        self._reader = EventReader(rollup)
        self._messages: list[bytes] = []
        # Ends of posted batches -> the hash that each commits to; and of the log, position -> hash where it is not
        # compared yet.
        self._ends: dict[int, bytes] = {}
        self._hashes: dict[int, bytes] = {0: bytes(32)}
        self._audit: MatchingAudit | None = None
        self._log_hash = bytes(32)
        self.position = 0
        self.committed = 0
        self.departure: Departure | Alarm | None = None

    @property
    def fills(self) -> int:
        """How many were audited."""
        return 0 if self._audit is None else self._audit.fills

    def look(self) -> None:
        """Read what L1 says now. Raises L1Error, NotAuditable."""
        reading = self._reader.read()
        if reading.is_reorg:
            self._reader = EventReader(self._rollup)
            self._messages.clear()
            self._ends.clear()
            reading = self._reader.read()
        if self._audit is None:
            self._audit = MatchingAudit(
                self._derive_start(reading.events), self._domain, self._generation, self._get_message
            )
        for event in reading.events:
            if isinstance(event, MessageSent):
                self._messages.append(event.data)
            elif isinstance(event, BatchPosted) and event.generation == self._generation:
                header = decode_header(event.data[:HEADER_BYTES])
                self._ends[header.position_to] = header.log_hash
        self._compare()

    def _derive_start(self, events: tuple[object, ...]) -> dict[LeafKey, bytes]:
        """The state before the generation's first batch, or at the tip while it has none."""
        replica = Replica(self._domain)
        try:
            for event in events:
                if isinstance(event, BatchPosted) and event.generation >= self._generation:
                    if event.generation > self._generation:
                        raise NotAuditable(f"generation {self._generation} has no batch on L1: nothing of it binds")
                    break
                replica.apply(event)  # type: ignore[arg-type]
        except ForeignContract as error:
            raise WrongContract(f"this rollup cannot be followed: {error}") from error
        return replica.state.leaves

    def _get_message(self, index: int) -> bytes:
        if index >= len(self._messages):
            raise MessageUnknown(f"L1 message {index} is not known")
        return self._messages[index]

    def take(self, records: list[LogRecord]) -> bool:
        """Audit the next records; False at the first departure. Raises MessageUnknown: `look`, and take the rest."""
        assert self._audit is not None, "look comes first"
        for record in records:
            found = self._audit.take(record)
            if found is not None:
                self.departure = found
                return False
            self._log_hash = hash_log(self._log_hash, record)
            self.position = record.position + 1
            self._hashes[self.position] = self._log_hash
        self._compare()
        return self.departure is None

    def _compare(self) -> None:
        """Hold the log against the batches whose ends it has reached."""
        for end in sorted(end for end in self._ends if end <= self.position):
            log_hash = self._ends.pop(end)
            if end in self._hashes and self._hashes[end] != log_hash and self.departure is None:
                self.departure = Alarm(AlarmCode.OTHER_LOG, self._generation, end - 1)
            self.committed = max(self.committed, end)
        self._hashes = {position: value for position, value in self._hashes.items() if position > self.committed}

    def report(self) -> AuditReport:
        """How it stands."""
        return AuditReport(self._generation, self.position, self.fills, self.committed, self.departure)


async def audit_feed(
    rollup: Rollup, source: GatewayAddress, generation: int | None, *, is_endless: bool, poll_seconds: float
) -> AuditReport:
    """Audit a generation (None: the one that is served now) up to where its log ends now, or until a departure.

    Raises NotAuditable, L1Error, and what a client raises.
    """
    async with open_client(*source) as client:
        head, end = await _ask_head(client)
        audit = FeedAudit(rollup, head if generation is None else generation)
        await in_thread(audit.look)
        next_look = trio.current_time()
        parts = client.stream("subscribe", head if generation is None else generation, 0)
        async with aclosing(parts):
            async for part in parts:
                if isinstance(part, int):
                    break
                await _take_part(audit, part, poll_seconds)
                is_at_end = audit.position >= end and generation in (None, head)
                if is_at_end and trio.current_time() >= next_look:
                    await in_thread(audit.look)
                    next_look = trio.current_time() + poll_seconds
                if audit.departure is not None or (is_at_end and not is_endless):
                    break
        return audit.report()


async def _ask_head(client: Client) -> tuple[int, int]:
    match await client.call("feed_head"):
        case [int(generation), int(end)] if end > 0:
            return generation, end
    raise NotAuditable("this gateway feeds no log: name a sequencer's, or that of a follower that has one")


async def _take_part(audit: FeedAudit, part: Value, poll_seconds: float) -> None:
    """Audit one part, waiting for L1 where the log is ahead of it."""
    match part:
        case [int(), int(position), [*data]] if position == audit.position:
            records = decode_records(position, data)
        case _:
            records = None
    if records is None:
        raise NotAuditable("the feed gives something else than the next records of its log")
    first = audit.position
    while True:
        try:
            await trio.to_thread.run_sync(audit.take, records[audit.position - first :])
            return
        except MessageUnknown:
            await in_thread(audit.look)
            await trio.sleep(poll_seconds)

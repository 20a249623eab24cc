"""The follower: re-executes the chain from L1 and serves reads of it. It trusts nobody and can convict nobody.

With a feed it also shows what is not posted yet: it copies the sequencer's log, or another follower's copy, puts the
log's ops on top of the state that L1 gives, and feeds the log onward. Log and L1 are held against each other; where
they part it raises a numbered alarm, and shows nothing but what L1 says until another generation begins.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trio

from node.chain_follower import ChainFollower, Progress
from node.client import GatewayAddress
from node.compiled_margin import load_compiled_margin
from node.errors import L1Error
from node.feed_copy import FeedCopy
from node.file_limit import fit_limits
from node.gateway import Gateway, GatewayLimits, Method
from node.l1 import in_thread
from node.logs import Log
from node.margin_watch import MarginWatch
from node.reads import build_proof_methods, build_read_methods
from node.replica_checkpoint import ReplicaCheckpoint
from node.rollup import Rollup
from sequencer.fresh_state import FreshState
from sequencer.log_check import EXPLANATIONS, Alarm, AlarmCode, LogCheck
from sequencer.verdicts import Verdicts
from state.batches import BatchData, decode_batch, decode_header
from state.codec import Value
from state.context import MessageUnknown
from state.l1_events import BatchPosted, RolledBack
from state.ledger import Ledger
from state.store import Store
from state.tree import LeafKey

# Batches that L1 may post below what is shown before it is put together anew: until then it holds their leaves twice.
BATCHES_BELOW_MAX = 64


@dataclass(frozen=True, slots=True)
class FollowerSettings:
    """Where it serves, how often it looks at L1, and whose feed it copies, if anybody's, into which folder."""

    host: str = "127.0.0.1"
    port: int = 7402
    poll_seconds: float = 1.0
    feed: GatewayAddress | None = None
    data: Path | None = None


@dataclass(slots=True)
class FollowerCounters:
    """What the metrics page tells of a follower."""

    tip: int = 0
    final: int = 0
    fresh_position: int = 0
    alarms: dict[str, int] = field(default_factory=dict)


class Follower:
    """One follower of one rollup, as of the last look at L1 and the last news of the feed."""

    def __init__(
        self,
        rollup: Rollup,
        settings: FollowerSettings,
        log: Log,
        store: Store | None = None,
        checkpoint: ReplicaCheckpoint | None = None,
    ) -> None:
        """`store` is where the feed is copied to, when there is one. Raises ForeignCopy, StoreError."""
        self._log = log
        # A feed is held against every batch from the genesis on, and so all of them are executed.
        self._chain = ChainFollower(rollup, checkpoint=checkpoint if settings.feed is None else None)
        # Of L1, with the blocks that told of it: generations begun, and batches that the feed has not reached yet.
        self._generations: list[tuple[int, int]] = []
        self._batches: list[tuple[int, BatchData]] = []
        self._check: LogCheck | None = None
        self._fresh: FreshState | None = None
        self._batches_below = 0
        self._verdicts = Verdicts()
        self.alarms: list[Alarm] = []
        self.counters = FollowerCounters()
        self.copy: FeedCopy | None = None
        if settings.feed is not None and store is not None:
            self.copy = FeedCopy(store, rollup.get_domain(), settings.feed, log, self._take_news)
        self._calls = MarginWatch(lambda: self.leaves)
        streams = self._calls.streams | (self.copy.feed.streams if self.copy else {})
        self.gateway = Gateway(self._build_methods(), fit_limits(GatewayLimits()), streams=streams)

    @property
    def leaves(self) -> Mapping[LeafKey, bytes]:
        """The state at the head of the feed, or else the one after the last good batch on L1."""
        return self._chain.replica.state.leaves if self._fresh is None else self._fresh.leaves

    # L1

    async def look(self) -> None:
        """Read L1 once. Raises L1Error, WrongContract."""
        progress = await self._chain.advance_async()
        if progress.is_restarted:
            # Whatever was told of these blocks before is void.
            first = progress.reading.first
            self._generations = [one for one in self._generations if one[0] < first]
            self._batches = [one for one in self._batches if one[0] < first]
        for event in progress.events:
            if isinstance(event, BatchPosted | RolledBack):
                self._generations.append((event.block, event.generation))
            if isinstance(event, BatchPosted) and self.copy is not None and (batch := decode_batch(event.data)):
                self._batches.append((event.block, batch))
        self._tell(progress)
        if progress.events or progress.is_restarted:
            if not self._still_holds(progress):
                self._fresh = None
            self._take_news()
            self._calls.announce()

    def _still_holds(self, progress: Progress) -> bool:
        """Whether what is shown stands as well upon what L1 holds now: more of the same, and not beyond it."""
        if progress.is_restarted or self._fresh is None or self.copy is None:
            return False
        posted = [event for event in progress.events if isinstance(event, BatchPosted)]
        self._batches_below += len(posted)
        is_same = all(event.generation == self.copy.generation for event in posted)
        has_rollback = any(isinstance(event, RolledBack) for event in progress.events)
        reached = Ledger(self._chain.replica.state.leaves).get_globals().next_position
        return (
            is_same and not has_rollback and reached <= self._fresh.position and self._batches_below < BATCHES_BELOW_MAX
        )

    def _tell(self, progress: Progress) -> None:
        if progress.trouble is not None:
            self._log.warning("no checkpoint", error=progress.trouble)
        for event, verdict in progress.verdicts:
            self._log.info("batch", index=event.index, valid=verdict.is_valid)
            if verdict.leak is not None:
                self._log.error(
                    "leak", index=event.index, what=verdict.leak, note="the rules are wrong; tell everybody"
                )
        self.counters.tip, self.counters.final = self._chain.replica.tip, self._chain.replica.final

    # The feed

    def _take_news(self) -> None:
        """There is more of the log, or more of the chain."""
        if self.copy is None or self.copy.generation == 0:
            return
        if self._check is None or self._check.generation != self.copy.generation:
            self._check, self._fresh = LogCheck(self.copy.generation, self.copy.read_from), None
        alarm = self.copy.alarm or self._compare(self.copy, self._check) or self._refresh(self.copy)
        if alarm is not None:
            self._fresh = None
            self._raise_alarm(alarm)
        self._calls.announce()

    def _compare(self, copy: FeedCopy, check: LogCheck) -> Alarm | None:
        """Hold the log against every batch whose end it has reached, until it departs from one."""
        while self._batches:
            header = decode_header(self._batches[0][1].header)
            if header.generation > copy.generation:
                return None
            if header.generation == copy.generation and header.position_to > copy.end:
                return None
            _, batch = self._batches.pop(0)
            if header.generation == copy.generation and not self._has_alarm(copy.generation):
                alarm = check.compare(batch)
                if alarm is not None:
                    return alarm
        return None

    def _refresh(self, copy: FeedCopy) -> Alarm | None:
        """Come as close to the head of the log as it and L1 allow."""
        replica = self._chain.replica
        if not replica.roots or copy.generation < self._get_generation() or self._has_alarm(copy.generation):
            self._fresh = None
            return None
        if self._fresh is None:
            self._batches_below = 0
            self._fresh = FreshState(
                replica.state.leaves, replica.domain, self._get_message, copy.generation, self._verdicts.verify
            )
        if self._fresh.position > copy.end:
            # L1 knows more than the feed.
            self._fresh = None
            return None
        code = None
        try:
            code = self._fresh.take(copy.read_from(self._fresh.position))
        except MessageUnknown:
            self._log.info("the feed is ahead of L1", position=self._fresh.position)
        self.counters.fresh_position = self._fresh.position
        return None if code is None else Alarm(AlarmCode.OP_INVALID, copy.generation, self._fresh.position)

    def _get_generation(self) -> int:
        """The highest that L1 tells of: a rollback begins one before anything is posted in it."""
        posted = Ledger(self._chain.replica.state.leaves).get_globals().generation
        return max(posted, self._generations[-1][1] if self._generations else 0)

    def _get_message(self, index: int) -> bytes:
        messages = self._chain.replica.messages
        if index >= len(messages):
            raise MessageUnknown(f"L1 message {index} is not known")
        return messages[index]

    def _has_alarm(self, generation: int) -> bool:
        return any(alarm.generation == generation for alarm in self.alarms)

    def _raise_alarm(self, alarm: Alarm) -> None:
        """Once each."""
        if alarm not in self.alarms:
            self.alarms.append(alarm)
            self.counters.alarms[alarm.code.name] = self.counters.alarms.get(alarm.code.name, 0) + 1
            self._log.error("feed alarm", alarm=str(alarm))

    # The gateway

    def _build_methods(self) -> dict[str, Method]:
        """What clients may call."""

        async def get_status(arguments: list[Value]) -> Value:
            """[] -> role, tip, final batch, root at the tip, wrong batch or nil, the feed's generation and the position
            up to which it is shown (0 and 0 without one), alarms."""
            replica = self._chain.replica
            generation = self.copy.generation if self.copy and self._fresh else 0
            position = self._fresh.position if self._fresh else 0
            head: list[Value] = ["follower", replica.tip, replica.final, replica.roots[replica.tip], replica.wrong]
            return [*head, generation, position, len(self.alarms)]

        async def get_alarms(arguments: list[Value]) -> Value:
            """[] -> [code, generation, position, sentence] of every alarm since the start."""
            return [[a.code.value, a.generation, a.position, EXPLANATIONS[a.code]] for a in self.alarms]

        methods = build_read_methods(lambda: self.leaves) | build_proof_methods(lambda: self._chain.replica)
        feed_methods = self.copy.feed.methods if self.copy else {}
        return methods | feed_methods | {"status": get_status, "alarms": get_alarms}


async def run_follower(
    rollup: Rollup,
    settings: FollowerSettings,
    log: Log,
    *,
    checkpoint: ReplicaCheckpoint | None = None,
    on_start: Callable[[int, Follower], None] = lambda port, follower: None,
) -> None:
    """Follow and serve until cancelled."""
    await in_thread(rollup.check_identity)
    with _open_store(settings) as store:
        follower = Follower(rollup, settings, log, store, checkpoint)
        await follower.look()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(load_compiled_margin)
            if follower.copy is not None:
                nursery.start_soon(follower.copy.run, settings.poll_seconds)
            port = await nursery.start(follower.gateway.serve, settings.host, settings.port)
            log.info("serving", role="follower", host=settings.host, port=port)
            on_start(port, follower)
            while True:
                try:
                    await follower.look()
                except L1Error as error:
                    log.warning("unavailable", error=str(error))
                await trio.sleep(settings.poll_seconds)


@contextmanager
def _open_store(settings: FollowerSettings) -> Iterator[Store | None]:
    """The folder of the feed's copy, while it is in use."""
    if settings.feed is None or settings.data is None:
        yield None
        return
    with Store(settings.data) as store:
        yield store

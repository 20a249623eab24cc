"""The chain as L1 tells it, re-executed: what every role but the wallet's L1 side stands on."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import trio

from fraud_proofs.replica import ForeignContract, Replica, Verdict, execute_all
from node.errors import RollupEnded, WrongContract
from node.event_reader import EventReader, Reading, ReadPoint
from node.l1 import in_thread
from node.replica_checkpoint import ReplicaCheckpoint
from node.rollup import Rollup
from state.l1_events import BatchPosted, GenesisSet, L1Event, MessageSent, WoundDown
from state.signatures import assert_library_agrees
from state.store import StoreError
from state.tree import LeafKey

Executed = Callable[[BatchPosted], Mapping[LeafKey, bytes] | None]


@dataclass(frozen=True, slots=True)
class Progress:
    """One look at L1: what is new, the verdicts on new batches, and whether blocks that were read have been replaced.

    Then `events` are those of block `reading.first` and later, and whatever was told of these blocks before is void.
    `finalized_messages` counts the inbox messages in finalized blocks: no reorg takes them back. `tip` is the last good
    batch then, `final` the last final one. `trouble` says once why no checkpoint is written any more: following goes
    on, and the next start has more to execute.
    """

    reading: Reading
    events: tuple[L1Event, ...]
    verdicts: tuple[tuple[BatchPosted, Verdict], ...]
    is_restarted: bool
    finalized_messages: int
    tip: int = 0
    final: int = 0
    trouble: str | None = None


class ChainFollower:
    """Reading blocks on L1, re-executing on this process; one look at a time."""

    def __init__(
        self,
        rollup: Rollup,
        get_executed: Executed = execute_all,
        checkpoint: ReplicaCheckpoint | None = None,
    ) -> None:
        """`get_executed` is the replica's. With a checkpoint, what was executed before it is not executed again.

        Of what happened up to it the first look tells every conviction, and of batches that are not final the header.

        Raises WrongLibrary: whoever judges signatures by other rules takes lies for the truth, or the reverse.
        """
        assert_library_agrees()
        self.rollup = rollup
        self._get_executed = get_executed
        self._is_restarted = False
        self._checkpoint = checkpoint
        self._is_loaded = checkpoint is None
        self._retold: tuple[L1Event, ...] = ()
        self._begin()

    def _begin(self) -> None:
        self._reader = EventReader(self.rollup)
        self._begin_replica()

    def _load(self) -> None:
        """Once, before the first look: stand where the checkpoint stands. Raises L1Error; then it is tried again."""
        assert self._checkpoint is not None
        kept = self._checkpoint.load(self.rollup.get_domain(), self._get_executed, self._holds)
        self._is_loaded = True
        if kept is not None:
            self._reader = EventReader(self.rollup, start=kept.point)
            self.replica, self._retold = kept.replica, kept.events
            self._message_blocks += [kept.point.number] * len(kept.replica.messages)

    def _holds(self, point: ReadPoint) -> bool:
        l1 = self.rollup.l1
        return l1.get_block().number >= point.number and l1.get_block(point.number).hash == point.hash

    def _begin_replica(self) -> None:
        self.replica = Replica(self.rollup.get_domain(), self._get_executed)
        self._message_blocks: list[int] = []

    def advance(self) -> Progress:
        """Read up to the head and re-execute. Raises L1Error, WrongContract, RollupEnded."""
        return self._take(self._read())

    async def advance_async(self) -> Progress:
        """The same beside other tasks: L1 is read in a thread, the replica moves between two of their steps."""
        return self._take(await in_thread(self._read))

    async def advance_beside(self) -> Progress:
        """The same, the replica too in a thread: whoever looks at it meanwhile may read only what changes at once, the
        number of a batch or its hash, and messages in finalized blocks. For one whose tasks must never wait."""
        return await trio.to_thread.run_sync(self._take, await in_thread(self._read))

    def _read(self) -> Reading:
        if not self._is_loaded:
            self._load()
        return self._reader.read()

    def _take(self, reading: Reading) -> Progress:
        for event in reading.events:
            if isinstance(event, WoundDown):
                raise RollupEnded(
                    f"this rollup was wound down in L1 block {event.block}, and batch {event.index} is its last: "
                    "everybody is paid by it now, with `keel wallet exit`"
                )
        self._is_restarted |= reading.is_reorg
        if reading.events and isinstance(reading.events[0], GenesisSet):
            self._begin_replica()
            if self._checkpoint is not None:
                self._checkpoint.forget()
        elif reading.is_reorg:
            self.replica.rewind(reading.first)
            del self._message_blocks[bisect_left(self._message_blocks, reading.first) :]
        verdicts: list[tuple[BatchPosted, Verdict]] = []
        try:
            for event in reading.events:
                verdict = self.replica.apply(event)
                if isinstance(event, MessageSent):
                    self._message_blocks.append(event.block)
                if verdict is not None and isinstance(event, BatchPosted):
                    verdicts.append((event, verdict))
        except ForeignContract as error:
            # Whatever was told is worth nothing now; the next look reads all of it again.
            self._is_restarted = True
            self._begin()
            if self._checkpoint is not None:
                self._checkpoint.forget()
            raise WrongContract(f"this rollup cannot be followed: {error}") from error
        trouble = self._keep()
        self.replica.settle(reading.settled)
        is_restarted, self._is_restarted = self._is_restarted, False
        retold, self._retold = self._retold, ()
        finalized = bisect_right(self._message_blocks, reading.finalized)
        events, tip, final = (*retold, *reading.events), self.replica.tip, self.replica.final
        return Progress(reading, events, tuple(verdicts), is_restarted, finalized, tip, final, trouble)

    def _keep(self) -> str | None:
        """Move the checkpoint on; what went wrong, if anything did. A full disk must not end a watch."""
        if self._checkpoint is None:
            return None
        try:
            self._checkpoint.save(self.replica, self._reader.settled)
        except StoreError as error:
            self._checkpoint = None
            return str(error)
        return None

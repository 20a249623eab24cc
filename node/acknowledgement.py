"""From the engine back to whoever asked: a group is made durable, then signed for, then answered; never otherwise.

One thread does nothing but to write what the engine has done and to send it away to be signed; the signer's answer
comes back here. So while one group is being written the engine goes on and another is signed for, and all that the
engine has done meanwhile is written in one go next: the slower the disk, the larger the groups.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from queue import Empty, SimpleQueue

import trio

from node.ingress import Waiting, take_place
from node.sequencer_core import Sealing, SequencerCore, Written
from node.signature_process import SignatureProcess
from sequencer.engine import Accepted
from sequencer.oplog import Fenced, LogRecord
from sequencer.refusals import Refusal, Refused
from state.receipts import hash_receipt
from state.store import StoreError

Outcome = Accepted | Refused
# Of groups that are not answered yet.
GROUPS_AHEAD_MAX = 16


@dataclass(slots=True)
class SequencerCounters:
    """What the metrics page tells of a sequencer."""

    accepted: int = 0
    refused: int = 0
    filled: int = 0
    groups: int = 0
    batches_posted: int = 0
    posted_bytes: int = 0
    posted_gas: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class _Group:
    """What is written together, who hears of it and by which receipts, and the batch sealed behind it, if one was."""

    records: list[LogRecord] = field(default_factory=list)
    outcomes: list[tuple[Waiting, Outcome]] = field(default_factory=list)
    receipts: list[bytes] = field(default_factory=list)
    sealing: Sealing | None = None


class Acknowledger:
    """The only writer of the log, and of sealed batches behind it."""

    def __init__(
        self,
        core: SequencerCore,
        domain: bytes,
        counters: SequencerCounters,
        on_durable: Callable[[list[LogRecord]], None],
        on_sealed: Callable[[Written], None],
        on_failure: Callable[[], Awaitable[None]],
    ) -> None:
        """`on_durable` hears of what the log holds now, `on_sealed` of a batch that may be posted; `on_failure` is
        waited for when the disk fails."""
        self._core = core
        self._domain = domain
        self._counters = counters
        self._on_durable = on_durable
        self._on_sealed = on_sealed
        self._on_failure = on_failure
        # A place is held from the moment that a group is handed over until it is answered, or its batch written.
        self._places = trio.Semaphore(GROUPS_AHEAD_MAX)
        self._ahead: SimpleQueue[_Group | None] = SimpleQueue()
        self._in_writing: list[_Group] = []
        self._send_sealing, self._receive_sealing = trio.open_memory_channel[Sealing](GROUPS_AHEAD_MAX)

    async def put(self, records: list[LogRecord], outcomes: list[tuple[Waiting, Outcome]]) -> None:
        """Hand a group over; waits while many are ahead of it."""
        if records or outcomes:
            accepted = [outcome for _, outcome in outcomes if isinstance(outcome, Accepted)]
            await self._put(_Group(records, outcomes, [self._core.build_receipt(one).encode() for one in accepted]))

    async def put_sealed(self, sealing: Sealing) -> None:
        """Hand a sealed batch over: it is written when everything before it is."""
        await self._put(_Group(sealing=sealing))

    async def _put(self, group: _Group) -> None:
        await take_place(self._places)
        self._ahead.put(group)

    async def settle(self) -> None:
        """Wait until everything that was handed over is durable and answered."""
        for _ in range(GROUPS_AHEAD_MAX):
            await self._places.acquire()
        for _ in range(GROUPS_AHEAD_MAX):
            self._places.release()

    async def run(self, signer: SignatureProcess, nursery: trio.Nursery) -> None:
        """Until cancelled. Raises StoreError when the disk fails; everybody in line has been refused then."""
        nursery.start_soon(self._stop_when_cancelled)
        nursery.start_soon(self._write_sealed)
        try:
            await trio.to_thread.run_sync(self._write_in_turn, signer)
        except (StoreError, Fenced):
            await self._give_up(self._in_writing)
            raise

    async def _stop_when_cancelled(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            self._ahead.put(None)

    def _write_in_turn(self, signer: SignatureProcess) -> None:
        """In a thread of its own, which is waited for. Raises StoreError, Fenced, WorkerEnded."""
        while True:
            groups = [self._ahead.get()]
            while not self._ahead.empty():
                groups.append(self._ahead.get())
            written = self._in_writing = [group for group in groups if group is not None]
            if len(written) < len(groups):
                return
            self._core.make_durable([record for group in written for record in group.records])
            receipts = [receipt for group in written for receipt in group.receipts]
            signer.sign([hash_receipt(self._domain, receipt) for receipt in receipts], partial(self._answer, written))

    def _answer(self, groups: list[_Group], signatures: list[bytes]) -> None:
        """Everything of these groups is durable and signed for."""
        self._counters.groups += 1
        self._on_durable([record for group in groups for record in group.records])
        signature = iter(signatures)
        for group in groups:
            receipt = iter(group.receipts)
            for waiting, outcome in group.outcomes:
                if isinstance(outcome, Accepted):
                    self._counters.accepted += 1
                    self._counters.filled += outcome.filled > 0
                    waiting.reply([next(receipt) + next(signature), outcome.filled])
                else:
                    self._counters.refused += 1
                    waiting.refuse(outcome)
            if group.sealing is None:
                self._places.release()
            else:
                # Those behind it need not wait for so large a write.
                self._send_sealing.send_nowait(group.sealing)

    async def _write_sealed(self) -> None:
        """One batch after the other, in the order of sealing. Raises StoreError as `run` does."""
        async for sealing in self._receive_sealing:
            try:
                written = await trio.to_thread.run_sync(sealing.write)
            except (StoreError, Fenced):
                await self._give_up([])
                raise
            self._on_sealed(written)
            self._places.release()

    async def _give_up(self, groups: list[_Group]) -> None:
        """Nobody gets a receipt any more: of what was not written it would be false."""
        lost = [outcome for group in groups for outcome in group.outcomes]
        with suppress(Empty):
            while group := self._ahead.get_nowait():
                lost += group.outcomes
        for waiting, _ in lost:
            waiting.refuse(Refused(Refusal.LOG_NOT_WRITTEN))
        await self._on_failure()

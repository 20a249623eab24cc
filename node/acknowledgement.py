"""From the engine back to whoever asked: a group is made durable, then signed for, then answered; never otherwise.

While one group is being written the engine goes on, and all that it has done meanwhile is written in one go next: the
slower the disk, the larger the groups. While one is being signed for, the next is being written.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import trio

from node.ingress import Waiting
from node.sequencer_core import Sealing, SequencerCore, Written
from node.signature_process import SignatureProcess
from sequencer.engine import Accepted
from sequencer.oplog import Fenced, LogRecord
from sequencer.refusals import Refusal, Refused
from state.receipts import hash_receipt
from state.store import StoreError

Outcome = Accepted | Refused
GROUPS_AHEAD_MAX = 8


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


@dataclass(frozen=True, slots=True)
class _Group:
    """What is written together, who hears of it, and the batch that was sealed behind it, if one was."""

    records: list[LogRecord] = field(default_factory=list)
    outcomes: list[tuple[Waiting, Outcome]] = field(default_factory=list)
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
        self._send, self._receive = trio.open_memory_channel[_Group](GROUPS_AHEAD_MAX)
        self._seals_in_order = trio.Lock()
        self._open_groups = 0
        self._is_settled = trio.Event()
        self._is_settled.set()

    async def put(self, records: list[LogRecord], outcomes: list[tuple[Waiting, Outcome]]) -> None:
        """Hand a group over; waits while many are ahead of it."""
        if records or outcomes:
            await self._put(_Group(records, outcomes))

    async def put_sealed(self, sealing: Sealing) -> None:
        """Hand a sealed batch over: it is written when everything before it is."""
        await self._put(_Group(sealing=sealing))

    async def _put(self, group: _Group) -> None:
        if self._open_groups == 0:
            self._is_settled = trio.Event()
        self._open_groups += 1
        await self._send.send(group)

    async def settle(self) -> None:
        """Wait until everything that was handed over is durable and answered."""
        await self._is_settled.wait()

    async def run(self, signer: SignatureProcess, nursery: trio.Nursery) -> None:
        """Until cancelled. Raises StoreError when the disk fails; everybody in line has been refused then."""
        send, receive = trio.open_memory_channel[list[_Group]](GROUPS_AHEAD_MAX)
        nursery.start_soon(self._answer_in_turn, signer, receive)
        async for group in self._receive:
            groups = [group, *self._take_waiting()]
            outcomes = [outcome for one in groups for outcome in one.outcomes]
            records = [record for one in groups for record in one.records]
            try:
                await trio.to_thread.run_sync(self._core.make_durable, records)
            except (StoreError, Fenced):
                await self._give_up(outcomes)
                raise
            self._on_durable(records)
            self._counters.groups += 1
            await send.send([one for one in groups if one.sealing is None])
            for one in groups:
                if one.sealing is not None:
                    # Those behind it need not wait for so large a write.
                    nursery.start_soon(self._write_sealed, one.sealing)

    async def _answer_in_turn(self, signer: SignatureProcess, durable: trio.MemoryReceiveChannel[list[_Group]]) -> None:
        async for groups in durable:
            await self._answer(signer, [outcome for one in groups for outcome in one.outcomes])
            for _ in groups:
                self._close_group()

    async def _write_sealed(self, sealing: Sealing) -> None:
        async with self._seals_in_order:
            try:
                written = await trio.to_thread.run_sync(sealing.write)
            except (StoreError, Fenced):
                await self._give_up([])
                raise
        self._on_sealed(written)
        self._close_group()

    def _close_group(self) -> None:
        self._open_groups -= 1
        if self._open_groups == 0:
            self._is_settled.set()

    async def _give_up(self, outcomes: list[tuple[Waiting, Outcome]]) -> None:
        """Nobody gets a receipt any more: of what was not written it would be false."""
        behind = [outcome for one in self._take_waiting() for outcome in one.outcomes]
        for waiting, _ in outcomes + behind:
            waiting.refuse(Refused(Refusal.LOG_NOT_WRITTEN))
        await self._on_failure()

    def _take_waiting(self) -> list[_Group]:
        taken = []
        while True:
            try:
                taken.append(self._receive.receive_nowait())
            except trio.WouldBlock:
                return taken

    async def _answer(self, signer: SignatureProcess, outcomes: list[tuple[Waiting, Outcome]]) -> None:
        accepted: list[tuple[Waiting, Accepted, bytes]] = []
        for waiting, outcome in outcomes:
            if isinstance(outcome, Accepted):
                accepted.append((waiting, outcome, self._core.build_receipt(outcome).encode()))
            else:
                self._counters.refused += 1
                waiting.refuse(outcome)
        if not accepted:
            return
        signatures = await signer.sign([hash_receipt(self._domain, body) for _, _, body in accepted])
        for (waiting, outcome, body), signature in zip(accepted, signatures, strict=True):
            self._counters.filled += outcome.filled > 0
            waiting.reply([body + signature, outcome.filled])
        self._counters.accepted += len(accepted)

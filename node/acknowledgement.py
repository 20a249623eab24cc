"""From the engine back to whoever asked: a group is made durable, then signed for, then answered; never otherwise.

While one group is being written the engine goes on, and all that it has done meanwhile is written in one go next: the
slower the disk, the larger the groups.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import trio

from node.ingress import Waiting
from node.sequencer_core import SequencerCore
from node.signature_process import SignatureProcess
from sequencer.engine import Accepted
from sequencer.oplog import LogRecord
from sequencer.receipts import SignedReceipt
from sequencer.refusals import Refusal, Refused
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
    records: list[LogRecord]
    outcomes: list[tuple[Waiting, Outcome]]


class Acknowledger:
    """The only writer of the log."""

    def __init__(self, core: SequencerCore, domain: bytes, counters: SequencerCounters) -> None:
        self._core = core
        self._domain = domain
        self._counters = counters
        self._send, self._receive = trio.open_memory_channel[_Group](GROUPS_AHEAD_MAX)
        self._open_groups = 0
        self._is_settled = trio.Event()
        self._is_settled.set()

    async def put(self, records: list[LogRecord], outcomes: list[tuple[Waiting, Outcome]]) -> None:
        """Hand a group over; waits while many are ahead of it."""
        if not records and not outcomes:
            return
        if self._open_groups == 0:
            self._is_settled = trio.Event()
        self._open_groups += 1
        await self._send.send(_Group(records, outcomes))

    async def settle(self) -> None:
        """Wait until everything that was handed over is durable and answered."""
        await self._is_settled.wait()

    async def run(self, signer: SignatureProcess, on_failure: Callable[[], Awaitable[None]]) -> None:
        """Until cancelled. Raises StoreError when the disk fails; everybody in line has been refused then."""
        async for group in self._receive:
            groups = [group, *self._take_waiting()]
            outcomes = [outcome for one in groups for outcome in one.outcomes]
            try:
                await trio.to_thread.run_sync(
                    self._core.make_durable, [record for one in groups for record in one.records]
                )
            except StoreError:
                outcomes += [outcome for one in self._take_waiting() for outcome in one.outcomes]
                for waiting, _ in outcomes:
                    waiting.refuse(Refused(Refusal.LOG_NOT_WRITTEN))
                await on_failure()
                raise
            await self._answer(signer, outcomes)
            self._counters.groups += 1
            self._open_groups -= len(groups)
            if self._open_groups == 0:
                self._is_settled.set()

    def _take_waiting(self) -> list[_Group]:
        taken = []
        while True:
            try:
                taken.append(self._receive.receive_nowait())
            except trio.WouldBlock:
                return taken

    async def _answer(self, signer: SignatureProcess, outcomes: list[tuple[Waiting, Outcome]]) -> None:
        bodies = [self._core.build_receipt(one) for _, one in outcomes if isinstance(one, Accepted)]
        signatures = iter(await signer.sign([body.hash_signing(self._domain) for body in bodies]) if bodies else [])
        receipts = iter([SignedReceipt(body, signature) for body, signature in zip(bodies, signatures, strict=True)])
        for waiting, outcome in outcomes:
            if isinstance(outcome, Accepted):
                self._counters.accepted += 1
                self._counters.filled += bool(outcome.filled)
                waiting.reply([next(receipts).encode(), outcome.filled])
            else:
                self._counters.refused += 1
                waiting.refuse(outcome)

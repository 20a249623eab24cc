"""The sequencer: takes requests, keeps them, posts what changes balances, and holds the slot.

One task drives the engine; nothing else touches it. Requests, L1 messages and the clock come to it through queues, and
nobody is answered before the log is durable. What L1 says is followed as any follower does it: after a rollback, or
when somebody else has posted, the engine begins a new generation on the replica's state.
"""

import ssl
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import trio

from fraud_proofs.challenger import State
from node.acknowledgement import Acknowledger, SequencerCounters
from node.chain_follower import ChainFollower, Progress
from node.compiled_margin import load_compiled_margin
from node.errors import CallReverted, JournalError, L1Error, NodeError
from node.feed import Feed
from node.file_limit import fit_limits
from node.finaliser import Finaliser
from node.garbage import Sweeper, look_for_none, sweep_by_hand
from node.gateway import Gateway, GatewayLimits, Method, take_int
from node.ingress import Ingress
from node.l1 import in_thread
from node.logs import Log
from node.op_log import LevelDbLog
from node.reads import build_read_methods
from node.replica_checkpoint import ReplicaCheckpoint
from node.rollup import Rollup
from node.sequencer_core import SequencerCore, Written
from node.signature_process import run_signature_process
from node.transactions import Mined, Outcome, Sender, format_outcome
from sequencer.batcher import OpenBatcher, SealRule, open_batcher
from sequencer.engine import Sealed
from sequencer.matching import single
from sequencer.oplog import LogRecord
from sequencer.refusals import Refusal, Refused
from state.batches import BatchData, decode_header
from state.codec import Value
from state.constants import UNDERLYINGS_MAX
from state.l1_events import BatchPosted, Finalised, RolledBack
from state.leaves import perpetual
from state.store import Store
from state.tree import LeafKey, build_tree

Tamper = Callable[[Sealed, State, bytes], bytes | None]
"""(sealed batch, state before it, parent hash) -> bytes to post in its place; for drills on networks without value."""

# Of requests between two looks at the sockets: some milliseconds.
GROUP_MAX = 128
DEPTH_MAX = 50
# The disk's thread asks for the interpreter twice a group, and would wait so long for it each time (default: 5 ms);
# and so long would this task wait for it at every look at a socket while a thread reads L1 or writes a sealed batch.
SWITCH_SECONDS = 0.0001
# A failing disk ends the node, but not before those in line have been told.
FAREWELL_SECONDS = 1.0
# Of batches that may be on their way to L1 together: full ones take a third of a block of 60 M gas.
IN_LINE_MAX = 6
# What a submission may use at most, and for each of its bytes: the least that the L1 takes for a byte is 40.
SUBMIT_GAS_MAX = 600_000
SUBMIT_BYTE_GAS_MAX = 48
# What `take_slot` may use when it cannot be tried out, since the bond before it is not in a block yet.
SLOT_GAS_MAX = 200_000
# State time may run so far ahead of the L1's head; posting waits until it has caught up.
CLOCK_AHEAD_MAX = 10
# What L1 says to a batch that was sealed too long ago: it lags, or leaves out messages that have become overdue.
TOO_OLD = ("rollup: late", "rollup: overdue")


class Convicted(NodeError):
    """This sequencer's own batch was convicted: something here is wrong, and more bond would only be lost too."""


class LogLost(NodeError):
    """Going on would give positions of the log a second time, and two receipts of one position are slashable."""


@dataclass(frozen=True, slots=True)
class SequencerSettings:
    """How a sequencer serves, seals and posts. Times in seconds; `account_requests_max` is for each of them."""

    host: str = "127.0.0.1"
    port: int = 7401
    seal: SealRule = field(default_factory=SealRule)
    poll_seconds: float = 1.0
    tick_seconds: float = 1.0
    unposted_bytes_max: int = 4_000_000
    requests_waiting_max: int = 20_000
    account_requests_max: int = 1_000
    rebond_after_conviction: bool = False


@dataclass(slots=True)
class _Outgoing:
    """A sealed batch on its way to L1, with its bytes once it is on disk; `sealed` is missing for one that an earlier
    run sealed."""

    index: int
    batch: BatchData | None
    sealed: Sealed | None = None


class Sequencer:
    """One sequencer of one rollup. `clock` gives seconds since the epoch."""

    def __init__(
        self,
        rollup: Rollup,
        sender: Sender,
        store: Store,
        receipt_key: bytes,
        settings: SequencerSettings,
        log: Log,
        *,
        log_store: Store | None = None,
        checkpoint: ReplicaCheckpoint | None = None,
        open_batcher: OpenBatcher = open_batcher,
        tamper: Tamper | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """The log is in `log_store`, where no group waits for another write; or in `store`. Roots are computed by
        `open_batcher`, in a thread that nobody waits for: best by another process.
        """
        self._rollup = rollup
        self._sender = sender
        self._settings = settings
        self._log = log
        self._tamper = tamper
        self._clock = clock
        # Leaves that sealed batches wrote, by index, until L1 shows them: nothing is executed twice here.
        self._executed: dict[int, tuple[bytes, Mapping[LeafKey, bytes]]] = {}
        self._follower = ChainFollower(rollup, self._get_executed, checkpoint)
        domain = rollup.get_domain()
        self.receipt_key = receipt_key
        op_log = LevelDbLog(log_store or store)
        self.core = SequencerCore(store, domain, settings.unposted_bytes_max, log=op_log, open_batcher=open_batcher)
        self.feed = Feed(op_log)
        self.counters = SequencerCounters()
        self._wake = trio.Event()
        self.ingress = Ingress(
            self.core, settings.requests_waiting_max, settings.account_requests_max, lambda: self._wake.set()
        )
        self.acknowledger = Acknowledger(self.core, domain, self.counters, self._publish, self._take_sealed, self._part)
        self.gateway: Gateway | None = None
        self._finalized_messages = 0
        self._head_time = 0
        self._last_look: Progress | None = None
        # Blocks of others' batches and of convictions that a reorg can still take back.
        self._unsettled: list[int] = []
        self._finaliser = Finaliser(rollup, sender, log)
        # Held by whoever looks at L1, which moves the replica in a thread, or takes more of the replica than a number.
        self._looking = trio.Lock()
        self._submitters: dict[int, bytes] = {}
        self._known_rollbacks: set[int] = set()
        self._was_convicted = False
        self._outgoing: deque[_Outgoing] = deque()
        self._must_begin_anew = False
        self._must_post_again = False
        self._must_rebatch = False
        self._opened_at = 0.0

    # Start-up

    async def start(self) -> None:
        """Follow L1 to its head, hold the slot, and put the head together from disk or from L1."""
        await in_thread(self._rollup.check_identity)
        await in_thread(self._sender.settle)
        self._note(await self._follower.advance_async())
        await self._hold_slot()
        await self._catch_up()
        with look_for_none():
            is_recovered = self.core.recover(self._follower.replica.messages.__getitem__)
        if is_recovered:
            assert self.core.head is not None
            if self.core.is_rebuilt:
                self._log.warning("checkpoint refused", note="it was damaged; all of the log was done again")
            self._log.info("recovered", batch=self.core.head.index, position=self.core.engine.next_position)
        await self._go_on()

    async def _go_on(self) -> None:
        """Join what is on disk to what L1 holds: post what is missing there, or begin a new generation."""
        generation = await self._get_next_generation()
        while not await self._may_go_on(generation):
            # Of a reorg that takes back what raised the generation, receipts of the new one would not survive.
            self._log.warning("waiting for finality", block=self._unsettled[-1], generation=generation)
            self.ingress.refuse_all(Refused(Refusal.NOT_SEQUENCING))
            await trio.sleep(self._settings.poll_seconds)
            await self._catch_up()
            generation = await self._get_next_generation()
        async with self._looking:
            await self._join(generation)

    async def _may_go_on(self, generation: int) -> bool:
        async with self._looking:
            return self._is_on_chain(generation) or not self._unsettled

    async def _join(self, generation: int) -> None:
        """While nobody looks at L1. Raises LogLost."""
        replica, head = self._follower.replica, self.core.head
        self._outgoing.clear()
        self._must_begin_anew = self._must_post_again = False
        self._opened_at = self._clock()
        if self._is_on_chain(generation):
            self._outgoing.extend(_Outgoing(index, batch) for index, batch in self.core.take_unposted(replica.tip))
            return
        has_begun = await in_thread(self._rollup.view, "last_submitter") == self._sender.address
        if (head is None and has_begun) or (head is not None and head.generation >= generation):
            raise LogLost(
                f"generation {generation} of the log was begun by this key and is not in this data folder: use the "
                "folder that holds it, or run with another key, which begins a new generation"
            )
        self._begin_anew(generation)

    def _is_on_chain(self, generation: int) -> bool:
        """Whether the chain on disk goes on from what L1 holds, within the generation that L1 expects."""
        head, replica = self.core.head, self._follower.replica
        if head is None or head.generation != generation or head.index < replica.tip:
            return False
        sealed = self.core.sealed.get(replica.tip)
        ours = head.parent if head.index == replica.tip else sealed.batch_hash if sealed else None
        if replica.tip not in self.core.sealed and head.index > replica.tip:
            # The tip was posted and forgotten as final, or is the parent of the oldest batch kept.
            kept = self.core.sealed.get(replica.tip + 1)
            ours = kept.header[12:44] if kept else None
        return ours == replica.batch_hashes[replica.tip]

    def _begin_anew(self, generation: int) -> None:
        replica = self._follower.replica
        self.core.restart(
            replica.state.leaves,
            generation=generation,
            index=replica.tip,
            parent=replica.batch_hashes[replica.tip],
        )
        self._log.info("generation", generation=generation, after_batch=replica.tip)

    async def _get_next_generation(self) -> int:
        """The generation that the contract will ask of our next batch."""
        generation: int = await in_thread(self._rollup.view, "generation")
        last: bytes = await in_thread(self._rollup.view, "last_submitter")
        return generation if last == self._sender.address else generation + 1

    async def _hold_slot(self) -> None:
        """Post the bond and take the slot, as soon as it is open (or its holder silent)."""
        while True:
            holder = await in_thread(self._rollup.get_slot_holder)
            if holder == self._sender.address:
                return
            try:
                if holder is not None:
                    if not await in_thread(self._rollup.view, "is_silent"):
                        self._log.warning("waiting for the slot", holder="0x" + holder.hex())
                        await trio.sleep(self._settings.poll_seconds)
                        continue
                    await self._sender.send_async(self._rollup.evict())
                required: int = await in_thread(self._rollup.view, "required_bond")
                bond: int = await in_thread(self._rollup.view, "bond_of", self._sender.address)
                if bond == 0 and self._was_convicted:
                    # Whatever starts a stopped process again would feed it one bond after the other.
                    self._refuse_another_bond()
                calls = [self._rollup.post_bond(required - bond)] if bond < required else []
                calls.append(self._rollup.take_slot())
                # In one block, if it may be: between two, somebody else could take the slot.
                outcomes = await self._sender.send_in_line_async(calls, SLOT_GAS_MAX)
                if len(outcomes) == len(calls) and isinstance(outcomes[-1], Mined):
                    self._log.info("slot taken", bond_wei=required)
                else:
                    self._log.warning("slot not taken", outcome=format_outcome(outcomes[-1]))
            except CallReverted as error:
                self._log.warning("slot not taken", reason=error.reason)
                await trio.sleep(self._settings.poll_seconds)

    def _refuse_another_bond(self) -> None:
        """Raises Convicted, unless it was said that another bond may be lost."""
        if not self._settings.rebond_after_conviction:
            raise Convicted(
                "a batch of this key was convicted and the bond behind it is gone; find out why before posting "
                "another, with another key (rebond_after_conviction allows it, for networks without value)"
            )

    async def _catch_up(self) -> None:
        """Know all that came in before the slot was ours, and that it is good: receipts upon anything else are void.

        [A batch that goes in just before our `take_slot` would give its generation's number to two logs of ours.]
        """
        while True:
            try:
                await self._look()
                tip = await in_thread(self._rollup.view, "tip")
                if tip == self._follower.replica.tip:
                    return
                self._log.warning("waiting for L1", tip=tip, good=self._follower.replica.tip)
            except L1Error as error:
                self._log.warning("L1 unavailable", error=str(error))
            await trio.sleep(self._settings.poll_seconds)

    # The one task that drives the engine

    async def drive(self, sweeper: Sweeper) -> None:
        """Take what has come, hand it on to be made durable and answered; tick, seal; until cancelled."""
        while True:
            with trio.move_on_after(self._settings.tick_seconds) as quiet:
                await self._wake.wait()
            self._wake = trio.Event()
            if self._must_begin_anew or self._must_post_again:
                await self.acknowledger.settle()
                if not await self._begin_again():
                    continue
            if self._must_rebatch:
                await self.acknowledger.settle()
                async with self._looking:
                    self._rebatch()
            records = self._take_clock() + self._take_messages()
            waiting = self.ingress.take(GROUP_MAX)
            group = self.core.take([one.request or one.data for one in waiting])
            self.ingress.put_back(waiting[len(group.outcomes) :])
            records += group.records
            if self.core.keeper.is_due(records):
                records += self.core.keeper.keep()
            await self.acknowledger.put(records, list(zip(waiting, group.outcomes, strict=False)))
            # The disk is at work meanwhile.
            self.core.note_slots()
            self.core.advance_batch()
            await self._seal_if_due()
            sweeper.sweep(trio.current_time(), is_quiet=quiet.cancelled_caught)
            if self.ingress.is_ready:
                self._wake.set()

    async def _begin_again(self) -> bool:
        """What `start` does, after a reorg or a new generation; False when L1 could not be asked. Raises NodeError."""
        self.ingress.refuse_all(Refused(Refusal.NOT_SEQUENCING))
        try:
            await self._hold_slot()
            await self._catch_up()
            await self._go_on()
        except JournalError:
            raise
        except L1Error as error:
            self._log.warning("L1 unavailable", error=str(error))
            self._must_post_again = True
            self._wake.set()
            await trio.sleep(self._settings.poll_seconds)
            return False
        return True

    def _rebatch(self) -> None:
        """Sealed batches have grown too old for L1: put their ops into new ones, which end now."""
        replica = self._follower.replica
        self.core.rewind(replica.tip, replica.messages.__getitem__)
        self._outgoing = deque(_Outgoing(index, batch) for index, batch in self.core.take_unposted(replica.tip))
        self._must_rebatch = False
        self._log.warning("batched anew", after_batch=replica.tip, position=self.core.engine.next_position)

    def _take_clock(self) -> list[LogRecord]:
        now = min(int(self._clock()), self._head_time + CLOCK_AHEAD_MAX)
        return list(self.core.engine.tick(now))

    def _take_messages(self) -> list[LogRecord]:
        records: list[LogRecord] = []
        messages = self._follower.replica.messages
        for index in range(self.core.engine.globals.inbox_cursor, min(self._finalized_messages, len(messages))):
            if self.core.is_full:
                break
            records += self.core.engine.take_message(index, messages[index])
        return records

    async def _seal_if_due(self) -> None:
        # Behind a batch that is still on its way age is no reason: a backlog must fill batches, or it becomes too late.
        engine, age = self.core.engine, 0.0 if self._outgoing else self._clock() - self._opened_at
        is_due = self._settings.seal.is_due(engine.pending_bytes, engine.pending_count, int(age))
        if not is_due and not self.core.is_full:
            return
        self._wake.set()
        sealing = self.core.begin_seal()
        self._opened_at = self._clock()
        self._outgoing.append(_Outgoing(sealing.sealed.header.index, None, sealing.sealed))
        await self.acknowledger.put_sealed(sealing)

    def _get_executed(self, event: BatchPosted) -> Mapping[LeafKey, bytes] | None:
        batch_hash, leaves = self._executed.pop(event.index, (None, None))
        return leaves if batch_hash == event.batch_hash else None

    def _publish(self, records: list[LogRecord]) -> None:
        """What is durable is everybody's."""
        assert self.core.head is not None
        self.feed.publish(self.core.head.generation, records)

    def _take_sealed(self, written: Written) -> None:
        """A sealed batch is on disk: it may be posted."""
        sealed, index = written.sealed, written.sealed.header.index
        for outgoing in self._outgoing:
            if outgoing.sealed is sealed:
                outgoing.batch = written.batch
        self._executed[index] = (written.batch.batch_hash, written.leaves)
        self._log.info("sealed", index=index, steps=len(sealed.ops), size=len(written.batch.encode()))

    async def _part(self) -> None:
        """The disk has failed: whoever waits is told before the node ends."""
        self.ingress.close(Refused(Refusal.LOG_NOT_WRITTEN))
        if self.gateway is not None:
            with trio.move_on_after(FAREWELL_SECONDS):
                await self.gateway.drain()

    # L1

    async def _look(self) -> None:
        """Read L1 once, and note what concerns the engine. Raises L1Error, Convicted."""
        async with self._looking:
            self._note(await self._follower.advance_beside())

    async def follow(self) -> None:
        """Read L1 again and again."""
        while True:
            try:
                await self._look()
            except L1Error as error:
                self._log.warning("L1 unavailable", error=str(error))
            await trio.sleep(self._settings.poll_seconds)

    def _note(self, progress: Progress) -> None:
        if progress.trouble is not None:
            self._log.warning("no checkpoint", error=progress.trouble)
        self._finalized_messages = progress.finalized_messages
        self._head_time = progress.reading.head.time
        self._last_look = progress
        self._finaliser.note(progress)
        self._note_unsettled(progress)
        for event in progress.events:
            if isinstance(event, RolledBack):
                self._log.error("rolled back", index=event.index, generation=event.generation)
                # After a reorg all of history is read again; another's conviction costs us batches, not the bond.
                is_new = event.generation not in self._known_rollbacks and self.core.head is not None
                is_own = self._submitters.get(event.index) == self._sender.address
                self._known_rollbacks.add(event.generation)
                self._was_convicted |= is_own
                if is_new and is_own:
                    self._refuse_another_bond()
                self._must_begin_anew = True
            elif isinstance(event, BatchPosted):
                self._submitters[event.index] = event.submitter
                self._must_begin_anew |= event.submitter != self._sender.address
            elif isinstance(event, Finalised):
                self.core.forget_final(event.index)
        self._must_post_again |= progress.is_restarted
        if self.core.head is None:
            self._must_begin_anew = False
        self._wake.set()

    def _note_unsettled(self, progress: Progress) -> None:
        """What raises the generation that L1 asks of us, as long as it is not final."""
        reading = progress.reading
        if progress.is_restarted:
            self._unsettled = [block for block in self._unsettled if block < reading.first]
        for event in progress.events:
            if isinstance(event, BatchPosted | RolledBack) and not self._is_own(event):
                self._unsettled.append(event.block)
        self._unsettled = [block for block in self._unsettled if block > reading.finalized]

    def _is_own(self, event: BatchPosted | RolledBack) -> bool:
        return isinstance(event, BatchPosted) and event.submitter == self._sender.address

    async def finalise(self) -> None:
        """Make final what has waited long enough, again and again."""
        while True:
            look = self._last_look
            try:
                if look is not None:
                    # The replica may be ahead of what was noted.
                    await self._finaliser.act(look.final, look.tip, look)
            except L1Error as error:
                self._log.warning("L1 unavailable", error=str(error))
            await trio.sleep(self._settings.poll_seconds)

    async def post(self) -> None:
        """Post sealed batches in order, each until L1 has it or a new generation makes it void."""
        while True:
            self._drop_posted()
            if not self._outgoing or self._must_begin_anew or self._must_post_again or self._must_rebatch:
                await trio.sleep(self._settings.poll_seconds / 4)
                continue
            line = self._list_postable()
            if not line:
                await trio.sleep(self._settings.poll_seconds / 4)
                continue
            datas = [self._tampered(outgoing, batch) or batch.encode() for outgoing, batch in line]
            try:
                outcomes = await self._submit(datas)
            except L1Error as error:
                self._log.warning("not posted", index=line[0][0].index, error=str(error))
                self._must_rebatch = isinstance(error, CallReverted) and error.reason in TOO_OLD
                self._wake.set()
                await trio.sleep(self._settings.poll_seconds)
                continue
            for (outgoing, _), data, outcome in zip(line, datas, outcomes, strict=False):
                if not isinstance(outcome, Mined):
                    # Those behind it have failed with it; they are sent again when it is in a block.
                    self._log.warning("not posted", index=outgoing.index, outcome=str(outcome))
                    await trio.sleep(self._settings.poll_seconds)
                    break
                self._mark_posted(outgoing, len(data), outcome)

    def _list_postable(self) -> list[tuple[_Outgoing, BatchData]]:
        """From the first on, those that are on disk, of a time that an L1 block has reached, and fit one block."""
        line: list[tuple[_Outgoing, BatchData]] = []
        for outgoing in self._outgoing:
            batch = outgoing.batch
            # Whoever tampers with one does not know what those behind it would have to say.
            if batch is None or len(line) == (1 if self._tamper else IN_LINE_MAX):
                break
            if decode_header(batch.header).time > self._head_time:
                break
            line.append((outgoing, batch))
        return line

    async def _submit(self, datas: list[bytes]) -> list[Outcome]:
        calls = [self._rollup.submit_batch(data) for data in datas]
        if len(calls) == 1:
            return [await self._sender.send_async(calls[0])]
        later_gas = SUBMIT_GAS_MAX + SUBMIT_BYTE_GAS_MAX * max(map(len, datas))
        return await self._sender.send_in_line_async(calls, later_gas)

    def _mark_posted(self, outgoing: _Outgoing, size: int, mined: Mined) -> None:
        if self._outgoing and self._outgoing[0].batch == outgoing.batch:
            self._take_off(size)
        self.counters.batches_posted += 1
        self.counters.posted_bytes += size
        self.counters.posted_gas += mined.gas_used
        self._log.info("posted", index=outgoing.index, size=size, gas=mined.gas_used)

    def _drop_posted(self) -> None:
        """What L1 holds is posted: after a reorg a transaction of before it may have brought it there."""
        replica = self._follower.replica
        while self._outgoing:
            index, batch = self._outgoing[0].index, self._outgoing[0].batch
            if batch is None or replica.batch_hashes.get(index) != batch.batch_hash:
                return
            self._take_off(len(batch.encode()))

    def _take_off(self, size: int) -> None:
        self._outgoing.popleft()
        self.core.engine.mark_posted(size)

    def _tampered(self, outgoing: _Outgoing, batch: BatchData) -> bytes | None:
        if self._tamper is None or outgoing.sealed is None:
            return None
        leaves = dict(self.core.engine.leaves)
        leaves.update(self.core.engine.undo)
        for later in reversed(self._outgoing):
            if later.sealed is not None:
                leaves.update(later.sealed.undo)
        leaves = {key: data for key, data in leaves.items() if data}
        parent = batch.header[12:44]
        return self._tamper(outgoing.sealed, State(leaves, build_tree(leaves.items())), parent)

    # The gateway

    def build_methods(self) -> dict[str, Method]:
        """What clients may call beside `submit`."""

        async def get_status(arguments: list[Value]) -> Value:
            """[] -> role, generation, log position, state time, cancel-only until, last sealed batch, tip, final."""
            state, replica = self.core.engine.globals, self._follower.replica
            index = self.core.head.index if self.core.head else 0
            position = self.core.engine.next_position
            return [
                "sequencer",
                state.generation,
                position,
                state.time,
                state.cancel_only_until,
                index,
                replica.tip,
                replica.final,
            ]

        async def get_book(arguments: list[Value]) -> Value:
            """[underlying, depth] -> [bids, asks] of its perpetual, best first, as [price, lots]."""
            underlying = take_int(arguments, 0, "underlying", UNDERLYINGS_MAX)
            depth = take_int(arguments, 1, "depth", DEPTH_MAX + 1)
            bids, asks = self.core.engine.get_depth(single(perpetual(underlying)), depth)
            return [[list(level) for level in bids], [list(level) for level in asks]]

        methods = build_read_methods(lambda: self.core.engine.leaves)
        return methods | self.feed.methods | {"status": get_status, "book": get_book}


async def run_sequencer(
    sequencer: Sequencer,
    settings: SequencerSettings,
    log: Log,
    *,
    on_start: Callable[[int], None] = lambda port: None,
    tls: ssl.SSLContext | None = None,
) -> None:
    """Recover, then serve, follow and post until cancelled. Raises NodeError, StoreError."""
    await sequencer.start()
    sys.setswitchinterval(SWITCH_SECONDS)
    assert sequencer.core.head is not None
    sequencer.feed.begin(sequencer.core.head.generation)
    gateway = sequencer.gateway = Gateway(
        sequencer.build_methods(),
        fit_limits(GatewayLimits()),
        submissions={"submit": sequencer.ingress.submission},
        streams=sequencer.feed.streams,
        tls=tls,
    )

    secret = sequencer.receipt_key
    with sweep_by_hand() as sweeper:
        async with trio.open_nursery() as nursery:
            verifier, signer = [await nursery.start(run_signature_process, secret) for _ in range(2)]
            nursery.start_soon(load_compiled_margin)
            nursery.start_soon(sequencer.ingress.send_away, verifier)
            nursery.start_soon(sequencer.acknowledger.run, signer, nursery)
            nursery.start_soon(sequencer.follow)
            nursery.start_soon(sequencer.drive, sweeper)
            nursery.start_soon(sequencer.finalise)
            nursery.start_soon(sequencer.post)
            port = await nursery.start(gateway.serve, settings.host, settings.port)
            log.info("serving", role="sequencer", host=settings.host, port=port)
            on_start(port)

"""The rescuer: takes the inbox forward while nobody sequences, from L1 data alone.

It needs no folder, no log and no permission: an L1 endpoint, the rollup's address, and a key with the bond and ether
for gas. While the slot's holder is silent, or the slot open, and a message is overdue, it posts rescue batches until
none is; and it makes final what has waited long enough, so that what people withdrew can be claimed. It leaves the
slot alone: whoever wants to sequence takes it from the silent holder, in a generation of his own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import trio

from node.amounts import ETHER
from node.chain_follower import ChainFollower, Progress
from node.errors import CallReverted, L1Error, NodeError, Underfunded
from node.finaliser import Finaliser
from node.keys import format_address
from node.l1 import TRANSACTION_GAS_MAX, in_thread
from node.logs import Log
from node.rollup import Rollup, Terms
from node.transactions import Mined, Sender, format_outcome
from sequencer.rescue import RESCUE_MESSAGES_MAX, build_rescue_batch
from state.batches import HEADER_BYTES, decode_header
from state.l1_events import BatchPosted, RolledBack
from state.ledger import Ledger
from state.process_inbox import decode_message


class CannotRescue(NodeError):
    """This key must not post rescue batches; the text says why, and which can."""


@dataclass(frozen=True, slots=True)
class RescueSettings:
    """How often L1 is looked at, and how many messages one batch takes: at least 64, or L1 may not take it."""

    poll_seconds: float = 1.0
    messages_max: int = RESCUE_MESSAGES_MAX


@dataclass(frozen=True, slots=True)
class _Turn:
    """A batch was posted, or a conviction rolled some back: what that made of generation and last submitter."""

    block: int
    index: int
    submitter: bytes
    generation: int


@dataclass(slots=True)
class _Chain:
    """What L1's events say of the chain besides its state: who posted, and in which generation."""

    turns: list[_Turn] = field(default_factory=list)
    submitters: dict[int, bytes] = field(default_factory=dict)

    def note(self, event: BatchPosted | RolledBack) -> None:
        """The next event."""
        last = self.turns[-1].submitter if self.turns else b""
        if isinstance(event, BatchPosted):
            last = self.submitters[event.index] = event.submitter
        self.turns.append(_Turn(event.block, event.index, last, event.generation))

    def rewind(self, block: int) -> None:
        """Blocks from here on were replaced. (A batch that is gone has no submitter; nobody asks for it.)"""
        while self.turns and self.turns[-1].block >= block:
            self.turns.pop()

    def get_generation_for(self, submitter: bytes) -> int:
        """The generation that L1 will ask of this submitter's next batch."""
        if not self.turns:
            return 1
        return self.turns[-1].generation + (submitter != self.turns[-1].submitter)


class Rescuer:
    """One key that stands by, and acts when it may and must."""

    def __init__(self, rollup: Rollup, terms: Terms, sender: Sender, settings: RescueSettings, log: Log) -> None:
        self._rollup = rollup
        self._terms = terms
        self._sender = sender
        self._settings = settings
        self._log = log
        self._follower = ChainFollower(rollup)
        self._chain = _Chain()
        self._finaliser = Finaliser(rollup, sender, log)
        self._said = ""

    # Before it starts

    async def start(self) -> None:
        """Wait for what an earlier run left on its way, and look whether this key can rescue. Raises NodeError."""
        await in_thread(self._sender.settle)
        self._note(await self._follower.advance_async())
        await in_thread(self._check_funds)

    def _check_funds(self) -> None:
        """Refuse to start without the bond that is missing and one submission's gas. Raises Underfunded."""
        l1 = self._rollup.l1
        gas_price = 2 * l1.get_block().base_fee + l1.get_priority_fee()
        cost = self._count_missing_bond() + TRANSACTION_GAS_MAX * gas_price
        balance = l1.get_balance(self._sender.address)
        if balance < cost:
            raise Underfunded(
                f"{format_address(self._sender.address)} holds {balance / ETHER:.6f} ether; the bond and the gas of "
                f"one batch take {cost / ETHER:.6f} at the fees of now: send it more (the bond comes back when its "
                "batches are final)"
            )

    def _count_missing_bond(self) -> int:
        """Wei that must be posted before a batch is taken: none for who has the bond that stands behind batches."""
        bond: int = self._rollup.view("bond_of", self._sender.address)
        if bond >= self._terms.bond:
            return 0
        required: int = self._rollup.view("required_bond")
        return required - bond

    # Standing by

    async def run(self) -> None:
        """Look at L1 and act, until cancelled. Raises CannotRescue."""
        while True:
            try:
                await self.look()
            except CallReverted as error:
                self._log.warning("refused; looking again", error=str(error))
            except L1Error as error:
                self._log.warning("L1 unavailable", error=str(error))
            await trio.sleep(self._settings.poll_seconds)

    async def look(self) -> None:
        """Read what is new, and take the next step that is due. Raises L1Error, CannotRescue."""
        progress = await self._follower.advance_async()
        self._note(progress)
        now, wrong = progress.reading.head.time, self._follower.replica.wrong
        is_vacant, slot = await in_thread(self._describe_slot)
        if is_vacant:
            replica = self._follower.replica
            await self._finaliser.act(replica.final, replica.tip, progress)
        overdue = await in_thread(self._count_overdue, now)
        messages = self._get_waiting()[: progress.finalized_messages - self._get_cursor()]
        if wrong is not None:
            self._say("waiting", reason=f"batch {wrong} is wrong and not yet convicted: run `keel watchtower`")
        elif not overdue:
            self._say("standing by", slot=slot, reason="no message is overdue")
        elif not is_vacant:
            self._say("standing by", slot=slot, reason="the holder of the slot has time left for what is overdue")
        elif not messages:
            self._say("waiting", slot=slot, reason="L1 has not finalized the overdue messages")
        else:
            self._say("rescuing", slot=slot, overdue=overdue)
            await self._rescue(now, messages)

    def _note(self, progress: Progress) -> None:
        """What L1's events say of the chain, and of this key. Raises CannotRescue."""
        self._finaliser.note(progress)
        chain, us = self._chain, self._sender.address
        if progress.is_restarted:
            chain.rewind(progress.reading.first)
        for event in progress.events:
            if isinstance(event, BatchPosted | RolledBack):
                chain.note(event)
            if isinstance(event, BatchPosted):
                if event.submitter == us and not decode_header(event.data[:HEADER_BYTES]).is_rescue:
                    raise CannotRescue(f"this key has posted batch {event.index} as a sequencer: {_RECEIPTS}")
            elif isinstance(event, RolledBack) and chain.submitters[event.index] == us:
                raise CannotRescue(
                    f"batch {event.index} of this key was convicted and the bond behind it is gone: find out why, "
                    "then rescue with another key (`keel wallet new FILE` makes one)"
                )

    def _describe_slot(self) -> tuple[bool, str]:
        """Whether others than its holder may post, and a word for it. Raises CannotRescue."""
        holder = self._rollup.get_slot_holder()
        if holder is None:
            return True, "open"
        if holder == self._sender.address:
            raise CannotRescue(f"this key holds the slot: {_RECEIPTS}")
        is_silent: bool = self._rollup.view("is_silent")
        return is_silent, f"{format_address(holder)} is {'silent' if is_silent else 'not silent'}"

    def _get_cursor(self) -> int:
        return Ledger(self._follower.replica.state.leaves).get_globals().inbox_cursor

    def _get_waiting(self) -> list[bytes]:
        """Messages that no batch has taken, oldest first."""
        return self._follower.replica.messages[self._get_cursor() :]

    def _count_overdue(self, now: int) -> int:
        """Waiting messages for which it is too late, as of the L1's head; a rollback lets every message wait anew."""
        waiting = self._get_waiting()
        if not waiting:
            return 0
        rolled_back: int = self._rollup.view("last_rollback")
        arrivals = (decode_message(message).time for message in waiting)
        return sum(now > max(arrival, rolled_back) + self._terms.inbox_deadline for arrival in arrivals)

    def _say(self, event: str, **fields: str | int) -> None:
        """Tell what it is doing when that is something else than before."""
        said = f"{event} {fields}"
        if said != self._said:
            self._log.info(event, **fields)
        self._said = said

    # Acting

    async def _rescue(self, now: int, messages: Sequence[bytes]) -> None:
        """Post the bond where it is missing, then one batch with the messages, which no reorg takes back."""
        bond = await in_thread(self._count_missing_bond)
        if bond:
            await self._sender.send_async(self._rollup.post_bond(bond))
            self._log.info("bond posted", wei=bond)
        replica = self._follower.replica
        batch = build_rescue_batch(
            replica.state.leaves,
            parent=replica.batch_hashes[replica.tip],
            domain=replica.domain,
            generation=self._chain.get_generation_for(self._sender.address),
            time=now,
            messages=messages,
            messages_max=self._settings.messages_max,
        )
        outcome = await self._sender.send_async(self._rollup.submit_batch(batch.encode()))
        header = decode_header(batch.header)
        fields = {"index": header.index, "generation": header.generation, "inbox_cursor": header.inbox_cursor}
        if isinstance(outcome, Mined):
            self._log.info("posted", **fields, gas=outcome.gas_used)
        else:
            self._log.warning("not posted; looking again", **fields, outcome=format_outcome(outcome))


# A batch of the same key and generation that knows nothing of its receipts would contradict them, and that is slashed.
_RECEIPTS = (
    "it may have given receipts that are not on L1; run `keel sequencer` with the data folder that holds its log, or "
    "rescue with a key that never sequenced (`keel wallet new FILE` makes one)"
)


async def run_rescuer(
    rollup: Rollup,
    sender: Sender,
    settings: RescueSettings,
    log: Log,
    *,
    on_start: Callable[[Rescuer], None] = lambda rescuer: None,
) -> None:
    """Check funds and key, then stand by and rescue until cancelled. Raises NodeError when it should not."""
    await in_thread(rollup.check_identity)
    rescuer = Rescuer(rollup, await in_thread(rollup.get_terms), sender, settings, log)
    await rescuer.start()
    on_start(rescuer)
    await rescuer.run()

"""The watchtower: re-executes every batch from L1 data alone and convicts the first wrong step.

It needs an L1 endpoint, the rollup's address and a funded key. Receipts that people hand in it holds against the chain
besides (node/receipt_watch.py). A verdict is valid, invalid or unavailable: unavailable
(L1 does not answer, or contradicts itself) fails closed, is tried again, and grows louder as the window runs out.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import trio

from fraud_proofs.challenger import PROOF_GAS_MAX, Proof
from fraud_proofs.rehearsal import rehearse
from node.amounts import ETHER
from node.chain_follower import ChainFollower, Progress
from node.errors import CallReverted, L1Error, NodeError, RollupEnded, Underfunded
from node.exit import Exit, ExitError
from node.l1 import Call, decode_values, encode_call, in_thread
from node.logs import Log
from node.receipt_watch import ReceiptWatch
from node.replica_checkpoint import ReplicaCheckpoint
from node.rollup import Rollup
from node.transactions import Mined, Sender
from state.batches import HEADER_BYTES, decode_header
from state.l1_events import BatchPosted, Finalised

TURN_SECONDS_MAX = 12.0
"""One block of a real L1."""


class SelfTestFailed(NodeError):
    """The contract would not convict a wrong step: this release does not fit it, and nothing here protects anybody."""


@dataclass(slots=True)
class WatchtowerCounters:
    """What the metrics page tells of a watchtower."""

    batches_valid: int = 0
    batches_invalid: int = 0
    unavailable: int = 0
    convictions: int = 0
    last_seen_batch: int = 0
    seconds_left: float = field(default=float("inf"))


@dataclass(frozen=True, slots=True)
class WatchtowerSettings:
    """`delay` seconds are left to others beside this one's turn; it then looks whether it still must act.

    `receipts` is where receipts are handed in: a file, or a folder of files. With `is_ending` it ends a rollup to which
    no batch or no price comes any more, and registers its debtors.
    """

    poll_seconds: float = 1.0
    delay: float = 0.0
    receipts: Path | None = None
    is_ending: bool = False


def compute_turn_seconds(address: bytes, batch_hash: bytes, challenge_window: int) -> float:
    """How long one watchtower leaves a wrong batch to others: a moment of its own, within a tenth of the window.

    All of them see the wrong step in the same block. Without turns each would send the same proof, and all but one
    would pay for nothing; a moment apart, the later one sees the earlier one's transaction and keeps its own.
    """
    moment = int.from_bytes(sha256(address + batch_hash).digest()[:4]) / (1 << 32)
    return moment * min(TURN_SECONDS_MAX, challenge_window / 10)


class Watchtower:
    """Watches one rollup until cancelled."""

    def __init__(
        self,
        rollup: Rollup,
        sender: Sender,
        settings: WatchtowerSettings,
        log: Log,
        checkpoint: ReplicaCheckpoint | None = None,
    ) -> None:
        self._rollup = rollup
        self._sender = sender
        self._settings = settings
        self._log = log
        self.receipts = None if settings.receipts is None else ReceiptWatch(rollup, sender, settings.receipts, log)
        # Receipts are held against every batch from the genesis on, and so all of them are executed.
        kept = checkpoint if settings.receipts is None else None
        self._follower = ChainFollower(rollup, self._show_to_receipts, kept)
        self._window = self._limit = 0
        self._reading_gaps: dict[int, int] = {}
        self._is_feed_dead = False
        self._accused: tuple[BatchPosted, Proof] | None = None
        self._first_look: Progress | None = None
        self.counters = WatchtowerCounters()

    def _show_to_receipts(self, event: BatchPosted) -> None:
        """Asked what is known of a batch that is about to be executed: nothing, but the receipts must see it now."""
        if self.receipts is not None:
            self.receipts.take_batch(event, self._follower.replica)

    # Before it starts

    def check_funds(self) -> None:
        """Refuse to start with less ether than the dearest proof costs now. Raises Underfunded."""
        l1 = self._rollup.l1
        cost = PROOF_GAS_MAX * (2 * l1.get_block().base_fee + l1.get_priority_fee())
        balance = l1.get_balance(self._sender.address)
        if balance < cost:
            raise Underfunded(
                f"0x{self._sender.address.hex()} holds {balance / ETHER:.6f} ETH and the dearest proof costs "
                f"{cost / ETHER:.6f} ETH at the fees of now: send it more"
            )

    def self_test(self) -> str:
        """Have the judge convict a wrong step of a batch that is never posted. Raises SelfTestFailed."""
        self._first_look = self._follower.advance()
        replica = self._follower.replica
        batch, proof = rehearse(replica.state, replica.batch_hashes[replica.tip], replica.domain)
        arguments = (replica.domain, batch.batch_hash, proof.encode())
        call = Call(
            self._rollup.view("JUDGE"),
            encode_call("judge", ("bytes32", "bytes32", "bytes"), arguments),
            label="self-test",
        )
        try:
            (is_convicted,) = decode_values(("bool",), self._rollup.l1.call(call, self._rollup.address))
        except (CallReverted, ValueError) as error:
            raise SelfTestFailed(f"the judge does not take this release's proofs: {error}") from error
        if not is_convicted:
            raise SelfTestFailed("the judge did not convict a wrong step: this release does not fit the contract")
        return f"the judge convicts a wrong step ({proof.ground}, {len(arguments[2])} bytes of proof)"

    # The watch

    async def run(self) -> None:
        """Follow L1 and convict, until cancelled or nothing is left to do. Raises RollupEnded when it is to end
        nothing."""
        terms = await in_thread(self._rollup.get_terms)
        self._window, self._limit = terms.challenge_window, terms.wind_down_limit
        if self._first_look is not None:
            # Whatever was posted before it started is judged too: nobody else may have looked.
            await self._judge(self._first_look)
        while True:
            try:
                progress = await self._follower.advance_async()
                await self._judge(progress)
                await self._convict(progress)
                if self._settings.is_ending and await in_thread(self.is_over) and await in_thread(self.end):
                    return
            except RollupEnded:
                if not self._settings.is_ending:
                    raise
            except L1Error as error:
                self.counters.unavailable += 1
                self._log.warning("unavailable", error=str(error), verdict="unavailable")
            await trio.sleep(self._settings.poll_seconds)

    def is_over(self) -> bool:
        """Whether the rollup has ended, or can be ended for want of batches. Raises L1Error."""
        leaving = self._leave()
        return leaving.has_ended() or leaving.is_silent() or self._is_feed_dead

    def end(self) -> bool:
        """End the rollup and register everybody who owes; False when it lives after all. Raises L1Error."""
        leaving = self._leave()
        try:
            leaving.end()
        except ExitError as error:
            self._log.info("not ended", reason=str(error))
            self._is_feed_dead = False
            return False
        leaving.open()
        if leaving.is_registering():
            debtors = leaving.register_debtors()
            self._log.info("ended", debtors=debtors, registered_until=leaving.registered_until)
        return True

    def _leave(self) -> Exit:
        return Exit(self._rollup, self._sender, lambda line: self._log.info("end", what=line))

    def _note_feeds(self, progress: Progress) -> None:
        """How old the oldest reading that counts was in each batch, and what that means once the batch is final."""
        for event in progress.events:
            if isinstance(event, BatchPosted):
                header = decode_header(event.data[:HEADER_BYTES])
                self._reading_gaps[event.index] = header.time - header.oracle_time
            elif isinstance(event, Finalised) and event.index in self._reading_gaps:
                self._is_feed_dead = self._reading_gaps[event.index] > self._limit

    async def _judge(self, progress: Progress) -> None:
        self._note_feeds(progress)
        if progress.trouble is not None:
            self._log.warning("no checkpoint", error=progress.trouble)
        if progress.is_restarted:
            self._log.warning("reorg", first_block=progress.reading.first)
        for event, verdict in progress.verdicts:
            self.counters.last_seen_batch = event.index
            if verdict.proof is None:
                self.counters.batches_valid += 1
                self._log.info("batch", index=event.index, verdict="valid", steps=len(verdict.receipts))
                if verdict.leak is not None:
                    self._log.error("leak", index=event.index, what=verdict.leak, note="no proof convicts the rules")
                continue
            self.counters.batches_invalid += 1
            self._accused = event, verdict.proof
            self._log.error(
                "batch",
                index=event.index,
                verdict="invalid",
                ground=str(verdict.proof.ground),
                frame=verdict.proof.frame_number,
                step=verdict.proof.step,
                seconds_left=self._count_seconds_left(event, progress),
            )
            # Then it looks whether another proof is on its way.
            turn = compute_turn_seconds(self._sender.address, event.batch_hash, self._window)
            await trio.sleep(self._settings.delay + turn)

    def _count_seconds_left(self, event: BatchPosted, progress: Progress) -> float:
        self.counters.seconds_left = event.posted_at + self._window - progress.reading.head.time
        return self.counters.seconds_left

    async def _convict(self, progress: Progress) -> None:
        """Send the proof of a wrong batch that L1 still holds; look after look, until L1 holds it no more."""
        if self._accused is None:
            return
        event, proof = self._accused
        replica = self._follower.replica
        if replica.wrong != event.index or replica.final >= event.index:
            if replica.wrong == event.index:
                self._log.error("a wrong batch is final", index=event.index)
            self._accused = None
            return
        left = self._count_seconds_left(event, progress)
        call = self._rollup.prove(event.index, proof.encode())
        try:
            await in_thread(self._rollup.l1.call, call, self._sender.address, "pending")
            outcome = await self._sender.send_async(call)
        except CallReverted as error:
            if error.reason == "rollup: not pending":
                self._log.info("convicted by another", index=event.index)
            else:
                self._log.error("proof refused", index=event.index, reason=error.reason, ground=str(proof.ground))
            return
        if isinstance(outcome, Mined):
            self.counters.convictions += 1
            hash_text = "0x" + outcome.hash.hex()
            self._log.info("convicted", index=event.index, transaction=hash_text, gas=outcome.gas_used)
        else:
            self._log.error("proof did not count", index=event.index, outcome=str(outcome), seconds_left=left)


async def run_watchtower(
    rollup: Rollup,
    sender: Sender,
    settings: WatchtowerSettings,
    log: Log,
    *,
    checkpoint: ReplicaCheckpoint | None = None,
    on_start: Callable[[Watchtower], None] = lambda tower: None,
) -> None:
    """Check funds and contract, then watch until cancelled. Raises NodeError when it should not start."""
    await in_thread(rollup.check_identity)
    tower = Watchtower(rollup, sender, settings, log, checkpoint)
    await in_thread(tower.check_funds)
    if settings.is_ending and await in_thread(tower.is_over) and await in_thread(tower.end):
        return
    log.info("self-test", result=await in_thread(tower.self_test))
    on_start(tower)
    async with trio.open_nursery() as nursery:
        if tower.receipts is not None:
            nursery.start_soon(tower.receipts.run, settings.poll_seconds)
        await tower.run()

"""Leaving a rollup that is dead, with nothing but L1: end it, register its debtors, be paid.

    leaving = Exit(rollup, sender, print)
    leaving.end()
    leaving.open()
    leaving.register_debtors()
    leaving.claim(leaving.list_own_accounts())

Every step may be done by anybody, and is passed over where somebody has done it already. What it needs to know it
derives from L1 by re-execution.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property
from hashlib import sha256

from fraud_proofs.settlement_witness import build_opening_witness, build_settlement_witness
from node.errors import CallReverted, NodeError
from node.event_reader import EventReader
from node.keys import format_address
from node.l1 import Call
from node.rollup import PostedBatch, Rollup
from node.transactions import Sender, require_mined
from node.wallet import DerivedState, derive_final_state
from node.wind_down import find_wind_down
from state.batches import decode_batch, decode_header
from state.l1_events import BatchPosted
from state.leaves import Account
from state.ledger import Ledger
from state.process_inbox import MessageType, decode_message
from state.wind_down import Ending, value_account

Report = Callable[[str], None]


class ExitError(NodeError):
    """It is not time for that yet; the text says when it is."""


class Exit:
    """One key on its way out of one rollup, as L1 stands when it is made. Blocking."""

    def __init__(self, rollup: Rollup, sender: Sender, report: Report) -> None:
        self._rollup = rollup
        self._sender = sender
        self._report = report
        self._contract = find_wind_down(rollup)
        self._terms = rollup.get_terms()

    # The end

    def end(self) -> None:
        """End the rollup, if it has not ended. Raises ExitError while it lives."""
        if self.has_ended():
            return
        self._finalise_due()
        tip = self._require_batch(self._rollup.view("tip"))
        now, limit = self._rollup.l1.get_block().time, self._terms.wind_down_limit
        hashed = b"" if now > tip.submitted_at + limit else self._find_dead_feed()
        if hashed is None:
            raise ExitError(
                f"the rollup lives: its last batch came at {format_time(tip.submitted_at)}, and it can be ended when "
                f"none has come by {format_time(tip.submitted_at + limit)}, or when a feed with open interest has been "
                f"silent for {limit} s in a final batch; until then leave by `keel wallet withdraw` or force-withdraw"
            )
        self._send(self._rollup.wind_down(hashed), "the rollup is wound down")

    def has_ended(self) -> bool:
        """Whether somebody has ended it."""
        return bool(self._rollup.view("wound_down_at"))

    def is_silent(self) -> bool:
        """Whether it could be ended for want of batches."""
        tip = self._require_batch(self._rollup.view("tip"))
        return self._rollup.l1.get_block().time > tip.submitted_at + self._terms.wind_down_limit

    def _finalise_due(self) -> None:
        """What can be final must be, before anybody may end the rollup."""
        now, final, tip = self._rollup.l1.get_block().time, self._rollup.view("final_index"), self._rollup.view("tip")
        due = final
        while due < tip and self._require_batch(due + 1).submitted_at + self._terms.challenge_window <= now:
            due += 1
        if due > final:
            self._send(self._rollup.finalise(due), f"batch {due} is final")

    def _find_dead_feed(self) -> bytes | None:
        """Header and frame hashes of the last final batch, when it tells of a feed that is silent for too long."""
        index = self._rollup.view("final_index")
        batch_hash = self._require_batch(index).hash
        for event in EventReader(self._rollup).read().events:
            if isinstance(event, BatchPosted) and event.batch_hash == batch_hash:
                batch = decode_batch(event.data)
                assert batch is not None
                header = decode_header(batch.header)
                if header.time > header.oracle_time + self._terms.wind_down_limit:
                    return batch.header + b"".join(sha256(frame).digest() for frame in batch.frames)
        return None

    def _require_batch(self, index: int) -> PostedBatch:
        batch = self._rollup.get_batch(index)
        if batch is None:
            raise ExitError(f"batch {index} has just died: try again")
        return batch

    # The books

    @cached_property
    def final(self) -> DerivedState:
        """The last final state, derived; nothing changes it once the rollup has ended."""
        return derive_final_state(self._rollup, EventReader(self._rollup).read().events)

    @cached_property
    def _twin(self) -> Ending:
        return Ending(self.final.replica.state.leaves)

    def open(self) -> None:
        """Open the books, if nobody has."""
        if not self._contract.get_ending().registered_until:
            state = self.final.replica.state
            self._send(self._contract.open(build_opening_witness(state.leaves, state.tree)), "the books are open")

    @property
    def registered_until(self) -> int:
        """L1 time from which claims are paid; 0 before the books are open."""
        return self._contract.get_ending().registered_until

    def is_registering(self) -> bool:
        """Whether debtors are registered still."""
        return self._rollup.l1.get_block().time < self.registered_until

    def register_debtors(self) -> int:
        """Register every debtor whom nobody has registered; how many debtors there are in all."""
        debtors = list(self._twin.list_debtors())
        for account, debt in debtors:
            if not self._contract.is_settled(account):
                call = self._contract.register(account, self._build_witness(account))
                self._send(call, f"account {account} is registered: it owes {debt} quote units")
        return len(debtors)

    # Being paid

    def list_own_accounts(self) -> list[int]:
        """This key's accounts that have not been settled."""
        accounts = self.final.find_accounts(self._sender.address)
        return [account for account, _ in accounts if not self._contract.is_settled(account)]

    def claim(self, accounts: list[int]) -> None:
        """Have accounts paid, anybody's. Raises ExitError before claims are paid."""
        if self.is_registering():
            raise ExitError(
                f"debtors are registered until {format_time(self.registered_until)}, and claims are paid from then on: "
                "come back after it"
            )
        for account in accounts:
            self._send(self._contract.claim(account, self._build_witness(account)), self._describe(account))

    def refund_deposits(self) -> None:
        """Have this key's deposits come back that no final batch has taken."""
        ending = self._contract.get_ending()
        for index, data in enumerate(self.final.replica.messages[ending.inbox_cursor :], start=ending.inbox_cursor):
            message = decode_message(data)
            is_own = message.type == MessageType.DEPOSIT and message.sender == self._sender.address
            if is_own and not self._contract.is_refunded(index):
                self._send(self._contract.refund(index, data), f"the deposit of message {index} comes back")

    def _describe(self, account: int) -> str:
        held: Account = Ledger(self.final.replica.state.leaves).require_account(account)
        valued = value_account(Ledger(self.final.replica.state.leaves), account)
        return (
            f"account {account} of {format_address(held.owner)} is paid: it was owed {max(valued.claim, 0)} quote "
            f"units and had {len(held.collateral)} other assets"
        )

    def _build_witness(self, account: int) -> bytes:
        state = self.final.replica.state
        return build_settlement_witness(state.leaves, state.tree, account)

    def _send(self, call: Call, done: str) -> None:
        """Send and report; whoever comes second has nothing to do."""
        try:
            mined = require_mined(self._sender.send(call))
        except CallReverted as error:
            if error.reason not in _DONE_BY_ANOTHER:
                raise
            self._report(f"{done} (by another)")
        else:
            self._report(f"{done}, {mined.gas_used:,} gas")


def format_time(seconds: int) -> str:
    """L1 time for people."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


_DONE_BY_ANOTHER = (
    "rollup: wound down",
    "rollup: not pending",
    "wind down: open",
    "wind down: settled",
    "wind down: refunded",
)

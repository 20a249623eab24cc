"""Sending transactions from one key, each exactly once: signed here, journalled, dearer when they wait, to a known end.

    with Sender(l1, key, Path("keys/l1.nonces")) as sender:
        outcome = sender.send(rollup.finalise(7))          # blocks
        outcome = await sender.send_async(...)             # beside other trio tasks

After a crash the journal knows what was on its way. The same call made again takes that transaction up instead of
sending a second one; `settle` waits for all of them. The end is that of the L1's head. Until it is final the journal
keeps the transaction: should a reorg undo it, it is offered again with the next one that is sent, and the same call
takes it up. Who needs to know that no reorg takes it back follows the rollup's events.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import trio

from node.amounts import ETHER, GWEI
from node.errors import (
    CallReverted,
    FeeTooHigh,
    L1Disputed,
    L1Error,
    L1Refused,
    L1Unavailable,
    NotMined,
    Underfunded,
)
from node.keys import Secp256k1Key, format_address
from node.l1 import (
    L1,
    TRANSACTION_GAS_MAX,
    Call,
    SignedTransaction,
    TransactionFields,
    in_thread,
    sign_transaction,
)
from node.nonce_journal import Entry, NonceJournal

FEE_CAP = 500 * GWEI
"""Wei a gas that a transaction may at most offer, unless the operator says otherwise."""


@dataclass(frozen=True, slots=True)
class Mined:
    """It did what it should. `contract` is the address that it created, if it created one."""

    hash: bytes
    block: int
    gas_used: int
    gas_price: int
    contract: bytes | None = None


@dataclass(frozen=True, slots=True)
class Reverted:
    """It was mined and changed nothing but the sender's nonce and ether; `reason` is the contract's word."""

    hash: bytes
    block: int
    gas_used: int
    reason: str


@dataclass(frozen=True, slots=True)
class Replaced:
    """Another transaction of the same key, from elsewhere, took its nonce: it will never be mined."""

    nonce: int


Outcome = Mined | Reverted | Replaced


class Sender:
    """One key and its journal. Several transactions may be on their way at once, from several threads."""

    def __init__(
        self,
        l1: L1,
        key: Secp256k1Key,
        journal: Path,
        *,
        bump_after_blocks: int = 3,
        fee_cap: int = FEE_CAP,
        poll_seconds: float = 0.5,
    ) -> None:
        """Fees in wei a gas. Raises JournalError, and L1Error when no endpoint answers."""
        self.l1 = l1
        self.address = key.address
        self._key = key
        self._journal = NonceJournal(journal, self.address, l1.get_block(0).hash)
        self._orphans = [nonce for nonce, entry in self._journal.entries.items() if entry.ended_block is None]
        self._bump_after_blocks = bump_after_blocks
        self._fee_cap = fee_cap
        self._poll_seconds = poll_seconds
        self._lock = threading.RLock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the journal; what is on its way stays in it."""
        self._journal.close()

    # Whole ways to the end

    def send(self, call: Call, timeout_seconds: float = 180) -> Outcome:
        """Send and wait for the end. Raises CallReverted when the call would fail, NotMined after the timeout."""
        return self._wait(self.begin(call), timeout_seconds)

    async def send_async(self, call: Call) -> Outcome:
        """The same for trio, without a timeout of its own; while no endpoint answers it goes on asking."""
        nonce = await in_thread(self.begin, call)
        with self._waiting_for(nonce):
            return await self._wait_async(nonce)

    async def send_in_line_async(self, calls: Sequence[Call], later_gas: int) -> list[Outcome]:
        """Send calls each of which builds on the one before it, so that one block may take them all; their ends.

        Only the first can be tried out beforehand: the others get `later_gas`. Where one of them cannot be sent, the
        line ends before it, and there are fewer ends than calls. Raises what `begin` does, for the first.
        """
        nonces: list[int] = []
        with ExitStack() as waiting:
            for call in calls:
                try:
                    nonce = await in_thread(self.begin, call, later_gas if nonces else None)
                except L1Error:
                    if not nonces:
                        raise
                    break
                nonces.append(nonce)
                waiting.enter_context(self._waiting_for(nonce))
            return [await self._wait_async(nonce) for nonce in nonces]

    async def _wait_async(self, nonce: int) -> Outcome:
        while True:
            outcome = await in_thread(self._poll_patiently, nonce)
            if outcome is not None:
                return outcome
            await trio.sleep(self._poll_seconds)

    def settle(self, timeout_seconds: float = 180) -> list[Outcome]:
        """Wait for what an earlier run left on its way; call this before deciding anything anew."""
        outcomes = []
        while self._orphans:
            outcomes.append(self._wait(self._orphans.pop(0), timeout_seconds))
        return outcomes

    def _wait(self, nonce: int, timeout_seconds: float) -> Outcome:
        deadline = time.monotonic() + timeout_seconds
        with self._waiting_for(nonce):
            while time.monotonic() < deadline:
                outcome = self._poll_patiently(nonce)
                if outcome is not None:
                    return outcome
                time.sleep(self._poll_seconds)
        entry = self._journal.entries[nonce]
        raise NotMined(
            f"{entry.call.label}: transaction 0x{entry.hashes[-1].hex()} is not mined after {timeout_seconds:.0f} s; "
            "it keeps its nonce, so run the same again to wait on"
        )

    @contextmanager
    def _waiting_for(self, nonce: int) -> Iterator[None]:
        """Whoever stops waiting before the end leaves the transaction to the next who makes the same call."""
        try:
            yield
        finally:
            entry = self._journal.entries.get(nonce)
            if entry is not None and entry.ended_block is None:
                self._orphans.append(nonce)

    def _poll_patiently(self, nonce: int) -> Outcome | None:
        """Endpoints that are silent, refuse or disagree for a while are not the end of anything."""
        try:
            return self.poll(nonce)
        except (L1Unavailable, L1Refused, L1Disputed):
            return None

    # Steps of the way

    def begin(self, call: Call, gas: int | None = None) -> int:
        """Sign, write down and broadcast; the nonce names the transaction from here on.

        A call that somebody left on its way, or that a reorg undid, is taken up, not sent again. With `gas` it is not
        tried out. Raises CallReverted, Underfunded, FeeTooHigh, L1Refused, and then nothing was sent.
        """
        with self._lock:
            for nonce in self._orphans:
                if _is_same(self._journal.entries[nonce].call, call):
                    self._orphans.remove(nonce)
                    return nonce
            self._strike_final()
            mined_count = self.l1.get_nonce(self.address)
            for nonce in self._offer_undone(mined_count):
                if _is_same(self._journal.entries[nonce].call, call):
                    self._journal.end(nonce, None)
                    return nonce
            if gas is None:
                gas = min(self.l1.estimate_gas(call, self.address) * 5 // 4, TRANSACTION_GAS_MAX)
            max_fee, priority_fee = self._choose_fees()
            self._check_funds(call, gas * max_fee)
            nonce = max([mined_count - 1, *self._journal.entries]) + 1
            fields = TransactionFields(
                chain_id=self.l1.get_chain_id(),
                nonce=nonce,
                to=call.to,
                data=call.data,
                value=call.value,
                gas=gas,
                max_fee=max_fee,
                priority_fee=priority_fee,
            )
            signed = sign_transaction(self._key.secret, fields)
            self._journal.put(Entry(call, fields, (signed.hash,), self.l1.get_block().number))
            self._broadcast_first(nonce, signed)
        return nonce

    def poll(self, nonce: int) -> Outcome | None:
        """The end of a transaction, None while it waits; one that waits too long is offered again, dearer."""
        with self._lock:
            entry = self._journal.entries[nonce]
            mined_count = self.l1.get_nonce(self.address)
            outcome = self._find_outcome(entry)
            if outcome is not None:
                self._journal.end(nonce, outcome.block)
                return outcome
            if mined_count > nonce and not self._is_any_known(entry):
                self._journal.strike(nonce)
                return Replaced(nonce)
            self._offer_undone(mined_count)
            self._nudge(entry)
        return None

    # Reorgs

    def _strike_final(self) -> None:
        """What no reorg can undo any more is forgotten."""
        ended = [nonce for nonce, entry in self._journal.entries.items() if entry.ended_block is not None]
        if not ended:
            return
        try:
            final_count = self.l1.get_nonce(self.address, "finalized")
        except L1Refused:  # it has not kept that state; what is kept here too long is harmless
            return
        self._journal.strike(*(nonce for nonce in ended if nonce < final_count))

    def _offer_undone(self, mined_count: int) -> list[int]:
        """Offer again what a reorg took out of its block, and answer the nonces.

        The network may have lost it, and it mines nothing of a later nonce before it.
        """
        undone = []
        for nonce, entry in sorted(self._journal.entries.items()):
            if entry.ended_block is not None and nonce >= mined_count and self._find_outcome(entry) is None:
                self._nudge(entry)
                undone.append(nonce)
        return undone

    def _is_any_known(self, entry: Entry) -> bool:
        """An endpoint may count a transaction before it has its receipt; but then it knows the transaction."""
        return any(self.l1.is_known(transaction) for transaction in entry.hashes)

    def _find_outcome(self, entry: Entry) -> Mined | Reverted | None:
        for transaction in reversed(entry.hashes):
            receipt = self.l1.get_receipt(transaction)
            if receipt is None:
                continue
            if receipt.is_success:
                return Mined(transaction, receipt.block, receipt.gas_used, receipt.gas_price, receipt.contract)
            return Reverted(transaction, receipt.block, receipt.gas_used, self._ask_reason(entry, receipt.block))
        return None

    def _ask_reason(self, entry: Entry, block: int) -> str:
        """Why a mined transaction failed, by the state before its block: a receipt does not say."""
        try:
            self.l1.call(entry.call, self.address, block - 1)
        except CallReverted as reverted:
            return reverted.reason
        except L1Error:
            return ""
        return "it ran out of gas, or of luck against another transaction of its block"

    def _nudge(self, entry: Entry) -> None:
        """Offer a waiting transaction again: dearer after some blocks, unchanged when the network has lost it."""
        head = self.l1.get_block().number
        fields = entry.fields
        if head - entry.sent_block >= self._bump_after_blocks:
            fields = self._raise_fees(fields)
        if fields is not entry.fields:
            signed = sign_transaction(self._key.secret, fields)
            self._journal.put(replace(entry, fields=fields, hashes=(*entry.hashes, signed.hash), sent_block=head))
            self._broadcast_again(signed)
        elif not self.l1.is_known(entry.hashes[-1]):
            self._broadcast_again(sign_transaction(self._key.secret, fields))

    # Fees and funds

    def _choose_fees(self) -> tuple[int, int]:
        """Twice the base fee and the tip: room for six full blocks in a row. Raises FeeTooHigh."""
        base_fee, tip = self.l1.get_block().base_fee, self.l1.get_priority_fee()
        if base_fee + tip > self._fee_cap:
            raise FeeTooHigh(
                f"the L1 asks {(base_fee + tip) / GWEI:.1f} gwei a gas, and at most {self._fee_cap / GWEI:.1f} is "
                "allowed: wait, or raise l1.fee_cap_gwei"
            )
        return min(2 * base_fee + tip, self._fee_cap), tip

    def _raise_fees(self, fields: TransactionFields) -> TransactionFields:
        """Both fees up by an eighth, which every pool takes as a replacement; unchanged where the cap forbids it."""
        try:
            fresh_max, fresh_priority = self._choose_fees()
        except FeeTooHigh:
            return fields
        max_fee = max(_add_eighth_up(fields.max_fee), fresh_max)
        if max_fee > self._fee_cap:
            return fields
        priority_fee = min(max(_add_eighth_up(fields.priority_fee), fresh_priority), max_fee)
        return replace(fields, max_fee=max_fee, priority_fee=priority_fee)

    def _check_funds(self, call: Call, gas_wei: int) -> None:
        balance, needed = self.l1.get_balance(self.address), call.value + gas_wei
        if balance < needed:
            raise Underfunded(
                f"{call.label}: {format_address(self.address)} has {balance / ETHER:.6f} ether and needs "
                f"{needed / ETHER:.6f}: send it some"
            )

    # The network

    def _broadcast_first(self, nonce: int, signed: SignedTransaction) -> None:
        """A refusal frees the nonce: nobody else has seen the transaction. Silence does not: poll offers it again."""
        try:
            self.l1.broadcast(signed)
        except L1Refused:
            self._journal.strike(nonce)
            raise
        except L1Unavailable:
            return

    def _broadcast_again(self, signed: SignedTransaction) -> None:
        """Refusals say what the next poll finds out: the nonce is used, or the other offer is still good."""
        with suppress(L1Refused, L1Unavailable):
            self.l1.broadcast(signed)


def format_outcome(outcome: Outcome) -> str:
    """One line for a person."""
    match outcome:
        case Mined():
            return f"mined in block {outcome.block}, {outcome.gas_used:,} gas, 0x{outcome.hash.hex()}"
        case Reverted():
            return f"reverted in block {outcome.block}: {outcome.reason or 'no reason given'}, 0x{outcome.hash.hex()}"
        case Replaced():
            return f"replaced: another transaction of this key took nonce {outcome.nonce}"


def require_mined(outcome: Outcome) -> Mined:
    """For callers to whom anything else is an error. Raises CallReverted or NotMined."""
    if isinstance(outcome, Mined):
        return outcome
    if isinstance(outcome, Reverted):
        raise CallReverted(f"0x{outcome.hash.hex()}", outcome.reason)
    raise NotMined(f"{format_outcome(outcome)}; is the same key in use elsewhere?")


def _is_same(one: Call, other: Call) -> bool:
    return (one.to, one.data, one.value) == (other.to, other.data, other.value)


def _add_eighth_up(fee: int) -> int:
    return -(-fee * 9 // 8)

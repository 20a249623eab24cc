"""Receipts handed to a watchtower on a real L1: an honest key keeps its bond, a broken word costs it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from node.logs import Log
from node.receipt_check import format_receipt
from node.receipt_watch import ReceiptFiles, ReceiptWatch
from node.rollup import ETH
from node.watchtower_role import Watchtower, WatchtowerSettings
from sequencer.requests import build_request
from state.operations import Cancel, Withdraw, hash_digest
from tests.fraud_proofs.broken_word import bend_batch
from tests.node.clerk import SESSION, Clerk
from tests.node.reorgs import reorganize
from tests.node.test_rescue_role import open_rescuer, wait
from tests.node.test_vertical import until
from tests.node.town import ETHER_ASSET, TERMS, Town


class Holder:
    """Somebody who asks a clerk for things, and hands the receipts in."""

    def __init__(self, town: Town, clerk: Clerk, folder: Path) -> None:
        self.town, self.clerk, self.folder = town, clerk, folder
        self.sequence = 0
        folder.mkdir()

    def withdraw(self, count: int = 1) -> list[str]:
        """Lines of receipts for so many withdrawals."""
        lines = []
        for _ in range(count):
            self.sequence += 1
            bare = Withdraw(0, 1, self.sequence, ETHER_ASSET, 10**6, 0, bytes(64))
            lines.append(self._ask(bare))
        return lines

    def cancel(self, counter: int) -> str:
        """The line of a receipt for a cancel that is not posted."""
        generation = self.clerk.core.engine.globals.generation
        return self._ask(Cancel(0, 1, 5, counter, generation, 0, bytes(64)))

    def _ask(self, bare: Withdraw | Cancel) -> str:
        signature = SESSION.sign(hash_digest(self.town.rollup.get_domain(), bare))
        request = build_request(replace(bare, signature=signature))
        return format_receipt(self.clerk.acknowledge(request), request)

    def hand_in(self, lines: list[str], name: str = "receipts") -> None:
        with (self.folder / name).open("a") as file:
            file.writelines(line + "\n" for line in lines)

    def forget(self) -> None:
        """The clerk withdraws, acknowledges it, and posts everything but that; the receipt is handed in elsewhere."""
        position = self.clerk.core.engine.next_position
        self.forgotten = self.withdraw()
        self.clerk.post(
            bend_batch(self.clerk.seal(), lambda ops: [op for op in ops if op[1:9] != position.to_bytes(8)])
        )


@pytest.fixture
def holder(town: Town, clerk: Clerk, tmp_path: Path) -> Holder:
    return Holder(town, clerk, tmp_path / "handed-in")


@asynccontextmanager
async def watch(holder: Holder) -> AsyncIterator[tuple[Watchtower, ReceiptWatch]]:
    """A running watchtower that reads the holder's folder."""
    settings = WatchtowerSettings(poll_seconds=0.02, receipts=holder.folder)
    tower = Watchtower(holder.town.rollup, holder.town.open_sender("tower"), settings, Log("watchtower"))
    assert tower.receipts is not None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tower.run)
        nursery.start_soon(tower.receipts.run, 0.02)
        yield tower, tower.receipts
        nursery.cancel_scope.cancel()


async def test_a_broken_word_costs_the_bond(holder: Holder) -> None:
    """Receipts of what is posted stand; the one that is left out is found in the batch, and slashed for once."""
    town, clerk = holder.town, holder.clerk
    async with watch(holder) as (tower, receipts):
        holder.hand_in(holder.withdraw(3))
        await until(lambda: receipts.counters.held == 3)
        clerk.post()
        await until(lambda: tower.counters.last_seen_batch == 2)
        assert receipts.counters.contradicted == 0

        position = clerk.core.engine.next_position
        holder.hand_in(holder.withdraw())
        await until(lambda: receipts.counters.held == 4)
        clerk.post(bend_batch(clerk.seal(), lambda ops: [op for op in ops if op[1:9] != position.to_bytes(8)]))
        await until(lambda: receipts.counters.slashed == 1)

        assert receipts.counters.contradicted == 1
    assert town.rollup.view("bond_of", clerk.sender.address) == 0
    assert town.rollup.view("balance_of", ETH, town.get_key("tower").address) == TERMS.bond // 2


async def test_a_receipt_that_comes_late_is_held_against_what_was(holder: Holder) -> None:
    """The batch that contradicts it was executed long before it was handed in."""
    holder.forget()
    async with watch(holder) as (tower, receipts):
        await until(lambda: tower.counters.last_seen_batch == 2)
        holder.hand_in(holder.forgotten, "of somebody else")
        await until(lambda: receipts.counters.slashed == 1)
    assert holder.town.rollup.view("bond_of", holder.clerk.sender.address) == 0


async def test_honest_receipts_survive_a_reorg(holder: Holder) -> None:
    """L1 forgets the batch; its ops come back in other batches, at the same positions."""
    town, clerk = holder.town, holder.clerk
    async with watch(holder) as (tower, receipts):
        holder.hand_in([*holder.withdraw(4), holder.cancel(1), holder.cancel(2)])
        await until(lambda: receipts.counters.held == 6)
        clerk.post()
        await until(lambda: tower.counters.last_seen_batch == 2)
        posted = town.rollup.get_batch(2)

        reorganize(town.anvil, 1)
        clerk.forget_transactions()
        holder.hand_in([*holder.withdraw(2), holder.cancel(3)])
        clerk.core.rewind(1, clerk.get_message)
        clerk.post()
        clerk.take_messages()
        clerk.post()

        await until(lambda: tower.counters.last_seen_batch == 3 and receipts.counters.held == 9)
        assert town.rollup.get_batch(2) != posted
        holder.hand_in(holder.withdraw())
        await until(lambda: receipts.counters.held == 10)
        assert (receipts.counters.contradicted, tower.counters.batches_invalid) == (0, 0)
    assert town.rollup.view("bond_of", clerk.sender.address) == TERMS.bond


async def test_honest_receipts_survive_a_rescue(holder: Holder) -> None:
    """The clerk falls silent with things acknowledged that it never posts; a stranger takes the inbox forward."""
    town, clerk = holder.town, holder.clerk
    async with watch(holder) as (tower, receipts):
        holder.hand_in(holder.withdraw(2))
        clerk.post()
        holder.hand_in([*holder.withdraw(3), holder.cancel(7)])
        town.deposit_ether(town.open_sender("bob"), 10**9)
        wait(town.anvil, TERMS.silence_limit)
        rescuer = open_rescuer(town)
        await rescuer.start()
        await rescuer.look()
        await until(lambda: tower.counters.last_seen_batch == 3 and receipts.counters.held == 6)
        assert town.rollup.view("generation") == 2
        assert (receipts.counters.contradicted, tower.counters.batches_invalid) == (0, 0)
    assert town.rollup.view("bond_of", clerk.sender.address) == TERMS.bond


async def test_what_is_no_receipt_stops_nobody(holder: Holder) -> None:
    """Such a line is counted, and those beside it are held."""
    async with watch(holder) as (_, receipts):
        holder.hand_in(["nonsense", *holder.withdraw(), "00 00"])
        await until(lambda: receipts.counters.held == 1)
        assert receipts.counters.unreadable == 2


def test_files_are_read_on_as_they_grow(tmp_path: Path) -> None:
    """Each line once, when it is whole; new files too; one that is no longer there is no error."""
    files, one = ReceiptFiles(tmp_path), tmp_path / "one"
    assert list(files.read_new()) == []
    one.write_bytes(b"a\nb")
    assert list(files.read_new()) == [(one, "a")]
    one.write_bytes(b"a\nb\n\xff\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "two").write_text("c\n")
    assert list(files.read_new()) == [(one, "b"), (one, "\N{REPLACEMENT CHARACTER}"), (tmp_path / "two", "c")]
    one.unlink()
    assert list(files.read_new()) == []
    assert list(ReceiptFiles(tmp_path / "two").read_new()) == [(tmp_path / "two", "c")]

"""A follower beside a sequencer: what it shows before L1 does, what it hands on, and what makes it raise an alarm."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from node.client import Client, GatewayAddress, open_client
from node.feed import Feed
from node.feed_copy import ForeignCopy
from node.follower_role import Follower, FollowerSettings, run_follower
from node.gateway import Gateway
from node.logs import Log
from node.op_log import LevelDbLog
from node.rollup import ETH
from node.transactions import require_mined
from sequencer.log_check import AlarmCode
from sequencer.oplog import LogRecord, RecordKind
from sequencer.requests import build_request
from state.codec import Value
from state.leaves import decode_withdrawal
from state.operations import Cancel, Tick, Withdraw, hash_digest
from state.store import Store
from tests.fraud_proofs.broken_word import bend_batch
from tests.node.clerk import SESSION, Clerk
from tests.node.reorgs import reorganize
from tests.node.test_vertical import until
from tests.node.town import ETHER_ASSET, Town

AMOUNT = 10**6


def withdraw(town: Town, clerk: Clerk, sequence: int) -> None:
    """Withdraw a little, through the engine."""
    bare = Withdraw(0, 1, sequence, ETHER_ASSET, AMOUNT, 0, bytes(64))
    clerk.take(build_request(replace(bare, signature=SESSION.sign(hash_digest(town.rollup.get_domain(), bare)))))


class Source:
    """A gateway that feeds a log: the clerk's own, or one that a test has bent."""

    def __init__(self, clerk: Clerk) -> None:
        self._log = LevelDbLog(clerk.store)
        self.feed = Feed(self._log)
        self.feed.begin(1)
        self.port = 0

    async def serve(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        gateway = Gateway(self.feed.methods, streams=self.feed.streams)
        async with trio.open_nursery() as nursery:
            self.port = await nursery.start(gateway.serve, "127.0.0.1", 0)
            task_status.started()

    def bend(self, bend: Callable[[list[LogRecord]], list[LogRecord]]) -> None:
        """From here on readers get another log."""
        records = bend(list(self._log.read_from(1, 0)))
        self._log.read_from = lambda generation, position: iter(records[position:])  # type: ignore[method-assign]
        self.feed.begin(1)


@asynccontextmanager
async def follow(town: Town, folder: Path, port: int) -> AsyncIterator[tuple[int, Follower]]:
    """A running follower of the feed at a port, and the port at which it serves."""
    settings = FollowerSettings(port=0, poll_seconds=0.02, feed=GatewayAddress("127.0.0.1", port), data=folder)
    started: list[tuple[int, Follower]] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            lambda: run_follower(
                town.rollup, settings, Log("follower"), on_start=lambda port, one: started.append((port, one))
            )
        )
        await until(lambda: bool(started))
        yield started[0]
        nursery.cancel_scope.cancel()


async def ask(client: Client, method: str, *arguments: Value) -> Any:
    """A gateway's answer, of whatever shape the test expects."""
    return await client.call(method, *arguments)


async def read_amount(client: Client, index: int) -> int | None:
    """Of a withdrawal, as a gateway shows it."""
    leaf = await client.call("withdrawal", index)
    assert isinstance(leaf, bytes)
    found = decode_withdrawal(leaf)
    return None if found is None else found.amount


async def test_what_was_acknowledged_is_shown_before_l1_has_it(town: Town, clerk: Clerk, tmp_path: Path) -> None:
    """By a follower, and by one that follows its feed; after a restart too; once posted, it is proved and claimed."""
    withdraw(town, clerk, 1)
    async with trio.open_nursery() as nursery:
        source = Source(clerk)
        await nursery.start(source.serve)
        async with follow(town, tmp_path / "one", source.port) as (port, one):
            async with follow(town, tmp_path / "two", port) as (other_port, two):
                head = clerk.core.engine.next_position
                await until(lambda: one.counters.fresh_position == two.counters.fresh_position == head)
                async with open_client("127.0.0.1", other_port) as client:
                    assert await read_amount(client, 0) == AMOUNT
                    assert await client.call("withdrawals_of", town.get_key("alice").address, 0) == [0]
                    assert (await ask(client, "withdrawal_proof", 0))[0] == b"", "nothing is posted yet"
                    assert (await ask(client, "status"))[5:] == [1, head, 0]
            withdraw(town, clerk, 2)
            source.feed.begin(1)
            await until(lambda: one.counters.fresh_position == clerk.core.engine.next_position)
            async with follow(town, tmp_path / "two", port) as (other_port, two):
                assert two.copy is not None
                await until(lambda: two.counters.fresh_position == clerk.core.engine.next_position)
                clerk.post()
                await until(lambda: two.counters.tip == 2)
                assert (two.alarms, one.alarms) == ([], [])
                async with open_client("127.0.0.1", other_port) as client:
                    leaf, mask, siblings, batch = await ask(client, "withdrawal_proof", 0)
                    assert (await ask(client, "batch", 2))[2] is False
                    assert await client.call("batch", 3) is None
        nursery.cancel_scope.cancel()
    clerk.finalise()
    sender = town.open_sender("stranger")
    require_mined(sender.send(town.rollup.claim(0, leaf, mask, siblings, batch)))
    assert town.rollup.view("balance_of", ETH, town.get_key("alice").address) == AMOUNT * 10**9


async def test_a_reorg_changes_nothing_that_is_shown(town: Town, clerk: Clerk, tmp_path: Path) -> None:
    """L1 forgets a batch and gets others with the same ops; the follower shows the head of the log all the while."""
    async with trio.open_nursery() as nursery:
        source = Source(clerk)
        await nursery.start(source.serve)
        async with follow(town, tmp_path / "one", source.port) as (port, one), open_client("127.0.0.1", port) as client:
            for sequence in (1, 2, 3):
                withdraw(town, clerk, sequence)
            clerk.post()
            source.feed.begin(1)
            await until(lambda: one.counters.tip == 2 and one.counters.fresh_position == source.feed.end)

            reorganize(town.anvil, 1)
            clerk.forget_transactions()
            await until(lambda: one.counters.tip == 1)
            assert await read_amount(client, 2) == AMOUNT
            withdraw(town, clerk, 4)
            clerk.core.rewind(1, clerk.get_message)
            clerk.post()
            withdraw(town, clerk, 5)
            clerk.post()
            source.feed.begin(1)

            await until(lambda: one.counters.tip == 3 and one.counters.fresh_position == source.feed.end)
            assert [await read_amount(client, index) for index in range(6)] == [AMOUNT] * 5 + [None]
            assert one.alarms == []
        nursery.cancel_scope.cancel()


# Feeds that are not the log


async def raise_alarm(
    town: Town,
    clerk: Clerk,
    folder: Path,
    bend: Callable[[list[LogRecord]], list[LogRecord]],
    shown: int | None = None,
) -> Follower:
    """A follower on a bent feed, once it has raised an alarm; of withdrawal 0 it then shows what L1 does."""
    async with trio.open_nursery() as nursery:
        source = Source(clerk)
        source.bend(bend)
        await nursery.start(source.serve)
        async with follow(town, folder, source.port) as (port, follower):
            await until(lambda: bool(follower.alarms))
            async with open_client("127.0.0.1", port) as client:
                (alarm,) = await ask(client, "alarms")
                assert alarm[0] == follower.alarms[0].code
                assert (await ask(client, "status"))[5:] == [0, 0, 1]
                assert await read_amount(client, 0) == shown
        nursery.cancel_scope.cancel()
    return follower


async def test_a_posted_op_that_the_feed_has_otherwise_is_told(town: Town, clerk: Clerk, tmp_path: Path) -> None:
    """The feed's first tick is later than the posted one."""
    withdraw(town, clerk, 1)

    def bend(log: list[LogRecord]) -> list[LogRecord]:
        tick = Tick(0, int.from_bytes(log[0].body[9:]) + 1)
        return [LogRecord(0, RecordKind.POSTED, tick.encode()), *log[1:]]

    follower = await raise_alarm(town, clerk, tmp_path / "one", bend)
    assert [(alarm.code, alarm.position) for alarm in follower.alarms] == [(AlarmCode.OTHER_OP, 0)]


async def test_another_log_is_told_when_a_batch_commits_to_its_own(town: Town, clerk: Clerk, tmp_path: Path) -> None:
    """A cancel that was never posted is another in the feed: nothing but the log's hash shows it."""
    position = clerk.core.engine.next_position
    bare = Cancel(0, 1, 3, 1, 1, 0, bytes(64))
    signature = SESSION.sign(hash_digest(town.rollup.get_domain(), bare))
    clerk.take(build_request(replace(bare, signature=signature)))
    withdraw(town, clerk, 1)
    end = clerk.core.engine.next_position
    clerk.post()

    def bend(log: list[LogRecord]) -> list[LogRecord]:
        other = replace(bare, slot=4, signature=signature)
        return [*log[:position], LogRecord(position, RecordKind.ACCEPTED, build_request(other)), *log[position + 1 :]]

    follower = await raise_alarm(town, clerk, tmp_path / "one", bend, shown=AMOUNT)
    assert [(alarm.code, alarm.position) for alarm in follower.alarms] == [(AlarmCode.OTHER_LOG, end - 1)]


async def test_an_op_that_may_not_stand_is_told(town: Town, clerk: Clerk, tmp_path: Path) -> None:
    """Behind what is posted the feed has a withdrawal that nobody signed."""
    end = clerk.core.engine.next_position
    withdraw(town, clerk, 1)

    def bend(log: list[LogRecord]) -> list[LogRecord]:
        return [*log[:end], log[end]._replace(body=log[end].body[:-1] + bytes([log[end].body[-1] ^ 1]))]

    follower = await raise_alarm(town, clerk, tmp_path / "one", bend)
    assert [(alarm.code, alarm.position) for alarm in follower.alarms] == [(AlarmCode.OP_INVALID, end)]


async def test_a_log_that_has_become_shorter_is_told(town: Town, clerk: Clerk, tmp_path: Path) -> None:
    """What was fed once is gone."""
    withdraw(town, clerk, 1)
    async with trio.open_nursery() as nursery:
        source = Source(clerk)
        await nursery.start(source.serve)
        async with follow(town, tmp_path / "one", source.port) as (_, one):
            await until(lambda: one.counters.fresh_position == clerk.core.engine.next_position)
        nursery.cancel_scope.cancel()
    follower = await raise_alarm(town, clerk, tmp_path / "one", lambda log: log[:-1])
    assert [alarm.code for alarm in follower.alarms] == [AlarmCode.GAP]


async def test_a_batch_that_is_not_its_log_is_told(town: Town, clerk: Clerk, tmp_path: Path) -> None:
    """The sequencer acknowledges a withdrawal, feeds it, and posts everything but that."""
    end = clerk.core.engine.next_position
    withdraw(town, clerk, 1)
    clerk.post(bend_batch(clerk.seal(), lambda ops: [op for op in ops if op[1:9] != end.to_bytes(8)]))
    follower = await raise_alarm(town, clerk, tmp_path / "one", lambda log: log)
    assert [(alarm.code, alarm.position) for alarm in follower.alarms] == [(AlarmCode.NOT_POSTED, end)]


def test_a_copy_of_another_rollup_is_refused(town: Town, tmp_path: Path) -> None:
    """One folder, one log."""
    with Store(tmp_path / "data") as store:
        store.commit(meta={"feed identity": bytes(32)})
        with pytest.raises(ForeignCopy, match="another rollup"):
            Follower(town.rollup, FollowerSettings(feed=GatewayAddress("127.0.0.1", 1)), Log("follower"), store)

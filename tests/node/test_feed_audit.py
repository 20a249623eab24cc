"""A sequencer's feed before an auditor who has L1 and nothing else: the command says clean, or names the departure."""

import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing

from node.anvil import PROJECT
from node.cli import explain
from node.client import GatewayAddress
from node.feed_audit import AuditReport, audit_feed
from node.gateway import Gateway
from node.keys import Ed25519Key
from node.wallet import Wallet
from sequencer.log_check import AlarmCode
from sequencer.matching_audit import Departure
from sequencer.oplog import LogRecord
from sequencer.requests import build_request
from state.constants import NEVER
from state.leaves import SessionKey, perpetual
from state.operations import Cancel, OrderOp, OrderTerms, hash_digest
from tests.node.clerk import Clerk
from tests.node.test_follower_role import Source
from tests.node.test_vertical import until
from tests.node.town import DOLLAR, Town, open_town
from tests.sequencer.test_matching_audit import patch_book
from tests.world import World, build_params

Bend = Callable[[list[LogRecord]], list[LogRecord]]

PEOPLE = ("alice", "bob", "carol")
KEYS = {name: Ed25519Key(bytes([number]) * 32) for number, name in enumerate(PEOPLE, 1)}
ACCOUNTS = {name: number for number, name in enumerate(PEOPLE, 1)}
PRICE = 17_000_000


class Market:
    """A clerk's market with three traders, and what they ask for."""

    def __init__(self, town: Town, clerk: Clerk) -> None:
        self.town, self.clerk = town, clerk
        self.domain = town.rollup.get_domain()
        self.counter = 0
        for name in PEOPLE:
            wallet = Wallet(town.rollup, town.open_sender(name))
            town.give_dollars(name, 10**13)
            wallet.deposit(DOLLAR, 10**12)
            wallet.register_key(ACCOUNTS[name], SessionKey(KEYS[name].public_key, 7, NEVER))
        # The first tick begins the cancel-only interval, the second ends it.
        for seconds in (1, build_params().cancel_only_interval):
            town.anvil.request("evm_setNextBlockTimestamp", town.l1.get_block().time + seconds)
            town.anvil.request("evm_mine")
            clerk.take_messages()
        world = World()
        world.domain = self.domain
        clerk.take(build_request(world.sign_reading(0, PRICE, PRICE, clerk.core.engine.globals.time)))

    def order(self, name: str, size: int, price: int) -> int:
        """The position at which an order is accepted."""
        self.counter += 1
        terms = OrderTerms(
            ACCOUNTS[name], self.counter, 1, 1, 0, NEVER - 1, 1 if size < 0 else 0, price, abs(size), 10_000, 0,
            ((perpetual(0), 1),),
        )  # fmt: skip
        bare = OrderOp(0, 0, terms, 0, bytes(64))
        signature = KEYS[name].sign(hash_digest(self.domain, bare))
        return self.clerk.take(build_request(OrderOp(0, 0, terms, 0, signature))).position

    def cancel(self, name: str) -> int:
        """The position of a cancel of what was never ordered: it stands in no batch."""
        return self.clerk.take(self.sign_cancel(name)).position

    def sign_cancel(self, name: str) -> bytes:
        bare = Cancel(0, ACCOUNTS[name], 1000, 1, 1, 0, bytes(64))
        return build_request(replace(bare, signature=KEYS[name].sign(hash_digest(self.domain, bare))))

    async def audit(self, bend: Bend | None = None) -> tuple[int, str]:
        """What `keel audit-matching` says of the clerk's feed, or of one that is bent on the way: status and text."""
        source = Source(self.clerk)
        if bend is not None:
            source.bend(bend)
        command = ["audit-matching", "--l1", self.town.anvil.url, "--rollup", self.town.deployment.rollup, "--gateway"]
        async with trio.open_nursery() as nursery:
            await nursery.start(source.serve)
            keel = [sys.executable, "-m", "node.cli", *command, f"127.0.0.1:{source.port}"]
            with trio.fail_after(60):
                done = await trio.run_process(keel, capture_stdout=True, capture_stderr=True, check=False, cwd=PROJECT)
            nursery.cancel_scope.cancel()
        assert done.stderr == b"", done.stderr.decode()
        return done.returncode, done.stdout.decode()


@pytest.fixture
def market(tmp_path: Path) -> Iterator[Market]:
    with open_town(tmp_path) as town, Clerk(town, tmp_path / "clerk") as clerk:
        yield Market(town, clerk)


@pytest.mark.slow
async def test_an_honest_feed_audits_clean(market: Market) -> None:
    """Two fills, one of them in a batch that L1 has: it commits to the log up to there."""
    market.order("alice", 10, PRICE)
    market.order("bob", -4, PRICE)
    market.clerk.post()
    posted = market.clerk.core.engine.next_position
    market.order("bob", -4, PRICE)

    status, text = await market.audit()

    end = market.clerk.core.engine.next_position
    assert (status, text) == (
        0,
        f"generation 1, positions 0 to {end - 1}: 2 fills, all by price and time; L1 commits to this log up to "
        f"position {posted - 1}\n",
    )


async def test_a_preference_is_named_at_its_position(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two orders at one price the later was filled first."""
    market.order("alice", 10, PRICE)
    market.order("carol", 10, PRICE)
    patch_book(monkeypatch, lambda rest: rest[-1])
    position = market.order("bob", -4, PRICE) + 1

    status, text = await market.audit()

    assert status == 1
    done, due = (f"an order, posted, of account {ACCOUNTS[name]} slot" for name in ("carol", "alice"))
    assert text.startswith(f"departure: 9306 PRIORITY_BROKEN: generation 1, position {position}: done was {done}")
    assert f"; due was {due}" in text


async def test_a_log_that_l1_does_not_commit_to_is_told(market: Market) -> None:
    """A cancel that is valid, and never was in the log: only the batch's hash speaks against it."""
    position = market.cancel("alice")
    market.clerk.take_messages()
    market.clerk.post()
    other = market.sign_cancel("carol")

    status, text = await market.audit(
        lambda log: [one._replace(body=other) if one.position == position else one for one in log]
    )

    assert status == 1
    assert text.startswith(f"departure: {AlarmCode.OTHER_LOG.value} OTHER_LOG: generation 1, position ")


async def test_an_endless_audit_ends_with_a_departure(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on with what comes, batches too; then the sequencer begins to prefer somebody."""
    reports: list[AuditReport] = []
    source = Source(market.clerk)

    async def audit() -> None:
        at = GatewayAddress("127.0.0.1", source.port)
        reports.append(await audit_feed(market.town.rollup, at, None, is_endless=True, poll_seconds=0.01))

    async with trio.open_nursery() as nursery:
        await nursery.start(source.serve)
        nursery.start_soon(audit)
        for _ in range(3):
            market.order("alice", 4, PRICE)
            market.order("bob", -4, PRICE)
            market.clerk.post()
            source.feed.begin(1)
            await trio.testing.wait_all_tasks_blocked(0.02)
        committed = market.clerk.core.engine.next_position
        market.order("alice", 10, PRICE)
        market.order("carol", 10, PRICE)
        patch_book(monkeypatch, lambda rest: rest[-1])
        position = market.order("bob", -4, PRICE) + 1
        monkeypatch.undo()
        assert reports == []
        source.feed.begin(1)
        await until(lambda: bool(reports))
        nursery.cancel_scope.cancel()

    (report,) = reports
    assert (report.fills, report.committed) == (3, committed)
    assert isinstance(report.departure, Departure)
    assert report.departure.position == position


async def test_what_cannot_be_audited_is_said(market: Market) -> None:
    """A gateway without a feed, a feed whose parts are not the log, a generation that nobody has begun."""
    gateway, rollup = Gateway({}), market.town.rollup
    async with trio.open_nursery() as nursery:
        port = await nursery.start(gateway.serve, "127.0.0.1", 0)
        assert explain(
            await fail(audit_feed(rollup, GatewayAddress("127.0.0.1", port), None, is_endless=False, poll_seconds=1))
        )
        source = Source(market.clerk)
        await nursery.start(source.serve)
        at = GatewayAddress("127.0.0.1", source.port)
        error = await fail(audit_feed(rollup, at, 7, is_endless=False, poll_seconds=1))
        assert "a later one has not begun" in str(explain(error))
        source.bend(lambda log: [log[0]._replace(body=b"\3"), *log[1:]])
        error = await fail(audit_feed(rollup, at, None, is_endless=False, poll_seconds=1))
        assert "something else than the next records" in str(explain(error))
        nursery.cancel_scope.cancel()


async def fail(audit: Awaitable[AuditReport]) -> BaseException:
    """The error with which it ends."""
    with trio.fail_after(20):
        try:
            report = await audit
        except Exception as error:
            return error
    raise AssertionError(report)

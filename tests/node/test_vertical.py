"""The whole way, on a real L1: deposit, trade, post, convict a lie, go on, finalise, withdraw and claim.

All roles run in one process here, so that the story can look inside; devnet runs them as processes of their own.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import trio
from nacl.signing import SigningKey

from fraud_proofs.challenger import State
from node.amounts import ETHER
from node.anvil import Anvil, open_anvil
from node.chain_follower import ChainFollower
from node.client import Client, GatewayAddress, open_client
from node.deploy import Deployment, deploy, mint
from node.errors import NodeError, Underfunded
from node.feed_audit import audit_feed
from node.follower_role import Follower, FollowerSettings, run_follower
from node.gateway import MethodError
from node.keys import Secp256k1Key, parse_address
from node.l1 import L1, in_thread
from node.launch import Launch, LaunchAsset
from node.logs import Log
from node.oracle_role import OracleNode, OracleSettings
from node.rollup import ETH, Rollup, Terms
from node.sequencer_role import Convicted, LogLost, Sequencer, SequencerSettings, Tamper, run_sequencer
from node.transactions import Mined, Sender
from node.watchtower_role import WatchtowerSettings, run_watchtower
from sequencer.batcher import Batcher, SealRule
from sequencer.engine import Sealed
from sequencer.requests import build_request
from state.batches import BatchData, Step, decode_frame, decode_header, pack_frames
from state.constants import NEVER
from state.genesis import Genesis
from state.leaves import decode_account, decode_underlying, decode_withdrawal, perpetual
from state.operations import OrderOp, OrderTerms, Withdraw, hash_digest
from state.receipts import decode_receipt
from state.store import Store
from state.tree import Collection, leaf_key
from tests.world import LISTINGS, ORACLE_KEYS, RULES, build_params

PRICE = 17_000_000
TERMS = Terms(
    challenge_window=12,
    silence_limit=30,
    inbox_deadline=20,
    time_lag_max=10,
    bond=2 * ETHER,
    message_fee=10**12,
    wind_down_limit=3_600,
    registration_period=12,
)


def key_of(number: int) -> Secp256k1Key:
    """A key of the story's own."""
    return Secp256k1Key(bytes([100 + number]) * 32)


OPERATOR, TOWER, FOUNDER, ALICE, BOB = (key_of(number) for number in range(5))


@dataclass
class Stage:
    """An L1, a deployment, and whatever the story has started."""

    anvil: Anvil
    folder: Path
    deployment: Deployment
    nursery: trio.Nursery
    senders: list[Sender] = field(default_factory=list)

    @property
    def l1(self) -> L1:
        return L1([self.anvil.url])

    @property
    def rollup(self) -> Rollup:
        return Rollup(self.l1, self.deployment.address)

    def sender(self, key: Secp256k1Key) -> Sender:
        sender = Sender(self.l1, key, self.folder / f"{key.address.hex()}.nonces", poll_seconds=0.05)
        self.senders.append(sender)
        return sender

    async def send(self, sender: Sender, *calls: object) -> None:
        for call in calls:
            assert isinstance(await sender.send_async(call), Mined)  # type: ignore[arg-type]

    async def fund(self, key: Secp256k1Key, account: int, founder: Sender) -> Sender:
        """Dollars, a deposit that opens an account, and a session key with the owner's secret."""
        rollup, sender = self.rollup, self.sender(key)
        asset = rollup.get_asset(0)
        fee = TERMS.message_fee
        await self.send(founder, mint(parse_address(self.deployment.tokens[0]), key.address, 10**13))
        session = SigningKey(key.secret).verify_key.encode()
        await self.send(
            sender,
            rollup.approve(asset.token, 10**13),
            rollup.deposit(0, 10**12, 0, fee, asset),
            rollup.register_key(account, session, 7, NEVER, fee),
        )
        return sender

    async def start_sequencer(
        self, tamper: Tamper | None = None, *, rebond: bool = True, seal: SealRule | None = None
    ) -> "Desk":
        """The operator's, on a data folder of the story's."""
        settings = SequencerSettings(
            port=0,
            seal=seal or SealRule(age_max=1),
            poll_seconds=0.1,
            tick_seconds=0.2,
            rebond_after_conviction=rebond,
        )
        store, log = Store(self.folder / "data"), Log("sequencer")
        sender = self.sender(OPERATOR)
        sequencer = Sequencer(self.rollup, sender, store, OPERATOR.secret, settings, log, tamper=tamper)
        desk = Desk(sequencer)

        def note(port: int) -> None:
            desk.port = port

        async def run() -> None:
            try:
                with desk.scope:
                    await run_sequencer(sequencer, settings, log, on_start=note)
            except* NodeError as group:
                (desk.ended_by,) = group.exceptions
            finally:
                store.close()
                sender.close()
                desk.is_closed.set()

        self.nursery.start_soon(run)
        await until(lambda: bool(desk.port) or desk.is_closed.is_set())
        return desk

    async def start_follower(self, feed: GatewayAddress) -> Follower:
        """One that copies a feed."""
        settings = FollowerSettings(port=0, poll_seconds=0.1, feed=feed, data=self.folder / "follower")
        started: list[Follower] = []
        self.nursery.start_soon(
            lambda: run_follower(
                self.rollup, settings, Log("follower"), on_start=lambda port, follower: started.append(follower)
            )
        )
        await until(lambda: bool(started))
        return started[0]


@dataclass
class Desk:
    """A running sequencer, and what ended it if it ended by itself."""

    sequencer: Sequencer
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    is_closed: trio.Event = field(default_factory=trio.Event)
    port: int = 0
    ended_by: Exception | None = None


async def until(condition: Callable[[], bool | Awaitable[bool]], seconds: float = 60) -> None:
    """Wait for something that other tasks bring about."""
    with trio.fail_after(seconds):
        while True:
            met = condition()
            if met if isinstance(met, bool) else await met:
                return
            await trio.sleep(0.05)


@asynccontextmanager
async def open_stage(folder: Path) -> AsyncIterator[Stage]:
    """An L1 that mines four blocks a second, and a rollup on it."""
    async with open_anvil() as anvil, trio.open_nursery() as nursery:
        for key in (OPERATOR, TOWER, FOUNDER, ALICE, BOB):
            anvil.request("anvil_setBalance", "0x" + key.address.hex(), hex(100 * ETHER))
        assets = (LaunchAsset("USD", None, 1, 10**15), LaunchAsset("ETH", ETH, 10**9, 10**15))
        launch = Launch(Genesis(build_params(cancel_only_interval=2), RULES, LISTINGS, 0), assets, TERMS)
        founder = Sender(L1([anvil.url]), FOUNDER, folder / "founder.nonces", poll_seconds=0.05)
        deployment = await in_thread(deploy, founder, launch)
        stage = Stage(anvil, folder, deployment, nursery, [founder])

        async def mine() -> None:
            while True:
                await trio.to_thread.run_sync(anvil.request, "evm_mine")
                await trio.sleep(0.25)

        nursery.start_soon(mine)
        try:
            yield stage
        finally:
            nursery.cancel_scope.cancel()
            for sender in stage.senders:
                sender.close()


async def publish(stage: Stage, port: int) -> None:
    """An oracle with a steady price."""
    keys = [Secp256k1Key(key.secret) for key in ORACLE_KEYS]
    oracle = OracleNode(stage.rollup.get_domain(), keys, OracleSettings(port=port, heartbeat=5), Log("oracle"))

    async def source() -> AsyncIterator[str]:
        yield f'{{"symbol": "BTC", "spot": {PRICE}}}'
        await trio.sleep_forever()

    await oracle.run(source())


async def read_status(client: Client) -> list[int]:
    status = await client.call("status")
    assert isinstance(status, list)
    return status[1:]  # type: ignore[return-value]


async def wait_for_market(client: Client) -> None:
    """Both accounts have their keys, there is a price, and the cancel-only interval is over."""

    async def is_open() -> bool:
        accounts = [decode_account(await client.call("account", number)) for number in (1, 2)]  # type: ignore[arg-type]
        _, _, time, cancel_only_until, *_ = await read_status(client)
        underlying = decode_underlying(await client.call("underlying", 0))  # type: ignore[arg-type]
        assert underlying is not None
        has_keys = all(account is not None and account.keys for account in accounts)
        return has_keys and time >= cancel_only_until and underlying.oracle_time > 0

    await until(is_open)


async def place(stage: Stage, client: Client, key: Secp256k1Key, account: int, size: int, counter: int) -> list[object]:
    """An order in slot 0, signed for the generation of now; [receipt, lots filled]."""
    generation, *_ = await read_status(client)
    flags = 1 if size < 0 else 0
    terms = OrderTerms(
        account, 0, counter, generation, 0, NEVER - 1, flags, PRICE, abs(size), 10_000, 0, ((perpetual(0), 1),)
    )
    bare = OrderOp(0, 0, terms, 0, bytes(64))
    signature = SigningKey(key.secret).sign(hash_digest(stage.rollup.get_domain(), bare)).signature
    answer = await client.call("submit", build_request(OrderOp(0, 0, terms, 0, signature)))
    assert isinstance(answer, list)
    return answer  # type: ignore[return-value]


def lie_once(told: list[int]) -> Tamper:
    """In the first batch with a trade, one root in the middle is another."""

    def tamper(sealed: Sealed, before: State, parent: bytes) -> bytes | None:
        if told or not any(posted.op[0] == 8 for posted in sealed.ops):
            return None
        told.append(sealed.header.index)
        honest = Batcher(before.tree, parent).build(sealed)
        frames = [frame for frame in map(decode_frame, honest.frames) if frame is not None]
        steps = [step for frame in frames for step in frame.steps]
        steps[len(steps) // 2] = Step(steps[len(steps) // 2].op, bytes(32))
        wrong = pack_frames(frames[0].pre_root, steps)
        return BatchData(honest.header, tuple(frame.encode() for frame in wrong)).encode()

    return tamper


async def audit_generations(stage: Stage, desk: Desk, follower: Follower) -> None:
    """The lie was in a root: log and matching are honest in both generations, for whoever copies or replays them."""
    copy = follower.copy
    assert copy is not None
    await until(lambda: copy.generation == 2 and follower.counters.fresh_position > 0)
    assert follower.alarms == []
    for generation in (1, 2):
        at = GatewayAddress("127.0.0.1", desk.port)
        report = await audit_feed(stage.rollup, at, generation, is_endless=False, poll_seconds=0.1)
        assert (report.departure, report.fills) == (None, 1), str(report)


@pytest.mark.slow
async def test_deposit_trade_lie_convict_withdraw_claim(tmp_path: Path) -> None:
    """One L1 transaction convicts the lie; the chain goes on, and money leaves as it came."""
    told: list[int] = []
    async with open_stage(tmp_path) as stage:
        desk = await stage.start_sequencer(lie_once(told))
        tower = stage.sender(TOWER)
        towers: list[object] = []
        stage.nursery.start_soon(
            lambda: run_watchtower(
                stage.rollup, tower, WatchtowerSettings(0.1), Log("watchtower"), on_start=towers.append
            )
        )
        alice = await stage.fund(ALICE, 1, stage.senders[0])
        await stage.fund(BOB, 2, stage.senders[0])
        stage.nursery.start_soon(publish, stage, desk.port)
        follower = await stage.start_follower(GatewayAddress("127.0.0.1", desk.port))

        async with open_client("127.0.0.1", desk.port) as client:
            await wait_for_market(client)
            receipt, _ = await place(stage, client, ALICE, 1, 10, 1)
            assert isinstance(receipt, bytes)
            signed = decode_receipt(receipt)
            assert signed is not None
            assert signed.recover(stage.rollup.get_domain()) == OPERATOR.address
            assert (await place(stage, client, BOB, 2, -4, 1))[1] == 4

            # The batch with the trade lies; it dies with its generation, and so does the trade.
            async def is_new_generation() -> bool:
                return (await read_status(client))[0] == 2

            await until(is_new_generation)
            assert len(told) == 1
            await until(lambda: towers[0].counters.convictions == 1)  # type: ignore[attr-defined]
            await wait_for_market(client)
            with pytest.raises(MethodError):
                await client.call("submit", b"\x06" + bytes(134))
            await place(stage, client, ALICE, 1, 10, 1)
            assert (await place(stage, client, BOB, 2, -4, 1))[1] == 4

            bare = Withdraw(0, 1, 1, 0, 5_000_000, 0, bytes(64))
            signature = SigningKey(ALICE.secret).sign(hash_digest(stage.rollup.get_domain(), bare)).signature
            await client.call("submit", build_request(Withdraw(0, 1, 1, 0, 5_000_000, 0, signature)))

            chain = ChainFollower(stage.rollup)

            async def is_withdrawal_posted() -> bool:
                await chain.advance_async()
                return leaf_key(Collection.OUTBOX, 0) in chain.replica.state.leaves

            await until(is_withdrawal_posted)
            index = chain.replica.tip
            leaf = chain.replica.state.leaves[leaf_key(Collection.OUTBOX, 0)]
            path = chain.replica.state.tree.prove(leaf_key(Collection.OUTBOX, 0))
            await until(lambda: stage.rollup.view("final_index") >= index, seconds=90)

        await audit_generations(stage, desk, follower)

        # Anybody may prove the leaf in a final root; the owner collects.
        withdrawal = decode_withdrawal(leaf)
        assert withdrawal is not None
        assert (withdrawal.owner, withdrawal.amount) == (ALICE.address, 5_000_000)
        token = parse_address(stage.deployment.tokens[0])
        before = stage.rollup.get_token_balance(token, ALICE.address)
        claim = stage.rollup.claim(0, leaf, path.mask, path.siblings, index)
        await stage.send(alice, claim, stage.rollup.collect(token))
        assert stage.rollup.get_token_balance(token, ALICE.address) - before == 5_000_000


@pytest.mark.slow
async def test_a_sequencer_killed_and_started_again_goes_on(tmp_path: Path) -> None:
    """Orders rest, batches wait, positions go on: nobody who was answered notices."""
    async with open_stage(tmp_path) as stage:
        desk = await stage.start_sequencer()
        await stage.fund(ALICE, 1, stage.senders[0])
        await stage.fund(BOB, 2, stage.senders[0])
        with trio.CancelScope() as oracle:
            stage.nursery.start_soon(publish, stage, desk.port)
            async with open_client("127.0.0.1", desk.port) as client:
                await wait_for_market(client)
                await place(stage, client, ALICE, 1, 10, 1)
                position = (await read_status(client))[1]
            oracle.cancel()
        desk.scope.cancel()
        await until(lambda: desk.is_closed.is_set())

        again = await stage.start_sequencer()
        async with open_client("127.0.0.1", again.port) as client:
            generation, next_position, *_ = await read_status(client)
            assert (generation, next_position >= position) == (1, True)
            assert (await place(stage, client, BOB, 2, -4, 1))[1] == 4
            tip = again.sequencer.core.head
            assert tip is not None
            await until(lambda: stage.rollup.view("tip") > tip.index)


@pytest.mark.slow
async def test_a_sequencer_that_lost_its_log_will_not_contradict_it(tmp_path: Path) -> None:
    """Without the folder, positions would be given twice; it says so and stops."""
    async with open_stage(tmp_path) as stage:
        desk = await stage.start_sequencer()
        await until(lambda: stage.rollup.view("tip") >= 1)
        desk.scope.cancel()
        await until(lambda: desk.is_closed.is_set())
        sender, settings = stage.sender(OPERATOR), SequencerSettings(port=0)

        with Store(tmp_path / "empty") as store:
            lost = Sequencer(stage.rollup, sender, store, OPERATOR.secret, settings, Log("sequencer"))
            with pytest.raises(LogLost, match="generation 1"):
                await lost.start()


@pytest.mark.slow
async def test_a_follower_serves_what_l1_says(tmp_path: Path) -> None:
    """Its root is the contract's, and its accounts are those of the deposits."""
    async with open_stage(tmp_path) as stage:
        await stage.start_sequencer()
        await stage.fund(ALICE, 1, stage.senders[0])
        ports: list[int] = []
        settings = FollowerSettings(port=0, poll_seconds=0.1)
        stage.nursery.start_soon(
            lambda: run_follower(
                stage.rollup, settings, Log("follower"), on_start=lambda port, follower: ports.append(port)
            )
        )
        await until(lambda: bool(ports))
        async with open_client("127.0.0.1", ports[0]) as client:

            async def knows_alice() -> bool:
                return bool(await client.call("accounts_of", ALICE.address))

            await until(knows_alice)
            account = decode_account(await client.call("account", 1))  # type: ignore[arg-type]
            assert account is not None
            assert (account.owner, account.cash) == (ALICE.address, 10**12)
            status = await client.call("status")
            assert isinstance(status, list)
            _, tip, _, root, wrong, *_ = status
            assert (stage.rollup.view("batches", tip)[1], wrong) == (root, None)
            with pytest.raises(MethodError, match="account"):
                await client.call("account", 1 << 24)


@pytest.mark.slow
async def test_a_watchtower_without_ether_refuses_to_start(tmp_path: Path) -> None:
    """A proof that it could not pay for would protect nobody."""
    async with open_stage(tmp_path) as stage:
        stage.anvil.request("anvil_setBalance", "0x" + TOWER.address.hex(), hex(10**12))
        with pytest.raises(Underfunded, match="send it more"):
            await run_watchtower(stage.rollup, stage.sender(TOWER), WatchtowerSettings(), Log("watchtower"))


@pytest.mark.slow
async def test_a_convicted_sequencer_stops_unless_told_otherwise(tmp_path: Path) -> None:
    """Posting another bond before knowing why would only lose that too."""
    async with open_stage(tmp_path) as stage:
        tower = stage.sender(TOWER)
        stage.nursery.start_soon(
            lambda: run_watchtower(stage.rollup, tower, WatchtowerSettings(0.1), Log("watchtower"))
        )
        desk = await stage.start_sequencer(lie_about_ticks, rebond=False)
        await until(lambda: desk.is_closed.is_set())
        assert isinstance(desk.ended_by, Convicted)
        assert stage.rollup.view("bond_of", OPERATOR.address) == 0


def lie_about_ticks(sealed: Sealed, before: State, parent: bytes) -> bytes | None:
    """The last root of every batch is another."""
    honest = Batcher(before.tree, parent).build(sealed)
    frame = decode_frame(honest.frames[-1])
    assert frame is not None
    header = decode_header(honest.header)
    steps = (*frame.steps[:-1], Step(frame.steps[-1].op, bytes(32)))
    wrong = replace(frame, steps=steps).encode()
    return BatchData(replace(header, post_root=bytes(32)).encode(), (*honest.frames[:-1], wrong)).encode()

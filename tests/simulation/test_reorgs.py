"""Reorganizations of the L1 under a running rollup, at depths up to the finalized block (tests/node/reorgs.py).

In every round blocks are taken back twice: when a batch, a deposit and a claim wait in the pool, and when the proof of
a lie that the sequencer has posted waits there with another deposit. (They cannot all wait at once: nothing can be
posted upon a lie.) Some of the transactions in these blocks stand in other blocks then, the rest is lost to the L1.
Nobody is told. `pytest --every-depth` tries each depth once; by default a few are drawn.
"""

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio

from fraud_proofs.challenger import State
from node.amounts import ETHER
from node.anvil import Anvil, open_anvil
from node.chain_follower import ChainFollower
from node.deploy import deploy
from node.event_reader import EventReader
from node.follower_role import Follower, FollowerSettings, run_follower
from node.keys import Secp256k1Key, parse_address
from node.l1 import L1, Call, encode_call, in_thread
from node.launch import Launch, LaunchAsset
from node.logs import Log
from node.rollup import ETH, Rollup, Terms
from node.sequencer_role import Sequencer, SequencerSettings, run_sequencer
from node.transactions import Mined, Sender
from node.watchtower_role import Watchtower, WatchtowerSettings, run_watchtower
from sequencer.batcher import Batcher, SealRule
from sequencer.derivation import SUBMIT_BATCH
from sequencer.engine import Sealed
from state.batches import BatchData, Step, decode_frame, pack_frames
from state.genesis import Genesis
from state.l1_events import BatchPosted, MessageSent, RolledBack
from state.leaves import decode_withdrawal
from state.ledger import Ledger
from state.store import Store
from state.tree import Collection, leaf_key
from tests.node.reorgs import list_transactions, reorganize
from tests.world import LISTINGS, RULES, build_params

EPOCH = 9
DEPTH_MAX = 2 * EPOCH - 2
"""The finalized block stands two epochs behind the head; a block may come while a reorg is prepared."""

ETHER_ASSET = 1
OPENING = 10**9
DRAWN_DEPTHS = 2
BLOCK_SECONDS = 0.1
PROVE = encode_call("prove", ("uint256", "bytes"), (1, b""))[:4]
PATIENCE_SECONDS = 60
TERMS = Terms(
    challenge_window=6,
    silence_limit=60,
    inbox_deadline=30,
    time_lag_max=20,
    bond=2 * ETHER,
    message_fee=10**12,
    wind_down_limit=3_600,
    registration_period=6,
)
OPERATOR, TOWER, FOUNDER, ALICE = (Secp256k1Key(bytes([150 + number]) * 32) for number in range(4))


@dataclass
class Scene:
    """An L1 that mines by the clock and can be held, a rollup on it, and all roles."""

    anvil: Anvil
    rollup: Rollup
    folder: Path
    rng: random.Random
    nursery: trio.Nursery
    senders: list[Sender] = field(default_factory=list)
    sequencers: list[Sequencer] = field(default_factory=list)
    towers: list[Watchtower] = field(default_factory=list)
    followers: list[Follower] = field(default_factory=list)
    is_lie_due: bool = False
    hold_for: bytes | None = None
    is_holding: bool = False
    cursor_seen: int = 0

    def open_sender(self, key: Secp256k1Key) -> Sender:
        self.senders.append(Sender(self.rollup.l1, key, self.folder / f"{key.address.hex()}.nonces", poll_seconds=0.05))
        return self.senders[-1]

    async def mine(self) -> None:
        """A block in a moment; none from when the transaction is seen to wait that is held for. A proof that came
        between the look and the block has been missed: then another lie is told."""
        while True:
            self.is_holding = self.hold_for is not None and self.hold_for in await in_thread(self.list_waiting)
            if not self.is_holding:
                await trio.to_thread.run_sync(self.anvil.request, "evm_mine")
                if self.hold_for == PROVE and PROVE in await in_thread(self.list_mined):
                    self.is_lie_due = True
            await trio.sleep(BLOCK_SECONDS)

    async def watch_inbox(self) -> None:
        """What the sequencer has taken is final, at every moment."""
        while True:
            if self.sequencers and self.sequencers[0].core.head is not None:
                taken = self.sequencers[0].core.engine.globals.inbox_cursor
                final = await in_thread(self.count_final_messages)
                assert taken <= final
                self.cursor_seen = max(self.cursor_seen, taken)
            await trio.sleep(0.05)

    def count_final_messages(self) -> int:
        answer = self.rollup.l1.call(Call(self.rollup.address, encode_call("inbox_count", (), ())), block="finalized")
        return int.from_bytes(answer)

    def list_waiting(self) -> set[bytes]:
        """Selectors of what waits in the pool."""
        waiting = self.anvil.request("txpool_content")["pending"]
        return {bytes.fromhex(one["input"][2:10]) for each in waiting.values() for one in each.values()}

    def list_mined(self) -> set[bytes]:
        """Selectors of what the last block holds."""
        block = self.anvil.request("eth_getBlockByNumber", "latest", True)
        return {bytes.fromhex(one["input"][2:10]) for one in block["transactions"]}

    def tamper(self, sealed: Sealed, before: State, parent: bytes) -> bytes | None:
        """One root of the batch is another, when a lie is due."""
        if not self.is_lie_due:
            return None
        self.is_lie_due = False
        honest = Batcher(before.tree, parent).build(sealed)
        frames = [frame for frame in map(decode_frame, honest.frames) if frame is not None]
        steps = [step for frame in frames for step in frame.steps]
        steps[len(steps) // 2] = Step(steps[len(steps) // 2].op, self.rng.randbytes(32))
        wrong = pack_frames(frames[0].pre_root, steps)
        return BatchData(honest.header, tuple(frame.encode() for frame in wrong)).encode()


def _select(call: Call) -> bytes:
    return call.data[:4]


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that other tasks bring about."""
    with trio.fail_after(PATIENCE_SECONDS):
        while True:
            if await in_thread(condition):
                return
            await trio.sleep(0.02)


@asynccontextmanager
async def open_scene(folder: Path, seed: int) -> AsyncIterator[Scene]:
    async with open_anvil(epoch_slots=EPOCH) as anvil, trio.open_nursery() as nursery:
        for key in (OPERATOR, TOWER, FOUNDER, ALICE):
            anvil.request("anvil_setBalance", "0x" + key.address.hex(), hex(1_000 * ETHER))
        l1 = L1([anvil.url])
        assets = (LaunchAsset("USD", None, 1, 10**15), LaunchAsset("ETH", ETH, 10**9, 10**15))
        launch = Launch(Genesis(build_params(cancel_only_interval=0), RULES, LISTINGS, 0), assets, TERMS)
        founder = Sender(l1, FOUNDER, folder / "founder.nonces", poll_seconds=0.02)
        deployment = await in_thread(deploy, founder, launch)
        rollup = Rollup(l1, parse_address(deployment.rollup), deployment.first_block)
        scene = Scene(anvil, rollup, folder, random.Random(seed), nursery, [founder])
        anvil.request("evm_setAutomine", False)
        nursery.start_soon(scene.mine)
        try:
            yield scene
        finally:
            nursery.cancel_scope.cancel()
            for sender in scene.senders:
                sender.close()


async def start_roles(scene: Scene, store: Store) -> None:
    """A sequencer that lies when told to, a watchtower, a follower."""
    settings = SequencerSettings(
        port=0, seal=SealRule(age_max=1), poll_seconds=0.1, tick_seconds=0.2, rebond_after_conviction=True
    )
    sender, log = scene.open_sender(OPERATOR), Log("sequencer")
    sequencer = Sequencer(scene.rollup, sender, store, OPERATOR.secret, settings, log, tamper=scene.tamper)
    scene.sequencers.append(sequencer)
    scene.nursery.start_soon(run_sequencer, sequencer, settings, log)
    tower = scene.open_sender(TOWER)
    scene.nursery.start_soon(
        lambda: run_watchtower(
            scene.rollup, tower, WatchtowerSettings(0.1), Log("watchtower"), on_start=scene.towers.append
        )
    )
    scene.nursery.start_soon(
        lambda: run_follower(
            scene.rollup,
            FollowerSettings(port=0, poll_seconds=0.1),
            Log("follower"),
            on_start=lambda port, follower: scene.followers.append(follower),
        )
    )
    scene.nursery.start_soon(scene.watch_inbox)


async def open_account(scene: Scene, alice: Sender, withdrawals: int) -> None:
    """An account with ether in it, and withdrawals of it, all final: of 1, 2, 3, ... units."""
    rollup = scene.rollup
    asset = rollup.get_asset(ETHER_ASSET)
    assert isinstance(await alice.send_async(rollup.deposit(ETHER_ASSET, OPENING, 0, TERMS.message_fee, asset)), Mined)
    for number in range(1, withdrawals + 1):
        call = rollup.force_withdraw(1, ETHER_ASSET, number, TERMS.message_fee)
        assert isinstance(await alice.send_async(call), Mined)

    def are_final() -> bool:
        index = rollup.view("final_index")
        return bool(index) and rollup.get_batch(index).inbox_cursor == 1 + withdrawals  # type: ignore[union-attr]

    await until(are_final)


async def build_claims(scene: Scene, count: int) -> list[Call]:
    """Each withdrawal, proved in the tip of now, once that is final."""
    follower = ChainFollower(scene.rollup)
    await follower.advance_async()
    replica, calls = follower.replica, []
    await until(lambda: scene.rollup.view("final_index") >= replica.tip)
    for index in range(count):
        key = leaf_key(Collection.OUTBOX, index)
        path = replica.state.tree.prove(key)
        calls.append(scene.rollup.claim(index, replica.state.leaves[key], path.mask, path.siblings, replica.tip))
    return calls


def find_blocks(anvil: Anvil, sender: bytes) -> list[str]:
    """The block of each of its transactions, by nonce."""
    found = {}
    for number in range(int(anvil.request("eth_blockNumber"), 16) + 1):
        for one in anvil.request("eth_getBlockByNumber", hex(number), True)["transactions"]:
            if one["from"] == "0x" + sender.hex():
                found[int(one["nonce"], 16)] = one["blockNumber"]
    return [block for _, block in sorted(found.items())]


async def play_round(scene: Scene, alice: Sender, depth: int, number: int, claim: Call) -> None:
    """Twice the L1 reorganizes, each time with a deposit in its blocks and another in its pool."""
    rollup = scene.rollup
    asset = rollup.get_asset(ETHER_ASSET)
    deposits = [rollup.deposit(ETHER_ASSET, 1_000 * number + n, 1, TERMS.message_fee, asset) for n in range(4)]

    assert isinstance(await alice.send_async(deposits[0]), Mined)
    await reorganize_over(scene, alice, depth, SUBMIT_BATCH, [deposits[1], claim])
    await come_to_rest(scene)

    assert isinstance(await alice.send_async(deposits[2]), Mined)
    scene.is_lie_due = True
    await reorganize_over(scene, alice, depth, PROVE, [deposits[3]])
    await come_to_rest(scene)


async def reorganize_over(scene: Scene, alice: Sender, depth: int, held: bytes, calls: list[Call]) -> None:
    """Reorganize while a transaction of some role waits in the pool, and these calls beside it."""
    ends: list[object] = []

    async def send(call: Call) -> None:
        ends.append(await alice.send_async(call))

    scene.hold_for = held
    await until(lambda: scene.is_holding)
    async with trio.open_nursery() as nursery:
        for call in calls:
            nursery.start_soon(send, call)
        await until(lambda: {held, *map(_select, calls)} <= scene.list_waiting())
        mined = list_transactions(scene.anvil, depth)
        kept = [(raw, scene.rng.randrange(block, depth)) for raw, block in mined if scene.rng.random() < 0.5]
        print(f"reorg of depth {depth}: of {len(mined)} transactions {len(kept)} kept")
        reorganize(scene.anvil, depth, kept)
        scene.hold_for = None
    assert all(isinstance(end, Mined) for end in ends)


async def come_to_rest(scene: Scene) -> None:
    """Everything of now is final on L1, nobody finds fault with the tip, and it is beyond every message."""
    head = scene.rollup.l1.get_block().number
    messages = scene.rollup.view("inbox_count")

    def is_at_rest() -> bool:
        replica = scene.towers[0]._follower.replica
        batch = scene.rollup.get_batch(replica.tip)
        is_final = scene.rollup.l1.get_block("finalized").number >= head
        return is_final and replica.wrong is None and batch is not None and batch.inbox_cursor >= messages

    await until(is_at_rest)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """With --every-depth each depth in turn, a few to a scene; else one scene with some that are drawn."""
    if "depths" in metafunc.fixturenames:
        every = list(range(1, DEPTH_MAX + 1))
        groups = [every[n::4] for n in range(4)] if metafunc.config.getoption("--every-depth") else [None]
        metafunc.parametrize("depths", groups, ids=str)


@pytest.mark.slow
async def test_every_role_recovers_from_reorgs(tmp_path: Path, seed: int, depths: list[int] | None) -> None:
    """Roots agree again, every lie that stands on L1 is convicted, each deposit is there once, each claim paid once."""
    rng = random.Random(seed)
    depths = depths or rng.sample(range(1, DEPTH_MAX + 1), DRAWN_DEPTHS)
    print(f"depths {depths}")
    async with open_scene(tmp_path, seed) as scene:
        with Store(tmp_path / "data") as store:
            alice = scene.open_sender(ALICE)
            await start_roles(scene, store)
            await open_account(scene, alice, len(depths))
            bond, slot = find_blocks(scene.anvil, OPERATOR.address)[:2]
            # Sent together; a block may still end between the two.
            assert int(slot, 16) - int(bond, 16) <= 1
            claims = await build_claims(scene, len(depths))
            await come_to_rest(scene)
            for number, (depth, claim) in enumerate(zip(depths, claims, strict=True), start=1):
                await play_round(scene, alice, depth, number, claim)
            await judge(scene, alice, depths)
            scene.nursery.cancel_scope.cancel()


async def judge(scene: Scene, alice: Sender, depths: list[int]) -> None:
    """What L1 says in the end, read from the beginning, and what everybody believes."""
    rollup, rounds = scene.rollup, range(1, len(depths) + 1)
    events = (await in_thread(EventReader(rollup).read)).events
    fresh = ChainFollower(rollup)
    verdicts = (await fresh.advance_async()).verdicts
    wrong = [event.batch_hash for event, verdict in verdicts if not verdict.is_valid]
    convicted = [event for event in events if isinstance(event, RolledBack)]
    assert len(convicted) == len(wrong) <= len(depths)
    assert scene.towers[0].counters.convictions >= len(wrong)

    amounts = [int.from_bytes(event.data[-8:]) for event in events if isinstance(event, MessageSent)]
    deposits = [1_000 * number + n for number in rounds for n in range(4)]
    assert sorted(amounts) == sorted([OPENING, *rounds, *deposits])
    account = Ledger(fresh.replica.state.leaves).require_account(1)
    assert account.get_collateral(ETHER_ASSET) == OPENING + sum(deposits) - sum(rounds)
    for number in rounds:
        leaf = decode_withdrawal(fresh.replica.state.leaves[leaf_key(Collection.OUTBOX, number - 1)])
        assert leaf is not None
        assert leaf.amount == number
    credit = await in_thread(rollup.view, "balance_of", ETH, ALICE.address)
    assert credit == sum(rounds) * 10**9, "each claim once"

    tip = fresh.replica.tip
    posted = await in_thread(rollup.get_batch, tip)
    assert posted is not None
    replicas = [
        scene.sequencers[0]._follower.replica,
        scene.towers[0]._follower.replica,
        scene.followers[0]._chain.replica,
    ]
    await until(lambda: all(tip in replica.roots for replica in replicas))
    assert {replica.roots[tip] for replica in replicas} == {posted.root} == {fresh.replica.roots[tip]}
    submitted = [event.batch_hash for event in events if isinstance(event, BatchPosted)]
    assert len(submitted) == len(set(submitted)), "nothing stands twice"

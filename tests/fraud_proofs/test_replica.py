"""fraud_proofs/replica.py: the chain from L1's events, with a verdict on every batch."""

import random
from dataclasses import replace

import pytest

from fraud_proofs.replica import ForeignContract, Replica, Verdict
from state.batches import BatchData, decode_batch, decode_frame
from state.l1_events import BatchPosted, Finalised, GenesisSet, L1Event, MessageSent, RolledBack, WoundDown
from state.tree import GLOBALS_KEY, build_tree
from tests.workload import random_steps
from tests.world import World, open_market, open_mixed_market


def follow(world: World) -> tuple[Replica, list[L1Event]]:
    """A replica at the world's genesis that knows all its messages, and what made it so."""
    events: list[L1Event] = [GenesisSet(world.genesis.encode(), world.genesis_root)]
    events += [MessageSent(1, index, data) for index, data in enumerate(world.messages)]
    replica = Replica(world.domain)
    for event in events:
        assert replica.apply(event) is None
    return replica, events


def post(batch: BatchData, index: int, generation: int = 1) -> BatchPosted:
    return BatchPosted(2, index, bytes(20), batch.encode(), batch.batch_hash, generation, posted_at=9)


def lie(batch: BatchData) -> BatchData:
    """The batch with another root in the middle of its first frame."""
    frame = decode_frame(batch.frames[0])
    assert frame is not None
    steps = list(frame.steps)
    steps[1] = steps[1]._replace(post_root=bytes(32))
    return batch._replace(frames=(replace(frame, steps=tuple(steps)).encode(), *batch.frames[1:]))


def play_batches(count: int) -> tuple[World, list[BatchData], list[bytes]]:
    """Some batches with trades in them, and the root after each; the world goes on in the batch after them."""
    world, batches, roots = open_market(), [], [b""]
    roots[0] = world.genesis_root
    for number in range(count):
        world.tick(1)
        world.trade("alice", "bob", number, 10, (17_000_000, 7_000_000, 3_000_000, 700_000)[number])
        batches.append(world.seal(bytes([number]) * 32))
        header = batches[-1].header
        roots.append(header[80:112])
    return world, batches, roots


def test_a_replica_follows_honest_batches() -> None:
    """Every batch is valid, with a receipt for each step, and the root is the one that was claimed."""
    world, batches, roots = play_batches(3)
    replica, _ = follow(world)
    for number, batch in enumerate(batches, start=1):
        verdict = replica.apply(post(batch, number))
        assert isinstance(verdict, Verdict)
        assert verdict.is_valid
        assert len(verdict.receipts) == int.from_bytes(batch.header[112:116])
        assert replica.roots[number] == replica.state.tree.root == roots[number]
        assert replica.batch_hashes[number] == batch.batch_hash
    assert (replica.tip, replica.wrong) == (3, None)


def test_what_its_owner_has_executed_is_not_executed_again() -> None:
    """The leaves that a batch wrote give the state that its steps give; leaves that do not are not believed."""
    world, batches, roots = play_batches(3)
    careful, _ = follow(world)
    trusting, _ = follow(world)
    for number, batch in enumerate(batches, start=1):
        before = dict(careful.state.leaves)
        careful.apply(post(batch, number))
        writes = {key: data for key, data in careful.state.leaves.items() if before.get(key) != data}
        if number == 2:
            writes[GLOBALS_KEY] = before[GLOBALS_KEY]
        trusting.get_executed = lambda event, writes=writes: writes  # type: ignore[misc]
        verdict = trusting.apply(post(batch, number))
        assert isinstance(verdict, Verdict)
        assert verdict.is_valid
        assert bool(verdict.receipts) == (number == 2)
        assert trusting.roots[number] == roots[number]
        assert trusting.state.leaves == careful.state.leaves
    trusting.apply(RolledBack(3, 1, 2, bytes(20)))
    assert trusting.state.tree.root == roots[0]


def test_random_histories_are_followed(seed: int) -> None:
    """Whatever a history's batches hold, of whatever generations, the replica arrives at the same state."""
    world, batches = open_mixed_market(seed), []
    seal = world.seal
    world.seal = lambda *args, **options: batches.append(seal(*args, **options)) or batches[-1]  # type: ignore
    for _ in random_steps(world, 150):
        continue
    world.seal(bytes(32))
    replica, _ = follow(world)
    for number, batch in enumerate(batches, start=1):
        verdict = replica.apply(post(batch, number))
        assert verdict is not None
        assert verdict.is_valid
    state_before_open = world.steps[-1].leaves
    assert replica.state.leaves == state_before_open


def test_a_wrong_batch_is_refuted_and_those_on_top_are_not_looked_at() -> None:
    """The verdict carries the proof; the state stays at the last good batch until L1 has rolled back."""
    world, batches, roots = play_batches(3)
    replica, _ = follow(world)
    replica.apply(post(batches[0], 1))
    verdict = replica.apply(post(lie(batches[1]), 2))
    assert verdict is not None
    assert not verdict.is_valid
    assert verdict.proof is not None
    assert (replica.wrong, replica.tip, replica.state.tree.root) == (2, 1, roots[1])
    assert replica.apply(post(batches[2], 3)) is None


def test_after_a_rollback_the_chain_goes_on() -> None:
    """Batches that L1 has killed are undone, good ones among them; others may then stand in their place."""
    world, batches, roots = play_batches(3)
    replica, _ = follow(world)
    for number, batch in enumerate(batches, start=1):
        replica.apply(post(batch, number))
    replica.apply(RolledBack(3, 2, generation=2, prover=bytes(20)))
    assert (replica.tip, replica.state.tree.root) == (1, roots[1])
    assert build_tree(replica.state.leaves.items()).root == roots[1]
    assert sorted(replica.roots) == sorted(replica.batch_hashes) == [0, 1]
    assert [verdict.is_valid for b in (2, 3) if (verdict := replica.apply(post(batches[b - 1], b)))] == [True, True]
    assert replica.state.tree.root == roots[3]


def test_the_end_leaves_the_last_final_batch() -> None:
    """What was not final when the rollup was wound down is undone."""
    world, batches, roots = play_batches(3)
    replica, _ = follow(world)
    for number, batch in enumerate(batches, start=1):
        replica.apply(post(batch, number))
    replica.apply(Finalised(3, 1))
    replica.apply(WoundDown(4, 1))
    assert (replica.tip, replica.state.tree.root) == (1, roots[1])


def draw_event(rng: random.Random, replica: Replica, world: World, batches: list[BatchData], block: int) -> L1Event:
    """Something that may follow on L1: a message, an honest batch, a lie, a conviction, finality."""
    highest = replica.tip if replica.wrong is None else replica.wrong
    choices: list[L1Event] = [MessageSent(block, len(replica.messages), rng.randbytes(9))]
    if replica.wrong is None and replica.tip < len(batches):
        batch, index = batches[replica.tip], replica.tip + 1
        choices += [replace(post(batch, index), block=block)] * 3 + [replace(post(lie(batch), index), block=block)]
    if highest > replica.final:
        choices.append(RolledBack(block, rng.randint(replica.final + 1, highest), 2, bytes(20)))
        choices.append(WoundDown(block, replica.final))
    if replica.tip > replica.final:
        choices.append(Finalised(block, rng.randint(replica.final + 1, replica.tip)))
    return rng.choice(choices)


def test_rewound_events_are_as_if_they_had_never_been(seed: int) -> None:
    """Drawn histories on drawn forks: after each reorg the replica is one that saw only the blocks that are left."""
    rng = random.Random(seed)
    world, batches, _ = play_batches(4)
    for _ in range(12):
        replica, history = follow(world)
        settled, block = 1, 1
        for _ in range(25):
            block += rng.randint(0, 2)
            event = draw_event(rng, replica, world, batches, block)
            replica.apply(event)
            history.append(event)
            if rng.random() < 0.15:
                settled = rng.randint(settled, block)
                replica.settle(settled)
            if rng.random() < 0.25:
                block = rng.randint(settled + 1, block + 1)
                replica.rewind(block)
                history = [one for one in history if isinstance(one, GenesisSet) or one.block < block]
        fresh = Replica(world.domain)
        for event in history:
            fresh.apply(event)
        for name in ("messages", "accumulators", "tip", "final", "wrong", "roots", "batch_hashes", "_undos"):
            assert getattr(replica, name) == getattr(fresh, name), name
        assert replica.state.leaves == fresh.state.leaves
        assert replica.state.tree.root == fresh.state.tree.root


def test_a_batch_that_comes_back_after_a_reorg_is_not_executed_again() -> None:
    """The same bytes after the same batches: their leaves are taken, and the root is the one that they claim."""
    world, batches, roots = play_batches(3)
    replica, _ = follow(world)
    for number, batch in enumerate(batches, start=1):
        replica.apply(replace(post(batch, number), block=10 + number))
    replica.rewind(12)
    assert (replica.tip, replica.state.tree.root) == (1, roots[1])
    again = [replica.apply(replace(post(batch, number), block=20)) for number, batch in enumerate(batches[1:], start=2)]
    assert [verdict.receipts for verdict in again if verdict is not None] == [(), ()]
    assert (replica.tip, replica.state.tree.root) == (3, roots[3])
    replica.rewind(20)
    replica.settle(20)
    verdict = replica.apply(replace(post(batches[1], 2), block=21))
    assert verdict is not None
    assert verdict.receipts, "what is settled is not remembered"


def test_a_rollback_of_the_wrong_batch_clears_the_verdict() -> None:
    """Once the liar's batch is dead, an honest one is taken in its place."""
    world, batches, roots = play_batches(2)
    replica, _ = follow(world)
    replica.apply(post(batches[0], 1))
    replica.apply(post(lie(batches[1]), 2))
    replica.apply(RolledBack(3, 2, generation=2, prover=bytes(20)))
    assert replica.wrong is None
    verdict = replica.apply(post(batches[1], 2))
    assert verdict is not None
    assert verdict.is_valid
    assert replica.state.tree.root == roots[2]


def test_what_is_final_is_not_undone() -> None:
    """The way back over final batches is forgotten; what is above them can still fall."""
    world, batches, roots = play_batches(3)
    replica, _ = follow(world)
    for number, batch in enumerate(batches, start=1):
        replica.apply(post(batch, number))
    replica.apply(Finalised(4, 2))
    assert replica.final == 2
    replica.apply(RolledBack(5, 3, generation=2, prover=bytes(20)))
    assert replica.state.tree.root == roots[2]


def test_a_contract_that_is_none_of_this_version_is_refused() -> None:
    """A genesis of another root, messages or batches out of order, other bytes than were hashed: none fits together."""
    world, batches, _ = play_batches(2)
    genesis = GenesisSet(world.genesis.encode(), bytes(32))
    with pytest.raises(ForeignContract):
        Replica(world.domain).apply(genesis)
    replica, _ = follow(world)
    wrong: tuple[L1Event, ...] = (
        MessageSent(1, len(world.messages) + 1, b""),
        post(batches[1], 2),
        replace(post(batches[0], 1), batch_hash=bytes(32)),
        replace(post(batches[0], 1), data=b"no batch"),
    )
    for event in wrong:
        with pytest.raises(ForeignContract):
            replica.apply(event)
    assert replica.state.tree.root == world.genesis_root


def test_a_batch_that_takes_a_message_nobody_sent_is_refused() -> None:
    """L1 admits no such batch; whoever shows one is not the L1, and the state stays."""
    world, batches, _ = play_batches(1)
    replica, _ = follow(world)
    replica.messages.clear()
    with pytest.raises(ForeignContract, match="L1 message 0"):
        replica.apply(post(batches[0], 1))
    assert replica.state.tree.root == world.genesis_root
    assert decode_batch(batches[0].encode()) == batches[0]

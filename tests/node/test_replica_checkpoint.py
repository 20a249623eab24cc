"""A replica that is kept on disk: what stood in finalized blocks is not executed again, and nothing is believed."""

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from fraud_proofs.replica import Replica
from node.chain_follower import ChainFollower
from node.replica_checkpoint import ReplicaCheckpoint
from state.batches import BatchData, Step, decode_frame, pack_frames
from state.l1_events import BatchPosted, Finalised
from state.store import Store
from tests.node.clerk import Clerk
from tests.node.reorgs import reorganize
from tests.node.town import Town, open_town


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    with open_town(tmp_path, epoch_slots=4) as running:
        yield running


@pytest.fixture
def clerk(town: Town, tmp_path: Path) -> Iterator[Clerk]:
    with Clerk(town, tmp_path / "clerk") as clerk:
        yield clerk


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "kept") as store:
        yield store


class Reader:
    """A follower on what is kept, and the batches that it had to execute."""

    def __init__(self, town: Town, store: Store) -> None:
        self.executed: list[int] = []
        self.follower = ChainFollower(town.rollup, self._note, ReplicaCheckpoint(store))
        self.events = self.follower.advance().events

    def _note(self, event: BatchPosted) -> None:
        self.executed.append(event.index)

    @property
    def replica(self) -> Replica:
        return self.follower.replica


def picture(replica: Replica) -> object:
    """What a replica of the whole history and one from a checkpoint have in common."""
    root, tip = replica.state.tree.root, replica.tip
    leaves = {key: data for key, data in replica.state.leaves.items() if data}
    last = (replica.roots[tip], replica.batch_hashes[tip])
    return root, leaves, replica.messages, replica.accumulators, tip, replica.final, replica.wrong, last


def deposit_and_post(town: Town, clerk: Clerk) -> None:
    town.deposit_ether(town.open_sender(f"owner-{clerk.core.engine.next_position}"), 10**9)
    clerk.take_messages()
    clerk.post()


def settle(town: Town, blocks: int = 12) -> None:
    """Let what stands on L1 become final there."""
    town.anvil.request("anvil_mine", hex(blocks))


def test_a_start_executes_only_what_is_not_settled(town: Town, clerk: Clerk, store: Store) -> None:
    """Batches in finalized blocks are kept with their way back; those behind are read and executed."""
    for _ in range(3):
        deposit_and_post(town, clerk)
    settle(town)
    assert Reader(town, store).executed == [1, 2, 3]
    deposit_and_post(town, clerk)

    again, anew = Reader(town, store), ChainFollower(town.rollup)
    anew.advance()

    assert again.executed == [4]
    assert picture(again.replica) == picture(anew.replica)


def test_a_checkpoint_moves_on(town: Town, clerk: Clerk, store: Store) -> None:
    """By what has changed: finality, new batches, messages; and the past that still matters is told again."""
    deposit_and_post(town, clerk)
    settle(town)
    first = Reader(town, store)
    clerk.finalise()
    for _ in range(2):
        deposit_and_post(town, clerk)
    settle(town)
    first.follower.advance()

    again, anew = Reader(town, store), ChainFollower(town.rollup)
    anew.advance()

    assert again.executed == []
    assert picture(again.replica) == picture(anew.replica)
    told = [(type(event), event.index) for event in again.events if isinstance(event, BatchPosted | Finalised)]
    assert told == [(BatchPosted, 2), (BatchPosted, 3), (Finalised, 1)]
    clerk.finalise()
    again.follower.advance()
    anew.advance()
    assert picture(again.replica) == picture(anew.replica)


def test_a_reorg_does_not_reach_below_it(town: Town, clerk: Clerk, store: Store) -> None:
    """What L1 takes back behind the checkpoint is undone, from a start's replica as from any other."""
    for _ in range(2):
        deposit_and_post(town, clerk)
    settle(town)
    Reader(town, store)
    deposit_and_post(town, clerk)
    again = Reader(town, store)
    assert again.replica.tip == 3

    reorganize(town.anvil, 2)
    again.follower.advance()
    anew = ChainFollower(town.rollup)
    anew.advance()

    assert again.replica.tip == 2
    assert picture(again.replica) == picture(anew.replica)


@pytest.mark.parametrize("part", ["leaf", "message", "batch", "block"])
def test_a_damaged_checkpoint_is_refused(town: Town, clerk: Clerk, store: Store, part: str) -> None:
    """One wrong bit, or a block that L1 does not hold: everything is executed anew, and kept again."""
    for _ in range(2):
        deposit_and_post(town, clerk)
    settle(town)
    Reader(town, store)
    head = store.read_meta("replica")
    assert head is not None
    if part == "leaf":
        key, data = next(iter(store.read_leaves().items()))
        store.keep_replica({}, {key: data[:-1] + bytes([data[-1] ^ 1])}, {}, {})
    elif part == "message":
        store.keep_replica({}, {}, {0: b"another"}, {})
    elif part == "batch":
        index, data = store.read_batches()[-1]
        store.keep_replica({}, {}, {}, {index: data[:-1] + bytes([data[-1] ^ 1])})
    else:
        block_hash = town.l1.get_block(int(ChainFollower(town.rollup).advance().reading.settled)).hash
        assert block_hash in head
        store.keep_replica({"replica": head.replace(block_hash, bytes(32))}, {}, {}, {})

    anew = Reader(town, store)

    assert anew.executed == [1, 2]
    assert Reader(town, store).executed == []


def test_a_wrong_batch_is_never_behind_it(town: Town, clerk: Clerk, store: Store) -> None:
    """Whoever starts again finds the same fault, and the proof of it."""
    deposit_and_post(town, clerk)
    settle(town)
    Reader(town, store)
    clerk.post(bend_last_root(clerk.seal()))
    settle(town)
    Reader(town, store)

    again = ChainFollower(town.rollup, checkpoint=ReplicaCheckpoint(store))
    ((event, verdict),) = again.advance().verdicts

    assert event.index == again.replica.wrong == 2
    assert verdict.proof is not None


def test_a_full_disk_does_not_end_a_watch(town: Town, clerk: Clerk, store: Store) -> None:
    """It is told once; following goes on, and what was kept before stays good."""
    deposit_and_post(town, clerk)
    settle(town)
    reader = Reader(town, store)
    deposit_and_post(town, clerk)
    settle(town)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        first, second = reader.follower.advance(), reader.follower.advance()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))

    assert first.trouble is not None
    assert "a write failed" in first.trouble
    assert second.trouble is None
    assert reader.replica.tip == 2


def test_another_rollup_s_is_refused(town: Town, clerk: Clerk, store: Store) -> None:
    """One folder, one rollup: of another's it starts anew."""
    deposit_and_post(town, clerk)
    settle(town)
    Reader(town, store)

    assert ReplicaCheckpoint(store).load(bytes(32), lambda event: None, lambda point: True) is None


def bend_last_root(batch: BatchData) -> BatchData:
    """Its one frame claims another root for a step in the middle."""
    frame = decode_frame(batch.frames[0])
    assert frame is not None
    steps = list(frame.steps)
    steps[0] = Step(steps[0].op, bytes(32))
    frames = tuple(one.encode() for one in pack_frames(frame.pre_root, steps))
    return BatchData(batch.header, frames)

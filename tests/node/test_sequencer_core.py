"""Engine and disk together: a restart at any moment goes on exactly where the log ends."""

import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from coincurve import PrivateKey

from fraud_proofs.challenger import Honest, State, examine_batch
from node.op_log import LevelDbLog
from node.sequencer_core import SequencerCore
from sequencer.batcher import OpenBatcher, open_batcher
from sequencer.engine import Accepted
from sequencer.refusals import Refusal, Refused
from sequencer.requests import build_request
from state.batches import decode_header
from state.context import StepContext
from state.receipts import RECEIPT_BYTES, decode_receipt
from state.store import Store, StoreError
from state.tree import GLOBALS_KEY, build_tree
from tests.receipts import sign_receipt
from tests.sequencer.market import Sequencing
from tests.world import get_address

KEY = PrivateKey(b"\x07" * 32)
PRICE = 17_000_000


class Desk:
    """A core on a real folder, and people who send it requests; `crash` forgets all but the folder."""

    def __init__(self, folder: Path, seed: int = 0, open_batcher: OpenBatcher = open_batcher) -> None:
        self.open_batcher = open_batcher
        self.market = Sequencing(seed)
        self.folder = folder
        self.random = random.Random(seed)
        self.leaves = dict(self.market.before.leaves)
        self.core = self._open()
        index = self.market.world.batch_index - 1
        self.core.restart(self.leaves, generation=2, index=index, parent=self.market.world.parent)
        for seconds in (1, 20):
            self.keep(self.core.engine.tick(self.core.engine.globals.time + seconds))

    def _open(self) -> SequencerCore:
        self.store = Store(self.folder)
        return SequencerCore(self.store, self.market.world.domain, 4_000_000, open_batcher=self.open_batcher)

    def keep(self, records: object) -> None:
        self.core.make_durable(list(records))  # type: ignore[call-overload]

    def crash(self) -> None:
        """The process is gone; what was not durable with it."""
        self.store.close()
        self.core = self._open()
        assert self.core.recover(self.market.world.messages.__getitem__)

    def ask(self) -> list[bytes]:
        """A few random requests."""
        requests = []
        for _ in range(self.random.randrange(1, 6)):
            name, slot = self.random.choice(("alice", "bob", "carol")), self.random.randrange(3)
            roll = self.random.random()
            if roll < 0.7:
                size = self.random.choice((-1, 1)) * self.random.randrange(1, 500)
                price = PRICE + self.random.randrange(-5, 6) * 1000
                requests.append(self.market.order(name, size, price, slot))
            elif roll < 0.85:
                requests.append(self.market.cancel(name, slot))
            else:
                requests.append(build_request(self.market.world.sign_transfer(name, "alice", 1000)))
        return requests

    def picture(self) -> tuple[Any, ...]:
        """Everything that must be the same after a restart."""
        engine = self.core.engine
        resting = sorted(
            (slot, known.counter, known.order.accepted, known.order.remaining, known.order.is_registered)
            for slot, known in engine.slots.items()
            if known.order is not None
        )
        return (
            {key: data for key, data in engine.leaves.items() if data},
            engine.next_position,
            engine.log_hash,
            engine.pending_count,
            resting,
            self.core.head,
            sorted(self.core.sealed),
            self.core.batcher.root,
            self.core.batcher.parent,
        )


def test_a_restart_at_any_moment_changes_nothing(tmp_path: Path, seed: int) -> None:
    """Two desks hear the same; one crashes between groups and around seals, and both end alike."""
    calm, shaken = Desk(tmp_path / "calm", seed), Desk(tmp_path / "shaken", seed)
    dice = random.Random(seed + 1)
    for _ in range(60):
        requests = calm.ask()
        for desk in (calm, shaken):
            desk.keep(desk.core.take(requests).records)
        if dice.random() < 0.2:
            assert calm.core.seal()[1] == shaken.core.seal()[1]
        if dice.random() < 0.3:
            shaken.crash()
            assert shaken.picture() == calm.picture()
    shaken.crash()
    assert shaken.picture() == calm.picture()
    shaken.store.close()
    calm.store.close()


def test_what_was_not_durable_was_never_acknowledged(tmp_path: Path, seed: int) -> None:
    """A group that the disk did not take is gone after the crash, and only that."""
    desk = Desk(tmp_path, seed)
    desk.keep(desk.core.take([desk.market.order("alice", 10, PRICE)]).records)
    before = desk.picture()
    desk.core.take([desk.market.order("bob", -4, PRICE)])

    desk.crash()

    assert desk.picture() == before
    desk.store.close()


def test_batches_that_grew_too_old_are_batched_anew(tmp_path: Path, seed: int) -> None:
    """The log, its positions and what rests stay; the batches that L1 does not hold become one honest batch."""
    desk = Desk(tmp_path, seed)
    state = State(dict(desk.leaves), build_tree(desk.leaves.items()))
    for _ in range(3):
        for _ in range(5):
            desk.keep(desk.core.take(desk.ask()).records)
        desk.core.seal()
    desk.keep(desk.core.take(desk.ask()).records)
    leaves, position, log_hash, _, resting, *_ = desk.picture()

    desk.core.rewind(desk.market.world.batch_index - 1, desk.market.world.messages.__getitem__)

    after = desk.picture()
    assert (after[1], after[2], after[4]) == (position, log_hash, resting)
    differing = {key for key in {**leaves, **after[0]} if leaves.get(key) != after[0].get(key)}
    assert differing == {GLOBALS_KEY}
    assert desk.core.sealed == {}
    _, batch = desk.core.seal()
    world = desk.market.world
    context = StepContext(decode_header(batch.header), 0, world.domain, world.messages.__getitem__)
    assert isinstance(examine_batch(state, batch, context), Honest)
    desk.crash()
    assert sorted(desk.core.sealed) == [world.batch_index]
    desk.store.close()


def test_a_backlog_is_as_large_after_a_crash_as_before(tmp_path: Path) -> None:
    """Whoever starts again must not admit a second budget of bytes on top of those that wait."""
    desk = Desk(tmp_path)
    first = desk.market.world.batch_index
    for _ in range(3):
        desk.keep(desk.core.take(desk.ask()).records)
        desk.core.seal()
    desk.crash()

    unposted = desk.core.take_unposted(tip=first)

    assert [index for index, _ in unposted] == [first + 1, first + 2]
    assert desk.core.engine.unposted_bytes == sum(len(batch.encode()) for _, batch in unposted)
    desk.store.close()


def test_every_sealed_batch_is_honest(tmp_path: Path, seed: int) -> None:
    """The challenger agrees with every step, across restarts."""
    desk = Desk(tmp_path, seed)
    state = State(dict(desk.leaves), build_tree(desk.leaves.items()))
    for number in range(4):
        for _ in range(10):
            desk.keep(desk.core.take(desk.ask()).records)
        _, batch = desk.core.seal()
        world = desk.market.world
        context = StepContext(decode_header(batch.header), 0, world.domain, world.messages.__getitem__)
        found = examine_batch(state, batch, context)
        assert isinstance(found, Honest), f"batch {number}: {found.ground}"
        desk.crash()
    desk.store.close()


def open_busy_desk(folder: Path, seed: int) -> Desk:
    """Three batches, and a log behind them."""
    desk = Desk(folder, seed)
    for _ in range(3):
        for _ in range(8):
            desk.keep(desk.core.take(desk.ask()).records)
        desk.core.seal()
    for _ in range(4):
        desk.keep(desk.core.take(desk.ask()).records)
    return desk


@pytest.mark.parametrize("part", ["leaf", "slot", "root"])
def test_a_damaged_checkpoint_is_made_again_from_the_log(tmp_path: Path, seed: int, part: str) -> None:
    """One wrong bit in what is only a cache is found, and costs time, nothing else."""
    desk = open_busy_desk(tmp_path, seed)
    whole = desk.picture()
    if part == "leaf":
        key, data = next(iter(desk.store.read_leaves().items()))
        desk.store.commit(leaves={key: data[:-1] + bytes([data[-1] ^ 1])})
    elif part == "slot":
        key_bytes, data = next(iter(desk.store.read_slots()))
        desk.store.commit(slots={key_bytes: data[:-1] + bytes([data[-1] ^ 1])})
    else:
        assert desk.core.head is not None
        desk.store.commit(meta={"head": replace(desk.core.head, root=bytes(32)).encode()})

    desk.crash()

    assert desk.core.is_rebuilt
    assert desk.picture() == whole
    desk.crash()
    assert not desk.core.is_rebuilt
    assert desk.picture() == whole
    desk.store.close()


def test_a_crash_while_a_checkpoint_is_made_again_changes_nothing(tmp_path: Path, seed: int) -> None:
    """Whatever part of it is done stands on disk as any checkpoint does; the marks say where the rest ends."""
    desk = open_busy_desk(tmp_path, seed)
    whole = desk.picture()
    base = desk.store.read_meta("base head")
    assert base is not None
    desk.store.fall_back({"head": base, "slots digest": b""})
    marks = dict(desk.store.read_marks(0))
    last = max(marks)
    desk.store.commit(marks={last: b""})
    desk.core.recover(desk.market.world.messages.__getitem__)
    desk.store.commit(marks={last: marks[last]})

    desk.crash()

    assert desk.picture() == whole
    desk.store.close()


def test_a_log_that_lost_a_record_is_refused(tmp_path: Path, seed: int) -> None:
    """What was acknowledged cannot be made up: nothing is served from such a folder."""
    desk = open_busy_desk(tmp_path, seed)
    last = desk.core.engine.next_position - 1
    desk.store.append_log(2, [(last - 1, b"")])
    desk.store.close()
    desk.core = desk._open()

    with pytest.raises(StoreError, match="log position"):
        desk.core.recover(desk.market.world.messages.__getitem__)
    desk.store.close()


def test_a_long_tail_is_sealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Orders that only rest fill no batch, and a start shall not do very many of them again."""
    monkeypatch.setattr("node.sequencer_core.TAIL_RECORDS_MAX", 50)
    desk = Desk(tmp_path)
    for number in range(49 - desk.core.engine.next_position):
        desk.keep(desk.core.take([desk.market.order("alice", 1, PRICE - 1000 * number)]).records)
    assert not desk.core.is_full
    desk.keep(desk.core.take([desk.market.order("alice", 1, PRICE)]).records)

    assert desk.core.is_full
    desk.core.seal()
    assert not desk.core.is_full
    desk.store.close()


def test_a_receipt_names_its_place_and_its_signer(tmp_path: Path) -> None:
    """Fixed-width, bound to the domain, recoverable to the sequencer's address."""
    desk = Desk(tmp_path)
    group = desk.core.take([desk.market.order("alice", 10, PRICE)])
    desk.keep(group.records)
    (accepted,) = group.outcomes
    assert isinstance(accepted, Accepted)

    receipt = sign_receipt(desk.core, KEY, desk.market.world.domain, accepted)

    assert len(receipt.encode()) == RECEIPT_BYTES
    assert decode_receipt(receipt.encode()) == receipt
    assert receipt.recover(desk.market.world.domain) == get_address(KEY)
    assert receipt.recover(bytes(32)) != get_address(KEY)
    other = replace(receipt, body=replace(receipt.body, position=receipt.body.position + 1))
    assert other.recover(desk.market.world.domain) != get_address(KEY)
    assert (receipt.body.generation, receipt.body.position) == (2, accepted.position)
    desk.store.close()


def test_a_new_generation_forgets_orders_and_starts_its_log_anew(tmp_path: Path) -> None:
    """After a rollback nothing of the old log binds, and it stays readable."""
    desk = Desk(tmp_path)
    desk.keep(desk.core.take([desk.market.order("alice", 10, PRICE)]).records)
    index = desk.market.world.batch_index - 1

    desk.core.restart(desk.leaves, generation=3, index=index, parent=desk.market.world.parent)
    desk.crash()

    assert desk.core.engine.globals.generation == 3
    assert desk.core.engine.next_position == 0
    assert not any(known.order for known in desk.core.engine.slots.values())
    assert len(list(desk.store.read_log(2, 0))) == 3
    stale = desk.core.take([desk.market.order("alice", 10, PRICE)]).outcomes[0]
    assert isinstance(stale, Refused)
    desk.store.close()


def test_final_batches_are_forgotten(tmp_path: Path) -> None:
    """What need not be posted again takes no room."""
    desk = Desk(tmp_path)
    for _ in range(3):
        desk.keep(desk.core.take(desk.ask()).records)
        desk.core.seal()
    first = min(desk.core.sealed)

    desk.core.forget_final(first + 1)
    desk.crash()

    assert sorted(desk.core.sealed) == [first + 2]
    desk.store.close()


def test_a_folder_of_another_rollup_is_refused(tmp_path: Path) -> None:
    """One folder, one rollup."""
    desk = Desk(tmp_path)
    with pytest.raises(StoreError, match="another rollup"):
        SequencerCore(desk.store, bytes(32), 1000)
    desk.store.close()


def test_bad_requests_are_told_in_the_group(tmp_path: Path) -> None:
    """A refusal beside an acceptance: each has its own outcome, in order."""
    desk = Desk(tmp_path)
    group = desk.core.take([b"", desk.market.order("alice", 1, PRICE)])
    assert group.outcomes[0] == Refused(Refusal.REQUEST_MALFORMED)
    assert isinstance(group.outcomes[1], Accepted)
    desk.store.close()


def test_a_log_that_is_gone_is_missed(tmp_path: Path) -> None:
    """Positions that were acknowledged once are given to nobody else: neither without the log nor on an old copy."""
    desk = Desk(tmp_path / "data")
    domain = desk.market.world.domain
    desk.store.close()
    with Store(tmp_path / "state") as store, Store(tmp_path / "log") as log_store:
        SequencerCore(store, domain, 1, log=LevelDbLog(log_store))
        shutil.copytree(tmp_path / "log", tmp_path / "old")
        SequencerCore(store, domain, 1, log=LevelDbLog(log_store))
        for other in ("nothing", "old"):
            with Store(tmp_path / other) as lost, pytest.raises(StoreError, match="the log of this state is gone"):
                SequencerCore(store, domain, 1, log=LevelDbLog(lost))
        SequencerCore(store, domain, 1, log=LevelDbLog(log_store))


def test_a_log_that_ends_before_the_state_is_refused(tmp_path: Path) -> None:
    """What was sealed stands in the log, or the log has lost its end."""
    desk = Desk(tmp_path)
    desk.core.seal()
    assert desk.core.head is not None
    head = desk.core.head
    desk.store.commit(meta={"head": replace(head, position=head.position + 1).encode()})
    with pytest.raises(StoreError, match="the log ends before"):
        desk.crash()
    desk.store.close()

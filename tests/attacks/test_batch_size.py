"""Attacks on the size of a batch: one that L1 cannot take wedges an honest sequencer for good."""

from pathlib import Path
from typing import Any, cast

import pytest

from node.logs import Log
from node.rollup import Rollup
from node.sequencer_role import Sequencer, SequencerSettings
from node.transactions import Sender
from sequencer.engine import MEETINGS_MAX, Accepted
from sequencer.matching import single
from sequencer.refusals import Refusal, Refused
from sequencer.requests import build_request
from state.batches import decode_batch
from state.constants import BATCH_BYTES_MAX
from state.leaves import perpetual
from state.process_inbox import Message, MessageType
from state.store import Store
from tests.node.test_sequencer_core import PRICE, Desk
from tests.sequencer.market import Sequencing


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "desk")


def test_one_order_sweeps_a_book_of_crumbs(desk: Desk) -> None:
    """A trader rests hundreds of orders of one lot and takes them all with one order, just before a batch is full."""
    crumbs = [desk.market.order("alice", -1, PRICE, slot) for slot in range(600)]
    desk.keep(desk.core.take(crumbs).records)
    rounds = 0
    while not desk.core.is_full:
        rounds += 1
        (swept,) = desk.core.take([desk.market.order("bob", 600, PRICE)]).outcomes
        assert isinstance(swept, Accepted)
        assert swept.filled == MEETINGS_MAX

    _, batch = desk.core.seal()

    assert rounds > 1
    assert len(batch.encode()) <= BATCH_BYTES_MAX
    assert decode_batch(batch.encode()) == batch


def test_taker_who_met_enough_leaves_an_uncrossed_book(desk: Desk) -> None:
    """A sweep that is cut short neither rests through the asks nor comes back for them."""
    desk.core.take([desk.market.order("alice", -1, PRICE, slot) for slot in range(MEETINGS_MAX + 6)])
    desk.core.take([desk.market.order("bob", 1000, PRICE)])

    assert desk.core.engine.get_depth(single(perpetual(0)), 10) == ([], [(PRICE, 6)])


def test_flood_of_requests_in_one_group(desk: Desk) -> None:
    """A crowd sends more in one instant than a batch has room for."""
    transfers = [build_request(desk.market.world.sign_transfer("bob", "alice", 1)) for _ in range(1024)]

    group = desk.core.take(transfers)
    desk.keep(group.records)
    _, batch = desk.core.seal()

    assert 0 < len(group.outcomes) < len(transfers)
    assert len(batch.encode()) <= BATCH_BYTES_MAX
    rest = desk.core.take(transfers[len(group.outcomes) :])
    assert all(isinstance(outcome, Accepted) for outcome in rest.outcomes)


class Domain:
    """All that a sequencer asks of a rollup before it has looked at L1."""

    first_block = None

    def __init__(self, domain: bytes) -> None:
        self._domain = domain

    def get_domain(self) -> bytes:
        return self._domain


async def test_flood_of_messages_in_one_finality(desk: Desk, tmp_path: Path) -> None:
    """Somebody sends thousands of L1 messages, and they become final in the same second."""
    world = desk.market.world
    rollup, sender = cast(Rollup, Domain(world.domain)), cast(Sender, None)
    with Store(tmp_path / "sequencer") as store:
        sequencer = Sequencer(rollup, sender, store, b"\x07" * 32, SequencerSettings(), Log("test"))
        sequencer.core.restart(desk.leaves, generation=2, index=world.batch_index - 1, parent=world.parent)
        cursor = sequencer.core.engine.globals.inbox_cursor
        flood = [Message(MessageType.CANCEL_ALL, bytes(20), 0, 1, b"").encode()] * 3000
        inbox: Any = sequencer._follower.replica.messages
        inbox += [*world.messages[:cursor], *flood]
        sequencer._finalized_messages = len(inbox)
        while sequencer.core.engine.globals.inbox_cursor < len(inbox):
            sequencer.core.make_durable(sequencer._take_messages())
            await sequencer._seal_if_due()
        sealed = [one.sealed for one in sequencer._outgoing if one.sealed is not None]
        sizes = [len(sequencer.core.batcher.build(one).encode()) for one in sealed]

    assert len(sizes) > 0
    assert max(sizes) <= BATCH_BYTES_MAX


def test_flood_of_free_ops_leaves_room_for_trades() -> None:
    """Somebody moves a unit to and fro, which costs him nothing, until the L1 is behind and nobody can trade."""
    market = Sequencing(unposted_bytes_max=20_000)
    engine = market.engine
    while not isinstance(engine.submit(build_request(market.world.sign_transfer("carol", "alice", 1))), Refused):
        pass

    assert engine.pending_bytes < 11_000
    assert market.refuse(build_request(market.world.sign_withdraw("carol", 1))) == Refusal.BACKLOG_FULL
    market.take(market.order("alice", -5, PRICE))
    assert market.take(market.order("bob", 5, PRICE)).filled == 5

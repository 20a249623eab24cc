"""A sequencer that lives, and leaves out bids and prices, must take both from L1: an auction goes on all the same."""

import pytest

from sequencer.engine import Engine
from sequencer.oplog import LogRecord
from state.codes import Kind
from state.constants import NEVER, PPM
from state.ledger import Ledger
from state.process_bid import encode_bid
from state.process_inbox import Message, MessageType
from state.process_relay import encode_reading
from tests.stories.ending import LOW, auction
from tests.world import World

LAG = 600


@pytest.fixture
def world() -> World:
    """Alice is up for auction, at a price of now."""
    return auction()


def open_engine(world: World) -> Engine:
    """A sequencer that goes on where the world stands."""
    engine = Engine(dict(world.state.leaves), world.domain)
    state = engine.globals
    engine.next_position, engine.log_hash = state.next_position, state.log_hash
    engine.open_batch(state.generation)
    return engine


def list_messages(world: World) -> list[bytes]:
    """Minutes later, as L1 has it: a reading that the signers gave to anybody, and Carol's bid for half."""
    sent, carol = world.globals.time + LAG, world.person("carol")
    kind, price = encode_reading(world.sign_reading(0, LOW - 100_000, LOW - 100_000, sent))
    terms = encode_bid(1, world.person("alice").account, PPM // 2, 0, NEVER)
    return [
        Message(kind, carol.address, sent, 0, price).encode(),
        Message(MessageType.TAKE, carol.address, sent + 1, carol.account, terms).encode(),
    ]


def take(engine: Engine, messages: list[bytes]) -> list[LogRecord]:
    """What comes into the log when these are taken next."""
    first = engine.globals.inbox_cursor
    return [record for number, data in enumerate(messages, first) for record in engine.take_message(number, data)]


def test_a_price_and_a_bid_that_were_left_out_count_all_the_same(world: World) -> None:
    """Time reaches each message before it is taken; the price is stored, and the slice is Carol's."""
    engine = open_engine(world)
    records = take(engine, list_messages(world))

    assert [record.body[0] for record in records] == [Kind.TICK, Kind.RELAY, Kind.TICK, Kind.BID]
    ledger = Ledger(engine.leaves)
    assert ledger.require_underlying(0).spot == LOW - 100_000
    before, after = world.account_of("alice"), ledger.require_account(world.person("alice").account)
    ((_, lots),) = before.positions
    assert [held for _, held in after.positions] == [lots - lots // 2]
    assert [held for _, held in ledger.require_account(world.person("carol").account).positions] == [lots // 2]


def test_taking_a_bid_late_does_not_burn_it(world: World) -> None:
    """Whoever lets the price of the bid's own time grow old, before he takes it, takes it all the same."""
    engine, (price, bid) = open_engine(world), list_messages(world)
    take(engine, [price])
    engine.tick(engine.globals.time + 10 * Ledger(engine.leaves).get_params().price_age_max)
    take(engine, [bid])

    assert Ledger(engine.leaves).require_account(world.person("carol").account).positions


def test_a_replay_takes_the_same(world: World) -> None:
    """From the records alone the same log and the same state come again."""
    messages = list_messages(world)
    first, again = open_engine(world), open_engine(world)
    cursor = first.globals.inbox_cursor
    for record in take(first, messages):
        again.replay(record, lambda index: messages[index - cursor])

    assert again.log_hash == first.log_hash
    assert again.leaves == first.leaves

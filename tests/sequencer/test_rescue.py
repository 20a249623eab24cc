"""Rescue batches: whatever has happened before, one can be built, and nobody can convict it."""

import random

import pytest

from fraud_proofs.challenger import Honest, State, examine_batch
from sequencer.rescue import RESCUE_MESSAGES_MAX, build_rescue_batch
from state.batches import BatchData, decode_frame, decode_header
from state.codes import Kind, MessageCode
from state.constants import BATCH_BYTES_MAX, NEVER, PPM
from state.context import StepContext
from state.leaves import perpetual
from state.ledger import Ledger
from state.process_bid import encode_bid
from state.process_inbox import Message, MessageType, encode_amount, encode_close
from state.process_relay import encode_reading
from state.transition import RESCUE_KINDS
from state.tree import build_tree
from tests.workload import random_steps
from tests.world import GENESIS_TIME, World, open_market

STEPS = 120
HISTORIES = 4


class Ruin:
    """What a sequencer leaves behind: the state after its last batch, and messages that nobody takes."""

    def __init__(self, world: World) -> None:
        self.world = world
        world.seal()
        # The world opens the next batch at once; the state before that step is the one that L1 knows.
        self.state = State(dict(world.steps[-1].leaves), build_tree(world.steps[-1].leaves.items()))
        self.parent = world.parent

    def send(self, kind: int, name: str, payload: bytes = b"", time: int = GENESIS_TIME) -> None:
        """Leave one more message of somebody's in the inbox."""
        person = self.world.person(name)
        self.world.messages.append(Message(kind, person.address, time, person.account, payload).encode())

    def rescue(self, generation: int, time: int, **options: int) -> tuple[BatchData, Honest]:
        """Build the next batch and have the honest challenger agree with every step of it."""
        cursor = Ledger(self.state.leaves).get_globals().inbox_cursor
        batch = build_rescue_batch(
            self.state.leaves,
            parent=self.parent,
            domain=self.world.domain,
            generation=generation,
            time=time,
            messages=self.world.messages[cursor:],
            **options,
        )
        header = decode_header(batch.header)
        found = examine_batch(self.state, batch, StepContext(header, 0, self.world.domain, self.world.get_message))
        assert isinstance(found, Honest), f"a wrong step: {found.ground}"
        assert header.post_root == self.state.tree.root
        assert header.parent == self.parent
        self.parent = batch.batch_hash
        return batch, found


def list_kinds(batch: BatchData) -> list[int]:
    """The kinds of a batch's ops, in order."""
    frames = [decode_frame(data) for data in batch.frames]
    return [step.op[0] for frame in frames if frame is not None for step in frame.steps]


@pytest.mark.parametrize("history", range(HISTORIES))
def test_every_history_can_be_rescued(history: int, seed: int) -> None:
    """After any history one batch takes every waiting message, of known and of unknown kinds, in a new generation."""
    world, chance = open_market(seed), random.Random(seed)
    for _ in random_steps(world, STEPS):
        continue
    ruin = Ruin(world)
    for _ in range(20):
        name = chance.choice(list(world.people))
        kind = chance.choice((MessageType.DEPOSIT, MessageType.FORCE_WITHDRAW, MessageType.CANCEL_ALL, 77))
        ruin.send(kind, name, encode_amount(chance.choice((0, 1, 9)), chance.randrange(1 << 50)))
    before = Ledger(ruin.state.leaves).get_globals()

    batch, _ = ruin.rescue(before.generation + 1, before.time + 100_000)

    after, header = Ledger(ruin.state.leaves).get_globals(), decode_header(batch.header)
    assert header.is_rescue
    assert set(list_kinds(batch)) <= set(RESCUE_KINDS)
    assert (after.inbox_cursor, after.generation) == (len(world.messages), before.generation + 1)
    assert (after.time, header.position_from, header.position_to) == (before.time + 100_000, 0, 21)


def test_a_second_batch_goes_on_with_the_log() -> None:
    """The rescuer's generation lasts until somebody else submits; its positions have no gap."""
    ruin = Ruin(open_market())
    ruin.send(MessageType.CANCEL_ALL, "alice")
    now = Ledger(ruin.state.leaves).get_globals().time
    first, _ = ruin.rescue(2, now + 1)
    ruin.send(MessageType.CANCEL_ALL, "bob")
    second, _ = ruin.rescue(2, now + 1)

    ends = [decode_header(batch.header) for batch in (first, second)]
    assert [(end.position_from, end.position_to) for end in ends] == [(0, 2), (2, 3)]
    assert ends[0].log_hash != ends[1].log_hash
    assert list_kinds(second) == [Kind.OPEN, Kind.L1, Kind.CLOSE], "time stood still, so there is nothing to tick"


def test_a_message_is_judged_at_the_time_of_the_rescue() -> None:
    """Who holds a position cannot leave at the prices of the last batch, however fresh they were then."""
    world = open_market()
    world.trade("alice", "bob", 0, 10, 17_000_000)
    ruin = Ruin(world)
    for name in ("alice", "carol"):
        ruin.send(MessageType.FORCE_WITHDRAW, name, encode_amount(0, 5_000_000))
    params = Ledger(ruin.state.leaves).get_params()

    _, found = ruin.rescue(2, world.globals.time + params.price_age_max + 1)

    codes = [receipt.message_code for receipt in found.receipts[2:4]]
    assert codes == [MessageCode.FORCED_MARGIN, MessageCode.DONE]


def test_a_forced_close_is_taken_over_in_rescue_batches() -> None:
    """With the sequencer dead, a price and a bid come through L1, and the bidder has all that the owner would leave."""
    world = open_market()
    world.trade("alice", "bob", 0, 10, 17_000_000)
    ruin = Ruin(world)
    ruin.send(MessageType.FORCE_CLOSE, "alice", encode_close(True))
    params = Ledger(ruin.state.leaves).get_params()
    _, _ = ruin.rescue(2, world.globals.time + 1)
    due = world.globals.time + 1 + params.close_delay + params.auction_seconds // 2

    kind, price = encode_reading(world.sign_reading(0, 16_000_000, 16_000_000, due))
    ruin.send(kind, "bob", price, due)
    terms = encode_bid(1, world.person("alice").account, PPM, 0, NEVER)
    ruin.send(MessageType.TAKE, "carol", terms, due + 1)
    batch, found = ruin.rescue(2, due + 10 * params.price_age_max)

    assert list_kinds(batch) == [Kind.OPEN, Kind.TICK, Kind.RELAY, Kind.BID, Kind.CLOSE]
    assert [receipt.message_code for receipt in found.receipts[2:4]] == [MessageCode.DONE, MessageCode.DONE]
    held = {name: Ledger(ruin.state.leaves).require_account(world.person(name).account) for name in ("alice", "carol")}
    assert held["carol"].positions == ((perpetual(0), 10),)
    assert held["alice"].positions == ()
    assert held["alice"].close_from == 0


def test_a_flood_of_bids_fits_too() -> None:
    """A bid is more than twice as long as another message: what one batch cannot hold the next one does."""
    ruin = Ruin(open_market())
    for number in range(RESCUE_MESSAGES_MAX):
        ruin.send(MessageType.TAKE, "carol", encode_bid(number + 1, 1, PPM, 0, NEVER))

    first, _ = ruin.rescue(2, GENESIS_TIME + 1_000)
    second, _ = ruin.rescue(2, GENESIS_TIME + 1_000)

    counts = [list_kinds(batch).count(Kind.BID) for batch in (first, second)]
    assert min(counts) > 64
    assert sum(counts) == RESCUE_MESSAGES_MAX
    assert len(first.encode()) <= BATCH_BYTES_MAX


def test_a_flood_fills_batch_after_batch() -> None:
    """However much waits, each batch fits L1, and the next goes on where it ended."""
    ruin = Ruin(open_market())
    for _ in range(RESCUE_MESSAGES_MAX + 100):
        ruin.send(MessageType.CANCEL_ALL, "alice")
    waiting = len(ruin.world.messages) - Ledger(ruin.state.leaves).get_globals().inbox_cursor

    first, _ = ruin.rescue(2, GENESIS_TIME + 1_000)
    second, _ = ruin.rescue(2, GENESIS_TIME + 1_000)

    assert [list_kinds(batch).count(Kind.L1) for batch in (first, second)] == [RESCUE_MESSAGES_MAX, waiting - 1_000]
    assert len(first.encode()) <= BATCH_BYTES_MAX

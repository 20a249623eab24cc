"""state/process_batch.py: a batch in time and in the log."""

import pytest

from state.batches import FLAG_RESCUE, decode_header
from state.codes import Code, Kind, MessageCode
from state.constants import NEVER
from state.ledger import Ledger
from state.operations import Tick
from state.process_batch import apply_close, compute_oldest_oracle_time
from tests.stories import Story, list_stories, set_scene
from tests.world import World, open_market


@pytest.mark.parametrize("story", list_stories(Kind.OPEN, Kind.CLOSE, Kind.TICK), ids=lambda story: story.name)
def test_refusals(story: Story) -> None:
    """The story's op is refused with just its code, and the op beside it is not."""
    refused, accepted = story.tell()
    assert refused.outcome is story.code
    assert accepted.outcome is MessageCode.DONE


def test_a_batch_goes_on_where_the_last_one_ended() -> None:
    """Time, log and inbox run through the end of a batch into the next; only the batch is counted."""
    world = open_market()
    before = world.globals
    batch = world.seal(log_hash=b"l" * 32)
    header, after = decode_header(batch.header), world.globals
    assert (header.index, header.generation, header.time, header.inbox_cursor) == (1, 1, before.time, 6)
    assert header.inbox_hash == before.inbox_hash
    assert (header.position_from, header.position_to) == (0, before.next_position)
    assert (after.batch, after.time, after.next_position) == (2, before.time, before.next_position)
    assert after.log_hash == b"l" * 32
    assert after.cancel_only_until == before.cancel_only_until


def test_the_log_may_go_further_than_its_last_posted_op() -> None:
    """Entries that are never posted take positions too: close moves to the header's end, however far that is."""
    world = open_market()
    close = world.attempt_close(position_to=world.position + 1000)
    assert close.outcome is MessageCode.DONE
    scene = set_scene(close)
    apply_close(*scene)
    assert scene.ledger.get_globals().next_position == world.position + 1000


def test_a_new_generation_starts_its_log_anew_and_may_only_cancel() -> None:
    """After a rollback positions begin at 0, the log hash is clear, and the interval begins with the first tick."""
    world = open_market()
    world.seal(log_hash=b"l" * 32, generation=7)
    now = world.globals
    assert (now.generation, now.next_position, now.log_hash) == (7, 0, bytes(32))
    assert now.cancel_only_until == NEVER
    world.tick(5)
    assert world.globals.cancel_only_until == world.globals.time + 10
    until = world.globals.cancel_only_until
    world.tick(5)
    assert world.globals.cancel_only_until == until


def test_the_first_tick_of_all_begins_the_first_interval() -> None:
    """The genesis is cancel-only too, until its first tick and ten seconds."""
    world = World()
    assert world.globals.cancel_only_until == NEVER
    world.tick(3)
    assert world.globals.cancel_only_until == world.globals.time + 10


def test_the_interval_never_becomes_never() -> None:
    """A first tick to the end of time itself leaves an interval that could end."""
    world = World()
    world.play(Tick(0, NEVER - 3))
    assert world.globals.cancel_only_until == NEVER - 1


def test_the_oldest_price_that_somebody_depends_on() -> None:
    """Prices of underlyings without open interest do not count; the oldest of the others does."""
    world = open_market()
    begin = world.globals.time
    world.tick(50)
    assert compute_oldest_oracle_time(Ledger(world.state.leaves)) == begin + 50
    world.trade("alice", "bob", 0, 10, 17_000_000)
    world.trade("alice", "bob", 1, 10, 7_000_000)
    assert compute_oldest_oracle_time(Ledger(world.state.leaves)) == begin
    world.price(0, 17_000_000)
    assert compute_oldest_oracle_time(Ledger(world.state.leaves)) == begin
    world.price(1, 7_000_000)
    assert compute_oldest_oracle_time(Ledger(world.state.leaves)) == begin + 50


def test_a_rescue_batch_lets_people_cancel_and_leave() -> None:
    """Anybody may post ticks, messages, signed prices and cancels; nothing that takes on risk stands in a rescue."""
    world = open_market()
    world.place("alice", 0, 1, 17_000_000)
    world.seal(flags=FLAG_RESCUE)
    world.tick(1)
    world.play(world.sign_cancel("alice"))
    world.deposit("alice", 1)
    world.price(0, 17_000_001)
    assert world.refuse(world.sign_order("alice", 0, 1, 1)) is Code.ORDER_MUST_DECODE
    assert world.refuse(world.fill("alice", "bob", 1, 1)) is Code.FILL_MUST_DECODE
    assert world.refuse(world.sign_transfer("alice", "bob", 1)) is Code.TRANSFER_MUST_DECODE
    assert world.refuse(world.sign_withdraw("alice", 1)) is Code.WITHDRAW_MUST_DECODE
    world.seal()

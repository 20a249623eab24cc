"""state/process_market.py: prices come in, signed orders are registered and killed."""

import pytest

from state.codes import Code, Kind, MessageCode
from state.constants import PPM, SLOTS_PER_ACCOUNT
from state.leaves import Order, Underlying, perpetual
from state.ledger import Ledger, Slot
from tests.stories import Story, list_stories
from tests.world import SYMBOLS, World, open_market

KINDS = (Kind.ORACLE, Kind.ORDER, Kind.CANCEL, Kind.SURFACE, Kind.INDEX)


@pytest.mark.parametrize("story", list_stories(*KINDS), ids=lambda story: story.name)
def test_refusals(story: Story) -> None:
    """The story's op is refused with just its code, and the op beside it is not."""
    refused, accepted = story.tell()
    assert refused.outcome is story.code
    assert accepted.outcome is MessageCode.DONE


def get_underlying(world: World, underlying: int) -> Underlying:
    return Ledger(world.state.leaves).require_underlying(underlying)


def get_order(world: World, name: str, slot: int = 0) -> Order | None:
    return Ledger(world.state.leaves).get_order(Slot(world.person(name).account, slot))


def test_a_reading_stores_prices_and_what_longs_pay() -> None:
    """The premium is mark less spot, and is paid from the state's time on, not from the reading's."""
    world = open_market()
    world.tick(100)
    now = world.globals.time
    world.play(world.sign_reading(0, 16_000_000, 16_100_000, now - 7))
    assert get_underlying(world, 0) == Underlying(
        symbol=SYMBOLS[0].ljust(8, b"\0"),
        oracle_time=now - 7,
        spot=16_000_000,
        mark=16_100_000,
        spot_confidence=PPM,
        mark_confidence=PPM,
        volatility=600_000,
        funding_index=0,
        index_time=now,
        premium=100_000,
        open_interest=0,
    )


@pytest.mark.parametrize(("mark", "premium"), [(17_511_000, 510_000), (16_489_000, -510_000), (17_510_001, 510_000)])
def test_the_premium_is_capped(mark: int, premium: int) -> None:
    """No funding period costs more than 3 % of spot, whatever mark says."""
    world = open_market()
    world.tick(1)
    world.price(0, 17_000_000, mark)
    assert get_underlying(world, 0).premium == premium


def test_a_reading_stores_the_funding_that_was_owed() -> None:
    """Half a period at 100 000 a period is 50 000, kept for ever when the next premium differs; rounded down."""
    world = open_market()
    world.tick(1)
    world.price(0, 17_000_000, 17_100_000)
    world.tick(14_400)
    world.price(0, 17_000_000, 16_999_999)
    assert get_underlying(world, 0).funding_index == 50_000
    world.tick(1)
    world.price(0, 17_000_000)
    assert get_underlying(world, 0).funding_index == 49_999


def test_an_order_is_stored_whole() -> None:
    """Every term that a later check asks for stands in the slot."""
    world = open_market()
    until = world.globals.time + 9
    op = world.place(
        "alice",
        2,
        -30,
        3_000_000,
        slot=SLOTS_PER_ACCOUNT - 1,
        valid_until=until,
        flags=7,
        max_fee_ppm=12,
        counterparty=3,
        accepted=4,
    )
    assert get_order(world, "alice", SLOTS_PER_ACCOUNT - 1) == Order(
        counter=1,
        accepted=4,
        generation=1,
        epoch=0,
        valid_until=until,
        flags=7,
        price=3_000_000,
        remaining=30,
        max_fee_ppm=12,
        counterparty=3,
        legs=((perpetual(2), 1),),
    )
    assert world.position == op.position + 1


def test_a_higher_counter_replaces() -> None:
    """A second order in the slot takes the first one's place, filled in part or not."""
    world = open_market()
    world.place("alice", 0, 100, 17_000_000)
    world.place("bob", 0, -40, 17_000_000)
    world.play(world.fill("alice", "bob", 17_000_000, 40))
    world.place("alice", 1, 7, 7_000_000, counter=50)
    order = get_order(world, "alice")
    assert order is not None
    assert (order.counter, order.remaining, order.legs) == (50, 7, ((perpetual(1), 1),))


def test_a_cancel_leaves_the_counter_alone() -> None:
    """Of a cancelled order nothing remains but its counter, so it can never come back."""
    world = open_market()
    op = world.place("alice", 0, 100, 17_000_000)
    world.play(world.sign_cancel("alice"))
    assert get_order(world, "alice") == Order(counter=1)
    assert world.refuse(op) is Code.ORDER_POSITION_MUST_INCREASE
    assert world.refuse(world.sign_order("alice", 0, 100, 17_000_000, counter=1)) is Code.ORDER_COUNTER_MUST_RISE


def test_a_slot_is_one_accounts_own() -> None:
    """The same slot of two accounts holds two orders."""
    world = open_market()
    world.place("alice", 0, 1, 17_000_000)
    world.place("bob", 0, -2, 17_000_001)
    orders = [get_order(world, name) for name in ("alice", "bob")]
    assert [order.remaining for order in orders if order] == [1, 2]

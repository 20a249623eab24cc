"""state/process_fill.py: two registered orders trade, and both accounts stay margined."""

import pytest

from state.codes import Kind, MessageCode
from state.leaves import Asset, perpetual
from state.ledger import Ledger, Slot
from tests.stories import Story, list_stories
from tests.world import World, open_market

MARK = 17_000_000
CASH = 1_000_000_000_000


@pytest.mark.parametrize("story", list_stories(Kind.FILL), ids=lambda story: story.name)
def test_refusals(story: Story) -> None:
    """The story's op is refused with just its code, and the op beside it is not."""
    refused, accepted = story.tell()
    assert refused.outcome is story.code
    assert accepted.outcome is MessageCode.DONE


def get_books(world: World) -> Asset:
    return Ledger(world.state.leaves).require_asset(0)


def get_open_interest(world: World) -> int:
    return Ledger(world.state.leaves).require_underlying(0).open_interest


def test_a_trade_books_its_whole_notional() -> None:
    """The buyer's cash pays for the lots, the seller's is paid; each pays his fee, which the books keep."""
    world = open_market()
    world.trade("alice", "bob", 0, 1_000, MARK)
    notional, maker_fee, taker_fee = 1_000 * MARK, 1_701_000, 8_501_000
    alice, bob = world.account_of("alice"), world.account_of("bob")
    assert (alice.cash, alice.positions) == (CASH - notional - maker_fee, ((perpetual(0), 1_000),))
    assert (bob.cash, bob.positions) == (CASH + notional - taker_fee, ((perpetual(0), -1_000),))
    assert get_books(world) == Asset(custody=3 * CASH, fees=maker_fee + taker_fee)
    assert get_open_interest(world) == 1_000


def test_fees_round_up() -> None:
    """One lot at 17 000 001 owes 1700.0001 as a maker and 8500.0005 as a taker: 1701 and 8501, and 1000 each for L1."""
    world = open_market()
    world.trade("alice", "bob", 0, 1, MARK + 1)
    assert CASH - MARK - 1 - world.account_of("alice").cash == 2_701
    assert CASH + MARK + 1 - world.account_of("bob").cash == 9_501


def test_both_orders_shrink() -> None:
    """What has traded does not remain, on either side."""
    world = open_market()
    world.place("alice", 0, 1_000, MARK)
    world.place("bob", 0, -300, MARK)
    world.play(world.fill("alice", "bob", MARK, 200))
    ledger = Ledger(world.state.leaves)
    orders = [ledger.require_order(Slot(world.person(name).account, 0)) for name in ("alice", "bob")]
    assert [order.remaining for order in orders] == [800, 100]


def test_open_interest_counts_longs_once() -> None:
    """New positions raise it, handing one on leaves it, closing lowers it, turning round does both."""
    world = open_market()
    counts = []
    for buyer, seller, quantity in (
        ("alice", "bob", 100),
        ("carol", "alice", 40),
        ("bob", "alice", 60),
        ("bob", "carol", 90),
        ("carol", "bob", 50),
    ):
        world.trade(buyer, seller, 0, quantity, MARK)
        held = [world.account_of(name).get_position(perpetual(0)) for name in ("alice", "bob", "carol")]
        assert sum(held) == 0
        assert get_open_interest(world) == sum(lots for lots in held if lots > 0)
        counts.append(get_open_interest(world))
    assert counts == [100, 100, 40, 50, 0]


def test_funding_is_settled_through_the_index() -> None:
    """Who holds a long lot for a period pays the premium: it shows in cash when the position is closed."""
    world = open_market()
    world.tick(1)
    world.price(0, MARK, MARK + 100_000)
    world.trade("alice", "bob", 0, 10, MARK)
    fees = [CASH - 10 * MARK - world.account_of("alice").cash, CASH + 10 * MARK - world.account_of("bob").cash]
    world.tick(28_800)
    world.price(0, MARK)
    before = {name: world.account_of(name).cash for name in ("alice", "bob")}
    world.trade("bob", "alice", 0, 10, MARK)
    paid = {name: world.account_of(name).cash - before[name] for name in ("alice", "bob")}
    assert paid == {"alice": 10 * (MARK - 100_000) - fees[1], "bob": -10 * (MARK - 100_000) - fees[0]}
    assert world.account_of("alice").positions == ()


def test_a_short_is_paid_when_the_premium_is_negative() -> None:
    """With mark below spot the index falls, and longs gain by it."""
    world = open_market()
    world.tick(1)
    world.price(0, MARK, MARK - 3)
    world.trade("alice", "bob", 0, 10, MARK)
    cash = world.account_of("alice").cash
    world.tick(1)
    world.price(0, MARK)
    world.trade("bob", "alice", 0, 10, MARK)
    # A 9600th of a unit of funding a second rounds down to a whole one, for all ten lots.
    assert world.account_of("alice").cash - cash == 10 * (MARK + 1) - (10 * MARK // 2_000 + 1_000)


def test_a_maker_may_be_either_side() -> None:
    """Bob's order rests, Alice's comes later: he pays the maker's fee and his is the price."""
    world = open_market()
    world.place("bob", 0, -10, MARK - 5)
    world.place("alice", 0, 10, MARK + 5)
    world.play(world.fill("alice", "bob", MARK - 5, 10))
    assert CASH + 10 * (MARK - 5) - world.account_of("bob").cash == 10 * MARK // 10_000 + 1_000
    assert CASH - 10 * (MARK - 5) - world.account_of("alice").cash == 10 * MARK // 2_000 + 1_000


def test_a_position_may_be_reduced_at_stale_prices() -> None:
    """Prices are too old for new risk; closing half a position needs none."""
    world = open_market()
    world.trade("alice", "bob", 0, 1_000, MARK)
    world.place("alice", 0, -500, MARK, slot=1)
    world.place("bob", 0, 500, MARK, slot=1)
    world.tick(5_000)
    world.play(world.fill("bob", "alice", MARK, 500, 1, 1))
    assert world.account_of("alice").get_position(perpetual(0)) == 500

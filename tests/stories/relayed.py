"""Stories of messages that have an op of their own: bids and readings that come through Ethereum.

In those of bids Alice is up for auction, and Carol bids for half of her portfolio: what is refused when it is signed is
refused here too, but the message is taken.
"""

from dataclasses import replace

from risk.margin import BASIS_ACTIVE
from state.codes import Code, MessageCode
from state.constants import ACCOUNTS_MAX, PPM, QUANTITY_MAX
from state.leaves import Account, perpetual
from state.ledger import Ledger
from state.operations import Bid, Relay
from state.process_bid import encode_bid, find_bidder, read_take
from state.process_inbox import MessageType, decode_message, encode_close
from state.process_liquidate import claim_liquidate
from state.process_relay import encode_reading
from state.slices import SLICE_ROOM_PPM, weigh_bidder
from tests.stories.ending import AUCTION, LOW, MARK, auction, sink, spread_wings
from tests.stories.telling import Pair, story
from tests.world import Attempt, World, open_market

HALF = PPM // 2


def bid(world: World, name: str = "carol", time: int | None = None, **changes: int) -> Attempt:
    """The op that takes somebody's bid for Alice's next; L1 has just taken it, or at another time."""
    terms = {
        "sequence": 1,
        "target": world.person("alice").account,
        "slice_ppm": HALF,
        "discount_min": 0,
        "valid_until": world.globals.time + 10_000,
    }
    account, person = changes.pop("account", world.person(name).account), world.person(name)
    sent = world.globals.time if time is None else time
    return world.attempt_message(MessageType.TAKE, person.address, account, encode_bid(**terms | changes), sent)


def claim(attempt: Attempt, **changes: object) -> Attempt:
    """The same with another claim."""
    return replace(attempt, op=replace(get_bid(attempt), **changes).encode())  # type: ignore[arg-type]


def get_bid(attempt: Attempt) -> Bid:
    """The op of an attempt."""
    op = attempt.decode()
    assert isinstance(op, Bid)
    return op


def relay(world: World, spot: int = LOW, payload: bytes | None = None, time: int | None = None) -> Attempt:
    """The op that takes a reading of the first underlying next, which L1 has just taken, or at another time."""
    kind, signed = encode_reading(world.sign_reading(0, spot, spot, world.globals.time))
    sent = world.globals.time if time is None else time
    return world.attempt_message(kind, b"somebody's address..", 0, signed if payload is None else payload, sent)


def cancel_all(world: World) -> Attempt:
    """A message that an l1 op takes."""
    carol = world.person("carol")
    return world.attempt_message(MessageType.CANCEL_ALL, carol.address, carol.account, b"")


def wait(world: World, seconds: int) -> World:
    """Later, at the price of then."""
    world.tick(seconds)
    world.price(0, LOW)
    return world


# Which op takes which message


@story(Code.L1_MESSAGE_MUST_BE_PLAIN)
def bid_taken_by_an_l1() -> Pair:
    """An l1 op computes no margin for a bid, and would throw it away."""
    world = auction()
    return replace(bid(world), op=cancel_all(world).op), cancel_all(world)


@story(Code.L1_MESSAGE_MUST_BE_PLAIN)
def reading_taken_by_an_l1() -> Pair:
    """Nor does it know what a reading is."""
    world = auction()
    return replace(relay(world), op=cancel_all(world).op), cancel_all(world)


@story(Code.BID_MESSAGE_MUST_BE_A_TAKE)
def other_message_taken_by_a_bid() -> Pair:
    """Who asks for something else does not bid."""
    world = auction()
    return replace(cancel_all(world), op=bid(world).op), bid(world)


@story(Code.BID_MESSAGE_MUST_BE_A_TAKE)
def reading_taken_by_a_bid_of_nobody() -> Pair:
    """Not even to say that it is nobody's."""
    world = auction()
    honest = bid(world, name="bob", account=world.person("carol").account)
    return replace(relay(world), op=honest.op), honest


@story(Code.RELAY_MESSAGE_MUST_BE_A_READING)
def bid_taken_by_a_relay() -> Pair:
    """A bid is no price."""
    world = auction()
    return replace(bid(world), op=relay(world).op), relay(world)


# bid


@story(Code.BID_MUST_DECODE)
def bid_of_no_code() -> Pair:
    """A bid cannot come to what only a deposit comes to."""
    world = auction()
    return claim(bid(world), code=MessageCode.DEPOSIT_BAD_DEBT), bid(world)


@story(Code.BID_MUST_DECODE)
def bid_that_claims_for_nothing() -> Pair:
    """Where no margin is computed, none is claimed."""
    world = auction()
    refused = bid(world, slice_ppm=0)
    return claim(refused, relief=1), refused


@story(Code.BID_MUST_DECODE)
def bid_that_names_the_scenarios_of_who_is_not_short() -> Pair:
    """Where no shortfall of the bidder is claimed, nothing shows one."""
    world = auction()
    return claim(bid(world), bidder_active=bytes(7) + b"\1"), bid(world)


@story(Code.BID_MUST_DECODE)
def bid_for_the_hedge_that_relieves() -> Pair:
    """A slice of which somebody would need more relieves of nothing."""
    world = spread_wings()
    honest = bid(world)
    assert get_bid(honest).code is MessageCode.BID_SLICE_UNHEDGES
    return claim(honest, relief=1), honest


@story(Code.BID_POSITION_MUST_INCREASE)
def bid_at_a_used_position() -> Pair:
    """Two ops never stand at one log position."""
    world = auction()
    return claim(bid(world), position=world.position - 1), bid(world)


@story(Code.BID_INDEX_MUST_BE_CURSOR)
def bid_left_out() -> Pair:
    """The message after the next one."""
    world = auction()
    return claim(bid(world), index=len(world.messages) + 1), bid(world)


@story(Code.BID_INDEX_MUST_NOT_PASS_HEADER)
def bid_beyond_the_header() -> Pair:
    """L1 has checked that the messages up to the header's cursor exist, and no other."""
    world = auction()
    honest = bid(world).within(inbox_cursor=len(world.messages) + 1)
    return honest.within(inbox_cursor=len(world.messages)), honest


@story(Code.BID_TIME_MUST_REACH_MESSAGE)
def bid_before_it_was_sent() -> Pair:
    """Nobody takes a bid to a time at which the auction was younger."""
    world = auction()
    now = world.globals.time
    return bid(world, time=now + 1), bid(world, time=now)


@story(Code.BID_CLAIMS_MUST_MATCH)
def bid_by_a_false_value() -> Pair:
    """The slice is worth what it is worth."""
    world = auction()
    honest = bid(world)
    return claim(honest, value=get_bid(honest).value - 1), honest


@story(Code.BID_CLAIMS_MUST_MATCH)
def bid_by_a_false_relief() -> Pair:
    """What the slice relieves Alice of is what the discount is a part of."""
    world = auction()
    honest = bid(world)
    return claim(honest, relief=get_bid(honest).relief + 1), honest


@story(Code.BID_CLAIMS_MUST_MATCH)
def bid_burned_as_not_due() -> Pair:
    """A bid that could be met is not thrown away."""
    world = auction()
    nothing = {"equity": 0, "maintenance": 0, "value": 0, "relief": 0}
    return claim(bid(world), code=MessageCode.BID_NOT_DUE, **nothing), bid(world)


@story(Code.BID_CLAIMS_MUST_MATCH)
def bid_burned_as_unhedging() -> Pair:
    """All of Alice's calls are no hedge of anything."""
    world = spread_wings()
    honest = bid(world, slice_ppm=PPM)
    return claim(honest, code=MessageCode.BID_SLICE_UNHEDGES, relief=0), honest


@story(Code.BID_CLAIMS_MUST_MATCH)
def bid_for_the_hedge_met() -> Pair:
    """Whoever takes the hedge alone leaves Alice short of more than before."""
    world = spread_wings()
    return claim(bid(world), code=MessageCode.DONE), bid(world, slice_ppm=PPM)


@story(Code.BID_CLAIMS_MUST_MATCH)
def bid_for_the_hedge_by_scenarios_that_do_not_show_it() -> Pair:
    """Alice needs what the slice cuts off, but not in a scenario that takes nothing from her."""
    world = spread_wings()
    honest = bid(world)
    return claim(honest, rest_active=bytes([BASIS_ACTIVE - 1]) + bytes(7)), honest


@story(Code.BID_CLAIMS_MUST_MATCH)
def bid_burned_as_replayed() -> Pair:
    """Nor is it said to be a copy."""
    world = auction()
    nothing = {"equity": 0, "maintenance": 0, "value": 0, "relief": 0}
    return claim(bid(world), code=MessageCode.BID_REPLAYED, **nothing), bid(world)


@story(Code.BID_OUTCOME_MUST_MATCH)
def bid_burned_as_short() -> Pair:
    """Carol has enough."""
    world = auction()
    return claim(bid(world), code=MessageCode.BID_BIDDER_SHORT), bid(world)


@story(Code.BID_OUTCOME_MUST_MATCH)
def bid_burned_as_short_by_scenarios_that_do_not_show_it() -> Pair:
    """Carol lacks a unit for what Alice holds; in a scenario that takes nothing she would have enough."""
    world = spread_wings()
    honest, ledger = bid(world, slice_ppm=PPM), Ledger(world.state.leaves)
    message = decode_message(honest.context.get_message(get_bid(honest).index))
    bidder = find_bidder(ledger, read_take(get_bid(honest), message))
    assert isinstance(bidder, Account)
    spare = weigh_bidder(ledger, bidder, message.time)[0].compute_after(None).initial
    world.rewrite_account("carol", cash=world.account_of("carol").cash - spare - 1)
    short = bid(world, slice_ppm=PPM)
    assert get_bid(short).code is MessageCode.BID_BIDDER_SHORT
    return claim(short, bidder_active=bytes([BASIS_ACTIVE - 1]) + bytes(7)), short


@story(Code.BID_OUTCOME_MUST_MATCH)
def bid_of_who_is_short_met() -> Pair:
    """Who has not enough gets nothing."""
    world = auction()
    world.play(world.sign_withdraw("carol", 999_999_000_000))
    short = bid(world, sequence=2)
    return claim(short, code=MessageCode.DONE), bid(auction())


@story(MessageCode.SENDER_MUST_OWN)
def bid_for_another() -> Pair:
    """Bob bids in Carol's name."""
    world = auction()
    return bid(world, name="bob", account=world.person("carol").account), bid(world)


@story(MessageCode.SENDER_MUST_OWN)
def bid_of_nobody() -> Pair:
    """No account has this number, so no leaf is read."""
    world = auction()
    return bid(world, account=ACCOUNTS_MAX), bid(world)


@story(MessageCode.BID_SLICE_UNSOUND)
def bid_for_nothing() -> Pair:
    """A slice of 0 is no slice."""
    world = auction()
    return bid(world, slice_ppm=0), bid(world)


@story(MessageCode.BID_SLICE_UNSOUND)
def bid_for_more_than_all() -> Pair:
    """Nor is one of more than everything; all of a forced close may be taken."""
    world = open_market()
    world.trade("alice", "bob", 0, 1_000, MARK)
    alice = world.person("alice")
    world.send(MessageType.FORCE_CLOSE, alice.address, alice.account, encode_close(True))
    wait(world, 3_600)
    return bid(world, slice_ppm=PPM + 1), bid(world, slice_ppm=PPM)


@story(MessageCode.BID_EXPIRED)
def bid_a_second_too_late() -> Pair:
    """valid_until is the last second."""
    world = auction()
    now = world.globals.time
    return bid(world, valid_until=now - 1), bid(world, valid_until=now)


@story(MessageCode.BID_REPLAYED)
def bid_that_was_met_when_signed() -> Pair:
    """Whoever has signed the same bid gets one of them."""
    world = auction()
    first = bid(world, slice_ppm=HALF // 5)
    world.play(world.sign_take("carol", "alice", HALF // 5))
    return bid(world, slice_ppm=HALF // 5), first


@story(MessageCode.BID_TARGET_NOT_OPEN)
def bid_before_the_auction() -> Pair:
    """Nobody has said yet that Alice is short of margin."""
    return bid(sink()), bid(auction())


@story(MessageCode.BID_TARGET_NOT_OPEN)
def bid_for_ones_own() -> Pair:
    """Alice may not take over her own, whose leaf is not read twice."""
    world = auction()
    return bid(world, name="alice"), bid(world)


@story(MessageCode.BID_TARGET_NOT_OPEN)
def bid_for_nobodys() -> Pair:
    """The account after the last one."""
    world = auction()
    return bid(world, target=world.globals.account_count), bid(world)


@story(MessageCode.BID_TARGET_NOT_OPEN)
def bid_for_an_impossible_account() -> Pair:
    """No account has this number, so no leaf is read."""
    world = auction()
    return bid(world, target=ACCOUNTS_MAX), bid(world)


@story(MessageCode.BID_NOT_DUE)
def bid_at_a_price_that_was_stale_when_sent() -> Pair:
    """The price was 301 seconds old when L1 took the bid; 300 are allowed."""
    world = auction()
    world.tick(301)
    now = world.globals.time
    return bid(world, time=now), bid(world, time=now - 1)


@story(MessageCode.BID_NOT_DUE)
def bid_for_who_has_recovered() -> Pair:
    """The mark is back, and nobody takes anything from Alice any more."""
    world = auction()
    honest = bid(world)
    world.tick(1)
    world.price(0, MARK)
    return bid(world), honest


@story(MessageCode.BID_SLICE_UNHEDGES)
def bid_for_the_hedge() -> Pair:
    """Half of one call is none, so that half of Alice's is the hedge of what she keeps; all of it may be taken."""
    world = spread_wings()
    return bid(world), bid(world, slice_ppm=PPM)


@story(MessageCode.BID_SLICE_TOO_LARGE)
def bid_for_too_much() -> Pair:
    """Twice what she is short of, and a twentieth: the rest stays hers."""
    world = auction()
    now = claim_liquidate(Ledger(world.state.leaves), world.position, world.person("alice").account)
    most = 2 * (-now.maintenance * PPM // (now.equity - now.maintenance)) + SLICE_ROOM_PPM
    return bid(world, slice_ppm=most + 1), bid(world, slice_ppm=most)


@story(MessageCode.BID_DISCOUNT_TOO_SMALL)
def bid_for_a_discount_of_later() -> Pair:
    """At half of the auction the discount is half of what the slice relieves Alice of."""
    world = auction()
    honest = bid(world)
    discount = get_bid(honest).relief // 2
    low = bid(world, discount_min=discount + AUCTION)
    return low, bid(world, discount_min=discount // 2)


@story(MessageCode.BID_BIDDER_FULL)
def bid_of_who_holds_as_much_as_one_may() -> Pair:
    """Carol is as long as anybody may be."""
    world = auction()
    honest = bid(world)
    world.rewrite_account("carol", positions=((perpetual(0), QUANTITY_MAX),))
    return bid(world), honest


@story(MessageCode.BID_BIDDER_SHORT)
def bid_of_who_has_not_enough() -> Pair:
    """Of a thousandth of her money Carol cannot keep half of Alice's portfolio."""
    world = auction()
    honest = bid(world)
    world.play(world.sign_withdraw("carol", 999_999_000_000))
    return bid(world, sequence=2), honest


# relay


@story(Code.RELAY_MUST_DECODE)
def relay_with_a_trailing_byte() -> Pair:
    """Eighteen bytes are no relay."""
    honest = relay(auction())
    return replace(honest, op=honest.op + b"\0"), honest


@story(Code.RELAY_POSITION_MUST_INCREASE)
def relay_at_a_used_position() -> Pair:
    """Two ops never stand at one log position."""
    world = auction()
    honest = relay(wait(world, 1))
    return replace(honest, op=Relay(world.position - 1, len(world.messages)).encode()), honest


@story(Code.RELAY_INDEX_MUST_BE_CURSOR)
def reading_left_out() -> Pair:
    """The message after the next one."""
    world = auction()
    honest = relay(world)
    return replace(honest, op=Relay(world.position, len(world.messages) + 1).encode()), honest


@story(Code.RELAY_INDEX_MUST_NOT_PASS_HEADER)
def reading_beyond_the_header() -> Pair:
    """L1 has checked that the messages up to the header's cursor exist, and no other."""
    world = auction()
    honest = relay(world).within(inbox_cursor=len(world.messages) + 1)
    return honest.within(inbox_cursor=len(world.messages)), honest


@story(Code.RELAY_TIME_MUST_REACH_MESSAGE)
def reading_before_it_was_sent() -> Pair:
    """Nobody takes a reading to a time at which it was from the future."""
    world = auction()
    now = world.globals.time
    return relay(world, time=now + 1), relay(world, time=now)


@story(MessageCode.READING_MALFORMED)
def reading_of_nothing() -> Pair:
    """Anybody may send any bytes."""
    world = auction()
    world.tick(1)
    return relay(world, payload=b""), relay(world)


@story(MessageCode.READING_MALFORMED)
def reading_longer_than_an_op() -> Pair:
    """Also more than an op may have."""
    world = auction()
    world.tick(1)
    return relay(world, payload=bytes(1_016)), relay(world)

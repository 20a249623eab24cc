"""Stories of settle, liquidate, interest, take and deleverage: what becomes of positions when time or money runs out.

In most, Alice has bought 400 000 lots at 17 000 000 from Bob, with a million dollars; the mark has fallen since, and
half of her auction has passed.
"""

from dataclasses import replace

from state.codes import Code
from state.constants import PPM, QUANTITY_MAX
from state.leaves import call, perpetual
from state.ledger import Ledger
from state.operations import NO_ACTIVE, Deleverage, Interest, Liquidate, Settle, Take, Tick
from state.process_deleverage import claim_deleverage
from state.process_inbox import MessageType, encode_close
from state.process_interest import claim_interest
from state.process_liquidate import claim_liquidate
from state.slices import compute_claims, weigh_slice
from tests.stories.market import spoil_signature
from tests.stories.telling import Pair, story
from tests.world import WEEK, World, open_market, open_mixed_market

MARK = 17_000_000
LOTS = 400_000
LOW, BANKRUPT = 15_000_000, 14_000_000
"""Marks at which Alice is short of maintenance margin, and at which she owes more than she has."""

AUCTION = 600
CALL = call(0, WEEK, 18_000_000)

WRITTEN, HIGH = 550_000, 19_000_000
"""Calls that Alice has sold in some stories, and a mark at which she is short of maintenance margin for them."""

FALL = bytes(8)
"""Names the scenario in which the price falls by a tenth: calls cost their writer nothing in it."""


# settle


def buy_call() -> World:
    """Alice has bought ten calls of Bob."""
    world = open_mixed_market()
    world.trade("alice", "bob", CALL, 10, 300_000, max_fee_ppm=100_000)
    return world


def expire_call(price: int = 19_000_000) -> World:
    """They have expired and settled."""
    world = buy_call()
    world.settle_expiry(0, WEEK, price)
    return world


def settle(world: World, name: str = "alice") -> Settle:
    """Settle what somebody holds."""
    return Settle(world.position, world.person(name).account)


@story(Code.SETTLE_MUST_DECODE)
def settle_account_zero() -> Pair:
    """Account 0 is never one."""
    world = expire_call()
    return world.attempt(replace(settle(world), account=0)), world.attempt(settle(world))


@story(Code.SETTLE_POSITION_MUST_INCREASE)
def settle_at_a_used_position() -> Pair:
    """Two ops never stand at one log position."""
    world = expire_call()
    return world.attempt(replace(settle(world), position=world.position - 1)), world.attempt(settle(world))


@story(Code.SETTLE_ACCOUNT_MUST_EXIST)
def settle_nobody() -> Pair:
    """The account after the last one."""
    world = expire_call()
    stranger = replace(settle(world), account=world.globals.account_count)
    return world.attempt(stranger), world.attempt(settle(world))


@story(Code.SETTLE_MUST_FIND_SETTLED)
def settle_who_holds_nothing() -> Pair:
    """Carol has none of what has settled."""
    world = expire_call()
    return world.attempt(settle(world, "carol")), world.attempt(settle(world, "bob"))


@story(Code.SETTLE_MUST_FIND_SETTLED)
def settle_before_there_is_a_price() -> Pair:
    """It has expired, but the settlement price has not been read."""
    world = buy_call()
    world.play(Tick(world.position, WEEK))
    early = world.attempt(settle(world))
    world.settle_expiry(0, WEEK, 1)
    return early, world.attempt(settle(world))


@story(Code.SETTLE_MUST_FIND_SETTLED)
def settle_twice() -> Pair:
    """What is settled is gone."""
    world = expire_call()
    honest = world.attempt(settle(world))
    world.play(settle(world))
    return world.attempt(settle(world)), honest


# liquidate


def sink(mark: int = LOW, sellers: tuple[str, ...] = ("bob",)) -> World:
    """Alice has bought, in equal parts of these, and the mark has fallen."""
    world = open_market()
    for seller in sellers:
        world.trade("alice", seller, 0, LOTS // len(sellers), MARK)
    world.tick(5)
    world.price(0, mark)
    return world


def claim(world: World, name: str = "alice", **changes: object) -> Liquidate:
    """A liquidation with claims that are true here, or with others."""
    honest = claim_liquidate(Ledger(world.state.leaves), world.position, world.person(name).account)
    return replace(honest, **changes)  # type: ignore[arg-type]


@story(Code.LIQUIDATE_MUST_DECODE)
def liquidate_account_zero() -> Pair:
    """Account 0 is never one."""
    world = sink()
    return world.attempt(claim(world, account=0)), world.attempt(claim(world))


@story(Code.LIQUIDATE_POSITION_MUST_INCREASE)
def liquidate_at_a_used_position() -> Pair:
    """Two ops never stand at one log position."""
    world = sink()
    return world.attempt(claim(world, position=world.position - 1)), world.attempt(claim(world))


@story(Code.LIQUIDATE_ACCOUNT_MUST_EXIST)
def liquidate_nobody() -> Pair:
    """The account after the last one."""
    world = sink()
    return world.attempt(claim(world, account=world.globals.account_count)), world.attempt(claim(world))


@story(Code.LIQUIDATE_MARGIN_MUST_MATCH)
def liquidate_by_a_false_maintenance() -> Pair:
    """One unit less than Alice's surplus is another's."""
    world = sink()
    honest = claim(world)
    return world.attempt(replace(honest, maintenance=honest.maintenance - 1)), world.attempt(honest)


@story(Code.LIQUIDATE_MARGIN_MUST_MATCH)
def liquidate_by_a_false_quote_equity() -> Pair:
    """Nor may what she owes in quote be made up."""
    world = sink()
    return world.attempt(claim(world, quote_equity=-(1 << 60))), world.attempt(claim(world))


def write_calls() -> World:
    """Alice has sold calls, and the mark has risen: she could not bear that it rises further."""
    world = open_mixed_market()
    world.trade("bob", "alice", CALL, WRITTEN, 300_000, max_fee_ppm=100_000)
    read_prices(world, HIGH)
    return world


def read_prices(world: World, mark: int) -> None:
    """A few seconds pass, and what options are priced by is young."""
    world.tick(5)
    world.price(0, mark)
    world.read_surface(0, WEEK)


@story(Code.LIQUIDATE_MARGIN_MUST_MATCH)
def liquidate_by_a_scenario_that_is_not_the_worst() -> Pair:
    """The number is true, but were the price to fall Alice would not be short."""
    world = write_calls()
    honest = claim(world)
    return world.attempt(replace(honest, active=FALL)), world.attempt(honest)


@story(Code.LIQUIDATE_MARGIN_MUST_MATCH)
def liquidate_nobody_any_more_by_a_scenario_that_is_not_the_worst() -> Pair:
    """What Alice has to spare were the price to fall ends no auction; that it has fallen does."""
    world = write_calls()
    world.play(claim(world))
    spared = claim(world).equity
    early = world.attempt(claim(world, maintenance=spared, active=FALL))
    read_prices(world, MARK)
    return early, world.attempt(claim(world))


@story(Code.LIQUIDATE_MARGIN_MUST_MATCH)
def liquidate_at_a_stale_price() -> Pair:
    """The price is 301 seconds old; 300 are allowed."""
    world = sink()
    world.tick(300)
    young = world.attempt(claim(world))
    world.tick(1)
    return world.attempt(claim(world)), young


@story(Code.LIQUIDATE_MUST_CHANGE)
def liquidate_who_is_in_order() -> Pair:
    """Bob has won what Alice has lost."""
    world = sink()
    return world.attempt(claim(world, "bob")), world.attempt(claim(world))


@story(Code.LIQUIDATE_MUST_CHANGE)
def liquidate_twice() -> Pair:
    """Her auction has begun; one that is over may be ended once."""
    world = sink()
    world.play(claim(world))
    again = world.attempt(claim(world))
    world.tick(1)
    world.price(0, MARK)
    return again, world.attempt(claim(world))


# interest


def owe(hours: int = 0) -> World:
    """Alice, whose ether covers it, has lost more quote than she had, and owed it for so many hours once told."""
    world = open_market()
    world.deposit("alice", 10**12, 1)
    world.trade("alice", "bob", 0, LOTS, MARK)
    world.rewrite_account("alice", cash=-LOTS * MARK - 10**9)
    if hours:
        world.play(interest(world))
        world.tick(3_600 * hours)
        world.price(0, MARK)
        world.price(1, 7_000_000)
    return world


def interest(world: World, name: str = "alice", **changes: int) -> Interest:
    """A charge whose claim is true here, or another."""
    return replace(claim_interest(Ledger(world.state.leaves), world.position, world.person(name).account), **changes)


@story(Code.INTEREST_MUST_DECODE)
def charge_account_zero() -> Pair:
    """Account 0 is never one."""
    world = owe()
    return world.attempt(interest(world, account=0)), world.attempt(interest(world))


@story(Code.INTEREST_POSITION_MUST_INCREASE)
def charge_at_a_used_position() -> Pair:
    """Two ops never stand at one log position."""
    world = owe()
    return world.attempt(interest(world, position=world.position - 1)), world.attempt(interest(world))


@story(Code.INTEREST_ACCOUNT_MUST_EXIST)
def charge_nobody() -> Pair:
    """The account after the last one."""
    world = owe()
    return world.attempt(interest(world, account=world.globals.account_count)), world.attempt(interest(world))


@story(Code.INTEREST_QUOTE_EQUITY_MUST_MATCH)
def charge_for_a_larger_debt() -> Pair:
    """A unit more than Alice owes."""
    world = owe(hours=1)
    honest = interest(world)
    return world.attempt(replace(honest, quote_equity=honest.quote_equity - 1)), world.attempt(honest)


@story(Code.INTEREST_QUOTE_EQUITY_MUST_MATCH)
def charge_at_a_stale_price() -> Pair:
    """What Alice owes at a price of long ago may be anything."""
    world = owe(hours=1)
    world.tick(300)
    young = world.attempt(interest(world))
    world.tick(1)
    return world.attempt(interest(world)), young


@story(Code.INTEREST_MUST_CHANGE)
def charge_who_owes_nothing() -> Pair:
    """Bob holds the other side; what is owed begins with Alice."""
    world = owe()
    return world.attempt(interest(world, "bob")), world.attempt(interest(world))


@story(Code.INTEREST_MUST_CHANGE)
def charge_twice_in_an_hour() -> Pair:
    """An hour is charged once, and when it is over."""
    world = owe(hours=1)
    honest = world.attempt(interest(world))
    world.play(interest(world))
    world.tick(60)
    return world.attempt(interest(world)), honest


@story(Code.INTEREST_MUST_CHANGE)
def charge_who_is_in_auction() -> Pair:
    """What an account in auction lacks is not its own."""
    world = owe(hours=1)
    honest = world.attempt(interest(world))
    world.rewrite_account("alice", liquidation_from=1)
    return world.attempt(interest(world)), honest


# take


def auction(mark: int = LOW, seconds: int = AUCTION // 2, sellers: tuple[str, ...] = ("bob",)) -> World:
    """Alice is up for auction since so many seconds; the price is young."""
    world = sink(mark, sellers)
    world.play(claim(world))
    world.tick(seconds)
    world.price(0, mark)
    return world


def bid(world: World, **changes: int) -> Take:
    """Carol bids for half of Alice's portfolio."""
    return world.sign_take("carol", "alice", changes.pop("slice_ppm", PPM // 2), **changes)


@story(Code.TAKE_MUST_DECODE)
def take_nothing() -> Pair:
    """A slice of 0 is no slice."""
    world = auction()
    return world.attempt(replace(bid(world), slice_ppm=0)), world.attempt(bid(world))


@story(Code.TAKE_POSITION_MUST_INCREASE)
def take_at_a_used_position() -> Pair:
    """Two ops never stand at one log position."""
    world = auction()
    return world.attempt(bid(world, position=world.position - 1)), world.attempt(bid(world))


@story(Code.TAKE_ACCOUNT_MUST_EXIST)
def take_by_nobody() -> Pair:
    """The account after the last one."""
    world = auction()
    return world.attempt(bid(world, account=world.globals.account_count)), world.attempt(bid(world))


@story(Code.TAKE_TARGET_MUST_BE_OPEN)
def take_before_the_auction() -> Pair:
    """Nobody has said yet that Alice is short of margin."""
    world = sink()
    early = world.attempt(bid(world))
    world.play(claim(world))
    return early, world.attempt(bid(world))


@story(Code.TAKE_TARGET_MUST_BE_OPEN)
def take_from_oneself() -> Pair:
    """Alice may not take over her own."""
    world = auction()
    return world.attempt(world.sign_take("alice", "alice", PPM // 2)), world.attempt(bid(world))


@story(Code.TAKE_TARGET_MUST_BE_OPEN)
def take_before_a_forced_close() -> Pair:
    """Nothing is for sale until Alice has asked L1 to close her account; from then on all of it is, at its marks."""
    world = open_market()
    world.trade("alice", "bob", 0, 1_000, MARK)
    early = world.attempt(bid(world, slice_ppm=PPM))
    ask_for_close(world)
    return early, world.attempt(bid(world, slice_ppm=PPM))


def ask_for_close(world: World) -> None:
    """Alice asks L1 to close her account; its delay is an hour."""
    alice = world.person("alice")
    world.send(MessageType.FORCE_CLOSE, alice.address, alice.account, encode_close(True))


def spread_wings() -> World:
    """Alice has bought two calls and sold one on either side of them, and has asked L1 to close her account."""
    world = open_mixed_market()
    world.trade("alice", "bob", CALL, 2, 250_000, max_fee_ppm=100_000)
    for strike, price in ((17_000_000, 600_000), (19_000_000, 100_000)):
        world.trade("bob", "alice", call(0, WEEK, strike), 1, price, max_fee_ppm=100_000)
    ask_for_close(world)
    return world


@story(Code.TAKE_DISCOUNT_MUST_SUFFICE)
def take_below_the_marks_before_a_forced_close_is_due() -> Pair:
    """For an hour Alice's account costs what it is worth; a second later it costs less."""
    world = open_market()
    world.trade("alice", "bob", 0, 1_000, MARK)
    ask_for_close(world)
    world.tick(3600)
    world.price(0, MARK)
    early = world.attempt(bid(world, slice_ppm=PPM, discount_min=1))
    world.tick(1)
    return early, world.attempt(bid(world, slice_ppm=PPM, discount_min=1))


@story(Code.TAKE_MUST_NOT_BE_EXPIRED)
def take_a_second_too_late() -> Pair:
    """valid_until is the last second."""
    world = auction()
    now = world.globals.time
    return world.attempt(bid(world, valid_until=now - 1)), world.attempt(bid(world, valid_until=now))


@story(Code.TAKE_SEQUENCE_MUST_RISE)
def take_replayed() -> Pair:
    """A bid is for once."""
    world = auction()
    first = bid(world, slice_ppm=PPM // 10)
    world.play(first)
    return world.attempt(bid(world, slice_ppm=PPM // 10, sequence=first.sequence)), world.attempt(
        bid(world, slice_ppm=PPM // 10)
    )


@story(Code.TAKE_MARGIN_MUST_MATCH)
def take_by_a_false_value() -> Pair:
    """The slice is worth what it is worth."""
    world = auction()
    honest = bid(world)
    return world.attempt(replace(honest, value=honest.value - 1)), world.attempt(honest)


@story(Code.TAKE_MARGIN_MUST_MATCH)
def take_by_a_false_relief() -> Pair:
    """What the slice relieves Alice of is what the discount is a part of."""
    world = auction()
    honest = bid(world)
    return world.attempt(replace(honest, relief=honest.relief + 1)), world.attempt(honest)


@story(Code.TAKE_MARGIN_MUST_MATCH)
def take_by_the_scenarios_of_another_margin() -> Pair:
    """What is claimed of Alice is so, but not in the scenario that is said to show it."""
    world = spread_wings()
    honest = bid(world, slice_ppm=PPM)
    assert honest.target_active != NO_ACTIVE
    return world.attempt(replace(honest, target_active=NO_ACTIVE)), world.attempt(honest)


@story(Code.TAKE_MARGIN_MUST_MATCH)
def take_by_scenarios_that_are_not_the_worst() -> Pair:
    """Alice would have more to spare in the scenario that is named, but her margin is what the worst one leaves."""
    world = spread_wings()
    honest = bid(world, slice_ppm=PPM)
    ledger = Ledger(world.state.leaves)
    scales, _ = weigh_slice(ledger, ledger.require_account(honest.target), PPM)
    spared = scales.compute_after(NO_ACTIVE).maintenance - honest.maintenance
    assert spared > 0
    maintenance, relief = honest.maintenance + spared, honest.relief - spared
    lie = replace(honest, maintenance=maintenance, relief=relief, target_active=NO_ACTIVE)
    return world.attempt(lie), world.attempt(honest)


@story(Code.TAKE_MARGIN_MUST_MATCH)
def take_of_the_hedge() -> Pair:
    """Half of one call is none, so that half of Alice's is the hedge; that she would need no more cannot be claimed."""
    world = spread_wings()
    whole = bid(world, slice_ppm=PPM)
    ledger = Ledger(world.state.leaves)
    scales, _ = weigh_slice(ledger, ledger.require_account(whole.target), PPM // 2)
    claims = compute_claims(scales)
    assert claims.relief < 0
    half = replace(whole, slice_ppm=PPM // 2, **claims._replace(relief=0)._asdict())
    return world.attempt(half), world.attempt(whole)


@story(Code.TAKE_MARGIN_MUST_MATCH)
def take_from_who_has_recovered() -> Pair:
    """The mark is back, and nobody takes anything from Alice any more."""
    world = auction()
    honest = world.attempt(bid(world))
    world.tick(1)
    world.price(0, MARK)
    return world.attempt(bid(world)), honest


@story(Code.TAKE_SLICE_MUST_BE_NEEDED)
def take_too_much() -> Pair:
    """Twice what she is short of, and a twentieth: the rest stays hers."""
    world = auction()
    now = claim(world)
    most = 2 * (-now.maintenance * PPM // (now.equity - now.maintenance)) + 50_000
    assert most < PPM
    return world.attempt(bid(world, slice_ppm=most + 1)), world.attempt(bid(world, slice_ppm=most))


@story(Code.TAKE_DISCOUNT_MUST_SUFFICE)
def take_at_less_of_a_discount_than_was_asked() -> Pair:
    """Half of the auction has passed: half of what the slice relieves Alice of, as far as her equity pays for it."""
    world = auction()
    now, half = claim(world), bid(world)
    share = now.equity * half.relief // (now.equity - now.maintenance)
    discount = min(half.relief // 2, share)
    return world.attempt(bid(world, discount_min=discount + 1)), world.attempt(bid(world, discount_min=discount))


@story(Code.TAKE_BIDDER_MUST_FIT)
def take_beyond_the_largest_position() -> Pair:
    """Half of 400 000 lots, where one fewer would fit."""
    world = auction()
    honest = world.attempt(bid(world))
    world.rewrite_account("carol", positions=((perpetual(0), QUANTITY_MAX - LOTS // 2 + 1),))
    return world.attempt(bid(world)), honest


@story(Code.TAKE_BIDDER_MARGIN_MUST_HOLD)
def take_without_margin() -> Pair:
    """Carol must cover the initial margin of what she takes, and its discount helps her."""
    world = auction()
    honest = world.attempt(bid(world))
    world.rewrite_account("carol", cash=10_000_000_000)
    return world.attempt(bid(world)), honest


@story(Code.TAKE_KEY_MUST_BE_LIVE)
def take_by_a_key_that_does_not_exist() -> Pair:
    """Carol has one key."""
    world = auction()
    return world.attempt(bid(world, key_index=1)), world.attempt(bid(world))


@story(Code.TAKE_SIGNATURE_MUST_VERIFY)
def take_with_a_broken_signature() -> Pair:
    """One bit of S is another."""
    world = auction()
    honest = bid(world)
    return world.attempt(replace(honest, signature=spoil_signature(honest.signature))), world.attempt(honest)


@story(Code.TAKE_SIGNATURE_MUST_VERIFY)
def take_of_a_larger_slice_than_was_signed() -> Pair:
    """The claims fit the larger slice, but Carol did not ask for it."""
    world = auction()
    honest, larger = bid(world), bid(world, slice_ppm=PPM // 2 + 1)
    forged = replace(larger, signature=honest.signature, sequence=honest.sequence)
    return world.attempt(forged), world.attempt(honest)


# deleverage


def exhaust(seconds: int = 2 * AUCTION, sellers: tuple[str, ...] = ("bob", "carol")) -> World:
    """Alice owes more than she has, and both phases of her auction have passed without a bid."""
    return auction(BANKRUPT, seconds, sellers)


def close_with(world: World, name: str = "bob", quantity: int = 1_000, **changes: int) -> Deleverage:
    """Somebody closes with Alice; the claims are true here, or others."""
    bankrupt, counterparty = world.person("alice").account, world.person(name).account
    ledger = Ledger(world.state.leaves)
    honest = claim_deleverage(ledger, world.position, bankrupt, counterparty, perpetual(0), quantity)
    return replace(honest, **changes)  # type: ignore[arg-type]


@story(Code.DELEVERAGE_MUST_DECODE)
def deleverage_of_no_lots() -> Pair:
    """A quantity of 0 closes nothing."""
    world = exhaust()
    return world.attempt(close_with(world, quantity=0)), world.attempt(close_with(world))


@story(Code.DELEVERAGE_POSITION_MUST_INCREASE)
def deleverage_at_a_used_position() -> Pair:
    """Two ops never stand at one log position."""
    world = exhaust()
    return world.attempt(close_with(world, position=world.position - 1)), world.attempt(close_with(world))


@story(Code.DELEVERAGE_ACCOUNTS_MUST_EXIST)
def deleverage_with_nobody() -> Pair:
    """The account after the last one."""
    world = exhaust()
    return world.attempt(close_with(world, counterparty=world.globals.account_count)), world.attempt(close_with(world))


@story(Code.DELEVERAGE_MUST_BE_DUE)
def deleverage_in_the_last_second_of_the_auction() -> Pair:
    """A bid may still come."""
    world = exhaust(seconds=2 * AUCTION - 1)
    early = world.attempt(close_with(world))
    world.tick(1)
    return early, world.attempt(close_with(world))


@story(Code.DELEVERAGE_MARGIN_MUST_MATCH)
def deleverage_by_a_false_equity() -> Pair:
    """The more is missing, the more the counterparty adds: so it is what it is."""
    world = exhaust()
    honest = close_with(world)
    return world.attempt(replace(honest, equity=honest.equity - 1)), world.attempt(honest)


@story(Code.DELEVERAGE_MARGIN_MUST_MATCH)
def deleverage_who_has_recovered() -> Pair:
    """The mark is back, and nobody closes with Alice against his will."""
    world = exhaust()
    honest = world.attempt(close_with(world))
    world.tick(1)
    world.price(0, MARK)
    return world.attempt(close_with(world)), honest


@story(Code.DELEVERAGE_MARGIN_MUST_MATCH)
def deleverage_by_a_scenario_that_is_not_the_worst() -> Pair:
    """Nobody has bid for the calls that Alice has sold, but it is a rise of the price that she cannot bear, no fall."""
    world = write_calls()
    world.play(claim(world))
    world.tick(2 * AUCTION)
    read_prices(world, HIGH)
    alice, bob = world.person("alice").account, world.person("bob").account
    honest = claim_deleverage(Ledger(world.state.leaves), world.position, alice, bob, CALL, 1_000)
    return world.attempt(replace(honest, active=FALL)), world.attempt(honest)


@story(Code.DELEVERAGE_MARK_MUST_MATCH)
def deleverage_at_a_false_mark() -> Pair:
    """Both close at the mark, shifted by what is missing."""
    world = exhaust()
    return world.attempt(close_with(world, mark=BANKRUPT + 1)), world.attempt(close_with(world))


@story(Code.DELEVERAGE_NOTIONAL_MUST_MATCH)
def deleverage_by_a_false_notional() -> Pair:
    """Half of the notional would be twice the shift."""
    world = exhaust()
    return world.attempt(close_with(world, notional=LOTS * BANKRUPT // 2)), world.attempt(close_with(world))


@story(Code.DELEVERAGE_QUANTITY_MUST_FIT)
def deleverage_of_more_than_the_other_holds() -> Pair:
    """Bob has sold half of what Alice holds."""
    world = exhaust()
    half = LOTS // 2
    return world.attempt(close_with(world, quantity=half + 1)), world.attempt(close_with(world, quantity=half))


@story(Code.DELEVERAGE_RANK_MUST_BE_FIRST)
def deleverage_of_the_second_in_the_queue() -> Pair:
    """Carol has won as much as Bob, but with more of her own: he is more leveraged."""
    world = exhaust()
    world.deposit("carol", 1_000)
    return world.attempt(close_with(world, "carol")), world.attempt(close_with(world))

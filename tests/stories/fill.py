"""Stories of fill: two registered orders trade, and both accounts stay margined.

In most, Alice buys and Bob sells 10 000 lots at mark, 17 000 000 quote units a lot; Alice's order was accepted first.
"""

from collections.abc import Callable
from dataclasses import replace

from risk.parameter_sets import PARAMETER_SETS
from state.codes import Code
from state.constants import CASH_MAX, QUANTITY_MAX
from state.genesis import Listing
from state.leaves import (
    FLAG_POST_ONLY,
    FLAG_REDUCE_ONLY,
    FLAG_SELL,
    UnderlyingTerms,
    call,
    future,
    perpetual,
)
from state.ledger import Ledger
from state.marks import compute_mark
from state.operations import Tick
from state.process_fill import claim_fill
from state.process_inbox import MessageType
from tests.stories.telling import Pair, story
from tests.world import (
    GENESIS_TIME,
    QUOTE_TERMS,
    UNDERLYING_TERMS,
    WEEK,
    Attempt,
    World,
    build_params,
    open_market,
    open_mixed_market,
)

MARK = 17_000_000
SIZE = 10_000
INITIAL = SIZE * MARK // 10
MAKER_FEE = SIZE * MARK // 10_000 + 1000
TAKER_FEE = SIZE * MARK // 2_000 + 1000
SELL = FLAG_SELL


def place_orders(world: World, *, buy_price: int = MARK, sell_price: int = MARK, size: int = SIZE) -> None:
    """Alice buys, then Bob sells."""
    world.place("alice", 0, size, buy_price)
    world.place("bob", 0, -size, sell_price)


def try_fill(world: World, price: int = MARK, quantity: int = SIZE) -> Attempt:
    """Alice's order and Bob's, in slot 0 of each."""
    return world.attempt(world.fill("alice", "bob", price, quantity))


def meet() -> World:
    """A market in which both orders stand."""
    world = open_market()
    place_orders(world)
    return world


@story(Code.FILL_MUST_DECODE)
def fill_of_no_lots() -> Pair:
    """A quantity of 0 is no fill."""
    world = meet()
    return try_fill(world, quantity=0), try_fill(world)


@story(Code.FILL_MUST_DECODE)
def fill_by_account_zero() -> Pair:
    """Account 0 is never one."""
    world = meet()
    return world.attempt(replace(world.fill("alice", "bob", MARK, 1), seller=0)), try_fill(world)


@story(Code.FILL_POSITION_MUST_INCREASE)
def fill_at_a_used_position() -> Pair:
    """Two ops never stand at one log position."""
    world = meet()
    fill = world.fill("alice", "bob", MARK, 1)
    return world.attempt(replace(fill, position=world.position - 1)), world.attempt(fill)


@story(Code.FILL_MUST_NOT_BE_CANCEL_ONLY)
def fill_in_the_cancel_only_interval() -> Pair:
    """After a rollback nothing trades until everybody has had time to cancel."""
    world = meet()
    world.seal(generation=2)
    world.tick(1)
    early = try_fill(world)
    world.tick(10)
    place_orders(world)
    return early, try_fill(world)


@story(Code.FILL_ACCOUNTS_MUST_DIFFER)
def trade_with_oneself() -> Pair:
    """Alice's order against another of her own."""
    world = meet()
    world.place("alice", 0, -SIZE, MARK, slot=1)
    wash = world.fill("alice", "alice", MARK, SIZE, seller_slot=1)
    return world.attempt(wash), try_fill(world)


# What may have ended an order; the code is the buyer's or the seller's


def fill_slot_never_used(name: str) -> Pair:
    """Nothing ever stood in that slot."""
    world = meet()
    slots = {"buyer_slot": 5} if name == "alice" else {"seller_slot": 5}
    return world.attempt(world.fill("alice", "bob", MARK, SIZE, **slots)), try_fill(world)


def fill_cancelled_order(name: str) -> Pair:
    """The order was cancelled."""
    world = meet()
    living = try_fill(world)
    world.play(world.sign_cancel(name))
    return try_fill(world), living


def fill_finished_order(name: str) -> Pair:
    """Nothing of the order remains: the other side's was replaced by a larger one."""
    world = meet()
    world.play(world.fill("alice", "bob", MARK, SIZE))
    if name == "alice":
        world.place("bob", 0, -SIZE, MARK)
    else:
        world.place("alice", 0, SIZE, MARK)
    dead = try_fill(world)
    world.place(name, 0, SIZE if name == "alice" else -SIZE, MARK)
    return dead, replace(try_fill(world), op=world.fill("alice", "bob", MARK, 1).encode())


def fill_order_of_last_epoch(name: str) -> Pair:
    """A cancel-all came after the order was registered."""
    world = meet()
    living = try_fill(world)
    person = world.person(name)
    world.send(MessageType.CANCEL_ALL, person.address, person.account, b"")
    return try_fill(world), living


def fill_expired_order(name: str) -> Pair:
    """A second after the order's last."""
    world = meet()
    until = world.globals.time + 50
    world.place(name, 0, SIZE if name == "alice" else -SIZE, MARK, valid_until=until)
    world.tick(50)
    living = try_fill(world)
    world.tick(1)
    return try_fill(world), living


def fill_order_of_last_generation(name: str) -> Pair:
    """The other side signed anew after a rollback; this one did not."""
    world = meet()
    world.seal(generation=2)
    world.tick(1)
    world.tick(10)
    other = "bob" if name == "alice" else "alice"
    world.place(other, 0, SIZE if other == "alice" else -SIZE, MARK)
    dead = try_fill(world)
    world.place(name, 0, SIZE if name == "alice" else -SIZE, MARK)
    return dead, try_fill(world)


ENDS = (
    fill_slot_never_used,
    fill_cancelled_order,
    fill_finished_order,
    fill_order_of_last_epoch,
    fill_expired_order,
    fill_order_of_last_generation,
)


def tell_side(code: Code, tell: Callable[[str], Pair], name: str) -> None:
    """Count among the stories one that can be told of either side."""

    def told() -> Pair:
        return tell(name)

    told.__name__ = f"{tell.__name__}_of_{name}"
    told.__doc__ = tell.__doc__
    story(code)(told)


for end in ENDS:
    tell_side(Code.FILL_BUY_ORDER_MUST_BE_LIVE, end, "alice")
    tell_side(Code.FILL_SELL_ORDER_MUST_BE_LIVE, end, "bob")


# What the two orders must be to each other


@story(Code.FILL_SIDES_MUST_OPPOSE)
def two_buyers() -> Pair:
    """Both orders buy."""
    world = meet()
    honest = try_fill(world)
    world.place("bob", 0, SIZE, MARK)
    return try_fill(world), honest


@story(Code.FILL_SIDES_MUST_OPPOSE)
def sides_in_each_others_place() -> Pair:
    """The seller named as the buyer."""
    world = meet()
    return world.attempt(world.fill("bob", "alice", MARK, SIZE)), try_fill(world)


@story(Code.FILL_SIDES_MUST_OPPOSE)
def different_instruments() -> Pair:
    """One buys the first underlying, one sells the second."""
    world = meet()
    honest = try_fill(world)
    world.place("bob", 1, -SIZE, MARK)
    return try_fill(world), honest


@story(Code.FILL_COUNTERPARTY_MUST_MATCH)
def buyer_wanted_carol() -> Pair:
    """Alice's order trades with Carol alone; one for Bob would do."""
    world = meet()
    world.place("alice", 0, SIZE, MARK, counterparty=world.person("carol").account)
    wrong = try_fill(world)
    world.place("alice", 0, SIZE, MARK, counterparty=world.person("bob").account)
    return wrong, try_fill(world)


@story(Code.FILL_COUNTERPARTY_MUST_MATCH)
def seller_wanted_carol() -> Pair:
    """Bob's order trades with Carol alone."""
    world = meet()
    honest = try_fill(world)
    world.place("bob", 0, -SIZE, MARK, counterparty=world.person("carol").account)
    return try_fill(world), honest


@story(Code.FILL_PRICE_MUST_KEEP_LIMITS)
def price_above_the_buyers_limit() -> Pair:
    """One quote unit more than Alice pays at most."""
    world = meet()
    return try_fill(world, price=MARK + 1), try_fill(world)


@story(Code.FILL_PRICE_MUST_KEEP_LIMITS)
def price_below_the_sellers_limit() -> Pair:
    """One quote unit less than Bob takes at least."""
    world = meet()
    return try_fill(world, price=MARK - 1), try_fill(world)


@story(Code.FILL_PRICE_MUST_BE_MAKERS)
def price_in_between() -> Pair:
    """Alice came first with the higher limit; so her limit is the price."""
    world = open_market()
    place_orders(world, buy_price=MARK + 100, sell_price=MARK)
    return try_fill(world, price=MARK + 50), try_fill(world, price=MARK + 100)


@story(Code.FILL_PRICE_MUST_BE_MAKERS)
def price_of_the_taker() -> Pair:
    """Bob was accepted first, whatever the order of registration; so his limit is the price."""
    world = open_market()
    world.place("alice", 0, SIZE, MARK + 100)
    world.place("bob", 0, -SIZE, MARK, accepted=world.position - 2)
    return try_fill(world, price=MARK + 100), try_fill(world, price=MARK)


@story(Code.FILL_PRICE_MUST_BE_MAKERS)
def price_of_two_accepted_together() -> Pair:
    """Accepted at one log position, the buyer is the maker."""
    world = open_market()
    together = world.position
    world.place("alice", 0, SIZE, MARK + 100, accepted=together)
    world.place("bob", 0, -SIZE, MARK, accepted=together)
    return try_fill(world, price=MARK), try_fill(world, price=MARK + 100)


@story(Code.FILL_QUANTITY_MUST_REMAIN)
def more_than_remains() -> Pair:
    """Of 10 000 lots 4 000 have traded; 6 001 do not remain."""
    world = meet()
    world.play(world.fill("alice", "bob", MARK, 4_000))
    return try_fill(world, quantity=6_001), try_fill(world, quantity=6_000)


@story(Code.FILL_TAKER_MUST_NOT_BE_POST_ONLY)
def post_only_taker() -> Pair:
    """Bob's post-only order came second; Alice's may be post-only, for it rests."""
    world = open_market()
    world.place("alice", 0, SIZE, MARK, flags=FLAG_POST_ONLY)
    world.place("bob", 0, -SIZE, MARK, flags=FLAG_POST_ONLY | SELL)
    taking = try_fill(world)
    world.place("bob", 0, -SIZE, MARK)
    return taking, try_fill(world)


@story(Code.FILL_TAKER_MUST_NOT_BE_POST_ONLY)
def post_only_buyer_takes() -> Pair:
    """Bob's order came first."""
    world = open_market()
    world.place("bob", 0, -SIZE, MARK)
    world.place("alice", 0, SIZE, MARK, flags=FLAG_POST_ONLY)
    taking = try_fill(world)
    world.place("alice", 0, SIZE, MARK)
    return taking, try_fill(world)


@story(Code.FILL_PRICE_MUST_BE_IN_BAND)
def price_far_above_mark() -> Pair:
    """The band is 5 %: 850 000 quote units either side."""
    world = open_market()
    place_orders(world, buy_price=MARK + 850_001)
    far = try_fill(world, price=MARK + 850_001)
    place_orders(world, buy_price=MARK + 850_000)
    return far, try_fill(world, price=MARK + 850_000)


@story(Code.FILL_PRICE_MUST_BE_IN_BAND)
def price_far_below_mark() -> Pair:
    """The band is 5 %: 850 000 quote units either side."""
    world = open_market()
    place_orders(world, buy_price=MARK - 850_001, sell_price=1)
    far = try_fill(world, price=MARK - 850_001)
    place_orders(world, buy_price=MARK - 850_000, sell_price=1)
    return far, try_fill(world, price=MARK - 850_000)


@story(Code.FILL_BUYER_MUST_REDUCE)
def reduce_only_buyer_beyond_zero() -> Pair:
    """Alice is 500 short; her reduce-only order may buy 500 and not 501."""
    world = open_market()
    world.trade("carol", "alice", 0, 500, MARK)
    world.place("alice", 0, SIZE, MARK, flags=FLAG_REDUCE_ONLY)
    world.place("bob", 0, -SIZE, MARK)
    return try_fill(world, quantity=501), try_fill(world, quantity=500)


@story(Code.FILL_SELLER_MUST_REDUCE)
def reduce_only_seller_beyond_zero() -> Pair:
    """Bob is 500 long; his reduce-only order may sell 500 and not 501."""
    world = open_market()
    world.trade("bob", "carol", 0, 500, MARK)
    world.place("alice", 0, SIZE, MARK)
    world.place("bob", 0, -SIZE, MARK, flags=FLAG_REDUCE_ONLY | SELL)
    return try_fill(world, quantity=501), try_fill(world, quantity=500)


@story(Code.FILL_BUYER_MUST_REDUCE)
def reduce_only_buyer_with_nothing_to_reduce() -> Pair:
    """Alice holds nothing; without the flag she may buy."""
    world = meet()
    honest = try_fill(world)
    world.place("alice", 0, SIZE, MARK, flags=FLAG_REDUCE_ONLY, accepted=0)
    return try_fill(world), honest


@story(Code.FILL_BUYER_FEE_MUST_KEEP_LIMIT)
def maker_fee_above_the_limit() -> Pair:
    """One lot: 100 ppm of 17 000 000 and 1000 are 2700 quote units, which is more than 158 ppm and less than 159."""
    world = meet()
    world.place("alice", 0, 1, MARK, max_fee_ppm=158, accepted=0)
    dear = try_fill(world, quantity=1)
    world.place("alice", 0, 1, MARK, max_fee_ppm=159, accepted=0)
    return dear, try_fill(world, quantity=1)


@story(Code.FILL_SELLER_FEE_MUST_KEEP_LIMIT)
def taker_fee_above_the_limit() -> Pair:
    """One lot: 500 ppm of 17 000 000 and 1000 are 9500 quote units, which is more than 558 ppm and less than 559."""
    world = meet()
    world.place("bob", 0, -1, MARK, max_fee_ppm=558)
    dear = try_fill(world, quantity=1)
    world.place("bob", 0, -1, MARK, max_fee_ppm=559)
    return dear, try_fill(world, quantity=1)


# What an account may become


def open_wide_market() -> World:
    """Nine listed underlyings, all with a price of 1 000 000."""
    symbols = tuple(bytes([65 + number]) for number in range(9))
    params = build_params(underlyings=(UNDERLYING_TERMS,) * len(symbols), assets=(QUOTE_TERMS,))
    world = World(0, params, listings=tuple(Listing(symbol) for symbol in symbols))
    for name in ("alice", "bob"):
        world.deposit(name, 1_000_000_000_000)
    world.tick(1)
    world.tick(10)
    for underlying in range(9):
        world.price(underlying, 1_000_000)
    return world


def fill_ninth_underlying(name: str) -> Pair:
    """Eight distinct underlyings are the most that an account may hold."""
    world = open_wide_market()
    world.rewrite_account(name, positions=tuple((perpetual(number), 1) for number in range(7)))
    for underlying in (7, 8):
        world.place("alice", underlying, 1, 1_000_000, slot=underlying)
        world.place("bob", underlying, -1, 1_000_000, slot=underlying)
    eighth = world.attempt(world.fill("alice", "bob", 1_000_000, 1, 7, 7))
    world.play(eighth.op)
    return world.attempt(world.fill("alice", "bob", 1_000_000, 1, 8, 8)), eighth


def fill_largest_position(name: str) -> Pair:
    """Five lots below the largest position, long or short, there is room for five."""
    world = meet()
    held = (QUANTITY_MAX - 5) * (1 if name == "alice" else -1)
    world.rewrite_account(name, positions=((perpetual(0), held),), cash=CASH_MAX >> 10)
    return try_fill(world, quantity=6), try_fill(world, quantity=5)


def fill_cash_at_its_bound(name: str) -> Pair:
    """Cash that the trade carries one quote unit beyond its bound: Alice pays, Bob is paid less his fee."""
    world = meet()
    if name == "alice":
        change, edge = -MARK - 2700, -CASH_MAX
        world.rewrite_account("alice", positions=((perpetual(1), QUANTITY_MAX),))
    else:
        change, edge = MARK - 9500, CASH_MAX
    outward = -1 if name == "alice" else 1
    world.rewrite_account(name, cash=edge - change + outward)
    beyond = try_fill(world, quantity=1)
    world.rewrite_account(name, cash=CASH_MAX - change if name == "bob" else 1 << 60)
    return beyond, try_fill(world, quantity=1)


for bound in (fill_ninth_underlying, fill_largest_position, fill_cash_at_its_bound):
    tell_side(Code.FILL_BUYER_MUST_FIT, bound, "alice")
    tell_side(Code.FILL_SELLER_MUST_FIT, bound, "bob")


# Margin


def fill_one_unit_short(name: str) -> Pair:
    """After the trade equity is one quote unit below the initial margin; and just at it."""
    world = meet()
    needed = INITIAL + (MAKER_FEE if name == "alice" else TAKER_FEE)
    world.rewrite_account(name, cash=needed - 1)
    short = try_fill(world)
    world.rewrite_account(name, cash=needed)
    return short, try_fill(world)


def fill_at_a_stale_price(name: str) -> Pair:
    """Of what one side holds besides a price is 301 seconds old; 300 are allowed."""
    world = meet()
    other = "bob" if name == "alice" else "alice"
    world.trade(name, "carol", 1, 1, 7_000_000)
    place_orders(world)
    world.tick(300)
    world.price(0, MARK)
    young = try_fill(world)
    world.tick(1)
    assert world.account_of(other).positions == ()
    return try_fill(world), young


def fill_below_margin_through_zero(name: str) -> Pair:
    """Owing more than one has, one may close a position, but not turn it round."""
    world = open_market()
    held = -SIZE if name == "alice" else SIZE
    world.trade("carol", "alice", 0, SIZE, MARK) if name == "alice" else world.trade("bob", "carol", 0, SIZE, MARK)
    place_orders(world, size=3 * SIZE)
    assert world.account_of(name).get_position(perpetual(0)) == held
    world.rewrite_account(name, cash=world.account_of(name).cash - 1_001_000_000_000)
    return try_fill(world, quantity=SIZE + 1), try_fill(world, quantity=SIZE)


def fill_below_margin_at_a_loss(name: str) -> Pair:
    """Below margin one may reduce, but not at a price that costs more than the margin it frees."""
    world = open_market(params=build_params(band_ppm=1_000_000))
    world.trade("carol", "alice", 0, SIZE, MARK) if name == "alice" else world.trade("bob", "carol", 0, SIZE, MARK)
    world.rewrite_account(name, cash=world.account_of(name).cash - 999_000_000_000)
    # Ten per cent of mark is freed a lot; of it goes the fee.
    outward = 1 if name == "alice" else -1
    ruinous, bearable = MARK + outward * 1_700_000, MARK + outward * 1_600_000
    place_orders(world, buy_price=ruinous, sell_price=ruinous)
    loss = try_fill(world, price=ruinous)
    place_orders(world, buy_price=bearable, sell_price=bearable)
    return loss, try_fill(world, price=bearable)


def fill_below_margin_by_idle_scenarios(name: str) -> Pair:
    """Who lacks margin for options may reduce them, and the op names the scenarios in which he was worst off; by
    scenarios that took nothing from him he lacked none, and is worse off behind it."""
    world, option = open_mixed_market(rules=PARAMETER_SETS["keel"]), call(0, WEEK, 18_000_000)
    ledger = Ledger(world.state.leaves)
    fair = compute_mark(option, ledger.require_underlying(0), ledger.require_expiry(0, WEEK), world.globals.time)
    buyer, seller = ("carol", "alice") if name == "alice" else ("bob", "carol")
    world.trade(buyer, seller, option, SIZE, fair)
    world.rewrite_account(name, cash=world.account_of(name).cash - 999_999_000_000)
    world.place("alice", option, SIZE // 2, fair)
    world.place("bob", option, -SIZE // 2, fair)
    named = claim_fill(Ledger(world.state.leaves), world.fill("alice", "bob", fair, SIZE // 2))
    idle = b"\xfe" * 8
    return world.attempt(replace(named, buyer_active=idle, seller_active=idle)), world.attempt(named)


for rule in (
    fill_one_unit_short,
    fill_at_a_stale_price,
    fill_below_margin_through_zero,
    fill_below_margin_at_a_loss,
    fill_below_margin_by_idle_scenarios,
):
    tell_side(Code.FILL_BUYER_MARGIN_MUST_HOLD, rule, "alice")
    tell_side(Code.FILL_SELLER_MARGIN_MUST_HOLD, rule, "bob")


# What the market bears


@story(Code.FILL_OPEN_INTEREST_MUST_FIT)
def fill_beyond_the_open_interest() -> Pair:
    """Ten thousand lots may be held long, and are; what is handed on adds none."""
    terms = UnderlyingTerms(1 << 20, SIZE)
    world = open_market(params=build_params(underlyings=(terms,) * 4))
    world.trade("carol", "bob", 0, SIZE, MARK)
    world.place("alice", 0, SIZE, MARK)
    world.place("bob", 0, -SIZE, MARK)
    world.place("carol", 0, -SIZE, MARK)
    return try_fill(world, quantity=1), world.attempt(world.fill("alice", "carol", MARK, SIZE))


@story(Code.FILL_OPEN_INTEREST_MUST_FIT)
def fill_up_to_the_open_interest() -> Pair:
    """One lot too many, and the last that fits."""
    terms = UnderlyingTerms(1 << 20, SIZE - 1)
    world = open_market(params=build_params(underlyings=(terms,) * 4))
    place_orders(world)
    return try_fill(world), try_fill(world, quantity=SIZE - 1)


@story(Code.FILL_INSTRUMENTS_MUST_BE_LIVE)
def fill_of_what_has_expired() -> Pair:
    """An order outlives its expiry; at that second it trades no more, though its last price is young."""
    world = open_mixed_market()
    dated = future(0, WEEK)
    world.play(Tick(world.position, WEEK - 1800))
    for name, size in (("alice", 10), ("bob", -10)):
        world.place(name, dated, size, MARK)
    integral = MARK * (WEEK - 1800 - GENESIS_TIME)
    world.read_surface(0, WEEK, integral=integral)
    world.play(Tick(world.position, WEEK - 1))
    world.price(0, MARK)
    world.read_surface(0, WEEK, integral=integral + 1799 * MARK)
    living = try_fill(world, quantity=10)
    world.tick(1)
    return try_fill(world, quantity=10), living


# Several legs

CALENDAR = ((perpetual(0), 1), (future(0, WEEK), -1))


@story(Code.FILL_PRICE_MUST_BE_IN_BAND)
def spread_far_from_its_marks() -> Pair:
    """Perpetual and future are marked alike, so their difference is 0; the band is 5 % of both, 1 700 000."""
    world = open_mixed_market()
    place_spread(world, -1_700_001)
    far = try_fill(world, price=-1_700_001)
    place_spread(world, -1_700_000)
    return far, try_fill(world, price=-1_700_000)


def place_spread(world: World, price: int) -> None:
    """Alice buys the perpetual and sells the future, Bob the reverse."""
    world.place("alice", CALENDAR, SIZE, price)
    world.place("bob", CALENDAR, -SIZE, price)


@story(Code.FILL_BUYER_FEE_MUST_KEEP_LIMIT)
def spread_fee_above_the_limit() -> Pair:
    """A spread that costs nothing pays 100 ppm of spot a leg: 3400 and 1000, more than 129 ppm of 34 000 000."""
    world = open_mixed_market()
    world.place("bob", CALENDAR, -1, 0)
    world.place("alice", CALENDAR, 1, 0, max_fee_ppm=129, accepted=0)
    dear = try_fill(world, price=0, quantity=1)
    world.place("alice", CALENDAR, 1, 0, max_fee_ppm=130, accepted=0)
    return dear, try_fill(world, price=0, quantity=1)


@story(Code.FILL_BUYER_MUST_REDUCE)
def reduce_only_spread_that_reduces_one_leg() -> Pair:
    """Alice is short the perpetual and long a future; a reduce-only spread closes both or nothing."""
    world = open_mixed_market()
    world.trade("carol", "alice", 0, 500, MARK)
    world.place("alice", CALENDAR, 500, 0, flags=FLAG_REDUCE_ONLY, slot=3)
    world.place("bob", CALENDAR, -500, 0, slot=3)
    half = world.attempt(world.fill("alice", "bob", 0, 500, 3, 3))
    world.trade("alice", "carol", future(0, WEEK), 500, MARK)
    return half, world.attempt(world.fill("alice", "bob", 0, 500, 3, 3))


def fill_in_a_halt(name: str) -> Pair:
    """The price of what one side holds besides has jumped: for thirty seconds it takes on nothing."""
    world = meet()
    world.trade(name, "carol", 3, 1, 700_000)
    place_orders(world)
    world.tick(1)
    world.price(3, 7_000_000)
    world.tick(29)
    halted = try_fill(world)
    world.tick(1)
    return halted, try_fill(world)


tell_side(Code.FILL_BUYER_MARGIN_MUST_HOLD, fill_in_a_halt, "alice")
tell_side(Code.FILL_SELLER_MARGIN_MUST_HOLD, fill_in_a_halt, "bob")

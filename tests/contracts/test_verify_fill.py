"""Fills before the contract: honest ones stand, wrong ones fall, and both judges agree on everything between."""

import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest

from fraud_proofs.grounds import EFFECT, check_ground
from risk.parameter_sets import PARAMETER_SETS
from state.codes import Code, Kind
from state.constants import (
    ACCOUNT_EXPIRIES_MAX,
    ACCOUNT_UNDERLYINGS_MAX,
    ACCOUNTS_MAX,
    CASH_MAX,
    NEVER,
    POSITIONS_MAX,
    PPM,
    PRICE_MAX,
    QUANTITY_MAX,
    SLOTS_PER_ACCOUNT,
)
from state.leaves import FLAG_POST_ONLY, FLAG_REDUCE_ONLY, FLAG_SELL, FUTURE, Instrument, Order, perpetual
from state.ledger import Slot
from state.operations import NO_ACTIVE
from state.process_fill import (
    BUYER,
    SELLER,
    Side,
    claim_fill,
    compute_fee_base,
    compute_outcome,
    compute_side_fee,
    get_orders,
)
from state.transition import Valid
from state.tree import account_key, expiry_key, order_key, underlying_key
from state.valuation import compute_account_margin, drop_stale_spots, read_quotes
from tests.contracts.breakers import break_bytes, break_cancel_only, break_position
from tests.contracts.court import Court, dispute, list_grounds
from tests.contracts.scene import (
    Bend,
    Breaker,
    Scene,
    assert_acquits,
    assert_agrees_on_any_bytes,
    assert_breaks,
    assert_corruption_shows_nothing,
    assert_same_effect,
    compute_fair_price,
    draw_active,
    judge_any_exhibit,
    open_random_market,
    place_crossing_orders,
    play_random_trades,
)
from tests.world import WEEK, World

ROUNDS = 20
"""How often every check is violated, at least; and in each known way."""

OTHER = Instrument(9, 0, 0, 0)


@pytest.fixture(scope="module")
def court() -> Court:
    """The contracts, deployed once: they have no state."""
    return Court("verify_fill")


@pytest.fixture
def world(seed: int) -> World:
    """A market in full swing."""
    world = open_random_market(seed)
    play_random_trades(world, random.Random(seed), 6)
    return world


@pytest.fixture
def option_world(seed: int) -> World:
    """The same under rules of many scenarios, so that those in which an option is worst off are to be named."""
    world = open_random_market(seed, PARAMETER_SETS["keel"])
    play_random_trades(world, random.Random(seed), 6)
    return world


# The rules, each broken in every way that we know


def find_slot(side: Side, scene: Scene) -> Slot:
    """Where a side's order stands."""
    return side.slot(scene.decoded)


def break_fields(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """Accounts, slots, a price or a quantity that there cannot be."""
    changes: tuple[dict[str, int], ...] = (
        {"buyer": 0},
        {"buyer": ACCOUNTS_MAX},
        {"seller": 0},
        {"seller": ACCOUNTS_MAX},
        {"buyer_slot": SLOTS_PER_ACCOUNT},
        {"seller_slot": 65_535},
        {"price": PRICE_MAX},
        {"price": -PRICE_MAX},
        {"price": -(1 << 63)},
        {"quantity": 0},
        {"quantity": QUANTITY_MAX + 1},
    )
    return [partial(scene.bend_op, **change) for change in changes]


def break_accounts(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """One account on both sides, in one slot or in two."""
    fill = scene.decoded
    return [
        lambda: scene.bend_op(seller=fill.buyer, seller_slot=fill.buyer_slot),
        lambda: scene.bend_op(buyer=fill.seller, buyer_slot=fill.seller_slot),
        lambda: scene.bend_op(seller=fill.buyer, seller_slot=rng.randrange(1024)),
    ]


def break_life(side: Side) -> Breaker:
    """Something has ended the order."""

    def break_it(scene: Scene, rng: random.Random) -> Sequence[Bend]:
        slot, now = find_slot(side, scene), scene.ledger.get_globals()
        order = scene.order(slot)
        changes: tuple[dict[str, Any], ...] = (
            {"remaining": 0},
            {"generation": now.generation - 1},
            {"generation": now.generation + 1},
            {"valid_until": now.time - 1},
            {"valid_until": 0},
        )
        return [
            *(partial(scene.bend_order, slot, **change) for change in changes),
            lambda: scene.bend_account(slot.account, epoch=order.epoch + 1),
            *(bend for bend in end_order(scene, slot)),
            lambda: scene.write(account_key(slot.account), b""),
        ]

    return break_it


def end_order(scene: Scene, slot: Slot) -> Sequence[Bend]:
    """The slot was cancelled, or never used."""
    cancelled = Order(counter=scene.order(slot).counter).encode()
    return [partial(scene.write, order_key(*slot), data) for data in (cancelled, b"")]


def break_both(break_side: Callable[[Scene, Side, Side], Sequence[Bend]]) -> Breaker:
    """What can be wrong with either side's order; and no order at all on a side."""

    def break_it(scene: Scene, rng: random.Random) -> Sequence[Bend]:
        return [
            way
            for side, other in ((BUYER, SELLER), (SELLER, BUYER))
            for way in (*break_side(scene, side, other), *end_order(scene, find_slot(side, scene)))
        ]

    return break_it


def break_sides(scene: Scene, side: Side, other: Side) -> Sequence[Bend]:
    """A buyer who sells, a seller who buys, or two things traded."""
    slot = find_slot(side, scene)
    flags = scene.order(slot).flags ^ FLAG_SELL
    return [
        lambda: scene.bend_order(slot, flags=flags),
        lambda: scene.bend_order(slot, legs=((OTHER, 1),)),
    ]


def break_counterparty(scene: Scene, side: Side, other: Side) -> Sequence[Bend]:
    """A third one is named, or the order's own account."""
    fill, slot = scene.decoded, find_slot(side, scene)
    third = next(i for i in range(1, 9) if i not in (fill.buyer, fill.seller))
    return [
        lambda: scene.bend_order(slot, counterparty=third),
        lambda: scene.bend_order(slot, counterparty=slot.account),
    ]


def break_limits(scene: Scene, side: Side, other: Side) -> Sequence[Bend]:
    """A unit beyond the limit."""
    limit = scene.order(find_slot(side, scene)).price
    return [lambda: scene.bend_op(price=limit + side.sign)]


def break_makers_price(scene: Scene, side: Side, other: Side) -> Sequence[Bend]:
    """A unit off the maker's limit, whichever side came first; at the same position that is the buyer."""
    price = scene.decoded.price

    def make(accepted: int, by: int) -> None:
        scene.bend_order(find_slot(side, scene), accepted=accepted, price=price + by)
        scene.bend_order(find_slot(other, scene), accepted=2, price=price)

    earlier = 2 if side == BUYER else 1
    return [partial(make, earlier, by) for by in (-1, 1)]


def break_quantity(scene: Scene, side: Side, other: Side) -> Sequence[Bend]:
    """A lot more than remains."""
    return [lambda: scene.bend_order(find_slot(side, scene), remaining=scene.decoded.quantity - 1)]


def break_post_only(scene: Scene, side: Side, other: Side) -> Sequence[Bend]:
    """The later order may not take; of two that came at once, the seller's is the later."""
    slot = find_slot(side, scene)
    flags = scene.order(slot).flags | FLAG_POST_ONLY

    def take() -> None:
        scene.bend_order(slot, flags=flags, accepted=8)
        scene.bend_order(find_slot(other, scene), accepted=7 if side == BUYER else 8)

    return [take]


def price_in_band(scene: Scene, sign: int, beyond: int) -> None:
    """A price at the end of the band, or so many units beyond it."""
    fair, size = compute_fair_price(scene.ledger, scene.order(find_slot(BUYER, scene)).legs)
    scene.bend_op(price=fair + sign * (size * scene.ledger.get_params().band_ppm // PPM + beyond))


def break_band(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """A unit beyond the band, above and below; or there is no mark, no surface, or nothing that is traded."""
    slot = find_slot(BUYER, scene)
    legs = scene.order(slot).legs
    traded = legs[0][0].underlying

    def forget_surface() -> None:
        future = Instrument(traded, WEEK, 0, FUTURE)
        scene.bend_order(slot, legs=((future, 1),))
        scene.write(expiry_key(traded, WEEK), b"")

    return [
        lambda: price_in_band(scene, 1, 1),
        lambda: price_in_band(scene, -1, 1),
        lambda: price_in_band(scene, 1, rng.randint(1, 10**9)),
        lambda: price_in_band(scene, -1, rng.randint(1, 10**9)),
        lambda: scene.write(underlying_key(traded), b""),
        forget_surface,
        *end_order(scene, slot),
    ]


def break_reduction(side: Side) -> Breaker:
    """A reduce-only order with a lot too few to reduce in one leg, with none, or with lots on the wrong side."""

    def break_it(scene: Scene, rng: random.Random) -> Sequence[Bend]:
        slot, quantity = find_slot(side, scene), scene.decoded.quantity
        order = scene.order(slot)

        def hold(missing: int) -> None:
            hold_enough(scene, side)
            instrument, ratio = rng.choice(order.legs)
            lots = quantity * abs(ratio) - missing * (quantity * abs(ratio) if missing > 1 else 1)
            set_position(scene, slot.account, instrument, -side.sign * (1 if ratio > 0 else -1) * lots)

        return [
            *(partial(hold, missing) for missing in (1, 2)),
            lambda: close_leg(scene, side, rng),
            *end_order(scene, slot),
            lambda: scene.write(account_key(slot.account), b""),
        ]

    return break_it


def hold_enough(scene: Scene, side: Side, more: int = 0) -> None:
    """Let a reduce-only order close, in every leg, all that its account holds, or all but so many lots."""
    slot, quantity = find_slot(side, scene), scene.decoded.quantity
    order = scene.order(slot)
    scene.bend_order(slot, flags=order.flags | FLAG_REDUCE_ONLY)
    for instrument, ratio in order.legs:
        sign = 1 if ratio > 0 else -1
        set_position(scene, slot.account, instrument, -side.sign * sign * (quantity * abs(ratio) + more))


def close_leg(scene: Scene, side: Side, rng: random.Random) -> None:
    """The same, and one leg that the account does not hold."""
    hold_enough(scene, side)
    slot = find_slot(side, scene)
    instrument, _ = rng.choice(scene.order(slot).legs)
    set_position(scene, slot.account, instrument, 0)


def set_position(scene: Scene, account: int, instrument: Instrument, quantity: int) -> None:
    """Let an account hold just so many signed lots of an instrument."""
    positions = dict(scene.account(account).positions) | {instrument: quantity}
    kept = tuple(sorted(item for item in positions.items() if item[1] != 0))
    scene.bend_account(account, positions=kept)


def break_fee(side: Side) -> Breaker:
    """The signed limit is a part in a million below the fee, as maker and as taker; or there is no order."""

    def break_it(scene: Scene, rng: random.Random) -> Sequence[Bend]:
        def ask(accepted: int) -> None:
            scene.bend_params(l1_fee=rng.randint(1, 10**9), maker_fee_ppm=rng.randint(0, PPM))
            scene.bend_order(find_slot(side, scene), accepted=accepted)
            scene.bend_order(find_slot(side, scene), max_fee_ppm=compute_least_fee_limit(side, scene) - 1)

        traded = scene.order(find_slot(side, scene)).legs[0][0].underlying
        return [
            partial(ask, 0),
            partial(ask, NEVER),
            *end_order(scene, find_slot(side, scene)),
            lambda: scene.write(underlying_key(traded), b""),
        ]

    return break_it


def compute_base(scene: Scene) -> int:
    """Quote units a lot that the fees of the fill are a part of."""
    buy, _ = get_orders(scene.ledger, scene.decoded)
    return compute_fee_base(buy, scene.decoded.price, scene.underlying(buy.legs[0][0].underlying))


def compute_least_fee_limit(side: Side, scene: Scene) -> int:
    """The lowest max_fee_ppm that allows this side's fee."""
    fill, base = scene.decoded, compute_base(scene)
    fee = compute_side_fee(side, fill.quantity, base, *get_orders(scene.ledger, fill), scene.ledger.get_params())
    return -(-fee * PPM // (fill.quantity * base))


def compute_cash_change(side: Side, scene: Scene) -> int:
    """What the fill does to this side's cash."""
    outcome = compute_outcome(side, scene.ledger, scene.decoded)
    return outcome.after.cash - outcome.before.cash


def overfill_cash(scene: Scene, side: Side, beyond: int) -> None:
    """Cash `beyond` units above its cap after the fill; below, when `beyond` is negative."""
    cap = CASH_MAX if beyond > 0 else -CASH_MAX
    scene.bend_account(find_slot(side, scene).account, cash=cap + beyond - compute_cash_change(side, scene))


def overfill_quantity(scene: Scene, side: Side, beyond: int) -> None:
    """A position `beyond` lots above its cap after the fill."""
    slot = find_slot(side, scene)
    quantity = side.sign * (QUANTITY_MAX + beyond - scene.decoded.quantity)
    set_position(scene, slot.account, scene.order(slot).legs[0][0], quantity)


def list_crowds(legs: Sequence[tuple[Instrument, int]], beyond: int) -> list[list[Instrument]]:
    """Other instruments, with which positions, underlyings or expiries are `beyond` their cap after the fill."""
    traded = legs[0][0].underlying
    pairs = {(traded, instrument.expiry) for instrument, _ in legs}
    return [
        [Instrument(traded, 1, strike, FUTURE) for strike in range(POSITIONS_MAX + beyond - len(legs))],
        [perpetual(100 + i) for i in range(ACCOUNT_UNDERLYINGS_MAX + beyond - 1)],
        [Instrument(traded, 1 + i, 5, FUTURE) for i in range(ACCOUNT_EXPIRIES_MAX + beyond - len(pairs))],
    ]


def overfill_counts(scene: Scene, side: Side, beyond: int) -> Sequence[Bend]:
    """Each of the counts `beyond` its cap after the fill."""
    slot = find_slot(side, scene)
    crowds = list_crowds(scene.order(slot).legs, beyond)
    held = [tuple(sorted((instrument, 1) for instrument in crowd)) for crowd in crowds]
    return [partial(scene.bend_account, slot.account, positions=positions) for positions in held]


def break_fit(side: Side) -> Breaker:
    """One too many of something; or a subject that does not exist."""

    def break_it(scene: Scene, rng: random.Random) -> Sequence[Bend]:
        slot = find_slot(side, scene)
        return [
            lambda: overfill_cash(scene, side, rng.randint(1, 9)),
            lambda: overfill_cash(scene, side, -rng.randint(1, 9)),
            lambda: overfill_quantity(scene, side, 1),
            *overfill_counts(scene, side, 1),
            *end_order(scene, slot),
            lambda: scene.write(account_key(slot.account), b""),
            lambda: scene.write(underlying_key(scene.order(slot).legs[0][0].underlying), b""),
        ]

    return break_it


def compute_excess(side: Side, scene: Scene) -> int:
    """What is left above initial margin after the fill, negative when it falls short."""
    ledger, fill = scene.ledger, scene.decoded
    params, time = ledger.get_params(), ledger.get_globals().time
    account = ledger.require_account(side.slot(fill).account)
    traded = [instrument for instrument, _ in get_orders(ledger, fill)[0].legs]
    quotes = drop_stale_spots(read_quotes(ledger, account, params, traded), time, params)
    return compute_account_margin(compute_outcome(side, ledger, fill).after, quotes, time, params).initial


def leave_excess(scene: Scene, side: Side, excess: int) -> None:
    """Give the account the cash with which just `excess` is left after the fill."""
    account = find_slot(side, scene).account
    cash = scene.account(account).cash + excess - compute_excess(side, scene)
    scene.bend_account(account, cash=cash)


def grow_position(scene: Scene, side: Side, rng: random.Random) -> None:
    """Let the fill add to what the account holds, or open it, or turn it around."""
    slot, quantity = find_slot(side, scene), scene.decoded.quantity
    held = side.sign * rng.choice((0, rng.randint(1, 99), -(quantity - 1) // 2))
    set_position(scene, slot.account, scene.order(slot).legs[0][0], held)


def shrink_position(scene: Scene, side: Side, rng: random.Random) -> None:
    """Let the fill take from what the account holds of the underlying, all or in part, where nothing hedges it."""
    slot, quantity = find_slot(side, scene), scene.decoded.quantity
    traded = scene.order(slot).legs[0][0]
    others = [held for held in scene.account(slot.account).positions if held[0].underlying != traded.underlying]
    scene.bend_account(slot.account, positions=tuple(others))
    held = -side.sign * (quantity + rng.choice((0, rng.randint(1, 2_000))))
    set_position(scene, slot.account, traded, held)


def trade_at_mark(scene: Scene, side: Side, loss_ppm: int = 0) -> None:
    """Let the fill cost nothing but `loss_ppm` of the notional."""
    traded = scene.order(find_slot(side, scene)).legs[0][0].underlying
    mark = scene.underlying(traded).mark // 1000 * 1000
    scene.bend_underlying(traded, mark=mark)
    scene.bend_params(l1_fee=0, maker_fee_ppm=0, taker_fee_ppm=0)
    scene.bend_op(price=mark + side.sign * mark * loss_ppm // PPM)


def name_worst(scene: Scene) -> None:
    """Let the op name the scenarios that a sequencer would."""
    scene.bend_bytes(claim_fill(scene.ledger, scene.decoded).encode())


def break_margin(side: Side) -> Breaker:
    """Short, or at prices too old, and the position grows, turns, or loses all the margin that it frees."""

    def break_it(scene: Scene, rng: random.Random) -> Sequence[Bend]:
        slot = find_slot(side, scene)
        traded = scene.order(slot).legs[0][0]

        def grow_short(shortfall: int) -> None:
            grow_position(scene, side, rng)
            leave_excess(scene, side, -shortfall)

        def grow_blindly(underlying: int) -> None:
            grow_position(scene, side, rng)
            leave_excess(scene, side, rng.randint(0, 10**9) if underlying == traded.underlying else 0)
            now = scene.ledger.get_globals().time
            stale = now - scene.ledger.get_params().price_age_max - 1
            scene.bend_underlying(underlying, oracle_time=stale)

        def grow_halted() -> None:
            grow_position(scene, side, rng)
            leave_excess(scene, side, rng.randint(0, 10**9))
            scene.bend_underlying(traded.underlying, halted_until=scene.ledger.get_globals().time + 1)

        def shrink_dearly() -> None:
            shrink_position(scene, side, rng)
            price = scene.decoded.price
            scene.bend_op(price=price * 5 if side == BUYER else price // 5)
            leave_excess(scene, side, -rng.randint(1, 10**9))
            name_worst(scene)

        def shrink_in_vain() -> None:
            shrink_position(scene, side, rng)
            # The shocks of the parameters are 10 %: a loss of as much leaves the account just as short.
            trade_at_mark(scene, side, loss_ppm=100_000)
            leave_excess(scene, side, -rng.randint(1, 10**9))
            name_worst(scene)

        def turn_around() -> None:
            scene.bend_op(quantity=3 * rng.randint(1, 99))
            trade_at_mark(scene, side)
            set_position(scene, slot.account, traded, -side.sign * scene.decoded.quantity * 2 // 3)
            leave_excess(scene, side, -rng.randint(1, 10**9))

        held = [asset for asset, _ in scene.account(slot.account).collateral]
        needed = [traded.underlying, *(scene.ledger.get_params().assets[asset].underlying for asset in held)]
        return [
            lambda: grow_short(1),
            lambda: grow_short(rng.randint(2, 10**9)),
            lambda: grow_blindly(rng.choice(needed)),
            grow_halted,
            shrink_dearly,
            shrink_in_vain,
            turn_around,
            *end_order(scene, slot),
            lambda: scene.write(account_key(slot.account), b""),
            lambda: scene.write(underlying_key(needed[-1]), b""),
        ]

    return break_it


def break_open_interest(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """A lot more than may be open, where the fill opens something; or a subject that does not exist."""
    buyer, seller = find_slot(BUYER, scene), find_slot(SELLER, scene)
    traded = scene.order(buyer).legs[0][0].underlying

    def open_too_much(beyond: int) -> None:
        opened = open_interest_by_fill(scene)
        limit_open_interest(scene, scene.underlying(traded).open_interest + opened - beyond)

    return [
        lambda: open_too_much(1),
        lambda: open_too_much(open_interest_by_fill(scene)),
        *end_order(scene, buyer),
        *(partial(scene.write, account_key(slot.account), b"") for slot in (buyer, seller)),
        lambda: scene.write(underlying_key(traded), b""),
    ]


def open_interest_by_fill(scene: Scene) -> int:
    """Let both sides open what they trade; answers how many long lots there are more then."""
    legs = scene.order(find_slot(BUYER, scene)).legs
    for side in (BUYER, SELLER):
        for instrument, _ in legs:
            set_position(scene, find_slot(side, scene).account, instrument, 0)
    return scene.decoded.quantity * sum(abs(ratio) for _, ratio in legs)


def limit_open_interest(scene: Scene, lots: int) -> None:
    """Let the traded underlying have at most so many lots open."""
    traded = scene.order(find_slot(BUYER, scene)).legs[0][0].underlying
    terms = list(scene.ledger.get_params().underlyings)
    terms[traded] = terms[traded]._replace(open_interest_max=lots)
    scene.bend_params(underlyings=tuple(terms))


def break_liveness(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """An expiry has come; or there is no order."""
    slot = find_slot(BUYER, scene)
    legs = scene.order(slot).legs
    future = Instrument(legs[0][0].underlying, WEEK, 0, FUTURE)

    def expire(late: int) -> None:
        scene.bend_order(slot, legs=rng.choice((((future, 1),), ((perpetual(future.underlying), 1), (future, -1)))))
        scene.bend_globals(time=WEEK + late)

    return [lambda: expire(0), lambda: expire(rng.randint(1, 10**6)), *end_order(scene, slot)]


BREAKS: dict[Code, Breaker] = {
    Code.FILL_MUST_DECODE: break_bytes(break_fields),
    Code.FILL_POSITION_MUST_INCREASE: break_position,
    Code.FILL_MUST_NOT_BE_CANCEL_ONLY: break_cancel_only,
    Code.FILL_ACCOUNTS_MUST_DIFFER: break_accounts,
    Code.FILL_BUY_ORDER_MUST_BE_LIVE: break_life(BUYER),
    Code.FILL_SELL_ORDER_MUST_BE_LIVE: break_life(SELLER),
    Code.FILL_SIDES_MUST_OPPOSE: break_both(break_sides),
    Code.FILL_COUNTERPARTY_MUST_MATCH: break_both(break_counterparty),
    Code.FILL_PRICE_MUST_KEEP_LIMITS: break_both(break_limits),
    Code.FILL_PRICE_MUST_BE_MAKERS: break_both(break_makers_price),
    Code.FILL_QUANTITY_MUST_REMAIN: break_both(break_quantity),
    Code.FILL_TAKER_MUST_NOT_BE_POST_ONLY: break_both(break_post_only),
    Code.FILL_PRICE_MUST_BE_IN_BAND: break_band,
    Code.FILL_BUYER_MUST_REDUCE: break_reduction(BUYER),
    Code.FILL_SELLER_MUST_REDUCE: break_reduction(SELLER),
    Code.FILL_BUYER_FEE_MUST_KEEP_LIMIT: break_fee(BUYER),
    Code.FILL_SELLER_FEE_MUST_KEEP_LIMIT: break_fee(SELLER),
    Code.FILL_BUYER_MUST_FIT: break_fit(BUYER),
    Code.FILL_SELLER_MUST_FIT: break_fit(SELLER),
    Code.FILL_BUYER_MARGIN_MUST_HOLD: break_margin(BUYER),
    Code.FILL_SELLER_MARGIN_MUST_HOLD: break_margin(SELLER),
    Code.FILL_OPEN_INTEREST_MUST_FIT: break_open_interest,
    Code.FILL_INSTRUMENTS_MUST_BE_LIVE: break_liveness,
}

MARGIN_CODES = (Code.FILL_BUYER_MARGIN_MUST_HOLD, Code.FILL_SELLER_MARGIN_MUST_HOLD)


def find_valid_fill(world: World, rng: random.Random, is_plain: bool = False) -> Scene:
    """Two orders that cross, and their fill, which every check lets pass; a plain one is of a perpetual alone."""
    while True:
        fill = place_crossing_orders(world, rng)
        if isinstance(world.judge(fill), Valid):
            scene = Scene(world.here, world.state.leaves, fill)
            if not is_plain or [leg.expiry for leg, _ in scene.order(find_slot(BUYER, scene)).legs] == [0]:
                return scene


# Stories


def test_no_ground_convicts_an_honest_fill(court: Court, seed: int) -> None:
    """Whatever the market did, every check of every fill holds and its root is the one that was claimed."""
    world = open_random_market(seed)
    play_random_trades(world, random.Random(seed), 15)
    fills = [step for step in world.steps if step.op[0] == Kind.FILL]
    assert len(fills) == 15
    for step in fills:
        court.assert_acquits(step)


def test_any_other_root_convicts(court: Court, world: World) -> None:
    """A fill that claims any root but that of its effects falls to EFFECT."""
    for step in world.steps:
        if step.op[0] == Kind.FILL:
            court.assert_convicts_root(step)


@pytest.mark.parametrize("code", BREAKS, ids=lambda code: code.name)
def test_a_failed_check_convicts(court: Court, world: World, seed: int, code: Code) -> None:
    """Each check, broken in every known way, convicts the fill that passed it until then."""
    rng = random.Random(seed)
    find = partial(find_valid_fill, world, rng, code in MARGIN_CODES)
    assert_breaks(court, find, code, BREAKS[code], rng, ROUNDS)


def test_every_check_is_broken() -> None:
    """Of the kinds here none is left out."""
    assert set(BREAKS) == {code for code in Code if code // 100 == Kind.FILL}


Limit = Callable[[Scene, random.Random, Side], None]


def limit_life(scene: Scene, rng: random.Random, side: Side) -> None:
    """The last second of the order."""
    scene.bend_order(find_slot(side, scene), valid_until=scene.ledger.get_globals().time)


def limit_cancel_only(scene: Scene, rng: random.Random, side: Side) -> None:
    """The first second at which fills may be."""
    scene.bend_globals(cancel_only_until=scene.ledger.get_globals().time)


def limit_position(scene: Scene, rng: random.Random, side: Side) -> None:
    """The last position of the batch's log, and the first that is free."""
    position = scene.decoded.position
    scene.bend_globals(next_position=position)
    scene.bend_header(position_to=position + 1)


def limit_quantity(scene: Scene, rng: random.Random, side: Side) -> None:
    """All that remains."""
    scene.bend_order(find_slot(side, scene), remaining=scene.decoded.quantity)


def limit_reduction(scene: Scene, rng: random.Random, side: Side) -> None:
    """A reduce-only order that closes the whole position in every leg, or all but something."""
    hold_enough(scene, side, rng.choice((0, rng.randint(1, 99))))


def limit_band(scene: Scene, rng: random.Random, side: Side) -> None:
    """The price as far from the marks as the band allows."""
    price_in_band(scene, side.sign, 0)


def limit_open(scene: Scene, rng: random.Random, side: Side) -> None:
    """As many lots open as may be."""
    opened = open_interest_by_fill(scene)
    traded = scene.order(find_slot(BUYER, scene)).legs[0][0].underlying
    limit_open_interest(scene, scene.underlying(traded).open_interest + opened)


def limit_life_of_legs(scene: Scene, rng: random.Random, side: Side) -> None:
    """The last second before the expiry."""
    slot = find_slot(BUYER, scene)
    future = Instrument(scene.order(slot).legs[0][0].underlying, WEEK, 0, FUTURE)
    scene.bend_order(slot, legs=((future, 1),))
    scene.bend_globals(time=WEEK - 1)


def limit_fee(scene: Scene, rng: random.Random, side: Side) -> None:
    """The fee as high as was signed for, to the unit where the notional divides evenly."""
    scene.bend_params(l1_fee=rng.randint(1, 10**6))
    if rng.random() < 0.5:
        scene.bend_op(quantity=1_000, price=scene.decoded.price // 1_000 * 1_000)
        notional_millionth = scene.decoded.quantity * compute_base(scene) // PPM
        scene.bend_params(maker_fee_ppm=0, taker_fee_ppm=0, l1_fee=notional_millionth * rng.randint(1, 999))
    scene.bend_order(find_slot(side, scene), max_fee_ppm=compute_least_fee_limit(side, scene))


def limit_fit(scene: Scene, rng: random.Random, side: Side) -> None:
    """Cash, quantity or a count just at its cap."""
    account = find_slot(side, scene).account
    cash = rng.choice((-CASH_MAX, CASH_MAX)) - compute_cash_change(side, scene)
    ways = [
        lambda: scene.bend_account(account, cash=cash),
        lambda: overfill_quantity(scene, side, 0),
        *overfill_counts(scene, side, 0),
    ]
    rng.choice(ways)()


def limit_margin(scene: Scene, rng: random.Random, side: Side) -> None:
    """Equity just what initial margin asks for, at prices just young enough."""
    now = scene.ledger.get_globals()
    oldest = now.time - scene.ledger.get_params().price_age_max
    traded = scene.order(find_slot(BUYER, scene)).legs[0][0].underlying
    scene.bend_underlying(traded, oracle_time=oldest)
    leave_excess(scene, side, 0)


def limit_shrink(scene: Scene, rng: random.Random, side: Side) -> None:
    """Far short of margin, but smaller and a unit a lot less short after the fill, at whatever age of prices; the op
    names the scenarios in which it was."""
    shrink_position(scene, side, rng)
    trade_at_mark(scene, side, loss_ppm=100_000)
    scene.bend_op(price=scene.decoded.price - side.sign)
    traded = scene.order(find_slot(BUYER, scene)).legs[0][0].underlying
    scene.bend_underlying(traded, oracle_time=0)
    leave_excess(scene, side, -rng.randint(1, 10**9))
    name_worst(scene)


LIMITS: list[tuple[Limit, Code, Code]] = [
    (limit_life, Code.FILL_BUY_ORDER_MUST_BE_LIVE, Code.FILL_SELL_ORDER_MUST_BE_LIVE),
    (limit_cancel_only, Code.FILL_MUST_NOT_BE_CANCEL_ONLY, Code.FILL_MUST_NOT_BE_CANCEL_ONLY),
    (limit_position, Code.FILL_POSITION_MUST_INCREASE, Code.FILL_POSITION_MUST_INCREASE),
    (limit_quantity, Code.FILL_QUANTITY_MUST_REMAIN, Code.FILL_QUANTITY_MUST_REMAIN),
    (limit_reduction, Code.FILL_BUYER_MUST_REDUCE, Code.FILL_SELLER_MUST_REDUCE),
    (limit_band, Code.FILL_PRICE_MUST_BE_IN_BAND, Code.FILL_PRICE_MUST_BE_IN_BAND),
    (limit_fee, Code.FILL_BUYER_FEE_MUST_KEEP_LIMIT, Code.FILL_SELLER_FEE_MUST_KEEP_LIMIT),
    (limit_fit, Code.FILL_BUYER_MUST_FIT, Code.FILL_SELLER_MUST_FIT),
    (limit_margin, Code.FILL_BUYER_MARGIN_MUST_HOLD, Code.FILL_SELLER_MARGIN_MUST_HOLD),
    (limit_open, Code.FILL_OPEN_INTEREST_MUST_FIT, Code.FILL_OPEN_INTEREST_MUST_FIT),
    (limit_life_of_legs, Code.FILL_INSTRUMENTS_MUST_BE_LIVE, Code.FILL_INSTRUMENTS_MUST_BE_LIVE),
    (limit_shrink, Code.FILL_BUYER_MARGIN_MUST_HOLD, Code.FILL_SELLER_MARGIN_MUST_HOLD),
]


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit[0].__name__)
def test_what_is_just_allowed_does_not_convict(
    court: Court, world: World, seed: int, limit: tuple[Limit, Code, Code]
) -> None:
    """At the very bound of a rule the contract lets the fill pass, to the last unit and on both sides."""
    rng = random.Random(seed)
    bend, of_buyer, of_seller = limit
    for _ in range(5):
        for side, code in ((BUYER, of_buyer), (SELLER, of_seller)):
            scene = find_valid_fill(world, rng, is_plain=bend is limit_shrink)
            bend(scene, rng, side)
            assert_acquits(court, scene, code)
            court.judge(dispute(scene.played, EFFECT))


def test_margin_of_any_legs_is_judged_to_the_unit(court: Court, world: World, seed: int) -> None:
    """Whatever is traded, with what is just enough the fill stands, and with a unit less it falls; both judges agree
    also where legs shrink what is held."""
    rng = random.Random(seed)
    for _ in range(8):
        for side, code in ((BUYER, MARGIN_CODES[0]), (SELLER, MARGIN_CODES[1])):
            scene = find_valid_fill(world, rng)
            leave_excess(scene, side, 0)
            assert_acquits(court, scene, code)
            leave_excess(scene, side, -1)
            court.judge(dispute(scene.played, check_ground(code)))
            hold_enough(scene, side, rng.choice((0, 7)))
            leave_excess(scene, side, -rng.randint(1, 10**12))
            court.judge(dispute(scene.played, check_ground(code)))
            scene.bend_underlying(scene.order(find_slot(side, scene)).legs[0][0].underlying, oracle_time=0)
            court.judge(dispute(scene.played, check_ground(code)))


def find_option_fill(world: World, rng: random.Random) -> Scene:
    """A valid fill with an option among what it trades."""
    while True:
        scene = find_valid_fill(world, rng)
        if any(leg.is_option for leg, _ in scene.order(find_slot(BUYER, scene)).legs):
            return scene


def sink_and_shrink(scene: Scene, side: Side, rng: random.Random) -> None:
    """Let the side be short of margin, and the fill shrink each leg of what it holds, near its mark and free of fees;
    the op names the scenarios in which the side was worst off."""
    hold_enough(scene, side, rng.choice((0, 7)))
    scene.bend_params(l1_fee=0, maker_fee_ppm=0, taker_fee_ppm=0)
    fair, size = compute_fair_price(scene.ledger, scene.order(find_slot(BUYER, scene)).legs)
    scene.bend_op(price=fair + side.sign * size * rng.choice((0, 0, 50_000, 500_000)) // PPM)
    leave_excess(scene, side, -rng.randint(1, 10**12))
    name_worst(scene)


def name_others(scene: Scene, side: Side, active: bytes) -> None:
    """Let the op name these scenarios for a side."""
    scene.bend_op(**{"buyer_active" if side == BUYER else "seller_active": active})


@pytest.mark.parametrize("side", [BUYER, SELLER], ids=["buyer", "seller"])
def test_a_short_side_shrinks_in_the_scenarios_that_it_names(
    court: Court, option_world: World, seed: int, side: Side
) -> None:
    """Where it was as short as the op shows, its fill stands if it is less short behind it and falls if it is not.
    Where the op names none, or others, it was less short than it was, and its fill may fall, but never the other way
    round; no scenarios that a proof exhibits instead change a verdict."""
    rng, code = random.Random(seed), MARGIN_CODES[side == SELLER]
    stood = fell = fell_by_name = 0
    while min(stood, fell, fell_by_name) < 4:
        scene = find_option_fill(option_world, rng)
        sink_and_shrink(scene, side, rng)
        fails = judge_any_exhibit(court, scene, code, rng)
        stood, fell = stood + (not fails), fell + fails
        for active in (NO_ACTIVE, draw_active(rng)):
            name_others(scene, side, active)
            fails_by_name = judge_any_exhibit(court, scene, code, rng)
            assert fails_by_name >= fails
            fell_by_name += fails_by_name > fails


@pytest.mark.parametrize("side", [BUYER, SELLER], ids=["buyer", "seller"])
def test_no_exhibit_speaks_against_a_margined_side(court: Court, option_world: World, seed: int, side: Side) -> None:
    """To the unit: with what is just enough the fill stands under any scenarios, and with a unit less it falls under
    the worst, whatever the op names."""
    rng, code = random.Random(seed), MARGIN_CODES[side == SELLER]
    for _ in range(6):
        scene = find_option_fill(option_world, rng)
        name_others(scene, side, rng.choice((NO_ACTIVE, draw_active(rng))))
        leave_excess(scene, side, 0)
        assert not judge_any_exhibit(court, scene, code, rng)
        set_position(scene, find_slot(side, scene).account, scene.order(find_slot(side, scene)).legs[0][0], 0)
        leave_excess(scene, side, -1)
        assert judge_any_exhibit(court, scene, code, rng)


def test_a_fill_that_names_nothing_has_no_tail(court: Court, world: World, seed: int) -> None:
    """Sixteen zeros behind a fill are no fill, nor is any other number of bytes: it cannot be said in two ways."""
    rng = random.Random(seed)
    scene = find_valid_fill(world, rng)
    plain = scene.op
    assert len(plain) == 37
    for tail, decodes in (
        (bytes(16), False),
        (bytes(15) + b"\1", True),
        (b"\1" + bytes(15), True),
        (rng.randbytes(15) + b"\1", True),
        (b"\1", False),
        (b"\1" * 8, False),
        (b"\1" * 15, False),
        (b"\1" * 17, False),
    ):
        scene.bend_bytes(plain + tail)
        assert (scene.decoded is not None) is decodes
        assert court.judge(dispute(scene.played, check_ground(Code.FILL_MUST_DECODE))) is not decodes
        for ground in rng.sample(list_grounds(Kind.FILL), 5):
            court.judge(dispute(scene.played, ground))
    scene.bend_bytes(plain + b"\1" * 16)
    assert_same_effect(court, scene)


def test_bad_debt_is_repaid_before_a_fee_is_earned(court: Court, world: World, seed: int) -> None:
    """Of the fees as much repays as is owed, and no more."""
    rng = random.Random(seed)
    for owed in (1, 10**4, 10**12):
        scene = find_valid_fill(world, rng)
        scene.bend_books(bad_debt=owed)
        assert_same_effect(court, scene)


def test_a_fill_with_oneself_falls_to_its_check_alone(court: Court, world: World, seed: int) -> None:
    """One account on both sides, in one slot or two: both judges agree on every ground, and EFFECT shows nothing."""
    rng = random.Random(seed)
    for number in range(len(break_accounts(find_valid_fill(world, rng), rng))):
        scene = find_valid_fill(world, rng)
        break_accounts(scene, rng)[number]()
        verdicts = {ground: court.judge(dispute(scene.played, ground)) for ground in list_grounds(Kind.FILL)}
        assert verdicts[check_ground(Code.FILL_ACCOUNTS_MUST_DIFFER)]
        assert not verdicts[EFFECT]


def test_judges_agree_on_any_bytes(court: Court, world: World, seed: int) -> None:
    """On fills with random bytes in random places both judges say the same on every ground, and none reverts."""
    rng = random.Random(seed)
    verdicts = assert_agrees_on_any_bytes(court, partial(find_valid_fill, world, rng), rng, 60, grounds_max=8)
    assert min(verdicts[True], verdicts[False]) > 20, verdicts


def test_a_corrupted_witness_never_convicts(court: Court, world: World, seed: int) -> None:
    """No change of a witness makes an honest fill look wrong: the contract reverts, or shows nothing."""
    rng = random.Random(seed)
    steps = [step for step in world.steps if step.op[0] == Kind.FILL]
    assert_corruption_shows_nothing(court, steps, rng, 150)


def test_an_unknown_check_or_ground_shows_nothing(court: Court, world: World) -> None:
    """Neither a check number that fills do not have, nor a ground that does not exist, convicts an honest fill."""
    court.assert_knows_nothing_else(next(step for step in world.steps if step.op[0] == Kind.FILL))

"""Orders and cancels before the contract: honest ones stand, wrong ones fall, and both judges agree."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from state.codes import Code, Kind
from state.constants import ACCOUNTS_MAX, FEE_PPM_MAX, NEVER, PRICE_MAX, QUANTITY_MAX
from state.leaves import CALL, FUTURE, SCOPE_TRADE, Instrument, Order, decode_order, perpetual
from state.operations import Cancel, OrderOp
from state.transition import Valid
from state.tree import expiry_key, order_key
from tests.contracts.breakers import (
    bend_signed,
    break_account,
    break_bytes,
    break_cancel_only,
    break_key,
    break_position,
    break_signature,
)
from tests.contracts.court import Court
from tests.contracts.scene import (
    PEOPLE,
    SPOTS,
    Bend,
    Breaker,
    Scene,
    assert_acquits,
    assert_agrees_on_any_bytes,
    assert_breaks,
    assert_corruption_shows_nothing,
    draw_legs,
    open_random_market,
    play_random_trades,
)
from tests.world import WEEK, World

ROUNDS = 20
"""How often every check is violated, at least; and in each known way."""

MARKET_KINDS = (Kind.ORDER, Kind.CANCEL)


@pytest.fixture(scope="module")
def court() -> Court:
    """The contracts, deployed once: they have no state."""
    return Court("verify_market")


@pytest.fixture
def world(seed: int) -> World:
    """A market in full swing."""
    world = open_random_market(seed)
    play_random_trades(world, random.Random(seed), 4)
    return world


# Valid ops


def sign_new_order(world: World, rng: random.Random) -> OrderOp:
    """An order that may be registered; what it costs in all may be nothing, or less."""
    legs = draw_legs(world, rng)
    prices = (1, rng.randint(1, 10**8), PRICE_MAX - 1) + ((0, 1 - PRICE_MAX) if len(legs) > 1 else ())
    return world.sign_order(
        rng.choice(PEOPLE),
        legs,
        rng.choice((-1, 1)) * rng.choice((1, rng.randint(1, 10**6), QUANTITY_MAX)),
        rng.choice(prices),
        rng.randrange(1024),
        max_fee_ppm=rng.randint(0, FEE_PPM_MAX),
        counterparty=rng.randrange(ACCOUNTS_MAX),
        flags=rng.randrange(8),
    )


def sign_new_cancel(world: World, rng: random.Random) -> Cancel:
    """A cancel of an order just placed, or of a slot never used."""
    name, slot = rng.choice(PEOPLE), rng.randrange(1024)
    if rng.random() < 0.7:
        world.place(name, rng.randrange(len(SPOTS)), 5, 1_000, slot)
    return world.sign_cancel(name, slot)


SIGN_NEW: dict[Kind, Callable[[World, random.Random], Any]] = {
    Kind.ORDER: sign_new_order,
    Kind.CANCEL: sign_new_cancel,
}


def find_valid_op(world: World, rng: random.Random, kind: Kind) -> Scene:
    """An op that every check lets pass."""
    op = SIGN_NEW[kind](world, rng)
    assert isinstance(world.judge(op), Valid)
    return Scene(world.here, world.state.leaves, op)


# The rules, each broken in every way that we know


def break_slot(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """An account or a slot that there cannot be, a counter of 0, a key beyond the last."""
    changes = ({"account": 0}, {"account": ACCOUNTS_MAX}, {"slot": 1024}, {"counter": 0})
    ways = [partial(bend_signed, scene, **change) for change in changes]
    return [*ways, lambda: scene.bend_op(key_index=8)]


def break_terms(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """Terms that no order may have."""
    call, future = Instrument(0, WEEK, 170_000, CALL), Instrument(0, WEEK, 0, FUTURE)
    legs: tuple[tuple[tuple[Instrument, int], ...], ...] = (
        (),
        ((future, 1), (future, 1)),
        ((call, 1), (future, 1)),
        ((future, -1),),
        ((future, 0),),
        ((future, 2),),
        ((future, 2), (call, 4)),
        ((future, 1), (call, 17)),
        ((future, 1), (call, -17)),
        ((future, -1), (call, 1)),
        ((perpetual(0), 1), (perpetual(1), 1)),
        ((perpetual(0), 1), (call, 1), (call._replace(strike=180_000), 1), (call._replace(strike=190_000), 0)),
        ((future._replace(underlying=64), 1),),
        ((future._replace(expiry=WEEK + 1), 1),),
        ((future._replace(expiry=0), 1),),
        ((future._replace(strike=1), 1),),
        ((call._replace(strike=0), 1),),
        ((call._replace(strike=100_100), 1),),
        ((call._replace(kind=4), 1),),
        ((call._replace(kind=0), 1),),
        ((perpetual(0)._replace(expiry=WEEK), 1),),
        ((perpetual(0)._replace(strike=1), 1),),
    )
    changes: tuple[dict[str, Any], ...] = (
        {"flags": 8},
        {"price": 0, "legs": ((future, 1),)},
        {"price": -1, "legs": ((future, 1),)},
        {"price": PRICE_MAX},
        {"price": -PRICE_MAX, "legs": ((future, 1), (call, 1))},
        {"size": 0},
        {"size": QUANTITY_MAX + 1},
        {"max_fee_ppm": FEE_PPM_MAX + 1},
        {"counterparty": ACCOUNTS_MAX},
        *({"legs": bent} for bent in legs),
    )
    miscounted = bytearray(scene.op)
    miscounted[72] = miscounted[72] % 4 + 1
    ways = [partial(bend_signed, scene, **change) for change in changes]
    return [*ways, partial(scene.bend_bytes, bytes(miscounted))]


def break_listing(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """The underlying is the first that is not listed, or an expiry is not there, or has come."""
    underlying = scene.decoded.terms.legs[0][0].underlying

    def trade_dated() -> None:
        bend_signed(scene, price=1, legs=((Instrument(underlying, WEEK, 0, FUTURE), 1),))

    def expire(late: int) -> None:
        trade_dated()
        scene.bend_expiry(underlying, WEEK, time=1)
        scene.bend_globals(time=WEEK + late)

    def forget() -> None:
        trade_dated()
        scene.write(expiry_key(underlying, WEEK), b"")

    return [
        lambda: scene.bend_globals(underlying_count=underlying),
        lambda: expire(0),
        lambda: expire(rng.randint(1, 10**6)),
        forget,
    ]


def break_acceptance(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """Accepted after it is registered."""
    return [lambda: scene.bend_op(accepted=scene.decoded.position + 1), lambda: scene.bend_op(accepted=NEVER)]


def break_generation(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """Signed for the generation before, or for one to come."""
    generation = scene.ledger.get_globals().generation
    others = (generation + 1, generation - 1, 1 << 31)
    return [partial(scene.bend_globals, generation=other) for other in others]


def break_epoch(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """A cancel-all came between; or nobody has this account."""
    account = scene.decoded.account
    epoch = scene.account(account).epoch
    return [
        lambda: scene.bend_account(account, epoch=epoch + rng.randint(1, 9)),
        lambda: bend_signed(scene, epoch=epoch + 1),
        *break_account(scene, rng),
    ]


def break_expiry(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """A second after its last, or long after."""
    last = scene.decoded.terms.valid_until
    return [lambda: scene.bend_globals(time=last + 1), lambda: scene.bend_globals(time=last + 10**6)]


def break_order_counter(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """The slot has seen this counter, whether its order lives, was filled or was cancelled."""
    terms, order = scene.decoded.terms, find_order(scene)
    held = (
        replace(order, counter=terms.counter),
        replace(order, counter=terms.counter, remaining=0),
        Order(counter=terms.counter),
        replace(order, counter=terms.counter + 1),
        Order(counter=NEVER),
    )
    return [partial(scene.write, order_key(terms.account, terms.slot), other.encode()) for other in held]


def break_cancel_counter(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """The slot has seen a higher counter, or this one and nothing lives under it."""
    cancel, order = scene.decoded, find_order(scene)
    held = (
        replace(order, counter=cancel.counter + 1),
        Order(counter=NEVER),
        replace(order, counter=cancel.counter, remaining=0),
        Order(counter=cancel.counter),
    )
    return [partial(scene.write, order_key(cancel.account, cancel.slot), other.encode()) for other in held]


def find_order(scene: Scene) -> Order:
    """Any registered order of the state, to be put elsewhere."""
    first = order_key(0, 0)
    orders = (decode_order(data) for key, data in scene.leaves.items() if first <= key < 2 * first)
    return next(order for order in orders if order is not None and order.legs)


BREAKS: dict[Code, Breaker] = {
    Code.ORDER_MUST_DECODE: break_bytes(break_slot, break_terms),
    Code.ORDER_POSITION_MUST_INCREASE: break_position,
    Code.ORDER_ACCEPTED_MUST_NOT_FOLLOW: break_acceptance,
    Code.ORDER_ACCOUNT_MUST_EXIST: break_account,
    Code.ORDER_GENERATION_MUST_MATCH: break_generation,
    Code.ORDER_MUST_NOT_BE_CANCEL_ONLY: break_cancel_only,
    Code.ORDER_EPOCH_MUST_MATCH: break_epoch,
    Code.ORDER_MUST_NOT_BE_EXPIRED: break_expiry,
    Code.ORDER_INSTRUMENT_MUST_BE_LISTED: break_listing,
    Code.ORDER_COUNTER_MUST_RISE: break_order_counter,
    Code.ORDER_KEY_MUST_BE_LIVE: break_key,
    Code.ORDER_SIGNATURE_MUST_VERIFY: break_signature,
    Code.CANCEL_MUST_DECODE: break_bytes(break_slot),
    Code.CANCEL_POSITION_MUST_INCREASE: break_position,
    Code.CANCEL_ACCOUNT_MUST_EXIST: break_account,
    Code.CANCEL_GENERATION_MUST_MATCH: break_generation,
    Code.CANCEL_COUNTER_MUST_RISE: break_cancel_counter,
    Code.CANCEL_KEY_MUST_BE_LIVE: break_key,
    Code.CANCEL_SIGNATURE_MUST_VERIFY: break_signature,
}


# Stories


def test_no_ground_convicts_an_honest_step(court: Court, world: World) -> None:
    """Whatever the market did, every check of every order and cancel holds and its root is the claimed one."""
    rng = random.Random(world.random.random())
    for kind in MARKET_KINDS * 3:
        world.play(find_valid_op(world, rng, kind).op)
    kinds = Counter(step.op[0] for step in world.steps)
    assert min(kinds[kind] for kind in MARKET_KINDS) >= 3
    for step in world.steps:
        if step.op[0] in MARKET_KINDS:
            court.assert_acquits(step)


def test_any_other_root_convicts(court: Court, world: World, seed: int) -> None:
    """An order or cancel that claims any root but that of its effects falls to EFFECT."""
    rng = random.Random(seed)
    for kind in MARKET_KINDS * 5:
        world.play(find_valid_op(world, rng, kind).op)
        court.assert_convicts_root(world.steps[-1])


@pytest.mark.parametrize("code", BREAKS, ids=lambda code: code.name)
def test_a_failed_check_convicts(court: Court, world: World, seed: int, code: Code) -> None:
    """Each check, broken in every known way, convicts the op that passed it until then."""
    rng = random.Random(seed)
    find = partial(find_valid_op, world, rng, Kind(code // 100))
    assert_breaks(court, find, code, BREAKS[code], rng, ROUNDS)


def test_every_check_is_broken() -> None:
    """Of the kinds here none is left out."""
    assert set(BREAKS) == {code for code in Code if code // 100 in MARKET_KINDS}


def test_what_is_just_allowed_does_not_convict(court: Court, world: World, seed: int) -> None:
    """The last second of an order and of its key is still good, and the last before its legs expire."""
    rng = random.Random(seed)
    for _ in range(5):
        scene = find_valid_op(world, rng, Kind.ORDER)
        scene.bend_globals(time=scene.decoded.terms.valid_until, cancel_only_until=scene.decoded.terms.valid_until)
        assert_acquits(court, scene, Code.ORDER_MUST_NOT_BE_EXPIRED)
        assert_acquits(court, scene, Code.ORDER_MUST_NOT_BE_CANCEL_ONLY)
        key = scene.account(scene.decoded.account).keys[0]
        expiry = scene.decoded.terms.valid_until + 1
        scene.bend_account(scene.decoded.account, keys=(key._replace(scope=SCOPE_TRADE, expiry=expiry),))
        assert_acquits(court, scene, Code.ORDER_KEY_MUST_BE_LIVE)
        scene.bend_globals(time=WEEK - 1)
        assert_acquits(court, scene, Code.ORDER_INSTRUMENT_MUST_BE_LISTED)


@pytest.mark.parametrize("kind", MARKET_KINDS, ids=lambda kind: kind.name)
def test_judges_agree_on_any_bytes(court: Court, world: World, seed: int, kind: Kind) -> None:
    """On ops with random bytes in random places both judges say the same on every ground, and none reverts."""
    rng = random.Random(seed)
    verdicts = assert_agrees_on_any_bytes(court, partial(find_valid_op, world, rng, kind), rng, 40, grounds_max=6)
    assert min(verdicts[True], verdicts[False]) > 15, verdicts


def test_a_corrupted_witness_never_convicts(court: Court, world: World, seed: int) -> None:
    """No change of a witness, hints included, makes an honest step look wrong: a revert, or nothing shown."""
    rng = random.Random(seed)
    steps = [step for step in world.steps if step.op[0] in MARKET_KINDS]
    assert_corruption_shows_nothing(court, steps, rng, 150)


def test_an_unknown_check_or_ground_shows_nothing(court: Court, world: World) -> None:
    """Neither a check number that the kind does not have, nor a ground that does not exist, convicts an honest step."""
    for kind in MARKET_KINDS:
        world.play(find_valid_op(world, random.Random(0), kind).op)
        court.assert_knows_nothing_else(world.steps[-1])

"""Readings, orders and cancels before the contract: honest ones stand, wrong ones fall, and both judges agree."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from nacl.signing import SigningKey

from fraud_proofs.grounds import EFFECT
from state.codes import Code, Kind
from state.constants import ACCOUNTS_MAX, FEE_PPM_MAX, NEVER, PRICE_MAX, QUANTITY_MAX
from state.leaves import SCOPE_TRADE, SCOPE_TRANSFER, SCOPE_WITHDRAW, Order, decode_order
from state.ledger import Ledger
from state.operations import Cancel, Oracle, OrderOp, hash_digest
from state.signatures import SECP256K1_ORDER
from state.transition import PROCESSES, Valid
from state.tree import account_key, build_tree, order_key, underlying_key
from tests.contracts.court import Court, claim, dispute, list_grounds
from tests.contracts.scene import (
    PEOPLE,
    SPOTS,
    Bend,
    Breaker,
    Scene,
    assert_acquits,
    assert_breaks,
    open_random_market,
    play_random_trades,
)
from tests.world import World

ROUNDS = 20
"""How often every check is violated, at least; and in each known way."""

VIOLATIONS: Counter[Code] = Counter()
MARKET_KINDS = (Kind.ORACLE, Kind.ORDER, Kind.CANCEL)


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


def sign_new_reading(world: World, rng: random.Random) -> Oracle:
    """A reading that may follow, by two or three of the signers, between the oldest and the furthest that may come."""
    world.tick(rng.randint(1, 60))
    underlying = rng.randrange(len(SPOTS))
    ledger, now = Ledger(world.state.leaves), world.globals.time
    last = ledger.require_underlying(underlying).oracle_time
    params = ledger.get_params()
    time = rng.randint(max(last + 1, now - params.oracle_age_max), now + params.oracle_skew_max)
    spot = SPOTS[underlying] * rng.randint(900, 1100) // 1000
    mark = spot * rng.randint(900, 1100) // 1000
    return world.sign_reading(underlying, spot, mark, time, mask=rng.choice((3, 5, 6, 7)))


def sign_new_order(world: World, rng: random.Random) -> OrderOp:
    """An order that may be registered."""
    return world.sign_order(
        rng.choice(PEOPLE),
        rng.randrange(len(SPOTS)),
        rng.choice((-1, 1)) * rng.choice((1, rng.randint(1, 10**6), QUANTITY_MAX)),
        rng.choice((1, rng.randint(1, 10**8), PRICE_MAX)),
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
    Kind.ORACLE: sign_new_reading,
    Kind.ORDER: sign_new_order,
    Kind.CANCEL: sign_new_cancel,
}


def find_valid_op(world: World, rng: random.Random, kind: Kind) -> Scene:
    """An op that every check lets pass."""
    op = SIGN_NEW[kind](world, rng)
    assert isinstance(world.judge(op), Valid)
    return Scene(world.here, world.state.leaves, op)


# The rules, each broken in every way that we know


def break_place(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """First or last in the batch; a cancel alone may stand in a rescue."""
    ways: list[Bend] = [
        lambda: scene.bend_header(step_count=scene.context.step + 1),
        lambda: scene.bend_place(0),
    ]
    if scene.op[0] != Kind.CANCEL:
        ways.append(lambda: scene.bend_header(flags=1))
    return ways


def break_length(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """Bytes too few or too many."""
    op = scene.op
    others = (op[:-1], op + b"\0", op[:1], op[:30], op + bytes(65))
    return [partial(scene.bend_bytes, other) for other in others]


def break_slot(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """An account or a slot that there cannot be, a counter of 0, a key beyond the last."""
    changes = ({"account": 0}, {"account": ACCOUNTS_MAX}, {"slot": 1024}, {"counter": 0})
    ways = [partial(bend_signed, scene, **change) for change in changes]
    return [*ways, lambda: scene.bend_op(key_index=8)]


def bend_signed(scene: Scene, **changes: Any) -> None:
    """Change what the user signed, and not the signature."""
    op = scene.decoded
    if isinstance(op, Cancel):
        scene.bend_op(**changes)
    else:
        scene.bend_op(terms=replace(op.terms, **changes))


def break_terms(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """Terms that no order may have."""
    listed = scene.decoded.terms.instrument
    changes: tuple[dict[str, Any], ...] = (
        {"flags": 8},
        {"price": 0},
        {"price": -1},
        {"price": PRICE_MAX + 1},
        {"size": 0},
        {"size": QUANTITY_MAX + 1},
        {"max_fee_ppm": FEE_PPM_MAX + 1},
        {"counterparty": ACCOUNTS_MAX},
        {"legs": ()},
        {"legs": ((listed, 1), (listed, 1))},
        {"legs": ((listed, -1),)},
        {"legs": ((listed, 0),)},
        {"legs": ((listed._replace(underlying=256), 1),)},
        {"legs": ((listed._replace(expiry=1), 1),)},
        {"legs": ((listed._replace(kind=1), 1),)},
        {"legs": ((listed._replace(strike=1), 1),)},
    )
    two_legs = bytearray(scene.op)
    two_legs[72] = 2
    return [partial(bend_signed, scene, **change) for change in changes] + [partial(scene.bend_bytes, bytes(two_legs))]


def break_reading(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """A price or an underlying that there cannot be, or a mask that its signatures do not match."""
    changes: tuple[dict[str, Any], ...] = (
        {"spot": 0},
        {"mark": 0},
        {"spot": PRICE_MAX + 1},
        {"mark": NEVER},
        {"underlying": 256},
        {"signer_mask": 0, "signatures": ()},
        {"signer_mask": 32},
        {"signer_mask": 33},
        {"signer_mask": 1},
        {"signatures": ()},
    )
    return [partial(scene.bend_op, **change) for change in changes]


def break_bytes(*breakers: Breaker) -> Breaker:
    """No op of the kind, or not where one may stand."""

    def break_any(scene: Scene, rng: random.Random) -> Sequence[Bend]:
        return [way for breaker in (break_place, break_length, *breakers) for way in breaker(scene, rng)]

    return break_any


def break_position(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """Before the next position, or at the end of the log."""
    position = scene.decoded.position
    return [
        lambda: scene.bend_globals(next_position=position + rng.randint(1, 9)),
        lambda: scene.bend_header(position_to=position - rng.randint(0, 1)),
        lambda: scene.bend_op(position=NEVER),
    ]


def break_listing(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """The underlying is the first that is not listed."""
    op = scene.decoded
    underlying = op.underlying if isinstance(op, Oracle) else op.terms.instrument.underlying
    return [lambda: scene.bend_globals(underlying_count=underlying)]


def break_reading_order(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """A reading as old as the last or older; or the underlying does not exist."""
    oracle = scene.decoded
    return [
        lambda: scene.bend_underlying(oracle.underlying, oracle_time=oracle.time),
        lambda: scene.bend_underlying(oracle.underlying, oracle_time=oracle.time + rng.randint(1, 1000)),
        lambda: scene.write(underlying_key(oracle.underlying), b""),
    ]


def break_reading_age(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """A second older than parameters allow."""
    scene.bend_params(oracle_age_max=rng.randint(0, 100))
    oldest = scene.decoded.time + scene.ledger.get_params().oracle_age_max
    return [lambda: scene.bend_globals(time=oldest + 1), lambda: scene.bend_globals(time=oldest + 10**6)]


def break_reading_skew(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """A second further ahead than parameters allow."""
    furthest = scene.ledger.get_globals().time + scene.ledger.get_params().oracle_skew_max
    return [lambda: scene.bend_op(time=furthest + 1), lambda: scene.bend_op(time=NEVER)]


def break_threshold(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """A signer too few, or one whom nobody knows."""
    mask, signers = scene.decoded.signer_mask, scene.ledger.get_params().oracle_signers
    return [
        lambda: scene.bend_params(oracle_threshold=mask.bit_count() + 1),
        lambda: scene.bend_params(oracle_signers=signers[: mask.bit_length() - 1]),
    ]


def break_reading_signatures(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """One signature is not its signer's, or not in the one form that is allowed."""
    oracle, signers = scene.decoded, scene.ledger.get_params().oracle_signers
    at = rng.randrange(len(oracle.signatures))
    signed = oracle.signatures[at]
    s = int.from_bytes(signed.s)
    others = (
        replace(signed, v=55 - signed.v),  # the other point, so another signer
        replace(signed, v=signed.v - 27),
        replace(signed, v=rng.choice((26, 29, 255))),
        replace(signed, s=(SECP256K1_ORDER - s).to_bytes(32), v=55 - signed.v),  # the same signer, with the high s
        replace(signed, s=bytes(32)),
        replace(signed, r=bytes(32)),
        replace(signed, r=SECP256K1_ORDER.to_bytes(32)),
        replace(signed, r=b"\xff" * 32),
        replace(signed, r=rng.randbytes(32)),
        replace(signed, s=(s ^ 1 << rng.randrange(250)).to_bytes(32)),
    )
    signatures = [(*oracle.signatures[:at], other, *oracle.signatures[at + 1 :]) for other in others]
    return [
        *(partial(scene.bend_op, signatures=bent) for bent in signatures),
        lambda: scene.bend_op(signatures=oracle.signatures[::-1]),
        lambda: scene.bend_op(mark=oracle.mark + 1),
        lambda: scene.bend_params(oracle_signers=signers[1:] + signers[:1]),
        lambda: scene.bend_params(oracle_signers=signers[: oracle.signer_mask.bit_length() - 1]),
        lambda: scene.bend_domain(rng.randbytes(32)),
    ]


def break_acceptance(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """Accepted after it is registered."""
    return [lambda: scene.bend_op(accepted=scene.decoded.position + 1), lambda: scene.bend_op(accepted=NEVER)]


def break_account(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """Nobody has this account."""
    return [lambda: scene.write(account_key(scene.decoded.account), b"")]


def break_generation(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """Signed for the generation before, or for one to come."""
    generation = scene.ledger.get_globals().generation
    others = (generation + 1, generation - 1, 1 << 31)
    return [partial(scene.bend_globals, generation=other) for other in others]


def break_cancel_only(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """A second too early, or the first tick is still to come."""
    times = (scene.ledger.get_globals().time + 1, NEVER)
    return [partial(scene.bend_globals, cancel_only_until=time) for time in times]


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


def break_key(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """The key is not there, may not trade, or has expired; or nobody has this account."""
    op, now = scene.decoded, scene.ledger.get_globals()
    keys = scene.account(op.account).keys
    key = keys[op.key_index]
    dead = ((), (key._replace(scope=SCOPE_TRANSFER | SCOPE_WITHDRAW),), (key._replace(expiry=now.time),))
    return [
        lambda: scene.bend_op(key_index=len(keys)),
        lambda: scene.bend_op(key_index=7),
        *(partial(scene.bend_account, op.account, keys=others) for others in dead),
        *break_account(scene, rng),
    ]


def break_signature(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """Another key, another signature, other fields or another rollup; or a key that is not there."""
    op = scene.decoded
    keys = scene.account(op.account).keys
    stranger = SigningKey(rng.randbytes(32))
    flipped = bytearray(op.signature)
    flipped[rng.randrange(64)] ^= 1 << rng.randrange(8)
    digest = hash_digest(scene.context.domain, op)
    signatures = (
        bytes(flipped),
        bytes(64),
        rng.randbytes(64),
        stranger.sign(digest).signature,
        stranger.sign(hash_digest(rng.randbytes(32), op)).signature,
        op.signature[:32] + b"\xff" * 32,
    )
    public_keys = (stranger.verify_key.encode(), rng.randbytes(32), bytes(32))
    return [
        *(partial(scene.bend_op, signature=signature) for signature in signatures),
        *(partial(scene.bend_account, op.account, keys=(keys[0]._replace(public_key=k),)) for k in public_keys),
        lambda: scene.bend_op(key_index=len(keys)),
        lambda: scene.bend_domain(rng.randbytes(32)),
        lambda: bend_signed(scene, counter=1 + rng.randrange(1 << 40)),
        lambda: bend_signed(scene, generation=rng.randrange(1 << 32)),
        *break_account(scene, rng),
    ]


BREAKS: dict[Code, Breaker] = {
    Code.ORACLE_MUST_DECODE: break_bytes(break_reading),
    Code.ORACLE_POSITION_MUST_INCREASE: break_position,
    Code.ORACLE_UNDERLYING_MUST_BE_LISTED: break_listing,
    Code.ORACLE_TIME_MUST_ADVANCE: break_reading_order,
    Code.ORACLE_MUST_NOT_BE_STALE: break_reading_age,
    Code.ORACLE_MUST_NOT_BE_AHEAD: break_reading_skew,
    Code.ORACLE_SIGNERS_MUST_SUFFICE: break_threshold,
    Code.ORACLE_SIGNATURES_MUST_VERIFY: break_reading_signatures,
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
    """Whatever the market did, every check of every reading, order and cancel holds and its root is the claimed one."""
    rng = random.Random(world.random.random())
    for kind in MARKET_KINDS * 3:
        world.play(find_valid_op(world, rng, kind).op)
    kinds = Counter(step.op[0] for step in world.steps)
    assert min(kinds[kind] for kind in MARKET_KINDS) >= 3
    for step in world.steps:
        if step.op[0] in MARKET_KINDS:
            court.assert_acquits(step)


def test_any_other_root_convicts(court: Court, world: World, seed: int) -> None:
    """A reading, order or cancel that claims any root but that of its effects falls to EFFECT."""
    rng = random.Random(seed)
    for kind in MARKET_KINDS * 5:
        world.play(find_valid_op(world, rng, kind).op)
        court.assert_convicts_root(world.steps[-1])


@pytest.mark.parametrize("code", BREAKS, ids=lambda code: code.name)
def test_a_failed_check_convicts(court: Court, world: World, seed: int, code: Code) -> None:
    """Each check, broken in every known way, convicts the op that passed it until then."""
    rng = random.Random(seed)
    find = partial(find_valid_op, world, rng, Kind(code // 100))
    VIOLATIONS[code] = assert_breaks(court, find, code, BREAKS[code], rng, ROUNDS)


def test_every_check_was_violated() -> None:
    """The tests above have broken each of the checks as often as they say."""
    print()
    for code in BREAKS:
        print(f"{VIOLATIONS[code]:4} {code.name}")
    assert set(BREAKS) == {code for code in Code if code // 100 in MARKET_KINDS}
    assert all(count >= ROUNDS for count in VIOLATIONS.values())


def test_what_is_just_allowed_does_not_convict(court: Court, world: World, seed: int) -> None:
    """The oldest and the furthest reading that parameters allow, and the last second of an order, are still good."""
    rng = random.Random(seed)
    for _ in range(5):
        scene = find_valid_op(world, rng, Kind.ORACLE)
        time, params = scene.decoded.time, scene.ledger.get_params()
        scene.bend_globals(time=time + params.oracle_age_max)
        assert_acquits(court, scene, Code.ORACLE_MUST_NOT_BE_STALE)
        scene.bend_globals(time=time - params.oracle_skew_max)
        assert_acquits(court, scene, Code.ORACLE_MUST_NOT_BE_AHEAD)

        scene = find_valid_op(world, rng, Kind.ORDER)
        scene.bend_globals(time=scene.decoded.terms.valid_until, cancel_only_until=scene.decoded.terms.valid_until)
        assert_acquits(court, scene, Code.ORDER_MUST_NOT_BE_EXPIRED)
        assert_acquits(court, scene, Code.ORDER_MUST_NOT_BE_CANCEL_ONLY)
        key = scene.account(scene.decoded.account).keys[0]
        expiry = scene.decoded.terms.valid_until + 1
        scene.bend_account(scene.decoded.account, keys=(key._replace(scope=SCOPE_TRADE, expiry=expiry),))
        assert_acquits(court, scene, Code.ORDER_KEY_MUST_BE_LIVE)


def test_funding_is_stored_to_the_unit(court: Court, world: World, seed: int) -> None:
    """A reading stores index and premium by floor and clamp, for any signs, ages and saturation, as in Python."""
    rng = random.Random(seed)
    bounds = (-(1 << 56), 1 << 56)
    for _ in range(40):
        scene = find_valid_op(world, rng, Kind.ORACLE)
        now = scene.ledger.get_globals().time
        scene.bend_params(funding_period=rng.randint(1, 100_000), funding_cap_ppm=rng.choice((0, 1, 333, 1_000_000)))
        scene.bend_underlying(
            scene.decoded.underlying,
            funding_index=rng.choice((*bounds, 0, rng.randint(*bounds), rng.randint(-9, 9))),
            index_time=now - rng.randint(0, 10 ** rng.randint(0, 9)),
            premium=rng.choice((-PRICE_MAX, PRICE_MAX, rng.randint(-9, 9), rng.randint(-(10**6), 10**6))),
        )
        played = scene.played
        ledger = scene.ledger
        PROCESSES[Kind.ORACLE].apply_effects(ledger, scene.context, scene.decoded)
        honest = replace(played, post_root=build_tree((scene.leaves | ledger.writes).items()).root)
        assert not court.judge(dispute(honest, EFFECT))
        assert court.judge(dispute(played, EFFECT))


@pytest.mark.parametrize("kind", MARKET_KINDS, ids=lambda kind: kind.name)
def test_judges_agree_on_any_bytes(court: Court, world: World, seed: int, kind: Kind) -> None:
    """On ops with random bytes in random places both judges say the same on every ground, and none reverts."""
    rng = random.Random(seed)
    verdicts: Counter[bool] = Counter()
    for _ in range(40):
        op = bytearray(find_valid_op(world, rng, kind).op)
        for _ in range(rng.randint(1, 2)):
            op[rng.randrange(1, len(op))] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
        for ground in rng.sample(list_grounds(kind), 6):
            verdicts[court.judge(dispute(claim(world, bytes(op)), ground))] += 1
    assert min(verdicts[True], verdicts[False]) > 15, verdicts


def test_a_corrupted_witness_never_convicts(court: Court, world: World, seed: int) -> None:
    """No change of a witness, hints included, makes an honest step look wrong: a revert, or nothing shown."""
    rng = random.Random(seed)
    steps = [step for step in world.steps if step.op[0] in MARKET_KINDS]
    for _ in range(150):
        step = rng.choice(steps)
        ground = rng.choice(list_grounds(Kind(step.op[0])))
        witness = bytearray(dispute(step, ground).witness.encode() or bytes(9))
        change, at = rng.randrange(3), rng.randrange(len(witness))
        if change == 0:
            witness[at] ^= 1 << rng.randrange(8)
        elif change == 1:
            del witness[at : at + rng.randint(1, 99)]
        else:
            witness[at:at] = rng.randbytes(rng.randint(1, 64))
        outcome = court.call(step, ground, bytes(witness))
        assert outcome.reverted or not outcome.value, f"{ground} convicts with witness {bytes(witness).hex()}"


def test_an_unknown_check_or_ground_shows_nothing(court: Court, world: World) -> None:
    """Neither a check number that the kind does not have, nor a ground that does not exist, convicts an honest step."""
    for kind, checks in ((Kind.ORACLE, 8), (Kind.ORDER, 12), (Kind.CANCEL, 7)):
        world.play(find_valid_op(world, random.Random(0), kind).op)
        step = world.steps[-1]
        for ground, check in ((1, checks), (1, 99), (1, 1 << 255), (0, 0), (0, 1), (3, 0), (1 << 255, 1)):
            assert not court.evaluate(step, ground, check, b"").value

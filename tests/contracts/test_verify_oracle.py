"""Readings before the contract, of prices, surfaces and baskets: honest ones stand, wrong ones fall, and both judges
agree."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from fraud_proofs.grounds import EFFECT
from state.codes import Code, Kind
from state.constants import EXPIRY_HORIZON, EXPIRY_STEP, NEVER, PPM, PRICE_MAX, SETTLEMENT_WINDOW
from state.leaves import Expiry
from state.ledger import Ledger
from state.operations import Index, Oracle, Surface
from state.signatures import SECP256K1_ORDER
from state.transition import PROCESSES, Valid
from state.tree import build_tree, expiry_key, underlying_key
from tests.contracts.breakers import break_bytes, break_position
from tests.contracts.court import Court, dispute
from tests.contracts.scene import (
    DATED,
    SPOTS,
    Bend,
    Breaker,
    Scene,
    assert_acquits,
    assert_agrees_on_any_bytes,
    assert_breaks,
    assert_corruption_shows_nothing,
    assert_same_effect,
    open_random_market,
    play_random_trades,
    publish_reading,
)
from tests.world import MIX, WEEK, World

ROUNDS = 20
"""How often every check is violated, at least; and in each known way."""

KINDS = (Kind.ORACLE, Kind.SURFACE, Kind.INDEX)


@pytest.fixture(scope="module")
def court() -> Court:
    """The contract, deployed once: it has no state."""
    return Court("verify_oracle")


@pytest.fixture
def world(seed: int) -> World:
    """A market in full swing."""
    world = open_random_market(seed)
    play_random_trades(world, random.Random(seed), 2)
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


def sign_new_surface(world: World, rng: random.Random) -> Surface:
    """A surface that may follow, of an expiry that is known or of one to come."""
    world.tick(rng.randint(1, 60))
    ledger, now = Ledger(world.state.leaves), world.globals.time
    underlying = rng.choice(DATED)
    expiry = WEEK + EXPIRY_STEP * rng.choice((0, 0, 7, 30))
    known = ledger.get_expiry(underlying, expiry)
    params = ledger.get_params()
    oldest = max((known.time if known else 0) + 1, now - params.oracle_age_max)
    return world.sign_surface(
        underlying,
        expiry,
        time=rng.randint(oldest, now + params.oracle_skew_max),
        forward=SPOTS[0] * rng.randint(900, 1100) // 1000,
        rate=rng.choice((0, 1 << 38, -(1 << 38), rng.randint(-(1 << 34), 1 << 34))),
        rho=rng.randint(1 - (1 << 38), (1 << 38) - 1),
        m=rng.randint(-(1 << 36), 1 << 36),
        signer_mask=rng.choice((3, 5, 6, 7)),
    )


def price_basket(world: World, rng: random.Random) -> Index:
    """A basket whose components have all been read again."""
    basket = Ledger(world.state.leaves).require_underlying(MIX).basket
    for component, _ in basket:
        world.tick(rng.randint(1, 60))
        world.play(sign_reading_of(world, rng, component))
    return Index(world.position, MIX)


def sign_reading_of(world: World, rng: random.Random, underlying: int) -> Oracle:
    """A reading of one underlying, at state time."""
    spot = SPOTS[underlying] * rng.randint(970, 1030) // 1000
    mark = spot * rng.randint(990, 1010) // 1000
    return world.sign_reading(underlying, spot, mark, world.globals.time)


SIGN_NEW: dict[Kind, Callable[[World, random.Random], Any]] = {
    Kind.ORACLE: sign_new_reading,
    Kind.SURFACE: sign_new_surface,
    Kind.INDEX: price_basket,
}


def find_valid_op(world: World, rng: random.Random, kind: Kind) -> Scene:
    """An op that every check lets pass."""
    op = SIGN_NEW[kind](world, rng)
    assert isinstance(world.judge(op), Valid)
    return Scene(world.here, world.state.leaves, op)


# The rules, each broken in every way that we know


def break_reading(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """A price or an underlying that there cannot be, or a mask that its signatures do not match."""
    changes: tuple[dict[str, Any], ...] = (
        {"spot": 0},
        {"mark": 0},
        {"spot": PRICE_MAX},
        {"mark": NEVER},
        {"underlying": 64},
        {"spot_confidence": PPM + 1},
        {"mark_confidence": PPM + 1},
        {"volatility": 0},
        {"volatility": 20_000_001},
        {"signer_mask": 0, "signatures": ()},
        {"signer_mask": 32},
        {"signer_mask": 33},
        {"signer_mask": 1},
        {"signatures": ()},
    )
    return [partial(scene.bend_op, **change) for change in changes]


def break_surface(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """A number out of its bounds, an expiry at another hour, a time behind the expiry, or a mask without signatures."""
    changes: tuple[dict[str, Any], ...] = (
        {"underlying": 64},
        {"expiry": WEEK + 1},
        {"expiry": 0},
        {"time": scene.decoded.expiry + 1},
        {"integral": 1 << 112},
        {"forward": 0},
        {"forward": PRICE_MAX},
        {"rate": (1 << 38) + 1},
        {"rate": -(1 << 38) - 1},
        {"a": 1 << 46},
        {"a": -(1 << 46)},
        {"b": -1},
        {"b": 1 << 42},
        {"rho": 1 << 38},
        {"rho": -(1 << 38)},
        {"m": 1 << 46},
        {"m": -(1 << 46)},
        {"sigma": 0},
        {"sigma": 1 << 46},
        {"confidence": PPM + 1},
        {"signer_mask": 0, "signatures": ()},
        {"signer_mask": 33},
        {"signatures": ()},
    )
    return [partial(scene.bend_op, **change) for change in changes]


def break_index(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """An underlying that there cannot be."""
    return [lambda: scene.bend_op(underlying=64), lambda: scene.bend_op(underlying=65_535)]


def break_listing(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """The underlying is the first that is not listed."""
    return [lambda: scene.bend_globals(underlying_count=scene.decoded.underlying)]


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
        lambda: scene.bend_op(time=oracle.time - 1),
        lambda: scene.bend_params(oracle_signers=signers[1:] + signers[:1]),
        lambda: scene.bend_params(oracle_signers=signers[: oracle.signer_mask.bit_length() - 1]),
        lambda: scene.bend_domain(rng.randbytes(32)),
    ]


def break_basket(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """The underlying is made of others, or does not exist."""
    underlying = scene.decoded.underlying
    return [
        lambda: scene.bend_underlying(underlying, basket=((2, rng.randint(1, PPM)),)),
        lambda: scene.write(underlying_key(underlying), b""),
    ]


def break_guard(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """A unit further from the last price than so many minutes allow; or there is no such underlying."""
    oracle = scene.decoded

    def jump(field: str, guard_ppm: int, sign: int) -> None:
        last = oracle.time - rng.randint(0, 400)
        scene.bend_params(guard_ppm=guard_ppm)
        scene.bend_underlying(oracle.underlying, oracle_time=last, spot=10**7, mark=10**7)
        bound = 10**7 * guard_ppm * (1 + (oracle.time - last) // 60) // PPM
        scene.bend_op(**({"spot": 10**7, "mark": 10**7} | {field: 10**7 + sign * (bound + 1)}))

    return [
        *(
            partial(jump, field, guard_ppm, sign)
            for field in ("spot", "mark")
            for guard_ppm in (0, 50_001)
            for sign in (-1, 1)
        ),
        lambda: scene.write(underlying_key(oracle.underlying), b""),
    ]


def break_surface_order(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """A reading as old as the last or older."""
    surface = scene.decoded
    return [
        lambda: scene.bend_expiry(surface.underlying, surface.expiry, time=surface.time),
        lambda: scene.bend_expiry(surface.underlying, surface.expiry, time=surface.time + rng.randint(1, 1000)),
    ]


def break_surface_skew(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """A second further ahead than parameters allow."""
    furthest = scene.ledger.get_globals().time + scene.ledger.get_params().oracle_skew_max
    return [lambda: scene.bend_op(time=furthest + 1), lambda: scene.bend_op(time=scene.decoded.expiry)]


def break_horizon(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """A second too far ahead."""
    expiry = scene.decoded.expiry
    return [lambda: scene.bend_globals(time=expiry - EXPIRY_HORIZON - 1), lambda: scene.bend_globals(time=1)]


def enter_window(scene: Scene, seconds: int, before: Expiry, accrued: int, forward: int) -> None:
    """Put the reading so many seconds into the window, behind another."""
    surface = scene.decoded
    start = surface.expiry - SETTLEMENT_WINDOW
    known = replace(before, time=start + before.time)
    scene.write(expiry_key(surface.underlying, surface.expiry), known.encode())
    scene.bend_op(time=start + seconds, integral=before.start_integral + accrued, forward=forward)


def break_window(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """The window's first second was never read, or its integral is of no price, or the forward below what is known."""
    seconds = rng.randint(1, SETTLEMENT_WINDOW)
    begun = Expiry(time=0, start_integral=rng.randint(10**6, 10**20))
    highest = (PRICE_MAX - 1) * seconds
    fixed = 17_000_000 * seconds // SETTLEMENT_WINDOW

    def forget() -> None:
        enter_window(scene, seconds, replace(begun, time=0), 10**7 * seconds, 10**9)
        surface = scene.decoded
        scene.bend_expiry(surface.underlying, surface.expiry, time=surface.expiry - SETTLEMENT_WINDOW - 1)

    def forget_all() -> None:
        enter_window(scene, seconds, begun, 10**7 * seconds, 10**9)
        scene.write(expiry_key(scene.decoded.underlying, scene.decoded.expiry), b"")

    return [
        forget,
        forget_all,
        lambda: enter_window(scene, seconds, begun, seconds - 1, 10**9),
        lambda: enter_window(scene, seconds, begun, -1, 10**9),
        lambda: enter_window(scene, seconds, begun, highest + 1, PRICE_MAX - 1),
        lambda: enter_window(scene, 1_800, begun, 17_000_000 * 1_800, 17_000_000 - 1),
        lambda: enter_window(scene, seconds, begun, 17_000_000 * seconds, max(fixed - 1, 1)),
    ]


def break_plainness(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """The underlying is made of nothing else, or does not exist."""
    return [
        lambda: scene.bend_underlying(MIX, basket=()),
        lambda: scene.bend_op(underlying=2),
        lambda: scene.write(underlying_key(MIX), b""),
    ]


def break_components(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """A component was never read, or is not there; or there is no basket."""
    components = [component for component, _ in scene.underlying(MIX).basket]
    return [
        *(partial(scene.bend_underlying, component, oracle_time=0) for component in components),
        *(partial(scene.write, underlying_key(component), b"") for component in components),
        lambda: scene.write(underlying_key(MIX), b""),
    ]


def break_index_order(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """The oldest component is as old as the basket, or older; or there are none."""
    components = [component for component, _ in scene.underlying(MIX).basket]
    oldest = min(scene.underlying(component).oracle_time for component in components)
    return [
        lambda: scene.bend_underlying(MIX, oracle_time=oldest),
        lambda: scene.bend_underlying(MIX, oracle_time=oldest + rng.randint(1, 99)),
        *(partial(scene.bend_underlying, c, oracle_time=scene.underlying(MIX).oracle_time) for c in components),
        *(partial(scene.write, underlying_key(component), b"") for component in components),
        lambda: scene.bend_underlying(MIX, basket=()),
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
    Code.ORACLE_UNDERLYING_MUST_NOT_BE_A_BASKET: break_basket,
    Code.ORACLE_MUST_NOT_JUMP: break_guard,
    Code.SURFACE_MUST_DECODE: break_bytes(break_surface),
    Code.SURFACE_POSITION_MUST_INCREASE: break_position,
    Code.SURFACE_UNDERLYING_MUST_BE_LISTED: break_listing,
    Code.SURFACE_TIME_MUST_ADVANCE: break_surface_order,
    Code.SURFACE_MUST_NOT_BE_STALE: break_reading_age,
    Code.SURFACE_MUST_NOT_BE_AHEAD: break_surface_skew,
    Code.SURFACE_EXPIRY_MUST_BE_NEAR: break_horizon,
    Code.SURFACE_MUST_KEEP_WINDOW: break_window,
    Code.SURFACE_SIGNERS_MUST_SUFFICE: break_threshold,
    Code.SURFACE_SIGNATURES_MUST_VERIFY: break_reading_signatures,
    Code.INDEX_MUST_DECODE: break_bytes(break_index),
    Code.INDEX_POSITION_MUST_INCREASE: break_position,
    Code.INDEX_MUST_BE_A_BASKET: break_plainness,
    Code.INDEX_COMPONENTS_MUST_BE_READ: break_components,
    Code.INDEX_TIME_MUST_ADVANCE: break_index_order,
}


# Stories


def test_no_ground_convicts_an_honest_step(court: Court, world: World) -> None:
    """Whatever the market did, every check of every reading holds and its root is the claimed one."""
    rng = random.Random(world.random.random())
    for kind in KINDS * 3:
        world.play(find_valid_op(world, rng, kind).op)
    world.settle_expiry(0, WEEK, 17_500_000)
    kinds = Counter(step.op[0] for step in world.steps)
    assert min(kinds[kind] for kind in KINDS) >= 3
    for step in world.steps:
        if step.op[0] in KINDS:
            court.assert_acquits(step)


def test_any_other_root_convicts(court: Court, world: World, seed: int) -> None:
    """A reading that claims any root but that of its effects falls to EFFECT."""
    rng = random.Random(seed)
    for kind in KINDS * 4:
        world.play(find_valid_op(world, rng, kind).op)
        court.assert_convicts_root(world.steps[-1])
    world.settle_expiry(MIX, WEEK, 17_500_000)
    for step in world.steps[-2:]:
        court.assert_convicts_root(step)


@pytest.mark.parametrize("code", BREAKS, ids=lambda code: code.name)
def test_a_failed_check_convicts(court: Court, world: World, seed: int, code: Code) -> None:
    """Each check, broken in every known way, convicts the op that passed it until then."""
    rng = random.Random(seed)
    find = partial(find_valid_op, world, rng, Kind(code // 100))
    assert_breaks(court, find, code, BREAKS[code], rng, ROUNDS)


def test_every_check_is_broken() -> None:
    """Of the kinds here none is left out."""
    assert set(BREAKS) == {code for code in Code if code // 100 in KINDS}


def test_what_is_just_allowed_does_not_convict(court: Court, world: World, seed: int) -> None:
    """The oldest, the furthest and the most distant reading that parameters allow are still good."""
    rng = random.Random(seed)
    for _ in range(5):
        scene = find_valid_op(world, rng, Kind.ORACLE)
        oracle, params = scene.decoded, scene.ledger.get_params()
        scene.bend_globals(time=oracle.time + params.oracle_age_max)
        assert_acquits(court, scene, Code.ORACLE_MUST_NOT_BE_STALE)
        scene.bend_globals(time=oracle.time - params.oracle_skew_max)
        assert_acquits(court, scene, Code.ORACLE_MUST_NOT_BE_AHEAD)
        scene.bend_params(guard_ppm=10_000)
        scene.bend_underlying(oracle.underlying, oracle_time=oracle.time - 60 * 7, spot=10**7, mark=10**7)
        scene.bend_op(spot=10**7 + 800_000, mark=10**7 - 800_000)
        assert_acquits(court, scene, Code.ORACLE_MUST_NOT_JUMP)
        scene.bend_underlying(oracle.underlying, oracle_time=0, spot=0, mark=0)
        assert_acquits(court, scene, Code.ORACLE_MUST_NOT_JUMP)


def test_a_window_is_kept_to_the_second(court: Court, world: World, seed: int) -> None:
    """The least and the greatest integral, and both ends of the window however late, are still good."""
    rng = random.Random(seed)
    for _ in range(5):
        for seconds in (1, rng.randint(2, 1_799), 1_800):
            for price in (1, rng.randint(10**6, 10**8), PRICE_MAX - 1):
                scene = find_valid_op(world, rng, Kind.SURFACE)
                begun = Expiry(time=0, start_integral=rng.randint(0, 10**30))
                forward = max(price * seconds // SETTLEMENT_WINDOW, 1)
                enter_window(scene, seconds, begun, price * seconds, forward)
                assert_acquits(court, scene, Code.SURFACE_MUST_KEEP_WINDOW)
                assert_same_effect(court, scene)
        scene = find_valid_op(world, rng, Kind.SURFACE)
        for end in (scene.decoded.expiry, scene.decoded.expiry - SETTLEMENT_WINDOW):
            scene.bend_op(time=end)
            scene.bend_globals(time=end + rng.randint(0, 10**6))
            assert_acquits(court, scene, Code.SURFACE_MUST_NOT_BE_STALE)
            assert_same_effect(court, scene)
        scene.bend_expiry(scene.decoded.underlying, scene.decoded.expiry, time=0, start_integral=10**33)
        scene.bend_op(time=scene.decoded.expiry, integral=5)
        assert not court.judge(dispute(scene.played, EFFECT))


def test_a_basket_is_the_worst_of_its_components(court: Court, world: World, seed: int) -> None:
    """Prices by weight, each share a floor; confidence, volatility, halt and age as of the worst, for any numbers."""
    rng = random.Random(seed)
    for _ in range(30):
        scene = find_valid_op(world, rng, Kind.INDEX)
        components = rng.sample(range(4), rng.randint(1, 4))
        weights = [rng.choice((1, rng.randint(1, PPM), (1 << 32) - 1)) for _ in components]
        scene.bend_underlying(MIX, basket=tuple(zip(components, weights, strict=True)), halted_until=rng.randint(0, 9))
        for component in components:
            scene.bend_underlying(
                component,
                spot=rng.choice((0, 1, PRICE_MAX - 1, rng.randint(1, 10**9))),
                mark=rng.randint(0, PRICE_MAX - 1),
                spot_confidence=rng.randint(0, PPM),
                mark_confidence=rng.randint(0, PPM),
                volatility=rng.randint(1, 10**7),
                halted_until=rng.randint(0, 99),
                oracle_time=rng.randint(0, NEVER - 1),
            )
        assert_same_effect(court, scene)


def test_a_jump_halts(court: Court, world: World, seed: int) -> None:
    """A spot a unit beyond the bound halts the underlying; one at the bound does not, nor does a first reading."""
    rng = random.Random(seed)
    for halt_ppm in (0, 100_000, 999_999):
        for beyond in (0, 1):
            for before in (0, 1):
                scene = find_valid_op(world, rng, Kind.ORACLE)
                scene.bend_params(halt_ppm=halt_ppm, halt_seconds=rng.randint(1, 999))
                scene.bend_underlying(scene.decoded.underlying, oracle_time=before, spot=10**7)
                scene.bend_op(
                    spot=10**7 - 10 * halt_ppm - beyond if halt_ppm < 999_999 else 10**7 + 10 * halt_ppm + beyond
                )
                assert_same_effect(court, scene)


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


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_judges_agree_on_any_bytes(court: Court, world: World, seed: int, kind: Kind) -> None:
    """On ops with random bytes in random places both judges say the same on every ground, and none reverts."""
    rng = random.Random(seed)
    verdicts = assert_agrees_on_any_bytes(court, partial(find_valid_op, world, rng, kind), rng, 40, grounds_max=6)
    assert min(verdicts[True], verdicts[False]) > 15, verdicts


def test_a_corrupted_witness_never_convicts(court: Court, world: World, seed: int) -> None:
    """No change of a witness makes an honest step look wrong: a revert, or nothing shown."""
    rng = random.Random(seed)
    publish_reading(world, rng, 0)
    steps = [step for step in world.steps if step.op[0] in KINDS]
    assert_corruption_shows_nothing(court, steps, rng, 150)


def test_an_unknown_check_or_ground_shows_nothing(court: Court, world: World) -> None:
    """Neither a check number that the kind does not have, nor a ground that does not exist, convicts an honest step."""
    for kind in KINDS:
        world.play(find_valid_op(world, random.Random(0), kind).op)
        court.assert_knows_nothing_else(world.steps[-1])

"""take before the contract: honest bids for what is up for auction stand, wrong ones fall, and both judges agree."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

import pytest

from fraud_proofs.grounds import EFFECT, check_ground
from risk.parameter_sets import PARAMETER_SETS
from risk.parameters import Parameters
from state.codes import Code, Kind
from state.constants import ACCOUNTS_MAX, CASH_MAX, KEYS_MAX, NEVER, POSITIONS_MAX, PPM
from state.leaves import CALL, FUTURE, PUT, Instrument, call, perpetual
from state.ledger import Ledger, SubjectMissing
from state.process_take import claim_take, compute_bidder, read_price
from state.slices import SLICE_ROOM_PPM, is_for_sale, weigh_slice
from state.transition import Valid
from state.tree import Collection, account_key, leaf_key, underlying_key
from state.valuation import compute_account_margin, drop_stale_spots, read_quotes
from tests.contracts.breakers import break_account, break_bytes, break_key, break_position, break_signature
from tests.contracts.court import Court, dispute
from tests.contracts.scene import (
    PEOPLE,
    Bend,
    Breaker,
    Scene,
    assert_agrees_on_any_bytes,
    assert_breaks,
    assert_corruption_shows_nothing,
    assert_same_effect,
    draw_active,
    judge_any_exhibit,
    open_random_market,
    play_random_trades,
    refresh_prices,
)
from tests.world import RULES, WEEK, World

ROUNDS = 15
"""How often every check is violated, at least; and in each known way."""


@pytest.fixture(scope="module")
def court() -> Court:
    """The contract, deployed once with those that know margin and signatures: none has state."""
    return Court("verify_take")


def open_bidders_market(seed: int, rules: Parameters) -> World:
    """A market in full swing, in which everybody holds something, and erin may bid for it."""
    world = open_random_market(seed, rules)
    world.deposit("erin", 10**14)
    play_random_trades(world, random.Random(seed), 8)
    refresh_prices(world, random.Random(seed))
    return world


@pytest.fixture
def world(seed: int) -> World:
    """A market under linear rules."""
    return open_bidders_market(seed, RULES)


@pytest.fixture
def option_world(seed: int) -> World:
    """The same under rules of many scenarios, so that those in which an option is worst off are to be named."""
    return open_bidders_market(seed, PARAMETER_SETS["keel"])


# Valid ops


def put_up_for_sale(world: World, name: str, rng: random.Random) -> None:
    """Let somebody be short of maintenance margin since a while, or have asked for his close."""
    account, scene = world.account_of(name), Scene(world.here, world.state.leaves, b"")
    params, now = scene.ledger.get_params(), scene.ledger.get_globals().time
    elapsed = rng.choice((0, 1, rng.randint(1, 2 * params.auction_seconds), 10**6))
    if rng.random() < 0.3:
        since = now - params.close_delay - elapsed
        world.rewrite_account(name, close_from=since, liquidation_from=0)
        return
    margin = compute_account_margin(account, read_quotes(scene.ledger, account, params), now, params)
    requirement = margin.equity - margin.maintenance
    missing = rng.choice((1, rng.randint(1, max(requirement, 1)), 2 * requirement + 1))
    cash = account.cash - margin.maintenance - missing
    world.rewrite_account(name, cash=cash, liquidation_from=now - elapsed, close_from=0)


def hold_options(world: World, name: str, rng: random.Random) -> None:
    """Let somebody hold some options, few of each or many; sometimes two between two that hedge them, one of each."""
    spot = Ledger(world.state.leaves).require_underlying(0).spot
    strikes = [spot * percent // 100_000 * 1_000 for percent in (96, 100, 104)]
    if rng.random() < 0.3:
        held = list(zip((call(0, WEEK, strike) for strike in strikes), (-1, 2, -1), strict=True))
    else:
        pool = [perpetual(0), *(Instrument(0, WEEK, strike, kind) for strike in strikes for kind in (PUT, CALL))]
        held = [(one, rng.choice((-1, 1)) * rng.choice((1, 2, 3, 2_000))) for one in rng.sample(pool, 3)]
    collateral = () if rng.random() < 0.5 else world.account_of(name).collateral
    world.rewrite_account(name, positions=tuple(sorted(held)), collateral=collateral)


def find_bid(world: World, rng: random.Random, has_options: bool = False) -> Scene:
    """A bid that every check lets pass, for any portfolio or for one with options."""
    while True:
        target = rng.choice([one for one in PEOPLE if has_options or world.account_of(one).positions])
        if has_options:
            hold_options(world, target, rng)
        put_up_for_sale(world, target, rng)
        slice_ppm = rng.choice((1, SLICE_ROOM_PPM, rng.randint(1, 200_000), PPM))
        bidder = rng.choice([name for name in ("erin", "erin", *PEOPLE) if name != target])
        with suppress(SubjectMissing):  # a slice that cuts off a hedge
            op = world.sign_take(bidder, target, slice_ppm)
            if isinstance(world.judge(op), Valid):
                return Scene(world.here, world.state.leaves, op)


# The rules, each broken in every way that we know


def break_fields(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """An account that there cannot be, a slice of nothing or of more than all, a key beyond the last."""
    changes = (
        {"account": 0},
        {"account": ACCOUNTS_MAX},
        {"target": 0},
        {"target": ACCOUNTS_MAX},
        {"slice_ppm": 0},
        {"slice_ppm": PPM + 1},
        {"key_index": KEYS_MAX},
    )
    return [partial(scene.bend_op, **change) for change in changes]


def break_target(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """Nobody is there."""
    return [lambda: scene.write(account_key(scene.decoded.target), b"")]


def break_openness(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """Oneself, or nobody, or one who is not for sale, or not yet."""
    take, now = scene.decoded, scene.ledger.get_globals().time
    clocks = (
        {"liquidation_from": 0, "close_from": 0},
        {"liquidation_from": now + 1},
        {"liquidation_from": 0, "close_from": now + 1},
    )
    return [
        lambda: scene.bend_op(target=take.account),
        *(partial(scene.bend_account, take.target, **clock) for clock in clocks),
        *break_target(scene, rng),
    ]


def break_validity(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """A second too late."""
    now = scene.ledger.get_globals().time
    return [lambda: scene.bend_op(valid_until=now - 1), lambda: scene.bend_op(valid_until=0)]


def break_sequence(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """Used, or passed, or nobody's."""
    take = scene.decoded
    return [
        lambda: scene.bend_account(take.account, sequence=take.sequence),
        lambda: scene.bend_account(take.account, sequence=NEVER),
        *break_account(scene, rng),
    ]


def break_claims(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """A number is another, or a price is too old or missing, or the target is well again; or nobody is there."""
    take, params = scene.decoded, scene.ledger.get_params()
    target = scene.account(take.target)
    quotes = read_quotes(scene.ledger, target, params)
    traded = [instrument.underlying for instrument, _ in target.positions]

    def recover() -> None:
        scene.bend_account(take.target, liquidation_from=1, cash=target.cash + 10**15)
        scene.bend_params(quote_debt_max=10**18)
        scene.bend_bytes(claim_take(scene.ledger, scene.decoded).encode())

    def grow_old(underlying: int) -> None:
        now = scene.ledger.get_globals().time
        scene.bend_underlying(underlying, oracle_time=now - params.price_age_max - 1)

    bends: list[Bend] = [
        partial(scene.bend_op, **{field: getattr(take, field) + by})
        for field in ("equity", "maintenance", "value", "relief")
        for by in (-1, 1, 1 << 126)
        if getattr(take, field) + by >= (0 if field == "relief" else -(1 << 127))
    ]
    bends += [partial(grow_old, underlying) for underlying in dict.fromkeys(traded)]
    bends += [partial(scene.write, underlying_key(underlying), b"") for underlying in quotes.underlyings]
    return [recover, *bends, *break_target(scene, rng)]


def break_need(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """A millionth more than twice what is missing and a little, as the claims have it; or nobody is there."""
    take = scene.decoded

    def claim(requirement: int, missing_ppm: int) -> None:
        scene.bend_account(take.target, liquidation_from=1)
        missing = -(-requirement * missing_ppm // PPM)
        slice_ppm = 2 * (missing * PPM // requirement) + SLICE_ROOM_PPM + 1
        scene.bend_op(equity=requirement - missing, maintenance=-missing, slice_ppm=slice_ppm)

    return [
        lambda: claim(rng.randint(1, 10**15), rng.randint(1, 400_000)),
        lambda: claim(rng.randint(10**6, 10**15), rng.randint(1, 9)),
        lambda: claim(rng.randint(1, 9), 0),
        *break_target(scene, rng),
    ]


def break_discount(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """A unit less than the bidder asks for; or nobody is there, or no books."""
    price = read_price(scene.ledger, scene.decoded)
    return [
        lambda: scene.bend_op(discount_min=price.discount + 1),
        lambda: scene.bend_op(discount_min=NEVER),
        lambda: scene.write(leaf_key(Collection.ASSETS, 0), b""),
        *break_target(scene, rng),
    ]


def crowd_bidder(scene: Scene, beyond: int) -> None:
    """So many positions beyond the cap, after the deal."""
    take = scene.decoded
    scene.bend_account(take.target, positions=((perpetual(0), 5 * PPM), (perpetual(1), 5 * PPM)))
    others = [(Instrument(0, 1, strike, FUTURE), 1) for strike in range(POSITIONS_MAX - 2 + beyond)]
    scene.bend_account(take.account, positions=tuple(others))


def break_fit(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """A bidder with too much cash, too many positions or too large a one; or a subject that does not exist."""
    take = scene.decoded
    change = compute_bidder(scene.ledger, take).cash - scene.account(take.account).cash

    def grow_large() -> None:
        instrument, quantity = scene.account(take.target).positions[0]
        scene.bend_account(take.target, positions=((instrument, PPM * (1 if quantity > 0 else -1)),))
        whole = (1 << 40) * (1 if quantity > 0 else -1)
        scene.bend_account(take.account, positions=((instrument, whole),))

    return [
        lambda: scene.bend_account(take.account, cash=CASH_MAX - change + 1),
        lambda: scene.bend_account(take.account, cash=-CASH_MAX - change - 1),
        lambda: crowd_bidder(scene, 1),
        lambda: crowd_bidder(scene, 2),
        grow_large,
        lambda: scene.bend_op(value=-(1 << 127)),
        lambda: scene.write(leaf_key(Collection.ASSETS, 0), b""),
        *break_account(scene, rng),
        *break_target(scene, rng),
    ]


def leave_margin(scene: Scene, rest: int) -> None:
    """So much beyond the bidder's initial margin after the deal."""
    take, params, now = scene.decoded, scene.ledger.get_params(), scene.ledger.get_globals().time
    after = compute_bidder(scene.ledger, take)
    quotes = drop_stale_spots(read_quotes(scene.ledger, after, params), now, params)
    margin = compute_account_margin(after, quotes, now, params)
    held = scene.account(take.account)
    scene.bend_account(take.account, cash=held.cash - margin.initial + rest)


def break_margin(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """A unit short, or a price that is stale, halted or missing; or a subject that does not exist."""
    take, params, now = scene.decoded, scene.ledger.get_params(), scene.ledger.get_globals().time
    held = [instrument.underlying for instrument, _ in compute_bidder(scene.ledger, take).positions] or [0]

    def keep(bend: Bend) -> None:
        leave_margin(scene, rng.randint(0, 10**9))
        bend()

    prices: list[Bend] = [
        lambda: scene.bend_underlying(held[0], oracle_time=now - params.price_age_max - 1),
        lambda: scene.bend_underlying(held[-1], halted_until=now + 1),
        lambda: scene.write(underlying_key(held[0]), b""),
        lambda: crowd_bidder(scene, 1),
    ]
    return [
        lambda: leave_margin(scene, -1),
        lambda: leave_margin(scene, -rng.randint(1, 10**12)),
        *((partial(keep, bend) for bend in prices) if len(held) > 1 or held != [0] else ()),
        *break_account(scene, rng),
        *break_target(scene, rng),
    ]


BREAKS: dict[Code, Breaker] = {
    Code.TAKE_MUST_DECODE: break_bytes(break_fields),
    Code.TAKE_POSITION_MUST_INCREASE: break_position,
    Code.TAKE_ACCOUNT_MUST_EXIST: break_account,
    Code.TAKE_TARGET_MUST_BE_OPEN: break_openness,
    Code.TAKE_MUST_NOT_BE_EXPIRED: break_validity,
    Code.TAKE_SEQUENCE_MUST_RISE: break_sequence,
    Code.TAKE_MARGIN_MUST_MATCH: break_claims,
    Code.TAKE_SLICE_MUST_BE_NEEDED: break_need,
    Code.TAKE_DISCOUNT_MUST_SUFFICE: break_discount,
    Code.TAKE_BIDDER_MUST_FIT: break_fit,
    Code.TAKE_BIDDER_MARGIN_MUST_HOLD: break_margin,
    Code.TAKE_KEY_MUST_BE_LIVE: break_key,
    Code.TAKE_SIGNATURE_MUST_VERIFY: break_signature,
}


# Stories


@pytest.mark.parametrize("code", BREAKS, ids=lambda code: code.name)
def test_a_failed_check_convicts(court: Court, world: World, seed: int, code: Code) -> None:
    """Each check, broken in every known way, convicts the bid that passed it until then."""
    rng = random.Random(seed)
    assert_breaks(court, partial(find_bid, world, rng), code, BREAKS[code], rng, ROUNDS)


def test_every_check_is_broken() -> None:
    """Of the kinds here none is left out."""
    assert set(BREAKS) == {code for code in Code if code // 100 == Kind.TAKE}


def test_honest_bids_stand(court: Court, world: World, seed: int) -> None:
    """No ground convicts a bid that was played, and EFFECT convicts it with any other root."""
    rng = random.Random(seed)
    for _ in range(6):
        world.play(find_bid(world, rng).op)
        court.assert_acquits(world.steps[-1])
        court.assert_convicts_root(world.steps[-1])


def test_the_price_is_the_same_at_any_second(court: Court, world: World, seed: int) -> None:
    """Discount, the fund's part, penalty and repaid debt, for any claims, clocks and books, give one root."""
    rng = random.Random(seed)
    for _ in range(60):
        scene = find_bid(world, rng)
        now, params = scene.ledger.get_globals().time, scene.ledger.get_params()
        target = scene.account(scene.decoded.target)
        scene.bend_params(auction_seconds=rng.choice((1, 600, 601)), penalty_ppm=rng.choice((0, 20_000, 1_500_000)))
        clock = "close_from" if target.liquidation_from == 0 else "liquidation_from"
        delay = params.close_delay if clock == "close_from" else 0
        elapsed = rng.choice((-(delay // 2), 0, 1, rng.randint(0, 2_000)))
        scene.bend_account(scene.decoded.target, **{clock: now - delay - elapsed})
        scene.bend_books(fund=rng.choice((-9, 0, 5, 10**15)), bad_debt=rng.choice((0, 1, 10**6)))
        if rng.random() < 0.7:
            scene.bend_op(
                equity=rng.randint(-(10**13), 10**13),
                maintenance=rng.randint(-(10**13), 10**13),
                value=rng.randint(-(10**13), 10**13),
                relief=rng.choice((0, 1, rng.randint(0, 10**13))),
            )
        assert_same_effect(court, scene)
        for code in (Code.TAKE_DISCOUNT_MUST_SUFFICE, Code.TAKE_SLICE_MUST_BE_NEEDED):
            court.judge(dispute(scene.played, check_ground(code)))


def test_what_is_just_allowed_does_not_convict(court: Court, world: World, seed: int) -> None:
    """The first and the last second, the least discount, the last unit of margin, all positions that fit."""
    rng = random.Random(seed)
    for _ in range(5):
        scene = find_bid(world, rng)
        take, now = scene.decoded, scene.ledger.get_globals().time
        scene.bend_op(valid_until=now, discount_min=read_price(scene.ledger, take).discount)
        leave_margin(scene, 0)
        for code in (
            Code.TAKE_MUST_NOT_BE_EXPIRED,
            Code.TAKE_DISCOUNT_MUST_SUFFICE,
            Code.TAKE_BIDDER_MARGIN_MUST_HOLD,
        ):
            assert not court.judge(dispute(scene.played, check_ground(code)))
        crowd_bidder(scene, 0)
        scene.bend_account(take.account, cash=0)
        court.judge(dispute(scene.played, check_ground(Code.TAKE_BIDDER_MUST_FIT)))
        assert_same_effect(court, scene)


def test_no_exhibit_speaks_against_an_honest_bid(court: Court, option_world: World, seed: int) -> None:
    """Under any scenarios a true claim stands, and a bidder with just enough; a unit less falls under the worst."""
    rng = random.Random(seed)
    for _ in range(5):
        scene = find_bid(option_world, rng, has_options=True)
        assert not judge_any_exhibit(court, scene, Code.TAKE_MARGIN_MUST_MATCH, rng)
        leave_margin(scene, 0)
        assert not judge_any_exhibit(court, scene, Code.TAKE_BIDDER_MARGIN_MUST_HOLD, rng)
        leave_margin(scene, -1)
        assert judge_any_exhibit(court, scene, Code.TAKE_BIDDER_MARGIN_MUST_HOLD, rng)


def test_claims_are_true_to_the_unit_of_the_scenarios_named(court: Court, option_world: World, seed: int) -> None:
    """A unit too many falls by the worst scenarios, a unit too few by those that the op names; and so does a true
    number of other scenarios, unless these are as bad. No others that a proof exhibits change a verdict."""
    rng, code = random.Random(seed), Code.TAKE_MARGIN_MUST_MATCH
    stood = fell = 0
    while min(stood, fell) < 2:
        scene = find_bid(option_world, rng, has_options=True)
        take, honest = scene.decoded, scene.op
        for by in (-1, 1):
            for changes in (
                {"maintenance": take.maintenance + by, "relief": take.relief - by},
                {"relief": take.relief + by},
            ):
                if min(changes.values()) >= 0 or changes["relief"] >= 0:
                    scene.bend_op(**changes)
                    assert judge_any_exhibit(court, scene, code, rng)
                    scene.bend_bytes(honest)
        for named in ({"target_active": draw_active(rng)}, {"rest_active": draw_active(rng)}):
            scene.bend_op(**named)
            fails = judge_any_exhibit(court, scene, code, rng)
            stood, fell = stood + (not fails), fell + fails
            scene.bend_bytes(honest)


def test_a_margin_under_other_scenarios_is_none(court: Court, option_world: World, seed: int) -> None:
    """Whoever claims what other scenarios leave, and names them, claims too much, unless it is as much."""
    rng, fell = random.Random(seed), 0
    while fell < 3:
        scene = find_bid(option_world, rng, has_options=True)
        take = scene.decoded
        scales, _ = weigh_slice(scene.ledger, scene.account(take.target), take.slice_ppm)
        target_active, rest_active = draw_active(rng), draw_active(rng)
        target, rest = scales.compute_after(target_active), scales.compute_before(rest_active)
        relief = (target.equity - target.maintenance) - (rest.equity - rest.maintenance)
        if relief >= 0:
            scene.bend_op(
                maintenance=target.maintenance, relief=relief, target_active=target_active, rest_active=rest_active
            )
            fails = judge_any_exhibit(court, scene, Code.TAKE_MARGIN_MUST_MATCH, rng)
            assert fails >= (target.maintenance > take.maintenance)
            fell += fails


def test_a_bidder_who_holds_it_already_nets(court: Court, world: World, seed: int) -> None:
    """Parts join what the bidder holds, close it, or turn it around; of all that, and open interest, comes one root."""
    rng = random.Random(seed)
    for _ in range(20):
        scene = find_bid(world, rng)
        take = scene.decoded
        held = [
            (instrument, rng.choice((-1, 1)) * max(abs(quantity) * take.slice_ppm // PPM, 1) * rng.choice((1, 1, 2)))
            for instrument, quantity in scene.account(take.target).positions
            if rng.random() < 0.8
        ]
        others = [(Instrument(2, 1, strike, FUTURE), rng.randint(1, 9)) for strike in range(rng.randrange(40))]
        scene.bend_account(take.account, positions=tuple(sorted((*held, *others))))
        for underlying in range(5):
            scene.bend_underlying(underlying, open_interest=1 << 50)
        assert_same_effect(court, scene)
        for underlying in range(5):
            scene.bend_underlying(underlying, open_interest=0)
        court.judge(dispute(scene.played, EFFECT))


BEYOND: dict[str, Callable[[Scene], object]] = {
    "the last position": lambda scene: scene.bend_op(position=NEVER),
    "oneself": lambda scene: scene.bend_op(target=scene.decoded.account),
    "no bidder": lambda scene: scene.write(account_key(scene.decoded.account), b""),
    "no target": lambda scene: scene.write(account_key(scene.decoded.target), b""),
    "no auction": lambda scene: scene.bend_account(scene.decoded.target, liquidation_from=0, close_from=0),
    "no auction yet": lambda scene: scene.bend_account(scene.decoded.target, liquidation_from=NEVER),
    "no room": lambda scene: crowd_bidder(scene, 1),
    "a value that no cash can pay": lambda scene: scene.bend_op(value=-(1 << 127)),
    "a value that no cash can be": lambda scene: scene.bend_op(value=(1 << 127) - 1),
    "no books": lambda scene: scene.write(leaf_key(Collection.ASSETS, 0), b""),
}


@pytest.mark.parametrize("what", BEYOND)
def test_effect_that_cannot_be_shows_nothing(court: Court, world: World, seed: int, what: str) -> None:
    """A bid that lacks a leaf, or would pass a bound, is convicted by a check, and by no root."""
    rng = random.Random(seed)
    for _ in range(4):
        scene = find_bid(world, rng)
        scene.bend_op(slice_ppm=PPM)
        for account in (scene.decoded.account, scene.decoded.target):
            scene.bend_account(account, cash=10**20)
        BEYOND[what](scene)
        assert not court.judge(dispute(scene.played, EFFECT))


def test_absurd_claims_revert_nothing(court: Court, world: World, seed: int) -> None:
    """Claims at the ends of their fields are judged on every ground, and alike."""
    rng = random.Random(seed)
    ends = (-(1 << 127), (1 << 127) - 1, -1, 0, 1)
    for _ in range(40):
        scene = find_bid(world, rng)
        scene.bend_op(
            equity=rng.choice(ends),
            maintenance=rng.choice(ends),
            value=rng.choice(ends),
            relief=rng.choice((0, 1, (1 << 128) - 1)),
        )
        for code in Code:
            if code // 100 == Kind.TAKE:
                court.judge(dispute(scene.played, check_ground(code)))
        court.judge(dispute(scene.played, EFFECT))


def test_judges_agree_on_any_bytes(court: Court, world: World, seed: int) -> None:
    """Whatever bytes stand in a bid, both judges say the same on every ground."""
    rng = random.Random(seed)
    assert_agrees_on_any_bytes(court, partial(find_bid, world, rng), rng, 25)


def test_a_corrupted_witness_never_convicts(court: Court, world: World, seed: int) -> None:
    """No change of a witness makes a valid bid look wrong."""
    rng = random.Random(seed)
    assert_corruption_shows_nothing(court, [find_bid(world, rng).honest], rng, 120)


def test_bids_are_for_both_kinds_of_sale(world: World, seed: int) -> None:
    """Accounts are for sale because they are short of margin, and because their owners said so."""
    rng = random.Random(seed)
    ways = Counter(scene_is_liquidation(find_bid(world, rng)) for _ in range(40))
    assert min(ways[True], ways[False]) > 2, ways


def scene_is_liquidation(scene: Scene) -> bool:
    """Whether the target is for sale because it is short of margin."""
    target = scene.account(scene.decoded.target)
    assert is_for_sale(target, scene.ledger.get_globals().time)
    return replace(target, close_from=0).liquidation_from > 0

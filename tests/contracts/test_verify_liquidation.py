"""settle, liquidate and interest before the contract: honest ones stand, wrong ones fall, and both judges agree."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from fraud_proofs.grounds import EFFECT, check_ground
from risk.parameter_sets import PARAMETER_SETS
from state.active_scenarios import weigh_account
from state.codes import Code, Kind
from state.constants import ACCOUNTS_MAX, EXPIRY_STEP, INTEREST_PERIOD, INTEREST_SECONDS_MAX, NEVER, PRICE_MAX
from state.leaves import CALL, FUTURE, PUT, Account, Asset, Instrument, perpetual
from state.operations import Liquidate, Settle
from state.process_interest import charge, claim_interest
from state.process_liquidate import claim_liquidate, is_margin_bad
from state.tree import Collection, account_key, expiry_key, leaf_key, underlying_key
from state.valuation import compute_account_margin, read_quotes
from tests.contracts.breakers import break_account, break_bytes, break_position
from tests.contracts.court import Court, dispute
from tests.contracts.exhibits import draw_options, find_other_active, judge_under
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
from tests.world import MIX, WEEK, World

ROUNDS = 15
"""How often every check is violated, at least; and in each known way."""

KINDS = (Kind.SETTLE, Kind.LIQUIDATE, Kind.INTEREST)
LATER = WEEK + 7 * EXPIRY_STEP


@pytest.fixture(scope="module")
def court() -> Court:
    """The contract, deployed once with those that know margin: none has state."""
    return Court("verify_liquidation")


@pytest.fixture
def world(seed: int) -> World:
    """A market in full swing."""
    return play_market(open_random_market(seed), seed)


@pytest.fixture
def option_world(seed: int) -> World:
    """The same under rules of many scenarios."""
    return play_market(open_random_market(seed, PARAMETER_SETS["keel"]), seed)


def play_market(world: World, seed: int) -> World:
    """People trade, and prices are young."""
    play_random_trades(world, random.Random(seed), 5)
    refresh_prices(world, random.Random(seed))
    return world


# Valid ops


def draw_positions(rng: random.Random) -> tuple[tuple[Instrument, int], ...]:
    """A few of everything, on two underlyings and in two expiries."""
    pool = [perpetual(0), perpetual(1), perpetual(MIX)]
    for underlying in (0, MIX):
        for expiry in (WEEK, LATER):
            pool.append(Instrument(underlying, expiry, 0, FUTURE))
            pool += [
                Instrument(underlying, expiry, strike, kind) for strike in (16_000, 17_000) for kind in (PUT, CALL)
            ]
    drawn = sorted(rng.sample(pool, rng.randint(6, len(pool))))
    return tuple((instrument, rng.choice((-1, 1)) * rng.randint(1, 1 << rng.randint(1, 40))) for instrument in drawn)


def settle_somebody(world: World, rng: random.Random) -> Scene:
    """Somebody who holds what has expired, at a time when some of it has its price."""
    scene = Scene(world.here, world.state.leaves, b"")
    account = world.person(rng.choice(PEOPLE)).account
    scene.bend_account(account, positions=((Instrument(0, WEEK, 0, FUTURE), 1), *draw_positions(rng)[6:]))
    for underlying in (0, 1, MIX):
        scene.bend_underlying(underlying, open_interest=1 << 50)
    scene.bend_expiry(0, WEEK, settlement=rng.choice((1, PRICE_MAX - 1, rng.randint(15_000, 18_000))))
    for underlying, expiry in ((0, LATER), (MIX, WEEK), (MIX, LATER)):
        scene.bend_expiry(underlying, expiry, settlement=rng.choice((0, rng.randint(15_000, 18_000))))
    scene.bend_globals(time=rng.choice((WEEK, LATER - 1, LATER, LATER + 99)))
    scene.bend_bytes(Settle(world.position, account).encode())
    return scene


def liquidate_somebody(world: World, rng: random.Random) -> Scene:
    """Somebody who is short of margin or owes too much for the first time, or who is well again."""
    scene = Scene(world.here, world.state.leaves, b"")
    account = world.person(rng.choice(PEOPLE)).account
    if rng.random() < 0.3:
        scene.bend_account(account, positions=())
    elif rng.random() < 0.5:
        scene.bend_account(account, positions=draw_options(scene, rng))
    held, params, now = scene.account(account), scene.ledger.get_params(), scene.ledger.get_globals().time
    margin = compute_account_margin(held, read_quotes(scene.ledger, held, params), now, params)
    if rng.random() < 0.3:
        scene.bend_params(quote_debt_max=rng.choice((0, 10**9)))
        owed = margin.quote_equity + scene.ledger.get_params().quote_debt_max
    else:
        owed = margin.maintenance
    is_bad = rng.random() < 0.5
    scene.bend_account(
        account,
        cash=held.cash - owed - (1 if is_bad else -rng.randint(0, 9)),
        liquidation_from=0 if is_bad else rng.randint(1, now),
        epoch=rng.choice((0, 7, (1 << 32) - 1)),
    )
    if is_only_debt_left(scene.account(account)) or not is_bad_as_claimed(scene, account, is_bad):
        return liquidate_somebody(world, rng)
    scene.bend_bytes(claim_liquidate(scene.ledger, world.position, account).encode())
    return scene


def charge_somebody(world: World, rng: random.Random) -> Scene:
    """Somebody who owes for the first time, or has owed for a period, or owes no longer."""
    scene = Scene(world.here, world.state.leaves, b"")
    account = world.person(rng.choice(PEOPLE)).account
    held, now = scene.account(account), scene.ledger.get_globals().time
    owed = claim_interest(scene.ledger, 0, account).quote_equity
    elapsed = rng.choice((INTEREST_PERIOD, INTEREST_PERIOD + rng.randint(0, 5_000), INTEREST_SECONDS_MAX, 1 << 40))
    begun, debt = max(1, now - elapsed), rng.randint(1, 1 << rng.randint(1, 90))
    target, interest_from = rng.choice(((-debt, 0), (-debt, begun), (0, begun), (5, begun)))
    scene.bend_account(account, cash=held.cash - owed + target, interest_from=interest_from, liquidation_from=0)
    scene.bend_params(debt_rate_ppm=rng.choice((1, 100_000, (1 << 32) - 1)))
    scene.bend_books(fund=rng.choice((-5, 0, 10**9)), bad_debt=rng.choice((0, 1, 10**30)))
    scene.bend_bytes(claim_interest(scene.ledger, world.position, account).encode())
    return scene


def is_only_debt_left(account: Account) -> bool:
    """Such a one can always be liquidated."""
    return not account.positions and not account.collateral and account.cash < 0


def is_bad_as_claimed(scene: Scene, account: int, is_bad: bool) -> bool:
    """Whether both bounds together say what one of them was set to."""
    claims = claim_liquidate(scene.ledger, 0, account)
    owed_max = scene.ledger.get_params().quote_debt_max
    return (claims.maintenance < 0 or claims.quote_equity < -owed_max) == is_bad


FIND: dict[Kind, Callable[[World, random.Random], Scene]] = {
    Kind.SETTLE: settle_somebody,
    Kind.LIQUIDATE: liquidate_somebody,
    Kind.INTEREST: charge_somebody,
}


# The rules, each broken in every way that we know


def break_names(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """An account that there cannot be."""
    return [partial(scene.bend_op, account=account) for account in (0, ACCOUNTS_MAX, (1 << 32) - 1)]


def break_settlement(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """Nothing has expired yet, or has its price, or is held; or nobody is there."""
    account = scene.decoded.account

    def settle_none() -> None:
        for underlying in (0, MIX):
            for expiry in (WEEK, LATER):
                scene.bend_expiry(underlying, expiry, settlement=0)

    def forget_all() -> None:
        for underlying in (0, MIX):
            for expiry in (WEEK, LATER):
                scene.write(expiry_key(underlying, expiry), b"")

    return [
        settle_none,
        forget_all,
        lambda: scene.bend_globals(time=WEEK - 1),
        lambda: scene.bend_account(account, positions=((perpetual(0), 5),)),
        lambda: scene.bend_account(account, positions=()),
        *break_account(scene, rng),
    ]


def break_claims(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """A number is another, or not what the scenarios named show; or the prices are too old, or one is missing; or there
    is nobody."""
    op, params = scene.decoded, scene.ledger.get_params()
    held = scene.account(op.account)
    quotes = read_quotes(scene.ledger, held, params)
    bends: list[Bend] = [
        partial(scene.bend_op, **{field: getattr(op, field) + by})
        for field in ("equity", "maintenance", "quote_equity")
        if hasattr(op, field)
        for by in (-1, 1, 1 << 126)
        if getattr(op, field) + by < 1 << 127
    ]
    if isinstance(op, Liquidate):
        other = find_other_active(scene, op.account, rng)
        # A shortfall pretended or denied.
        turned = 0 if op.maintenance < 0 else -1
        bends.append(partial(scene.bend_op, maintenance=turned, active=other or op.active))
        if other is not None:
            bends.append(partial(scene.bend_op, active=other))
    bends += [partial(scene.write, underlying_key(underlying), b"") for underlying in quotes.underlyings]
    bends += [partial(scene.write, expiry_key(*key), b"") for key in quotes.expiries]
    if held.positions:
        oldest = min(quotes.underlyings[instrument.underlying].oracle_time for instrument, _ in held.positions)
        bends.append(lambda: scene.bend_globals(time=oldest + params.price_age_max + 1))
    return [*bends, *break_account(scene, rng)]


def break_change(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """Up for sale already, or not and well; or nobody is there. The claims decide: others ask whether they are true."""
    account = scene.decoded.account
    turned = 0 if scene.account(account).liquidation_from else rng.randint(1, 99)
    return [lambda: scene.bend_account(account, liquidation_from=turned), *break_account(scene, rng)]


def break_interest(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """The clock has not run for a period, or need not run, or is an auction's; there is no rate; or nobody is there."""
    op, now = scene.decoded, scene.ledger.get_globals().time
    if op.quote_equity >= 0:
        return [lambda: scene.bend_account(op.account, interest_from=0), *break_account(scene, rng)]
    return [
        lambda: scene.bend_account(op.account, interest_from=now - INTEREST_PERIOD + 1),
        lambda: scene.bend_account(op.account, interest_from=now),
        lambda: scene.bend_account(op.account, interest_from=NEVER),
        lambda: scene.bend_account(op.account, liquidation_from=rng.randint(1, now)),
        lambda: scene.bend_params(debt_rate_ppm=0),
        *break_account(scene, rng),
    ]


BREAKS: dict[Code, Breaker] = {
    Code.SETTLE_MUST_DECODE: break_bytes(break_names),
    Code.SETTLE_POSITION_MUST_INCREASE: break_position,
    Code.SETTLE_ACCOUNT_MUST_EXIST: break_account,
    Code.SETTLE_MUST_FIND_SETTLED: break_settlement,
    Code.LIQUIDATE_MUST_DECODE: break_bytes(break_names),
    Code.LIQUIDATE_POSITION_MUST_INCREASE: break_position,
    Code.LIQUIDATE_ACCOUNT_MUST_EXIST: break_account,
    Code.LIQUIDATE_MARGIN_MUST_MATCH: break_claims,
    Code.LIQUIDATE_MUST_CHANGE: break_change,
    Code.INTEREST_MUST_DECODE: break_bytes(break_names),
    Code.INTEREST_POSITION_MUST_INCREASE: break_position,
    Code.INTEREST_ACCOUNT_MUST_EXIST: break_account,
    Code.INTEREST_QUOTE_EQUITY_MUST_MATCH: break_claims,
    Code.INTEREST_MUST_CHANGE: break_interest,
}


# Stories


@pytest.mark.parametrize("code", BREAKS, ids=lambda code: code.name)
def test_a_failed_check_convicts(court: Court, world: World, seed: int, code: Code) -> None:
    """Each check, broken in every known way, convicts the op that passed it until then."""
    rng = random.Random(seed)
    find = partial(FIND[Kind(code // 100)], world, rng)
    assert_breaks(court, find, code, BREAKS[code], rng, ROUNDS)


def test_every_check_is_broken() -> None:
    """Of the kinds here none is left out."""
    assert set(BREAKS) == {code for code in Code if code // 100 in KINDS}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_effects_are_the_same(court: Court, world: World, seed: int, kind: Kind) -> None:
    """Whatever settles, starts or ends, rules and contract compute one root."""
    rng = random.Random(seed)
    for _ in range(20):
        assert_same_effect(court, FIND[kind](world, rng))


def test_what_is_left_of_a_debt_is_everybodys(court: Court, world: World, seed: int) -> None:
    """The fund pays as far as it can, also where it is in debt itself, and bad debt takes the rest."""
    rng = random.Random(seed)
    for fund in (-5, 0, 1, 10**6, 10**9, 10**12):
        scene = liquidate_somebody(world, rng)
        account = scene.decoded.account
        empty: dict[str, Any] = {"positions": (), "collateral": (), "cash": -rng.choice((1, 10**9))}
        scene.bend_account(account, close_from=7, liquidation_from=rng.choice((0, 9)), **empty)
        scene.bend_books(fund=fund, bad_debt=rng.choice((0, 10**9)))
        assert_same_effect(court, scene)
    scene.bend_books(fund=0, bad_debt=(1 << 128) - 1)
    assert not court.judge(dispute(scene.played, EFFECT))


def test_a_debt_costs_its_rate_and_no_more_than_two_hours_of_it(world: World, seed: int) -> None:
    """Ten percent a year of a million dollars is 11.42 dollars an hour; whoever is charged late pays for two."""
    scene = charge_somebody(world, random.Random(seed))
    params, books = replace(scene.ledger.get_params(), debt_rate_ppm=100_000), Asset(fund=7, bad_debt=20_000_000)
    account = Account(bytes(20), cash=-(10**12), interest_from=1_000)
    for seconds, paid in ((3_600, 11_415_526), (7_200, 22_831_051), (86_400, 22_831_051), (0, 0)):
        charged, after = charge(account, books, -(10**12), params, 1_000 + seconds)
        assert account.cash - charged.cash == paid
        assert charged.interest_from == 1_000 + seconds
        assert after == Asset(fund=7 + max(0, paid - 20_000_000), bad_debt=max(0, 20_000_000 - paid))
    assert charge(account, books, -1, params, 4_600)[0].cash == account.cash - 1, "rounded up"
    assert charge(account, books, 0, params, 4_600) == (replace(account, interest_from=0), books)
    begun = replace(account, interest_from=0)
    assert charge(begun, books, -5, params, 4_600) == (replace(account, interest_from=4_600), books)


@pytest.mark.parametrize("code", [Code.LIQUIDATE_MARGIN_MUST_MATCH, Code.INTEREST_QUOTE_EQUITY_MUST_MATCH])
def test_no_exhibit_speaks_against_who_claims_what_is_true(
    court: Court, option_world: World, seed: int, code: Code
) -> None:
    """Short or not, in debt or not: whatever scenarios a prover exhibits, nothing is shown of a true claim."""
    rng = random.Random(seed)
    for _ in range(12):
        scene = FIND[Kind(code // 100)](option_world, rng)
        assert not judge_any_exhibit(court, scene, code, rng)
        if code is Code.LIQUIDATE_MARGIN_MUST_MATCH and scene.account(scene.decoded.account).positions:
            # What is exhibited for an account before, where there is one account, says nothing.
            assert not judge_under(court, scene, code, scene.decoded.active, draw_active(rng))


def test_a_margin_is_claimed_by_the_worst_scenarios(court: Court, option_world: World, seed: int) -> None:
    """Who names others is convicted, with the true number, with theirs or with a lower one, and who names the worst
    with any but the true one."""
    rng, code, tried = random.Random(seed), Code.LIQUIDATE_MARGIN_MUST_MATCH, 0
    while tried < 8:
        scene = liquidate_somebody(option_world, rng)
        honest = scene.decoded
        other = find_other_active(scene, honest.account, rng)
        if other is None:
            continue
        scales, _ = weigh_account(scene.ledger, scene.account(honest.account))
        left = scales.compute_after(other).maintenance
        for wrong in (
            {"active": other},
            {"active": other, "maintenance": left},
            {"active": other, "maintenance": honest.maintenance - 1},
            {"maintenance": left},
            {"maintenance": honest.maintenance - 1},
        ):
            assert judge_any_exhibit(court, bent(scene, **wrong), code, rng), wrong
        low = bent(scene, maintenance=honest.maintenance - 1)
        assert judge_under(court, low, code, other, honest.active)
        assert not judge_under(court, low, code, honest.active, other)
        # The eighth byte speaks of no underlying here, so any will do.
        assert not judge_any_exhibit(court, bent(scene, active=honest.active[:7] + b"\x63"), code, rng)
        tried += 1


def bent(scene: Scene, **changes: Any) -> Scene:
    """The same scene with another op."""
    return Scene(scene.context, scene.leaves, replace(scene.decoded, **changes))


def test_dust_of_collateral_alone_puts_nobody_up_for_auction(court: Court, world: World, seed: int) -> None:
    """A unit of ether whose haircut is rounded up stands a unit below 0; without position or debt that is nothing."""
    rng = random.Random(seed)
    scene = liquidate_somebody(world, rng)
    account, params = scene.decoded.account, scene.ledger.get_params()
    dust = replace(scene.account(account), positions=(), collateral=((1, 1),), cash=0, liquidation_from=0)
    assert is_margin_bad(replace(dust, cash=-1), -1, 0, params)
    assert is_margin_bad(replace(dust, positions=((perpetual(0), 1),)), -1, 0, params)
    assert not is_margin_bad(dust, -1, 0, params)
    scene.bend_account(account, positions=(), collateral=((1, 1),), cash=0, liquidation_from=0)
    scene.bend_op(maintenance=-1, quote_equity=0)
    assert court.judge(dispute(scene.played, check_ground(Code.LIQUIDATE_MUST_CHANGE)))
    scene.bend_account(account, liquidation_from=1)
    assert not court.judge(dispute(scene.played, check_ground(Code.LIQUIDATE_MUST_CHANGE)))
    assert_same_effect(court, scene)


def test_effect_that_cannot_be_shows_nothing(court: Court, world: World, seed: int) -> None:
    """An op that lacks a leaf, or would pass a bound, is convicted by a check, and by no root."""
    rng = random.Random(seed)
    for kind in KINDS:
        bends: list[Callable[[Scene], object]] = [
            lambda scene: scene.bend_op(position=NEVER),
            lambda scene: scene.write(account_key(scene.decoded.account), b""),
            lambda scene: scene.write(leaf_key(Collection.ASSETS, 0), b""),
        ]
        if kind is Kind.SETTLE:
            bends += [
                lambda scene: scene.bend_globals(time=WEEK - 1),
                lambda scene: scene.write(underlying_key(0), b""),
                lambda scene: scene.bend_underlying(0, open_interest=0),
            ]
        for bend in bends:
            scene = FIND[kind](world, rng)
            bend(scene)
            assert not court.judge(dispute(scene.played, EFFECT))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_judges_agree_on_any_bytes(court: Court, world: World, seed: int, kind: Kind) -> None:
    """Whatever bytes stand in an op, both judges say the same on every ground."""
    rng = random.Random(seed)
    assert_agrees_on_any_bytes(court, partial(FIND[kind], world, rng), rng, 25)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_corrupted_witness_never_convicts(court: Court, world: World, seed: int, kind: Kind) -> None:
    """No change of a witness makes a valid step look wrong."""
    rng = random.Random(seed)
    assert_corruption_shows_nothing(court, [FIND[kind](world, rng).honest], rng, 60)

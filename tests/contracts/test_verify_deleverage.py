"""deleverage before the contract: honest closings stand, wrong ones fall, and both judges agree in between."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import pytest

from fraud_proofs.grounds import EFFECT, check_ground
from fraud_proofs.witness import EXHIBIT_AT, WitnessLeaf
from risk.parameter_sets import PARAMETER_SETS
from state.codes import Code, Kind
from state.constants import ACCOUNTS_MAX, NEVER, PRICE_MAX, QUANTITY_MAX
from state.leaves import CALL, FUTURE, PUT, Instrument, perpetual
from state.process_deleverage import claim_deleverage, compute_value, find_first
from state.transition import PROCESSES
from state.tree import Collection, account_key, build_tree, expiry_key, leaf_key, underlying_key
from state.valuation import compute_account_margin, read_quotes
from tests.contracts.breakers import break_bytes, break_position
from tests.contracts.court import Court, Dispute, dispute
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
)
from tests.world import MIX, WEEK, World

ROUNDS = 15
"""How often every check is violated, at least; and in each known way."""

STRANGERS = ("eve", "fay")
"""They hold nothing until a test says so."""

TRADED = (
    perpetual(0),
    perpetual(MIX),
    Instrument(0, WEEK, 0, FUTURE),
    Instrument(0, WEEK, 17_000_000, PUT),
    Instrument(0, WEEK, 18_000_000, CALL),
)


@pytest.fixture(scope="module")
def court() -> Court:
    """The contract, deployed once with those that know margin: none has state."""
    return Court("verify_deleverage")


@pytest.fixture
def world(seed: int) -> World:
    """A market with prices and people, in which nobody has traded yet."""
    return admit_strangers(open_random_market(seed))


@pytest.fixture
def option_world(seed: int) -> World:
    """The same under rules of many scenarios."""
    return admit_strangers(open_random_market(seed, PARAMETER_SETS["keel"]))


def admit_strangers(world: World) -> World:
    """Some come who hold nothing."""
    for name in STRANGERS:
        world.deposit(name, 10**9)
    return world


# Valid ops


def find_closing(world: World, rng: random.Random) -> Scene:
    """A bankrupt on one side, three on the other, and the closing of the first of them."""
    scene = Scene(world.here, world.state.leaves, b"")
    now, params = scene.ledger.get_globals().time, scene.ledger.get_params()
    instrument, sign = rng.choice(TRADED), rng.choice((-1, 1))
    names = rng.sample(PEOPLE, 4)
    bankrupt, *others = (world.person(name).account for name in names)
    lots = rng.randint(2, 2_000)
    extra = {one: rng.randint(-50, 50) for one in (perpetual(1), perpetual(2))}
    if rng.random() < 0.5:
        extra |= dict(draw_options(scene, rng))
    held = {one: quantity for one, quantity in extra.items() if quantity} | {instrument: sign * lots}
    scene.bend_account(bankrupt, positions=tuple(sorted(held.items())), collateral=())
    for other in others:
        scene.bend_account(other, positions=((instrument, -sign * rng.randint(1, lots)),))
        scene.bend_account(other, cash=rng.choice((10**12, rng.randint(-(10**11), 10**11))))
    account = scene.account(bankrupt)
    margin = compute_account_margin(account, read_quotes(scene.ledger, account, params), now, params)
    owed = margin.equity if rng.random() < 0.7 else margin.maintenance
    scene.bend_account(
        bankrupt,
        cash=account.cash - owed - rng.choice((1, rng.randint(1, 10**12))),
        liquidation_from=now - 2 * params.auction_seconds - rng.choice((0, rng.randint(1, 10**6))),
    )
    scene.bend_underlying(instrument.underlying, open_interest=10**6)
    scene.bend_books(fund=rng.choice((-5, 0, 10**9)))
    draft = claim_deleverage(scene.ledger, world.position, bankrupt, others[0], instrument, 1)
    value = compute_value(scene.ledger, draft, scene.underlying(instrument.underlying))
    first = find_first(scene.ledger, instrument, value, -sign)
    assert first is not None
    quantity = rng.choice((1, min(lots, first.lots)))
    scene.bend_bytes(replace(draft, counterparty=first.account, quantity=quantity).encode())
    assert all(check(scene.ledger, scene.context, scene.decoded) for _, check in PROCESSES[Kind.DELEVERAGE].checks)
    return scene


# The rules, each broken in every way that we know


def break_fields(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """An account, an instrument, a quantity or a mark that there cannot be."""
    instruments = (
        perpetual(64),
        perpetual(0)._replace(strike=1),
        Instrument(0, WEEK + 1, 0, FUTURE),
        Instrument(0, WEEK, 100_100, CALL),
        Instrument(0, WEEK, 100, 4),
    )
    changes: tuple[dict[str, object], ...] = (
        {"bankrupt": 0},
        {"bankrupt": ACCOUNTS_MAX},
        {"counterparty": 0},
        {"counterparty": ACCOUNTS_MAX},
        {"quantity": 0},
        {"quantity": QUANTITY_MAX + 1},
        {"mark": PRICE_MAX},
        *({"instrument": instrument} for instrument in instruments),  # type: ignore[arg-type]
    )
    return [partial(scene.bend_op, **change) for change in changes]


def lose(scene: Scene, *names: str) -> Sequence[Bend]:
    """Nobody is there."""
    return [partial(scene.write, account_key(getattr(scene.decoded, name)), b"") for name in names]


def break_accounts(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """One account on both sides, or nobody on one."""
    op = scene.decoded
    return [
        lambda: scene.bend_op(counterparty=op.bankrupt),
        lambda: scene.bend_op(bankrupt=op.counterparty),
        *lose(scene, "bankrupt", "counterparty"),
    ]


def break_due(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """A second too early, or no auction at all; or nobody is there."""
    now, length = scene.ledger.get_globals().time, scene.ledger.get_params().auction_seconds
    clocks = (0, now - 2 * length + 1, now, NEVER)
    bends = [partial(scene.bend_account, scene.decoded.bankrupt, liquidation_from=clock) for clock in clocks]
    return [*bends, *lose(scene, "bankrupt")]


def break_claims(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """A number is another, or not what the scenarios named show; or the bankrupt is none, or a price is too old or
    missing; or nobody is there."""
    op, params = scene.decoded, scene.ledger.get_params()
    held = scene.account(op.bankrupt)
    quotes = read_quotes(scene.ledger, held, params)

    def recover() -> None:
        scene.bend_account(op.bankrupt, cash=held.cash - op.maintenance)
        scene.bend_op(equity=op.equity - op.maintenance, maintenance=0)

    def grow_old(underlying: int) -> None:
        now = scene.ledger.get_globals().time
        scene.bend_underlying(underlying, oracle_time=now - params.price_age_max - 1)

    other = find_other_active(scene, op.bankrupt, rng)
    return [
        recover,
        *([] if other is None else [partial(scene.bend_op, active=other)]),
        partial(scene.bend_op, maintenance=op.maintenance - 1, active=other or op.active),
        *(
            partial(scene.bend_op, **{field: getattr(op, field) + by})
            for field in ("equity", "maintenance")
            for by in (-1, 1)
        ),
        *(partial(grow_old, instrument.underlying) for instrument, _ in held.positions),
        *(partial(scene.write, underlying_key(underlying), b"") for underlying in quotes.underlyings),
        *(partial(scene.write, expiry_key(*key), b"") for key in quotes.expiries),
        *lose(scene, "bankrupt"),
    ]


def break_mark(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """Another mark, or none."""
    op = scene.decoded
    other = (op.mark + rng.choice((1, -1))) % PRICE_MAX
    bends: list[Bend] = [
        lambda: scene.bend_op(mark=other),
        lambda: scene.write(underlying_key(op.instrument.underlying), b""),
    ]
    if op.instrument.expiry:
        bends.append(lambda: scene.write(expiry_key(op.instrument.underlying, op.instrument.expiry), b""))
        bends.append(lambda: scene.bend_expiry(op.instrument.underlying, op.instrument.expiry, settlement=10**6))
    return bends


def break_notional(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """Another sum, or a mark that is not there; or nobody is there."""
    op = scene.decoded
    underlyings = [instrument.underlying for instrument, _ in scene.account(op.bankrupt).positions]
    return [
        lambda: scene.bend_op(notional=op.notional + rng.choice((-1, 1))),
        lambda: scene.bend_op(notional=0),
        *(partial(scene.write, underlying_key(underlying), b"") for underlying in underlyings),
        *lose(scene, "bankrupt"),
    ]


def break_quantity(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """A lot more than one of both holds, or the same side, or nothing; or nobody is there."""
    op = scene.decoded
    sign = 1 if scene.account(op.bankrupt).get_position(op.instrument) > 0 else -1

    def hold(name: str, lots: int) -> None:
        scene.bend_account(getattr(op, name), positions=((op.instrument, lots),) if lots else ())

    return [
        lambda: hold("bankrupt", sign * (op.quantity - 1)),
        lambda: hold("counterparty", -sign * (op.quantity - 1)),
        lambda: hold("bankrupt", -sign * op.quantity),
        lambda: hold("counterparty", sign * op.quantity),
        lambda: hold("bankrupt", 0),
        lambda: hold("counterparty", 0),
        *lose(scene, "bankrupt", "counterparty"),
    ]


def break_rank(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """Somebody comes before: by a hair, without any wealth, or by his number; or a subject does not exist."""
    op, names = scene.decoded, [scene.account(i) for i in range(1, scene.ledger.get_globals().account_count)]
    counterparty = scene.account(op.counterparty)
    held = counterparty.get_position(op.instrument)
    stranger = len(names)

    def rank_before(lots: int, wealth: int) -> None:
        """Let a stranger, who has the last number, hold so much with so much wealth."""
        value = compute_value(scene.ledger, op, scene.underlying(op.instrument.underlying))
        scene.bend_account(stranger, positions=((op.instrument, lots),), cash=wealth - lots * value, collateral=())

    def enrich(wealth: int) -> None:
        value = compute_value(scene.ledger, op, scene.underlying(op.instrument.underlying))
        scene.bend_account(op.counterparty, cash=wealth - held * value)

    def outdo() -> None:
        enrich(10**9)
        rank_before(held, 10**9 - 1)

    def outdo_by_lots() -> None:
        enrich(10**9)
        rank_before(held + (1 if held > 0 else -1), 10**9)

    def outdo_by_ruin() -> None:
        enrich(1)
        rank_before(1 if held > 0 else -1, rng.choice((0, -(10**12))))

    def outdo_by_number() -> None:
        wealth = rng.choice((10**9, 0, -5))
        enrich(wealth)
        account = scene.account(op.counterparty)
        scene.bend_account(stranger, positions=account.positions, cash=account.cash)
        scene.bend_op(counterparty=stranger)

    return [
        outdo,
        outdo_by_lots,
        outdo_by_ruin,
        outdo_by_number,
        lambda: scene.write(underlying_key(op.instrument.underlying), b""),
        *lose(scene, "counterparty"),
    ]


BREAKS: dict[Code, Breaker] = {
    Code.DELEVERAGE_MUST_DECODE: break_bytes(break_fields),
    Code.DELEVERAGE_POSITION_MUST_INCREASE: break_position,
    Code.DELEVERAGE_ACCOUNTS_MUST_EXIST: break_accounts,
    Code.DELEVERAGE_MUST_BE_DUE: break_due,
    Code.DELEVERAGE_MARGIN_MUST_MATCH: break_claims,
    Code.DELEVERAGE_MARK_MUST_MATCH: break_mark,
    Code.DELEVERAGE_NOTIONAL_MUST_MATCH: break_notional,
    Code.DELEVERAGE_QUANTITY_MUST_FIT: break_quantity,
    Code.DELEVERAGE_RANK_MUST_BE_FIRST: break_rank,
}


# Stories


@pytest.mark.parametrize("code", BREAKS, ids=lambda code: code.name)
def test_a_failed_check_convicts(court: Court, world: World, seed: int, code: Code) -> None:
    """Each check, broken in every known way, convicts the closing that passed it until then."""
    rng = random.Random(seed)
    assert_breaks(court, partial(find_closing, world, rng), code, BREAKS[code], rng, ROUNDS)


def test_every_check_is_broken() -> None:
    """Of the kinds here none is left out."""
    assert set(BREAKS) == {code for code in Code if code // 100 == Kind.DELEVERAGE}


def test_both_sides_close_at_one_price(court: Court, world: World, seed: int) -> None:
    """Long or short, of whatever, with any fund and any claims, rules and contract compute one root."""
    rng = random.Random(seed)
    for _ in range(40):
        scene = find_closing(world, rng)
        if rng.random() < 0.6:
            scene.bend_op(
                equity=-rng.choice((0, 1, 10**9, rng.randint(1, 10**14))),
                notional=rng.choice((0, 1, scene.decoded.notional + 7)),
                mark=rng.choice((0, 1, scene.decoded.mark)),
            )
        assert_same_effect(court, scene)


def test_no_exhibit_speaks_against_who_claims_what_is_true(court: Court, option_world: World, seed: int) -> None:
    """Whatever scenarios a prover exhibits, nothing is shown of a bankrupt who is as short as claimed; who is less so
    is found by those that are named."""
    rng, code = random.Random(seed), Code.DELEVERAGE_MARGIN_MUST_MATCH
    for _ in range(12):
        scene = find_closing(option_world, rng)
        assert not judge_any_exhibit(court, scene, code, rng)
        # What is exhibited for an account before, where there is one account, says nothing.
        assert not judge_under(court, scene, code, scene.decoded.active, draw_active(rng))
        scene.bend_op(maintenance=scene.decoded.maintenance - 1)
        assert judge_under(court, scene, code, draw_active(rng), scene.decoded.active)


def test_who_has_recovered_is_closed_with_by_no_claim(court: Court, option_world: World, seed: int) -> None:
    """Neither his true margin nor a shortfall that is made up, under whatever scenarios are named, passes."""
    rng, code = random.Random(seed), Code.DELEVERAGE_MARGIN_MUST_MATCH
    for _ in range(6):
        scene = find_closing(option_world, rng)
        op, bankrupt = scene.decoded, scene.account(scene.decoded.bankrupt)
        scene.bend_account(op.bankrupt, cash=bankrupt.cash - op.maintenance)
        for maintenance in (0, -1, op.maintenance):
            for active in (op.active, draw_active(rng)):
                scene.bend_op(equity=op.equity - op.maintenance, maintenance=maintenance, active=active)
                assert judge_any_exhibit(court, scene, code, rng)


def test_nobody_ranks_before_the_first(court: Court, world: World, seed: int) -> None:
    """Whoever else is exhibited, on the other side, without lots or behind, convicts nobody."""
    rng = random.Random(seed)
    ground = check_ground(Code.DELEVERAGE_RANK_MUST_BE_FIRST)
    for _ in range(3):
        scene = find_closing(world, rng)
        for exhibit in range(1, scene.ledger.get_globals().account_count + 1):
            case = dispute(scene.played, ground)
            if exhibit == scene.decoded.counterparty:
                continue
            outcome = court.call(case.played, ground, exhibit_another(case, exhibit, scene))
            assert outcome.value is False, exhibit


def exhibit_another(case: Dispute, exhibit: int, scene: Scene) -> bytes:
    """The witness of the check with another account at its end."""
    key = account_key(exhibit)
    leaf = WitnessLeaf(key, scene.leaves.get(key, b""), build_tree(scene.leaves.items()).prove(key))
    return replace(case.witness, leaves=(*case.witness.leaves[:EXHIBIT_AT], leaf), exhibit=exhibit).encode()


BEYOND: dict[str, Callable[[Scene], object]] = {
    "the last position": lambda scene: scene.bend_op(position=NEVER),
    "oneself": lambda scene: scene.bend_op(counterparty=scene.decoded.bankrupt),
    "no bankrupt": lambda scene: scene.write(account_key(scene.decoded.bankrupt), b""),
    "no counterparty": lambda scene: scene.write(account_key(scene.decoded.counterparty), b""),
    "no underlying": lambda scene: scene.write(underlying_key(scene.decoded.instrument.underlying), b""),
    "no books": lambda scene: scene.write(leaf_key(Collection.ASSETS, 0), b""),
    "nothing held": lambda scene: scene.bend_account(scene.decoded.bankrupt, positions=()),
    "more than is held": lambda scene: scene.bend_op(quantity=QUANTITY_MAX),
    "nothing open": lambda scene: scene.bend_underlying(scene.decoded.instrument.underlying, open_interest=0),
}


@pytest.mark.parametrize("what", BEYOND)
def test_effect_that_cannot_be_shows_nothing(court: Court, world: World, seed: int, what: str) -> None:
    """A closing that lacks a leaf, or would pass a bound, is convicted by a check, and by no root."""
    rng = random.Random(seed)
    for _ in range(4):
        scene = find_closing(world, rng)
        BEYOND[what](scene)
        assert not court.judge(dispute(scene.played, EFFECT))


def test_absurd_claims_revert_nothing(court: Court, world: World, seed: int) -> None:
    """Claims at the ends of their fields are judged on every ground, and alike."""
    rng = random.Random(seed)
    ends = (-(1 << 127), (1 << 127) - 1, -1, 0, 1)
    for _ in range(40):
        scene = find_closing(world, rng)
        scene.bend_op(
            equity=rng.choice(ends),
            maintenance=rng.choice(ends),
            notional=rng.choice((0, 1, (1 << 128) - 1)),
            mark=rng.choice((0, PRICE_MAX - 1)),
        )
        for code in BREAKS:
            court.judge(dispute(scene.played, check_ground(code)))
        court.judge(dispute(scene.played, EFFECT))


def test_judges_agree_on_any_bytes(court: Court, world: World, seed: int) -> None:
    """Whatever bytes stand in a closing, both judges say the same on every ground."""
    rng = random.Random(seed)
    assert_agrees_on_any_bytes(court, partial(find_closing, world, rng), rng, 25)


def test_a_corrupted_witness_never_convicts(court: Court, world: World, seed: int) -> None:
    """No change of a witness makes a valid closing look wrong."""
    rng = random.Random(seed)
    assert_corruption_shows_nothing(court, [find_closing(world, rng).honest], rng, 120)

"""transfer and withdraw before the contract: honest ones stand, wrong ones fall, both judges agree in between."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from fraud_proofs.grounds import EFFECT
from risk.parameter_sets import PARAMETER_SETS
from state.codes import Code, Kind
from state.constants import ACCOUNTS_MAX, AMOUNT_MAX, ASSETS_MAX, CASH_MAX, CUSTODY_MAX, KEYS_MAX, NEVER
from state.leaves import SCOPE_TRANSFER, SCOPE_WITHDRAW, call, perpetual, put
from state.leaving import needs_prices
from state.operations import Transfer, Withdraw
from state.transition import Valid
from state.tree import Collection, account_key, expiry_key, leaf_key, underlying_key
from state.valuation import add_balance, compute_account_margin, drop_stale_spots, read_quotes
from tests.contracts.court import Court, dispute, list_grounds
from tests.contracts.scene import (
    PEOPLE,
    Scene,
    assert_acquits,
    assert_convicts,
    assert_same_effect,
    judge_any_exhibit,
    open_random_market,
    play_random_trades,
    publish_reading,
)
from tests.world import MIX, WEEK, World

Break = Callable[[Scene, random.Random], None]
"""Bends a scene so that one check fails."""

KINDS = (Kind.TRANSFER, Kind.WITHDRAW)
ROUNDS = 10
"""How often every check is violated."""


@pytest.fixture(scope="module")
def court() -> Court:
    """The contract, deployed once with the one that judges signatures: neither has state."""
    return Court("verify_account")


@pytest.fixture
def rng(seed: int) -> random.Random:
    """This test's own chance."""
    return random.Random(seed)


@pytest.fixture
def world(seed: int, rng: random.Random) -> World:
    """A market in full swing, where dave has cash and collateral and has never traded."""
    return play_market(open_random_market(seed), rng)


@pytest.fixture
def option_world(seed: int, rng: random.Random) -> World:
    """The same under rules of many scenarios."""
    return play_market(open_random_market(seed, PARAMETER_SETS["keel"]), rng)


def play_market(world: World, rng: random.Random) -> World:
    """People trade, and erin comes."""
    play_random_trades(world, rng, 4)
    world.deposit("erin", 10**12)
    world.deposit("erin", 10**9, 1)
    for underlying in range(4):
        publish_reading(world, rng, underlying)
    return world


def sign_money_op(world: World, rng: random.Random, kind: Kind) -> Transfer | Withdraw:
    """Anybody's, of anything that he has."""
    source, target = rng.sample((*PEOPLE, "erin"), 2)
    account = Scene(world.here, world.state.leaves, b"").account(world.person(source).account)
    asset, most = rng.choice([(0, max(1, account.cash)), *account.collateral])
    amount = min(most, rng.randint(1, 10**9))
    if kind is Kind.TRANSFER:
        return world.sign_transfer(source, target, amount, asset)
    return world.sign_withdraw(source, amount, asset)


def set_money_op(world: World, rng: random.Random, kind: Kind) -> Scene:
    """A valid one."""
    while True:
        op = sign_money_op(world, rng, kind)
        if isinstance(world.judge(op), Valid):
            return Scene(world.here, world.state.leaves, op)


# The rules, each broken in every way that we know


def break_bytes(scene: Scene, rng: random.Random) -> None:
    """No op, or not where one may stand."""
    op = scene.decoded
    bent = [
        scene.op[:-1],
        scene.op + b"\0",
        replace(op, account=rng.choice((0, ACCOUNTS_MAX))).encode(),
        replace(op, asset=ASSETS_MAX).encode(),
        replace(op, amount=rng.choice((0, AMOUNT_MAX + 1))).encode(),
        replace(op, key_index=KEYS_MAX).encode(),
    ]
    if isinstance(op, Transfer):
        bent.append(replace(op, to=rng.choice((0, ACCOUNTS_MAX))).encode())
    rng.choice(
        (
            lambda: setattr(scene, "op", rng.choice(bent)),
            lambda: setattr(scene, "op", rng.choice(bent)),
            lambda: scene.bend_header(flags=1),
            lambda: scene.bend_header(step_count=scene.context.step + 1),
            lambda: setattr(scene, "context", scene.context.at(0)),
        )
    )()


def break_position(scene: Scene, rng: random.Random) -> None:
    """Before the next position, or at the end of the log."""
    if rng.random() < 0.5:
        scene.bend_globals(next_position=scene.decoded.position + rng.randint(1, 9))
    else:
        scene.bend_header(position_to=scene.decoded.position - rng.randint(0, 1))


def break_account(scene: Scene, rng: random.Random) -> None:
    """Nobody is there."""
    scene.write(account_key(scene.decoded.account), b"")


def break_destination(scene: Scene, rng: random.Random) -> None:
    """Nobody is there, or only oneself."""
    if rng.random() < 0.5:
        scene.write(account_key(scene.decoded.to), b"")
    else:
        scene.bend_op(to=scene.decoded.account)


def break_sequence(scene: Scene, rng: random.Random) -> None:
    """Used, or passed, or nobody's."""
    rng.choice(
        (
            lambda: scene.bend_account(scene.decoded.account, sequence=scene.decoded.sequence),
            lambda: scene.bend_account(scene.decoded.account, sequence=NEVER),
            lambda: break_account(scene, rng),
        )
    )()


# What is left over when the op has taken its amount: with nothing left the check just holds.


def leave_balance(scene: Scene, rest: int) -> None:
    """So much equity, or collateral, beyond the amount."""
    op, account, params = scene.decoded, scene.account(scene.decoded.account), scene.ledger.get_params()
    if op.asset:
        return scene.bend_op(amount=account.get_collateral(op.asset) - rest)
    quotes = read_quotes(scene.ledger, account, params)
    equity = compute_account_margin(account, quotes, scene.ledger.get_globals().time, params).quote_equity
    return scene.bend_account(op.account, cash=account.cash - equity + op.amount + rest)


def leave_room(scene: Scene, rest: int) -> None:
    """So much room in the destination's cash, or in its collateral."""
    op, target = scene.decoded, scene.account(scene.decoded.to)
    if op.asset == 0:
        return scene.bend_account(op.to, cash=CASH_MAX - op.amount - rest)
    fill_up = CUSTODY_MAX - op.amount - rest - target.get_collateral(op.asset)
    return scene.bend_account(op.to, collateral=add_balance(target, op.asset, fill_up).collateral)


def leave_margin(scene: Scene, rest: int) -> None:
    """So much beyond initial margin, after the op, of an account that needs prices."""
    op, params = scene.decoded, scene.ledger.get_params()
    if not needs_prices(scene.account(op.account), op.asset, op.amount) or not scene.account(op.account).positions:
        scene.bend_account(op.account, positions=((perpetual(1), 1),))
    account, time = scene.account(op.account), scene.ledger.get_globals().time
    quotes = drop_stale_spots(read_quotes(scene.ledger, account, params), time, params)
    margin = compute_account_margin(add_balance(account, op.asset, -op.amount), quotes, time, params)
    scene.bend_account(op.account, cash=account.cash - margin.initial + rest)


def leave_custody(scene: Scene, rest: int) -> None:
    """So much in custody, and of losses that nobody has paid, beyond the amount."""
    op = scene.decoded
    lost = op.amount * (op.amount % 7) // 7
    books = replace(scene.ledger.require_asset(op.asset), custody=op.amount - lost + rest, bad_debt=lost)
    scene.write(leaf_key(Collection.ASSETS, op.asset), books.encode())


EDGES: dict[Code, Callable[[Scene, int], None]] = {
    Code.TRANSFER_BALANCE_MUST_COVER: leave_balance,
    Code.TRANSFER_DESTINATION_MUST_FIT: leave_room,
    Code.TRANSFER_MARGIN_MUST_HOLD: leave_margin,
    Code.WITHDRAW_BALANCE_MUST_COVER: leave_balance,
    Code.WITHDRAW_MARGIN_MUST_HOLD: leave_margin,
    Code.WITHDRAW_CUSTODY_MUST_COVER: leave_custody,
}


def break_room(scene: Scene, rng: random.Random) -> None:
    """As many kinds of collateral as an account may have, and one more."""
    if scene.decoded.asset == 0:
        return leave_room(scene, -1)
    others = tuple((ASSETS_MAX + i, 1) for i in range(ASSETS_MAX - 1))
    return scene.bend_account(scene.decoded.to, collateral=others)


def break_prices(scene: Scene, rng: random.Random) -> None:
    """Too old by a second, or none at all."""
    leave_margin(scene, 0)
    params = scene.ledger.get_params()
    quotes = read_quotes(scene.ledger, scene.account(scene.decoded.account), params)
    held = [instrument for instrument, _ in scene.account(scene.decoded.account).positions]
    way = rng.randrange(4)
    if way == 0:
        oldest = min(quotes.underlyings[instrument.underlying].oracle_time for instrument in held)
        return scene.bend_globals(time=oldest + params.price_age_max + 1)
    if way == 1:
        halted = scene.ledger.get_globals().time + 1
        return scene.bend_underlying(rng.choice(held).underlying, halted_until=halted)
    if way == 2 and quotes.expiries:
        return scene.write(expiry_key(*rng.choice(list(quotes.expiries))), b"")
    return scene.write(underlying_key(rng.choice(list(quotes.underlyings))), b"")


def break_key(scope: int) -> Break:
    """Of another scope, expired this second, or not there."""

    def bend(scene: Scene, rng: random.Random) -> None:
        key = scene.account(scene.decoded.account).keys[0]
        time = scene.ledger.get_globals().time
        rng.choice(
            (
                lambda: scene.bend_account(scene.decoded.account, keys=(key._replace(scope=7 & ~scope),)),
                lambda: scene.bend_account(scene.decoded.account, keys=(key._replace(expiry=time),)),
                lambda: scene.bend_account(scene.decoded.account, keys=()),
                lambda: scene.bend_op(key_index=rng.randint(1, KEYS_MAX - 1)),
                lambda: break_account(scene, rng),
            )
        )()

    return bend


def break_signature(scene: Scene, rng: random.Random) -> None:
    """Of other bytes, by another key, in another rollup, or by nobody."""
    op = scene.decoded
    key = scene.account(op.account).keys[0]
    rng.choice(
        (
            lambda: scene.bend_op(sequence=op.sequence + 1),
            lambda: scene.bend_op(amount=op.amount % AMOUNT_MAX + 1),
            lambda: scene.bend_op(signature=rng.randbytes(64)),
            lambda: scene.bend_op(signature=op.signature[:32] + rng.randbytes(31) + b"\0"),
            lambda: scene.bend_account(op.account, keys=(key._replace(public_key=rng.randbytes(32)),)),
            lambda: setattr(scene, "context", replace(scene.context, domain=rng.randbytes(32))),
            lambda: scene.bend_account(op.account, keys=()),
            lambda: break_account(scene, rng),
        )
    )()


def break_custody(scene: Scene, rng: random.Random) -> None:
    """An asset of which nothing was ever paid in."""
    scene.bend_op(asset=rng.randint(3, ASSETS_MAX - 1))


BREAKS: dict[Code, Break] = {
    Code.TRANSFER_MUST_DECODE: break_bytes,
    Code.TRANSFER_POSITION_MUST_INCREASE: break_position,
    Code.TRANSFER_ACCOUNT_MUST_EXIST: break_account,
    Code.TRANSFER_DESTINATION_MUST_EXIST: break_destination,
    Code.TRANSFER_SEQUENCE_MUST_RISE: break_sequence,
    Code.TRANSFER_BALANCE_MUST_COVER: break_account,
    Code.TRANSFER_DESTINATION_MUST_FIT: break_room,
    Code.TRANSFER_MARGIN_MUST_HOLD: break_prices,
    Code.TRANSFER_KEY_MUST_BE_LIVE: break_key(SCOPE_TRANSFER),
    Code.TRANSFER_SIGNATURE_MUST_VERIFY: break_signature,
    Code.WITHDRAW_MUST_DECODE: break_bytes,
    Code.WITHDRAW_POSITION_MUST_INCREASE: break_position,
    Code.WITHDRAW_ACCOUNT_MUST_EXIST: break_account,
    Code.WITHDRAW_SEQUENCE_MUST_RISE: break_sequence,
    Code.WITHDRAW_BALANCE_MUST_COVER: break_account,
    Code.WITHDRAW_MARGIN_MUST_HOLD: break_prices,
    Code.WITHDRAW_KEY_MUST_BE_LIVE: break_key(SCOPE_WITHDRAW),
    Code.WITHDRAW_SIGNATURE_MUST_VERIFY: break_signature,
    Code.WITHDRAW_CUSTODY_MUST_COVER: break_custody,
}


@pytest.mark.parametrize("code", BREAKS, ids=lambda code: code.name)
def test_each_check_convicts(court: Court, world: World, rng: random.Random, code: Code) -> None:
    """A check that holds acquits, and each way to break it convicts."""
    for _ in range(ROUNDS):
        scene = set_money_op(world, rng, Kind(code // 100))
        assert_acquits(court, scene, code)
        BREAKS[code](scene, rng)
        assert_convicts(court, scene, code)


@pytest.mark.parametrize("code", EDGES, ids=lambda code: code.name)
def test_the_last_unit_decides(court: Court, world: World, rng: random.Random, code: Code) -> None:
    """With nothing left over a check holds, and with one unit less it convicts."""
    for _ in range(ROUNDS):
        scene = set_money_op(world, rng, Kind(code // 100))
        EDGES[code](scene, 0)
        assert_acquits(court, scene, code)
        EDGES[code](scene, -1)
        assert_convicts(court, scene, code)


@pytest.mark.parametrize("code", [code for code in EDGES if EDGES[code] is leave_margin], ids=lambda code: code.name)
def test_no_exhibit_speaks_against_who_keeps_his_margin(
    court: Court, option_world: World, rng: random.Random, code: Code
) -> None:
    """Who holds options and sends away all that he may stands under any scenarios that a proof exhibits; with a unit
    more he falls under the worst."""
    for _ in range(ROUNDS):
        scene = set_money_op(option_world, rng, Kind(code // 100))
        options = [call(0, WEEK, 18_000_000), put(0, WEEK, 16_000_000), call(MIX, WEEK, 5_000_000)]
        held = [
            (option, rng.choice((-1, 1)) * rng.randint(1, 9_999)) for option in rng.sample(options, rng.randint(1, 3))
        ]
        scene.bend_account(scene.decoded.account, positions=tuple(sorted(held)))
        leave_margin(scene, 0)
        assert not judge_any_exhibit(court, scene, code, rng)
        leave_margin(scene, -1)
        assert judge_any_exhibit(court, scene, code, rng)


def test_every_check_is_broken() -> None:
    """No check of these kinds is left out above."""
    assert set(BREAKS) == {code for code in Code if code // 100 in KINDS}


def test_honest_steps_stand(court: Court, world: World, rng: random.Random) -> None:
    """No ground convicts an honest step, and EFFECT convicts it with any other root."""
    for _ in range(12):
        world.play(set_money_op(world, rng, rng.choice(KINDS)).op)
        court.assert_acquits(world.steps[-1])
        court.assert_convicts_root(world.steps[-1])


def bend_anything(scene: Scene, rng: random.Random) -> None:
    """Another asset, amount or account, oneself as destination, or any bytes in any place."""
    op = scene.decoded
    account = rng.choice((rng.randrange(1, 8), ACCOUNTS_MAX - 1))
    at = rng.randrange(1, len(scene.op))
    rng.choice(
        (
            lambda: scene.bend_op(asset=rng.randrange(ASSETS_MAX)),
            lambda: scene.bend_op(amount=rng.choice((1, AMOUNT_MAX, rng.randint(1, 10**13)))),
            lambda: scene.bend_op(account=account),
            lambda: scene.bend_op(**({"to": rng.choice((account, op.account))} if isinstance(op, Transfer) else {})),
            lambda: setattr(scene, "op", scene.op[:at] + rng.randbytes(rng.randint(0, 4)) + scene.op[at + 1 :]),
        )
    )()


def test_judges_agree_on_anything(court: Court, world: World, rng: random.Random) -> None:
    """Whatever stands in an op and whatever is said against it, the contract answers, and as its twin does."""
    for _ in range(60):
        scene = set_money_op(world, rng, rng.choice(KINDS))
        for _ in range(rng.randint(1, 3)):
            if scene.decoded is not None:
                bend_anything(scene, rng)
        for ground in list_grounds(Kind(scene.op[0])):
            court.judge(dispute(scene.played, ground))


def test_no_witness_convicts_an_honest_step(court: Court, world: World, rng: random.Random) -> None:
    """A witness with a byte changed, lost or added is refused, or shows nothing."""
    scene = set_money_op(world, rng, rng.choice(KINDS))
    step = scene.honest
    for ground in list_grounds(Kind(scene.op[0])):
        honest = dispute(step, ground).witness.encode()
        for _ in range(25):
            at = rng.randrange(len(honest) + 1)
            instead = rng.choice((b"", rng.randbytes(1), rng.randbytes(32)))
            forged = honest[:at] + instead + honest[at + rng.randrange(2) :]
            outcome = court.call(step, ground, forged)
            assert outcome.reverted or not outcome.value, f"{ground} with {forged.hex()}"


def spend_collateral(scene: Scene) -> None:
    """The account has none of it, or an asset that there is not."""
    scene.bend_account(scene.decoded.account, collateral=())
    scene.bend_op(asset=scene.decoded.asset or 1)


BEYOND: dict[str, tuple[Kind, Callable[[Scene], None]]] = {
    "transfer at the last position": (Kind.TRANSFER, lambda scene: scene.bend_op(position=NEVER)),
    "transfer from nobody": (Kind.TRANSFER, lambda scene: scene.write(account_key(scene.decoded.account), b"")),
    "transfer to nobody": (Kind.TRANSFER, lambda scene: scene.write(account_key(scene.decoded.to), b"")),
    "transfer of nothing": (Kind.TRANSFER, spend_collateral),
    "withdrawal at the last position": (Kind.WITHDRAW, lambda scene: scene.bend_op(position=NEVER)),
    "withdrawal by nobody": (Kind.WITHDRAW, lambda scene: scene.write(account_key(scene.decoded.account), b"")),
    "withdrawal of nothing": (Kind.WITHDRAW, spend_collateral),
    "withdrawal of an unknown asset": (Kind.WITHDRAW, lambda scene: scene.bend_op(asset=ASSETS_MAX - 1)),
    "withdrawal beyond custody": (Kind.WITHDRAW, lambda scene: leave_custody(scene, -1)),
}


@pytest.mark.parametrize("what", BEYOND)
def test_effect_that_cannot_be_shows_nothing(court: Court, world: World, rng: random.Random, what: str) -> None:
    """An op that lacks a leaf or would pass a bound is convicted by a check, and by no root."""
    kind, bend = BEYOND[what]
    for _ in range(ROUNDS):
        scene = set_money_op(world, rng, kind)
        bend(scene)

        assert not court.judge(dispute(scene.played, EFFECT))


def test_losses_are_shared_by_whoever_leaves(court: Court, world: World, rng: random.Random) -> None:
    """Under bad debt the outbox gets custody's share of the amount, rounded down; what is owed falls by the rest."""
    for _ in range(ROUNDS):
        scene = set_money_op(world, rng, Kind.WITHDRAW)
        scene.bend_op(asset=0, amount=rng.choice((1, rng.randint(1, 10**9))))
        scene.bend_account(scene.decoded.account, cash=10**12)
        scene.bend_books(
            custody=rng.choice((0, 1, rng.randint(1, 10**12))), bad_debt=rng.choice((10**9, rng.randint(10**9, 10**13)))
        )
        assert_same_effect(court, scene)

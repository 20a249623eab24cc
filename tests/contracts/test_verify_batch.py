"""open, close, tick and l1 before the contract: honest ones stand, wrong ones fall, both judges agree in between."""

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from fraud_proofs.grounds import EFFECT, check_ground
from state.codes import Code, Kind, MessageCode
from state.constants import ACCOUNTS_MAX, AMOUNT_MAX, CASH_MAX, CUSTODY_MAX, KEYS_MAX, NEVER, RULES_OFFSET
from state.leaves import SessionKey, call, put
from state.leaving import needs_prices, weigh_leaving
from state.ledger import Ledger
from state.operations import L1, NO_ACTIVE, Close, Open, Tick
from state.process_batch import compute_oldest_oracle_time
from state.process_inbox import (
    Message,
    MessageType,
    claim_l1,
    encode_amount,
    encode_close,
    encode_key,
)
from state.transition import PROCESSES
from state.tree import Collection, leaf_key
from state.valuation import add_positions, compute_account_margin, read_quotes
from tests.contracts.court import Court, dispute
from tests.contracts.scene import (
    PEOPLE,
    Scene,
    assert_acquits,
    assert_convicts,
    draw_active,
    judge_any_exhibit,
    open_random_market,
    play_random_trades,
)
from tests.world import GENESIS_TIME, MIX, WEEK, PlayedStep, World

Break = Callable[[Scene, random.Random], None]
"""Bends a scene so that one check fails."""

KINDS = (Kind.OPEN, Kind.CLOSE, Kind.TICK, Kind.L1)
ROUNDS = 8
"""How often every check is violated."""

OPTIONS = (put(0, WEEK, 15_000_000), call(0, WEEK, 18_000_000), call(MIX, WEEK, 12_000_000))


@pytest.fixture(scope="module")
def court() -> Court:
    """The contracts, deployed once: they have no state."""
    return Court("verify_batch", "verify_inbox")


@pytest.fixture
def rng(seed: int) -> random.Random:
    """This test's own chance."""
    return random.Random(seed)


@pytest.fixture
def world(seed: int, rng: random.Random) -> World:
    """A market in full swing, in its second batch."""
    world = open_random_market(seed)
    play_random_trades(world, rng, 2)
    world.seal(rng.randbytes(32))
    play_random_trades(world, rng, 2)
    return world


def list_steps(world: World) -> list[PlayedStep]:
    """The steps that are these contracts' business."""
    return [step for step in world.steps if step.op[0] in KINDS]


# Scenes


def set_open(world: World) -> Scene:
    """The first step of a batch after the last one, perhaps in a new generation."""
    now, rng = world.globals, world.random
    generation = now.generation + rng.choice((0, 0, 1, 5))
    header = replace(
        world.context.header,
        index=now.batch + 1,
        generation=generation,
        time_from=now.time,
        position_from=now.next_position if generation == now.generation else 0,
    )
    return Scene(replace(world.context, header=header).at(0), world.state.leaves, Open())


def set_close(world: World) -> Scene:
    """The last step of the batch, with a header that tells the truth."""
    now, step = world.globals, len(world.batch_steps)
    header = replace(
        world.context.header,
        step_count=step + 1,
        inbox_cursor=now.inbox_cursor,
        inbox_hash=now.inbox_hash,
        time=now.time,
        position_to=now.next_position + world.random.randint(0, 3),
        oracle_time=compute_oldest_oracle_time(Ledger(world.state.leaves)),
        log_hash=world.random.randbytes(32),
    )
    return Scene(replace(world.context, header=header).at(step), world.state.leaves, Close())


def set_tick(world: World) -> Scene:
    """Some time later."""
    op = Tick(world.position + world.random.randint(0, 3), world.globals.time + world.random.randint(1, 1000))
    return Scene(world.here, world.state.leaves, op)


def set_message(world: World, kind: int, sender: bytes, account: int, payload: bytes) -> Scene:
    """The op that takes one message more, as if those before had been taken."""
    index = len(world.messages)
    world.messages.append(Message(kind, sender, GENESIS_TIME, account, payload).encode())
    scene = Scene(world.here, world.state.leaves, L1(world.position, index))
    scene.bend_globals(inbox_cursor=index)
    return scene


def set_l1(world: World) -> Scene:
    """The op that takes a message without consequences."""
    return set_message(world, 9, bytes(20), 0, b"")


SET = {Kind.OPEN: set_open, Kind.CLOSE: set_close, Kind.TICK: set_tick, Kind.L1: set_l1}


# The rules, each broken in every way that we know


def break_place(scene: Scene, rng: random.Random) -> None:
    """No op, or not where this one may stand."""
    kind, last = Kind(scene.op[0]), scene.context.header.step_count - 1
    rng.choice(
        (
            lambda: setattr(scene, "op", scene.op + b"\0"),
            lambda: setattr(scene, "op", scene.op[:-1] if len(scene.op) > 1 else scene.op * 2),
            lambda: setattr(scene, "context", scene.context.at(1 if kind is Kind.OPEN else 0)),
            lambda: setattr(scene, "context", scene.context.at(last - 1 if kind is Kind.CLOSE else last)),
        )
    )()


def break_position(scene: Scene, rng: random.Random) -> None:
    """Before the next position, or at the end of the log."""
    if rng.random() < 0.5:
        scene.bend_globals(next_position=scene.decoded.position + rng.randint(1, 9))
    else:
        scene.bend_header(position_to=scene.decoded.position - rng.randint(0, 1))


def miss_header(name: str) -> Break:
    """The header says something else than the state."""

    def bend(scene: Scene, rng: random.Random) -> None:
        value = getattr(scene.context.header, name)
        if isinstance(value, bytes):
            scene.bend_header(**{name: rng.randbytes(32)})
        else:
            scene.bend_header(**{name: value + rng.choice((-1, 1)) if value else 1})

    return bend


def break_generation(scene: Scene, rng: random.Random) -> None:
    """A generation that is over."""
    scene.bend_globals(generation=scene.context.header.generation + rng.choice((1, 1000)))


def break_end_of_log(scene: Scene, rng: random.Random) -> None:
    """The log ends before its last op."""
    scene.bend_header(position_to=scene.ledger.get_globals().next_position - 1)


def break_oldest_price(scene: Scene, rng: random.Random) -> None:
    """The header's oldest price is another, or nobody depends on it any more, or somebody on an older one."""
    oldest = scene.context.header.oracle_time
    if rng.random() < 0.3:
        scene.bend_header(oracle_time=oldest + rng.choice((-1, 1)))
    elif rng.random() < 0.5:
        scene.bend_underlying(rng.randrange(4), open_interest=1, oracle_time=oldest - 1)
    else:
        for underlying in range(scene.ledger.get_globals().underlying_count):
            scene.bend_underlying(underlying, open_interest=0)
        scene.bend_header(time=oldest + 1)


BREAKS: dict[Code, Break] = {
    Code.OPEN_MUST_DECODE: break_place,
    Code.OPEN_BATCH_MUST_BE_NEXT: miss_header("index"),
    Code.OPEN_GENERATION_MUST_NOT_FALL: break_generation,
    Code.OPEN_TIME_MUST_MATCH: miss_header("time_from"),
    Code.OPEN_POSITION_MUST_MATCH: miss_header("position_from"),
    Code.CLOSE_MUST_DECODE: break_place,
    Code.CLOSE_CURSOR_MUST_MATCH: miss_header("inbox_cursor"),
    Code.CLOSE_INBOX_HASH_MUST_MATCH: miss_header("inbox_hash"),
    Code.CLOSE_TIME_MUST_MATCH: miss_header("time"),
    Code.CLOSE_POSITION_MUST_MATCH: break_end_of_log,
    Code.CLOSE_ORACLE_TIME_MUST_MATCH: break_oldest_price,
    Code.TICK_MUST_DECODE: break_place,
    Code.TICK_POSITION_MUST_INCREASE: break_position,
    Code.TICK_TIME_MUST_ADVANCE: lambda scene, rng: scene.bend_globals(time=scene.decoded.time + rng.randint(0, 1)),
    Code.TICK_TIME_MUST_NOT_PASS_HEADER: lambda scene, rng: scene.bend_header(time=scene.decoded.time - 1),
    Code.L1_MUST_DECODE: break_place,
    Code.L1_POSITION_MUST_INCREASE: break_position,
    Code.L1_INDEX_MUST_BE_CURSOR: lambda scene, rng: scene.bend_globals(
        inbox_cursor=scene.decoded.index + rng.choice((-1, 1))
    ),
    Code.L1_INDEX_MUST_NOT_PASS_HEADER: lambda scene, rng: scene.bend_header(
        inbox_cursor=scene.decoded.index - rng.randint(0, 1)
    ),
}


def test_honest_steps_stand(court: Court, world: World) -> None:
    """No ground convicts an honest step, and EFFECT convicts it with any other root."""
    world.seal()
    court.hear(world)

    for step in list_steps(world):
        court.assert_acquits(step)
        court.assert_convicts_root(step)


@pytest.mark.parametrize("code", BREAKS, ids=lambda code: code.name)
def test_each_check_convicts(court: Court, world: World, rng: random.Random, code: Code) -> None:
    """A check that holds acquits, and each way to break it convicts."""
    for _ in range(ROUNDS):
        scene = SET[Kind(code // 100)](world)
        assert_acquits(court, scene, code)
        BREAKS[code](scene, rng)
        assert_convicts(court, scene, code)


def test_every_check_is_broken() -> None:
    """No check of these kinds is left out above, but for those that read a message: tests/parity has their edges."""
    told = {code for code in Code if code // 100 in KINDS}
    assert set(BREAKS) == told - {Code.L1_MESSAGE_MUST_BE_PLAIN, Code.L1_MARGIN_MUST_MATCH}


def test_new_generation_starts_its_log_and_its_clock_anew(court: Court, world: World) -> None:
    """An open that raises the generation, and the first tick after it, have effects of their own."""
    world.open_batch(generation=world.globals.generation + 3)
    assert world.globals.cancel_only_until == NEVER
    world.tick(5)
    assert world.globals.cancel_only_until == world.globals.time + world.genesis.params.cancel_only_interval

    for step in world.steps[-2:]:
        court.assert_acquits(step)
        court.assert_convicts_root(step)


def test_clock_of_cancel_only_never_says_never(court: Court, world: World) -> None:
    """A tick at the end of time keeps the interval apart from NEVER, for both judges."""
    scene = set_tick(world)
    scene.bend_globals(cancel_only_until=NEVER)
    scene.bend_op(time=NEVER - 3)

    assert_root_is_agreed(court, scene)


def test_parameters_are_active_from_their_day(court: Court, world: World, rng: random.Random) -> None:
    """A tick to the second before leaves a version waiting; one to its second makes it the active one; behind the last
    there is none to wait for."""
    court.hear(world)
    for active, seconds in itertools.product((0, 5, RULES_OFFSET - 2, RULES_OFFSET - 1), (-1, 0, 1)):
        scene = set_tick(world)
        params = scene.ledger.get_params()
        scene.bend_globals(params_version=active, cancel_only_until=rng.choice((0, NEVER)))
        scene.write(leaf_key(Collection.PARAMS, active), params.encode())
        waiting = replace(params, active_from=scene.decoded.time - seconds, cancel_only_interval=7)
        if active + 1 < RULES_OFFSET:
            scene.write(leaf_key(Collection.PARAMS, active + 1), waiting.encode())

        assert_root_is_agreed(court, scene)
        ledger = scene.ledger
        PROCESSES[Kind.TICK].apply_effects(ledger, scene.context, scene.decoded)
        is_due = seconds >= 0 and active + 1 < RULES_OFFSET
        assert ledger.get_globals().params_version == active + is_due


def test_effect_at_the_last_position_shows_nothing(court: Court, world: World) -> None:
    """An op whose position cannot be followed by another has no effect; its position check convicts it."""
    for scene, code in (
        (set_tick(world), Code.TICK_POSITION_MUST_INCREASE),
        (set_l1(world), Code.L1_POSITION_MUST_INCREASE),
    ):
        court.hear(world)
        scene.bend_op(position=NEVER)

        assert not court.judge(dispute(scene.played, EFFECT))
        assert_convicts(court, scene, code)


# Messages


def assert_root_is_agreed(court: Court, scene: Scene) -> None:
    """The root of the rules is the contract's, and no other is."""
    step = scene.honest

    assert not court.judge(dispute(step, EFFECT)), "the rules' own root is convicted"
    court.assert_convicts_root(step)


def pick_account(world: World, rng: random.Random) -> int:
    """Mostly somebody's; else none, or out of range."""
    accounts = [person.account for person in world.people.values()]
    return rng.choice([*accounts, *accounts, 0, world.globals.account_count, ACCOUNTS_MAX, (1 << 32) - 1])


def pick_sender(world: World, account: int, rng: random.Random) -> bytes:
    """Mostly the owner."""
    owners = [person.address for person in world.people.values() if person.account == account]
    return owners[0] if owners and rng.random() < 0.85 else rng.randbytes(20)


def set_deposit(world: World, rng: random.Random) -> Scene:
    """A deposit into a state that may be full, indebted or new to the account."""
    asset, account = rng.choice((0, 0, 1, 2, 2, 3, 65_535)), rng.choice((0, pick_account(world, rng)))
    amount = rng.choice((0, 1, 5_000_000, 10_000_000, rng.randint(1, 1 << 40), (1 << 64) - 1))
    scene = set_message(world, MessageType.DEPOSIT, rng.randbytes(20), account, encode_amount(asset, amount))
    key = leaf_key(Collection.ASSETS, asset)
    if asset < 3 and rng.random() < 0.3:
        books = scene.ledger.require_asset(asset)
        edge = CUSTODY_MAX - amount + rng.randint(0, 1)
        bent = rng.choice((replace(books, bad_debt=rng.randint(1, 9)), replace(books, custody=edge)))
        scene.write(key, bent.encode())
    if account == 0 and rng.random() < 0.3:
        scene.bend_globals(account_count=ACCOUNTS_MAX - rng.randint(0, 1))
    if 0 < account < world.globals.account_count and rng.random() < 0.3:
        scene.bend_account(account, cash=CASH_MAX - amount + rng.randint(0, 1))
    return scene


def set_register_key(world: World, rng: random.Random) -> Scene:
    """A key that is new, known, or to be removed, for an account with few or all keys."""
    account = pick_account(world, rng)
    keys = [SessionKey(rng.randbytes(32), rng.randrange(8), rng.randrange(1 << 64)) for _ in range(KEYS_MAX)]
    held = keys[: rng.choice((0, 1, 3, KEYS_MAX))]
    key = rng.choice([*held, *[SessionKey(rng.randbytes(32), 0, 0)] * 4])
    key = key._replace(scope=rng.randrange(8), expiry=rng.choice((0, 1, NEVER)))
    sender = pick_sender(world, account, rng)
    scene = set_message(world, MessageType.REGISTER_KEY, sender, account, encode_key(key))
    if 0 < account < world.globals.account_count:
        scene.bend_account(account, keys=tuple(held))
    return scene


def set_force_withdraw(world: World, rng: random.Random) -> Scene:
    """A withdrawal of anything between nothing and more than there is, with fresh or stale prices."""
    account = pick_account(world, rng)
    asset = rng.choice((0, 0, 0, 1, 2, 2, 3))
    amount = rng.choice((0, 1, 10**6, rng.randint(1, 10**12), rng.randint(1, 10**12), AMOUNT_MAX, AMOUNT_MAX + 1))
    found = Ledger(world.state.leaves).get_account(account)
    if found is not None and asset and rng.random() < 0.7:
        amount = max(1, found.get_collateral(asset) + rng.choice((-1, 0, 0, 1)))
    sender = pick_sender(world, account, rng)
    scene = set_message(world, MessageType.FORCE_WITHDRAW, sender, account, encode_amount(asset, amount))
    if found is not None and rng.random() < 0.5:
        drain(scene, account, asset, amount, rng)
    if rng.random() < 0.2:
        late = scene.ledger.get_globals().time + rng.randint(0, 600)
        scene.bend_globals(time=late)
    if found is not None and rng.random() < 0.2:
        scene.bend_account(account, cash=rng.randint(-(10**12), 10**12), positions=())
    if asset < 3 and rng.random() < 0.2:
        books = scene.ledger.require_asset(asset)
        lost = rng.choice((0, rng.randint(0, amount)))
        custody = max(0, amount - lost + rng.choice((-1, 0)))
        scene.write(leaf_key(Collection.ASSETS, asset), replace(books, custody=custody, bad_debt=lost).encode())
    return claim(scene, rng)


def drain(scene: Scene, account: int, asset: int, amount: int, rng: random.Random) -> None:
    """Let margin just spare what leaves the account, or not, if it holds as much."""
    held = scene.account(account)
    if (asset == 0 or held.get_collateral(asset) >= amount) and needs_prices(held, asset, amount):
        scales, _ = weigh_leaving(scene.ledger, held, asset, amount)
        spared = scales.compute_after(None).initial
        scene.bend_account(account, cash=held.cash - spared + rng.choice((-1, 0)))


def claim(scene: Scene, rng: random.Random) -> Scene:
    """Let the op say the truth of the account's margin, most often, or anything."""
    op = scene.decoded
    true = claim_l1(scene.ledger, op.position, op.index, scene.context.get_message(op.index))
    said = rng.choice((true.active, true.active, true.active, None, NO_ACTIVE, rng.randbytes(len(NO_ACTIVE))))
    scene.bend_op(active=said)
    return scene


def set_cancel_all(world: World, rng: random.Random) -> Scene:
    """Also at the end of the epochs."""
    account = pick_account(world, rng)
    scene = set_message(world, MessageType.CANCEL_ALL, pick_sender(world, account, rng), account, b"")
    if 0 < account < world.globals.account_count and rng.random() < 0.5:
        scene.bend_account(account, epoch=(1 << 32) - 1)
    return scene


def set_force_close(world: World, rng: random.Random) -> Scene:
    """On or off, of an account that has something or nothing."""
    account = pick_account(world, rng)
    payload = rng.choice((encode_close(True), encode_close(False), b"\x07"))
    scene = set_message(world, MessageType.FORCE_CLOSE, pick_sender(world, account, rng), account, payload)
    if 0 < account < world.globals.account_count:
        scene.bend_account(account, close_from=rng.choice((0, rng.randint(1, 10**9))))
        if rng.random() < 0.4:
            scene.bend_account(account, positions=())
        if rng.random() < 0.6:
            scene.bend_account(account, collateral=())
    return scene


def set_force_liquidate(world: World, rng: random.Random) -> Scene:
    """Of an account that is just short of maintenance margin, or owes just too much, or is not, or is for sale already;
    with prices that are young, stale or halted."""
    account = pick_account(world, rng)
    scene = set_message(world, MessageType.FORCE_LIQUIDATE, rng.randbytes(20), account, b"")
    if not 0 < account < world.globals.account_count:
        return claim(scene, rng)
    if rng.random() < 0.2:
        scene.bend_account(account, liquidation_from=rng.randint(1, 10**9))
    held, params, now = scene.account(account), scene.ledger.get_params(), scene.ledger.get_globals().time
    margin = compute_account_margin(held, read_quotes(scene.ledger, held, params), now, params)
    owed = margin.quote_equity if rng.random() < 0.5 else margin.maintenance
    scene.bend_account(account, epoch=rng.choice((0, (1 << 32) - 1)), cash=held.cash - owed + rng.choice((-1, 0)))
    if owed == margin.quote_equity:
        scene.bend_params(quote_debt_max=0)
    underlyings = [instrument.underlying for instrument, _ in held.positions]
    if underlyings and rng.random() < 0.4:
        bends: tuple[Callable[[int], None], ...] = (
            lambda underlying: scene.bend_underlying(underlying, oracle_time=now - params.price_age_max - 1),
            lambda underlying: scene.bend_underlying(underlying, halted_until=now + 1),
        )
        rng.choice(bends)(rng.choice(underlyings))
    return claim(scene, rng)


def set_params(world: World, rng: random.Random) -> Scene:
    """The next version, beside the active one or another; a version may be waiting, and there may be no room."""
    active = rng.choice((0, 1, 7, RULES_OFFSET - 2, RULES_OFFSET - 1))
    proposal = world.draft_proposal(taker_fee_ppm=rng.randrange(10_000), active_from=rng.getrandbits(40))
    proposal = proposal._replace(version=active + rng.choice((0, 1, 1, 1, 1, 2)))
    if rng.random() < 0.3:
        proposal = rng.choice(
            (
                proposal._replace(previous_params_hash=rng.randbytes(32)),
                proposal._replace(previous_rules_hash=rng.randbytes(32)),
                proposal._replace(rules=rng.randbytes(rng.randint(64, 1_114))),
            )
        )
    scene = set_message(world, MessageType.PARAMS, rng.randbytes(20), 0, proposal.encode())
    scene.bend_globals(params_version=active)
    for offset in (0, RULES_OFFSET):
        leaf = scene.leaves[leaf_key(Collection.PARAMS, offset)]
        scene.write(leaf_key(Collection.PARAMS, offset + active), leaf)
        if active + 1 < RULES_OFFSET and rng.random() < 0.5:
            scene.write(leaf_key(Collection.PARAMS, offset + active + 1), leaf)
    return scene


MESSAGES: dict[int, Callable[[World, random.Random], Scene]] = {
    MessageType.DEPOSIT: set_deposit,
    MessageType.REGISTER_KEY: set_register_key,
    MessageType.FORCE_WITHDRAW: set_force_withdraw,
    MessageType.CANCEL_ALL: set_cancel_all,
    MessageType.FORCE_CLOSE: set_force_close,
    MessageType.FORCE_LIQUIDATE: set_force_liquidate,
    MessageType.PARAMS: set_params,
    4: lambda world, rng: set_message(world, rng.choice((0, 4, 200, 255)), rng.randbytes(20), 1, rng.randbytes(9)),
}


# What comes of messages that have an op of their own.
OF_OTHER_OPS = {MessageCode.READING_MALFORMED} | {code for code in MessageCode if code.name.startswith("BID_")}


def get_message_code(scene: Scene) -> MessageCode | Code:
    """What becomes of the scene's message."""
    return PROCESSES[Kind.L1].apply_effects(scene.ledger, scene.context, scene.decoded).message_code


@pytest.mark.slow
def test_every_message_has_one_effect(court: Court, world: World, rng: random.Random) -> None:
    """Whatever becomes of a message, rules and contract compute the same root, until every outcome was met."""
    missing = set(MessageCode) - OF_OTHER_OPS
    for _ in range(40):
        scenes = [setting(world, rng) for setting in MESSAGES.values() for _ in range(25)]
        court.hear(world)
        for scene in scenes:
            assert_root_is_agreed(court, scene)
            missing -= {get_message_code(scene)}
        if not missing:
            break

    assert not missing


# What an op says of margin


def draw_margined_scenes(
    court: Court, world: World, rng: random.Random, is_enough: Callable[[], bool]
) -> Iterator[Scene]:
    """Messages that may ask for margin, most of them about an account at its edge, until there are enough; everybody
    holds options."""
    for name in PEOPLE:
        lots = [rng.choice((-1, 1)) * rng.randint(1, 2_000) for _ in OPTIONS]
        held = add_positions(world.account_of(name), list(zip(OPTIONS, lots, strict=True)))
        world.rewrite_account(name, positions=held.positions)
    for _ in range(40):
        scenes = [setting(world, rng) for setting in (set_force_withdraw, set_force_liquidate) for _ in range(10)]
        court.hear(world)
        yield from scenes
        if is_enough():
            return
    pytest.fail("something was not met")


def get_true_claim(scene: Scene) -> bytes | None:
    """The scenarios that an honest op names here."""
    op = scene.decoded
    return claim_l1(scene.ledger, op.position, op.index, scene.context.get_message(op.index)).active


def test_word_of_margin_is_convicted_where_it_is_false(court: Court, world: World, rng: random.Random) -> None:
    """Shortage denied, pretended, or shown in scenarios that do not show it is convicted; the truth is under none."""
    met = {"truth": 0, "denied": 0, "pretended": 0, "badly shown": 0}
    code = Code.L1_MARGIN_MUST_MATCH
    for scene in draw_margined_scenes(court, world, rng, lambda: min(met.values()) >= 6):
        true = get_true_claim(scene)
        for said in (true, None, NO_ACTIVE, draw_active(rng)):
            scene.bend_op(active=said)
            is_weighed = dispute(scene.played, check_ground(code)).witness.scenarios is not None
            if judge_any_exhibit(court, scene, code, rng, exhibits=4 if is_weighed else 0):
                met["denied" if said is None else "pretended" if true is None else "badly shown"] += 1
            elif is_weighed:
                met["truth"] += 1


def test_only_the_message_of_the_inbox_counts(court: Court, world: World) -> None:
    """A message that the inbox does not have at this index is a bad witness, and shows nothing."""
    scene = set_message(world, MessageType.CANCEL_ALL, world.person("alice").address, 1, b"")
    court.hear(world)
    step = scene.honest
    case = dispute(step, EFFECT)
    assert case.witness.message is not None
    forged = case.witness.message[:-1] + bytes([case.witness.message[-1] ^ 3])

    outcome = court.call(step, EFFECT, replace(case.witness, message=forged).encode())

    assert outcome.reverted

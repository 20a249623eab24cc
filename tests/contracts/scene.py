"""Random honest markets, and scenes: a step with the state before it, to be bent before a verdict is asked for.

A bent state need not be reachable. Verdicts are a function of op, header and leaves alone, so bending is the shortest
way to any of them.
"""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from fraud_proofs.grounds import EFFECT, check_ground
from risk.margin import BASIS_ACTIVE
from risk.parameters import Parameters
from state.codes import Code, Kind
from state.constants import PPM
from state.context import StepContext, is_passed
from state.leaves import (
    CALL,
    FUTURE,
    PUT,
    Account,
    AssetTerms,
    Expiry,
    Instrument,
    Order,
    Params,
    Underlying,
    perpetual,
)
from state.ledger import Exhibit, Ledger, Slot
from state.marks import compute_mark
from state.operations import NO_ACTIVE, Fill, Operation, decode_operation
from state.transition import PROCESSES, Valid
from state.tree import (
    GLOBALS_KEY,
    Collection,
    LeafKey,
    account_key,
    build_tree,
    expiry_key,
    leaf_key,
    order_key,
    underlying_key,
)
from tests.contracts.court import Court, compute_post_root, dispute, list_grounds
from tests.world import (
    MIX,
    MIXED_LISTINGS,
    QUOTE_TERMS,
    RULES,
    UNDERLYING_TERMS,
    WEEK,
    Legs,
    PlayedStep,
    World,
    build_params,
    open_mixed_market,
)

PEOPLE = ("alice", "bob", "carol", "dave")
SPOTS = (17_000_000, 7_000_000, 3_000_000, 700_000)
TRADED = (0, 1, 2, 3, MIX)
DATED = (0, MIX)
"""Underlyings that trade, and those that have an expiry too."""


class Scene:
    """An op, its place and the leaves before it, all of which may be bent."""

    def __init__(self, context: StepContext, leaves: dict[LeafKey, bytes], op: Operation | bytes) -> None:
        self.context = context
        self.leaves = dict(leaves)
        self.op = op if isinstance(op, bytes) else op.encode()

    @property
    def ledger(self) -> Ledger:
        """The state as it is bent."""
        return Ledger(self.leaves)

    @property
    def decoded(self) -> Any:
        """The op, when its bytes are one."""
        return decode_operation(self.op)

    @property
    def played(self) -> PlayedStep:
        """As a step that claims nothing."""
        root = build_tree(self.leaves.items()).root
        return PlayedStep(self.context, self.leaves, root, self.op, bytes(32), result=None)  # type: ignore[arg-type]

    @property
    def honest(self) -> PlayedStep:
        """As a step that claims the root of its effects."""
        played = self.played
        return replace(played, post_root=compute_post_root(played))

    def bend_place(self, step: int) -> None:
        """Move the op to another step of its batch."""
        self.context = self.context.at(step)

    def bend_domain(self, domain: bytes) -> None:
        """Move the op to another rollup."""
        self.context = replace(self.context, domain=domain)

    def bend_bytes(self, op: bytes) -> None:
        """Put any bytes in the op's place."""
        self.op = op

    def bend_op(self, **changes: Any) -> None:
        """Change fields of the op."""
        self.op = replace(self.decoded, **changes).encode()

    def bend_header(self, **changes: Any) -> None:
        """Change fields of the batch's header."""
        self.context = replace(self.context, header=replace(self.context.header, **changes))

    def write(self, key: LeafKey, data: bytes) -> None:
        """Replace a leaf; no bytes remove it."""
        if data:
            self.leaves[key] = data
        else:
            self.leaves.pop(key, None)

    def bend_globals(self, **changes: Any) -> None:
        """Change the globals."""
        self.write(GLOBALS_KEY, replace(self.ledger.get_globals(), **changes).encode())

    def bend_params(self, **changes: Any) -> None:
        """Change the active parameters."""
        key = leaf_key(Collection.PARAMS, self.ledger.get_globals().params_version)
        self.write(key, replace(self.ledger.get_params(), **changes).encode())

    def bend_account(self, account: int, **changes: Any) -> None:
        """Change an account."""
        self.write(account_key(account), replace(self.account(account), **changes).encode())

    def bend_order(self, slot: Slot, **changes: Any) -> None:
        """Change the order of a slot."""
        self.write(order_key(*slot), replace(self.order(slot), **changes).encode())

    def bend_underlying(self, underlying: int, **changes: Any) -> None:
        """Change an underlying."""
        self.write(underlying_key(underlying), replace(self.underlying(underlying), **changes).encode())

    def bend_expiry(self, underlying: int, expiry: int, **changes: Any) -> None:
        """Change an expiry, or begin it."""
        before = self.ledger.get_expiry(underlying, expiry) or Expiry()
        self.write(expiry_key(underlying, expiry), replace(before, **changes).encode())

    def bend_books(self, **changes: Any) -> None:
        """Change the books of the quote asset."""
        key = leaf_key(Collection.ASSETS, 0)
        self.write(key, replace(self.ledger.require_asset(0), **changes).encode())

    def account(self, account: int) -> Account:
        """As it is bent."""
        return self.ledger.require_account(account)

    def order(self, slot: Slot) -> Order:
        """As it is bent."""
        return self.ledger.require_order(slot)

    def underlying(self, underlying: int) -> Underlying:
        """As it is bent."""
        return self.ledger.require_underlying(underlying)


Bend = Callable[[], object]
"""Changes a scene; called for its effect."""

Breaker = Callable[[Scene, random.Random], Sequence[Bend]]
"""The ways in which one check can be made to fail in a scene where all hold. One of them is then called."""


def assert_breaks(
    court: Court, find: Callable[[], Scene], code: Code, breaker: Breaker, rng: random.Random, rounds: int
) -> None:
    """Break a check in each way in turn, `rounds` times or more; it convicts each time.

    Both judges also agree on EFFECT then, whether it can be shown for such an op or not.
    """
    done = 0
    while True:
        scene = find()
        assert_acquits(court, scene, code)
        ways = breaker(scene, rng)
        if done >= max(rounds, len(ways)):
            return
        ways[done % len(ways)]()
        assert_convicts(court, scene, code)
        court.judge(dispute(scene.played, EFFECT))
        done += 1


def assert_convicts(court: Court, scene: Scene, code: Code) -> None:
    """The check convicts, say both judges."""
    assert court.judge(dispute(scene.played, check_ground(code))), f"{code.name} does not convict {scene.op.hex()}"


def assert_acquits(court: Court, scene: Scene, code: Code) -> None:
    """The check does not convict, say both judges."""
    assert not court.judge(dispute(scene.played, check_ground(code))), f"{code.name} convicts {scene.op.hex()}"


def draw_active(rng: random.Random) -> bytes:
    """Scenarios of eight underlyings: some of the rules', the basis contingency, and numbers that mean nothing."""
    return bytes(rng.choice((rng.randrange(32), BASIS_ACTIVE, rng.randrange(256))) for _ in NO_ACTIVE)


def draw_exhibit(rng: random.Random) -> Exhibit:
    """Any scenarios, often the same before and after."""
    before = draw_active(rng)
    return Exhibit(before, rng.choice((before, draw_active(rng))))


def judge_any_exhibit(court: Court, scene: Scene, code: Code, rng: random.Random, exhibits: int = 4) -> bool:
    """Whether a check that may judge a margin fails. The witness of an honest prover shows just that; under any other
    scenarios both judges say the same too, and never that a check fails which holds."""
    (check,) = (check for known, check in PROCESSES[scene.decoded.kind].checks if known is code)
    case = dispute(scene.played, check_ground(code))
    fails = not is_passed(check, scene.ledger, scene.context, scene.decoded)
    assert court.judge(case) is fails, f"{code.name} of {scene.op.hex()}"
    for _ in range(exhibits if case.witness.scenarios else 0):
        other = replace(case.witness, scenarios=draw_exhibit(rng))
        assert court.judge(replace(case, witness=other)) <= fails, f"{other.scenarios} convicts {scene.op.hex()}"
    return fails


def assert_same_effect(court: Court, scene: Scene) -> None:
    """The root of the effects stands, and no other, say both judges."""
    assert not court.judge(dispute(scene.honest, EFFECT))
    assert court.judge(dispute(scene.played, EFFECT))


def assert_agrees_on_any_bytes(
    court: Court, find: Callable[[], Scene], rng: random.Random, rounds: int, grounds_max: int = 99
) -> Counter[bool]:
    """On an op with random bytes in random places both judges say the same, and none reverts; answers what they say.

    On every ground, or on so many drawn ones.
    """
    verdicts: Counter[bool] = Counter()
    for _ in range(rounds):
        scene = find()
        op = bytearray(scene.op)
        for _ in range(rng.randint(1, 2)):
            op[rng.randrange(1, len(op))] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
        scene.bend_bytes(bytes(op))
        grounds = list_grounds(Kind(scene.op[0]))
        for ground in rng.sample(grounds, min(grounds_max, len(grounds))):
            verdicts[court.judge(dispute(scene.played, ground))] += 1
    return verdicts


def assert_corruption_shows_nothing(court: Court, steps: Sequence[PlayedStep], rng: random.Random, rounds: int) -> None:
    """No change of a witness, hints included, makes an honest step look wrong: a revert, or nothing shown."""
    for _ in range(rounds):
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


def build_market_params(rng: random.Random) -> Params:
    """Parameters with two kinds of collateral and numbers that do not divide evenly."""
    return build_params(
        assets=(
            QUOTE_TERMS,
            AssetTerms(1, 150_000, 40_000, 500_000, rng.randint(9_000_000, 11_000_000), 5_000_000),
            AssetTerms(3, rng.randint(0, 400_000), rng.randint(0, 99_999), PPM, 1_000_003, 5_000_000),
        ),
        underlyings=(UNDERLYING_TERMS,) * len(MIXED_LISTINGS),
        maker_fee_ppm=rng.randint(0, 300),
        taker_fee_ppm=rng.randint(300, 700),
        l1_fee=rng.randint(0, 2_000),
        funding_period=rng.choice((3_600, 28_800, 28_801)),
    )


def open_random_market(seed: int, rules: Parameters = RULES) -> World:
    """People with cash and collateral, prices with premiums either way."""
    rng = random.Random(seed)
    world = open_mixed_market(seed, people=PEOPLE, params=build_market_params(rng), rules=rules)
    for name in PEOPLE:
        for asset in (1, 2):
            if rng.random() < 0.6:
                world.deposit(name, rng.randint(10**7, 10**10), asset)
    refresh_prices(world, rng)
    return world


def publish_reading(world: World, rng: random.Random, underlying: int) -> None:
    """Time passes, and a new reading comes, up to 3 % from where prices began; the basket and the expiries follow."""
    world.tick(rng.randint(1, 60))
    spot = SPOTS[underlying] * rng.randint(970, 1030) // 1000
    mark = spot * rng.randint(990, 1010) // 1000
    world.play(world.sign_reading(underlying, spot, mark, world.globals.time, mask=rng.choice((3, 5, 6, 7))))
    ledger, now = Ledger(world.state.leaves), world.globals.time
    times = [ledger.require_underlying(component).oracle_time for component, _ in MIXED_LISTINGS[MIX].basket]
    if min(times) > ledger.require_underlying(MIX).oracle_time:
        world.index(MIX)
    for dated in DATED:
        if now - ledger.require_expiry(dated, WEEK).time > 60:
            world.read_surface(dated, WEEK, rate=rng.choice((0, 1 << 33)))


def refresh_prices(world: World, rng: random.Random) -> None:
    """New readings of everything: all prices are young then."""
    for underlying in range(len(SPOTS)):
        publish_reading(world, rng, underlying)


def draw_legs(world: World, rng: random.Random) -> Legs:
    """A perpetual, something dated, or a combination of up to four of them."""
    underlying = rng.choice(TRADED)
    if underlying not in DATED or rng.random() < 0.4:
        return ((perpetual(underlying), 1),)
    spot = Ledger(world.state.leaves).require_underlying(underlying).spot
    unit = 10 ** (len(str(spot)) - 3)
    strikes = [spot // unit * unit * percent // 100 // unit * unit for percent in (90, 97, 103, 110)]
    pool = [
        perpetual(underlying),
        Instrument(underlying, WEEK, 0, FUTURE),
        *(Instrument(underlying, WEEK, strike, kind) for strike in strikes for kind in (PUT, CALL)),
    ]
    if rng.random() < 0.6:
        return ((rng.choice(pool), 1),)
    first, *others = sorted(rng.sample(pool, rng.randint(2, 4)))
    return ((first, 1), *((instrument, rng.choice((-2, -1, 1, 3))) for instrument in others))


def compute_fair_price(ledger: Ledger, legs: Legs) -> tuple[int, int]:
    """What a lot of the legs is marked at, and its size: so many lots of the underlying at mark."""
    time, fair, size = ledger.get_globals().time, 0, 0
    for instrument, ratio in legs:
        underlying = ledger.require_underlying(instrument.underlying)
        expiry = ledger.require_expiry(instrument.underlying, instrument.expiry) if instrument.expiry else None
        fair += ratio * compute_mark(instrument, underlying, expiry, time)
        size += abs(ratio) * underlying.mark
    return fair, size


def place_crossing_orders(world: World, rng: random.Random) -> Fill:
    """Two registered orders and the fill that they allow, not played."""
    buyer, seller = rng.sample(PEOPLE, 2)
    legs = draw_legs(world, rng)
    quantity = rng.randint(1, 2_000)
    fair, size = compute_fair_price(Ledger(world.state.leaves), legs)
    price = fair + size * rng.randint(-20, 20) // 1000
    price = max(price, 1) if len(legs) == 1 else price
    slots = {buyer: rng.randrange(1024), seller: rng.randrange(1024)}
    sides = [(buyer, quantity, price), (seller, -quantity, price)]
    is_buyer_maker = rng.random() < 0.5
    ordered = sides if is_buyer_maker else sides[::-1]
    for role, (name, signed, limit) in enumerate(ordered):
        # The maker's limit is the price; the taker would go further, and asks for more or less than the maker has.
        slack = rng.randint(0, size // 100) * role
        taken = limit + (slack if signed > 0 else -slack)
        other = world.person(seller if name == buyer else buyer).account
        world.place(
            name,
            legs,
            signed + rng.randint(0, 50) * (1 if signed > 0 else -1),
            max(taken, 1) if len(legs) == 1 else taken,
            slots[name],
            flags=(signed < 0) | (4 if role == 0 and rng.random() < 0.3 else 0),
            counterparty=rng.choice((0, 0, other)),
        )
    return world.fill(buyer, seller, price, rng.randint(1, quantity), slots[buyer], slots[seller])


def play_random_trades(world: World, rng: random.Random, count: int) -> list[Scene]:
    """Trades as they come, each as the scene before it; some fill, some are then cancelled, prices move between."""
    scenes: list[Scene] = []
    while len(scenes) < count:
        fill = place_crossing_orders(world, rng)
        scene = Scene(world.here, world.state.leaves, fill)
        if isinstance(world.judge(fill), Valid):
            world.play(fill)
            scenes.append(scene)
        else:
            buyer = next(name for name, person in world.people.items() if person.account == fill.buyer)
            world.play(world.sign_cancel(buyer, fill.buyer_slot))
        if rng.random() < 0.4:
            publish_reading(world, rng, rng.randrange(len(SPOTS)))
    return scenes

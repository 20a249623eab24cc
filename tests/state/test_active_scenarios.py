"""state/active_scenarios.py: what the bytes of active scenarios speak of, and what follows from them."""

import random

import pytest
from hypothesis import given

from risk.margin import BASIS_ACTIVE, Margin
from risk.parameter_sets import PARAMETER_SETS
from state.active_scenarios import WORST, Scales, is_number_true, list_tried, weigh_account
from state.leaves import Account, Instrument, call, future, perpetual, put
from state.ledger import Exhibit, Ledger
from state.operations import NO_ACTIVE
from state.valuation import compute_account_margin, read_quotes
from tests.strategies import i128, within
from tests.world import MIX, WEEK, World, open_mixed_market

KEEL = PARAMETER_SETS["keel"]
CASH = 10**12

BTC_CALL, BTC_PUT = call(0, WEEK, 18_000_000), put(0, WEEK, 16_000_000)
MIX_CALL = call(MIX, WEEK, 5_200_000)
POOL = (
    BTC_CALL,
    BTC_PUT,
    MIX_CALL,
    put(MIX, WEEK, 5_000_000),
    future(0, WEEK),
    future(MIX, WEEK),
    *map(perpetual, range(5)),
)
"""Options of two underlyings, and what has none: the bytes never speak of the other three."""


@pytest.fixture(scope="module")
def world() -> World:
    """A market with options, under rules of many scenarios."""
    return open_mixed_market(rules=KEEL)


def hold(*positions: tuple[Instrument, int]) -> Account:
    """An account with cash and these signed lots."""
    return Account(bytes(20), cash=CASH, positions=tuple(sorted(positions)))


def draw_account(chance: random.Random) -> Account:
    """Any positions of the pool."""
    held = chance.sample(POOL, chance.randrange(len(POOL)))
    return hold(*((instrument, chance.choice((-1, 1)) * chance.randint(1, 10**5)) for instrument in held))


def draw_active(chance: random.Random) -> bytes:
    """Scenarios of the rules, the basis contingency, and numbers that mean nothing."""
    return bytes(chance.choice((chance.randrange(31), BASIS_ACTIVE, chance.randrange(256))) for _ in NO_ACTIVE)


def measure(world: World, before: Account, after: Account) -> Scales:
    """Both accounts as the world stands."""
    ledger = Ledger(world.state.leaves)
    params, time = ledger.get_params(), ledger.get_globals().time
    quotes = read_quotes(ledger, before, params, [instrument for instrument, _ in after.positions])
    return Scales(quotes, time, params, before, after)


def compute_whole(world: World, account: Account) -> Margin:
    """The margin of an account without any names."""
    ledger = Ledger(world.state.leaves)
    params = ledger.get_params()
    return compute_account_margin(account, read_quotes(ledger, account, params), ledger.get_globals().time, params)


def judge(margin: Margin) -> tuple[int, int, int, int]:
    """What an op can rely on."""
    return margin.quote_equity, margin.equity, margin.initial, margin.maintenance


def test_what_is_named_as_worst_leaves_the_margin(world: World, seed: int) -> None:
    """Before and after any op both margins under the names given for them are those of the accounts by themselves, and
    under any other names they are no less."""
    chance = random.Random(seed)
    more = 0
    for _ in range(40):
        before, after = draw_account(chance), draw_account(chance)
        scales = measure(world, before, after)
        for account, compute, worst in (
            (before, scales.compute_before, scales.name_worst_before()),
            (after, scales.compute_after, scales.name_worst_after()),
        ):
            whole = judge(compute_whole(world, account))
            assert judge(compute(worst)) == judge(compute(None)) == whole
            under = judge(compute(draw_active(chance)))
            assert under[:2] == whole[:2]
            assert under[2] >= whole[2]
            assert under[3] >= whole[3]
            more += under > whole
    assert more > 10


def find_bytes_that_matter(scales: Scales, chance: random.Random) -> set[int]:
    """Where another byte than that of the worst scenario changes a margin."""
    worst = (scales.name_worst_before(), scales.name_worst_after())
    changing = set()
    for lane, compute in enumerate((scales.compute_before, scales.compute_after)):
        for place in range(len(NO_ACTIVE)):
            other = bytearray(worst[lane])
            other[place] = 200 + chance.randrange(50)
            if judge(compute(bytes(other))) != judge(compute(None)):
                changing.add(place)
    return changing


@pytest.mark.parametrize(
    ("before", "after", "places"),
    [
        ([(BTC_CALL, -500)], [(BTC_CALL, -500)], {0}),
        ([(BTC_CALL, -500), (MIX_CALL, -500)], [(BTC_CALL, -500)], {0, 1}),
        ([(perpetual(0), -500), (MIX_CALL, -500)], [(perpetual(0), -500), (MIX_CALL, -400)], {0}),
        ([(perpetual(0), -500), (MIX_CALL, -500)], [(BTC_CALL, -500)], {0, 1}),
        ([(future(0, WEEK), -500), (perpetual(1), 3)], [(perpetual(1), 3)], set()),
    ],
    ids=["one", "two, then one", "a perpetual is none", "one of each", "without options"],
)
def test_a_byte_speaks_of_options_before_or_after(
    world: World,
    seed: int,
    before: list[tuple[Instrument, int]],
    after: list[tuple[Instrument, int]],
    places: set[int],
) -> None:
    """One for each underlying of which either account holds options, ascending; what moves with spot alone has none."""
    scales = measure(world, hold(*before), hold(*after))
    assert find_bytes_that_matter(scales, random.Random(seed)) == places


def test_a_byte_for_either_account_takes_all_of_its_underlying(world: World) -> None:
    """A perpetual is judged in the scenario that is named for its underlying where the other account holds options of
    it, and in its worst where neither does."""
    linear, options = hold((perpetual(0), -500)), hold((perpetual(0), -500), (BTC_CALL, 1))
    nothing = bytes([200]) * len(NO_ACTIVE)
    beside, alone = (measure(world, linear, after).compute_before(nothing) for after in (options, linear))
    assert beside.loss == 0
    assert alone == compute_whole(world, linear)
    assert alone.loss > 0


def test_what_has_settled_is_not_named() -> None:
    """Options whose settlement price is known are cash: the byte is that of the next underlying."""
    world = open_mixed_market(rules=KEEL)
    world.settle_expiry(0, WEEK, 17_000_000)
    scales = measure(world, hold((BTC_PUT, -500), (MIX_CALL, -500)), hold((MIX_CALL, -500)))
    assert find_bytes_that_matter(scales, random.Random(0)) == {0}


def test_each_account_has_names_of_its_own(world: World) -> None:
    """A short call is worst off above, a short put below: what is named for one account is not the other's worst."""
    scales = measure(world, hold((BTC_CALL, -10_000)), hold((BTC_PUT, -10_000)))
    above, below = scales.name_worst_before(), scales.name_worst_after()
    assert above != below
    assert len(above) == len(below) == 8
    assert scales.compute_before(above).loss > scales.compute_before(below).loss
    assert scales.compute_after(below).loss > scales.compute_after(above).loss


def test_who_holds_no_options_names_nothing(world: World) -> None:
    """Eight zeros."""
    scales = measure(world, hold((perpetual(1), 5)), hold())
    assert scales.name_worst_before() == scales.name_worst_after() == NO_ACTIVE


def test_an_account_as_it_stands_is_both(world: World) -> None:
    """Before and after alike, with the quotes of its own."""
    account = hold((BTC_CALL, -500), (perpetual(2), 7))
    scales, quotes = weigh_account(Ledger(world.state.leaves), account)
    assert scales.compute_before(None) == scales.compute_after(None) == compute_whole(world, account)
    assert scales.name_worst_before() == scales.name_worst_after()
    assert set(quotes.underlyings) >= {0, 2}


def test_honest_rules_try_the_worst_and_what_is_named(world: World) -> None:
    """Without a proof a check must pass under the worst scenarios, and under those that the op names; these are what a
    prover may show. In a proof it must pass under those that are exhibited, and nobody asks for others."""
    scales = measure(world, hold((BTC_CALL, -500)), hold((BTC_PUT, -500)))
    worst = Exhibit(scales.name_worst_before(), scales.name_worst_after())
    named, shown = Exhibit(b"\7" * 8, b"\t" * 8), Exhibit(b"\1" * 8, b"\2" * 8)
    ledger = Ledger(world.state.leaves)
    assert list_tried(ledger, scales) == (WORST,)
    assert ledger.list_exhibits() == (worst,)
    assert list_tried(ledger, scales, named) == (WORST, named)
    assert ledger.list_exhibits() == (worst, named)
    ledger.exhibited = shown
    assert list_tried(ledger, scales) == list_tried(ledger, scales, named) == (shown,)


@given(true=i128, more=within(-2, 2))
def test_a_claimed_number_is_exact_under_the_scenarios_named_for_it(true: int, more: int) -> None:
    """Under these it is the number itself, under any others that or less; the number that is true of the worst passes
    both, and no other passes where the worst is named."""
    named, other, claimed = b"\1" * 8, b"\2" * 8, true + more
    assert is_number_true(true, claimed, named, named) == (claimed == true)
    assert is_number_true(true, claimed, other, named) == (claimed <= true)
    assert is_number_true(true, claimed, None, named) == (claimed <= true)

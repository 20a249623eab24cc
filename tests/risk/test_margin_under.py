"""Margin under named scenarios: never less than the margin, and that under the worst of each underlying."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from random import Random
from typing import NamedTuple

import pytest

from risk.fixed_point import ONE_Q38
from risk.margin import (
    BASIS_ACTIVE,
    BASIS_WORST,
    NOTHING_WORST,
    Measured,
    compute_margin,
    compute_margin_under,
    get_active,
    get_loss_under,
    measure,
)
from risk.market import Option
from risk.parameter_sets import PARAMETER_SETS
from risk.parameters import Parameters, Tier
from tests.risk.samples import DOLLAR, make_market, make_portfolio

KEEL = PARAMETER_SETS["keel"]
NUMBERS = 256
"""What a byte may say."""


class Weighed(NamedTuple):
    """An account that was measured, and what else its margin depends on."""

    parameters: Parameters
    measured: Measured
    loadings_q20: tuple[int, ...]
    tier: int


def weigh(random: Random, parameters: Parameters) -> Weighed:
    """A random account of a few underlyings, under tiers that it reaches and fails."""
    market = make_market(random, underlyings=3)
    portfolio = make_portfolio(random, market)
    measured = measure(parameters, market, portfolio)
    standard = compute_margin_under(parameters, measured, {})
    need = standard.equity - standard.initial
    tiers = tuple(
        Tier(
            initial_factor_q38=random.randrange(1 << 37, 1 << 39),
            maintenance_factor_q38=random.randrange(1 << 36, 1 << 39),
            gamma_threshold=int(2 ** random.uniform(0, 63)),
            vega_threshold=int(2 ** random.uniform(0, 63)),
            minimum_equity=random.choice((0, random.randrange(2 * need + 1))),
            maximum_use_q38=random.choice((1 << 38, random.randrange(1 << 39))),
        )
        for _ in range(random.randrange(1, 4))
    )
    loadings = tuple(random.choice((0, 1 << 20, random.randrange(1 << 20))) for _ in market.underlyings)
    equity = random.randrange(3 * need + 1)
    measured = replace(measured, equity=equity, quote_equity=measured.quote_equity + equity - measured.equity)
    return Weighed(replace(parameters, tiers=tiers), measured, random.choice((loadings, ())), random.randrange(4))


def draw_accounts(seed: int, name: str, count: int) -> Iterator[tuple[Random, Weighed]]:
    """Random accounts under a set of rules, with the chance that made them."""
    random = Random(f"{seed} {name}")
    for _ in range(count):
        yield random, weigh(random, PARAMETER_SETS[name])


def draw_active(random: Random, measured: Measured) -> dict[int, int]:
    """Some number for some of the underlyings."""
    return {
        place: random.choice((random.randrange(len(risk.pnl)), BASIS_ACTIVE, random.randrange(NUMBERS)))
        for place, risk in enumerate(measured.underlyings)
        if random.random() < 0.8
    }


@pytest.mark.parametrize("name", PARAMETER_SETS)
def test_no_scenarios_leave_less_than_the_worst(name: str, seed: int) -> None:
    """Under any scenarios, named for all underlyings or for some, both surpluses are at least those of the margin, and
    what the account is worth is the same."""
    more = 0
    for random, (parameters, measured, loadings, tier) in draw_accounts(seed, name, 20):
        whole = compute_margin_under(parameters, measured, {}, loadings, tier)
        for _ in range(20):
            under = compute_margin_under(parameters, measured, draw_active(random, measured), loadings, tier)
            assert under.loss <= whole.loss
            assert under.initial >= whole.initial
            assert under.maintenance >= whole.maintenance
            assert (under.equity, under.quote_equity) == (whole.equity, whole.quote_equity)
            more += under.initial > whole.initial
    assert more > 50


@pytest.mark.parametrize("name", PARAMETER_SETS)
def test_the_active_scenarios_leave_the_margin(name: str, seed: int) -> None:
    """Under the worst scenario of each underlying, named for all or for some, the margin is the margin, in all its
    parts."""
    for random, (parameters, measured, loadings, tier) in draw_accounts(seed, name, 20):
        whole = compute_margin_under(parameters, measured, {}, loadings, tier)
        worst = {place: get_active(risk) for place, risk in enumerate(measured.underlyings)}
        some = {place: active for place, active in worst.items() if random.random() < 0.5}
        for active in (worst, some):
            assert compute_margin_under(parameters, measured, active, loadings, tier) == whole


def test_margin_is_what_its_parts_come_to(seed: int) -> None:
    """Measured first and then judged, or at once: it is one margin."""
    random = Random(seed)
    market = make_market(random)
    portfolio = make_portfolio(random, market)
    for tier in (0, 1):
        measured = measure(KEEL, market, portfolio)
        assert compute_margin_under(KEEL, measured, {}, (), tier) == compute_margin(KEEL, market, portfolio, (), tier)


@pytest.mark.parametrize("name", PARAMETER_SETS)
def test_a_number_takes_what_its_scenario_does(name: str, seed: int) -> None:
    """One of the rules that counts takes its own loss, 255 the basis contingency, and any other number nothing."""
    for _, (parameters, measured, _, _) in draw_accounts(seed, name, 3):
        for risk in measured.underlyings:
            losses = [get_loss_under(parameters, risk, number) for number in range(NUMBERS)]
            expected = {
                order: max(-pnl, 0)
                for order, (pnl, scenario) in enumerate(zip(risk.pnl, parameters.scenarios, strict=True))
                if scenario.counts
            } | {BASIS_ACTIVE: max(-risk.basis, 0)}
            assert losses == [expected.get(number, 0) for number in range(NUMBERS)]
            assert max(losses) == risk.loss == losses[get_active(risk)]


def test_the_basis_is_named_where_it_is_worst(seed: int) -> None:
    """A calendar spread of forwards under rules whose spot hardly moves loses most by its basis; whoever holds nothing
    loses nothing, whatever is named."""
    random = Random(seed)
    market = make_market(random)
    forward = market.underlyings[0].expiries[0].forward
    legs = tuple(
        Option(0, expiry, forward, is_call, side * (1 if is_call else -1) * 100)
        for expiry, side in ((0, 1), (1, -1))
        for is_call in (False, True)
    )
    bare = replace(make_portfolio(random, market), perpetuals=(0, 0), futures=(), collateral=())
    calm = replace(KEEL, contingencies=replace(KEEL.contingencies, basis_add_q38=16 * ONE_Q38))
    spread, nothing = measure(calm, market, replace(bare, options=legs)).underlyings
    assert (spread.worst, get_active(spread)) == (BASIS_WORST, BASIS_ACTIVE)
    assert get_loss_under(calm, spread, BASIS_ACTIVE) == spread.loss > 0
    assert (nothing.worst, get_active(nothing)) == (NOTHING_WORST, 0)
    assert {get_loss_under(calm, nothing, number) for number in range(NUMBERS)} == {0}


def test_a_greater_loss_never_leaves_more(seed: int) -> None:
    """From the mildest scenario to the worst both surpluses fall or stay, also where a tier of the account's own, whose
    factors are lower or higher, is lost on the way."""
    lost = 0
    for random, weighed in draw_accounts(seed, "keel", 40):
        place = random.randrange(len(weighed.measured.underlyings))
        risk, others = weighed.measured.underlyings[place], draw_active(random, weighed.measured)
        named = sorted(range(NUMBERS), key=lambda number: get_loss_under(KEEL, risk, number))
        mild_to_worst = [others | {place: number} for number in named]
        parameters, measured = reach_second_tier_midway(random, weighed, mild_to_worst[0], mild_to_worst[-1])
        margins = [
            compute_margin_under(parameters, measured, active, weighed.loadings_q20, 1) for active in mild_to_worst
        ]
        for milder, worse in pairwise(margins):
            assert worse.loss >= milder.loss
            assert worse.initial <= milder.initial
            assert worse.maintenance <= milder.maintenance
            assert worse.tier <= milder.tier
            lost += worse.tier < milder.tier
    assert lost > 5


def reach_second_tier_midway(
    random: Random, weighed: Weighed, mild: dict[int, int], worst: dict[int, int]
) -> tuple[Parameters, Measured]:
    """Rules and account such that the second tier asks for a use between those under two lists of scenarios."""
    uses = []
    for active in (mild, worst):
        standard = compute_margin_under(weighed.parameters, weighed.measured, active, weighed.loadings_q20)
        uses.append(standard.equity - standard.initial)
    equity = random.randrange(1, 2 * uses[1] + 2)
    first, *_, last = (*weighed.parameters.tiers, KEEL.tiers[1])
    use_q38 = (random.randrange(uses[0], uses[1] + 1) << 38) // equity
    own = replace(last, minimum_equity=0, maximum_use_q38=use_q38)
    return replace(weighed.parameters, tiers=(first, own)), replace(weighed.measured, equity=equity)


def test_a_tier_never_leaves_less_than_the_first(seed: int) -> None:
    """Who may have a tier with dearer factors loses nothing by it; a poor account, which may not, gains nothing."""
    random = Random(seed)
    market = make_market(random)
    portfolio = make_portfolio(random, market)
    rich, poor = (replace(portfolio, cash=cash * DOLLAR) for cash in (10**12, -(10**12)))
    first, second = KEEL.tiers[:2]
    dear = replace(second, initial_factor_q38=2 * first.initial_factor_q38, maintenance_factor_q38=1 << 40)
    rules = replace(KEEL, tiers=(first, dear))
    for held, reached in ((rich, 1), (poor, 0)):
        standard, own = (compute_margin(rules, market, held, (), tier) for tier in (0, 1))
        assert own.tier == reached
        assert (own.initial, own.maintenance) == (standard.initial, standard.maintenance)

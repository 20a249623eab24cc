"""Portfolio margin: a venue's worked cases, and what must hold of any portfolio."""

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest

from risk.bounds import Refusal
from risk.checks import check_inputs
from risk.fixed_point import DAY_MS, ONE_Q38
from risk.margin import Margin, compute_margin, compute_underlying_risk
from risk.market import VALUE_MAX, Collateral, Future, Market, Option, Portfolio, value_holding_floor
from risk.parameter_sets import PARAMETER_SETS, make_linear
from risk.parameters import Concentration, VolShock
from risk.pm2 import QUOTE_UNITS_A_DOLLAR, Case, parse_case
from tests.risk.samples import DOLLAR, make_market, make_portfolio, q38

KEEL = PARAMETER_SETS["keel"]


def dollars(amount: int) -> Decimal:
    return Decimal(amount) / QUOTE_UNITS_A_DOLLAR


def tolerance(scenario: dict[str, Any]) -> Decimal:
    """A millionth of everything that the case is about, and a cent."""
    units = abs(scenario["NumPerps"]) + sum(abs(option["Amount"]) for option in scenario["Options"]) + 1
    return (abs(scenario["Cash"]) + scenario["SpotPrice"] * units) / 10**6 + Decimal("0.01")


def published_pnl(result: dict[str, Any]) -> list[Decimal]:
    """Every scenario's P&L as the case gives it, in the order of its parameters: grid, tails, skews."""
    return [Decimal(row[-1]) for name in ("reg_losses", "tail_losses", "skew_losses") for row in result[name]]


def test_worked_cases_of_a_venue(shared: Path) -> None:
    """Every case's IM, MM and scenario P&L come out within a millionth of what it is about."""
    files = sorted((shared / "vectors/pm2").glob("*.json"))
    for file in files:
        text = file.read_text()
        document = json.loads(text, parse_float=Decimal, parse_int=Decimal)
        case = parse_case(text)
        assert isinstance(case, Case), (file.name, case)
        margin = compute_margin(case.parameters, case.market, case.portfolio)
        allowed = tolerance(document["Scenario"])
        assert abs(dollars(margin.initial) - document["Result"]["IM"]) <= allowed, file.name
        assert abs(dollars(margin.maintenance) - document["Result"]["MM"]) <= allowed, file.name
        counted = [
            pnl
            for pnl, scenario in zip(margin.underlyings[0].pnl, case.parameters.scenarios, strict=True)
            if scenario.counts
        ]
        for mine, theirs in zip(counted, published_pnl(document["Result"]), strict=True):
            assert abs(dollars(mine) - theirs) <= allowed, file.name
    print(f"{len(files)} cases")
    assert len(files) >= 24


def mutate(random: Random, document: dict[str, Any]) -> None:
    """Multiply one number somewhere in a case by something extreme."""
    numbers = []
    stack: list[Any] = [document["Scenario"], document["Parameters"]]
    while stack:
        node = stack.pop()
        for key, child in node.items() if isinstance(node, dict) else enumerate(node):
            if isinstance(child, dict | list):
                stack.append(child)
            elif isinstance(child, int | float) and not isinstance(child, bool):
                numbers.append((node, key))
    node, key = random.choice(numbers)
    node[key] *= random.choice((0, 1e-6, 1e-3, 10, 1e6, 1e40, -1))


def test_whatever_a_case_says_it_is_margined_or_refused(shared: Path, seed: int) -> None:
    """No number, however extreme, makes the engine raise: the gate has a code for it or the margin is an integer."""
    random = Random(seed)
    files = sorted((shared / "vectors/pm2").glob("*.json"))
    margined = refused = 0
    for _ in range(400):
        document = json.loads(random.choice(files).read_text())
        for _ in range(random.randrange(1, 4)):
            mutate(random, document)
        case = parse_case(json.dumps(document))
        if isinstance(case, Refusal):
            refused += 1
        else:
            compute_margin(case.parameters, case.market, case.portfolio)
            margined += 1
    assert margined > 20
    assert refused > 20


def compute(portfolio: Portfolio, market: Market, name: str = "keel") -> Margin:
    return compute_margin(PARAMETER_SETS[name], market, portfolio)


@pytest.fixture
def case(seed: int) -> Case:
    random = Random(seed)
    market = make_market(random)
    portfolio = make_portfolio(random, market)
    assert check_inputs(KEEL, market, portfolio) is None
    return Case(KEEL, market, portfolio)


@pytest.mark.parametrize("name", PARAMETER_SETS)
def test_cash_alone_is_its_own_margin(name: str, case: Case) -> None:
    """Without positions equity, IM and MM are the cash, under every parameter set."""
    cash = replace(case.portfolio, cash=7 * DOLLAR, perpetuals=(0, 0), options=(), futures=(), collateral=())
    margin = compute(cash, case.market, name)
    assert (margin.equity, margin.initial, margin.maintenance, margin.loss) == (7 * DOLLAR,) * 3 + (0,)


@pytest.mark.parametrize("name", PARAMETER_SETS)
def test_initial_margin_asks_for_more(name: str, case: Case) -> None:
    """Initial margin never leaves more than maintenance margin does, and neither more than equity."""
    margin = compute(case.portfolio, case.market, name)
    assert margin.initial <= margin.maintenance <= margin.equity


def test_cash_moves_margin_one_for_one(case: Case) -> None:
    """A dollar more of cash is a dollar more of equity, IM and MM."""
    richer = replace(case.portfolio, cash=case.portfolio.cash + DOLLAR)
    before, after = compute(case.portfolio, case.market), compute(richer, case.market)
    for name in ("equity", "initial", "maintenance"):
        assert getattr(after, name) - getattr(before, name) == DOLLAR


@pytest.mark.parametrize("name", PARAMETER_SETS)
def test_margin_scales_with_size(name: str, case: Case) -> None:
    """Four of everything need four times as much, but for roundings and add-ons for size."""
    parameters = replace(PARAMETER_SETS[name], concentration=Concentration())
    larger = replace(
        case.portfolio,
        cash=4 * case.portfolio.cash,
        perpetuals=tuple(4 * quantity for quantity in case.portfolio.perpetuals),
        options=tuple(replace(option, quantity=4 * option.quantity) for option in case.portfolio.options),
        collateral=tuple(replace(entry, value=4 * entry.value) for entry in case.portfolio.collateral),
        futures=tuple(replace(future, quantity=4 * future.quantity) for future in case.portfolio.futures),
    )
    once, fourfold = (compute_margin(parameters, case.market, p) for p in (case.portfolio, larger))
    assert abs(fourfold.initial - 4 * once.initial) < 400
    assert abs(fourfold.maintenance - 4 * once.maintenance) < 400


def test_the_time_axis_only_asks_for_more(case: Case) -> None:
    """With a second date no scenario is better than without, and a short-dated long option is worse."""
    today = replace(KEEL, steps_ms=(0,))
    one, two = (compute_margin(p, case.market, case.portfolio) for p in (today, KEEL))
    assert two.initial <= one.initial
    for before, after in zip(one.underlyings, two.underlyings, strict=True):
        assert all(later <= now for now, later in zip(before.pnl, after.pnl, strict=True))

    first = case.market.underlyings[0].expiries[0]
    market = replace(
        case.market,
        underlyings=(
            replace(case.market.underlyings[0], expiries=(replace(first, time_ms=2 * DAY_MS),)),
            case.market.underlyings[1],
        ),
    )
    straddle = tuple(Option(0, 0, first.forward, is_call, 100) for is_call in (False, True))
    dated = replace(case.portfolio, options=straddle, perpetuals=(0, 0), futures=(), collateral=())
    one, two = (compute_margin(p, market, dated) for p in (today, KEEL))
    assert two.loss > one.loss


def test_a_basis_contingency_belongs_to_an_expiry(case: Case) -> None:
    """A calendar spread of forwards loses nothing by spot, and still has a basis to lose."""
    forward = case.market.underlyings[0].expiries[0].forward
    legs = tuple(
        Option(0, expiry, forward, is_call, side * (1 if is_call else -1) * 100)
        for expiry, side in ((0, 1), (1, -1))
        for is_call in (False, True)
    )
    margin = compute(replace(case.portfolio, options=legs, perpetuals=(0, 0), futures=()), case.market)
    assert margin.underlyings[0].basis < 0


def test_what_one_expiry_wins_by_a_skew_pays_for_nothing(case: Case) -> None:
    """In a skew scenario no expiry has a positive P&L."""
    margin = compute(case.portfolio, case.market)
    for underlying in margin.underlyings:
        for _, risk in underlying.expiries:
            for step in risk.pnl:
                for scenario, pnl in zip(KEEL.scenarios, step, strict=True):
                    assert scenario.vol < VolShock.LINEAR_SKEW or pnl <= 0


def test_inside_the_window_only_the_open_part_of_the_average_moves(case: Case) -> None:
    """Half an hour before the end an option's delta is there; at the end there is nothing left to move."""
    underlying = case.market.underlyings[0]
    last = replace(underlying.expiries[0], time_ms=60_000)
    call = (Option(0, 0, last.forward // 2, True, 100),)
    holder = replace(case.portfolio, options=call, perpetuals=(0, 0), futures=(), collateral=())
    losses = []
    for fixed in (0, last.forward // 2, last.forward - 1):
        market = replace(
            case.market,
            underlyings=(replace(underlying, expiries=(replace(last, fixed=fixed),)), case.market.underlyings[1]),
        )
        parameters = replace(KEEL, discount=PARAMETER_SETS["cme_span"].discount, steps_ms=(0,))
        losses.append(compute_margin(parameters, market, holder).loss)
    assert losses[0] > losses[1] > losses[2]
    assert losses[2] < losses[0] // 1000


def test_naked_shorts_net_within_a_strike(case: Case) -> None:
    """A short call beside a long put of the same strike is not naked; beside one of another strike it is."""
    short, same, other = Option(0, 0, 100, True, -5), Option(0, 0, 100, False, 5), Option(0, 0, 101, False, 5)
    charges = [
        compute(replace(case.portfolio, options=options), case.market).charges.maintenance_naked
        for options in ((same, short), (short, other), (short,))
    ]
    assert charges[0] == 0
    assert charges[1] == charges[2] > 0


def test_thin_confidence_costs_and_full_confidence_does_not(case: Case) -> None:
    """The oracle charge is there below the threshold, grows as confidence falls, and is nothing above."""
    underlying = case.market.underlyings[0]
    charges = []
    for confidence in (ONE_Q38, q38(0.56), q38(0.5), q38(0.1)):
        market = replace(
            case.market, underlyings=(replace(underlying, spot_confidence_q38=confidence), case.market.underlyings[1])
        )
        perpetual = replace(case.portfolio, perpetuals=(10, 0), options=(), futures=(), collateral=())
        trusted = replace(market.underlyings[0], mark_confidence_q38=ONE_Q38)
        market = replace(market, underlyings=(trusted, market.underlyings[1]))
        charges.append(compute(perpetual, market).charges.oracle)
    assert charges[0] == charges[1] == 0 < charges[2] < charges[3]


def bare(portfolio: Portfolio) -> Portfolio:
    """Cash alone."""
    return replace(portfolio, perpetuals=(0, 0), options=(), futures=(), collateral=())


def test_a_future_is_a_call_less_a_put_that_is_not_discounted(case: Case) -> None:
    """Parity: without rates or static discounts both lose the same everywhere, and differ by the strike in value."""
    underlying = case.market.underlyings[0]
    expiries = tuple(replace(expiry, rate_q38=0) for expiry in underlying.expiries)
    market = replace(case.market, underlyings=(replace(underlying, expiries=expiries), case.market.underlyings[1]))
    plain = replace(KEEL, discount=PARAMETER_SETS["cme_span"].discount, scenarios=KEEL.scenarios[:-2])
    strike = expiries[1].forward
    synthetic = tuple(Option(0, 1, strike, is_call, 1000 if is_call else -1000) for is_call in (False, True))
    one, two = (
        compute_underlying_risk(plain, market, portfolio, 0)
        for portfolio in (
            replace(bare(case.portfolio), options=synthetic),
            replace(bare(case.portfolio), futures=(Future(0, 1, 1000),)),
        )
    )
    assert two.mark - one.mark == 1000 * strike
    assert all(abs(a - b) <= 1000 for a, b in zip(one.pnl, two.pnl, strict=True))


def test_a_future_is_charged_at_its_forward(case: Case) -> None:
    """The perpetual's fraction of lots times forward, and no less for a short one."""
    expiry = case.market.underlyings[0].expiries[2]
    for quantity in (1000, -1000):
        held = replace(bare(case.portfolio), futures=(Future(0, 2, quantity),))
        charges = compute(held, case.market).charges
        assert charges.maintenance_perpetual == -(-1000 * expiry.forward * q38(0.03) >> 38)
        assert charges.initial_perpetual == -(-1000 * expiry.forward * q38(0.01) >> 38)


def test_inside_the_window_a_future_moves_with_what_is_open(case: Case) -> None:
    """With half of the average fixed half of the forward is at risk, beforehand all of it."""
    underlying = case.market.underlyings[0]
    losses = []
    for time_ms in (1_799_999, 1_800_000):
        last = replace(underlying.expiries[0], time_ms=time_ms, fixed=underlying.expiries[0].forward // 2)
        market = replace(case.market, underlyings=(replace(underlying, expiries=(last,)), case.market.underlyings[1]))
        losses.append(compute(replace(bare(case.portfolio), futures=(Future(0, 0, 1000),)), market).loss)
    assert abs(2 * losses[0] - losses[1]) <= 1000


def test_the_unit_move_is_the_underlyings_own(case: Case) -> None:
    """A far option, however small, does not change what a perpetual loses; the underlying's volatility does."""
    perpetual = replace(bare(case.portfolio), perpetuals=(1000, 0))
    first = case.market.underlyings[0]
    far = replace(perpetual, options=(Option(0, 2, 10**15, True, 1),))
    calm, wild = (
        replace(case.market, underlyings=(replace(first, volatility_q38=q38(v)), case.market.underlyings[1]))
        for v in (0.5, 1.0)
    )
    one, other = (compute_underlying_risk(KEEL, calm, portfolio, 0).pnl for portfolio in (perpetual, far))
    assert max(abs(a - b) for a, b in zip(one[:27], other[:27], strict=True)) <= first.expiries[2].forward
    assert compute(perpetual, wild).loss > compute(perpetual, calm).loss


def test_what_has_settled_is_cash(case: Case) -> None:
    """Positions of a settled expiry count at their payoff and carry no risk, whatever their surface says."""
    underlying = case.market.underlyings[0]
    price = underlying.expiries[0].forward
    done = replace(underlying.expiries[0], settlement=price, time_ms=0)
    market = replace(
        case.market,
        underlyings=(replace(underlying, expiries=(done, *underlying.expiries[1:])), case.market.underlyings[1]),
    )
    options = tuple(
        Option(0, 0, strike, is_call, 7) for strike in (price - 100, price + 100) for is_call in (False, True)
    )
    held = replace(bare(case.portfolio), options=options, futures=(Future(0, 0, -3),))
    margin = compute(held, market)
    assert margin.quote_equity == held.cash + 7 * 200 - 3 * price
    assert margin.initial == margin.maintenance == margin.equity == margin.quote_equity
    live = replace(held, options=(*options, Option(0, 1, price, False, 5)))
    assert compute(live, market).loss == compute(replace(live, options=live.options[-1:], futures=()), market).loss


def test_an_expiry_that_is_due_is_worth_its_payoff(case: Case) -> None:
    """At a time of 0, before its settlement price is known, an option has no time value and no exposure."""
    underlying = case.market.underlyings[0]
    due = replace(underlying.expiries[0], time_ms=0)
    market = replace(case.market, underlyings=(replace(underlying, expiries=(due,)), case.market.underlyings[1]))
    for strike, value in ((due.forward - 100, 100), (due.forward, 0), (due.forward + 100, 0)):
        held = replace(bare(case.portfolio), options=(Option(0, 0, strike, True, 9),))
        risk = compute_underlying_risk(KEEL, market, held, 0)
        assert (risk.mark, risk.gamma, risk.vega) == (9 * value, 0, 0)


def test_collateral_saturates(case: Case) -> None:
    """No asset counts for more than VALUE_MAX, however much of it there is."""
    assert value_holding_floor(1 << 200, 1 << 43, 10**6) == VALUE_MAX
    assert value_holding_floor(3 * 10**6, 7, 2 * 10**6) == 10
    dollar = replace(case.market, stable_q38=ONE_Q38)
    rich = replace(bare(case.portfolio), collateral=(Collateral(VALUE_MAX + 5, -1, 0, 0, ONE_Q38, 0),))
    margin = compute(rich, dollar)
    assert margin.equity - margin.quote_equity == VALUE_MAX


def test_linear_rules_are_a_fraction_of_notional(case: Case) -> None:
    """10 % and 5 % of a perpetual and a future, of either sign, and nothing else."""
    rules = make_linear(100_000, 50_000)
    first = case.market.underlyings[0]
    for sign in (1, -1):
        held = replace(bare(case.portfolio), perpetuals=(sign * 1000, 0), futures=(Future(0, 0, sign * 500),))
        margin = compute_margin(rules, case.market, held)
        notional = 1000 * first.mark + 500 * first.expiries[0].forward
        assert abs(margin.equity - margin.initial - notional // 10) <= 2 + (notional >> 36)
        assert abs(margin.equity - margin.maintenance - notional // 20) <= 2 + (notional >> 36)


def test_every_set_names_its_source() -> None:
    """Five sets ship, each with a name and a source, and each passes its own gate."""
    assert list(PARAMETER_SETS) == ["keel", "derive_pm2", "deribit_pm", "paradex_scan", "cme_span"]
    empty = Market((), ONE_Q38), Portfolio(0, (), (), ())
    for parameters in PARAMETER_SETS.values():
        assert parameters.source
        assert check_inputs(parameters, *empty) is None
    assert len(KEEL.scenarios) * len(KEEL.steps_ms) == 62

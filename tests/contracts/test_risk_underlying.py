"""Whole portfolios in the EVM: marks and losses are the reference's, bit for bit, before and after an op, in whichever
scenarios count for either."""

from collections.abc import Sequence
from dataclasses import astuple, replace
from random import Random
from typing import Any

import pytest

from node.contracts import MAX_RUNTIME_SIZE
from risk import tables
from risk.fixed_point import DAY_MS, ONE_Q38
from risk.margin import compute_underlying_risk
from risk.market import Expiry, Market, Option, Portfolio, Underlying
from risk.parameter_sets import PARAMETER_SETS
from risk.parameters import Parameters, Scenario, VolShock
from risk.scenarios import fixed_of_forward
from risk.svi import Svi
from tests.evm import Contract, Evm
from tests.risk.samples import make_expiry, make_market, q38

KEEL = PARAMETER_SETS["keel"]
SETS = [name for name, parameters in PARAMETER_SETS.items() if len(parameters.scenarios) <= 32]
REVALUATION_GAS_MAX = 1_800_000
QUANTITY_MAX = (1 << 48) - 1

Lanes = tuple[bool, bool]
"""Whether a scenario counts before the op, and after it."""


@pytest.fixture(scope="module")
def contract() -> Contract:
    evm = Evm()
    scenarios = evm.deploy("risk_scenarios", list(tables.NORMAL), list(tables.LN))
    assert scenarios.artifact.runtime_size < MAX_RUNTIME_SIZE
    return evm.deploy("risk_underlying", scenarios.address, list(tables.LN), list(tables.EXP))


def encode_rules(parameters: Parameters) -> tuple[int, ...]:
    """The contract's Rules."""
    charges = parameters.contingencies
    return (
        *astuple(parameters.vol_range),
        *astuple(parameters.skew),
        *astuple(parameters.discount),
        *(charges.basis_add_q38, charges.basis_multiple_q38),
        *(parameters.steps_ms[-1], parameters.wing_width),
        parameters.reference_tenor_ms,
        *astuple(parameters.spot_scale),
    )


def encode_scenario(scenario: Scenario, lanes: Lanes, is_of_basis: bool) -> int:
    """The word of a scenario, and whether it counts before and after."""
    flags = scenario.is_scaled | lanes[0] << 1 | lanes[1] << 2 | is_of_basis << 3
    return (scenario.spot_move_q38 % (1 << 64)) << 80 | scenario.vol << 72 | scenario.weight_q38 << 8 | flags


def encode_scenarios(parameters: Parameters, lanes: Sequence[Lanes]) -> list[int]:
    """The words of all that somebody asks for."""
    basis = (parameters.contingencies.basis_up, parameters.contingencies.basis_down)
    return [
        encode_scenario(scenario, counts, order in basis)
        for order, (scenario, counts) in enumerate(zip(parameters.scenarios, lanes, strict=True))
        if any(counts) or order in basis
    ]


def let_all_count(parameters: Parameters) -> list[Lanes]:
    """What counts by the rules, before and after alike."""
    return [(scenario.counts, scenario.counts) for scenario in parameters.scenarios]


def encode_option(option: Option, after: int) -> int:
    """The word of an option: quantity, strike, kind, and how the quantity changes."""
    change = (after - option.quantity) % (1 << 50)
    return option.quantity << 206 | option.strike << 161 | option.is_call << 50 | change


def encode_reading(parameters: Parameters, expiry: Expiry, options: int) -> list[int]:
    """The three words of an expiry."""
    svi = expiry.svi
    words = (
        (0, expiry.forward, expiry.rate_q38, svi.a),
        (svi.b, svi.rho, svi.m, svi.sigma),
        (options, fixed_of_forward(parameters, expiry), expiry.time_ms, svi.time_ms),
    )
    return [int.from_bytes(b"".join((field % (1 << 64)).to_bytes(8) for field in word)) for word in words]


def encode_call(
    parameters: Parameters,
    underlying: Underlying,
    options: Sequence[Option],
    after: Sequence[int],
    linear: tuple[int, int],
    lanes: Sequence[Lanes] | None = None,
) -> tuple[Any, ...]:
    """Arguments of compute_underlying_risk; options hold the quantities before. Without `lanes` all scenarios count."""
    held = [sum(option.expiry == index for option in options) for index in range(len(underlying.expiries))]
    return (
        encode_rules(parameters),
        encode_scenarios(parameters, let_all_count(parameters) if lanes is None else lanes),
        underlying.volatility_q38,
        list(linear),
        [
            word
            for expiry, count in zip(underlying.expiries, held, strict=True)
            for word in encode_reading(parameters, expiry, count)
        ],
        [encode_option(option, quantity) for option, quantity in zip(options, after, strict=True)],
    )


def compute_reference(
    parameters: Parameters,
    underlying: Underlying,
    options: Sequence[Option],
    perpetual: int,
    counts: Sequence[bool] | None = None,
) -> tuple[int, ...]:
    """Mark, loss by scenario, loss by basis, gamma and vega, of the scenarios that count."""
    portfolio = Portfolio(0, (perpetual,), tuple(options), ())
    risk = compute_underlying_risk(parameters, Market((underlying,), ONE_Q38), portfolio, 0)
    counts = [scenario.counts for scenario in parameters.scenarios] if counts is None else counts
    losses = [-pnl for pnl, is_counted in zip(risk.pnl, counts, strict=True) if is_counted]
    return risk.mark, max([0, *losses]), max(0, -risk.basis), risk.gamma, risk.vega


def draw_options(random: Random, underlying: Underlying, count: int, quantity_max: int) -> list[Option]:
    """Sorted positions with distinct instruments."""
    instruments: set[tuple[int, int, int, bool]] = set()
    while len(instruments) < count:
        expiry = random.randrange(len(underlying.expiries))
        strike = max(int(underlying.expiries[expiry].forward * 2 ** random.uniform(-2, 2)), 1)
        instruments.add((0, expiry, strike, bool(random.getrandbits(1))))
    return [Option(*instrument, random.randrange(-quantity_max, quantity_max)) for instrument in sorted(instruments)]


def draw_lanes(random: Random, parameters: Parameters) -> list[Lanes]:
    """All scenarios, a few, or one for each account, as a proof asks; whichever count by the rules."""
    if random.random() < 0.2:
        return let_all_count(parameters)
    size = len(parameters.scenarios)
    if random.random() < 0.5:
        return [(random.random() < 0.2, random.random() < 0.2) for _ in range(size)]
    before, after = random.randrange(-1, size), random.randrange(-1, size)
    return [(order == before, order == after) for order in range(size)]


@pytest.mark.parametrize("name", SETS)
def test_random_accounts(contract: Contract, name: str, seed: int) -> None:
    """Under every set that fits, marks and losses of both lanes agree on random markets and positions, whatever counts
    for either."""
    random = Random(seed)
    parameters = PARAMETER_SETS[name]
    if parameters.steps_ms[0] != 0:
        parameters = replace(parameters, steps_ms=(0, *parameters.steps_ms))
    for _ in range(12):
        underlying = make_market(random, underlyings=1, expiries=random.randrange(1, 5)).underlyings[0]
        size = random.choice((100, 10**6, QUANTITY_MAX))
        options = draw_options(random, underlying, random.randrange(0, 10), size)
        after = [random.choice((option.quantity, 0, random.randrange(-size, size))) for option in options]
        perpetuals = [random.randrange(-size, size) for _ in range(2)]
        linear = (perpetuals[0] * underlying.mark, perpetuals[1] * underlying.mark)
        lanes = draw_lanes(random, parameters)
        call = encode_call(parameters, underlying, options, after, linear, lanes)
        risk = contract.read("compute_underlying_risk", *call).value
        changed = [replace(option, quantity=quantity) for option, quantity in zip(options, after, strict=True)]
        for lane, held in enumerate((options, changed)):
            counts = [pair[lane] for pair in lanes]
            expected = compute_reference(parameters, underlying, held, perpetuals[lane], counts)
            assert tuple(pair[lane] for pair in risk) == expected


def test_boundaries(contract: Contract, seed: int) -> None:
    """The ends of every format: time, surface, rate, price, moneyness, and the settlement window."""
    random = Random(seed)
    far = Svi(a=-(1 << 45), b=(1 << 42) - 1, rho=-(1 << 38) + 1, m=(1 << 46) - 1, sigma=(1 << 46) - 1, time_ms=1)
    flat = Svi(a=0, b=0, rho=0, m=0, sigma=1, time_ms=16 * 365 * DAY_MS - 1)
    top = (1 << 44) - 1
    for time_ms in (1, 1000, 1_799_999, 1_800_000, DAY_MS, 30 * DAY_MS, 30 * DAY_MS + 1, 16 * 365 * DAY_MS - 1):
        for svi in (far, flat, make_expiry(random, time_ms, top).svi):
            for forward, fixed in ((1, 0), (top, top), (top, top // 2), (10**9, 0)):
                for rate_q38 in (-ONE_Q38, 0, 1 << 58):
                    expiry = Expiry(time_ms, forward, fixed, rate_q38, ONE_Q38, svi)
                    underlying = Underlying(10**9, 10**9, ONE_Q38, ONE_Q38, ONE_Q38, (expiry,))
                    strikes = sorted({1, forward, top, max(forward // 2, 1)})
                    sign = random.choice((-1, 1))
                    options = [Option(0, 0, strike, sign > 0, sign * QUANTITY_MAX) for strike in strikes]
                    after = [-option.quantity for option in options]
                    call = encode_call(KEEL, underlying, options, after, (0, 0))
                    risk = contract.read("compute_underlying_risk", *call).value
                    changed = [replace(option, quantity=-option.quantity) for option in options]
                    for lane, held in enumerate((options, changed)):
                        assert tuple(pair[lane] for pair in risk) == compute_reference(KEEL, underlying, held, 0)


def test_a_portfolio_at_the_caps_fits_a_proof(contract: Contract, seed: int) -> None:
    """64 positions and 4 legs over 8 underlyings and 24 expiries leave room for the witnesses under the most that a
    proof asks for: a scenario for the account before, and for that after the basis contingency, which has two."""
    random = Random(seed)
    lanes = [(order == 0, False) for order in range(len(KEEL.scenarios))]
    gas = calldata = 0
    for underlying_index in range(8):
        days = (60 + underlying_index, 200, 500)
        forward = random.randrange(1 << 40, 1 << 43)
        expiries = tuple(make_expiry(random, day * DAY_MS, forward) for day in days)
        underlying = Underlying(forward, forward, ONE_Q38, ONE_Q38, q38(0.6), expiries)
        count = 9 if underlying_index < 4 else 8
        strikes = [int(forward * random.uniform(0.8, 1.3)) for _ in range(count)]
        options = [Option(0, index % 3, strike, bool(index & 1), -100) for index, strike in enumerate(strikes)]
        options.sort(key=lambda o: (o.expiry, o.strike, o.is_call))
        outcome = contract.read(
            "compute_underlying_risk", *encode_call(KEEL, underlying, options, [100] * count, (0, 0), lanes)
        )
        assert not outcome.reverted
        gas += outcome.execution_gas
        calldata += len(outcome.calldata)
    print(f"68 options, 24 expiries, 8 underlyings, a scenario before and the basis after: {gas} gas")
    assert gas < REVALUATION_GAS_MAX


def test_every_option_must_belong_to_an_expiry(contract: Contract, seed: int) -> None:
    """A witness that names more options than its readings claim is refused."""
    random = Random(seed)
    underlying = make_market(random, underlyings=1, expiries=1).underlyings[0]
    option = Option(0, 0, underlying.spot, True, 5)
    call = list(encode_call(KEEL, underlying, [option], [5], (0, 0)))
    call[4][2] %= 1 << 192
    assert contract.read("compute_underlying_risk", *call).reverted


def test_scenarios_fit_their_words() -> None:
    """Every set's moves and weights fit the fields in which scenarios travel."""
    for name in SETS:
        for scenario in PARAMETER_SETS[name].scenarios:
            assert 0 <= scenario.spot_move_q38 + ONE_Q38 < 1 << 62
            assert scenario.vol in VolShock
            assert scenario.weight_q38 <= q38(16)

"""Bounds of parameters: each from both sides, and that at all of them compiled code is still the reference."""

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from risk.bounds import TIME_END_MS, Refusal, RiskCode
from risk.fast_account import compute_account_margin, load
from risk.fixed_point import ONE_Q38
from risk.margin import compute_margin
from risk.market import Expiry, Market, Option, Portfolio
from risk.parameter_bounds import BOUNDS, SCENARIO_BOUNDS, SHOCK_MAX_Q38, TIER_BOUNDS, check_parameters
from risk.parameter_sets import PARAMETER_SETS, make_linear
from risk.parameters import Parameters, Scenario, Tier, VolRange, VolShock
from risk.svi import Svi
from tests.risk.samples import make_market, make_portfolio

KEEL = PARAMETER_SETS["keel"]


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    load()


def put(parameters: Parameters, path: str, value: int) -> Parameters:
    """The set with one number changed."""
    part, _, name = path.rpartition(".")
    if not part:
        return replace(parameters, **{name: value})  # type: ignore[arg-type]
    return replace(parameters, **{part: replace(getattr(parameters, part), **{name: value})})


def refused(field: str) -> Refusal:
    return Refusal(RiskCode.PARAMETERS_OUT_OF_RANGE, field.removesuffix("_q38"))


def test_every_number_has_its_bounds() -> None:
    """No field of a set, a tier or a scenario is left without."""
    named = {path.partition(".")[0] for path in BOUNDS}
    for part in ("vol_range", "skew", "discount", "contingencies", "spot_scale", "concentration"):
        assert {f"{part}.{name}" for name in getattr(KEEL, part).__slots__} <= set(BOUNDS)
    assert set(Parameters.__slots__) - named == {"name", "source", "scenarios", "tiers", "steps_ms"}
    assert set(Tier.__slots__) == set(TIER_BOUNDS)
    assert set(Scenario.__slots__) - set(SCENARIO_BOUNDS) == {"is_scaled", "counts"}


@pytest.mark.parametrize("path", BOUNDS)
def test_a_number_outside_is_refused_by_name(path: str) -> None:
    """One beyond either bound names the field; the bound itself is not what is wrong."""
    least, most = BOUNDS[path]
    for value in (least - 1, most + 1):
        assert check_parameters(put(KEEL, path, value)) == refused(path)
    plain = replace(make_linear(100_000, 50_000), scenarios=KEEL.scenarios)
    for value in (least, most):
        refusal = check_parameters(put(plain, path, value))
        assert refusal is None or refusal.field in ("spot_scale.floor", "vol_range.up", "vol_range.down", path)


@pytest.mark.parametrize("name", TIER_BOUNDS)
def test_a_tier_outside_is_refused_by_name(name: str) -> None:
    """The tier's number is told with the field."""
    least, most = TIER_BOUNDS[name]
    for value in (least - 1, most + 1):
        tiers = (KEEL.tiers[0], replace(KEEL.tiers[1], **{name: value}))
        assert check_parameters(replace(KEEL, tiers=tiers)) == refused(f"tiers[1].{name}")


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"scenarios": ()}, Refusal(RiskCode.TOO_MANY, "scenarios")),
        ({"scenarios": KEEL.scenarios * 3}, Refusal(RiskCode.TOO_MANY, "scenarios")),
        ({"tiers": ()}, Refusal(RiskCode.TOO_MANY, "tiers")),
        ({"tiers": KEEL.tiers * 3}, Refusal(RiskCode.TOO_MANY, "tiers")),
        ({"steps_ms": ()}, Refusal(RiskCode.TOO_MANY, "steps_ms")),
        ({"steps_ms": (0, 1, 2)}, Refusal(RiskCode.TOO_MANY, "steps_ms")),
        ({"steps_ms": (0, -1)}, refused("steps_ms[1]")),
        ({"steps_ms": (0, TIME_END_MS)}, refused("steps_ms[1]")),
        ({"scenarios": (Scenario(-ONE_Q38 - 1, VolShock.NONE), *KEEL.scenarios)}, refused("scenarios[0].spot_move")),
        ({"scenarios": (Scenario(SHOCK_MAX_Q38 + 1, VolShock.NONE),)}, refused("scenarios[0].spot_move")),
        ({"scenarios": (Scenario(0, VolShock.NONE, -1), *KEEL.scenarios)}, refused("scenarios[0].weight")),
        ({"scenarios": (Scenario(0, VolShock.NONE),)}, refused("contingencies.basis_up")),
        ({"tiers": (Tier(ONE_Q38, ONE_Q38 + 1),)}, refused("tiers[0].maintenance_factor")),
        ({"spot_scale": replace(KEEL.spot_scale, floor_q38=ONE_Q38)}, refused("spot_scale.floor")),
        ({"spot_scale": replace(KEEL.spot_scale, ceiling_q38=SHOCK_MAX_Q38)}, None),
        (
            {"vol_range": VolRange(16 * ONE_Q38, 0, 0, 4 * ONE_Q38, 0, 1)},
            refused("vol_range.up"),
        ),
    ],
)
def test_what_contradicts_itself_is_refused(changes: dict[str, Any], refusal: Refusal | None) -> None:
    """Counts, indices, orders and products that no single number shows."""
    assert check_parameters(replace(KEEL, **changes)) == refusal


def draw_parameters(random: Random) -> Parameters:
    """A set with a number at or near a bound in every second field; one that is refused gives up that field."""
    parameters = replace(KEEL, steps_ms=random.choice(((0,), (0, TIME_END_MS - 1), (0, random.randrange(1 << 38)))))
    for path, (least, most) in BOUNDS.items():
        value = random.choice((least, most, random.randint(least, most), int(most / 2 ** random.uniform(0, 40))))
        changed = put(parameters, path, max(value, least))
        if random.randrange(2) and check_parameters(changed) is None:
            parameters = changed
    tiers = []
    for _ in range(random.randrange(1, 4)):
        numbers = {name: random.choice((*bounds, random.randint(*bounds))) for name, bounds in TIER_BOUNDS.items()}
        numbers["maintenance_factor_q38"] = min(numbers["maintenance_factor_q38"], numbers["initial_factor_q38"])
        tiers.append(Tier(**numbers))
    scenarios = tuple(
        replace(scenario, weight_q38=random.choice((0, 16 * ONE_Q38, scenario.weight_q38)))
        for scenario in parameters.scenarios
    )
    parameters = replace(parameters, tiers=tuple(tiers), scenarios=scenarios)
    assert check_parameters(parameters) is None
    return parameters


def draw_market(random: Random) -> Market:
    """A market with numbers at the ends of their formats."""
    market = make_market(random, underlyings=1, expiries=3)
    top = (1 << 44) - 1
    far = Svi(a=-(1 << 45), b=(1 << 42) - 1, rho=1 - (1 << 38), m=(1 << 46) - 1, sigma=(1 << 46) - 1, time_ms=1)
    flat = Svi(a=0, b=0, rho=0, m=0, sigma=1, time_ms=TIME_END_MS - 1)

    def stretch(expiry: Expiry) -> Expiry:
        forward = random.choice((1, top, expiry.forward))
        return replace(
            expiry,
            forward=forward,
            fixed=random.choice((0, forward, forward // 2)),
            rate_q38=random.choice((-(1 << 58), 1 << 58, expiry.rate_q38)),
            time_ms=random.choice((0, 1, 1_799_999, TIME_END_MS - 1, expiry.time_ms)),
            svi=random.choice((far, flat, expiry.svi)),
        )

    underlying = market.underlyings[0]
    stretched = replace(
        underlying,
        volatility_q38=random.choice((0, 20 * ONE_Q38, underlying.volatility_q38)),
        expiries=tuple(stretch(expiry) for expiry in underlying.expiries),
    )
    return replace(market, underlyings=(stretched,))


def draw_options(random: Random, market: Market) -> tuple[Option, ...]:
    """Strikes at the ends and near the forwards."""
    held = {
        (0, e, max(random.choice((1, (1 << 44) - 1, expiry.forward, expiry.forward * 9 // 10)), 1), right)
        for e, expiry in enumerate(market.underlyings[0].expiries)
        for right in (False, True)
    }
    return tuple(Option(*key, draw_quantity(random)) for key in sorted(held))


def draw_quantity(random: Random) -> int:
    """Of any size, the largest of which no sum of 64 bits could hold."""
    return random.choice((-1, 1)) * random.randrange(1, 1 << random.choice((4, 8, 12, 15, 20, 40, 56)))


def test_at_the_bounds_compiled_code_is_the_reference(seed: int) -> None:
    """Absurd parameters on an absurd market, all of it allowed: not one bit differs and nothing overflows."""
    random = Random(seed)
    for _ in range(400):
        parameters, market = draw_parameters(random), draw_market(random)
        portfolio: Portfolio = replace(
            make_portfolio(random, make_market(random, underlyings=1), options=0), options=draw_options(random, market)
        )
        tier = random.randrange(3)
        exact = compute_margin(parameters, market, portfolio, tier=tier)
        quick = compute_account_margin(parameters, market, portfolio, tier=tier)
        assert quick.underlyings == tuple(replace(risk, expiries=()) for risk in exact.underlyings)
        assert (quick.equity, quick.initial, quick.maintenance) == (exact.equity, exact.initial, exact.maintenance)

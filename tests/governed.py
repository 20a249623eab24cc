"""A version that a governor may propose, and every way to break it: for who asks Python and for who asks Vyper."""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from risk.fixed_point import ONE_Q38
from risk.parameter_bounds import BOUNDS, TIER_BOUNDS
from risk.parameter_sets import PARAMETER_SETS
from risk.parameters import Parameters, VolShock
from state.constants import AMOUNT_MAX, PPM, UNDERLYINGS_MAX
from state.leaves import AssetTerms
from state.proposals import RANGES, SHORT_POWER_MAX_Q38, TENOR_RATIO_MAX, Version, is_near
from tests.world import QUOTE_TERMS, UNDERLYING_TERMS, build_params

ETHER = AssetTerms(1, 100_000, 50_000, 500_000, 10_000_000, 5_000_000)
SIGNERS = tuple(bytes([n]) * 20 for n in (1, 2, 3, 4))
NEWCOMERS = tuple(bytes([n]) * 20 for n in (8, 9))

PARAMS = build_params(
    oracle_threshold=3,
    oracle_signers=SIGNERS,
    oracle_age_max=60,
    oracle_skew_max=10,
    price_age_max=300,
    guard_ppm=100_000,
    halt_ppm=100_000,
    halt_seconds=60,
    assets=(QUOTE_TERMS, ETHER),
)
ACTIVE = Version(PARAMS, PARAMETER_SETS["keel"])
"""What the proposals of these tests follow: four signers of whom three sign, two assets, four underlyings."""


def bend_params(**changes: object) -> Version:
    """The same with other parameters."""
    return ACTIVE._replace(params=replace(ACTIVE.params, **changes))  # type: ignore[arg-type]


def bend_rules(**changes: object) -> Version:
    """The same with other rules."""
    return ACTIVE._replace(rules=replace(ACTIVE.rules, **changes))  # type: ignore[arg-type]


def bend_part(name: str, **changes: object) -> Version:
    """The same with another part of the rules."""
    return bend_rules(**{name: replace(getattr(ACTIVE.rules, name), **changes)})


def bend_tier(number: int, **changes: object) -> Version:
    """The same with another tier."""
    tiers = list(ACTIVE.rules.tiers)
    tiers[number] = replace(tiers[number], **changes)  # type: ignore[arg-type]
    return bend_rules(tiers=tuple(tiers))


def bend_scenario(number: int, **changes: object) -> Version:
    """The same with another scenario."""
    scenarios = list(ACTIVE.rules.scenarios)
    scenarios[number] = replace(scenarios[number], **changes)  # type: ignore[arg-type]
    return bend_rules(scenarios=tuple(scenarios))


def bend_ether(**changes: int) -> Version:
    """The same with other terms of the second asset."""
    return bend_params(assets=(QUOTE_TERMS, ETHER._replace(**changes)))


def bend_underlying(**changes: int) -> Version:
    """The same with other terms of the last underlying."""
    terms = (*PARAMS.underlyings[:-1], UNDERLYING_TERMS._replace(**changes))
    return bend_params(underlyings=terms)


def list_edges(field: str) -> Iterator[tuple[int, bool]]:
    """Numbers at the ends of a range and beside them that its width can hold, and whether they are taken."""
    least, most = RANGES[field]
    width = 64 if field in ("l1_fee", "quote_debt_max") else 32
    before = getattr(ACTIVE.params, field)
    others = {"oracle_age_max": ACTIVE.params.price_age_max, "price_age_max": 3_600, "band_ppm": 100_000}
    for number in (least - 1, least, most, most + 1):
        if 0 <= number < 1 << width:
            is_taken = least <= number <= most and number <= others.get(field, most)
            yield number, is_taken and (field != "quote_debt_max" or is_near(before, number))


def scale_keel(numerator: int) -> Parameters:
    """Keel's rules, with every scenario weighing so many sixteenths."""
    scenarios = tuple(replace(one, weight_q38=one.weight_q38 * numerator // 16) for one in ACTIVE.rules.scenarios)
    return replace(ACTIVE.rules, scenarios=scenarios)


class RuleEdge(NamedTuple):
    """A number of the rules at its bound, so that it may stay there, and a step beyond."""

    name: str
    within: Version
    beyond: Version


def bend_number(path: str, value: int) -> Version:
    """One number of the rules; what must not be below it comes along."""
    part, _, name = path.rpartition(".")
    if path == "reference_tenor_ms":
        return bend_rules(**{name: value}, vol_range=replace(ACTIVE.rules.vol_range, tenor_floor_ms=value))
    if path == "spot_scale.floor_q38":
        return bend_part(part, ceiling_q38=value, **{name: value})
    return bend_part(part, **{name: value}) if part else bend_rules(**{name: value})


def bend_factor(name: str, value: int) -> Version:
    """One number of the first tier; the initial factor is not below maintenance's."""
    both = {"initial_factor_q38": value} if name == "maintenance_factor_q38" else {}
    return bend_tier(0, **{name: value} | both)


def list_rule_edges() -> list[RuleEdge]:
    """Every number of the rules at either bound that a governor can creep up to: nothing moves over 0, or from 1."""
    edges = []
    for path, bounds in BOUNDS.items():
        if path in ("contingencies.basis_up", "contingencies.basis_down"):
            continue
        for bound, step in zip(bounds, (-1, 1), strict=True):
            last = SHORT_POWER_MAX_Q38 if path == "vol_range.short_power_q38" and step > 0 else bound
            if last not in (0, 1):
                edges.append(RuleEdge(f"{path} {last}", bend_number(path, last), bend_number(path, last + step)))
    for name, (_, most) in TIER_BOUNDS.items():
        edges.append(RuleEdge(f"tier {name}", bend_factor(name, most), bend_factor(name, most + 1)))
    for name in ("spot_move_q38", "weight_q38"):
        most = 7 * ONE_Q38 if name == "spot_move_q38" else 16 * ONE_Q38
        is_scaled = [one.is_scaled for one in ACTIVE.rules.scenarios].index(False)
        versions = [bend_scenario(is_scaled, **{name: value}) for value in (most, most + 1)]
        edges.append(RuleEdge(f"scenario {name}", *versions))
    ratio = TENOR_RATIO_MAX * ACTIVE.rules.vol_range.tenor_floor_ms
    ratios = [bend_rules(reference_tenor_ms=value) for value in (ratio, ratio + 1)]
    return [*edges, RuleEdge("reference_tenor_ms beside its floor", *ratios)]


RULES = ACTIVE.rules
BREAKS: dict[str, tuple[str, Version]] = {
    "a reading that comes too old to margin with": ("range", bend_params(oracle_age_max=301)),
    "a bound of debt that doubles": ("debt", bend_params(quote_debt_max=2 * PARAMS.quote_debt_max)),
    "no debt any more": ("debt", bend_params(quote_debt_max=0)),
    "dollars priced as bitcoin": ("peg", bend_params(peg_underlying=0)),
    "two of four who sign": ("signers", bend_params(oracle_threshold=2)),
    "five of four who sign": ("signers", bend_params(oracle_threshold=5)),
    "nobody who signs": ("signers", bend_params(oracle_threshold=0, oracle_signers=())),
    "somebody who signs twice": ("signers", bend_params(oracle_signers=(*SIGNERS[:3], SIGNERS[0]))),
    "nobody among those who sign": ("signers", bend_params(oracle_signers=(*SIGNERS[:3], bytes(20)))),
    "two who are new and suffice": (
        "signers",
        bend_params(oracle_threshold=2, oracle_signers=(*SIGNERS[:1], *NEWCOMERS)),
    ),
    "an asset less": ("assets", bend_params(assets=(QUOTE_TERMS,))),
    "an asset more": ("assets", bend_params(assets=(QUOTE_TERMS, ETHER, ETHER))),
    "an asset priced as another": ("assets", bend_ether(underlying=0)),
    "an asset of larger units": ("assets", bend_ether(units_per_lot=9_999_999)),
    "a maintenance haircut that leaps": ("assets", bend_ether(maintenance_haircut_ppm=200_001)),
    "an initial haircut that leaps": ("assets", bend_ether(initial_haircut_ppm=150_001)),
    "a confidence above one": ("assets", bend_ether(confidence_threshold_ppm=PPM + 1)),
    "a first deposit of eleven times as much": ("assets", bend_ether(create_min=50_000_001)),
    "a first deposit of an eleventh": ("assets", bend_ether(create_min=499_999)),
    "a haircut of dollars": (
        "assets",
        bend_params(assets=(QUOTE_TERMS._replace(initial_haircut_ppm=1), ETHER)),
    ),
    "an underlying less": ("underlyings", bend_params(underlyings=PARAMS.underlyings[:-1])),
    "an underlying too many": ("underlyings", bend_params(underlyings=(UNDERLYING_TERMS,) * (UNDERLYINGS_MAX + 1))),
    "a correlation above one": ("underlyings", bend_underlying(correlation_q20=(1 << 20) + 1)),
    "an interest beyond all lots": ("underlyings", bend_underlying(open_interest_max=AMOUNT_MAX + 1)),
    "a scenario less": ("shape", bend_rules(scenarios=RULES.scenarios[:-1])),
    "a scenario more": ("shape", bend_rules(scenarios=(*RULES.scenarios, RULES.scenarios[0]))),
    "a tier more": ("shape", bend_rules(tiers=(*RULES.tiers, RULES.tiers[0]))),
    "a scenario that counts no more": ("shape", bend_scenario(0, counts=False)),
    "a scenario that is not scaled": ("shape", bend_scenario(0, is_scaled=False)),
    "a scenario of other vols": ("shape", bend_scenario(0, vol=VolShock.NONE)),
    "another basis": ("shape", bend_part("contingencies", basis_up=0)),
    "no basis": ("shape", bend_part("contingencies", basis_down=-1)),
    "a date less": ("quarter", bend_rules(steps_ms=(0,))),
    "a charge that was not": ("quarter", bend_part("skew", width_vol_slope_q38=1)),
    "a charge that is no more": ("quarter", bend_part("contingencies", perpetual_initial_q38=0)),
    "a tier that is much cheaper": ("quarter", bend_tier(0, initial_factor_q38=ONE_Q38 // 2)),
    "a tier for far richer people": ("quarter", bend_tier(1, minimum_equity=AMOUNT_MAX)),
    "a scenario that is far wider": ("quarter", bend_scenario(0, spot_move_q38=2 * RULES.scenarios[0].spot_move_q38)),
    "a scenario that hardly weighs": ("quarter", bend_scenario(0, weight_q38=1)),
    "a floor above the ceiling": ("quarter", bend_part("spot_scale", floor_q38=RULES.spot_scale.ceiling_q38 + 1)),
    "maintenance above initial": (
        "rules",
        bend_tier(1, initial_factor_q38=RULES.tiers[1].maintenance_factor_q38 - 1),
    ),
    "a band wider than any margin": ("margin", bend_params(band_ppm=110_000)),
    "scenarios that lose less than the band": (
        "margin",
        bend_params(band_ppm=89_000)._replace(rules=scale_keel(13)),
    ),
}
"""What is broken -> the first fence that refuses it, and the version."""

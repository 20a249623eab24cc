"""What a parameter set may say: bounds of every number, and of what numbers come to together.

Inside them no formula of the engine leaves 256 bits in the EVM, which does not check, and none leaves 64 in compiled
code that bounds what it sums; whether numbers are wise is not asked. SPEC.md section 2 has the table. The first field
out of range is named.
"""

from collections.abc import Iterator

from risk.bounds import TIME_END_MS, Refusal, RiskCode
from risk.fixed_point import EXP_ARGUMENT_MAX_Q38, ONE_Q38, exp_q38, ln_q38
from risk.parameters import Parameters, Scenario

SCENARIOS_MAX = 64
TIERS_MAX = 4
STEPS_MAX = 2
SHOCK_MAX_Q38 = 7 * ONE_Q38
"""Spot may rise to 8 times itself, so that a shocked forward stays below 2^47."""

SCALING_END_Q38 = 1 << 62
MONEY_END = 1 << 63
LAST_MS = TIME_END_MS - 1

BOUNDS = {
    "vol_range.up_q38": (0, 16 * ONE_Q38),
    "vol_range.down_q38": (0, 16 * ONE_Q38),
    "vol_range.floor_q38": (0, 16 * ONE_Q38),
    "vol_range.short_power_q38": (0, 4 * ONE_Q38),
    "vol_range.long_power_q38": (0, 4 * ONE_Q38),
    "vol_range.tenor_floor_ms": (0, LAST_MS),
    "skew.linear_cap_q38": (-16 * ONE_Q38, 16 * ONE_Q38),
    "skew.linear_slope_q38": (-16 * ONE_Q38, 16 * ONE_Q38),
    "skew.absolute_cap_q38": (-16 * ONE_Q38, 16 * ONE_Q38),
    "skew.absolute_slope_q38": (-16 * ONE_Q38, 16 * ONE_Q38),
    "skew.width_floor_q38": (1 << 22, 16 * ONE_Q38),
    "skew.width_scale_q38": (0, 16 * ONE_Q38),
    "skew.width_vol_q38": (-16 * ONE_Q38, 16 * ONE_Q38),
    "skew.width_vol_slope_q38": (-16 * ONE_Q38, 16 * ONE_Q38),
    "discount.long_factor_q38": (0, 2 * ONE_Q38),
    "discount.long_multiple_q38": (-16 * ONE_Q38, 16 * ONE_Q38),
    "discount.long_spread_q38": (-16 * ONE_Q38, 16 * ONE_Q38),
    "discount.short_factor_q38": (0, 2 * ONE_Q38),
    "discount.short_multiple_q38": (-16 * ONE_Q38, 16 * ONE_Q38),
    "discount.short_spread_q38": (-16 * ONE_Q38, 16 * ONE_Q38),
    "contingencies.perpetual_maintenance_q38": (0, 16 * ONE_Q38),
    "contingencies.perpetual_initial_q38": (0, 16 * ONE_Q38),
    "contingencies.naked_maintenance_q38": (0, 16 * ONE_Q38),
    "contingencies.naked_initial_q38": (0, 16 * ONE_Q38),
    "contingencies.basis_up": (-1, SCENARIOS_MAX - 1),
    "contingencies.basis_down": (-1, SCENARIOS_MAX - 1),
    "contingencies.basis_add_q38": (0, 16 * ONE_Q38),
    "contingencies.basis_multiple_q38": (0, 16 * ONE_Q38),
    "contingencies.confidence_threshold_q38": (0, ONE_Q38),
    "contingencies.confidence_margin_q38": (0, 16 * ONE_Q38),
    "contingencies.peg_threshold_q38": (0, 16 * ONE_Q38),
    "contingencies.peg_factor_q38": (0, 1024 * ONE_Q38),
    "wing_width": (0, 1 << 16),
    "settlement_window_ms": (0, LAST_MS),
    "reference_tenor_ms": (1, LAST_MS),
    "spot_scale.deviations_q38": (0, 1024 * ONE_Q38),
    "spot_scale.horizon_ms": (0, LAST_MS),
    "spot_scale.floor_q38": (0, SHOCK_MAX_Q38),
    "spot_scale.ceiling_q38": (0, SHOCK_MAX_Q38),
    "concentration.move_q38": (0, SHOCK_MAX_Q38),
    "concentration.gamma_fraction_q38": (0, 16 * ONE_Q38),
    "concentration.vega_fraction_q38": (0, 16 * ONE_Q38),
}
"""Field -> least and most, in the order in which rules are written down."""

TIER_BOUNDS = {
    "initial_factor_q38": (0, 1024 * ONE_Q38),
    "maintenance_factor_q38": (0, 1024 * ONE_Q38),
    "gamma_threshold": (0, MONEY_END - 1),
    "vega_threshold": (0, MONEY_END - 1),
    "minimum_equity": (0, MONEY_END - 1),
    "maximum_use_q38": (0, ONE_Q38),
}
SCENARIO_BOUNDS = {
    "spot_move_q38": (-SHOCK_MAX_Q38, SHOCK_MAX_Q38),
    "vol": (0, 4),
    "weight_q38": (0, 16 * ONE_Q38),
}


def check_parameters(parameters: Parameters) -> Refusal | None:
    """The first field that is out of range, or None."""
    for is_within, name, field in (
        (0 < len(parameters.scenarios) <= SCENARIOS_MAX, RiskCode.TOO_MANY, "scenarios"),
        (0 < len(parameters.tiers) <= TIERS_MAX, RiskCode.TOO_MANY, "tiers"),
        (0 < len(parameters.steps_ms) <= STEPS_MAX, RiskCode.TOO_MANY, "steps_ms"),
    ):
        if not is_within:
            return Refusal(name, field)
    for field, value, (least, most) in list_numbers(parameters):
        if not least <= value <= most:
            return Refusal(RiskCode.PARAMETERS_OUT_OF_RANGE, field.removesuffix("_q38"))
    for field in find_contradictions(parameters):
        return Refusal(RiskCode.PARAMETERS_OUT_OF_RANGE, field)
    return None


def list_numbers(parameters: Parameters) -> Iterator[tuple[str, int, tuple[int, int]]]:
    """Every number with its path and its bounds."""
    for path, bounds in BOUNDS.items():
        value = parameters
        for name in path.split("."):
            value = getattr(value, name)
        yield path, int(value), bounds  # type: ignore[call-overload]
    for index, step_ms in enumerate(parameters.steps_ms):
        yield f"steps_ms[{index}]", step_ms, (0, LAST_MS)
    for index, tier in enumerate(parameters.tiers):
        for name, bounds in TIER_BOUNDS.items():
            yield f"tiers[{index}].{name}", getattr(tier, name), bounds
    for index, scenario in enumerate(parameters.scenarios):
        for name, bounds in SCENARIO_BOUNDS.items():
            yield f"scenarios[{index}].{name}", getattr(scenario, name), bounds


def find_contradictions(parameters: Parameters) -> Iterator[str]:
    """Fields that are within their own bounds and not beside others."""
    r, charges, scale = parameters.vol_range, parameters.contingencies, parameters.spot_scale
    for name in ("basis_up", "basis_down"):
        if getattr(charges, name) >= len(parameters.scenarios):
            yield f"contingencies.{name}"
    if scale.floor_q38 > scale.ceiling_q38:
        yield "spot_scale.floor"
    for index, scenario in enumerate(parameters.scenarios):
        if not -ONE_Q38 <= widest_move_q38(parameters, scenario) <= SHOCK_MAX_Q38:
            yield f"scenarios[{index}].spot_move"
    exponent = (ln_q38(parameters.reference_tenor_ms) - ln_q38(max(r.tenor_floor_ms, 1))) * r.short_power_q38 >> 38
    scaling = exp_q38(min(max(exponent, 0), EXP_ARGUMENT_MAX_Q38))
    for name in ("up", "down"):
        if ONE_Q38 + (getattr(r, f"{name}_q38") * scaling >> 38) >= SCALING_END_Q38:
            yield f"vol_range.{name}"
    for index, tier in enumerate(parameters.tiers):
        if tier.maintenance_factor_q38 > tier.initial_factor_q38:
            yield f"tiers[{index}].maintenance_factor"


def widest_move_q38(parameters: Parameters, scenario: Scenario) -> int:
    """A scenario's largest move of spot: of one that is scaled, at the ceiling."""
    if not scenario.is_scaled:
        return scenario.spot_move_q38
    return max(parameters.spot_scale.ceiling_q38 * scenario.spot_move_q38 >> 38, -ONE_Q38)

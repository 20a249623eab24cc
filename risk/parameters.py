"""Margin parameters as data: one engine, and the venues' rules as sets of numbers for it.

Fractions are Q38, times milliseconds. The sets that ship are in parameter_sets.py; SPEC.md section 7 says what each
field does.
"""

from dataclasses import dataclass
from enum import IntEnum

from risk.fixed_point import DAY_MS, ONE_Q38

SETTLEMENT_WINDOW_MS = 30 * 60 * 1000


class VolShock(IntEnum):
    """What a scenario does to every vol."""

    NONE = 0
    UP = 1
    DOWN = 2
    LINEAR_SKEW = 3
    ABSOLUTE_SKEW = 4


@dataclass(frozen=True, slots=True)
class Scenario:
    """One joint move of spot and vol.

    `spot_move` is a fraction of spot, or of the underlying's own unit move when `is_scaled`. `weight` dampens the P&L
    of tails. A scenario that does not count is valued for the basis contingency alone.
    """

    spot_move_q38: int
    vol: VolShock
    weight_q38: int = ONE_Q38
    is_scaled: bool = False
    counts: bool = True


@dataclass(frozen=True, slots=True)
class VolRange:
    """Shock = 1 +- range * (30 days / tenor)^power; the tenor is at least `tenor_floor_ms`, an upward vol `floor`."""

    up_q38: int
    down_q38: int
    floor_q38: int
    short_power_q38: int
    long_power_q38: int
    tenor_floor_ms: int


@dataclass(frozen=True, slots=True)
class Skew:
    """Multiplier = 1 +- cap * min(abs(k) / width, 1), cap and width depending on tenor: SPEC.md section 7."""

    linear_cap_q38: int = 0
    linear_slope_q38: int = 0
    absolute_cap_q38: int = 0
    absolute_slope_q38: int = 0
    width_floor_q38: int = ONE_Q38
    width_scale_q38: int = 0
    width_vol_q38: int = 0
    width_vol_slope_q38: int = 0


@dataclass(frozen=True, slots=True)
class StaticDiscount:
    """Shocked value counts factor * e^(-+ T (multiple * rate + spread)): long value less, short value more, but never
    more than undiscounted."""

    long_factor_q38: int = ONE_Q38
    long_multiple_q38: int = 0
    long_spread_q38: int = 0
    short_factor_q38: int = ONE_Q38
    short_multiple_q38: int = 0
    short_spread_q38: int = 0


@dataclass(frozen=True, slots=True)
class Contingencies:
    """Charges beside the scenarios: fractions of notional (perpetuals, naked shorts), of the basis scenarios' loss
    (basis), of notional times missing confidence (oracle), and of the scenario loss (peg)."""

    perpetual_maintenance_q38: int = 0
    perpetual_initial_q38: int = 0
    naked_maintenance_q38: int = 0
    naked_initial_q38: int = 0
    basis_up: int = -1  # index of the scenario, -1 for none
    basis_down: int = -1
    basis_add_q38: int = 0
    basis_multiple_q38: int = 0  # per year of tenor
    confidence_threshold_q38: int = 0
    confidence_margin_q38: int = 0
    peg_threshold_q38: int = 0
    peg_factor_q38: int = 0


@dataclass(frozen=True, slots=True)
class SpotScale:
    """An underlying's unit move: deviations of its own volatility over the horizon, within a floor and a ceiling."""

    deviations_q38: int = 0
    horizon_ms: int = 0
    floor_q38: int = 0
    ceiling_q38: int = 0


@dataclass(frozen=True, slots=True)
class Concentration:
    """Add-ons for size: a fraction of the gamma and vega P&L beyond what the market is deemed to absorb, which each
    tier says for itself. Gamma is measured over one `move`."""

    move_q38: int = 0
    gamma_fraction_q38: int = 0
    vega_fraction_q38: int = 0


@dataclass(frozen=True, slots=True)
class Tier:
    """What differs between customers: factors on the scenario loss, thresholds of the add-ons for size (quote units),
    and who may have it: at least `minimum_equity` (quote units), of which the first tier's requirement takes at most
    `maximum_use`."""

    initial_factor_q38: int
    maintenance_factor_q38: int
    gamma_threshold: int = 0
    vega_threshold: int = 0
    minimum_equity: int = 0
    maximum_use_q38: int = 0


@dataclass(frozen=True, slots=True)
class Parameters:
    """One version of the rules.

    `steps_ms` is the time axis: every scenario is valued after each step, and the worst counts. Everybody may have the
    first tier.
    """

    name: str
    source: str
    scenarios: tuple[Scenario, ...]
    vol_range: VolRange
    tiers: tuple[Tier, ...]
    skew: Skew = Skew()
    discount: StaticDiscount = StaticDiscount()
    contingencies: Contingencies = Contingencies()
    steps_ms: tuple[int, ...] = (0,)
    wing_width: int = 4  # deviations beyond which the surface is flat
    settlement_window_ms: int = SETTLEMENT_WINDOW_MS
    reference_tenor_ms: int = 30 * DAY_MS
    spot_scale: SpotScale = SpotScale()
    concentration: Concentration = Concentration()

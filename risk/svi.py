"""Gatheral's raw SVI: total implied variance of an expiry as a function of log-moneyness, in integers.

    w(k) = a + b * (rho * (k - m) + sqrt((k - m)^2 + sigma^2)),    k = ln(K / F)

The parameters describe the variance up to `time_ms` of the reading, so that the vol at a strike is sqrt(w / T of the
reading), whatever time is left now.

Mirrors contracts/risk_logarithm.vy; fast.py is the numba twin. Source, bounds and rounding: SPEC.md section 6.
"""

from dataclasses import dataclass

from risk.fixed_point import hypotenuse_floor_q38, sqrt_floor_q38, sqrt_years_floor_q38

TOTAL_VARIANCE_MAX_Q38 = 144 << 38  # a total vol of 12


@dataclass(frozen=True, slots=True)
class Svi:
    """One expiry's surface. All Q38 but the reading's time to expiry in milliseconds."""

    a: int
    b: int
    rho: int
    m: int
    sigma: int
    time_ms: int


def total_variance_q38(svi: Svi, log_strike_q38: int) -> int:
    """w(k), held between 0 and TOTAL_VARIANCE_MAX_Q38."""
    distance = log_strike_q38 - svi.m
    wing = (svi.rho * distance >> 38) + hypotenuse_floor_q38(distance, svi.sigma)
    return min(max(svi.a + (svi.b * wing >> 38), 0), TOTAL_VARIANCE_MAX_Q38)


def reading_total_vol_q38(svi: Svi, log_strike_q38: int) -> int:
    """sqrt(w(k)): the total vol over the reading's own time."""
    return sqrt_floor_q38(total_variance_q38(svi, log_strike_q38))


def vol_floor_q38(svi: Svi, log_strike_q38: int) -> int:
    """Annual vol at a strike."""
    return (reading_total_vol_q38(svi, log_strike_q38) << 38) // sqrt_years_floor_q38(svi.time_ms)


def clamp_to_wings_q38(svi: Svi, log_strike_q38: int, wing_width: int) -> int:
    """k held within `wing_width` deviations sqrt(a + b * sigma) of the forward; beyond, vol is flat."""
    deviation = sqrt_floor_q38(max(svi.a + (svi.b * svi.sigma >> 38), 0))
    return min(max(log_strike_q38, -wing_width * deviation), wing_width * deviation)

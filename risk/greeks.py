"""Sensitivities of a discounted Black-76 option on a forward of 1, in integers.

Taken per unit of forward every Greek is a pure number, so one format, Q38, holds them all and none depends on a tick:

    delta     D Phi(d1), less D for a put       charm   delta's change a day
    gamma     forward x gamma = D phi(d1) / v   theta   value's change a day / forward
    vega      per 1.00 of vol / forward         vanna   delta's change per 1.00 of vol
                                                volga   vega's change per 1.00 of vol / forward

The discount factor D alone tells the rate: r = -ln(D) / T. A day is a 365th of a year.

fast.py is the numba twin. Source, units and errors: SPEC.md section 5.
"""

from dataclasses import dataclass

from risk.black76 import TOTAL_VOL_MAX_Q30
from risk.fixed_point import DAY_MS, LN_2_Q38, ONE_Q38, ln_q38, sqrt_years_floor_q38
from risk.normal import TABLE_END_Q31, density_q38, distribution_q38

TOTAL_VOL_MIN_Q38 = 1 << 18
"""2^-20: the least total vol that a Greek is divided by."""

TOTAL_VOL_MAX_Q38 = TOTAL_VOL_MAX_Q30 << 8


@dataclass(frozen=True, slots=True)
class Greeks:
    """Per unit of forward, Q38; theta and charm a day."""

    delta: int
    gamma: int
    vega: int
    theta: int
    vanna: int
    charm: int
    volga: int


def total_vol_floor_q38(vol_q38: int, sqrt_years_q38: int) -> int:
    """v = sigma * sqrt(T), held within the Greeks' domain."""
    return min(max(vol_q38 * sqrt_years_q38 >> 38, TOTAL_VOL_MIN_Q38), TOTAL_VOL_MAX_Q38)


def standardised_distances_q31(log_moneyness_q38: int, total_vol_q38: int) -> tuple[int, int]:
    """d1 and d2, held within the table: beyond it the density is 0 anyway."""
    quotient = (abs(log_moneyness_q38) << 31) // total_vol_q38
    signed = quotient if log_moneyness_q38 >= 0 else -quotient
    half_vol = total_vol_q38 >> 8
    end = TABLE_END_Q31 - 1
    return max(min(signed + half_vol, end), -end), max(min(signed - half_vol, end), -end)


def log_discount_q38(discount_q38: int) -> int:
    """ln(D), D above 0."""
    return ln_q38(discount_q38) - 38 * LN_2_Q38


def daily_rate_q38(discount_q38: int, time_ms: int) -> int:
    """-ln(D) / T a day, rounded towards zero."""
    log_discount = log_discount_q38(discount_q38)
    magnitude = ((abs(log_discount) << 38) // time_ms) * DAY_MS >> 38
    return magnitude if log_discount <= 0 else -magnitude


def compute_greeks(
    log_moneyness_q38: int, vol_q38: int, time_ms: int, discount_q38: int, price_q38: int, is_call: bool
) -> Greeks:
    """All Greeks of one option within the bounds of SPEC.md section 2.

    log_moneyness is ln(F / K); price is the discounted price over the forward, which theta needs for the rate's part.
    """
    sqrt_years = sqrt_years_floor_q38(time_ms)
    total_vol = total_vol_floor_q38(vol_q38, sqrt_years)
    d1, d2 = standardised_distances_q31(log_moneyness_q38, total_vol)
    daily_rate = daily_rate_q38(discount_q38, time_ms)
    density = discount_q38 * density_q38(abs(d1)) >> 38
    delta = discount_q38 * (distribution_q38(d1) - (0 if is_call else ONE_Q38)) >> 38
    gamma = (density << 38) // total_vol
    vega = density * sqrt_years >> 38
    vanna = -(gamma * d2 >> 31) * sqrt_years >> 38
    decay = (density * total_vol >> 38) * (DAY_MS // 2) // time_ms
    drift = (density * abs(d2) >> 31) * (DAY_MS // 2) // time_ms
    return Greeks(
        delta=delta,
        gamma=gamma,
        vega=vega,
        theta=(price_q38 * daily_rate >> 38) - decay,
        vanna=vanna,
        charm=(delta * daily_rate >> 38) + (drift if d2 >= 0 else -drift),
        volga=(-vanna * d1 >> 31) * sqrt_years >> 38,
    )

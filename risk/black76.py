"""Black's 1976 price of a European option on a forward, undiscounted, in integers.

By put-call symmetry the out-of-the-money option is worth min(F, K) * g(a, v), with a = |ln(F / K)| and the total vol
v = sigma * sqrt(T). With q = a / v, h = v / 2, d = q - h and M the Mills ratio,

    g = phi(d) * (M(d) - M(q + h))            where d >= 0,
    g = 1 - phi(d) * (M(-d) + M(q + h))       where d < 0,

and the other option follows from parity, which is therefore exact. Neither an exponential nor a ratio F / K is needed.

Mirrors contracts/risk_kernel.vy; fast.py is the numba twin. Source, bounds and errors: SPEC.md section 4.
"""

from risk.fixed_point import ONE_Q38
from risk.normal import TAIL_Q31, density_q38, mills_q38

LOG_MONEYNESS_MAX_Q30 = (8 << 30) - 1
TOTAL_VOL_MAX_Q30 = 12 << 30
"""Where g exceeds 1 - 2e-9 at the money; scenarios saturate here, quotes are refused beyond."""


def total_vol_nearest_q30(vol_q38: int, sqrt_years_q38: int) -> int:
    """v = sigma * sqrt(T)."""
    return vol_q38 * sqrt_years_q38 + (1 << 45) >> 46


def log_moneyness_nearest_q30(ln_forward_q38: int, ln_strike_q38: int) -> int:
    """x = ln(F / K)."""
    return ln_forward_q38 - ln_strike_q38 + (1 << 7) >> 8


def saturate_log_moneyness_q30(log_moneyness_q30: int) -> int:
    """x held within the kernel's domain, out of which a scenario may push an option (SPEC.md section 2)."""
    return max(min(log_moneyness_q30, LOG_MONEYNESS_MAX_Q30), -LOG_MONEYNESS_MAX_Q30)


def saturate_total_vol_q30(total_vol_q30: int) -> int:
    """v held within the kernel's domain."""
    return min(total_vol_q30, TOTAL_VOL_MAX_Q30)


def standardised_distance_q31(distance_q30: int, total_vol_q30: int) -> int:
    """d = a / v - v / 2, v above 0."""
    return (distance_q30 << 31) // total_vol_q30 - total_vol_q30  # v / 2 in Q31 is the same integer as v in Q30


def otm_fraction_q38(distance_q30: int, total_vol_q30: int) -> int:
    """g: the out-of-the-money option over min(F, K), from 0 to 1.

    0 <= distance (a) <= LOG_MONEYNESS_MAX_Q30 and 0 <= total_vol (v) <= TOTAL_VOL_MAX_Q30. Error at most 5e-10.
    """
    if total_vol_q30 == 0:
        return 0
    d_q31 = standardised_distance_q31(distance_q30, total_vol_q30)
    if d_q31 >= TAIL_Q31:
        return 0
    far = mills_q38(d_q31 + 2 * total_vol_q30)
    if d_q31 >= 0:
        return density_q38(d_q31) * (mills_q38(d_q31) - far) + (1 << 37) >> 38
    return ONE_Q38 + (density_q38(-d_q31) * (-mills_q38(-d_q31) - far) + (1 << 37) >> 38)


def call_price_floor(forward: int, strike: int, log_moneyness_q30: int, total_vol_q30: int) -> int:
    """Undiscounted call in the forward's ticks; its time value is rounded down. Forward and strike are positive."""
    time_value = min(forward, strike) * otm_fraction_q38(abs(log_moneyness_q30), total_vol_q30) >> 38
    return max(forward - strike, 0) + time_value


def price_floor(forward: int, strike: int, log_moneyness_q30: int, total_vol_q30: int, is_call: bool) -> int:
    """Undiscounted call, or put by parity."""
    call = call_price_floor(forward, strike, log_moneyness_q30, total_vol_q30)
    return call if is_call else call - (forward - strike)

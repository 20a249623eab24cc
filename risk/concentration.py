"""Add-ons for size: gamma and vega beyond what a market can absorb while a position is closed.

Scenarios are linear in size, liquidation is not. An underlying's short gamma is measured as its loss over one move of
`move_q38`, its vega of either sign as its change under the vol range's upward shock; what exceeds a tier's threshold
costs a fraction of the excess. Both come from numbers that the mark's price has already: with d = q - h of black76.py,

    F phi(d1) = min(F, K) phi(d),    F^2 gamma = min(F, K) phi(d) / v,    vega sigma = min(F, K) phi(d) v.

Mirrors contracts/margin.vy; its exposures are what contracts/risk_scenarios.vy sums. Formulas: SPEC.md section 10.
"""

from risk.black76 import standardised_distance_q31
from risk.fixed_point import multiply_ceil_q38
from risk.normal import TAIL_Q31, density_q38
from risk.parameters import Parameters, Tier

INVERSE_VOL_MAX_Q38 = 1 << 48
"""Where phi / v saturates: 1024, at the money half a minute before the end."""


def compute_exposures_floor(forward: int, strike: int, distance_q30: int, total_vol_q30: int) -> tuple[int, int]:
    """(F^2 gamma, vega * sigma) of a lot in quote units, undiscounted; nothing where g is 0 or there is no vol.

    Distance (a) and total vol (v) are those of `black76.otm_fraction_q38`, as marked.
    """
    if total_vol_q30 == 0:
        return 0, 0
    d_q31 = standardised_distance_q31(distance_q30, total_vol_q30)
    if d_q31 >= TAIL_Q31:
        return 0, 0
    density = density_q38(abs(d_q31))
    smaller = min(forward, strike)
    gamma = smaller * min((density << 30) // total_vol_q30, INVERSE_VOL_MAX_Q38) >> 38
    vega = smaller * (density * total_vol_q30 >> 30) >> 38
    return gamma, vega


def compute_concentration_ceil(parameters: Parameters, tier: Tier, gamma: int, vega: int) -> int:
    """The add-on of one underlying in quote units, from the sums over its options of quantity * exposure."""
    rules = parameters.concentration
    gamma_pnl = gamma * (rules.move_q38 * rules.move_q38 >> 38) >> 39
    vega_pnl = vega * parameters.vol_range.up_q38 >> 38
    excess_gamma = max(-gamma_pnl - tier.gamma_threshold, 0)
    excess_vega = max(abs(vega_pnl) - tier.vega_threshold, 0)
    return multiply_ceil_q38(excess_gamma, rules.gamma_fraction_q38) + multiply_ceil_q38(
        excess_vega, rules.vega_fraction_q38
    )

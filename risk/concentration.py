"""Add-ons for size: gamma and vega beyond what a market can absorb while a position is closed.

Scenarios are linear in size, liquidation is not. An underlying's short gamma is measured as its loss over one move of
`move_q38`, its vega of either sign as its change under the vol range's upward shock; what exceeds a threshold costs a
fraction of the excess. Formulas: SPEC.md section 10.
"""

from risk.black76 import TOTAL_VOL_MAX_Q30
from risk.fixed_point import ln_q38, sqrt_years_floor_q38
from risk.greeks import TOTAL_VOL_MIN_Q38, standardised_distances_q31
from risk.market import Market, Option, Portfolio
from risk.normal import density_q38
from risk.parameters import Parameters
from risk.svi import clamp_to_wings_q38, reading_total_vol_q38


def compute_concentration_ceil(parameters: Parameters, market: Market, portfolio: Portfolio) -> int:
    """The add-on of an account in quote units, summed over underlyings."""
    rules = parameters.concentration
    if rules is None:
        return 0
    charge = 0
    for index in range(len(market.underlyings)):
        gamma = vega = 0
        for option in portfolio.options:
            if option.underlying == index:
                option_gamma, option_vega = compute_exposures(parameters, market, option)
                gamma += option_gamma
                vega += option_vega
        excess_gamma = max(-gamma - rules.gamma_threshold, 0)
        excess_vega = max(abs(vega) - rules.vega_threshold, 0)
        charge += -(-excess_gamma * rules.gamma_fraction_q38 >> 38) - (-excess_vega * rules.vega_fraction_q38 >> 38)
    return charge


def compute_exposures(parameters: Parameters, market: Market, option: Option) -> tuple[int, int]:
    """(gamma P&L over one move, vega P&L under the upward vol shock) of a position, in quote units, floors.

    With v the total vol and phi the density at d1: gamma (F move)^2 / 2 = F (phi / v) move^2 / 2, and
    vega * sigma * range = F (phi v) range.
    """
    rules = parameters.concentration
    if rules is None:
        return 0, 0
    expiry = market.underlyings[option.underlying].expiries[option.expiry]
    log_moneyness = ln_q38(expiry.forward) - ln_q38(option.strike)
    log_strike = clamp_to_wings_q38(expiry.svi, -log_moneyness, parameters.wing_width)
    root = (sqrt_years_floor_q38(expiry.time_ms) << 38) // sqrt_years_floor_q38(expiry.svi.time_ms)
    total_vol = reading_total_vol_q38(expiry.svi, log_strike) * root >> 38
    total_vol = min(max(total_vol, TOTAL_VOL_MIN_Q38), TOTAL_VOL_MAX_Q30 << 8)
    d1, _ = standardised_distances_q31(log_moneyness, total_vol)
    density = density_q38(abs(d1))
    notional = option.quantity * expiry.forward
    gamma = (density << 38) // total_vol * (rules.move_q38 * rules.move_q38 >> 38) >> 39
    vega = (density * total_vol >> 38) * parameters.vol_range.up_q38 >> 38
    return notional * gamma >> 38, notional * vega >> 38

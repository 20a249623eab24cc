"""Where an account's margin comes from: a P&L surface over spot and vol, the worst scenarios, Greeks by expiry.

Computed with the margin's own revaluation, so that the picture and the number cannot disagree.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from risk.black76 import (
    log_moneyness_nearest_q30,
    price_floor,
    saturate_log_moneyness_q30,
    saturate_total_vol_q30,
    total_vol_nearest_q30,
)
from risk.fixed_point import ONE_Q38, exp_q38, ln_q38, sqrt_years_floor_q38, years_floor_q38
from risk.greeks import Greeks, compute_greeks
from risk.margin import Margin, compute_margin, compute_underlying_risk
from risk.market import Expiry, Market, Option, Portfolio
from risk.parameter_sets import ppm
from risk.parameters import Contingencies, Parameters, Scenario, StaticDiscount, VolShock
from risk.svi import clamp_to_wings_q38, vol_floor_q38

SURFACE_MOVES_PPM = (-400_000, -300_000, -200_000, -100_000, -50_000, 0, 50_000, 100_000, 200_000, 300_000, 400_000)
SURFACE_VOLS = (VolShock.DOWN, VolShock.NONE, VolShock.UP)


@dataclass(frozen=True, slots=True)
class ExpiryGreeks:
    """Sums over one expiry's options, in quote units: delta, gamma, vanna and charm times the forward (gamma twice)."""

    underlying: int
    expiry: int
    delta: int
    gamma: int
    vega: int
    theta: int
    vanna: int
    charm: int
    volga: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """The margin, the P&L by vol shock and spot move of SURFACE_*, worst scenarios by underlying, Greeks by expiry.

    `worst` has (underlying, scenario, P&L), least first.
    """

    margin: Margin
    surface: tuple[tuple[int, ...], ...]
    worst: tuple[tuple[int, int, int], ...]
    greeks: tuple[ExpiryGreeks, ...]


def explain_margin(parameters: Parameters, market: Market, portfolio: Portfolio, worst_count: int = 5) -> Explanation:
    """Take an account apart. Inputs have passed `checks.check_inputs`."""
    margin = compute_margin(parameters, market, portfolio)
    ranked = sorted(
        (pnl, underlying, scenario)
        for underlying, risk in enumerate(margin.underlyings)
        for scenario, pnl in enumerate(risk.pnl)
        if parameters.scenarios[scenario].counts and pnl < 0
    )
    return Explanation(
        margin=margin,
        surface=compute_surface(parameters, market, portfolio),
        worst=tuple((underlying, scenario, pnl) for pnl, underlying, scenario in ranked[:worst_count]),
        greeks=compute_greeks_by_expiry(parameters, market, portfolio.options),
    )


def compute_surface(parameters: Parameters, market: Market, portfolio: Portfolio) -> tuple[tuple[int, ...], ...]:
    """P&L of a joint move of every underlying, today, without dampening and static discounts: by vol, then by spot."""
    rows = []
    for vol in SURFACE_VOLS:
        scenarios = tuple(Scenario(ppm(move), vol) for move in SURFACE_MOVES_PPM)
        plain = replace(
            parameters,
            scenarios=scenarios,
            steps_ms=(0,),
            discount=StaticDiscount(),
            contingencies=Contingencies(),
        )
        risks = [compute_underlying_risk(plain, market, portfolio, index) for index in range(len(market.underlyings))]
        rows.append(tuple(sum(risk.pnl[index] for risk in risks) for index in range(len(scenarios))))
    return tuple(rows)


def compute_greeks_by_expiry(
    parameters: Parameters, market: Market, options: Sequence[Option]
) -> tuple[ExpiryGreeks, ...]:
    """Cash Greeks of every expiry that holds options."""
    sums: dict[tuple[int, int], list[int]] = {}
    for option in options:
        expiry = market.underlyings[option.underlying].expiries[option.expiry]
        greeks = compute_option_greeks(parameters, expiry, option)
        notional = option.quantity * expiry.forward
        fields = (greeks.delta, greeks.gamma, greeks.vega, greeks.theta, greeks.vanna, greeks.charm, greeks.volga)
        total = sums.setdefault((option.underlying, option.expiry), [0] * len(fields))
        for index, field in enumerate(fields):
            total[index] += notional * field >> 38
    return tuple(ExpiryGreeks(*key, *total) for key, total in sorted(sums.items()))


def compute_option_greeks(parameters: Parameters, expiry: Expiry, option: Option) -> Greeks:
    """Greeks per unit of forward at the surface's vol."""
    log_moneyness = ln_q38(expiry.forward) - ln_q38(option.strike)
    vol = vol_floor_q38(expiry.svi, clamp_to_wings_q38(expiry.svi, -log_moneyness, parameters.wing_width))
    discount = exp_q38(-max(expiry.rate_q38, 0) * years_floor_q38(expiry.time_ms) >> 38)
    x = saturate_log_moneyness_q30(log_moneyness_nearest_q30(ln_q38(expiry.forward), ln_q38(option.strike)))
    total_vol = saturate_total_vol_q30(total_vol_nearest_q30(vol, sqrt_years_floor_q38(expiry.time_ms)))
    price = price_floor(expiry.forward, option.strike, x, total_vol, option.is_call) * discount >> 38
    price_q38 = (price << 38) // expiry.forward
    return compute_greeks(log_moneyness, vol, expiry.time_ms, discount, price_q38, option.is_call)


def name_scenario(scenario: Scenario) -> str:
    """For people: the move, of spot or of the unit move, the vol and the weight."""
    tenths = (abs(scenario.spot_move_q38) * 1000 + (ONE_Q38 >> 1)) // ONE_Q38
    sign = "-" if scenario.spot_move_q38 < 0 else "+"
    move = f"{sign}{tenths // 10}.{tenths % 10} %{' of the unit move' if scenario.is_scaled else ''}"
    weight = (scenario.weight_q38 * 1000 + (ONE_Q38 >> 1)) // ONE_Q38
    dampened = "" if weight == 1000 else f", {weight // 10}.{weight % 10} % of it"
    return f"spot {move}, vol {scenario.vol.name.lower().replace('_', ' ')}{dampened}"

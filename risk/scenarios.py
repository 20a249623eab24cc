"""Full revaluation: every option of an expiry in every scenario, at every step of the time axis.

An option's P&L is linear in its quantity, an expiry's is not: its shocked value is discounted by its sign, and a skew
scenario takes minus its absolute value, so that what one expiry wins by a skew never pays for another. Hence values
are summed per expiry first and discounted then. Formulas and roundings: SPEC.md section 7.

Mirrors contracts/risk_scenarios.vy (compute_expiry_risk) and contracts/risk_underlying.vy.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from risk.black76 import (
    log_moneyness_nearest_q30,
    price_floor,
    saturate_log_moneyness_q30,
    saturate_total_vol_q30,
)
from risk.concentration import compute_exposures_floor
from risk.fixed_point import (
    EXP_ARGUMENT_MAX_Q38,
    LN_2_Q38,
    ONE_Q38,
    exp_q38,
    ln_q38,
    sqrt_years_floor_q38,
    years_floor_q38,
)
from risk.market import Expiry, Option, Underlying
from risk.parameters import Parameters, Skew, VolShock
from risk.svi import clamp_to_wings_q38, reading_total_vol_q38


@dataclass(frozen=True, slots=True)
class Terms:
    """What all options of an expiry share at one step. All Q38; `root` is sqrt(T / T of the reading)."""

    root: int
    vol_up: int
    vol_down: int
    total_vol_floor: int
    discount: int
    long_discount: int
    short_discount: int


@dataclass(frozen=True, slots=True)
class SkewTerms:
    """What all options of an expiry share in the skew scenarios. Q38."""

    linear_cap: int
    absolute_cap: int
    width: int


@dataclass(frozen=True, slots=True)
class Shock:
    """A scenario's spot move for one underlying: 1 + move in Q38, and its logarithm in Q30."""

    factor_q38: int
    log_q30: int


@dataclass(frozen=True, slots=True)
class ExpiryValues:
    """One expiry's options in quote units, undiscounted: as marked, by step and scenario, and the sums of quantity
    times exposure of concentration.py."""

    mark: int
    values: tuple[tuple[int, ...], ...]
    gamma: int
    vega: int


@dataclass(frozen=True, slots=True)
class ExpiryRisk:
    """One expiry's options in quote units: mark, P&L by step and scenario, basis contingency (never positive), and the
    sums of quantity times exposure of concentration.py."""

    mark: int
    pnl: tuple[tuple[int, ...], ...]
    basis: int
    gamma: int
    vega: int


@dataclass(frozen=True, slots=True)
class OptionsRisk:
    """One underlying's options in quote units: mark, the worst step's P&L by scenario, basis contingency, the sums of
    quantity times exposure of concentration.py, and where they come from."""

    mark: int
    pnl: tuple[int, ...]
    basis: int
    gamma: int
    vega: int
    expiries: tuple[tuple[int, ExpiryRisk], ...] = ()


def compute_spot_unit_q38(parameters: Parameters, underlying: Underlying) -> int:
    """The underlying's unit move, 0 where nothing scales: deviations * its volatility * sqrt(horizon), clamped."""
    scale = parameters.spot_scale
    of_horizon = underlying.volatility_q38 * sqrt_years_floor_q38(scale.horizon_ms) >> 38
    unit = of_horizon * scale.deviations_q38 >> 38
    return min(max(unit, scale.floor_q38), scale.ceiling_q38)


def compute_spot_factors_q38(parameters: Parameters, underlying: Underlying) -> list[int]:
    """1 + spot's move in every scenario, held above 2^-8, where its logarithm is still small."""
    unit = compute_spot_unit_q38(parameters, underlying)
    return [
        max(ONE_Q38 + (unit * s.spot_move_q38 >> 38 if s.is_scaled else s.spot_move_q38), ONE_Q38 >> 8)
        for s in parameters.scenarios
    ]


def compute_shocks(parameters: Parameters, underlying: Underlying) -> tuple[Shock, ...]:
    """The spot move of every scenario."""
    factors = compute_spot_factors_q38(parameters, underlying)
    return tuple(Shock(factor, ln_q38(factor) - 38 * LN_2_Q38 + (1 << 7) >> 8) for factor in factors)


def compute_terms(parameters: Parameters, expiry: Expiry, step_ms: int) -> Terms:
    """Vol shocks, vol floor and discounts of an expiry once `step_ms` have passed; after its end it is its payoff."""
    time_ms = max(expiry.time_ms - step_ms, 0)
    root_years = sqrt_years_floor_q38(time_ms)
    vol_range, static = parameters.vol_range, parameters.discount
    tenor = max(time_ms, vol_range.tenor_floor_ms, 1)
    is_short = time_ms <= parameters.reference_tenor_ms
    power = vol_range.short_power_q38 if is_short else vol_range.long_power_q38
    exponent = (ln_q38(parameters.reference_tenor_ms) - ln_q38(tenor)) * power >> 38
    scaling = exp_q38(min(exponent, EXP_ARGUMENT_MAX_Q38))
    years, rate = years_floor_q38(time_ms), max(expiry.rate_q38, 0)
    long_rate = rate + (rate * static.long_multiple_q38 >> 38) + static.long_spread_q38
    short_rate = rate - (rate * static.short_multiple_q38 >> 38) - static.short_spread_q38
    long_growth = exp_q38(min(-long_rate * years >> 38, EXP_ARGUMENT_MAX_Q38))
    short_growth = exp_q38(min(-short_rate * years >> 38, EXP_ARGUMENT_MAX_Q38))
    return Terms(
        root=(root_years << 38) // sqrt_years_floor_q38(expiry.svi.time_ms),
        vol_up=ONE_Q38 + (vol_range.up_q38 * scaling >> 38),
        vol_down=max(ONE_Q38 - (vol_range.down_q38 * scaling >> 38), 0),
        total_vol_floor=vol_range.floor_q38 * root_years >> 38,
        discount=exp_q38(-rate * years >> 38),
        long_discount=min(static.long_factor_q38 * long_growth >> 38, ONE_Q38),
        short_discount=min(static.short_factor_q38 * short_growth >> 38, ONE_Q38),
    )


def compute_skew_terms(skew: Skew, time_ms: int) -> SkewTerms:
    """Caps and width at a tenor."""
    root = sqrt_years_floor_q38(time_ms)
    width_vol = skew.width_vol_q38 + (skew.width_vol_slope_q38 * root >> 38)
    return SkewTerms(
        linear_cap=skew.linear_cap_q38 + (skew.linear_slope_q38 * root >> 38),
        absolute_cap=skew.absolute_cap_q38 + (skew.absolute_slope_q38 * root >> 38),
        width=max((skew.width_scale_q38 * root >> 38) * width_vol >> 38, skew.width_floor_q38, 1),
    )


def compute_skews_q38(skew: SkewTerms, log_strike_q38: int) -> tuple[int, int]:
    """Vol multipliers of both skew scenarios at a strike, never below 0."""
    distance = (abs(log_strike_q38) << 38) // skew.width
    linear = min(skew.linear_cap * distance >> 38, skew.linear_cap)
    absolute = min(skew.absolute_cap * distance >> 38, skew.absolute_cap)
    return max(ONE_Q38 + (linear if log_strike_q38 >= 0 else -linear), 0), max(ONE_Q38 + absolute, 0)


def compute_total_vols_q30(
    parameters: Parameters, expiry: Expiry, skew: SkewTerms, terms: Sequence[Terms], strike: int
) -> tuple[tuple[int, ...], ...]:
    """v of one strike for every VolShock, at every step."""
    log_strike = ln_q38(strike) - ln_q38(expiry.forward)
    reading = reading_total_vol_q38(expiry.svi, clamp_to_wings_q38(expiry.svi, log_strike, parameters.wing_width))
    linear, absolute = compute_skews_q38(skew, log_strike)
    by_step = []
    for term in terms:
        base = reading * term.root >> 38
        shocked = (
            base,
            max(base * term.vol_up >> 38, term.total_vol_floor),
            base * term.vol_down >> 38,
            base * linear >> 38,
            base * absolute >> 38,
        )
        by_step.append(tuple(saturate_total_vol_q30(vol + (1 << 7) >> 8) for vol in shocked))
    return tuple(by_step)


def fixed_of_forward(parameters: Parameters, expiry: Expiry) -> int:
    """How much of the forward no scenario moves: the known part of the average, inside the settlement window."""
    return expiry.fixed if expiry.time_ms < parameters.settlement_window_ms else 0


def compute_shocked_forwards(
    parameters: Parameters, expiry: Expiry, shocks: Sequence[Shock]
) -> tuple[tuple[int, int], ...]:
    """Forward and its logarithm in Q38, with the half unit of rounding to Q30 in it, in every scenario.

    Inside the settlement window only the variable part of the forward moves.
    """
    fixed = fixed_of_forward(parameters, expiry)
    if fixed > 0:
        variable = expiry.forward - fixed
        forwards = [fixed + (variable * shock.factor_q38 >> 38) for shock in shocks]
        return tuple((forward, ln_q38(forward)) for forward in forwards)
    ln_forward = ln_q38(expiry.forward)
    return tuple(((expiry.forward * s.factor_q38 >> 38) or 1, ln_forward + (s.log_q30 << 8)) for s in shocks)


def compute_expiry_values(
    parameters: Parameters, expiry: Expiry, shocks: Sequence[Shock], terms: Sequence[Terms], options: Sequence[Option]
) -> ExpiryValues:
    """Undiscounted value of an expiry's options, and their exposures."""
    forwards = compute_shocked_forwards(parameters, expiry, shocks)
    mark, values = 0, [[0] * len(shocks) for _ in terms]
    gamma = vega = 0
    skew = compute_skew_terms(parameters.skew, expiry.time_ms)
    ln_forward = ln_q38(expiry.forward)
    for option in options:
        vols = compute_total_vols_q30(parameters, expiry, skew, terms, option.strike)
        ln_strike = ln_q38(option.strike)
        x = saturate_log_moneyness_q30(log_moneyness_nearest_q30(ln_forward, ln_strike))
        price = price_floor(expiry.forward, option.strike, x, vols[0][VolShock.NONE], option.is_call)
        mark += option.quantity * price
        lot = compute_exposures_floor(expiry.forward, option.strike, abs(x), vols[0][VolShock.NONE])
        gamma += option.quantity * lot[0]
        vega += option.quantity * lot[1]
        for index, (scenario, (forward, ln_shocked)) in enumerate(zip(parameters.scenarios, forwards, strict=True)):
            x = saturate_log_moneyness_q30(log_moneyness_nearest_q30(ln_shocked, ln_strike))
            for step, vol in enumerate(vols):
                price = price_floor(forward, option.strike, x, vol[scenario.vol], option.is_call)
                values[step][index] += option.quantity * price
    return ExpiryValues(mark, tuple(tuple(row) for row in values), gamma, vega)


def compute_expiry_risk(
    parameters: Parameters, expiry: Expiry, shocks: Sequence[Shock], options: Sequence[Option]
) -> ExpiryRisk:
    """Mark, P&L and basis contingency of the options of one expiry. All floors: against the account."""
    terms = [compute_terms(parameters, expiry, step) for step in parameters.steps_ms]
    undiscounted = compute_expiry_values(parameters, expiry, shocks, terms, options)
    mark = undiscounted.mark * terms[0].discount >> 38
    pnl = []
    for term, row in zip(terms, undiscounted.values, strict=True):
        pnl_of_step = []
        for scenario, value in zip(parameters.scenarios, row, strict=True):
            change = (value * (term.long_discount if value > 0 else term.short_discount) >> 38) - mark
            pnl_of_step.append(-abs(change) if scenario.vol >= VolShock.LINEAR_SKEW else change)
        pnl.append(tuple(pnl_of_step))
    charges = parameters.contingencies
    moves = [index for index in (charges.basis_up, charges.basis_down) if index >= 0]
    plain_moves = [(undiscounted.values[0][index] * terms[0].discount >> 38) - mark for index in moves]
    factor = charges.basis_add_q38 + (charges.basis_multiple_q38 * years_floor_q38(expiry.time_ms) >> 38)
    basis = min([0, *plain_moves]) * factor >> 38
    return ExpiryRisk(mark, tuple(pnl), basis, undiscounted.gamma, undiscounted.vega)


def revalue_options(parameters: Parameters, underlying: Underlying, options: Sequence[Option]) -> OptionsRisk:
    """All options of one underlying. A step is as bad as all expiries together make it."""
    shocks = compute_shocks(parameters, underlying)
    by_expiry: dict[int, list[Option]] = {}
    for option in options:
        by_expiry.setdefault(option.expiry, []).append(option)
    expiries = tuple(
        (expiry, compute_expiry_risk(parameters, underlying.expiries[expiry], shocks, by_expiry[expiry]))
        for expiry in sorted(by_expiry)
    )
    by_step = [
        [sum(risk.pnl[step][order] for _, risk in expiries) for order in range(len(shocks))]
        for step in range(len(parameters.steps_ms))
    ]
    return OptionsRisk(
        mark=sum(risk.mark for _, risk in expiries),
        pnl=tuple(min(column) for column in zip(*by_step, strict=True)),
        basis=sum(risk.basis for _, risk in expiries),
        gamma=sum(risk.gamma for _, risk in expiries),
        vega=sum(risk.vega for _, risk in expiries),
        expiries=expiries,
    )

"""Scenarios compiled: the twin of scenarios.py and concentration.py for a lot of each option.

Rules and readings are packed once into integers; tests/risk/test_fast_scenarios.py holds the results to the reference's
last bit. Everything fits int64 inside the bounds of bounds.check_parameters and checks.check_market.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from risk.black76 import LOG_MONEYNESS_MAX_Q30, TOTAL_VOL_MAX_Q30
from risk.concentration import INVERSE_VOL_MAX_Q38
from risk.fast import (
    Integer,
    Integers,
    compiled,
    density_q38,
    divide_q38,
    exp_q38,
    inlined,
    ln_q38,
    multiply_saturated,
    multiply_shift,
    price_floor,
    shift_divide,
    sqrt_floor_q38,
    sqrt_years_floor_q38,
    total_variance_q38,
    years_floor_q38,
)
from risk.fixed_point import EXP_ARGUMENT_MAX_Q38, LN_2_Q38, ONE_Q38
from risk.market import Expiry
from risk.normal import TAIL_Q31
from risk.parameters import Parameters, VolShock

Flags = NDArray[np.bool_]

ONE = ONE_Q38
LANES = 8
LOW_MASK = (1 << 38) - 1
HALF_MASK = (1 << 19) - 1


class Rules(NamedTuple):
    """A parameter set for compiled code: its numbers in the order of parameters.py, and its scenarios as columns.

    `is_skew` is as wide as a step's stretch of prices, whole blocks of LANES; what is too many is never looked at.
    """

    vol_up: int
    vol_down: int
    vol_floor: int
    short_power: int
    long_power: int
    tenor_floor_ms: int
    linear_cap: int
    linear_slope: int
    absolute_cap: int
    absolute_slope: int
    width_floor: int
    width_scale: int
    width_vol: int
    width_vol_slope: int
    long_factor: int
    long_multiple: int
    long_spread: int
    short_factor: int
    short_multiple: int
    short_spread: int
    naked_maintenance: int
    naked_initial: int
    basis_up: int
    basis_down: int
    basis_add: int
    basis_multiple: int
    confidence_threshold: int
    confidence_margin: int
    wing_width: int
    settlement_window_ms: int
    reference_tenor_ms: int
    deviations: int
    horizon_ms: int
    unit_floor: int
    unit_ceiling: int
    steps_ms: Integers
    moves: Integers
    kinds: Integers
    weights: Integers
    is_scaled: Flags
    counts: Flags
    is_skew: Flags


class Terms(NamedTuple):
    """By expiry: the surface with the bound of its wings, caps and width of skews, logarithm of the forward, factor of
    the basis contingency, discount at the first step. By expiry and step: root, both vol shocks and floor; long and
    short discount. By expiry and scenario: shocked forward and its logarithm.
    """

    surface: Integers
    skew: Integers
    forward: Integers
    ln_forward: Integers
    basis_factor: Integers
    discount: Integers
    vols: Integers
    static: Integers
    shocked: Integers


def pack_rules(parameters: Parameters) -> Rules:
    """Raises OverflowError for what is outside of bounds.check_parameters."""
    r, s, d, c = parameters.vol_range, parameters.skew, parameters.discount, parameters.contingencies
    padding = -len(parameters.scenarios) % LANES
    scale, scenarios = parameters.spot_scale, parameters.scenarios
    return Rules(
        *(r.up_q38, r.down_q38, r.floor_q38, r.short_power_q38, r.long_power_q38, r.tenor_floor_ms),
        *(s.linear_cap_q38, s.linear_slope_q38, s.absolute_cap_q38, s.absolute_slope_q38),
        *(s.width_floor_q38, s.width_scale_q38, s.width_vol_q38, s.width_vol_slope_q38),
        *(d.long_factor_q38, d.long_multiple_q38, d.long_spread_q38),
        *(d.short_factor_q38, d.short_multiple_q38, d.short_spread_q38),
        *(c.naked_maintenance_q38, c.naked_initial_q38, c.basis_up, c.basis_down),
        *(c.basis_add_q38, c.basis_multiple_q38, c.confidence_threshold_q38, c.confidence_margin_q38),
        *(parameters.wing_width, parameters.settlement_window_ms, parameters.reference_tenor_ms),
        *(scale.deviations_q38, scale.horizon_ms, scale.floor_q38, scale.ceiling_q38),
        steps_ms=integers(parameters.steps_ms),
        moves=integers([scenario.spot_move_q38 for scenario in scenarios]),
        kinds=integers([scenario.vol for scenario in scenarios]),
        weights=integers([scenario.weight_q38 for scenario in scenarios]),
        is_scaled=np.array([scenario.is_scaled for scenario in scenarios]),
        counts=np.array([scenario.counts for scenario in scenarios]),
        is_skew=np.array([scenario.vol >= VolShock.LINEAR_SKEW for scenario in scenarios] + [False] * padding),
    )


def integers(values: Sequence[object]) -> Integers:
    """As int64; what does not fit raises OverflowError."""
    return np.array(values, dtype=np.int64)


def pack_readings(expiries: Sequence[Expiry]) -> Integers:
    """One row an expiry, its columns in the order of TIME_MS to SVI_TIME_MS."""
    rows = [
        (e.time_ms, e.forward, e.fixed, e.rate_q38, e.svi.a, e.svi.b, e.svi.rho, e.svi.m, e.svi.sigma, e.svi.time_ms)
        for e in expiries
    ]
    return integers(rows).reshape(-1, 10)


TIME_MS, FORWARD, FIXED, RATE, SVI_A, SVI_B, SVI_RHO, SVI_M, SVI_SIGMA, SVI_TIME_MS = range(10)


@compiled
def make_terms(expiries: Integer, steps: Integer, scenarios: Integer) -> Terms:
    """Room for the terms of so many expiries."""
    return Terms(
        np.empty((expiries, 6), np.int64),
        np.empty((expiries, 3), np.int64),
        np.empty(expiries, np.int64),
        np.empty(expiries, np.int64),
        np.empty(expiries, np.int64),
        np.empty(expiries, np.int64),
        np.empty((expiries, steps, 4), np.int64),
        np.empty((expiries, steps, 2), np.int64),
        np.empty((expiries, scenarios, 2), np.int64),
    )


@compiled
def fill_shocks(rules: Rules, volatility_q38: Integer, shocks: Integers) -> None:
    """The twin of scenarios.compute_shocks: factor in Q38 and logarithm in Q30 of every scenario."""
    of_horizon = multiply_shift(volatility_q38, sqrt_years_floor_q38(rules.horizon_ms), 38)
    unit = min(max(multiply_shift(of_horizon, rules.deviations, 38), rules.unit_floor), rules.unit_ceiling)
    for scenario in range(rules.moves.shape[0]):
        move = rules.moves[scenario]
        if rules.is_scaled[scenario]:
            move = multiply_shift(unit, move, 38)
        factor = max(ONE + move, ONE >> 8)
        shocks[scenario, 0] = factor
        shocks[scenario, 1] = ln_q38(factor) - 38 * LN_2_Q38 + (1 << 7) >> 8


@compiled
def fill_terms(rules: Rules, reading: Integers, shocks: Integers, row: Integer, terms: Terms) -> None:
    """Everything about one expiry of the underlying that makes these shocks."""
    time_ms, forward = reading[TIME_MS], reading[FORWARD]
    terms.forward[row] = forward
    ln_forward = ln_q38(forward)
    terms.ln_forward[row] = ln_forward
    for place in range(5):
        terms.surface[row, place] = reading[SVI_A + place]
    spread = reading[SVI_A] + multiply_shift(reading[SVI_B], reading[SVI_SIGMA], 38)
    terms.surface[row, 5] = rules.wing_width * sqrt_floor_q38(max(spread, 0))
    fill_skew(rules, sqrt_years_floor_q38(time_ms), terms.skew[row])
    years = years_floor_q38(time_ms)
    terms.basis_factor[row] = rules.basis_add + multiply_shift(rules.basis_multiple, years, 38)
    first_years = years_floor_q38(max(time_ms - rules.steps_ms[0], 0))
    terms.discount[row] = exp_of_rate(max(reading[RATE], 0), first_years)
    for step in range(rules.steps_ms.shape[0]):
        left_ms = max(time_ms - rules.steps_ms[step], 0)
        fill_vol_terms(rules, left_ms, reading[SVI_TIME_MS], terms.vols[row, step])
        fill_static_discounts(rules, left_ms, max(reading[RATE], 0), terms.static[row, step])
    fixed = reading[FIXED] if time_ms < rules.settlement_window_ms else 0
    for scenario in range(shocks.shape[0]):
        moved = fixed + multiply_shift(forward - fixed, shocks[scenario, 0], 38)
        terms.shocked[row, scenario, 0] = max(moved, 1)
        terms.shocked[row, scenario, 1] = ln_q38(moved) if fixed > 0 else ln_forward + (shocks[scenario, 1] << 8)


@compiled
def fill_skew(rules: Rules, root: Integer, skew: Integers) -> None:
    """The twin of scenarios.compute_skew_terms."""
    width_vol = rules.width_vol + multiply_shift(rules.width_vol_slope, root, 38)
    width = multiply_shift(multiply_shift(rules.width_scale, root, 38), width_vol, 38)
    skew[0] = rules.linear_cap + multiply_shift(rules.linear_slope, root, 38)
    skew[1] = rules.absolute_cap + multiply_shift(rules.absolute_slope, root, 38)
    skew[2] = max(max(width, rules.width_floor), 1)


@compiled
def fill_vol_terms(rules: Rules, left_ms: Integer, svi_time_ms: Integer, vols: Integers) -> None:
    """The twin of the first half of scenarios.compute_terms: root, up, down, floor."""
    root_years = sqrt_years_floor_q38(left_ms)
    tenor = max(max(left_ms, rules.tenor_floor_ms), 1)
    power = rules.short_power if left_ms <= rules.reference_tenor_ms else rules.long_power
    exponent = multiply_shift(ln_q38(rules.reference_tenor_ms) - ln_q38(tenor), power, 38)
    scaling = exp_q38(min(exponent, EXP_ARGUMENT_MAX_Q38))
    vols[0] = shift_divide(root_years, 19, 19, sqrt_years_floor_q38(svi_time_ms))
    vols[1] = ONE + multiply_shift(rules.vol_up, scaling, 38)
    vols[2] = max(ONE - multiply_shift(rules.vol_down, scaling, 38), 0)
    vols[3] = multiply_shift(rules.vol_floor, root_years, 38)


@compiled
def fill_static_discounts(rules: Rules, left_ms: Integer, rate: Integer, static: Integers) -> None:
    """The twin of the other half: long and short."""
    years = years_floor_q38(left_ms)
    long_rate = rate + multiply_shift(rate, rules.long_multiple, 38) + rules.long_spread
    short_rate = rate - multiply_shift(rate, rules.short_multiple, 38) - rules.short_spread
    static[0] = min(multiply_saturated(rules.long_factor, exp_of_rate(long_rate, years), 38), ONE)
    static[1] = min(multiply_saturated(rules.short_factor, exp_of_rate(short_rate, years), 38), ONE)


@inlined
def exp_of_rate(rate: Integer, years: Integer) -> Integer:
    """e^(-rate * years), the exponent at most 16."""
    return exp_q38(min(multiply_saturated(-rate, years, 38), EXP_ARGUMENT_MAX_Q38))


@inlined
def saturate(log_moneyness_q30: Integer) -> Integer:
    """x within the kernel's domain."""
    return max(min(log_moneyness_q30, LOG_MONEYNESS_MAX_Q30), -LOG_MONEYNESS_MAX_Q30)


@compiled
def fill_vols(surface: Integers, skew: Integers, by_step: Integers, log_strike: Integer, vols: Integers) -> None:
    """The twin of scenarios.compute_total_vols_q30: v by step and shock."""
    k = max(min(log_strike, surface[5]), -surface[5])
    reading = sqrt_floor_q38(total_variance_q38(surface[0], surface[1], surface[2], surface[3], surface[4], k))
    distance = divide_q38(abs(log_strike), skew[2])
    linear = min(multiply_saturated(skew[0], distance, 38), skew[0])
    linear = max(ONE + (linear if log_strike >= 0 else -linear), 0)
    absolute = max(ONE + min(multiply_saturated(skew[1], distance, 38), skew[1]), 0)
    for step in range(by_step.shape[0]):
        base = multiply_shift(reading, by_step[step, 0], 38)
        vols[step, 0] = base
        vols[step, 1] = max(multiply_saturated(base, by_step[step, 1], 38), by_step[step, 3])
        vols[step, 2] = multiply_shift(base, by_step[step, 2], 38)
        vols[step, 3] = multiply_saturated(base, linear, 38)
        vols[step, 4] = multiply_saturated(base, absolute, 38)
        for kind in range(5):
            vols[step, kind] = min(vols[step, kind] + 128 >> 8, TOTAL_VOL_MAX_Q30)


@compiled
def fill_prices(
    kinds: Integers,
    stride: Integer,
    terms: Terms,
    row: Integer,
    strike: Integer,
    is_call: bool,
    vols: Integers,
    prices: Integers,
    lot: Integers,
) -> None:
    """The twin of scenarios.compute_expiry_values for a lot of one option of expiry `row`.

    `prices` gets a scenario each in every step's stretch of `stride`; `lot` the mark and both exposures; `vols` is room
    for fill_vols.
    """
    steps = terms.vols.shape[1]
    ln_strike = ln_q38(strike)
    fill_vols(terms.surface[row], terms.skew[row], terms.vols[row], ln_strike - terms.ln_forward[row], vols)
    forward, x = terms.forward[row], saturate(terms.ln_forward[row] - ln_strike + 128 >> 8)
    lot[0] = price_floor(forward, strike, x, vols[0, 0], is_call)
    fill_exposures(min(forward, strike), abs(x), vols[0, 0], lot)
    for scenario in range(kinds.shape[0]):
        x = saturate(terms.shocked[row, scenario, 1] - ln_strike + 128 >> 8)
        for step in range(steps):
            prices[step * stride + scenario] = price_floor(
                terms.shocked[row, scenario, 0], strike, x, vols[step, kinds[scenario]], is_call
            )


@inlined
def fill_exposures(smaller: Integer, distance_q30: Integer, total_vol_q30: Integer, lot: Integers) -> None:
    """The twin of concentration.compute_exposures_floor; `smaller` is min(F, K)."""
    lot[1] = 0
    lot[2] = 0
    if total_vol_q30 > 0:
        quotient = (np.uint64(distance_q30) << np.uint64(31)) // np.uint64(total_vol_q30)
        d = np.int64(min(quotient, np.uint64(1 << 40))) - total_vol_q30
        if d < TAIL_Q31:
            density = density_q38(abs(d))
            inverse = INVERSE_VOL_MAX_Q38
            if (density << 15) // total_vol_q30 < INVERSE_VOL_MAX_Q38 >> 15:
                inverse = shift_divide(density, 15, 15, total_vol_q30)
            lot[1] = multiply_shift(smaller, inverse, 38)
            lot[2] = multiply_shift(smaller, multiply_shift(density, total_vol_q30, 30), 38)


@compiled
def add_pnl(is_skew: Flags, values: Integers, static: Integers, mark: Integer, pnl: Integers) -> None:
    """The twin of the loop in scenarios.compute_expiry_risk, values below 2^61: adds one expiry's P&L of every step.

    Of a value the upper bits and the lower 38 are multiplied apart, those with the two halves of the discount; nested
    floors are the floor of the whole. int64 alone, no branch and whole blocks are what a compiler makes vectors of.
    """
    stride = is_skew.shape[0]
    for step in range(static.shape[0]):
        own, total = values[step * stride : (step + 1) * stride], pnl[step * stride : (step + 1) * stride]
        long, short = static[step, 0], static[step, 1]
        for scenario in range(stride):
            value = own[scenario]
            discount = long if value > 0 else short
            low = value & LOW_MASK
            rest = low * (discount >> 19) + (low * (discount & HALF_MASK) >> 19) >> 19
            change = (value >> 38) * discount + rest - mark
            total[scenario] += -abs(change) if is_skew[scenario] else change


@inlined
def find_basis(
    values: Integers, basis_up: Integer, basis_down: Integer, discount: Integer, factor: Integer, mark: Integer
) -> Integer:
    """The basis contingency of one expiry."""
    worst = 0
    if basis_up >= 0:
        worst = min(worst, multiply_shift(values[basis_up], discount, 38) - mark)
    if basis_down >= 0:
        worst = min(worst, multiply_shift(values[basis_down], discount, 38) - mark)
    return multiply_shift(worst, factor, 38)


@compiled
def revalue(
    rules: Rules, volatility_q38: Integer, readings: Integers, options: Integers
) -> tuple[Integer, Integer, Integers, Integers]:
    """Mark, basis contingency and P&L of options, which ascend, and each one's two exposures.

    An option is the row of its reading, its strike, its right and its quantity.
    """
    count, stride, steps = rules.kinds.shape[0], rules.is_skew.shape[0], rules.steps_ms.shape[0]
    shocks = np.empty((count, 2), np.int64)
    fill_shocks(rules, volatility_q38, shocks)
    terms = make_terms(readings.shape[0], steps, count)
    vols, prices = np.empty((steps, 5), np.int64), np.zeros(steps * stride, np.int64)
    values, pnl = np.empty(steps * stride, np.int64), np.zeros(steps * stride, np.int64)
    lot, exposures = np.empty(3, np.int64), np.empty((options.shape[0], 2), np.int64)
    mark: Integer = 0
    basis: Integer = 0
    place = 0
    for row in range(readings.shape[0]):
        fill_terms(rules, readings[row], shocks, row, terms)
        values[:] = 0
        undiscounted = 0
        while place < options.shape[0] and options[place, 0] == row:
            fill_prices(rules.kinds, stride, terms, row, options[place, 1], options[place, 2] == 1, vols, prices, lot)
            quantity = options[place, 3]
            for column in range(steps * stride):
                values[column] += quantity * prices[column]
            undiscounted += quantity * lot[0]
            exposures[place] = lot[1:]
            place += 1
        own_mark = multiply_shift(undiscounted, terms.discount[row], 38)
        mark += own_mark
        basis += find_basis(
            values, rules.basis_up, rules.basis_down, terms.discount[row], terms.basis_factor[row], own_mark
        )
        add_pnl(rules.is_skew, values, terms.static[row], own_mark, pnl)
    for step in range(1, steps):
        pnl[:count] = np.minimum(pnl[:count], pnl[step * stride : step * stride + count])
    return mark, basis, pnl[:count], exposures

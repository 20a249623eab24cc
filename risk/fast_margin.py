"""Margin of many accounts at once: risk arrays per instrument, then one pass over each account's positions. Advisory.

Every instrument is priced once in every scenario and step; an account is then sums of quantity times price,
discounted by expiry. The answers are margin.compute_margin's without correlations, bit for bit
(tests/risk/test_fast_margin.py). Sums are int64, so `fits` must hold of a book; an account that is too large for it
belongs to the reference.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from risk.checks import OPTIONS_MAX
from risk.fast import (
    Integer,
    Integers,
    compiled,
    density_q38,
    inlined,
    ln_q38,
    multiply_shift,
    price_floor,
    shift_divide,
    sqrt_floor_q38,
    total_variance_q38,
)
from risk.fixed_point import ONE_Q38, years_floor_q38
from risk.fixed_point import ln_q38 as exact_ln_q38
from risk.fixed_point import sqrt_floor_q38 as exact_sqrt_floor_q38
from risk.greeks import TOTAL_VOL_MIN_Q38
from risk.margin import compute_charges, value_collateral_floor
from risk.market import Market, Portfolio
from risk.normal import TABLE_END_Q31
from risk.parameters import Parameters, VolShock
from risk.scenarios import compute_shocked_forwards, compute_shocks, compute_skew_terms, compute_terms

Flags = NDArray[np.bool_]
Instrument = tuple[int, int, int, bool]

ONE = ONE_Q38
HALF_MASK = (1 << 19) - 1
TABLE_LAST = TABLE_END_Q31 - 1
SUM_BITS = 61
"""What a sum over one account may take, so that sums of discounted sums still fit int64."""


class RiskArrays(NamedTuple):
    """What accounts are multiplied with. Expiries are numbered through all underlyings.

    By instrument: `prices` is steps * scenarios wide, steps outermost, undiscounted; `gamma` and `vega` are the
    fractions of concentration.py before the notional. Rules: the fractions in the order of RULES.
    """

    expiry: Integers
    strike_group: Integers
    prices: Integers
    marks: Integers
    gamma: Integers
    vega: Integers
    underlying_of: Integers
    forward: Integers
    discounts: Integers
    plain_discount: Integers
    basis_factor: Integers
    confidence: Integers
    moves: Integers
    spot: Integers
    spot_confidence: Integers
    mark_confidence: Integers
    weight: Integers
    is_skew: Flags
    counts: Flags
    rules: Integers


RULES = (
    "naked_maintenance_q38",
    "naked_initial_q38",
    "confidence_threshold_q38",
    "confidence_margin_q38",
    "basis_up",
    "basis_down",
)


class Book(NamedTuple):
    """Accounts side by side: account i has the positions starts[i] to starts[i + 1], ascending by instrument.

    By account: `linear` is what moves with each underlying (quote units), `holds` whether it has a perpetual of it;
    `base` is cash and collateral, `charges` the contingencies that depend on neither options nor prices of options:
    maintenance and initial.
    """

    starts: Integers
    instruments: Integers
    quantities: Integers
    linear: Integers
    holds: Flags
    base: Integers
    charges: Integers


def compute_risk_arrays(parameters: Parameters, market: Market, instruments: Sequence[Instrument]) -> RiskArrays:
    """Price every instrument (underlying, expiry, strike, is_call), which ascend, in every scenario and step."""
    keys = [(u, e) for u, underlying in enumerate(market.underlyings) for e in range(len(underlying.expiries))]
    readings = [market.underlyings[u].expiries[e] for u, e in keys]
    shocks = [compute_shocks(parameters, underlying) for underlying in market.underlyings]
    terms = [[compute_terms(parameters, reading, step) for step in parameters.steps_ms] for reading in readings]
    skews = [compute_skew_terms(parameters.skew, reading.time_ms) for reading in readings]
    surfaces = [
        (s.a, s.b, s.rho, s.m, s.sigma, parameters.wing_width * exact_sqrt_floor_q38(max(s.a + (s.b * s.sigma >> 38),
        0))) for s in (reading.svi for reading in readings)
    ]
    forward = integers([reading.forward for reading in readings])
    expiry = integers([keys.index((u, e)) for u, e, _, _ in instruments])
    strikes = integers([strike for _, _, strike, _ in instruments])
    is_call = np.array([right for *_, right in instruments], dtype=np.bool_)
    scenarios, count = parameters.scenarios, len(instruments)
    prices = np.empty((count, len(parameters.steps_ms) * len(scenarios)), np.int64)
    marks, gamma, vega = (np.empty(count, np.int64) for _ in range(3))
    concentration = parameters.concentration
    fill_prices(
        expiry, strikes, is_call, forward, integers([exact_ln_q38(reading.forward) for reading in readings]),
        integers(surfaces), integers([(s.linear_cap, s.absolute_cap, s.width) for s in skews]), integers([[(t.root,
        t.vol_up, t.vol_down, t.total_vol_floor) for t in row] for row in terms]),
        integers([compute_shocked_forwards(parameters, r, shocks[u]) for r, (u, _) in zip(readings, keys,
        strict=True)]), integers([scenario.vol for scenario in scenarios]), concentration.move_q38 if concentration
        else 0, parameters.vol_range.up_q38, prices, marks, gamma, vega,
    )  # fmt: skip
    charges = parameters.contingencies
    return RiskArrays(
        expiry=expiry,
        strike_group=number_strikes(instruments),
        prices=prices,
        marks=marks,
        gamma=gamma,
        vega=vega,
        underlying_of=integers([u for u, _ in keys]),
        forward=forward,
        discounts=integers([[(t.long_discount, t.short_discount) for t in row] for row in terms]),
        plain_discount=integers([row[0].discount for row in terms]),
        basis_factor=integers(
            [
                charges.basis_add_q38 + (charges.basis_multiple_q38 * years_floor_q38(reading.time_ms) >> 38)
                for reading in readings
            ]
        ),
        confidence=integers([reading.confidence_q38 for reading in readings]),
        moves=integers([[shock.factor_q38 - ONE_Q38 for shock in row] for row in shocks]),
        spot=integers([underlying.spot for underlying in market.underlyings]),
        spot_confidence=integers([underlying.spot_confidence_q38 for underlying in market.underlyings]),
        mark_confidence=integers([underlying.mark_confidence_q38 for underlying in market.underlyings]),
        weight=integers([scenario.weight_q38 for scenario in scenarios]),
        is_skew=np.array([scenario.vol >= VolShock.LINEAR_SKEW for scenario in scenarios]),
        counts=np.array([scenario.counts for scenario in scenarios]),
        rules=integers([getattr(charges, name) for name in RULES] + compute_factors(parameters, market)),
    )


def compute_factors(parameters: Parameters, market: Market) -> list[int]:
    """Loss factors of maintenance and initial, then concentration's thresholds and fractions, which never bind if
    absent.
    """
    charges, concentration = parameters.contingencies, parameters.concentration
    peg_gap = max(charges.peg_threshold_q38 - market.stable_q38, 0)
    factors = [
        parameters.maintenance_factor_q38,
        parameters.initial_factor_q38 + (peg_gap * charges.peg_factor_q38 >> 38),
    ]
    if concentration is None:
        return [*factors, 0, 0, 0, 0]
    c = concentration
    return [*factors, c.gamma_threshold, c.gamma_fraction_q38, c.vega_threshold, c.vega_fraction_q38]


def make_book(
    parameters: Parameters, market: Market, instruments: Sequence[Instrument], portfolios: Sequence[Portfolio]
) -> Book:
    """Lay accounts out. Every option of theirs is among the instruments."""
    index = {instrument: row for row, instrument in enumerate(instruments)}
    starts, rows, quantities = [0], [], []
    linear, base, charges = [], [], []
    for portfolio in portfolios:
        for option in portfolio.options:
            rows.append(index[option.underlying, option.expiry, option.strike, option.is_call])
            quantities.append(option.quantity)
        starts.append(len(rows))
        values = [value_collateral_floor(c.value, market.stable_q38) for c in portfolio.collateral]
        linear.append(
            [
                portfolio.perpetuals[u] * underlying.mark
                + sum(v for v, c in zip(values, portfolio.collateral, strict=True) if c.follows == u)
                for u, underlying in enumerate(market.underlyings)
            ]
        )
        base.append(portfolio.cash + sum(values))
        bare = Portfolio(portfolio.cash, portfolio.perpetuals, (), portfolio.collateral)
        own = compute_charges(parameters, market, bare)
        charges.append((own.maintenance, own.initial))
    return Book(
        starts=integers(starts),
        instruments=integers(rows),
        quantities=integers(quantities),
        linear=integers(linear),
        holds=np.array([[quantity != 0 for quantity in portfolio.perpetuals] for portfolio in portfolios]),
        base=integers(base),
        charges=integers(charges),
    )


def integers(values: Sequence[object]) -> Integers:
    """As int64; what does not fit raises OverflowError."""
    return np.array(values, dtype=np.int64)


def number_strikes(instruments: Sequence[Instrument]) -> Integers:
    """The same number for call and put of one strike, which are neighbours."""
    groups: list[int] = []
    for row, (*strike, _) in enumerate(instruments):
        is_same = row > 0 and list(instruments[row - 1][:3]) == strike
        groups.append(groups[-1] if is_same else row)
    return integers(groups)


def fits(arrays: RiskArrays, book: Book) -> bool:
    """Whether no sum of the pass can leave int64: a bound from each account's gross quantity and the dearest price."""
    if len(book.quantities) == 0:
        return True
    dearest = int(max(arrays.prices.max(), arrays.forward.max(), arrays.spot.max()))
    totals = np.concatenate([[0], np.cumsum(np.abs(book.quantities).astype(object))])
    gross = max(int(totals[b] - totals[a]) for a, b in zip(book.starts[:-1], book.starts[1:], strict=True))
    widest = max(int(np.abs(book.linear).max()), int(np.abs(book.base).max()), int(book.charges.max()))
    return gross * dearest + widest * OPTIONS_MAX < 1 << SUM_BITS


@compiled
def fill_prices(
    expiry: Integers,
    strikes: Integers,
    is_call: Flags,
    forward: Integers,
    ln_forward: Integers,
    surfaces: Integers,
    skews: Integers,
    terms: Integers,
    shocked: Integers,
    kinds: Integers,
    move_q38: Integer,
    up_q38: Integer,
    prices: Integers,
    marks: Integers,
    gamma: Integers,
    vega: Integers,
) -> None:
    """The twin of scenarios.compute_expiry_values and concentration.compute_exposures for a lot of each instrument."""
    steps = terms.shape[1]
    vols = np.empty((steps, 5), np.int64)
    move_squared = multiply_shift(move_q38, move_q38, 38)
    for row in range(expiry.shape[0]):
        e, strike = expiry[row], strikes[row]
        ln_strike = ln_q38(strike)
        log_strike = ln_strike - ln_forward[e]
        base = fill_vols(surfaces[e], skews[e], terms[e], log_strike, vols)
        marks[row] = price_floor(
            forward[e], strike, saturate(ln_forward[e] - ln_strike + 128 >> 8), vols[0, 0], is_call[row]
        )
        for scenario in range(kinds.shape[0]):
            x = saturate(shocked[e, scenario, 1] - ln_strike + 128 >> 8)
            for step in range(steps):
                prices[row, step * kinds.shape[0] + scenario] = price_floor(
                    shocked[e, scenario, 0], strike, x, vols[step, kinds[scenario]], is_call[row]
                )
        total_vol = min(max(base, TOTAL_VOL_MIN_Q38), TOTAL_VOL_MAX_Q38)
        quotient = shift_divide(abs(log_strike), 20, 11, total_vol)
        d1 = (quotient if log_strike <= 0 else -quotient) + (total_vol >> 8)
        density = density_q38(min(abs(d1), TABLE_LAST))
        gamma[row] = multiply_shift(shift_divide(density, 24, 14, total_vol), move_squared, 39)
        vega[row] = multiply_shift(multiply_shift(density, total_vol, 38), up_q38, 38)


TOTAL_VOL_MAX_Q38 = 12 << 38
LOG_MONEYNESS_MAX = (8 << 30) - 1
TOTAL_VOL_MAX = 12 << 30


@inlined
def saturate(x: Integer) -> Integer:
    """x within the kernel's domain."""
    return max(min(x, LOG_MONEYNESS_MAX), -LOG_MONEYNESS_MAX)


@compiled
def fill_vols(
    surface: Integers, skew: Integers, terms: Integers, log_strike: Integer, vols: Integers
) -> Integer:
    """The twin of scenarios.compute_total_vols_q30; returns today's unshocked v in Q38."""
    k = max(min(log_strike, surface[5]), -surface[5])
    reading = sqrt_floor_q38(total_variance_q38(surface[0], surface[1], surface[2], surface[3], surface[4], k))
    distance = shift_divide(abs(log_strike), 16, 22, skew[2])
    linear = min(multiply_shift(skew[0], distance, 38), skew[0])
    linear = max(ONE + (linear if log_strike >= 0 else -linear), 0)
    absolute = max(ONE + min(multiply_shift(skew[1], distance, 38), skew[1]), 0)
    for step in range(terms.shape[0]):
        base = multiply_shift(reading, terms[step, 0], 38)
        vols[step, 0] = base
        vols[step, 1] = max(multiply_shift(base, terms[step, 1], 38), terms[step, 3])
        vols[step, 2] = multiply_shift(base, terms[step, 2], 38)
        vols[step, 3] = multiply_shift(base, linear, 38)
        vols[step, 4] = multiply_shift(base, absolute, 38)
        for kind in range(5):
            vols[step, kind] = min(vols[step, kind] + 128 >> 8, TOTAL_VOL_MAX)
    return multiply_shift(reading, terms[0, 0], 38)


@inlined
def multiply_floor(value: Integer, fraction_q38: Integer, high_half: Integer, low_half: Integer) -> Integer:
    """value * fraction for a fraction up to 1, in int64 alone.

    The value's low 38 bits meet the fraction's two halves of 19; nested floors are the floor of the whole.
    """
    low = value & (1 << 38) - 1
    return (value >> 38) * fraction_q38 + (low * high_half + (low * low_half >> 19) >> 19)


@inlined
def multiply_ceil(value: Integer, fraction_q38: Integer) -> Integer:
    """As margin.multiply_ceil_q38."""
    return -multiply_shift(-value, fraction_q38, 38)


@compiled
def compute_margins(arrays: RiskArrays, book: Book, out: Integers) -> None:
    """Equity, initial and maintenance surplus of every account, as the columns of `out`."""
    width, count = arrays.prices.shape[1], arrays.weight.shape[0]
    underlyings = arrays.spot.shape[0]
    values = np.empty(width, np.int64)
    pnl = np.empty((underlyings, width), np.int64)
    basis = np.empty(underlyings, np.int64)
    for account in range(book.starts.shape[0] - 1):
        pnl[:] = 0
        basis[:] = 0
        mark = 0
        row, end = book.starts[account], book.starts[account + 1]
        while row < end:
            expiry = arrays.expiry[book.instruments[row]]
            underlying = arrays.underlying_of[expiry]
            undiscounted = 0
            is_first = True  # sets the values, which the others add to
            while row < end and arrays.expiry[book.instruments[row]] == expiry:
                quantity, prices = book.quantities[row], arrays.prices[book.instruments[row]]
                if is_first:
                    for column in range(width):
                        values[column] = quantity * prices[column]
                    is_first = False
                else:
                    for column in range(width):
                        values[column] += quantity * prices[column]
                undiscounted += quantity * arrays.marks[book.instruments[row]]
                row += 1
            own_mark = multiply_shift(undiscounted, arrays.plain_discount[expiry], 38)
            mark += own_mark
            basis[underlying] += basis_of(arrays, values, expiry, own_mark)
            add_pnl(arrays, values, expiry, own_mark, count, pnl[underlying])
        loss = 0
        for underlying in range(underlyings):
            linear = book.linear[account, underlying]
            loss += loss_of(arrays, pnl[underlying], arrays.moves[underlying], linear, basis[underlying], count)
        maintenance, initial = charge_options(arrays, book, account)
        maintenance += book.charges[account, 0]
        initial += book.charges[account, 1] + maintenance
        equity = book.base[account] + mark
        out[account, 0] = equity
        out[account, 1] = equity - multiply_ceil(loss, arrays.rules[7]) - initial
        out[account, 2] = equity - multiply_ceil(loss, arrays.rules[6]) - maintenance


@compiled
def basis_of(arrays: RiskArrays, values: Integers, expiry: Integer, mark: Integer) -> Integer:
    """The basis contingency of one expiry."""
    worst = 0
    for place in range(4, 6):
        if arrays.rules[place] >= 0:
            move = multiply_shift(values[arrays.rules[place]], arrays.plain_discount[expiry], 38) - mark
            worst = min(worst, move)
    return multiply_shift(worst, arrays.basis_factor[expiry], 38)


@compiled
def add_pnl(
    arrays: RiskArrays, values: Integers, expiry: Integer, mark: Integer, count: Integer, pnl: Integers
) -> None:
    """Discount one expiry's values by sign and add its P&L, by step and scenario."""
    for step in range(arrays.discounts.shape[1]):
        long, short = arrays.discounts[expiry, step, 0], arrays.discounts[expiry, step, 1]
        long_high, long_low = long >> 19, long & HALF_MASK
        short_high, short_low = short >> 19, short & HALF_MASK
        first = step * count
        # A branch, and int64 alone: what the compiler makes of it is twice as fast as wide products or vectors.
        for scenario in range(count):
            value = values[first + scenario]
            if value > 0:
                change = multiply_floor(value, long, long_high, long_low) - mark
            else:
                change = multiply_floor(value, short, short_high, short_low) - mark
            if arrays.is_skew[scenario]:
                change = -abs(change)
            pnl[first + scenario] += change


@compiled
def loss_of(
    arrays: RiskArrays, pnl: Integers, moves: Integers, linear: Integer, basis: Integer, count: Integer
) -> Integer:
    """The scenario loss of one underlying: the worst step of the worst scenario, or the basis."""
    least = min(basis, 0)
    for scenario in range(count):
        total = pnl[scenario]
        for step in range(1, pnl.shape[0] // count):
            total = min(total, pnl[step * count + scenario])
        total += multiply_shift(linear, moves[scenario], 38)
        if arrays.counts[scenario]:
            least = min(least, multiply_shift(total, arrays.weight[scenario], 38))
    return -least


@compiled
def charge_options(arrays: RiskArrays, book: Book, account: Integer) -> tuple[Integer, Integer]:
    """(maintenance, initial) contingencies that come from options: naked shorts, thin confidence, concentration."""
    rules = arrays.rules
    naked: Integer = 0
    oracle: Integer = 0
    concentration: Integer = 0
    gamma: Integer = 0
    vega: Integer = 0
    net: Integer = 0
    row, end = book.starts[account], book.starts[account + 1]
    while row < end:
        instrument = book.instruments[row]
        quantity = book.quantities[row]
        expiry = arrays.expiry[instrument]
        underlying = arrays.underlying_of[expiry]
        confidence = min(arrays.spot_confidence[underlying], arrays.confidence[expiry])
        if book.holds[account, underlying]:
            confidence = min(confidence, arrays.mark_confidence[underlying])
        if confidence < rules[2]:
            missing = multiply_ceil(abs(quantity) * arrays.spot[underlying], ONE - confidence)
            oracle += multiply_ceil(missing, rules[3])
        net += quantity
        gamma += multiply_shift(quantity * arrays.forward[expiry], arrays.gamma[instrument], 38)
        vega += multiply_shift(quantity * arrays.forward[expiry], arrays.vega[instrument], 38)
        row += 1
        following = book.instruments[row] if row < end else -1
        if following < 0 or arrays.strike_group[following] != arrays.strike_group[instrument]:
            naked += max(-net, 0) * arrays.spot[underlying]
            net = 0
        if following < 0 or arrays.underlying_of[arrays.expiry[following]] != underlying:
            concentration += multiply_ceil(max(-gamma - rules[8], 0), rules[9])
            concentration += multiply_ceil(max(abs(vega) - rules[10], 0), rules[11])
            gamma = vega = 0
    return multiply_ceil(naked, rules[0]) + concentration, multiply_ceil(naked, rules[1]) + oracle


@compiled
def sum_scenarios(
    starts: Integers, instruments: Integers, quantities: Integers, prices: Integers, out: Integers
) -> None:
    """The plain grid: every account's worst sum of quantity times P&L, no discounts, no contingencies."""
    values = np.empty(prices.shape[1], np.int64)
    for account in range(starts.shape[0] - 1):
        values[:] = 0
        for row in range(starts[account], starts[account + 1]):
            quantity, line = quantities[row], prices[instruments[row]]
            for column in range(prices.shape[1]):
                values[column] += quantity * line[column]
        out[account] = values.min()

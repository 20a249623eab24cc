# pragma version 0.4.3
"""
@title Scenario risk of one underlying
@notice Mark and worst loss of an account's options, perpetual and collateral on one underlying, before and after an op.
@dev Mirrors risk/scenarios.py, risk/margin.py (compute_underlying_risk) and risk/offsets.py; the revaluation itself is
     risk_scenarios.vy's. Per-expiry terms are computed here, since their exponentials do not fit beside the normal
     tables under EIP-170. A word of lanes is after * 2^128 + before: the account with and without the legs of an op.
     Arithmetic is unsafe_* because inside the bounds of risk/SPEC.md section 2 no check could fail: sums stay below
     2^115, factors below 2^62. Divisions have a non-negative numerator and a positive denominator. A failed sub-call
     reverts: a bad witness, not a verdict.
"""

import risk_exponential
import risk_logarithm

initializes: risk_exponential
initializes: risk_logarithm

ONE_Q38: constant(int256) = 2**38
LN_2_Q38: constant(int256) = 190_530_846_196
YEAR_MS: constant(int256) = 31_536_000_000
EXP_ARGUMENT_MAX_Q38: constant(int256) = 16 * 2**38

SCENARIOS_MAX: constant(uint256) = 32
OPTIONS_MAX: constant(uint256) = 68
EXPIRIES_MAX: constant(uint256) = 24
MASK_8: constant(int256) = 2**8 - 1
MASK_56: constant(int256) = 2**56 - 1
LINEAR_SKEW: constant(int256) = 3

# risk/parameters.py's Scenario; `kind` is its vol shock.
struct Scenario:
    spot_move: int256
    kind: int256
    weight: int256
    is_scaled: bool
    counts: bool

# The fields of risk/parameters.py's Parameters that scenarios need, in its order. `later_ms` is the second step.
struct Rules:
    vol_up: int256
    vol_down: int256
    vol_floor: int256
    short_power: int256
    long_power: int256
    tenor_floor_ms: int256
    linear_cap: int256
    linear_slope: int256
    absolute_cap: int256
    absolute_slope: int256
    width_floor: int256
    width_scale: int256
    width_vol: int256
    width_vol_slope: int256
    long_factor: int256
    long_multiple: int256
    long_spread: int256
    short_factor: int256
    short_multiple: int256
    short_spread: int256
    basis_up: int256
    basis_down: int256
    basis_add: int256
    basis_multiple: int256
    later_ms: int256
    wing_width: int256
    settlement_window_ms: int256
    reference_tenor_ms: int256

# risk/market.py's Expiry, and how many of the options are its own.
struct Reading:
    time_ms: int256
    forward: int256
    fixed: int256
    rate: int256
    a: int256
    b: int256
    rho: int256
    m: int256
    sigma: int256
    svi_time_ms: int256
    option_count: uint256

struct Terms:
    root: int256
    vol_up: int256
    vol_down: int256
    total_vol_floor: int256

struct Discounts:
    plain: int256
    long: int256
    short: int256

struct Expiry:
    forward: int256
    fixed: int256
    ln_forward: int256
    a: int256
    b: int256
    rho: int256
    m: int256
    sigma: int256
    wing: int256
    linear_cap: int256
    absolute_cap: int256
    width: int256

# Both lanes' marks and basis contingencies, and lanes of P&L by scenario, today and later.
struct Sums:
    mark: int256
    mark_after: int256
    basis: int256
    basis_after: int256
    pnl: int256[SCENARIOS_MAX]
    pnl_later: int256[SCENARIOS_MAX]

interface Scenarios:
    def compute_expiry_values(
        expiry: Expiry,
        today: Terms,
        later: Terms,
        shocks: DynArray[int256, SCENARIOS_MAX],
        options: DynArray[int256, OPTIONS_MAX],
        quantities: DynArray[int256, OPTIONS_MAX],
    ) -> (int256, int256[SCENARIOS_MAX], int256[SCENARIOS_MAX]): view

SCENARIOS: immutable(Scenarios)


@deploy
def __init__(scenarios: address, ln: int256[64], exp: int256[32]):
    SCENARIOS = Scenarios(scenarios)
    risk_logarithm.__init__(ln)
    risk_exponential.__init__(exp)


@external
@view
def compute_underlying_risk(
    rules: Rules,
    scenarios: DynArray[Scenario, SCENARIOS_MAX],
    spot_unit: int256,
    linear: int256[2],
    readings: DynArray[Reading, EXPIRIES_MAX],
    options: DynArray[int256, OPTIONS_MAX],
    quantities: DynArray[int256, OPTIONS_MAX],
) -> (int256[2], int256[2]):
    """
    @notice Marks and losses of both lanes, in quote units; a loss is not negative.
    @param linear perpetual lots * mark + collateral that follows, by lane.
    @param options by expiry and strike: strike * 2 | is_call; `quantities` are lanes.
    """
    shocks: DynArray[int256, SCENARIOS_MAX] = self._compute_shocks(scenarios, spot_unit)
    sums: Sums = empty(Sums)
    first: uint256 = 0
    for reading: Reading in readings:
        own: DynArray[int256, OPTIONS_MAX] = []
        held: DynArray[int256, OPTIONS_MAX] = []
        for i: uint256 in range(reading.option_count, bound=OPTIONS_MAX):
            own.append(options[first])
            held.append(quantities[first])
            first = unsafe_add(first, 1)
        sums = self._add_expiry(sums, rules, reading, shocks, own, held)
    assert first == len(options) and first == len(quantities)  # every option belongs to one reading
    return [sums.mark, sums.mark_after], self._compute_losses(scenarios, shocks, linear, sums)


@external
@view
def combine_losses_ceil(losses: DynArray[int256, 8], correlations: DynArray[int256[8], 8]) -> int256:
    """
    @notice What the losses of several underlyings come to together.
    @dev Mirrors offsets.combine_losses_ceil; losses stay below 2^115, so the form stays below 2^244 + 2^248.
    """
    form: int256 = 0
    i: uint256 = 0
    for loss: int256 in losses:
        row: int256[8] = correlations[i]
        weighted: int256 = 0
        j: uint256 = 0
        for other: int256 in losses:
            weighted = unsafe_add(weighted, unsafe_mul(other, row[j]))
            j = unsafe_add(j, 1)
        form = unsafe_add(form, unsafe_mul(loss, weighted))
        i = unsafe_add(i, 1)
    square: int256 = unsafe_sub(0, unsafe_sub(0, form) >> 38)  # rounded up
    if square == 0:
        return 0
    return unsafe_add(convert(isqrt(convert(unsafe_sub(square, 1), uint256)), int256), 1)


@internal
@view
def _compute_shocks(
    scenarios: DynArray[Scenario, SCENARIOS_MAX], spot_unit: int256
) -> DynArray[int256, SCENARIOS_MAX]:
    """
    @dev Mirrors scenarios.compute_shocks, in the words of risk_scenarios.vy.
    """
    shocks: DynArray[int256, SCENARIOS_MAX] = []
    factor: int256 = ONE_Q38
    ln_factor: int256 = 0
    for scenario: Scenario in scenarios:
        move: int256 = scenario.spot_move
        if scenario.is_scaled:
            move = unsafe_mul(spot_unit, move) >> 38
        move = max(unsafe_add(ONE_Q38, move), ONE_Q38 >> 8)
        if move != factor:  # a grid lists the vols of one move together
            factor = move
            ln_factor = unsafe_add(unsafe_sub(risk_logarithm._ln_q38(factor), 38 * LN_2_Q38), 128) >> 8
        shocks.append((factor << 64) | ((ln_factor & MASK_56) << 8) | scenario.kind)
    return shocks


@internal
@view
def _compute_expiry(rules: Rules, reading: Reading) -> Expiry:
    """
    @dev Mirrors scenarios.compute_skew_terms, svi.clamp_to_wings_q38's bound, and the window's choice of what is fixed.
    """
    root: int256 = risk_logarithm._sqrt_years_floor_q38(reading.time_ms)
    width_vol: int256 = unsafe_add(rules.width_vol, unsafe_mul(rules.width_vol_slope, root) >> 38)
    width: int256 = unsafe_mul(unsafe_mul(rules.width_scale, root) >> 38, width_vol) >> 38
    deviation: int256 = risk_logarithm._sqrt_floor_q38(
        max(unsafe_add(reading.a, unsafe_mul(reading.b, reading.sigma) >> 38), 0)
    )
    fixed: int256 = 0
    if reading.time_ms < rules.settlement_window_ms:
        fixed = reading.fixed
    return Expiry(
        forward=reading.forward,
        fixed=fixed,
        ln_forward=risk_logarithm._ln_q38(reading.forward),
        a=reading.a,
        b=reading.b,
        rho=reading.rho,
        m=reading.m,
        sigma=reading.sigma,
        wing=unsafe_mul(rules.wing_width, deviation),
        linear_cap=unsafe_add(rules.linear_cap, unsafe_mul(rules.linear_slope, root) >> 38),
        absolute_cap=unsafe_add(rules.absolute_cap, unsafe_mul(rules.absolute_slope, root) >> 38),
        width=max(max(width, rules.width_floor), 1),
    )


@internal
@view
def _compute_terms(rules: Rules, reading: Reading, step_ms: int256) -> (Terms, Discounts):
    """
    @dev Mirrors scenarios.compute_terms.
    """
    time_ms: int256 = max(unsafe_sub(reading.time_ms, step_ms), 0)
    root_years: int256 = risk_logarithm._sqrt_years_floor_q38(time_ms)
    tenor: int256 = max(max(time_ms, rules.tenor_floor_ms), 1)
    power: int256 = rules.long_power
    if time_ms <= rules.reference_tenor_ms:
        power = rules.short_power
    exponent: int256 = unsafe_mul(
        unsafe_sub(risk_logarithm._ln_q38(rules.reference_tenor_ms), risk_logarithm._ln_q38(tenor)), power
    ) >> 38
    scaling: int256 = risk_exponential._exp_q38(min(exponent, EXP_ARGUMENT_MAX_Q38))
    years: int256 = unsafe_div(time_ms << 38, YEAR_MS)
    rate: int256 = max(reading.rate, 0)
    long_rate: int256 = unsafe_add(unsafe_add(rate, unsafe_mul(rate, rules.long_multiple) >> 38), rules.long_spread)
    short_rate: int256 = unsafe_sub(
        unsafe_sub(rate, unsafe_mul(rate, rules.short_multiple) >> 38), rules.short_spread
    )
    long_growth: int256 = self._exp_of_rate_q38(long_rate, years)
    short_growth: int256 = self._exp_of_rate_q38(short_rate, years)
    return (
        Terms(
            root=unsafe_div(root_years << 38, risk_logarithm._sqrt_years_floor_q38(reading.svi_time_ms)),
            vol_up=unsafe_add(ONE_Q38, unsafe_mul(rules.vol_up, scaling) >> 38),
            vol_down=max(unsafe_sub(ONE_Q38, unsafe_mul(rules.vol_down, scaling) >> 38), 0),
            total_vol_floor=unsafe_mul(rules.vol_floor, root_years) >> 38,
        ),
        Discounts(
            plain=self._exp_of_rate_q38(rate, years),
            long=min(unsafe_mul(rules.long_factor, long_growth) >> 38, ONE_Q38),
            short=min(unsafe_mul(rules.short_factor, short_growth) >> 38, ONE_Q38),
        ),
    )


@internal
@view
def _exp_of_rate_q38(rate: int256, years: int256) -> int256:
    """
    @dev e^(-rate * years), the exponent at most 16.
    """
    return risk_exponential._exp_q38(min(unsafe_mul(unsafe_sub(0, rate), years) >> 38, EXP_ARGUMENT_MAX_Q38))

@internal
@view
def _add_expiry(
    sums: Sums,
    rules: Rules,
    reading: Reading,
    shocks: DynArray[int256, SCENARIOS_MAX],
    options: DynArray[int256, OPTIONS_MAX],
    quantities: DynArray[int256, OPTIONS_MAX],
) -> Sums:
    """
    @dev Mirrors scenarios.compute_expiry_risk, and adds what it gives to the sums of the expiries before.
    """
    total: Sums = sums
    now_terms: Terms = empty(Terms)
    then_terms: Terms = empty(Terms)
    now: Discounts = empty(Discounts)
    then: Discounts = empty(Discounts)
    now_terms, now = self._compute_terms(rules, reading, 0)
    then_terms, then = self._compute_terms(rules, reading, rules.later_ms)
    undiscounted: int256 = 0
    values: int256[SCENARIOS_MAX] = empty(int256[SCENARIOS_MAX])
    values_later: int256[SCENARIOS_MAX] = empty(int256[SCENARIOS_MAX])
    undiscounted, values, values_later = staticcall SCENARIOS.compute_expiry_values(
        self._compute_expiry(rules, reading), now_terms, then_terms, shocks, options, quantities
    )
    before: int256 = (undiscounted << 128) >> 128
    mark: int256 = unsafe_mul(before, now.plain) >> 38
    mark_after: int256 = unsafe_mul(unsafe_sub(undiscounted, before) >> 128, now.plain) >> 38
    total.mark = unsafe_add(total.mark, mark)
    total.mark_after = unsafe_add(total.mark_after, mark_after)

    order: uint256 = 0
    for shock: int256 in shocks:
        is_skew: bool = shock & MASK_8 >= LINEAR_SKEW
        pnl: int256 = self._compute_pnl(values[order], now.long, now.short, mark, mark_after, is_skew)
        total.pnl[order] = unsafe_add(total.pnl[order], pnl)
        pnl = self._compute_pnl(values_later[order], then.long, then.short, mark, mark_after, is_skew)
        total.pnl_later[order] = unsafe_add(total.pnl_later[order], pnl)
        order = unsafe_add(order, 1)

    worst: int256 = 0
    worst_after: int256 = 0
    for index: int256 in [rules.basis_up, rules.basis_down]:
        if index >= 0:
            before = (values[index] << 128) >> 128
            after: int256 = unsafe_sub(values[index], before) >> 128
            worst = min(worst, unsafe_sub(unsafe_mul(before, now.plain) >> 38, mark))
            worst_after = min(worst_after, unsafe_sub(unsafe_mul(after, now.plain) >> 38, mark_after))
    years: int256 = unsafe_div(reading.time_ms << 38, YEAR_MS)
    factor: int256 = unsafe_add(rules.basis_add, unsafe_mul(rules.basis_multiple, years) >> 38)
    total.basis = unsafe_add(total.basis, unsafe_mul(worst, factor) >> 38)
    total.basis_after = unsafe_add(total.basis_after, unsafe_mul(worst_after, factor) >> 38)
    return total


@internal
@pure
def _compute_pnl(
    lanes: int256, long: int256, short: int256, mark: int256, mark_after: int256, is_skew: bool
) -> int256:
    """
    @dev An expiry's P&L in lanes. Long value takes the long discount, short value the short one; 0 is 0 under either.
    """
    gap: int256 = unsafe_sub(short, long)
    before: int256 = (lanes << 128) >> 128
    after: int256 = unsafe_sub(lanes, before) >> 128
    before = unsafe_sub(unsafe_mul(before, unsafe_add(long, gap & (before >> 255))) >> 38, mark)
    after = unsafe_sub(unsafe_mul(after, unsafe_add(long, gap & (after >> 255))) >> 38, mark_after)
    if is_skew:
        before = min(before, unsafe_sub(0, before))
        after = min(after, unsafe_sub(0, after))
    return unsafe_add(after << 128, before)


@internal
@view
def _compute_losses(
    scenarios: DynArray[Scenario, SCENARIOS_MAX],
    shocks: DynArray[int256, SCENARIOS_MAX],
    linear: int256[2],
    sums: Sums,
) -> int256[2]:
    """
    @dev Mirrors the end of margin.compute_underlying_risk: the worst step of each scenario, weighted, or the basis.
    """
    least: int256 = min(sums.basis, 0)
    least_after: int256 = min(sums.basis_after, 0)
    order: uint256 = 0
    for scenario: Scenario in scenarios:
        if scenario.counts:
            move: int256 = unsafe_sub(shocks[order] >> 64, ONE_Q38)
            word: int256 = sums.pnl[order]
            before: int256 = (word << 128) >> 128
            after: int256 = unsafe_sub(word, before) >> 128
            word = sums.pnl_later[order]
            before_later: int256 = (word << 128) >> 128
            before = unsafe_add(min(before, before_later), unsafe_mul(linear[0], move) >> 38)
            after = min(after, unsafe_sub(word, before_later) >> 128)
            after = unsafe_add(after, unsafe_mul(linear[1], move) >> 38)
            least = min(least, unsafe_mul(before, scenario.weight) >> 38)
            least_after = min(least_after, unsafe_mul(after, scenario.weight) >> 38)
        order = unsafe_add(order, 1)
    return [unsafe_sub(0, least), unsafe_sub(0, least_after)]

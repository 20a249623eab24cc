# pragma version 0.4.3
"""
@title Scenario risk of one underlying
@notice Mark, worst loss and size of an account's options, futures, perpetual and collateral on one underlying, before
        and after an op.
@dev Mirrors risk/scenarios.py (compute_terms, compute_shocks) and risk/margin.py (compute_underlying_risk,
     get_loss_under); the revaluation itself is risk_scenarios.vy's. Per-expiry terms are computed here, since their
     exponentials do not fit beside the normal tables under EIP-170. Pairs [before, after] are the account without and
     with what an op changes.
     Arithmetic is unsafe_* because inside the bounds of risk/SPEC.md section 2 no check could fail: sums stay below
     2^115, factors below 2^62. Divisions have a non-negative numerator and a positive denominator. A failed sub-call
     reverts: a bad witness, not a verdict.
"""

import risk_exponential
import risk_logarithm

initializes: risk_exponential
initializes: risk_logarithm

ONE_Q38: constant(int256) = 2**38
FACTOR_MIN_Q38: constant(int256) = 2**30
LN_2_Q38: constant(int256) = 190_530_846_196
YEAR_MS: constant(int256) = 31_536_000_000
EXP_ARGUMENT_MAX_Q38: constant(int256) = 16 * 2**38

SCENARIOS_MAX: constant(uint256) = 32
OPTIONS_MAX: constant(uint256) = 68
EXPIRIES_MAX: constant(uint256) = 28
READING_WORDS: constant(uint256) = 3
MASK_8: constant(int256) = 2**8 - 1
MASK_56: constant(int256) = 2**56 - 1
IS_BASIS: constant(int256) = 2**7
IS_SCALED: constant(int256) = 1
COUNTS_BEFORE: constant(int256) = 2
COUNTS_AFTER: constant(int256) = 4
OF_BASIS: constant(int256) = 8

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
    basis_add: int256
    basis_multiple: int256
    later_ms: int256
    wing_width: int256
    reference_tenor_ms: int256
    spot_deviations: int256
    spot_horizon_ms: int256
    spot_floor: int256
    spot_ceiling: int256

# risk/market.py's Expiry.
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

# risk/scenarios.py's Terms.
struct Terms:
    root: int256
    vol_up: int256
    vol_down: int256
    total_vol_floor: int256
    discount: int256
    long_discount: int256
    short_discount: int256

# As risk_scenarios.vy has it.
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
    root: int256
    vol_up: int256
    vol_down: int256
    total_vol_floor: int256
    root_later: int256
    vol_up_later: int256
    vol_down_later: int256
    total_vol_floor_later: int256
    discount: int256
    long_discount: int256
    short_discount: int256
    long_discount_later: int256
    short_discount_later: int256
    basis_factor: int256

# As risk_scenarios.vy gives it.
struct Sums:
    mark: int256[2]
    basis: int256[2]
    gamma: int256[2]
    vega: int256[2]
    pnl: int256[SCENARIOS_MAX]
    pnl_change: int256[SCENARIOS_MAX]

# What one underlying adds to an account, before and after; losses, by the scenarios and by the basis contingency, are
# not negative.
struct Risk:
    mark: int256[2]
    loss: int256[2]
    basis: int256[2]
    gamma: int256[2]
    vega: int256[2]

interface Scenarios:
    def add_expiry(
        sums: Sums, expiry: Expiry, shocks: DynArray[int256, SCENARIOS_MAX], options: DynArray[int256, OPTIONS_MAX]
    ) -> Sums: view

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
    scenarios: DynArray[int256, SCENARIOS_MAX],
    volatility: int256,
    linear: int256[2],
    readings: DynArray[uint256, READING_WORDS * EXPIRIES_MAX],
    options: DynArray[int256, OPTIONS_MAX],
) -> Risk:
    """
    @notice Marks, losses, and exposures to gamma and vega, in quote units.
    @param scenarios spot move, 64 bits signed | vol shock, 8 | weight, 64 | flags, 8:
           scaled, counts before, counts after, of the basis contingency.
    @param volatility Annual, at the money: the move of a scaled grid
    @param linear What moves with spot alone
    @param readings three words an expiry. As in its leaf: time, forward, rate and a; b, rho, m and sigma, 64 bits each.
           Then how many options are its own, what is fixed of the forward, the time left and that of the surface, in
           milliseconds, 64 bits each.
    @param options by expiry and strike, in the words of risk_scenarios.vy.
    """
    shocks: DynArray[int256, SCENARIOS_MAX] = self._compute_shocks(rules, scenarios, volatility)
    sums: Sums = empty(Sums)
    first: uint256 = 0
    ln_reference: int256 = risk_logarithm._ln_q38(rules.reference_tenor_ms)
    for i: uint256 in range(len(readings) // READING_WORDS, bound=EXPIRIES_MAX):
        terms: uint256 = readings[READING_WORDS * i + 2]
        own: DynArray[int256, OPTIONS_MAX] = []
        for j: uint256 in range(terms >> 192, bound=OPTIONS_MAX):
            own.append(options[first])
            first = unsafe_add(first, 1)
        if len(own) != 0:
            reading: Reading = self._decode_reading(
                readings[READING_WORDS * i], readings[READING_WORDS * i + 1], terms
            )
            sums = staticcall SCENARIOS.add_expiry(
                sums, self._compute_expiry(rules, reading, ln_reference), shocks, own
            )
    assert first == len(options)  # every option belongs to one reading
    return Risk(
        mark=sums.mark,
        loss=self._compute_losses(scenarios, shocks, linear, sums),
        basis=[unsafe_sub(0, sums.basis[0]), unsafe_sub(0, sums.basis[1])],
        gamma=[sums.gamma[0], unsafe_add(sums.gamma[0], sums.gamma[1])],
        vega=[sums.vega[0], unsafe_add(sums.vega[0], sums.vega[1])],
    )


@external
@view
def compute_linear_loss(
    rules: Rules, scenarios: DynArray[int256, SCENARIOS_MAX], volatility: int256, linear: int256[2]
) -> int256[2]:
    """
    @notice The losses of an underlying without options: those of all scenarios that count, before and after alike.
    @param scenarios As in the rules' leaf
    """
    unit: int256 = self._compute_unit(rules, volatility)
    least: int256 = 0
    least_after: int256 = 0
    for scenario: int256 in scenarios:
        if scenario & COUNTS_BEFORE != 0:
            move: int256 = (scenario << 112) >> 192
            if scenario & IS_SCALED != 0:
                move = unsafe_mul(unit, move) >> 38
            move = max(move, FACTOR_MIN_Q38 - ONE_Q38)
            weight: int256 = (scenario << 184) >> 192
            least = min(least, unsafe_mul(unsafe_mul(linear[0], move) >> 38, weight) >> 38)
            least_after = min(least_after, unsafe_mul(unsafe_mul(linear[1], move) >> 38, weight) >> 38)
    return [unsafe_sub(0, least), unsafe_sub(0, least_after)]


@internal
@pure
def _signed(field: uint256) -> int256:
    """
    @dev The two's complement number in the highest 64 bits.
    """
    return convert(convert(field, bytes32), int256) >> 192


@internal
@pure
def _decode_reading(head: uint256, shape: uint256, terms: uint256) -> Reading:
    return Reading(
        time_ms=self._signed(terms << 128),
        forward=self._signed(head << 64),
        fixed=self._signed(terms << 64),
        rate=self._signed(head << 128),
        a=self._signed(head << 192),
        b=self._signed(shape),
        rho=self._signed(shape << 64),
        m=self._signed(shape << 128),
        sigma=self._signed(shape << 192),
        svi_time_ms=self._signed(terms << 192),
    )


@internal
@pure
def _compute_unit(rules: Rules, volatility: int256) -> int256:
    """
    @dev Mirrors scenarios.compute_spot_unit_q38.
    """
    horizon: int256 = unsafe_mul(volatility, risk_logarithm._sqrt_years_floor_q38(rules.spot_horizon_ms)) >> 38
    unit: int256 = max(unsafe_mul(horizon, rules.spot_deviations) >> 38, rules.spot_floor)
    return min(unit, rules.spot_ceiling)


@internal
@view
def _compute_shocks(
    rules: Rules, scenarios: DynArray[int256, SCENARIOS_MAX], volatility: int256
) -> DynArray[int256, SCENARIOS_MAX]:
    """
    @dev Mirrors scenarios.compute_shocks, in the words of risk_scenarios.vy.
    """
    unit: int256 = self._compute_unit(rules, volatility)
    shocks: DynArray[int256, SCENARIOS_MAX] = []
    factor: int256 = 0
    shock: int256 = 0
    for scenario: int256 in scenarios:
        move: int256 = (scenario << 112) >> 192
        if scenario & IS_SCALED != 0:
            move = unsafe_mul(unit, move) >> 38
        move = max(unsafe_add(ONE_Q38, move), FACTOR_MIN_Q38)
        if move != factor:  # a grid lists the vols of one move together
            factor = move
            ln_factor: int256 = unsafe_sub(risk_logarithm._ln_q38(factor), 38 * LN_2_Q38)
            shock = (factor << 64) | (((unsafe_add(ln_factor, 128) >> 8) & MASK_56) << 8)
        kind: int256 = (scenario >> 72) & MASK_8
        if scenario & OF_BASIS != 0:
            kind = kind | IS_BASIS
        shocks.append(shock | kind)
    return shocks


@internal
@view
def _compute_expiry(rules: Rules, reading: Reading, ln_reference: int256) -> Expiry:
    """
    @dev Mirrors scenarios.compute_skew_terms, svi.clamp_to_wings_q38's bound, and both steps' Terms.
    """
    root: int256 = risk_logarithm._sqrt_years_floor_q38(reading.time_ms)
    root_reading: int256 = risk_logarithm._sqrt_years_floor_q38(reading.svi_time_ms)
    today: Terms = self._compute_terms(rules, reading.rate, reading.time_ms, root, root_reading, ln_reference)
    later: Terms = today
    if rules.later_ms != 0:
        time_ms: int256 = max(unsafe_sub(reading.time_ms, rules.later_ms), 0)
        root_later: int256 = risk_logarithm._sqrt_years_floor_q38(time_ms)
        later = self._compute_terms(rules, reading.rate, time_ms, root_later, root_reading, ln_reference)
    width_vol: int256 = unsafe_add(rules.width_vol, unsafe_mul(rules.width_vol_slope, root) >> 38)
    width: int256 = unsafe_mul(unsafe_mul(rules.width_scale, root) >> 38, width_vol) >> 38
    deviation: int256 = risk_logarithm._sqrt_floor_q38(
        max(unsafe_add(reading.a, unsafe_mul(reading.b, reading.sigma) >> 38), 0)
    )
    years: int256 = unsafe_div(reading.time_ms << 38, YEAR_MS)
    return Expiry(
        forward=reading.forward,
        fixed=reading.fixed,
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
        root=today.root,
        vol_up=today.vol_up,
        vol_down=today.vol_down,
        total_vol_floor=today.total_vol_floor,
        root_later=later.root,
        vol_up_later=later.vol_up,
        vol_down_later=later.vol_down,
        total_vol_floor_later=later.total_vol_floor,
        discount=today.discount,
        long_discount=today.long_discount,
        short_discount=today.short_discount,
        long_discount_later=later.long_discount,
        short_discount_later=later.short_discount,
        basis_factor=unsafe_add(rules.basis_add, unsafe_mul(rules.basis_multiple, years) >> 38),
    )


@internal
@view
def _compute_terms(
    rules: Rules, rate: int256, time_ms: int256, root_years: int256, root_reading: int256, ln_reference: int256
) -> Terms:
    """
    @dev Mirrors scenarios.compute_terms.
    """
    tenor: int256 = max(max(time_ms, rules.tenor_floor_ms), 1)
    power: int256 = rules.long_power
    if time_ms <= rules.reference_tenor_ms:
        power = rules.short_power
    exponent: int256 = unsafe_mul(unsafe_sub(ln_reference, risk_logarithm._ln_q38(tenor)), power) >> 38
    scaling: int256 = risk_exponential._exp_q38(min(exponent, EXP_ARGUMENT_MAX_Q38))
    years: int256 = unsafe_div(time_ms << 38, YEAR_MS)
    earned: int256 = max(rate, 0)
    long_rate: int256 = unsafe_add(
        unsafe_add(earned, unsafe_mul(earned, rules.long_multiple) >> 38), rules.long_spread
    )
    short_rate: int256 = unsafe_sub(
        unsafe_sub(earned, unsafe_mul(earned, rules.short_multiple) >> 38), rules.short_spread
    )
    long_growth: int256 = self._exp_of_rate_q38(long_rate, years)
    short_growth: int256 = self._exp_of_rate_q38(short_rate, years)
    return Terms(
        root=unsafe_div(root_years << 38, root_reading),
        vol_up=unsafe_add(ONE_Q38, unsafe_mul(rules.vol_up, scaling) >> 38),
        vol_down=max(unsafe_sub(ONE_Q38, unsafe_mul(rules.vol_down, scaling) >> 38), 0),
        total_vol_floor=unsafe_mul(rules.vol_floor, root_years) >> 38,
        discount=self._exp_of_rate_q38(earned, years),
        long_discount=min(unsafe_mul(rules.long_factor, long_growth) >> 38, ONE_Q38),
        short_discount=min(unsafe_mul(rules.short_factor, short_growth) >> 38, ONE_Q38),
    )


@internal
@view
def _exp_of_rate_q38(rate: int256, years: int256) -> int256:
    """
    @dev e^(-rate * years), the exponent at most 16.
    """
    return risk_exponential._exp_q38(min(unsafe_mul(unsafe_sub(0, rate), years) >> 38, EXP_ARGUMENT_MAX_Q38))


@internal
@pure
def _compute_losses(
    scenarios: DynArray[int256, SCENARIOS_MAX],
    shocks: DynArray[int256, SCENARIOS_MAX],
    linear: int256[2],
    sums: Sums,
) -> int256[2]:
    """
    @dev Mirrors margin.get_loss_under: the worst step of the worst scenario that counts, weighted.
    """
    least: int256 = 0
    least_after: int256 = 0
    order: uint256 = 0
    for scenario: int256 in scenarios:
        weight: int256 = (scenario << 184) >> 192
        move: int256 = unsafe_sub(shocks[order] >> 64, ONE_Q38)
        pair: int256 = sums.pnl[order]
        if scenario & COUNTS_BEFORE != 0:
            later: int256 = (pair << 128) >> 128
            pnl: int256 = unsafe_add(
                min(unsafe_sub(pair, later) >> 128, later), unsafe_mul(linear[0], move) >> 38
            )
            least = min(least, unsafe_mul(pnl, weight) >> 38)
        if scenario & COUNTS_AFTER != 0:
            pair = unsafe_add(pair, sums.pnl_change[order])
            later: int256 = (pair << 128) >> 128
            pnl: int256 = unsafe_add(
                min(unsafe_sub(pair, later) >> 128, later), unsafe_mul(linear[1], move) >> 38
            )
            least_after = min(least_after, unsafe_mul(pnl, weight) >> 38)
        order = unsafe_add(order, 1)
    return [unsafe_sub(0, least), unsafe_sub(0, least_after)]

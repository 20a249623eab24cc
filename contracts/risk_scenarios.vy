# pragma version 0.4.3
"""
@title Full revaluation of one expiry
@notice Undiscounted value of an expiry's options as marked and in every scenario, at each step of the time axis.
@dev Mirrors risk/scenarios.py: compute_expiry_values and what it calls. All a margin check costs beside witnesses is in
     here, so it is written for gas. A quantity is a pair of lanes, after * 2^128 + before: the account with and without
     the legs of an op is valued by one multiplication. BOUNDS (risk/SPEC.md section 2, checked where values enter the
     state): prices below 2^47, quantities below 2^56, 68 options; so a lane stays below 2^110 and cannot reach its
     neighbour, and no product has more than 244 bits. Hence unsafe_* throughout; nothing here reverts.
"""

import risk_logarithm

initializes: risk_logarithm

ONE_Q38: constant(int256) = 2**38
HALF_Q38: constant(int256) = 2**37
TAIL_Q31: constant(int256) = 13 * 2**30
LOG_MONEYNESS_MAX_Q30: constant(int256) = 8 * 2**30 - 1
TOTAL_VOL_MAX_Q30: constant(int256) = 12 * 2**30

MASK_8: constant(int256) = 2**8 - 1
MASK_23: constant(int256) = 2**23 - 1
MASK_25: constant(int256) = 2**25 - 1
MASK_28: constant(int256) = 2**28 - 1
MASK_34: constant(int256) = 2**34 - 1
MASK_40: constant(int256) = 2**40 - 1
MASK_64: constant(int256) = 2**64 - 1

SCENARIOS_MAX: constant(uint256) = 32
OPTIONS_MAX: constant(uint256) = 68
VOL_SHOCKS: constant(uint256) = 5

# risk/market.py's Expiry, with what is the same for all of its options: ln of the forward, the bound of k that
# clamp_to_wings_q38 works with, and the skew terms. `fixed` is 0 outside the settlement window.
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

# risk/scenarios.py's Terms, but for its discounts.
struct Terms:
    root: int256
    vol_up: int256
    vol_down: int256
    total_vol_floor: int256

NORMAL: immutable(int256[489])


@deploy
def __init__(normal: int256[489], ln: int256[64]):
    NORMAL = normal
    risk_logarithm.__init__(ln)


@external
@view
def compute_expiry_values(
    expiry: Expiry,
    today: Terms,
    later: Terms,
    shocks: DynArray[int256, SCENARIOS_MAX],
    options: DynArray[int256, OPTIONS_MAX],
    quantities: DynArray[int256, OPTIONS_MAX],
) -> (int256, int256[SCENARIOS_MAX], int256[SCENARIOS_MAX]):
    """
    @notice The mark, and the value in every scenario today and later, each in the lanes of the quantities.
    @param shocks factor in Q38 * 2^64 | logarithm in Q30, 56 bits signed | vol shock, 8 bits.
    @param options strike * 2 | is_call.
    """
    mark: int256 = 0
    values: int256[SCENARIOS_MAX] = empty(int256[SCENARIOS_MAX])
    values_later: int256[SCENARIOS_MAX] = empty(int256[SCENARIOS_MAX])
    scenarios: DynArray[int256, SCENARIOS_MAX] = self._compute_shocked_forwards(expiry, shocks)
    position: uint256 = 0
    for option: int256 in options:
        quantity: int256 = quantities[position]
        position = unsafe_add(position, 1)
        strike: int256 = option >> 1
        put: int256 = unsafe_sub(option & 1, 1)  # -1 for a put, 0 for a call
        ln_strike: int256 = risk_logarithm._ln_q38(strike)
        ln_less_half: int256 = unsafe_sub(ln_strike, 128)
        log_strike: int256 = unsafe_sub(ln_strike, expiry.ln_forward)
        vols: int256[VOL_SHOCKS] = self._compute_total_vols(expiry, today, later, log_strike)

        # The mark: no shock.
        gap: int256 = unsafe_sub(expiry.forward, strike)
        shortfall: int256 = gap & (gap >> 255)  # min(forward - strike, 0)
        distance: int256 = self._distance_q61(unsafe_sub(expiry.ln_forward, ln_strike))
        price: int256 = unsafe_mul(unsafe_add(strike, shortfall), self._otm_fraction_q38(distance, vols[0] >> 64)) >> 38
        price = unsafe_add(price, unsafe_sub(unsafe_sub(gap, shortfall), gap & put))
        mark = unsafe_add(mark, unsafe_mul(quantity, price))

        order: uint256 = 0
        for scenario: int256 in scenarios:
            gap = unsafe_sub(scenario >> 72, strike)
            shortfall = gap & (gap >> 255)
            smaller: int256 = unsafe_add(strike, shortfall)
            intrinsic: int256 = unsafe_sub(unsafe_sub(gap, shortfall), gap & put)
            # As _distance_q61, without two thousand calls, which would be 0.1 M gas.
            distance = unsafe_sub((scenario << 184) >> 192, ln_less_half) >> 8
            sign: int256 = distance >> 255
            distance = min(unsafe_sub(distance ^ sign, sign), LOG_MONEYNESS_MAX_Q30) << 31
            vol: int256 = vols[convert(convert(scenario & MASK_8, bytes32), uint256)]
            price = unsafe_add(intrinsic, unsafe_mul(smaller, self._otm_fraction_q38(distance, vol >> 64)) >> 38)
            values[order] = unsafe_add(values[order], unsafe_mul(quantity, price))
            price = unsafe_add(intrinsic, unsafe_mul(smaller, self._otm_fraction_q38(distance, vol & MASK_64)) >> 38)
            values_later[order] = unsafe_add(values_later[order], unsafe_mul(quantity, price))
            order = unsafe_add(order, 1)
    return mark, values, values_later


@internal
@view
def _compute_shocked_forwards(
    expiry: Expiry, shocks: DynArray[int256, SCENARIOS_MAX]
) -> DynArray[int256, SCENARIOS_MAX]:
    """
    @dev Mirrors scenarios.compute_shocked_forwards: forward * 2^72 | its logarithm in Q38, 64 bits signed | vol shock,
         8 bits.
    """
    scenarios: DynArray[int256, SCENARIOS_MAX] = []
    variable: int256 = unsafe_sub(expiry.forward, expiry.fixed)
    for shock: int256 in shocks:
        forward: int256 = unsafe_add(expiry.fixed, unsafe_mul(variable, shock >> 64) >> 38)
        ln_forward: int256 = 0
        if expiry.fixed != 0:
            ln_forward = risk_logarithm._ln_q38(forward)
        else:
            forward = max(forward, 1)
            ln_forward = unsafe_add(expiry.ln_forward, ((shock << 192) >> 200) << 8)
        scenarios.append((forward << 72) | ((ln_forward & MASK_64) << 8) | (shock & MASK_8))
    return scenarios


@internal
@view
def _compute_total_vols(expiry: Expiry, today: Terms, later: Terms, log_strike: int256) -> int256[VOL_SHOCKS]:
    """
    @dev Mirrors scenarios.compute_total_vols_q30: for each vol shock today's v * 2^64 | the later step's.
    """
    clamped: int256 = min(max(log_strike, unsafe_sub(0, expiry.wing)), expiry.wing)
    variance: int256 = risk_logarithm._total_variance_q38(
        expiry.a, expiry.b, expiry.rho, expiry.m, expiry.sigma, clamped
    )
    reading: int256 = risk_logarithm._sqrt_floor_q38(variance)
    base: int256 = unsafe_mul(reading, today.root) >> 38
    base_later: int256 = unsafe_mul(reading, later.root) >> 38

    # Both skews, as scenarios.compute_skews_q38 has them.
    sign: int256 = log_strike >> 255
    distance: int256 = unsafe_div(unsafe_sub(log_strike ^ sign, sign) << 38, expiry.width)
    linear: int256 = min(unsafe_mul(expiry.linear_cap, distance) >> 38, expiry.linear_cap)
    linear = max(unsafe_add(ONE_Q38, unsafe_sub(linear ^ sign, sign)), 0)
    absolute: int256 = min(unsafe_mul(expiry.absolute_cap, distance) >> 38, expiry.absolute_cap)
    absolute = max(unsafe_add(ONE_Q38, absolute), 0)
    return [
        self._pair_q30(base, base_later),
        self._pair_q30(
            max(unsafe_mul(base, today.vol_up) >> 38, today.total_vol_floor),
            max(unsafe_mul(base_later, later.vol_up) >> 38, later.total_vol_floor),
        ),
        self._pair_q30(unsafe_mul(base, today.vol_down) >> 38, unsafe_mul(base_later, later.vol_down) >> 38),
        self._pair_q30(unsafe_mul(base, linear) >> 38, unsafe_mul(base_later, linear) >> 38),
        self._pair_q30(unsafe_mul(base, absolute) >> 38, unsafe_mul(base_later, absolute) >> 38),
    ]


@internal
@pure
def _pair_q30(vol_q38: int256, later_q38: int256) -> int256:
    """
    @dev Two total vols, each nearest in Q30 and saturated, in one word.
    """
    return (min(unsafe_add(vol_q38, 128) >> 8, TOTAL_VOL_MAX_Q30) << 64) | min(
        unsafe_add(later_q38, 128) >> 8, TOTAL_VOL_MAX_Q30
    )


@internal
@pure
def _distance_q61(log_moneyness_q38: int256) -> int256:
    """
    @dev abs(x), x nearest in Q30 and saturated, times 2^31: the numerator of q.
    """
    x: int256 = unsafe_add(log_moneyness_q38, 128) >> 8
    sign: int256 = x >> 255
    return min(unsafe_sub(x ^ sign, sign), LOG_MONEYNESS_MAX_Q30) << 31


@internal
@view
def _otm_fraction_q38(distance_q61: int256, total_vol_q30: int256) -> int256:
    """
    @dev Mirrors black76.otm_fraction_q38, as risk_kernel.vy's call_price_floor does and explains.
    """
    quotient: int256 = unsafe_div(distance_q61, total_vol_q30)
    d: int256 = unsafe_sub(quotient, total_vol_q30)
    if d >= TAIL_Q31:
        return 0
    below: int256 = d >> 255
    d = unsafe_sub(d ^ below, below)
    word: int256 = NORMAL[convert(convert(d >> 25, bytes32), uint256)]
    d = d & MASK_25
    density: int256 = unsafe_add(
        word >> 209,
        unsafe_mul(
            unsafe_add(
                (word << 47) >> 223,
                unsafe_mul(unsafe_add((word << 80) >> 228, unsafe_mul((word << 108) >> 233, d) >> 25), d) >> 25,
            ),
            d,
        ) >> 25,
    )
    near: int256 = unsafe_sub(
        (word >> 85) & MASK_40,
        unsafe_mul(
            unsafe_sub(
                (word >> 51) & MASK_34,
                unsafe_mul(unsafe_sub((word >> 23) & MASK_28, unsafe_mul(word & MASK_23, d) >> 25), d) >> 25,
            ),
            d,
        ) >> 25,
    )
    d = unsafe_add(quotient, total_vol_q30)
    word = NORMAL[convert(convert(d >> 25, bytes32), uint256)]
    d = d & MASK_25
    far: int256 = unsafe_sub(
        (word >> 85) & MASK_40,
        unsafe_mul(
            unsafe_sub(
                (word >> 51) & MASK_34,
                unsafe_mul(unsafe_sub((word >> 23) & MASK_28, unsafe_mul(word & MASK_23, d) >> 25), d) >> 25,
            ),
            d,
        ) >> 25,
    )
    product: int256 = unsafe_mul(density, unsafe_sub(unsafe_sub(near ^ below, below), far))
    return unsafe_add(unsafe_add(product, HALF_Q38) >> 38, below & ONE_Q38)

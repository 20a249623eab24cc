# pragma version 0.4.3
"""
@title Full revaluation of the options of one expiry
@notice Mark, exposures, and profit and loss in every scenario at both steps of the time axis, before and after an op.
@dev Mirrors risk/scenarios.py: compute_expiry_risk and what it calls. Nearly all that a margin check costs beside its
     witness is in here, so it is written for gas. All that the price of an option needs in a scenario stands in one
     word, a row; there is a row for each vol shock. Two prices, today's * 2^128 + later's, are weighed by one
     multiplication: a pair. Puts are priced as calls, and parity is settled once a scenario, exactly. The cubics of the
     normal tables are written out where they are needed. BOUNDS (risk/SPEC.md section 2, checked where values enter the
     state): shocked prices below 2^47, quantities below 2^48, 68 options; so a lane stays below 2^102 and cannot reach
     its neighbour, and no product has more than 238 bits. Hence unsafe_* throughout; nothing here reverts.
"""

import risk_logarithm

initializes: risk_logarithm

ONE_Q38: constant(int256) = 2**38
HALF_Q38: constant(int256) = 2**37
TAIL_Q31: constant(int256) = 13 * 2**30
LOG_MONEYNESS_MAX_Q30: constant(int256) = 8 * 2**30 - 1
TOTAL_VOL_MAX_Q30: constant(int256) = 12 * 2**30
INVERSE_VOL_MAX_Q38: constant(int256) = 2**48
BOTH_STEPS: constant(int256) = 2**128 + 1

MASK_7: constant(int256) = 2**7 - 1
IS_BASIS: constant(int256) = 2**7
MASK_23: constant(int256) = 2**23 - 1
MASK_25: constant(int256) = 2**25 - 1
MASK_28: constant(int256) = 2**28 - 1
MASK_34: constant(int256) = 2**34 - 1
MASK_40: constant(int256) = 2**40 - 1
MASK_43: constant(int256) = 2**43 - 1
MASK_45: constant(int256) = 2**45 - 1

# What a row has in common with the word of its option: quantity, strike and change.
OPTION_OF_ROW: constant(int256) = -(2**161) + 2**50 - 1

SCENARIOS_MAX: constant(uint256) = 32
OPTIONS_MAX: constant(uint256) = 68
VOL_SHOCKS: constant(uint256) = 5
LINEAR_SKEW: constant(int256) = 3

# risk/market.py's Expiry with all that is the same for its options: ln of the forward, the bound of k that
# clamp_to_wings_q38 works with, skew terms, and risk/scenarios.py's Terms of both steps. `fixed` is 0 outside the
# settlement window.
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

# Sums over the options of one expiry, weighed with the quantities before the op, and with their changes.
struct Values:
    mark: int256[2]
    gamma: int256[2]
    vega: int256[2]
    put_quantity: int256[2]
    put_strikes: int256[2]
    is_changed: bool

# Sums over the expiries of an underlying. Marks and basis before and after the op; the rest before it, and what it
# changes. P&L is in pairs, by scenario.
struct Sums:
    mark: int256[2]
    basis: int256[2]
    gamma: int256[2]
    vega: int256[2]
    pnl: int256[SCENARIOS_MAX]
    pnl_change: int256[SCENARIOS_MAX]

NORMAL: immutable(int256[489])


@deploy
def __init__(normal: int256[489], ln: int256[64]):
    NORMAL = normal
    risk_logarithm.__init__(ln)


@external
@view
def add_expiry(
    sums: Sums, expiry: Expiry, shocks: DynArray[int256, SCENARIOS_MAX], options: DynArray[int256, OPTIONS_MAX]
) -> Sums:
    """
    @notice `sums`, and what the options of one more expiry come to.
    @param shocks factor in Q38 * 2^64 | logarithm in Q30, 56 bits signed | is_basis, 1 bit | vol shock, 7 bits.
    @param options quantity before, 50 bits signed | strike, 45 | is_call at bit 50 | its change, 50 bits signed.
    """
    total: Sums = sums
    values: Values = empty(Values)
    rows: DynArray[int256, OPTIONS_MAX][VOL_SHOCKS] = empty(DynArray[int256, OPTIONS_MAX][VOL_SHOCKS])
    for option: int256 in options:
        ln_strike: int256 = risk_logarithm._ln_q38((option >> 161) & MASK_45)
        vols: int256[VOL_SHOCKS] = self._compute_total_vols(expiry, unsafe_sub(ln_strike, expiry.ln_forward))
        values = self._add_mark(values, expiry, option, ln_strike, vols[0] >> 34)
        row: int256 = (option & OPTION_OF_ROW) | (ln_strike << 118)
        kind: uint256 = 0
        for vol: int256 in vols:
            rows[kind].append(row | (vol << 50))
            kind = unsafe_add(kind, 1)
    mark: int256 = unsafe_mul(values.mark[0], expiry.discount) >> 38
    mark_after: int256 = unsafe_mul(unsafe_add(values.mark[0], values.mark[1]), expiry.discount) >> 38
    long: int256 = expiry.long_discount
    gap: int256 = unsafe_sub(expiry.short_discount, long)
    long_later: int256 = expiry.long_discount_later
    gap_later: int256 = unsafe_sub(expiry.short_discount_later, long_later)
    basis: int256 = 0
    basis_after: int256 = 0
    variable: int256 = unsafe_sub(expiry.forward, expiry.fixed)
    ln_half: int256 = unsafe_add(expiry.ln_forward, 128)  # with the half unit of rounding to Q30
    order: uint256 = 0
    for shock: int256 in shocks:
        # Mirrors scenarios.compute_shocked_forwards.
        forward: int256 = unsafe_add(expiry.fixed, unsafe_mul(variable, shock >> 64) >> 38)
        ln_shocked: int256 = unsafe_add(ln_half, ((shock << 192) >> 200) << 8)
        if expiry.fixed != 0:
            ln_shocked = unsafe_add(risk_logarithm._ln_q38(forward), 128)
        elif forward == 0:
            forward = 1
        pair: int256 = 0
        change: int256 = 0
        kind: int256 = shock & MASK_7
        pair, change = self._weigh(
            rows[convert(convert(kind, bytes32), uint256)], forward, ln_shocked, values.is_changed
        )
        put: int256 = unsafe_sub(values.put_strikes[0], unsafe_mul(values.put_quantity[0], forward))
        pair = unsafe_add(pair, unsafe_mul(put, BOTH_STEPS))  # parity, since rows are calls
        if shock & IS_BASIS != 0:
            basis = min(basis, self._compute_move(pair, mark, expiry.discount))
        # What _compute_pnl does, written out: most expiries do not change.
        later: int256 = (pair << 128) >> 128
        today: int256 = unsafe_sub(pair, later) >> 128
        today = unsafe_sub(unsafe_mul(today, unsafe_add(long, gap & (today >> 255))) >> 38, mark)
        later = unsafe_sub(unsafe_mul(later, unsafe_add(long_later, gap_later & (later >> 255))) >> 38, mark)
        if kind >= LINEAR_SKEW:
            today = min(today, unsafe_sub(0, today))
            later = min(later, unsafe_sub(0, later))
        pnl: int256 = unsafe_add(today << 128, later)
        total.pnl[order] = unsafe_add(total.pnl[order], pnl)
        if values.is_changed:
            put = unsafe_sub(values.put_strikes[1], unsafe_mul(values.put_quantity[1], forward))
            pair = unsafe_add(unsafe_add(pair, change), unsafe_mul(put, BOTH_STEPS))
            if shock & IS_BASIS != 0:
                basis_after = min(basis_after, self._compute_move(pair, mark_after, expiry.discount))
            pnl = unsafe_sub(
                self._compute_pnl(pair, mark_after, long, gap, long_later, gap_later, kind), pnl
            )
            total.pnl_change[order] = unsafe_add(total.pnl_change[order], pnl)
        order = unsafe_add(order, 1)
    return self._add_values(total, values, expiry.basis_factor, [mark, mark_after], [basis, basis_after])


@internal
@pure
def _add_values(sums: Sums, values: Values, factor: int256, mark: int256[2], basis: int256[2]) -> Sums:
    """
    @notice `sums`, and what of an expiry is not of a scenario; `factor` is that of the basis contingency.
    """
    total: Sums = sums
    total.mark = [unsafe_add(total.mark[0], mark[0]), unsafe_add(total.mark[1], mark[1])]
    total.basis[0] = unsafe_add(total.basis[0], unsafe_mul(basis[0], factor) >> 38)
    after: int256 = basis[1] if values.is_changed else basis[0]
    total.basis[1] = unsafe_add(total.basis[1], unsafe_mul(after, factor) >> 38)
    total.gamma = [unsafe_add(total.gamma[0], values.gamma[0]), unsafe_add(total.gamma[1], values.gamma[1])]
    total.vega = [unsafe_add(total.vega[0], values.vega[0]), unsafe_add(total.vega[1], values.vega[1])]
    return total


@internal
@pure
def _compute_move(pair: int256, mark: int256, discount: int256) -> int256:
    """
    @dev What today's value of a pair, discounted as the mark is, differs from it.
    """
    today: int256 = unsafe_sub(pair, (pair << 128) >> 128) >> 128
    return unsafe_sub(unsafe_mul(today, discount) >> 38, mark)


@internal
@pure
def _compute_pnl(
    pair: int256, mark: int256, long: int256, gap: int256, long_later: int256, gap_later: int256, kind: int256
) -> int256:
    """
    @dev Mirrors the loop of scenarios.compute_expiry_risk: a pair of P&L. Long value takes the long discount; short
         value takes the short one, which is `gap` more; 0 is 0 under either.
    """
    later: int256 = (pair << 128) >> 128
    today: int256 = unsafe_sub(pair, later) >> 128
    today = unsafe_mul(today, unsafe_add(long, gap & (today >> 255))) >> 38
    today = unsafe_sub(today, mark)
    later = unsafe_mul(later, unsafe_add(long_later, gap_later & (later >> 255))) >> 38
    later = unsafe_sub(later, mark)
    if kind >= LINEAR_SKEW:
        today = min(today, unsafe_sub(0, today))
        later = min(later, unsafe_sub(0, later))
    return unsafe_add(today << 128, later)


@internal
@view
def _compute_total_vols(expiry: Expiry, log_strike: int256) -> int256[VOL_SHOCKS]:
    """
    @dev Mirrors scenarios.compute_total_vols_q30: for each vol shock today's v * 2^34 | the later step's.
    """
    clamped: int256 = min(max(log_strike, unsafe_sub(0, expiry.wing)), expiry.wing)
    variance: int256 = risk_logarithm._total_variance_q38(
        expiry.a, expiry.b, expiry.rho, expiry.m, expiry.sigma, clamped
    )
    reading: int256 = risk_logarithm._sqrt_floor_q38(variance)
    base: int256 = unsafe_mul(reading, expiry.root) >> 38
    base_later: int256 = unsafe_mul(reading, expiry.root_later) >> 38

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
            max(unsafe_mul(base, expiry.vol_up) >> 38, expiry.total_vol_floor),
            max(unsafe_mul(base_later, expiry.vol_up_later) >> 38, expiry.total_vol_floor_later),
        ),
        self._pair_q30(
            unsafe_mul(base, expiry.vol_down) >> 38, unsafe_mul(base_later, expiry.vol_down_later) >> 38
        ),
        self._pair_q30(unsafe_mul(base, linear) >> 38, unsafe_mul(base_later, linear) >> 38),
        self._pair_q30(unsafe_mul(base, absolute) >> 38, unsafe_mul(base_later, absolute) >> 38),
    ]


@internal
@pure
def _pair_q30(vol_q38: int256, later_q38: int256) -> int256:
    """
    @dev Two total vols, each nearest in Q30 and saturated, in one word.
    """
    return (min(unsafe_add(vol_q38, 128) >> 8, TOTAL_VOL_MAX_Q30) << 34) | min(
        unsafe_add(later_q38, 128) >> 8, TOTAL_VOL_MAX_Q30
    )


@internal
@view
def _add_mark(values: Values, expiry: Expiry, option: int256, ln_strike: int256, vol: int256) -> Values:
    """
    @dev Mirrors black76.price_floor without a shock, and concentration.compute_exposures_floor, which shares its
         density.
    """
    strike: int256 = (option >> 161) & MASK_45
    gap: int256 = unsafe_sub(expiry.forward, strike)
    shortfall: int256 = gap & (gap >> 255)  # min(forward - strike, 0)
    smaller: int256 = unsafe_add(strike, shortfall)
    is_put: bool = (option >> 50) & 1 == 0
    price: int256 = unsafe_sub(gap, shortfall)
    if is_put:
        price = unsafe_sub(0, shortfall)
    x: int256 = unsafe_add(unsafe_sub(expiry.ln_forward, ln_strike), 128) >> 8
    quotient: int256 = unsafe_div(min(max(x, unsafe_sub(0, x)), LOG_MONEYNESS_MAX_Q30) << 31, vol)
    d: int256 = unsafe_sub(quotient, vol)
    gamma: int256 = 0
    vega: int256 = 0
    if d < TAIL_Q31:
        below: int256 = d >> 255
        near: int256 = 0
        far: int256 = 0
        density: int256 = 0
        unused: int256 = 0
        near, density = self._mills_and_density(unsafe_sub(d ^ below, below))
        far, unused = self._mills_and_density(unsafe_add(quotient, vol))
        near = unsafe_sub(unsafe_sub(near ^ below, below), far)
        near = unsafe_add(unsafe_add(unsafe_mul(density, near), HALF_Q38) >> 38, below & ONE_Q38)
        price = unsafe_add(price, unsafe_mul(smaller, near) >> 38)
        # Without vol the EVM's quotient by 0 is 0, and so are both.
        gamma = unsafe_mul(smaller, min(unsafe_div(density << 30, vol), INVERSE_VOL_MAX_Q38)) >> 38
        vega = unsafe_mul(smaller, unsafe_mul(density, vol) >> 30) >> 38

    total: Values = values
    quantity: int256 = option >> 206
    for lane: uint256 in range(2):
        total.mark[lane] = unsafe_add(total.mark[lane], unsafe_mul(quantity, price))
        total.gamma[lane] = unsafe_add(total.gamma[lane], unsafe_mul(quantity, gamma))
        total.vega[lane] = unsafe_add(total.vega[lane], unsafe_mul(quantity, vega))
        if is_put:
            total.put_quantity[lane] = unsafe_add(total.put_quantity[lane], quantity)
            total.put_strikes[lane] = unsafe_add(total.put_strikes[lane], unsafe_mul(quantity, strike))
        quantity = (option << 206) >> 206
        if quantity == 0:
            return total
    total.is_changed = True
    return total


@internal
@view
def _mills_and_density(z_q31: int256) -> (int256, int256):
    """
    @dev Mirrors normal.mills_q38 and normal.density_q38. A row of the table holds phi in its four highest fields, the
         last three signed, and M in its four lowest.
    """
    word: int256 = NORMAL[convert(convert(z_q31 >> 25, bytes32), uint256)]
    t: int256 = z_q31 & MASK_25
    cubic: int256 = unsafe_mul(unsafe_sub((word >> 23) & MASK_28, unsafe_mul(word & MASK_23, t) >> 25), t) >> 25
    cubic = unsafe_mul(unsafe_sub((word >> 51) & MASK_34, cubic), t) >> 25
    mills: int256 = unsafe_sub((word >> 85) & MASK_40, cubic)
    cubic = unsafe_mul(unsafe_add((word << 80) >> 228, unsafe_mul((word << 108) >> 233, t) >> 25), t) >> 25
    return mills, unsafe_add(word >> 209, unsafe_mul(unsafe_add((word << 47) >> 223, cubic), t) >> 25)


@internal
@view
def _weigh(
    rows: DynArray[int256, OPTIONS_MAX], forward: int256, ln_half: int256, is_changed: bool
) -> (int256, int256):
    """
    @dev Mirrors the inner loop of scenarios.compute_expiry_values with black76.otm_fraction_q38: the pair of values of
         the quantities before, and that of their changes, all options taken for calls.
    """
    pair: int256 = 0
    change: int256 = 0
    for row: int256 in rows:
        smaller: int256 = (row >> 161) & MASK_45
        price: int256 = unsafe_sub(forward, smaller)
        below: int256 = price & (price >> 255)
        smaller = unsafe_add(smaller, below)
        price = unsafe_mul(unsafe_sub(price, below), BOTH_STEPS)
        distance: int256 = unsafe_sub(ln_half, (row >> 118) & MASK_43) >> 8
        below = distance >> 255
        distance = min(unsafe_sub(distance ^ below, below), LOG_MONEYNESS_MAX_Q30) << 31
        vol: int256 = (row >> 84) & MASK_34
        q: int256 = unsafe_div(distance, vol)
        d: int256 = unsafe_sub(q, vol)
        if d < TAIL_Q31:
            below = d >> 255
            d = unsafe_sub(d ^ below, below)
            q = unsafe_add(q, vol)
            near: int256 = NORMAL[convert(convert(d >> 25, bytes32), uint256)]
            far: int256 = NORMAL[convert(convert(q >> 25, bytes32), uint256)]
            d = d & MASK_25
            q = q & MASK_25
            # phi(d) * (M(d) - M(q + h)), where d < 0 with -M(-d); the cubics are those of _mills_and_density.
            far = unsafe_sub((far >> 85) & MASK_40, unsafe_mul(unsafe_sub((far >> 51) & MASK_34, unsafe_mul(unsafe_sub(
                (far >> 23) & MASK_28, unsafe_mul(far & MASK_23, q) >> 25), q) >> 25), q) >> 25)
            far = unsafe_mul(
                unsafe_add(near >> 209, unsafe_mul(unsafe_add((near << 47) >> 223, unsafe_mul(unsafe_add(
                    (near << 80) >> 228, unsafe_mul((near << 108) >> 233, d) >> 25), d) >> 25), d) >> 25),
                unsafe_sub(unsafe_sub((near >> 85) & MASK_40, unsafe_mul(unsafe_sub((near >> 51) & MASK_34, unsafe_mul(
                    unsafe_sub((near >> 23) & MASK_28, unsafe_mul(near & MASK_23, d) >> 25), d) >> 25), d) >> 25
                ) ^ below, unsafe_add(below, far)),
            )
            far = unsafe_mul(smaller, unsafe_add(unsafe_add(far, HALF_Q38) >> 38, below & ONE_Q38)) >> 38
            price = unsafe_add(price, far << 128)
        vol = (row >> 50) & MASK_34
        q = unsafe_div(distance, vol)
        d = unsafe_sub(q, vol)
        if d < TAIL_Q31:
            below = d >> 255
            d = unsafe_sub(d ^ below, below)
            q = unsafe_add(q, vol)
            near: int256 = NORMAL[convert(convert(d >> 25, bytes32), uint256)]
            far: int256 = NORMAL[convert(convert(q >> 25, bytes32), uint256)]
            d = d & MASK_25
            q = q & MASK_25
            # phi(d) * (M(d) - M(q + h)), where d < 0 with -M(-d); the cubics are those of _mills_and_density.
            far = unsafe_sub((far >> 85) & MASK_40, unsafe_mul(unsafe_sub((far >> 51) & MASK_34, unsafe_mul(unsafe_sub(
                (far >> 23) & MASK_28, unsafe_mul(far & MASK_23, q) >> 25), q) >> 25), q) >> 25)
            far = unsafe_mul(
                unsafe_add(near >> 209, unsafe_mul(unsafe_add((near << 47) >> 223, unsafe_mul(unsafe_add(
                    (near << 80) >> 228, unsafe_mul((near << 108) >> 233, d) >> 25), d) >> 25), d) >> 25),
                unsafe_sub(unsafe_sub((near >> 85) & MASK_40, unsafe_mul(unsafe_sub((near >> 51) & MASK_34, unsafe_mul(
                    unsafe_sub((near >> 23) & MASK_28, unsafe_mul(near & MASK_23, d) >> 25), d) >> 25), d) >> 25
                ) ^ below, unsafe_add(below, far)),
            )
            far = unsafe_mul(smaller, unsafe_add(unsafe_add(far, HALF_Q38) >> 38, below & ONE_Q38)) >> 38
            price = unsafe_add(price, far)
        pair = unsafe_add(pair, unsafe_mul(row >> 206, price))
        if is_changed:
            change = unsafe_add(change, unsafe_mul((row << 206) >> 206, price))
    return pair, change

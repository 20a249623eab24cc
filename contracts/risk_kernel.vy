# pragma version 0.4.3
"""
@title Black-76 in integers
@notice Logarithm, exponential, normal tables, SVI variance and option prices, to the bit as the chain computes them.
@dev Mirrors risk/fixed_point.py, risk/normal.py, risk/black76.py and risk/svi.py; formulas, bounds and roundings are
     risk/SPEC.md's. Nothing here can revert within those bounds. Arithmetic is unsafe_* on purpose: inside them the
     widest product has 91 bits, and the checks would double the cost of a price. Divisions have a non-negative
     numerator and a positive denominator, where EVM and Python agree, but for a total vol of 0 (`call_price_floor`).
     The tables are immutables, the words of risk/tables.py as they stand there.
"""

ONE_Q38: constant(int256) = 2**38
LN_2_Q38: constant(int256) = 190_530_846_196
LOG2_E_Q38: constant(int256) = 396_564_993_198
YEAR_MS: constant(int256) = 31_536_000_000
EXP_ARGUMENT_MIN_Q38: constant(int256) = -40 * 2**38
TAIL_Q31: constant(int256) = 13 * 2**30
TOTAL_VARIANCE_MAX_Q38: constant(int256) = 144 * 2**38

HALF_Q38: constant(int256) = 2**37
MASK_16: constant(int256) = 2**16 - 1
MASK_21: constant(int256) = 2**21 - 1
MASK_23: constant(int256) = 2**23 - 1
MASK_24: constant(int256) = 2**24 - 1
MASK_25: constant(int256) = 2**25 - 1
MASK_28: constant(int256) = 2**28 - 1
MASK_30: constant(int256) = 2**30 - 1
MASK_33: constant(int256) = 2**33 - 1
MASK_34: constant(int256) = 2**34 - 1
MASK_36: constant(int256) = 2**36 - 1
MASK_40: constant(int256) = 2**40 - 1

NORMAL: immutable(int256[489])
LN: immutable(int256[64])
EXP: immutable(int256[32])


@deploy
def __init__(normal: int256[489], ln: int256[64], exp: int256[32]):
    NORMAL = normal
    LN = ln
    EXP = exp


@external
@view
def ln_q38(u: int256) -> int256:
    """
    @notice Natural logarithm of an integer from 1 to 2^62 - 1.
    """
    return self._ln_q38(u)


@external
@view
def exp_q38(x_q38: int256) -> int256:
    """
    @notice e^x for x up to 16.
    """
    return self._exp_q38(x_q38)


@external
@view
def call_price_floor(
    forward: int256, strike: int256, log_moneyness_q30: int256, total_vol_q30: int256
) -> int256:
    """
    @notice Undiscounted call in the forward's ticks, its time value rounded down; a put is that less forward - strike.
    @dev Mirrors black76.call_price_floor, with otm_fraction_q38 and the normal tables written out: calls of internal
         functions would cost a tenth more. A row holds phi in its four highest fields, the last three signed, and M in
         its four lowest. `below` is -1 where d < 0 and 0 elsewhere, which folds both signs into one path. Without vol
         the EVM's 0 / 0 is 0, so d is 0 and the fraction M(0) - M(0) = 0: no special case. The conversions by way of
         bytes32 are free; an index that is unsigned saves a comparison.
    """
    gap: int256 = unsafe_sub(forward, strike)
    shortfall: int256 = gap & (gap >> 255)  # min(forward - strike, 0)
    value: int256 = unsafe_sub(gap, shortfall)  # max(forward - strike, 0)

    sign: int256 = log_moneyness_q30 >> 255
    quotient: int256 = unsafe_div(unsafe_sub(log_moneyness_q30 ^ sign, sign) << 31, total_vol_q30)
    d: int256 = unsafe_sub(quotient, total_vol_q30)
    if d >= TAIL_Q31:
        return value

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
    near = unsafe_sub(unsafe_sub(near ^ below, below), far)
    fraction: int256 = unsafe_add(unsafe_add(unsafe_mul(density, near), HALF_Q38) >> 38, below & ONE_Q38)
    return unsafe_add(value, unsafe_mul(unsafe_add(strike, shortfall), fraction) >> 38)


@external
@view
def total_variance_q38(
    a: int256, b: int256, rho: int256, m: int256, sigma: int256, log_strike_q38: int256
) -> int256:
    """
    @notice SVI's w(k), held between 0 and 144.
    """
    return self._total_variance_q38(a, b, rho, m, sigma, log_strike_q38)


@external
@view
def sqrt_years_floor_q38(time_ms: int256) -> int256:
    """
    @notice Square root of the time in years of 365 days.
    """
    return self._sqrt_years_floor_q38(time_ms)


@internal
@view
def _ln_q38(u: int256) -> int256:
    """
    @dev Mirrors fixed_point.ln_q38; the exponent is found by halving, since there is no instruction for it.
    """
    exponent: int256 = 0
    rest: int256 = u
    if rest >> 32 != 0:
        exponent = 32
        rest = rest >> 32
    if rest >> 16 != 0:
        exponent = unsafe_add(exponent, 16)
        rest = rest >> 16
    if rest >> 8 != 0:
        exponent = unsafe_add(exponent, 8)
        rest = rest >> 8
    if rest >> 4 != 0:
        exponent = unsafe_add(exponent, 4)
        rest = rest >> 4
    if rest >> 2 != 0:
        exponent = unsafe_add(exponent, 2)
        rest = rest >> 2
    exponent = unsafe_add(exponent, rest >> 1)
    mantissa: int256 = u << convert(unsafe_sub(62, exponent), uint256)
    word: int256 = LN[(mantissa >> 56) & 63]
    t: int256 = (mantissa >> 26) & MASK_30
    tail: int256 = unsafe_mul(
        unsafe_sub(
            (word >> 40) & MASK_30,
            unsafe_mul(unsafe_sub((word >> 16) & MASK_24, unsafe_mul(word & MASK_16, t) >> 30), t) >> 30,
        ),
        t,
    ) >> 30
    polynomial: int256 = unsafe_add(word >> 106, unsafe_mul(unsafe_sub((word >> 70) & MASK_36, tail), t) >> 30)
    return unsafe_add(unsafe_mul(exponent, LN_2_Q38), polynomial)


@internal
@view
def _exp_q38(x_q38: int256) -> int256:
    """
    @dev Mirrors fixed_point.exp_q38.
    """
    if x_q38 <= EXP_ARGUMENT_MIN_Q38:
        return 0
    halvings_q38: int256 = unsafe_mul(unsafe_sub(0, x_q38), LOG2_E_Q38) >> 38
    halvings: int256 = halvings_q38 >> 38
    fraction: int256 = halvings_q38 & (ONE_Q38 - 1)
    word: int256 = EXP[fraction >> 33]
    t: int256 = fraction & MASK_33
    tail: int256 = unsafe_mul(unsafe_sub((word >> 21) & MASK_28, unsafe_mul(word & MASK_21, t) >> 33), t) >> 33
    power: int256 = unsafe_sub(word >> 83, unsafe_mul(unsafe_sub((word >> 49) & MASK_34, tail), t) >> 33)
    if halvings >= 0:
        return power >> convert(halvings, uint256)
    return power << convert(unsafe_sub(0, halvings), uint256)


@internal
@pure
def _total_variance_q38(
    a: int256, b: int256, rho: int256, m: int256, sigma: int256, log_strike_q38: int256
) -> int256:
    """
    @dev Mirrors svi.total_variance_q38.
    """
    distance: int256 = unsafe_sub(log_strike_q38, m)
    radicand: int256 = unsafe_add(unsafe_mul(distance, distance), unsafe_mul(sigma, sigma))
    wing: int256 = unsafe_add(unsafe_mul(rho, distance) >> 38, convert(isqrt(convert(radicand, uint256)), int256))
    return min(max(unsafe_add(a, unsafe_mul(b, wing) >> 38), 0), TOTAL_VARIANCE_MAX_Q38)


@internal
@pure
def _sqrt_years_floor_q38(time_ms: int256) -> int256:
    """
    @dev Mirrors fixed_point.sqrt_years_floor_q38.
    """
    return convert(isqrt(convert(unsafe_div(time_ms << 76, YEAR_MS), uint256)), int256)

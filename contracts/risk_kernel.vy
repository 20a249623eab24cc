# pragma version 0.4.3
"""
@title Black-76 in integers
@notice Logarithm, exponential, normal tables, SVI variance and option prices, to the bit as the chain computes them.
@dev Mirrors risk/normal.py and risk/black76.py, and opens the functions of its two modules; formulas, bounds and
     roundings are risk/SPEC.md's. Nothing here can revert within those bounds. Arithmetic is unsafe_* on purpose: in
     them the widest product has 91 bits, and the checks would double the cost of a price. Divisions have a non-negative
     numerator and a positive denominator, where EVM and Python agree, but for a total vol of 0 (`call_price_floor`).
     The tables are immutables, the words of risk/tables.py as they stand there.
"""

import risk_exponential
import risk_logarithm

initializes: risk_exponential
initializes: risk_logarithm

ONE_Q38: constant(int256) = 2**38
TAIL_Q31: constant(int256) = 13 * 2**30

HALF_Q38: constant(int256) = 2**37
MASK_23: constant(int256) = 2**23 - 1
MASK_25: constant(int256) = 2**25 - 1
MASK_28: constant(int256) = 2**28 - 1
MASK_34: constant(int256) = 2**34 - 1
MASK_40: constant(int256) = 2**40 - 1

NORMAL: immutable(int256[489])


@deploy
def __init__(normal: int256[489], ln: int256[64], exp: int256[32]):
    NORMAL = normal
    risk_logarithm.__init__(ln)
    risk_exponential.__init__(exp)


@external
@view
def ln_q38(u: int256) -> int256:
    """
    @notice Natural logarithm of an integer from 1 to 2^62 - 1.
    """
    return risk_logarithm._ln_q38(u)


@external
@view
def exp_q38(x_q38: int256) -> int256:
    """
    @notice e^x for x up to 16.
    """
    return risk_exponential._exp_q38(x_q38)


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
    near = unsafe_add(unsafe_mul(density, unsafe_sub(unsafe_sub(near ^ below, below), far)), HALF_Q38) >> 38
    return unsafe_add(value, unsafe_mul(unsafe_add(strike, shortfall), unsafe_add(near, below & ONE_Q38)) >> 38)


@external
@view
def total_variance_q38(
    a: int256, b: int256, rho: int256, m: int256, sigma: int256, log_strike_q38: int256
) -> int256:
    """
    @notice SVI's w(k), held between 0 and 144.
    """
    return risk_logarithm._total_variance_q38(a, b, rho, m, sigma, log_strike_q38)


@external
@view
def sqrt_years_floor_q38(time_ms: int256) -> int256:
    """
    @notice Square root of the time in years of 365 days.
    """
    return risk_logarithm._sqrt_years_floor_q38(time_ms)

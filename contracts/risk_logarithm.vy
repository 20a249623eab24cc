# pragma version 0.4.3
"""
@title Logarithm, roots and SVI variance in fixed point
@notice What the risk contracts share besides prices.
@dev Mirrors risk/fixed_point.py and risk/svi.py. Nothing here reverts within the bounds of risk/SPEC.md section 2,
     where the widest product has 97 bits: arithmetic is unsafe_* because the checks could not fail. The table is an
     immutable, the words of risk/tables.py as they stand there.
"""

LN_2_Q38: constant(int256) = 190_530_846_196
YEAR_MS: constant(int256) = 31_536_000_000
TOTAL_VARIANCE_MAX_Q38: constant(int256) = 144 * 2**38

MASK_16: constant(int256) = 2**16 - 1
MASK_24: constant(int256) = 2**24 - 1
MASK_30: constant(int256) = 2**30 - 1
MASK_36: constant(int256) = 2**36 - 1

LN: immutable(int256[64])


@deploy
def __init__(ln: int256[64]):
    LN = ln


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
def _sqrt_floor_q38(x_q38: int256) -> int256:
    """
    @dev Mirrors fixed_point.sqrt_floor_q38.
    """
    return convert(isqrt(convert(x_q38 << 38, uint256)), int256)


@internal
@pure
def _sqrt_years_floor_q38(time_ms: int256) -> int256:
    """
    @dev Mirrors fixed_point.sqrt_years_floor_q38.
    """
    return convert(isqrt(convert(unsafe_div(time_ms << 76, YEAR_MS), uint256)), int256)

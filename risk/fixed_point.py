"""Logarithm, exponential and square root of fixed-point integers.

`_qN` in a name says that the integer stands for its value times 2^N. `>>` is a floor in Python, numba and the EVM
alike; division is never used on negative numbers, whose quotient the EVM truncates and Python floors.

Mirrors contracts/risk_logarithm.vy and contracts/risk_exponential.vy; fast.py is the numba twin. SPEC.md section 3.
"""

from math import isqrt

from risk.tables import EXP, LN

ONE_Q38 = 1 << 38
LN_2_Q38 = 190_530_846_196
LOG2_E_Q38 = 396_564_993_198

YEAR_MS = 31_536_000_000
DAY_MS = 86_400_000

LN_ARGUMENT_END = 1 << 62
EXP_ARGUMENT_MAX_Q38 = 16 << 38
EXP_ARGUMENT_MIN_Q38 = -40 << 38
"""At and below it the exponential is 0; above EXP_ARGUMENT_MAX_Q38 it is not defined."""


def field(word: int, lowest_bit: int, bits: int) -> int:
    """Unsigned field of a packed table row."""
    return word >> lowest_bit & (1 << bits) - 1


LN_COEFFICIENTS = tuple((w >> 106, field(w, 70, 36), field(w, 40, 30), field(w, 16, 24), field(w, 0, 16)) for w in LN)
EXP_COEFFICIENTS = tuple((w >> 83, field(w, 49, 34), field(w, 21, 28), field(w, 0, 21)) for w in EXP)


def ln_q38(u: int) -> int:
    """Natural logarithm of an integer, 1 <= u < LN_ARGUMENT_END. Error at most 1.4e-10."""
    exponent = u.bit_length() - 1
    mantissa_q62 = u << (62 - exponent)
    c0, c1, c2, c3, c4 = LN_COEFFICIENTS[mantissa_q62 >> 56 & 63]
    t = mantissa_q62 >> 26 & (1 << 30) - 1
    polynomial = c0 + ((c1 - ((c2 - ((c3 - (c4 * t >> 30)) * t >> 30)) * t >> 30)) * t >> 30)
    return exponent * LN_2_Q38 + polynomial


def exp_q38(x_q38: int) -> int:
    """e^x for x up to EXP_ARGUMENT_MAX_Q38. Error at most 1.6e-10 of the result plus 4e-12."""
    if x_q38 <= EXP_ARGUMENT_MIN_Q38:
        return 0
    halvings_q38 = -x_q38 * LOG2_E_Q38 >> 38
    halvings, fraction = halvings_q38 >> 38, halvings_q38 & ONE_Q38 - 1
    c0, c1, c2, c3 = EXP_COEFFICIENTS[fraction >> 33]
    t = fraction & (1 << 33) - 1
    power = c0 - ((c1 - ((c2 - (c3 * t >> 33)) * t >> 33)) * t >> 33)
    return power >> halvings if halvings >= 0 else power << -halvings


def multiply_ceil_q38(amount: int, fraction_q38: int) -> int:
    """amount * fraction, rounded up."""
    return -(-amount * fraction_q38 >> 38)


def sqrt_floor_q38(x_q38: int) -> int:
    """Square root, x >= 0."""
    return isqrt(x_q38 << 38)


def hypotenuse_floor_q38(x_q38: int, y_q38: int) -> int:
    """sqrt(x^2 + y^2)."""
    return isqrt(x_q38 * x_q38 + y_q38 * y_q38)


def years_floor_q38(time_ms: int) -> int:
    """Years of 365 days."""
    return (time_ms << 38) // YEAR_MS


def sqrt_years_floor_q38(time_ms: int) -> int:
    """Square root of the time in years of 365 days."""
    return isqrt((time_ms << 76) // YEAR_MS)

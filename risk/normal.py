"""The normal distribution through the Mills ratio M(z) = (1 - Phi(z)) / phi(z), which is smooth, bounded and monotone.

One table row holds the cubics of M and of the density phi on a segment of 1/64. Arguments are Q31, results Q38.

Mirrors contracts/risk_kernel.vy; fast.py is the numba twin. Errors: SPEC.md section 3.
"""

from risk.fixed_point import ONE_Q38, field
from risk.tables import NORMAL

SEGMENT_BITS = 25  # a segment of 1/64, in Q31
SEGMENT_MASK = (1 << SEGMENT_BITS) - 1
TABLE_END_Q31 = len(NORMAL) << SEGMENT_BITS
TAIL_Q31 = 13 << 30
"""6.5 standard deviations: 4.0e-11 lie beyond, less than the kernel's error; taken as nothing."""


def signed_field(word: int, lowest_bit: int, bits: int) -> int:
    """Two's complement field of a packed table row."""
    unsigned = field(word, lowest_bit, bits)
    return unsigned - (unsigned >> (bits - 1) << bits)


MILLS_COEFFICIENTS = tuple((field(w, 85, 40), field(w, 51, 34), field(w, 23, 28), field(w, 0, 23)) for w in NORMAL)
DENSITY_COEFFICIENTS = tuple(
    (w >> 209, signed_field(w, 176, 33), signed_field(w, 148, 28), signed_field(w, 125, 23)) for w in NORMAL
)


def mills_q38(z_q31: int) -> int:
    """M(z), 0 <= z < TABLE_END_Q31. Error at most 8e-11."""
    c0, c1, c2, c3 = MILLS_COEFFICIENTS[z_q31 >> SEGMENT_BITS]
    t = z_q31 & SEGMENT_MASK
    return c0 - ((c1 - ((c2 - (c3 * t >> 25)) * t >> 25)) * t >> 25)


def density_q38(z_q31: int) -> int:
    """phi(z), 0 <= z < TABLE_END_Q31. Error at most 3e-11."""
    c0, c1, c2, c3 = DENSITY_COEFFICIENTS[z_q31 >> SEGMENT_BITS]
    t = z_q31 & SEGMENT_MASK
    return c0 + ((c1 + ((c2 + (c3 * t >> 25)) * t >> 25)) * t >> 25)


def distribution_q38(z_q31: int) -> int:
    """Phi(z) for any z. Error at most 1e-10."""
    magnitude = min(abs(z_q31), TAIL_Q31)
    tail = 0 if magnitude == TAIL_Q31 else density_q38(magnitude) * mills_q38(magnitude) + (1 << 37) >> 38
    return ONE_Q38 - tail if z_q31 > 0 else tail

"""Offsets between underlyings: what several losses come to when they need not all happen together.

    combined = sqrt((sum of c_i l_i)^2 + sum of (1 - c_i^2) l_i^2),    0 <= c_i <= 1

which is the root of the form l' C l with C_ij = c_i c_j beside a diagonal of ones: each underlying is loaded by c_i on
one common factor, a correlation matrix by construction whatever the loadings, and one number for each underlying that
is listed. A loss is a worst case in a direction of its own, so a correlation's sign says nothing about it and loadings
are never negative. The result is never below the largest loss, never above the sum, and rises with every loss and
every loading; loadings of 1 add up (SPEC.md section 9).

Mirrors contracts/margin.vy (combine_losses_ceil).
"""

from collections.abc import Sequence
from math import isqrt

CORRELATION_ONE = 1 << 20
LOSS_SUM_END = 1 << 106
"""From here on losses add up, so that the form stays below 2^252."""


def combine_losses_ceil(losses: Sequence[int], loadings_q20: Sequence[int]) -> int:
    """Combined loss; the sum where there are no loadings. Losses are not negative."""
    total = sum(losses)
    if not loadings_q20 or total >= LOSS_SUM_END:
        return total
    common = sum(loss * loading for loss, loading in zip(losses, loadings_q20, strict=True))
    own = sum(
        loss * loss * (CORRELATION_ONE * CORRELATION_ONE - loading * loading)
        for loss, loading in zip(losses, loadings_q20, strict=True)
    )
    return sqrt_ceil(-(-(common * common + own) >> 40))


def sqrt_ceil(square: int) -> int:
    """Square root rounded up, of a number that is not negative."""
    return isqrt(square - 1) + 1 if square > 0 else 0

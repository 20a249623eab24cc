"""Offsets between underlyings: what several losses come to when they need not all happen together.

    combined = sqrt(sum over i, j of loss_i * C_ij * loss_j),    0 <= C_ij = C_ji <= 1, C_ii = 1

C holds what correlation the rules concede, never a negative one: a loss is a worst case in a direction of its own, so a
correlation's sign says nothing about it. The result is never below the largest single loss, never above the
sum, and rises with every loss and every entry (SPEC.md section 9).

Mirrors contracts/risk_underlying.vy (combine_losses_ceil).
"""

from collections.abc import Sequence
from math import isqrt

from risk.fixed_point import ONE_Q38


def combine_losses_ceil(losses: Sequence[int], correlations_q38: Sequence[Sequence[int]]) -> int:
    """Combined loss; the sum where there is no matrix. Losses are not negative."""
    if not correlations_q38:
        return sum(losses)
    form = sum(
        a * b * correlation
        for a, row in zip(losses, correlations_q38, strict=True)
        for b, correlation in zip(losses, row, strict=True)
    )
    return sqrt_ceil(-(-form >> 38))


def sqrt_ceil(square: int) -> int:
    """Square root rounded up, of a number that is not negative."""
    return isqrt(square - 1) + 1 if square > 0 else 0


def is_offset_matrix(correlations_q38: Sequence[Sequence[int]], count: int) -> bool:
    """Whether a matrix has the shape, range, diagonal and symmetry that `combine_losses_ceil` relies on."""
    return (
        len(correlations_q38) == count
        and all(len(row) == count for row in correlations_q38)
        and all(correlations_q38[i][i] == ONE_Q38 for i in range(count))
        and all(0 <= correlations_q38[i][j] <= ONE_Q38 for i in range(count) for j in range(i))
        and all(correlations_q38[i][j] == correlations_q38[j][i] for i in range(count) for j in range(i))
    )

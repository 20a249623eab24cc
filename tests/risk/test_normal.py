"""The normal tables: no jump at a seam, no ratio that rises."""

from random import Random

from risk.fixed_point import ONE_Q38
from risk.normal import SEGMENT_BITS, TABLE_END_Q31, TAIL_Q31, density_q38, distribution_q38, mills_q38
from risk.tables import NORMAL


def test_seams_do_not_jump() -> None:
    """At every segment boundary neither function moves by more than its error and its slope."""
    for segment in range(1, len(NORMAL)):
        seam = segment << SEGMENT_BITS
        assert -130 <= mills_q38(seam) - mills_q38(seam - 1) <= 1
        assert abs(density_q38(seam) - density_q38(seam - 1)) <= 40


def test_mills_ratio_never_rises_by_more_than_a_unit(seed: int) -> None:
    """From one argument to the next the ratio falls or stays, but for one unit of rounding, which g cannot show."""
    random = Random(seed)
    for _ in range(20_000):
        z = random.randrange(TABLE_END_Q31 - 1)
        assert mills_q38(z + 1) <= mills_q38(z) + 1


def test_distribution_is_symmetric(seed: int) -> None:
    """Phi(-z) + Phi(z) is 1 exactly, and the tails are 0 and 1 exactly."""
    random = Random(seed)
    for _ in range(2_000):
        z = random.randrange(1, 1 << 35)
        assert distribution_q38(z) + distribution_q38(-z) == ONE_Q38
    assert distribution_q38(-TAIL_Q31) == 0
    assert 0 < distribution_q38(-TAIL_Q31 + 1) < 13
    assert abs(distribution_q38(0) - ONE_Q38 // 2) < 28

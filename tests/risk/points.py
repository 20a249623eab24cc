"""Where twins are compared: every boundary of the kernel's domain, and random points of every magnitude."""

from random import Random

from risk.black76 import LOG_MONEYNESS_MAX_Q30, TOTAL_VOL_MAX_Q30
from risk.fixed_point import LN_ARGUMENT_END
from risk.normal import SEGMENT_BITS, TAIL_Q31
from risk.tables import NORMAL


def logarithm_points(random: Random, count: int) -> list[int]:
    """Integers from 1 to the end of the logarithm's domain."""
    edges = {(1 << bits) + offset for bits in range(62) for offset in (-1, 0, 1)} | {LN_ARGUMENT_END - 1}
    return sorted(u for u in edges if u > 0) + [int(2 ** random.uniform(0, 61.99)) for _ in range(count)]


def kernel_points(random: Random, count: int) -> list[tuple[int, int]]:
    """Pairs (x, v) in Q30, x of either sign: corners, seams of the table, the tail's edge, and `count` random ones."""
    distances = [0, 1, 2, 1 << 30, LOG_MONEYNESS_MAX_Q30 - 1, LOG_MONEYNESS_MAX_Q30]
    vols = [0, 1, 2, 1 << 10, 1 << 30, TOTAL_VOL_MAX_Q30 - 1, TOTAL_VOL_MAX_Q30]
    points = [(sign * a, v) for a in distances for v in vols for sign in (1, -1)]
    for segment in range(len(NORMAL)):  # d at a seam: a = (d + h) * v
        v = random.randrange(1 << 26, 1 << 30)
        points += [(((segment << SEGMENT_BITS) + v) * v + offset >> 31, v) for offset in (-(1 << 31), 0, 1 << 31)]
    for v in (1 << 20, 1 << 27, 1 << 30):
        points += [((TAIL_Q31 + v) * v + offset >> 31, v) for offset in (-(1 << 31), 0, 1 << 31)]
    for _ in range(count):
        v = int(2 ** random.uniform(0, 33.58)) if random.random() < 0.3 else int(2**30 * random.uniform(0.001, 4))
        a = int(random.uniform(0, 7) * v) if random.random() < 0.6 else int(2 ** random.uniform(0, 33))
        points.append((a * random.choice((-1, 1)), v))
    return [(max(min(x, LOG_MONEYNESS_MAX_Q30), -LOG_MONEYNESS_MAX_Q30), v) for x, v in points]

"""SVI surfaces against fifty digits, and at the ends of their formats."""

from random import Random

from risk.bounds import check_surface
from risk.fixed_point import YEAR_MS
from risk.svi import TOTAL_VARIANCE_MAX_Q38, Svi, clamp_to_wings_q38, total_variance_q38, vol_floor_q38
from tests.risk.exact import REAL, from_fixed

MONTH = Svi(
    a=int(0.0075 * 2**38),
    b=int(0.0566 * 2**38),
    rho=int(-0.55 * 2**38),
    m=int(-0.063 * 2**38),
    sigma=int(0.048 * 2**38),
    time_ms=YEAR_MS // 12,
)


def test_variance_against_fifty_digits(seed: int) -> None:
    """w(k) is exact to its few floors, and the vol to those over the time."""
    random = Random(seed)
    a, b, rho, m, sigma = (from_fixed(p) for p in (MONTH.a, MONTH.b, MONTH.rho, MONTH.m, MONTH.sigma))
    for _ in range(500):
        k_q38 = random.randrange(-4 << 38, 4 << 38)
        k = from_fixed(k_q38)
        exact = a + b * (rho * (k - m) + REAL.sqrt((k - m) ** 2 + sigma**2))
        assert abs(from_fixed(total_variance_q38(MONTH, k_q38)) - exact) < 8e-12
        assert abs(from_fixed(vol_floor_q38(MONTH, k_q38)) - REAL.sqrt(exact * 12)) < 1e-9


def test_variance_is_held_between_its_ends() -> None:
    """A surface that falls below zero gives zero, one that explodes gives 144."""
    falling = Svi(a=-(1 << 45), b=0, rho=0, m=0, sigma=1, time_ms=YEAR_MS)
    exploding = Svi(a=0, b=(1 << 42) - 1, rho=0, m=-(1 << 41) + 1, sigma=(1 << 41) - 1, time_ms=YEAR_MS)
    assert check_surface(falling) is None
    assert check_surface(exploding) is None
    assert total_variance_q38(falling, 0) == 0
    assert total_variance_q38(exploding, 8 << 38) == TOTAL_VARIANCE_MAX_Q38


def test_wings_are_clamped_symmetrically() -> None:
    """Beyond the given number of deviations every strike reads the same variance."""
    end = clamp_to_wings_q38(MONTH, 7 << 38, 4)
    assert 0 < end < 1 << 38
    assert clamp_to_wings_q38(MONTH, -7 << 38, 4) == -end
    assert clamp_to_wings_q38(MONTH, end - 1, 4) == end - 1

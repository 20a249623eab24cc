"""Logarithm, exponential and roots against fifty digits."""

from random import Random

import pytest

from risk.fixed_point import (
    EXP_ARGUMENT_MAX_Q38,
    EXP_ARGUMENT_MIN_Q38,
    LN_ARGUMENT_END,
    ONE_Q38,
    YEAR_MS,
    exp_q38,
    hypotenuse_floor_q38,
    ln_q38,
    sqrt_floor_q38,
    sqrt_years_floor_q38,
    years_floor_q38,
)
from tests.risk.exact import REAL, from_fixed


def test_ln_of_one_is_zero() -> None:
    """ln 1 is 0 exactly, so that a forward at the strike is at the money."""
    assert ln_q38(1) == 0


@pytest.mark.parametrize("bits", range(1, 62))
def test_ln_holds_around_powers_of_two(bits: int) -> None:
    """The logarithm neither jumps nor falls where the exponent changes."""
    below, at, above = (ln_q38((1 << bits) + offset) for offset in (-1, 0, 1))
    assert below <= at <= above
    assert abs(from_fixed(at) - bits * REAL.ln(2)) < 1.4e-10


def test_ln_is_monotone_at_every_segment_boundary() -> None:
    """No segment starts below the end of the one before it."""
    for segment in range(64, 128):
        boundary = segment << 30
        assert ln_q38(boundary - 1) <= ln_q38(boundary) <= ln_q38(boundary + 1)


def test_ln_depends_on_ratios_alone(seed: int) -> None:
    """Doubling both numbers changes no difference of logarithms: any tick will do."""
    random = Random(seed)
    for _ in range(500):
        a, b = random.randrange(1, LN_ARGUMENT_END >> 1), random.randrange(1, LN_ARGUMENT_END >> 1)
        assert ln_q38(2 * a) - ln_q38(2 * b) == ln_q38(a) - ln_q38(b)


def test_exp_ends_where_it_says() -> None:
    """At the lower end the exponential is 0, at 0 it is 1, at the upper end it still fits 62 bits."""
    assert exp_q38(EXP_ARGUMENT_MIN_Q38) == exp_q38(EXP_ARGUMENT_MIN_Q38 - 1) == 0
    assert exp_q38(0) == ONE_Q38
    assert 1 << 60 < exp_q38(EXP_ARGUMENT_MAX_Q38) < 1 << 62


def test_exp_undoes_ln(seed: int) -> None:
    """e^(ln u) is u, to the sum of both errors."""
    random = Random(seed)
    for _ in range(500):
        u = random.randrange(1, 1 << 22)
        assert abs(exp_q38(ln_q38(u)) - (u << 38)) < 4 * (u << 38) * 1e-10 + 2


def test_roots_are_floors(seed: int) -> None:
    """Every root is the largest integer whose square does not exceed the argument."""
    random = Random(seed)
    for _ in range(500):
        x, y = random.randrange(1 << 48), random.randrange(1 << 43)
        assert sqrt_floor_q38(x) ** 2 <= x << 38 < (sqrt_floor_q38(x) + 1) ** 2
        assert hypotenuse_floor_q38(-y, x) ** 2 <= y * y + x * x < (hypotenuse_floor_q38(-y, x) + 1) ** 2


def test_years_are_of_365_days() -> None:
    """One year is one, four years have root two, a millisecond is not nothing."""
    assert years_floor_q38(YEAR_MS) == sqrt_years_floor_q38(YEAR_MS) == ONE_Q38
    assert sqrt_years_floor_q38(4 * YEAR_MS) == 2 * ONE_Q38
    assert years_floor_q38(1) == 8
    assert abs(from_fixed(sqrt_years_floor_q38(1)) - REAL.sqrt(1 / REAL.mpf(YEAR_MS))) < 4e-12

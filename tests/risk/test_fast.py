"""The compiled kernel is the reference, bit for bit, on random points and at every boundary."""

from dataclasses import astuple
from math import isqrt
from random import Random

import numpy as np
import pytest

from risk import black76, fast, fixed_point, greeks, normal, svi
from risk.bounds import (
    PRICE_END,
    SVI_A_END_Q38,
    SVI_B_END_Q38,
    SVI_RHO_END_Q38,
    SVI_SHIFT_END_Q38,
    TIME_END_MS,
    check_quote,
)
from tests.risk.points import kernel_points, logarithm_points


def test_logarithm(seed: int) -> None:
    """ln agrees around every power of two and on random integers of every length."""
    points = logarithm_points(Random(seed), 20_000)
    out = np.empty(len(points), np.int64)
    fast.ln_array_q38(np.array(points, np.int64), out)
    assert out.tolist() == [fixed_point.ln_q38(u) for u in points]


def test_exponential(seed: int) -> None:
    """exp agrees over its whole domain."""
    random = Random(seed)
    first, last = fixed_point.EXP_ARGUMENT_MIN_Q38, fixed_point.EXP_ARGUMENT_MAX_Q38
    points = [first - 1, first, first + 1, -1, 0, 1, last, *(random.randrange(first, last) for _ in range(5_000))]
    for x in points:
        assert fast.exp_q38(x) == fixed_point.exp_q38(x), x


def test_roots(seed: int) -> None:
    """Both roots agree, although their radicands do not fit int64."""
    random = Random(seed)
    for _ in range(5_000):
        x, y = int(2 ** random.uniform(-1, 43)), int(2 ** random.uniform(-1, 43))
        assert fast.hypotenuse_floor_q38(-x, y) == fixed_point.hypotenuse_floor_q38(-x, y)
        variance = int(2 ** random.uniform(-1, 45.1))
        assert fast.sqrt_floor_q38(variance) == fixed_point.sqrt_floor_q38(variance)
    for root in (1, 1 << 20, (1 << 41) - 1):
        for square in (root * root - 1, root * root, root * root + 2 * root):
            wrapped = (square + (1 << 63)) % (1 << 64) - (1 << 63)
            assert fast.root_of(root + 3, wrapped) == isqrt(square)


def test_distribution(seed: int) -> None:
    """Phi agrees on both sides of zero and of the tails."""
    random = Random(seed)
    ends = [end + offset for end in (-normal.TAIL_Q31, 0, normal.TAIL_Q31) for offset in (-1, 0, 1)]
    for z in [*ends, *(random.randrange(-8 << 31, 8 << 31) for _ in range(5_000))]:
        assert fast.distribution_q38(z) == normal.distribution_q38(z), z


def test_prices(seed: int) -> None:
    """Prices agree on 20,000 random quotes and at every boundary of moneyness and vol."""
    random = Random(seed)
    points = kernel_points(random, 20_000)
    count = len(points)
    forwards = [random.randrange(1, PRICE_END << 3) for _ in range(count)]
    strikes = [random.randrange(1, PRICE_END) for _ in range(count)]
    are_calls = [bool(random.getrandbits(1)) for _ in range(count)]
    # The two logarithms only enter by their difference: x itself is what is tested.
    ln_strikes = [random.randrange(1 << 44) for _ in range(count)]
    ln_forwards = [ln + (x << 8) for ln, (x, _) in zip(ln_strikes, points, strict=True)]
    vols = [v for _, v in points]
    out = np.empty(count, np.int64)
    columns = (forwards, strikes, ln_forwards, ln_strikes, vols)
    fs, ks, ln_fs, ln_ks, vs = (np.array(column, np.int64) for column in columns)
    fast.price_array_floor(fs, ks, ln_fs, ln_ks, vs, np.array(are_calls), out)
    quotes = zip(forwards, strikes, points, are_calls, strict=True)
    assert out.tolist() == [black76.price_floor(f, k, x, v, is_call) for f, k, (x, v), is_call in quotes]


def test_greeks(seed: int) -> None:
    """All seven Greeks agree on whatever passes the gate, extremes included."""
    random = Random(seed)
    quotes: list[tuple[int, int, int, int, int, bool]] = []
    while len(quotes) < 5_000:
        forward, strike = (int(2 ** random.uniform(0, 44)) for _ in range(2))
        if random.random() < 0.7:
            strike = max(int(forward * 2 ** random.uniform(-1, 1)), 1)
        vol_q38, time_ms = int(2 ** random.uniform(20, 50)), int(2 ** random.uniform(0, 38.8))
        discount_q38 = int(2**38 * random.choice((2 ** random.uniform(-38, 1), random.uniform(0.8, 1.1))))
        if check_quote(forward, strike, vol_q38, time_ms, discount_q38) is None:
            x = fixed_point.ln_q38(forward) - fixed_point.ln_q38(strike)
            price_q38 = random.randrange(1 << 50)
            quotes.append((x, vol_q38, time_ms, discount_q38, price_q38, bool(random.getrandbits(1))))
    xs, vols, times, discounts, prices, are_calls = (np.array(column) for column in zip(*quotes, strict=True))
    roots = np.array([fixed_point.sqrt_years_floor_q38(int(t)) for t in times])
    out = np.empty((len(quotes), 7), np.int64)
    fast.greeks_array_q38(xs, vols, times, roots, discounts, prices, are_calls, out)
    for quote, row in zip(quotes, out.tolist(), strict=True):
        assert tuple(row) == astuple(greeks.compute_greeks(*quote)), quote


@pytest.mark.parametrize("scale", [0, 10, 34])
def test_surfaces(scale: int, seed: int) -> None:
    """SVI variances agree for parameters of every size, the ends of their formats included."""
    random = Random(seed)
    for _ in range(50):
        a, b, rho, m, sigma = (
            random.choice((end - 1, random.randrange(end), random.randrange(end >> scale) + 1))
            for end in (SVI_A_END_Q38, SVI_B_END_Q38, SVI_RHO_END_Q38, SVI_SHIFT_END_Q38, SVI_SHIFT_END_Q38)
        )
        a, rho, m = (value * random.choice((-1, 1)) for value in (a, rho, m))
        surface = svi.Svi(a, b, rho, m, sigma, TIME_END_MS - 1)
        log_strikes = [-(8 << 38), 0, 8 << 38, *(random.randrange(-8 << 38, 8 << 38) for _ in range(50))]
        out = np.empty(len(log_strikes), np.int64)
        fast.total_variance_array_q38(np.array([a, b, rho, m, sigma]), np.array(log_strikes), out)
        assert out.tolist() == [svi.total_variance_q38(surface, k) for k in log_strikes]

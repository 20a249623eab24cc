"""Fifty-digit references for the kernel's functions, from mpmath."""

from typing import Any

import mpmath

Real = Any  # mpmath.mpf
REAL = mpmath.mp.clone()
REAL.dps = 50


def from_fixed(value: int, bits: int = 38) -> Real:
    """The number that a fixed-point integer stands for."""
    return REAL.mpf(value) / (1 << bits)


def mills(z: Real) -> Real:
    return REAL.sqrt(REAL.pi / 2) * REAL.exp(z * z / 2) * REAL.erfc(z / REAL.sqrt(2))


def otm_fraction(distance: Real, total_vol: Real) -> Real:
    """g of SPEC.md section 4."""
    q, h = distance / total_vol, total_vol / 2
    return REAL.ncdf(h - q) - REAL.exp(distance) * REAL.ncdf(-q - h)


def price(forward: Real, strike: Real, total_vol: Real, is_call: bool) -> Real:
    """Undiscounted Black-76."""
    d1 = REAL.log(forward / strike) / total_vol + total_vol / 2
    sign = 1 if is_call else -1
    return sign * (forward * REAL.ncdf(sign * d1) - strike * REAL.ncdf(sign * (d1 - total_vol)))


def greeks(x: Real, vol: Real, years: Real, discount: Real, is_call: bool) -> dict[str, tuple[Real, Real]]:
    """Every Greek per unit of forward, with its natural scale: SPEC.md section 5."""
    root = REAL.sqrt(years)
    v = vol * root
    d1, d2 = x / v + v / 2, x / v - v / 2
    density, peak = discount * REAL.npdf(d1), discount * REAL.npdf(0)
    rate = -REAL.log(discount) / years
    delta = discount * (REAL.ncdf(d1) if is_call else REAL.ncdf(d1) - 1)
    value = discount * price(REAL.mpf(1), REAL.exp(-x), v, is_call)
    return {
        "delta": (delta, REAL.mpf(1)),
        "gamma": (density / v, peak / v),
        "vega": (density * root, peak * root),
        "theta": ((rate * value - density * v / (2 * years)) / 365, (abs(rate) + peak * v / (2 * years)) / 365),
        "vanna": (-density * d2 * root / v, peak * root / v),
        "charm": ((rate * delta + density * d2 / (2 * years)) / 365, (abs(rate) + peak / (2 * years)) / 365),
        "volga": (density * root * d1 * d2 * root / v, peak * root * root / v),
    }

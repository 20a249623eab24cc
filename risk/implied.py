"""Implied vol from a price, and an SVI surface from implied vols. Advisory: readings are fitted with it, never margin.

The inversion works on the out-of-the-money option over min(F, K), where every price lies between 0 and 1 and the vol
is all that moves it; the fit minimises squared errors of total variance and tells whether what it found is free of
arbitrage. Sources: P. Jäckel, "Let's be rational", for the normalisation; J. Gatheral and A. Jacquier, "Arbitrage-
free SVI volatility surfaces", for the density g(k).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, least_squares
from scipy.special import ndtr

from risk.fixed_point import ONE_Q38, YEAR_MS
from risk.svi import Svi

Reals = NDArray[np.float64]

TOTAL_VOL_MAX = 12.0
DENSITY_GRID = np.linspace(-3, 3, 601)


def normalised_price(distance: float, total_vol: float) -> float:
    """g of SPEC.md section 4, in floating point."""
    q, h = distance / total_vol, total_vol / 2
    return float(ndtr(h - q) - np.exp(distance) * ndtr(-q - h))


def imply_vol(
    price: float, forward: float, strike: float, years: float, discount: float, is_call: bool
) -> float | None:
    """Annual vol of a discounted price; None where no vol gives it (below intrinsic value, or above the limit)."""
    undiscounted = price / discount
    intrinsic = max(forward - strike if is_call else strike - forward, 0.0)
    fraction = (undiscounted - intrinsic) / min(forward, strike)
    distance = abs(float(np.log(forward / strike)))
    if not 0 < fraction < normalised_price(distance, TOTAL_VOL_MAX):
        return None
    low = 1e-9
    if normalised_price(distance, low) >= fraction:
        return None
    root = brentq(lambda v: normalised_price(distance, v) - fraction, low, TOTAL_VOL_MAX, xtol=1e-14, rtol=1e-14)
    return float(root) / float(np.sqrt(years))


@dataclass(frozen=True, slots=True)
class SviFit:
    """Parameters a, b, rho, m, sigma; the largest error in vol; and the least density, which is below 0 where a
    butterfly would be free."""

    parameters: tuple[float, float, float, float, float]
    worst_vol_error: float
    least_density: float

    @property
    def is_free_of_butterflies(self) -> bool:
        """Whether the density is nowhere negative on the grid of strikes."""
        return self.least_density >= 0

    def to_svi(self, time_ms: int) -> Svi:
        """The kernel's integers."""
        a, b, rho, m, sigma = (round(value * ONE_Q38) for value in self.parameters)
        return Svi(a, b, rho, m, sigma, time_ms)


def total_variance(parameters: Sequence[float] | Reals, k: Reals) -> Reals:
    """w(k) of raw SVI."""
    a, b, rho, m, sigma = parameters
    result: Reals = a + b * (rho * (k - m) + np.sqrt((k - m) ** 2 + sigma**2))
    return result


def compute_density(parameters: Sequence[float] | Reals, k: Reals) -> Reals:
    """Gatheral's g(k): the risk-neutral density up to a positive factor."""
    _, b, rho, m, sigma = parameters
    w = total_variance(parameters, k)
    root = np.sqrt((k - m) ** 2 + sigma**2)
    slope = b * (rho + (k - m) / root)
    curvature = b * sigma**2 / root**3
    result: Reals = (1 - k * slope / (2 * w)) ** 2 - slope**2 / 4 * (1 / w + 1 / 4) + curvature / 2
    return result


def is_free_of_calendars(nearer: SviFit, farther: SviFit) -> bool:
    """Whether total variance falls nowhere from one expiry to a later one."""
    gap = total_variance(farther.parameters, DENSITY_GRID) - total_variance(nearer.parameters, DENSITY_GRID)
    return bool(np.all(gap >= 0))


def fit_svi(log_strikes: Sequence[float], vols: Sequence[float], time_ms: int) -> SviFit:
    """Least squares in total variance, with a penalty on negative density, from a few starts; keeps the best.

    At least five strikes; log_strikes are ln(K / F).
    """
    k, years = np.array(log_strikes), time_ms / YEAR_MS
    observed = np.array(vols) ** 2 * years
    level = float(np.median(observed))
    lower, upper = (-4 * level, 0.0, -0.999, -2.0, 1e-3), (float(np.max(observed)) * 2, 20 * level + 1, 0.999, 2.0, 5.0)

    def residuals(parameters: Reals) -> Reals:
        density = compute_density(parameters, DENSITY_GRID)
        bottom = total_variance(parameters, DENSITY_GRID)
        penalty = [np.minimum(density, 0).sum(), min(float(np.min(bottom)), 0.0) / level]
        return np.concatenate([(total_variance(parameters, k) - observed) / level, penalty])

    starts = [(level / 2, level, rho, m, 0.2) for rho in (-0.5, 0.0, 0.5) for m in (-0.1, 0.1)]
    fits = [least_squares(residuals, start, bounds=(lower, upper), xtol=1e-14, ftol=1e-14) for start in starts]
    best = min(fits, key=lambda fit: float(fit.cost)).x
    fitted = np.sqrt(np.maximum(total_variance(best, k), 0) / years)
    a, b, rho, m, sigma = (float(value) for value in best)
    return SviFit(
        parameters=(a, b, rho, m, sigma),
        worst_vol_error=float(np.max(np.abs(fitted - np.array(vols)))),
        least_density=float(np.min(compute_density(best, DENSITY_GRID))),
    )

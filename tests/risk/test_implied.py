"""Implied vols undo prices, and fitted surfaces give their vols back without arbitrage."""

from random import Random

import numpy as np

from risk.bounds import check_surface
from risk.fixed_point import DAY_MS, ONE_Q38, YEAR_MS
from risk.implied import SviFit, fit_svi, imply_vol, is_free_of_calendars, total_variance
from risk.quotes import Quote, compute_price_floor
from risk.svi import vol_floor_q38


def test_a_vol_comes_back_from_its_price(seed: int) -> None:
    """Pricing with the kernel and inverting gives the vol, wherever the price says anything about it."""
    random = Random(seed)
    for _ in range(300):
        vol, years = random.uniform(0.1, 2), 10 ** random.uniform(-2, 0.3)
        deviation = vol * years**0.5
        forward, strike = 10**12, int(10**12 * np.exp(random.uniform(-2, 2) * deviation))
        is_call = bool(random.getrandbits(1))
        quote = Quote(is_call, forward, strike, 0, round(vol * ONE_Q38), round(years * YEAR_MS), ONE_Q38)
        found = imply_vol(compute_price_floor(quote), forward, strike, round(years * YEAR_MS) / YEAR_MS, 1.0, is_call)
        assert found is not None
        assert abs(found - vol) < 3e-7


def test_no_vol_gives_an_impossible_price() -> None:
    """At or below the intrinsic value, and at the forward or above, there is none."""
    assert imply_vol(20.0, 120, 100, 1, 1, True) is None
    assert imply_vol(19.0, 120, 100, 1, 1, True) is None
    assert imply_vol(120.0, 120, 100, 1, 1, True) is None
    assert imply_vol(21.0, 120, 100, 1, 1, True) is not None


def test_a_surface_comes_back_from_its_vols(seed: int) -> None:
    """A sane smile is fitted to a hundredth of a vol point, free of butterflies, within the kernel's formats."""
    random = Random(seed)
    for _ in range(5):
        time_ms = random.randrange(20, 300) * DAY_MS
        years = time_ms / YEAR_MS
        truth = (0.25 * years, 0.3 * years, random.uniform(-0.6, 0.2), random.uniform(-0.1, 0.1), 0.3)
        k = np.linspace(-0.6, 0.6, 13)
        vols = np.sqrt(total_variance(truth, k) / years)
        fit = fit_svi(k.tolist(), vols.tolist(), time_ms)
        assert fit.worst_vol_error < 1e-4
        assert fit.is_free_of_butterflies
        svi = fit.to_svi(time_ms)
        assert check_surface(svi) is None
        for log_strike, vol in zip(k, vols, strict=True):
            assert abs(vol_floor_q38(svi, round(log_strike * ONE_Q38)) / ONE_Q38 - vol) < 1e-4


def test_arbitrage_is_told() -> None:
    """A smile too steep for its level has a negative density, and a falling term structure is a calendar."""
    steep = SviFit((0.01, 1.2, -0.9, 0.0, 0.05), 0.0, -1.0)
    assert not steep.is_free_of_butterflies
    near, far = (SviFit((level, 0.05, 0.0, 0.0, 0.2), 0.0, 1.0) for level in (0.04, 0.08))
    assert is_free_of_calendars(near, far)
    assert not is_free_of_calendars(far, near)

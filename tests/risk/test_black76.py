"""Prices against fifty digits, and what must hold of them exactly."""

import json
from pathlib import Path
from random import Random

import pytest

from risk.black76 import (
    LOG_MONEYNESS_MAX_Q30,
    TOTAL_VOL_MAX_Q30,
    log_moneyness_nearest_q30,
    otm_fraction_q38,
    price_floor,
    total_vol_nearest_q30,
)
from risk.fixed_point import ONE_Q38, YEAR_MS, ln_q38, sqrt_years_floor_q38
from tests.risk.exact import REAL, from_fixed, price

VOLS = (0.05, 0.2, 0.55, 0.8, 1.5, 4.0)
TIMES_MS = (60_000, 3_600_000, 86_400_000, 30 * 86_400_000, YEAR_MS, 3 * YEAR_MS)
RATIOS = (0.02, 0.3, 0.8, 0.95, 0.999, 1.0, 1.001, 1.05, 1.3, 3.0, 50.0)


def compute_price(forward: int, strike: int, vol_q38: int, time_ms: int, is_call: bool) -> int:
    x = log_moneyness_nearest_q30(ln_q38(forward), ln_q38(strike))
    v = total_vol_nearest_q30(vol_q38, sqrt_years_floor_q38(time_ms))
    return price_floor(forward, strike, x, v, is_call)


@pytest.mark.parametrize("time_ms", TIMES_MS)
@pytest.mark.parametrize("vol", VOLS)
def test_price_on_a_dense_grid(vol: float, time_ms: int, seed: int) -> None:
    """A price is within 1e-9 of min(F, K), and one tick, of the exact one for the quantised inputs."""
    random = Random(seed)
    vol_q38 = round(vol * 2**38)
    v = from_fixed(vol_q38) * REAL.sqrt(REAL.mpf(time_ms) / YEAR_MS)
    for ratio in RATIOS:
        forward = random.randrange(1 << 36, 1 << 44)
        strike = int(forward * ratio)
        for is_call in (True, False):
            exact = price(REAL.mpf(forward), REAL.mpf(strike), v, is_call)
            error = compute_price(forward, strike, vol_q38, time_ms, is_call) - exact
            assert -1e-9 * min(forward, strike) - 1 <= error <= 1e-9 * min(forward, strike)


def test_parity_is_exact(seed: int) -> None:
    """Call minus put is forward minus strike, to the tick."""
    random = Random(seed)
    for _ in range(2_000):
        forward, strike = random.randrange(1, 1 << 44), random.randrange(1, 1 << 44)
        x, v = random.randrange(-LOG_MONEYNESS_MAX_Q30, LOG_MONEYNESS_MAX_Q30), random.randrange(TOTAL_VOL_MAX_Q30)
        call = price_floor(forward, strike, x, v, True)
        assert call - price_floor(forward, strike, x, v, False) == forward - strike


def test_fraction_keeps_its_range(seed: int) -> None:
    """g lies within 0 and 1 on random and boundary points, and is 0 without vol."""
    random = Random(seed)
    distances = [0, 1, LOG_MONEYNESS_MAX_Q30, *(int(2 ** random.uniform(0, 33)) for _ in range(120))]
    vols = [1, 2, TOTAL_VOL_MAX_Q30, *(int(2 ** random.uniform(0, 33.58)) for _ in range(120))]
    for distance in distances:
        assert otm_fraction_q38(distance, 0) == 0
        for vol in vols:
            assert 0 <= otm_fraction_q38(distance, vol) <= ONE_Q38


def test_fraction_rises_with_vol_and_falls_with_distance(seed: int) -> None:
    """More vol is never worth less, more distance never more, but for the kernel's own error."""
    random = Random(seed)
    for _ in range(4_000):
        a = random.randrange(1 << 32)
        v = random.randrange(1 << 18, TOTAL_VOL_MAX_Q30 - 4096)
        here = otm_fraction_q38(a, v)
        assert otm_fraction_q38(a, v + random.randrange(1, 4096)) >= here - 70
        assert otm_fraction_q38(a + random.randrange(1, 4096), v) <= here + 70


def test_without_vol_an_option_is_its_intrinsic_value() -> None:
    """Vol 0 prices the payoff."""
    assert price_floor(120, 100, 1 << 28, 0, True) == 20
    assert price_floor(120, 100, 1 << 28, 0, False) == 0


def test_published_european_values(shared: Path) -> None:
    """Haug's printed option values come out at their printed digits."""
    rows = json.loads((shared / "vectors/quantlib/haug_european_values.json").read_text())["rows"]
    assert len(rows) == 43
    tick = 10**9
    for row in rows:
        years, discount = row["t"], REAL.exp(-row["r"] * row["t"])
        forward = round(row["spot"] * REAL.exp((row["r"] - row["q"]) * years) * tick)
        strike, vol_q38, time_ms = round(row["strike"] * tick), round(row["vol"] * 2**38), round(years * YEAR_MS)
        value = compute_price(forward, strike, vol_q38, time_ms, row["type"] == "Call")
        assert abs(value * discount / tick - row["value"]) <= row["tol"], row

"""The gate: each bound from both sides, and that the kernel behind it really is total."""

import dataclasses
from random import Random

import pytest

from risk.black76 import log_moneyness_nearest_q30, price_floor, total_vol_nearest_q30
from risk.bounds import (
    DISCOUNT_MAX_Q38,
    PRICE_END,
    SVI_A_END_Q38,
    SVI_B_END_Q38,
    SVI_RHO_END_Q38,
    SVI_SHIFT_END_Q38,
    TIME_END_MS,
    VOL_END_Q38,
    Refusal,
    RiskCode,
    check_quote,
    check_surface,
)
from risk.fixed_point import ONE_Q38, YEAR_MS, ln_q38, sqrt_years_floor_q38
from risk.svi import Svi

GOOD = {"forward": 10**8, "strike": 10**8, "vol_q38": ONE_Q38, "time_ms": YEAR_MS, "discount_q38": ONE_Q38}
SURFACE = Svi(a=0, b=1, rho=0, m=0, sigma=1, time_ms=1)


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"forward": 0}, RiskCode.FORWARD_OUT_OF_RANGE, "forward"),
        ({"forward": PRICE_END}, RiskCode.FORWARD_OUT_OF_RANGE, "forward"),
        ({"strike": 0}, RiskCode.STRIKE_OUT_OF_RANGE, "strike"),
        ({"strike": PRICE_END}, RiskCode.STRIKE_OUT_OF_RANGE, "strike"),
        ({"vol_q38": 0}, RiskCode.VOL_OUT_OF_RANGE, "vol"),
        ({"vol_q38": -ONE_Q38}, RiskCode.VOL_OUT_OF_RANGE, "vol"),
        ({"vol_q38": VOL_END_Q38}, RiskCode.VOL_OUT_OF_RANGE, "vol"),
        ({"time_ms": 0}, RiskCode.TIME_OUT_OF_RANGE, "time_ms"),
        ({"time_ms": -1}, RiskCode.TIME_OUT_OF_RANGE, "time_ms"),
        ({"time_ms": TIME_END_MS}, RiskCode.TIME_OUT_OF_RANGE, "time_ms"),
        ({"discount_q38": 0}, RiskCode.DISCOUNT_OUT_OF_RANGE, "discount"),
        ({"discount_q38": DISCOUNT_MAX_Q38 + 1}, RiskCode.DISCOUNT_OUT_OF_RANGE, "discount"),
        ({"discount_q38": ONE_Q38 - (ONE_Q38 >> 6), "time_ms": 470}, RiskCode.DISCOUNT_OUT_OF_RANGE, "discount"),
        ({"strike": 10**8 * 2981}, RiskCode.MONEYNESS_OUT_OF_RANGE, "strike"),
        ({"vol_q38": 12 * ONE_Q38 + 256}, RiskCode.TOTAL_VOL_OUT_OF_RANGE, "vol"),
        ({"vol_q38": 100}, RiskCode.TOTAL_VOL_OUT_OF_RANGE, "vol"),
    ],
)
def test_a_quote_outside_is_refused(changes: dict[str, int], code: RiskCode, field: str) -> None:
    """Each bound refuses with its own code and the name of its field."""
    assert check_quote(**(GOOD | changes)) == Refusal(code, field)


def test_the_ends_themselves_are_inside() -> None:
    """The last value before each bound is taken."""
    for changes in (
        {"strike": 10**8 * 2980},
        {"forward": PRICE_END - 1, "strike": PRICE_END - 1},
        {"forward": 1, "strike": 1},
        {"vol_q38": 12 * ONE_Q38},
        {"time_ms": 1},
        {"time_ms": TIME_END_MS - 1},
        {"discount_q38": 1},
        {"discount_q38": DISCOUNT_MAX_Q38},
        {"discount_q38": ONE_Q38 - (ONE_Q38 >> 6), "time_ms": 480},
    ):
        assert check_quote(**(GOOD | changes)) is None, changes


def test_whatever_passes_the_gate_has_a_price(seed: int) -> None:
    """Random numbers around every bound are either refused or priced between the intrinsic value and its limit."""
    random = Random(seed)
    priced = 0
    for _ in range(5_000):
        forward, strike = (int(2 ** random.uniform(-1, 46)) * random.choice((1, 1, 1, -1)) for _ in range(2))
        vol_q38, time_ms = int(2 ** random.uniform(-1, 52)), int(2 ** random.uniform(-1, 40))
        if check_quote(forward, strike, vol_q38, time_ms, ONE_Q38) is not None:
            continue
        x = log_moneyness_nearest_q30(ln_q38(forward), ln_q38(strike))
        v = total_vol_nearest_q30(vol_q38, sqrt_years_floor_q38(time_ms))
        assert max(forward - strike, 0) <= price_floor(forward, strike, x, v, True) <= forward
        assert max(strike - forward, 0) <= price_floor(forward, strike, x, v, False) <= strike
        priced += 1
    assert priced > 100


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("a", SVI_A_END_Q38),
        ("a", -SVI_A_END_Q38),
        ("b", -1),
        ("b", SVI_B_END_Q38),
        ("rho", SVI_RHO_END_Q38),
        ("rho", -SVI_RHO_END_Q38),
        ("m", SVI_SHIFT_END_Q38),
        ("sigma", 0),
        ("sigma", SVI_SHIFT_END_Q38),
        ("time_ms", 0),
        ("time_ms", TIME_END_MS),
    ],
)
def test_a_surface_outside_is_refused(field: str, value: int) -> None:
    """Each SVI parameter is named when it leaves its format."""
    assert check_surface(SURFACE) is None
    outside = dataclasses.replace(SURFACE, **{field: value})
    assert check_surface(outside) == Refusal(RiskCode.SURFACE_OUT_OF_RANGE, field)

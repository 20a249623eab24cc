"""Greeks against their closed forms at fifty digits, against printed ones, and against the prices themselves."""

import json
from dataclasses import asdict
from pathlib import Path
from random import Random

from risk.black76 import log_moneyness_nearest_q30, price_floor, total_vol_nearest_q30
from risk.bounds import check_quote
from risk.fixed_point import ONE_Q38, YEAR_MS, ln_q38, sqrt_years_floor_q38
from risk.greeks import Greeks, compute_greeks
from tests.risk.exact import REAL, from_fixed, greeks

TICK = 10**9


def compute(
    forward: int, strike: int, vol_q38: int, time_ms: int, discount_q38: int, is_call: bool
) -> tuple[Greeks, int]:
    """Greeks and the discounted price over the forward in Q38."""
    x = ln_q38(forward) - ln_q38(strike)
    v = total_vol_nearest_q30(vol_q38, sqrt_years_floor_q38(time_ms))
    undiscounted = price_floor(forward, strike, log_moneyness_nearest_q30(ln_q38(forward), ln_q38(strike)), v, is_call)
    price_q38 = undiscounted * discount_q38 // forward
    return compute_greeks(x, vol_q38, time_ms, discount_q38, price_q38, is_call), price_q38


def test_greeks_against_closed_forms(seed: int) -> None:
    """Every Greek is within 1e-7 of its natural scale, and two units of the format, of the exact one for the quantised
    inputs.
    """
    random = Random(seed)
    checked = 0
    while checked < 1_500:
        vol_q38 = int(random.uniform(0.05, 3) * 2**38)
        time_ms = int(10 ** random.uniform(6.6, 11))
        v = from_fixed(vol_q38) * REAL.sqrt(REAL.mpf(time_ms) / YEAR_MS)
        forward = random.randrange(1 << 40, 1 << 44)
        strike = int(forward * REAL.exp(random.uniform(-4, 4) * v))
        if v < 0.002 or not 1 << 36 < strike < 1 << 44:
            continue
        discount_q38 = int(random.uniform(0.6, 1.05) * 2**38)
        is_call = bool(random.randrange(2))
        measured, _ = compute(forward, strike, vol_q38, time_ms, discount_q38, is_call)
        x = REAL.log(REAL.mpf(forward) / strike)
        years = REAL.mpf(time_ms) / YEAR_MS
        exact = greeks(x, from_fixed(vol_q38), years, from_fixed(discount_q38), is_call)
        for name, value in asdict(measured).items():
            expected, scale = exact[name]
            assert abs(from_fixed(value) - expected) <= 1e-7 * scale + 8e-12, (name, forward, strike, vol_q38, time_ms)
        checked += 1


def test_extremes_stay_finite() -> None:
    """At the ends of the domain every Greek still fits 63 bits."""
    for time_ms, vol_q38 in ((1, 1 << 20), (1, (1 << 50) - 1), (16 * YEAR_MS - 1, 1), (16 * YEAR_MS - 1, 3 << 38)):
        for strike in (1 << 33, 1 << 40, (1 << 44) - 1):
            for discount_q38 in (1, ONE_Q38 + (1 << 30), 2 * ONE_Q38):
                quote = (1 << 40, strike, vol_q38, time_ms, discount_q38)
                if check_quote(*quote) is None:
                    measured, _ = compute(*quote, True)
                    assert all(abs(value) < 1 << 63 for value in asdict(measured).values())


def test_call_and_put_differ_by_the_forward(seed: int) -> None:
    """Gamma, vega, vanna and volga are the same for both rights, delta differs by the discount."""
    random = Random(seed)
    for _ in range(200):
        forward, strike = random.randrange(1 << 40, 1 << 41), random.randrange(1 << 40, 1 << 41)
        quote = (forward, strike, random.randrange(1 << 36, 1 << 39))
        call, _ = compute(*quote, 86_400_000 * 40, ONE_Q38 - (1 << 30), True)
        put, _ = compute(*quote, 86_400_000 * 40, ONE_Q38 - (1 << 30), False)
        assert (call.gamma, call.vega, call.vanna, call.volga) == (put.gamma, put.vega, put.vanna, put.volga)
        assert abs(call.delta - put.delta - (ONE_Q38 - (1 << 30))) <= 1


def test_a_day_costs_theta() -> None:
    """Revaluing an option a minute on takes off a minute's theta, and moves delta by a minute's charm."""
    forward, strike, vol_q38, time_ms = 100 * TICK, 110 * TICK, int(0.7 * 2**38), 20 * 86_400_000
    rate = REAL.mpf("0.05")
    discounts = [REAL.exp(-rate * t / YEAR_MS) for t in (time_ms, time_ms - 60_000)]
    now, price_now = compute(forward, strike, vol_q38, time_ms, int(discounts[0] * 2**38), True)
    later, price_later = compute(forward, strike, vol_q38, time_ms - 60_000, int(discounts[1] * 2**38), True)
    assert abs((price_later - price_now) * 1440 - now.theta) < 0.001 * abs(now.theta)
    assert abs((later.delta - now.delta) * 1440 - now.charm) < 0.001 * abs(now.charm)


def test_published_greeks(shared: Path) -> None:
    """Haug's printed delta, gamma and vega come out at their printed digits once carried from spot to forward."""
    rows = json.loads((shared / "vectors/quantlib/haug_greeks.json").read_text())["rows"]
    compared = 0
    for name, right, strike, spot, q, r, t, vol, value in rows:
        if name not in {"delta", "gamma", "vega", "elasticity"}:
            continue
        growth = REAL.exp((r - q) * t)
        forward = round(spot * growth * TICK)
        discount = REAL.exp(-REAL.mpf(r) * t)
        measured, price_q38 = compute(
            forward, strike * TICK, round(vol * 2**38), round(t * YEAR_MS), int(discount * 2**38), right == "Call"
        )
        expected = {
            "delta": from_fixed(measured.delta) * growth,
            "gamma": from_fixed(measured.gamma) * growth / spot,
            "vega": from_fixed(measured.vega) * spot * growth,
            "elasticity": REAL.mpf(measured.delta) / price_q38,
        }[name]
        assert abs(expected - value) < 1e-4, (name, right)
        compared += 1
    assert compared == 7

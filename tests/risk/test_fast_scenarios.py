"""Scenarios compiled are the reference's, term by term and bit for bit."""

from random import Random

import numpy as np
import pytest

from risk.concentration import compute_exposures_floor
from risk.fast import sqrt_years_floor_q38, years_floor_q38
from risk.fast_scenarios import fill_exposures, fill_shocks, fill_terms, make_terms, pack_readings, pack_rules
from risk.fixed_point import YEAR_MS, ln_q38
from risk.fixed_point import sqrt_years_floor_q38 as exact_sqrt_years_floor_q38
from risk.fixed_point import years_floor_q38 as exact_years_floor_q38
from risk.parameter_sets import PARAMETER_SETS
from risk.scenarios import compute_shocked_forwards, compute_shocks, compute_skew_terms, compute_terms
from tests.risk.samples import make_market


def test_time_is_exact(seed: int) -> None:
    """Years and their root, from a millisecond to the last one before the end."""
    random = Random(seed)
    times = [0, 1, 2, 1000, YEAR_MS - 1, YEAR_MS, YEAR_MS + 1, 4 * YEAR_MS, 16 * YEAR_MS - 1]
    for time_ms in times + [int(2 ** random.uniform(0, 38.87)) for _ in range(5_000)]:
        assert years_floor_q38(time_ms) == exact_years_floor_q38(time_ms)
        assert sqrt_years_floor_q38(time_ms) == exact_sqrt_years_floor_q38(time_ms)


@pytest.mark.parametrize("name", PARAMETER_SETS)
def test_terms_are_the_references(name: str, seed: int) -> None:
    """Shocks, skews, vol terms, discounts and shocked forwards of random expiries, under every set."""
    random = Random(seed)
    parameters = PARAMETER_SETS[name]
    rules = pack_rules(parameters)
    for _ in range(10):
        underlying = make_market(random, underlyings=1, expiries=4).underlyings[0]
        exact_shocks = compute_shocks(parameters, underlying)
        shocks = np.empty((len(exact_shocks), 2), np.int64)
        fill_shocks(rules, underlying.volatility_q38, shocks)
        assert shocks.tolist() == [[shock.factor_q38, shock.log_q30] for shock in exact_shocks]
        terms = make_terms(4, len(parameters.steps_ms), len(exact_shocks))
        for row, (expiry, reading) in enumerate(
            zip(underlying.expiries, pack_readings(underlying.expiries), strict=True)
        ):
            fill_terms(rules, reading, shocks, row, terms)
            skew = compute_skew_terms(parameters.skew, expiry.time_ms)
            assert terms.skew[row].tolist() == [skew.linear_cap, skew.absolute_cap, skew.width]
            assert terms.ln_forward[row] == ln_q38(expiry.forward)
            for step, step_ms in enumerate(parameters.steps_ms):
                exact = compute_terms(parameters, expiry, step_ms)
                vols = [exact.root, exact.vol_up, exact.vol_down, exact.total_vol_floor]
                assert terms.vols[row, step].tolist() == vols
                assert terms.static[row, step].tolist() == [exact.long_discount, exact.short_discount]
                assert step > 0 or terms.discount[row] == exact.discount
            forwards = compute_shocked_forwards(parameters, expiry, exact_shocks)
            assert terms.shocked[row].tolist() == [list(pair) for pair in forwards]


def test_exposures_are_the_references(seed: int) -> None:
    """Gamma and vega of a lot, up to the saturation of gamma and beyond the tail."""
    random = Random(seed)
    lot = np.empty(3, np.int64)
    for _ in range(5_000):
        forward, strike = (int(2 ** random.uniform(0, 44)) for _ in range(2))
        distance = int(2 ** random.uniform(0, 33)) * random.randrange(2)
        total_vol = int(2 ** random.uniform(0, 33.58)) * random.choice((0, 1, 1, 1))
        fill_exposures(min(forward, strike), distance, total_vol, lot)
        assert tuple(lot[1:].tolist()) == compute_exposures_floor(forward, strike, distance, total_vol)

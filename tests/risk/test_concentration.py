"""Add-ons for size: nothing up to the threshold, a fraction of the excess beyond, against the Greeks themselves."""

from dataclasses import replace
from random import Random

from risk.black76 import log_moneyness_nearest_q30, otm_fraction_q38, total_vol_nearest_q30
from risk.concentration import INVERSE_VOL_MAX_Q38, compute_concentration_ceil, compute_exposures_floor
from risk.explain import compute_option_greeks
from risk.fixed_point import ONE_Q38, ln_q38, sqrt_years_floor_q38
from risk.margin import compute_margin
from risk.market import Option
from risk.parameter_sets import PARAMETER_SETS
from risk.parameters import Concentration, Tier
from risk.svi import clamp_to_wings_q38, vol_floor_q38
from tests.risk.samples import make_market, make_portfolio, q38

RULES = Concentration(q38(0.1), q38(0.5), q38(0.25))
KEEL = replace(PARAMETER_SETS["keel"], concentration=RULES)


def test_exposures_are_the_greeks(seed: int) -> None:
    """F^2 gamma and vega times vol of a lot agree with the Greeks, on either side of the money."""
    random = Random(seed)
    for _ in range(200):
        expiry = make_market(random, underlyings=1).underlyings[0].expiries[0]
        expiry = replace(expiry, rate_q38=0)
        strike = int(expiry.forward * random.uniform(0.8, 1.25))
        log_moneyness = ln_q38(expiry.forward) - ln_q38(strike)
        vol = vol_floor_q38(expiry.svi, clamp_to_wings_q38(expiry.svi, -log_moneyness, KEEL.wing_width))
        distance = abs(log_moneyness_nearest_q30(ln_q38(expiry.forward), ln_q38(strike)))
        total_vol = total_vol_nearest_q30(vol, sqrt_years_floor_q38(expiry.time_ms))
        gamma, vega = compute_exposures_floor(expiry.forward, strike, distance, total_vol)
        greeks = compute_option_greeks(KEEL, expiry, Option(0, 0, strike, True, 1))
        unit = expiry.forward / ONE_Q38
        assert abs(gamma - greeks.gamma * unit) < 1e-6 * expiry.forward + 2
        assert abs(vega - greeks.vega * unit * vol / ONE_Q38) < 1e-6 * expiry.forward + 2


def test_there_is_no_exposure_where_there_is_no_time_value() -> None:
    """Without vol and far out both are nothing; close to the end gamma saturates."""
    assert compute_exposures_floor(10**9, 10**9, 0, 0) == (0, 0)
    assert otm_fraction_q38(1 << 30, 1 << 24) == 0
    assert compute_exposures_floor(10**9, 10**9, 1 << 30, 1 << 24) == (0, 0)
    assert compute_exposures_floor(1 << 43, 1 << 43, 0, 1) == (INVERSE_VOL_MAX_Q38 << 5, 3264)


def test_only_the_excess_costs() -> None:
    """At the thresholds nothing is charged; one unit beyond it rounds up; ten times the size costs the fraction."""
    gamma, vega = -(10**12), -(10**10)
    gamma_pnl, vega_pnl = 10**12 * 0.1**2 / 2, 10**10 * 0.5
    at = Tier(0, 0, gamma_threshold=round(gamma_pnl) + 1, vega_threshold=round(vega_pnl) + 1)
    assert compute_concentration_ceil(KEEL, at, gamma, vega) == 0
    below = replace(at, gamma_threshold=at.gamma_threshold - 3)
    assert 0 < compute_concentration_ceil(KEEL, below, gamma, vega) <= 2
    charge = compute_concentration_ceil(KEEL, at, 10 * gamma, 10 * vega)
    assert abs(charge - (9 * gamma_pnl * 0.5 + 9 * vega_pnl * 0.25)) < 30
    assert compute_concentration_ceil(replace(KEEL, concentration=Concentration()), at, 10 * gamma, 10 * vega) == 0


def test_long_gamma_is_free() -> None:
    """Only short gamma is charged; vega of either sign is."""
    tier = Tier(0, 0)
    long, short = (compute_concentration_ceil(KEEL, tier, sign * 10**12, sign * 10**10) for sign in (1, -1))
    assert 0 < long < short
    assert abs(long - 10**10 * 0.5 * 0.25) < 3


def test_every_underlying_is_charged_for_itself(seed: int) -> None:
    """What one underlying is long of pays for nothing in another, and both margins hold the charge."""
    random = Random(seed)
    market = make_market(random)
    portfolio = make_portfolio(random, market)
    tight = replace(KEEL, tiers=(replace(KEEL.tiers[0], gamma_threshold=0, vega_threshold=0),))
    free = replace(tight, concentration=Concentration())
    charged, uncharged = (compute_margin(parameters, market, portfolio) for parameters in (tight, free))
    alone = [compute_concentration_ceil(tight, tight.tiers[0], risk.gamma, risk.vega) for risk in charged.underlyings]
    assert charged.concentration == sum(alone) > 0
    assert uncharged.initial - charged.initial == uncharged.maintenance - charged.maintenance == sum(alone)

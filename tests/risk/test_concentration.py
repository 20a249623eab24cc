"""Add-ons for size: nothing up to the threshold, a fraction of the excess beyond, against the Greeks themselves."""

from dataclasses import replace
from random import Random

from risk.concentration import compute_concentration_ceil, compute_exposures
from risk.explain import compute_option_greeks
from risk.fixed_point import ONE_Q38, ln_q38
from risk.market import Option
from risk.parameter_sets import PARAMETER_SETS
from risk.parameters import Concentration
from risk.svi import clamp_to_wings_q38, vol_floor_q38
from tests.risk.samples import make_market, make_portfolio, q38

RULES = Concentration(q38(0.1), 1000, q38(0.5), 1000, q38(0.25))
KEEL = replace(PARAMETER_SETS["keel"], concentration=RULES)


def test_exposures_are_the_greeks(seed: int) -> None:
    """The gamma P&L of a move and the vega P&L of the upward shock agree with gamma and vega."""
    random = Random(seed)
    for _ in range(100):
        market = make_market(random, underlyings=1)
        expiry = market.underlyings[0].expiries[0]
        option = Option(0, 0, int(expiry.forward * random.uniform(0.8, 1.25)), True, 10**9)
        gamma, vega = compute_exposures(KEEL, market, option)
        greeks = compute_option_greeks(KEEL, replace(expiry, rate_q38=0), option)
        notional = option.quantity * expiry.forward / ONE_Q38
        assert abs(gamma - notional * greeks.gamma * 0.1**2 / 2) < 1e-6 * notional * ONE_Q38
        log_strike = clamp_to_wings_q38(expiry.svi, ln_q38(option.strike) - ln_q38(expiry.forward), KEEL.wing_width)
        vol = vol_floor_q38(expiry.svi, log_strike) / ONE_Q38
        assert abs(vega - notional * greeks.vega * vol * 0.5) < 1e-6 * notional * ONE_Q38


def test_only_the_excess_costs(seed: int) -> None:
    """At the thresholds nothing is charged; ten times the size costs the fraction of what exceeds them."""
    random = Random(seed)
    market = make_market(random, underlyings=1)
    strike = market.underlyings[0].expiries[0].forward
    portfolio = replace(make_portfolio(random, market, 1), options=(Option(0, 0, strike, True, -100),))
    gamma, vega = compute_exposures(KEEL, market, portfolio.options[0])
    assert gamma < 0
    assert vega < 0
    at = replace(RULES, gamma_threshold=-gamma, vega_threshold=-vega)
    assert compute_concentration_ceil(replace(KEEL, concentration=at), market, portfolio) == 0
    larger = replace(portfolio, options=(replace(portfolio.options[0], quantity=-1000),))
    charge = compute_concentration_ceil(replace(KEEL, concentration=at), market, larger)
    assert abs(charge - (9 * -gamma * 0.5 + 9 * -vega * 0.25)) < 30
    assert compute_concentration_ceil(replace(KEEL, concentration=None), market, larger) == 0


def test_long_gamma_is_free(seed: int) -> None:
    """A long option has no gamma to lose; its vega counts as a short one's does."""
    random = Random(seed)
    market = make_market(random, underlyings=1)
    strike = market.underlyings[0].expiries[0].forward
    rules = replace(RULES, gamma_threshold=0, vega_threshold=0)
    charges = []
    for quantity in (100, -100):
        portfolio = replace(make_portfolio(random, market, 1), options=(Option(0, 0, strike, True, quantity),))
        charges.append(compute_concentration_ceil(replace(KEEL, concentration=rules), market, portfolio))
    assert 0 < charges[0] < charges[1]

"""Tiers: who qualifies, and what it changes."""

from dataclasses import replace
from random import Random

from risk.tiers import compute_tier_margin, is_eligible, make_tiers
from tests.risk.samples import DOLLAR, make_market, make_portfolio

TIERS = make_tiers(DOLLAR)


def test_a_rich_account_may_be_professional(seed: int) -> None:
    """With plenty of equity the chosen tier applies and asks for less; without, everybody's does."""
    random = Random(seed)
    market = make_market(random)
    portfolio = make_portfolio(random, market)
    rich, poor = (replace(portfolio, cash=cash * DOLLAR) for cash in (10**12, -(10**12)))
    _, standard = compute_tier_margin(TIERS, 0, market, rich)
    applied, professional = compute_tier_margin(TIERS, 1, market, rich)
    assert applied == 1
    assert professional.initial >= standard.initial
    assert compute_tier_margin(TIERS, 1, market, poor)[0] == 0


def test_eligibility_ends_exactly_at_its_bounds(seed: int) -> None:
    """One quote unit of equity decides."""
    random = Random(seed)
    market = make_market(random)
    portfolio = replace(make_portfolio(random, market), options=(), perpetuals=(0, 0), collateral=())
    at, below = (replace(portfolio, cash=TIERS[1].minimum_equity - missing) for missing in (0, 1))
    assert compute_tier_margin(TIERS, 1, market, at)[0] == 1
    assert compute_tier_margin(TIERS, 1, market, below)[0] == 0


def test_use_is_measured_under_the_first_tier(seed: int) -> None:
    """An account whose standard requirement takes over four fifths of its equity stays standard, however rich."""
    random = Random(seed)
    market = make_market(random)
    portfolio = make_portfolio(random, market)
    _, margin = compute_tier_margin(TIERS, 0, market, portfolio)
    use = margin.equity - margin.initial
    tight = replace(margin, equity=10 * TIERS[1].minimum_equity, initial=2 * TIERS[1].minimum_equity - 100)
    loose = replace(tight, initial=2 * TIERS[1].minimum_equity + 100)
    assert use >= 0
    assert not is_eligible(TIERS[1], tight)
    assert is_eligible(TIERS[1], loose)

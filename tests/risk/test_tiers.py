"""Tiers: who qualifies, and what it changes."""

from dataclasses import replace
from random import Random

from risk.margin import compute_margin
from risk.parameter_sets import PARAMETER_SETS
from risk.tiers import choose_tier, is_eligible
from tests.risk.samples import DOLLAR, make_market, make_portfolio

KEEL = PARAMETER_SETS["keel"]
PROFESSIONAL = KEEL.tiers[1]


def test_a_rich_account_may_be_professional(seed: int) -> None:
    """With plenty of equity the chosen tier applies and asks for less; without, everybody's does."""
    random = Random(seed)
    market = make_market(random)
    portfolio = make_portfolio(random, market)
    rich, poor = (replace(portfolio, cash=cash * DOLLAR) for cash in (10**12, -(10**12)))
    standard, professional = (compute_margin(KEEL, market, rich, tier=tier) for tier in (0, 1))
    assert (standard.tier, professional.tier) == (0, 1)
    assert professional.equity == standard.equity
    assert professional.initial > standard.initial
    assert professional.maintenance > standard.maintenance
    assert compute_margin(KEEL, market, poor, tier=1) == compute_margin(KEEL, market, poor)


def test_eligibility_ends_exactly_at_its_bounds(seed: int) -> None:
    """One quote unit of equity decides."""
    random = Random(seed)
    market = make_market(random)
    empty = replace(make_portfolio(random, market), options=(), perpetuals=(0, 0), futures=(), collateral=())
    for missing, tier in ((0, 1), (1, 0)):
        portfolio = replace(empty, cash=PROFESSIONAL.minimum_equity - missing)
        assert compute_margin(KEEL, market, portfolio, tier=1).tier == tier


def test_use_is_measured_under_the_first_tier() -> None:
    """A requirement over four fifths of equity does not qualify, however rich the account is."""
    equity = 10 * PROFESSIONAL.minimum_equity
    assert is_eligible(PROFESSIONAL, equity, equity // 5 + 100)
    assert not is_eligible(PROFESSIONAL, equity, equity // 5 - 100)


def test_a_tier_that_the_rules_no_longer_know_is_their_last(seed: int) -> None:
    """An account that chose the fourth tier keeps what is left of it when the rules have two, or one."""
    assert [choose_tier(KEEL, chosen) for chosen in (0, 1, 3, 255)] == [0, 1, 1, 1]
    assert choose_tier(PARAMETER_SETS["derive_pm2"], 1) == 0
    random = Random(seed)
    market = make_market(random)
    rich = replace(make_portfolio(random, market), cash=10**12 * DOLLAR)
    assert compute_margin(KEEL, market, rich, tier=255) == compute_margin(KEEL, market, rich, tier=1)

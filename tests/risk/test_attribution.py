"""P&L by Greek: parts that add up, each alone where only its own cause moved, and a residual of higher order."""

from dataclasses import replace
from random import Random

import pytest

from risk.attribution import Attribution, add_attributions, attribute_pnl
from risk.fixed_point import DAY_MS
from risk.margin import compute_margin
from risk.market import Expiry, Market, Option, Portfolio
from risk.parameter_sets import PARAMETER_SETS
from tests.risk.samples import make_market, make_portfolio

KEEL = PARAMETER_SETS["keel"]
PARTS = ("delta", "gamma", "vega", "theta", "vanna", "volga")


def make_account(random: Random) -> tuple[Market, Portfolio]:
    """Expiries of ten days and more, options near the money, no collateral and no rates."""
    market = make_market(random)
    underlyings = tuple(
        replace(
            underlying,
            expiries=tuple(
                replace(
                    expiry,
                    time_ms=expiry.time_ms + 10 * DAY_MS,
                    rate_q38=0,
                    svi=replace(expiry.svi, time_ms=expiry.svi.time_ms + 10 * DAY_MS, b=expiry.svi.b // 4),
                )
                for expiry in underlying.expiries
            ),
        )
        for underlying in market.underlyings
    )
    market = replace(market, underlyings=underlyings)
    portfolio = make_portfolio(random, market)
    options = tuple(o for o in portfolio.options if abs(o.strike * 10 // find(market, o).forward - 10) <= 2)
    return market, replace(portfolio, options=options, collateral=())


def find(market: Market, option: Option) -> Expiry:
    return market.underlyings[option.underlying].expiries[option.expiry]


def move(market: Market, spot_ppm: int, variance_ppm: int, passed_ms: int) -> Market:
    """Every price by so much, every total variance by so much, and so much later."""

    def up(price: int) -> int:
        return price + price * spot_ppm // 10**6

    def later(expiry: Expiry) -> Expiry:
        svi = expiry.svi
        scaled = {name: getattr(svi, name) * (10**6 + variance_ppm) // 10**6 for name in ("a", "b")}
        return replace(
            expiry, forward=up(expiry.forward), time_ms=expiry.time_ms - passed_ms, svi=replace(svi, **scaled)
        )

    underlyings = tuple(
        replace(u, spot=up(u.spot), mark=up(u.mark), expiries=tuple(map(later, u.expiries))) for u in market.underlyings
    )
    return replace(market, underlyings=underlyings)


def attribute(before: Market, after: Market, portfolio: Portfolio) -> Attribution:
    return add_attributions(attribute_pnl(KEEL, before, after, portfolio))


def test_parts_add_up_to_what_margin_says(seed: int) -> None:
    """Over any move the total is the difference of equity and the perpetuals' own, to the last quote unit."""
    random = Random(seed)
    for _ in range(10):
        before, portfolio = make_account(random)
        after = move(before, random.randrange(-300_000, 300_000), random.randrange(-500_000, 500_000), 9 * DAY_MS)
        answer = attribute(before, after, portfolio)
        equities = [compute_margin(KEEL, market, portfolio).quote_equity for market in (before, after)]
        perpetuals = sum(
            quantity * (b.mark - a.mark)
            for quantity, a, b in zip(portfolio.perpetuals, before.underlyings, after.underlyings, strict=True)
        )
        assert answer.total == equities[1] - equities[0] + perpetuals
        assert answer.total == sum(getattr(answer, name) for name in PARTS) + answer.residual


@pytest.mark.parametrize(
    ("spot_ppm", "variance_ppm", "hours", "present"),
    [(1000, 0, 0, {"delta", "gamma"}), (0, 5000, 0, {"vega", "volga"}), (0, 0, 1, {"theta"}), (0, 0, 0, set())],
)
def test_each_cause_has_its_part(seed: int, spot_ppm: int, variance_ppm: int, hours: int, present: set[str]) -> None:
    """Where only the forward moved there is delta and gamma, where only vols did vega and volga, over time theta.

    A surface that moves with the forward changes the vol at a strike: here it is flat.
    """
    random = Random(seed)
    before, portfolio = make_account(random)
    flat = tuple(
        replace(u, expiries=tuple(replace(e, svi=replace(e.svi, b=0)) for e in u.expiries)) for u in before.underlyings
    )
    before = replace(before, underlyings=flat)
    strike = before.underlyings[0].expiries[0].forward
    portfolio = replace(portfolio, options=(Option(0, 0, strike * 11 // 10, True, 1000),))
    answer = attribute(before, move(before, spot_ppm, variance_ppm, hours * DAY_MS // 24), portfolio)
    assert {name for name in PARTS if getattr(answer, name) not in (0, -1)} == present
    assert answer.residual * 20 <= abs(answer.total)


def test_the_residual_is_of_higher_order(seed: int) -> None:
    """Half the move, with a quarter of the time, leaves less than a fifth of the residual, over many accounts."""
    random = Random(seed)
    residuals = [0, 0]
    explained = 0
    for _ in range(40):
        before, portfolio = make_account(random)
        spot_ppm, variance_ppm = random.choice((-8000, 8000)), random.choice((-16000, 16000))
        for index, (divisor, passed_ms) in enumerate(((1, DAY_MS // 24), (2, DAY_MS // 96))):
            after = move(before, spot_ppm // divisor, variance_ppm // divisor, passed_ms)
            answer = attribute(before, after, portfolio)
            residuals[index] += abs(answer.residual)
        explained += abs(answer.total)
    assert residuals[1] * 5 < residuals[0]
    assert residuals[1] * 100 < explained

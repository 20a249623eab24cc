"""Random markets and portfolios of realistic shape, in micro-dollars a lot."""

from random import Random

from risk.fixed_point import DAY_MS, ONE_Q38, YEAR_MS
from risk.market import Collateral, Expiry, Market, Option, Portfolio, Underlying
from risk.svi import Svi

DOLLAR = 10**6


def q38(value: float) -> int:
    return round(value * ONE_Q38)


def make_expiry(random: Random, time_ms: int, forward: int) -> Expiry:
    years = time_ms / YEAR_MS
    level = random.uniform(0.4, 1.2) ** 2 * years
    svi = Svi(
        a=q38(level * 0.6),
        b=q38(level * random.uniform(0.2, 0.8)),
        rho=q38(random.uniform(-0.6, 0.4)),
        m=q38(random.uniform(-0.1, 0.1)),
        sigma=q38(random.uniform(0.05, 0.5)),
        time_ms=time_ms,
    )
    return Expiry(time_ms, forward, 0, q38(random.uniform(-0.02, 0.1)), q38(random.uniform(0.3, 1)), svi)


def make_underlying(random: Random, expiries: int) -> Underlying:
    spot = int(10 ** random.uniform(1, 5)) * DOLLAR
    days = sorted(random.sample(range(1, 700), expiries))
    return Underlying(
        spot=spot,
        mark=int(spot * random.uniform(0.999, 1.001)),
        spot_confidence_q38=q38(random.choice((1, 0.9, 0.4))),
        mark_confidence_q38=q38(random.choice((1, 0.8, 0.5))),
        expiries=tuple(make_expiry(random, day * DAY_MS, int(spot * random.uniform(0.99, 1.05))) for day in days),
    )


def make_market(random: Random, underlyings: int = 2, expiries: int = 3) -> Market:
    return Market(tuple(make_underlying(random, expiries) for _ in range(underlyings)), q38(random.choice((1, 0.97))))


def make_portfolio(random: Random, market: Market, options: int = 8) -> Portfolio:
    held: dict[tuple[int, int, int, bool], int] = {}
    while len(held) < options:
        underlying = random.randrange(len(market.underlyings))
        expiry = random.randrange(len(market.underlyings[underlying].expiries))
        forward = market.underlyings[underlying].expiries[expiry].forward
        strike = int(forward * random.choice((0.5, 0.8, 0.9, 1, 1.1, 1.3, 2)))
        instrument = (underlying, expiry, strike, bool(random.getrandbits(1)))
        held[instrument] = random.choice((-1, 1)) * random.randrange(1, 400)
    return Portfolio(
        cash=random.randrange(-(10**6), 10**6) * DOLLAR,
        perpetuals=tuple(random.randrange(-50, 50) for _ in market.underlyings),
        options=tuple(Option(*instrument, quantity) for instrument, quantity in sorted(held.items())),
        collateral=(
            Collateral(random.randrange(10**6) * DOLLAR, 0, q38(0.03), q38(0.01), q38(0.5), q38(0.55)),
            Collateral(random.randrange(10**5) * DOLLAR, -1, q38(0.2), q38(0.1), ONE_Q38, q38(0.55)),
        ),
    )

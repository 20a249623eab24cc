"""What made an account's P&L between two markets: delta, gamma, vega, theta, vanna and volga, and what they leave over.

A Taylor expansion around the first market, option by option: in the forward, in the vol at the option's own strike, and
in time; what is left over holds higher orders, cross terms with time, and rates. The whole is the difference of
margin's own marks, so that the parts and the residual add up exactly. Integers throughout; for reading, never margin.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from risk.explain import compute_option_greeks
from risk.fixed_point import DAY_MS, ln_q38
from risk.margin import compute_underlying_risk, value_collateral_floor
from risk.market import Expiry, Market, Option, Portfolio
from risk.parameters import Contingencies, Parameters, Scenario, VolShock
from risk.settlement import settle_to_cash
from risk.svi import clamp_to_wings_q38, vol_floor_q38


@dataclass(frozen=True, slots=True)
class Attribution:
    """Quote units. `delta` is that of perpetuals, futures and following collateral too; all but the last add up to the
    last."""

    delta: int
    gamma: int
    vega: int
    theta: int
    vanna: int
    volga: int
    residual: int
    total: int


def attribute_pnl(
    parameters: Parameters, before: Market, after: Market, portfolio: Portfolio
) -> tuple[Attribution, ...]:
    """By underlying, the P&L of holding a portfolio from one market to the other.

    Both have passed checks.check_inputs with it and list the same underlyings and expiries, of which none has settled.
    """
    plain = replace(parameters, scenarios=(Scenario(0, VolShock.NONE),), steps_ms=(0,), contingencies=Contingencies())
    assert settle_to_cash(after, portfolio) == portfolio
    answers = []
    for index in range(len(before.underlyings)):
        worth = [compute_underlying_risk(plain, market, portfolio, index).mark for market in (before, after)]
        linear, futures = sum_linear_changes(before, after, portfolio, index)
        parts = [linear + futures, 0, 0, 0, 0, 0]
        for option in portfolio.options:
            if option.underlying == index:
                start, end = (market.underlyings[index].expiries[option.expiry] for market in (before, after))
                parts = [a + b for a, b in zip(parts, expand(parameters, start, end, option), strict=True)]
        total = worth[1] - worth[0] + linear
        answers.append(Attribution(*(*parts, total - sum(parts), total)))
    return tuple(answers)


def sum_linear_changes(before: Market, after: Market, portfolio: Portfolio, index: int) -> tuple[int, int]:
    """What perpetuals and following collateral made, and what futures did."""
    start, end = before.underlyings[index], after.underlyings[index]
    perpetuals = portfolio.perpetuals[index] * (end.mark - start.mark)
    values = [value_collateral_floor(c.value, before.stable_q38) for c in portfolio.collateral if c.follows == index]
    futures = sum(
        future.quantity * (end.expiries[future.expiry].forward - start.expiries[future.expiry].forward)
        for future in portfolio.futures
        if future.underlying == index
    )
    return perpetuals + sum(value * (end.spot - start.spot) // start.spot for value in values), futures


def expand(parameters: Parameters, start: Expiry, end: Expiry, option: Option) -> list[int]:
    """One position's delta, gamma, vega, theta, vanna and volga P&L, in quote units."""
    greeks = compute_option_greeks(parameters, start, option)
    move = ((end.forward - start.forward) << 38) // start.forward
    vol = find_vol_q38(parameters, end, option.strike) - find_vol_q38(parameters, start, option.strike)
    days = ((start.time_ms - end.time_ms) << 38) // DAY_MS
    fractions = (
        greeks.delta * move >> 38,
        greeks.gamma * (move * move >> 38) >> 39,
        greeks.vega * vol >> 38,
        greeks.theta * days >> 38,
        greeks.vanna * (move * vol >> 38) >> 38,
        greeks.volga * (vol * vol >> 38) >> 39,
    )
    notional = option.quantity * start.forward
    return [notional * fraction >> 38 for fraction in fractions]


def find_vol_q38(parameters: Parameters, expiry: Expiry, strike: int) -> int:
    """The annual vol that margin marks a strike with."""
    log_strike = ln_q38(strike) - ln_q38(expiry.forward)
    return vol_floor_q38(expiry.svi, clamp_to_wings_q38(expiry.svi, log_strike, parameters.wing_width))


def add_attributions(parts: Sequence[Attribution]) -> Attribution:
    """All underlyings together."""
    return Attribution(*(sum(getattr(part, field.name) for part in parts) for field in fields(Attribution)))

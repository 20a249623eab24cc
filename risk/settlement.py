"""Positions in expiries that have settled: cash already, and no risk.

Mirrors contracts/margin.vy.
"""

from dataclasses import replace

from risk.market import Expiry, Market, Option, Portfolio


def payoff(option: Option, settlement: int) -> int:
    """What a lot of an option is worth at its settlement price, in quote units."""
    return max(settlement - option.strike if option.is_call else option.strike - settlement, 0)


def settle_to_cash(market: Market, portfolio: Portfolio) -> Portfolio:
    """The portfolio with every position whose expiry has a settlement price turned into cash."""

    def find_expiry(underlying: int, expiry: int) -> Expiry:
        return market.underlyings[underlying].expiries[expiry]

    if not any(expiry.settlement for underlying in market.underlyings for expiry in underlying.expiries):
        return portfolio
    cash, futures, options = portfolio.cash, [], []
    for future in portfolio.futures:
        settlement = find_expiry(future.underlying, future.expiry).settlement
        cash += future.quantity * settlement
        if settlement == 0:
            futures.append(future)
    for option in portfolio.options:
        settlement = find_expiry(option.underlying, option.expiry).settlement
        if settlement == 0:
            options.append(option)
        else:
            cash += option.quantity * payoff(option, settlement)
    return replace(portfolio, cash=cash, futures=tuple(futures), options=tuple(options))

"""Scenario margin of linear instruments (perpetuals), in integers.

A linear book's worst scenario of a symmetric shock is the full shock against it, so the grid has two points
an underlying. The full risk kernel answers the same question, `compute_margin`, for books that are not linear.

Mirrors contracts/valuation.vy (formulas); state/valuation.py gathers the values.
"""

from collections.abc import Sequence
from dataclasses import dataclass

PPM = 1_000_000


@dataclass(frozen=True, slots=True)
class Holding:
    """One perpetual position. Prices and index in quote units a lot, shocks in parts per million of mark."""

    quantity: int
    mark: int
    funding_index: int
    initial_ppm: int
    maintenance_ppm: int


@dataclass(frozen=True, slots=True)
class Collateral:
    """One non-quote asset: amount in units, spot in quote units a lot, and how many units make a lot."""

    amount: int
    spot: int
    units_per_lot: int
    haircut_ppm: int


@dataclass(frozen=True, slots=True)
class Margin:
    """All in quote units. quote_equity leaves collateral out; equity counts it after its haircut."""

    quote_equity: int
    equity: int
    initial: int
    maintenance: int


def ceil_div(numerator: int, denominator: int) -> int:
    """Quotient rounded towards plus infinity; the denominator is positive."""
    return -(-numerator // denominator)


def compute_collateral_value_floor(collateral: Collateral) -> int:
    """Quote units that the collateral counts for."""
    value = collateral.amount * collateral.spot * (PPM - collateral.haircut_ppm)
    return value // (PPM * collateral.units_per_lot)


def compute_margin(cash: int, holdings: Sequence[Holding], collateral: Sequence[Collateral]) -> Margin:
    """Equity and requirements of one account; every requirement is rounded against it."""
    quote_equity = cash + sum(h.quantity * (h.mark - h.funding_index) for h in holdings)
    return Margin(
        quote_equity=quote_equity,
        equity=quote_equity + sum(compute_collateral_value_floor(c) for c in collateral),
        initial=sum(ceil_div(abs(h.quantity) * h.mark * h.initial_ppm, PPM) for h in holdings),
        maintenance=sum(ceil_div(abs(h.quantity) * h.mark * h.maintenance_ppm, PPM) for h in holdings),
    )

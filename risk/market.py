"""What margin is computed from: prices, surfaces and holdings, as plain frozen values.

Prices are quote units a lot and quantities lots, so a price times a quantity is quote units, exactly. Fractions are
Q38. How an account's leaf becomes a Portfolio is the caller's business; this package knows no bytes.
"""

from dataclasses import dataclass

from risk.svi import Svi


@dataclass(frozen=True, slots=True)
class Expiry:
    """One expiry of one underlying.

    In the last part of its life (`Parameters.settlement_window_ms`) the settlement average is partly known: `fixed` of
    the forward no longer moves. The rate is continuous, per year; margin reads a negative one as zero.
    """

    time_ms: int
    forward: int
    fixed: int
    rate_q38: int
    confidence_q38: int
    svi: Svi


@dataclass(frozen=True, slots=True)
class Underlying:
    """Prices of one underlying; expiries ascend in time. A confidence of 1 is full trust in the reading."""

    spot: int
    mark: int
    spot_confidence_q38: int
    mark_confidence_q38: int
    expiries: tuple[Expiry, ...]


@dataclass(frozen=True, slots=True)
class Market:
    """Every underlying that an account touches, and the price of the quote stablecoin in dollars."""

    underlyings: tuple[Underlying, ...]
    stable_q38: int


@dataclass(frozen=True, slots=True)
class Option:
    """A position: `underlying` and `expiry` are indices into the market. Quantity in lots, negative when short."""

    underlying: int
    expiry: int
    strike: int
    is_call: bool
    quantity: int


@dataclass(frozen=True, slots=True)
class Collateral:
    """An asset beside cash.

    `value` is its worth in dollars, in quote units before the stablecoin's price. `follows` is the underlying whose
    scenarios it shares, or -1 for none. Haircuts are of the value: the maintenance one, and what initial adds.
    """

    value: int
    follows: int
    maintenance_haircut_q38: int
    initial_haircut_q38: int
    confidence_q38: int
    confidence_threshold_q38: int


@dataclass(frozen=True, slots=True)
class Portfolio:
    """An account. `cash` holds what perpetuals have made, funding included; `perpetuals` is lots by underlying.

    Options ascend by (underlying, expiry, strike, put before call) without duplicates.
    """

    cash: int
    perpetuals: tuple[int, ...]
    options: tuple[Option, ...]
    collateral: tuple[Collateral, ...]

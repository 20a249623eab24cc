"""What margin is computed from: prices, surfaces and holdings, as plain frozen values.

Prices are quote units a lot and quantities lots, so a price times a quantity is quote units, exactly. Fractions are
Q38. How an account's leaf becomes a Portfolio is the caller's business; this package knows no bytes.
"""

from dataclasses import dataclass

from risk.svi import Svi

VALUE_MAX = 1 << 90
"""The most that one asset counts for, so that no issuer of a token can push a sum out of its format."""


@dataclass(frozen=True, slots=True)
class Expiry:
    """One expiry of one underlying.

    In the last part of its life (`Parameters.settlement_window_ms`) the settlement average is partly known: `fixed` of
    the forward no longer moves. The rate is continuous, per year; margin reads a negative one as zero. Once there is a
    settlement price nothing else is read; until then an expiry that is due has a time of 0.
    """

    time_ms: int
    forward: int
    fixed: int
    rate_q38: int
    confidence_q38: int
    svi: Svi
    settlement: int = 0  # 0 for none


@dataclass(frozen=True, slots=True)
class Underlying:
    """Prices of one underlying; expiries ascend in time. A confidence of 1 is full trust in the reading.

    `volatility` is annual, at the money: it tells how far spot moves in a scenario that is scaled. It does not come
    from the surfaces, since then whoever holds one more option might choose his own scenarios.
    """

    spot: int
    mark: int
    spot_confidence_q38: int
    mark_confidence_q38: int
    volatility_q38: int
    expiries: tuple[Expiry, ...]


@dataclass(frozen=True, slots=True)
class Market:
    """Every underlying that an account touches, and the price of the quote stablecoin in dollars."""

    underlyings: tuple[Underlying, ...]
    stable_q38: int


@dataclass(frozen=True, slots=True)
class Future:
    """A dated future: `underlying` and `expiry` are indices into the market. Quantity in lots, negative when short."""

    underlying: int
    expiry: int
    quantity: int


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

    `value` is its worth in dollars, in quote units before the stablecoin's price, at most VALUE_MAX. `follows` is the
    underlying whose scenarios it shares, or -1 for none. Haircuts are of the value: the maintenance one, and what
    initial adds.
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

    Futures ascend by (underlying, expiry), options by (underlying, expiry, strike, put before call); no duplicates.
    """

    cash: int
    perpetuals: tuple[int, ...]
    options: tuple[Option, ...]
    collateral: tuple[Collateral, ...]
    futures: tuple[Future, ...] = ()


def value_holding_floor(amount: int, spot: int, units_per_lot: int) -> int:
    """What `amount` units of an asset are worth in dollars' quote units, spot being that of a lot; saturates."""
    return min(amount * spot // units_per_lot, VALUE_MAX)

"""The market of a crash: spot prices are history, everything else is MODELLED from them and said to be.

No recording of 2017 has forward curves or option surfaces by the minute. So, per symbol and minute:

- vol: the annual root of an exponentially weighted mean of squared minute returns (half-life six hours), held between
  40 % and 250 %, times exp(beta * drop), where `drop` is how far the price lies under its mean of the last hour:
  a crash lifts vols before realised vol has had time to (shock beta 3);
- forward: spot * exp(carry * T), carry a tenth of the last day's return a year and within +-20 %;
- surface: raw SVI with that vol at the money, wings and a skew that grow with the shock;
- perpetual: the close is its mark; spot is the mean of the last five closes, as an index that follows more slowly.

Floats are fine here: a market is an input, and what the oracle signs is integers.
"""

import csv
import gzip
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from devnet.market import QUOTE_UNITS, read_markets
from risk.fixed_point import ONE_Q38
from state.constants import PPM

MINUTES_A_YEAR = 365 * 24 * 60
HALF_LIFE_MINUTES = 6 * 60
VOL_FLOOR, VOL_CEILING = 0.40, 2.50
SHOCK_BETA = 3.0
DROP_MINUTES = 60
CARRY_SHARE, CARRY_MAX = 0.10, 0.20
DAY_MINUTES = 24 * 60
SPOT_MINUTES = 5
START_VOL = 1.0
SHIPPED_START = 1_513_814_400
"""21 December 2017, midnight UTC."""


class CrashDataError(Exception):
    """A data file that is not one; the text names the line and the field."""


@dataclass(frozen=True, slots=True)
class Closes:
    """One symbol's closes, one a minute without gaps, in dollars."""

    symbol: str
    start: int
    """Seconds since the epoch of the first close."""
    prices: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Surface:
    """An expiry's reading in the integers of a surface op: Q38 but the forward, which is in quote units a lot."""

    forward: int
    rate: int
    a: int
    b: int
    rho: int
    m: int
    sigma: int


@dataclass(frozen=True, slots=True)
class Minute:
    """A symbol's readings at one minute: prices in quote units a lot, vol in parts per million a year."""

    spot: int
    mark: int
    volatility_ppm: int


def read_closes(path: Path) -> tuple[Closes, ...]:
    """Every symbol of a file `timestamp_ms,symbol,open,high,low,close,volume`; a missing minute repeats the last close.

    Raises CrashDataError.
    """
    by_symbol: dict[str, dict[int, float]] = {}
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", newline="") as file:
        for number, row in enumerate(csv.DictReader(file), start=2):
            try:
                minute, price = int(row["timestamp_ms"]) // 60_000, float(row["close"])
            except (KeyError, TypeError, ValueError) as error:
                raise CrashDataError(
                    f"{path}, line {number}: timestamp_ms and close must be numbers: {error}"
                ) from None
            if not 0 < price < 1e9 or not row.get("symbol"):
                raise CrashDataError(f"{path}, line {number}: symbol or close: nothing that trades")
            by_symbol.setdefault(row["symbol"], {})[minute] = price
    if not by_symbol:
        raise CrashDataError(f"{path}: no line of data")
    first = max(min(closes) for closes in by_symbol.values())
    last = min(max(closes) for closes in by_symbol.values())
    if last - first < DROP_MINUTES:
        raise CrashDataError(f"{path}: the symbols share less than an hour")
    return tuple(
        Closes(symbol, first * 60, _fill_gaps(closes, first, last)) for symbol, closes in sorted(by_symbol.items())
    )


def read_shipped() -> tuple[Closes, ...]:
    """The crash that ships with the project: 21 to 23 December 2017."""
    dollar = 10_000 * QUOTE_UNITS
    return tuple(
        Closes(market.symbol, SHIPPED_START, tuple(close / dollar for close in market.closes))
        for market in read_markets()
    )


def _fill_gaps(closes: dict[int, float], first: int, last: int) -> tuple[float, ...]:
    price = next(closes[minute] for minute in sorted(closes, reverse=True) if minute <= first)
    prices = []
    for minute in range(first, last + 1):
        price = closes.get(minute, price)
        prices.append(price)
    return tuple(prices)


class CrashMarket:
    """One symbol, minute by minute. `units` is quote units a lot for one dollar of price."""

    def __init__(self, closes: Closes, units: float) -> None:
        self.symbol = closes.symbol
        self.start = closes.start
        self._prices = closes.prices
        self._units = units
        self._vols = _compute_vols(closes.prices)

    def __len__(self) -> int:
        return len(self._prices)

    def _mean(self, minute: int, length: int) -> float:
        window = self._prices[max(0, minute - length + 1) : minute + 1]
        return sum(window) / len(window)

    def _to_units(self, price: float) -> int:
        return max(1, round(price * self._units))

    def compute_drop(self, minute: int) -> float:
        """How far the price lies under its mean of the last hour; 0 when it does not."""
        return max(0.0, 1 - self._prices[minute] / self._mean(minute, DROP_MINUTES))

    def compute_vol(self, minute: int) -> float:
        """Modelled at-the-money vol, a year."""
        return min(VOL_CEILING, self._vols[minute] * math.exp(SHOCK_BETA * self.compute_drop(minute)))

    def read(self, minute: int) -> Minute:
        """What an oracle signs of the underlying."""
        spot, mark = self._mean(minute, SPOT_MINUTES), self._prices[minute]
        return Minute(self._to_units(spot), self._to_units(mark), round(self.compute_vol(minute) * PPM))

    def read_surface(self, minute: int, seconds_to_expiry: int) -> Surface:
        """What an oracle signs of an expiry that is so far away."""
        years = max(seconds_to_expiry, 60) / (365 * 24 * 3600)
        then = self._prices[max(0, minute - DAY_MINUTES)]
        carry = max(-CARRY_MAX, min(CARRY_MAX, CARRY_SHARE * (self._prices[minute] / then - 1)))
        forward = self._mean(minute, SPOT_MINUTES) * math.exp(carry * years)
        shock = min(1.0, 10 * self.compute_drop(minute))
        total_vol = self.compute_vol(minute) * math.sqrt(years)
        sigma = max(0.05, 0.5 * total_vol)
        b = (0.15 + 0.15 * shock) * total_vol
        rho = -0.2 - 0.4 * shock
        a = max(0.0, total_vol * total_vol - b * sigma)
        quantised = [round(value * ONE_Q38) for value in (a, b, rho, 0.0, sigma)]
        return Surface(self._to_units(forward), round(0.03 * ONE_Q38), *quantised)


def _compute_vols(prices: Sequence[float]) -> list[float]:
    """Annual vol from exponentially weighted squared returns, within the floor and the ceiling."""
    keep = 0.5 ** (1 / HALF_LIFE_MINUTES)
    variance = START_VOL * START_VOL / MINUTES_A_YEAR
    vols = []
    for before, after in zip((prices[0], *prices), prices, strict=False):
        variance = keep * variance + (1 - keep) * math.log(after / before) ** 2
        vols.append(min(VOL_CEILING, max(VOL_FLOOR, math.sqrt(variance * MINUTES_A_YEAR))))
    return vols

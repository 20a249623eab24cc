"""Real prices, sped up: the minute closes of 21 to 23 December 2017, when bitcoin lost a third of its price in a day.

A perpetual needs a mark and a spot. The mark is the close of the minute; the spot is the mean of the last closes, as an
index that follows more slowly: so in a crash marks lie under spot, and shorts pay funding.
"""

import csv
import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DATA = Path(__file__).parent / "data" / "crash_2017-12-21_23.csv.gz"
QUOTE_UNITS = 100
"""Of one unit of the file, which is 1e-4 dollars."""

SPOT_MINUTES = 5
FIRST_MINUTE = 24 * 60 + 6 * 60
"""22 December, six in the morning UTC: a few hours before the worst."""


@dataclass(frozen=True, slots=True)
class Market:
    """A symbol and its closes, one a minute, in quote units a lot."""

    symbol: str
    closes: tuple[int, ...]

    def get_mark(self, minute: int) -> int:
        """The close of a minute; the data begin again where they end."""
        return self.closes[minute % len(self.closes)]

    def compute_spot_floor(self, minute: int) -> int:
        """The mean of the closes up to this minute."""
        first = max(0, minute % len(self.closes) - SPOT_MINUTES + 1)
        window = self.closes[first : minute % len(self.closes) + 1]
        return sum(window) // len(window)


def read_markets() -> tuple[Market, ...]:
    """All markets of the data, in the order of its columns."""
    with gzip.open(DATA, "rt", newline="") as file:
        symbols, *rows = csv.reader(file)
    columns = zip(*rows, strict=True)
    return tuple(
        Market(symbol, tuple(QUOTE_UNITS * int(value) for value in column))
        for symbol, column in zip(symbols, columns, strict=True)
    )


def compute_minute(elapsed_seconds: float, speed: float) -> int:
    """Which minute of the data it is after so many seconds at `speed` data seconds a second."""
    return FIRST_MINUTE + int(elapsed_seconds * speed / 60)


def list_lines(markets: tuple[Market, ...], minute: int) -> Iterator[str]:
    """The prices of a minute, as lines for an oracle."""
    for market in markets:
        spot, mark = market.compute_spot_floor(minute), market.get_mark(minute)
        yield json.dumps({"symbol": market.symbol, "spot": spot, "mark": mark})

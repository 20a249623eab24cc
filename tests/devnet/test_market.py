"""The market data that ships is the real crash, and its replay feeds an oracle."""

import csv
from decimal import Decimal
from pathlib import Path

from devnet.market import DATA, QUOTE_UNITS, Market, compute_minute, list_lines, read_markets
from node.oracle_source import Price, parse_line

LOTS = {"BTC": Decimal("0.001"), "ETH": Decimal("0.01"), "LTC": Decimal("0.01"), "XRP": Decimal(1)}


def test_closes_are_those_of_the_source(shared: Path) -> None:
    """Every close, to half of the unit in which it is kept."""
    closes: dict[str, list[Decimal]] = {symbol: [] for symbol in LOTS}
    with (shared / "data" / "market" / "crash_2017-12-21_23.csv").open() as file:
        for row in csv.DictReader(file):
            closes[row["symbol"].removesuffix("USD")].append(Decimal(row["close"]))

    markets = read_markets()

    assert [market.symbol for market in markets] == list(LOTS)
    for market in markets:
        exact = [close * LOTS[market.symbol] * 10**6 for close in closes[market.symbol]]
        assert len(market.closes) == len(exact) == 3 * 24 * 60
        assert all(abs(a - b) * 2 <= QUOTE_UNITS for a, b in zip(market.closes, exact, strict=True))


def test_it_is_a_crash_and_small() -> None:
    """Bitcoin loses a third within a day of data, which fit in 60 kB."""
    bitcoin = read_markets()[0]

    assert max(bitcoin.closes) * 2 > min(bitcoin.closes) * 3
    assert DATA.stat().st_size < 60_000


def test_spot_follows_mark_slowly_and_the_data_begin_again() -> None:
    """Spot is a mean of what has been; nothing before the first minute enters it."""
    market = Market("BTC", (100, 200, 300, 400, 500, 600))

    assert [market.compute_spot_floor(minute) for minute in range(7)] == [100, 150, 200, 250, 300, 400, 100]
    assert market.get_mark(7) == 200


def test_replay_runs_at_its_speed_and_an_oracle_reads_it() -> None:
    """At speed 60 a second is a minute; each line is a price that an oracle takes."""
    markets = read_markets()
    assert compute_minute(10, 60) - compute_minute(0, 60) == 10

    lines = list(list_lines(markets, compute_minute(0, 60)))

    assert [parse_line(line)[1] for line in lines] == [
        Price(m.symbol, m.compute_spot_floor(1800), m.get_mark(1800)) for m in markets
    ]

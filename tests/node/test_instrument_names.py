"""Names of instruments: what a person writes, and what is shown to him, is one thing."""

import pytest

from node.errors import ConfigError
from node.instrument_names import format_instrument, parse_instrument
from state.leaves import call, future, perpetual, put

SYMBOLS = ("BTC", "ETH")
DAY = 1_514_534_400
"""29 December 2017, eight in the morning UTC."""


@pytest.mark.parametrize(
    ("name", "instrument"),
    [
        ("BTC", perpetual(0)),
        ("ETH-20171229", future(1, DAY)),
        ("BTC-20171229-17.5-C", call(0, DAY, 17_500_000)),
        ("ETH-20171229-0.01-P", put(1, DAY, 10_000)),
    ],
)
def test_a_name_is_read_and_written(name: str, instrument: object) -> None:
    """Both ways alike."""
    assert parse_instrument(name, SYMBOLS) == instrument
    assert format_instrument(parse_instrument(name, SYMBOLS), SYMBOLS) == name


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("DOGE", "DOGE is not listed; listed are: BTC, ETH"),
        ("BTC-2017", "2017 is no day"),
        ("BTC-20171301", "20171301 is no day"),
        ("BTC-20171229-17.5", "write BTC, BTC-20171229, or BTC-20171229-17.5-C"),
        ("BTC-20171229-17.5-X", "write BTC, BTC-20171229, or BTC-20171229-17.5-C"),
        ("BTC-20171229-17.512-C", "at most three digits"),
        ("BTC-20171229-none-C", "the strike"),
    ],
)
def test_another_name_is_refused_with_the_reason(name: str, complaint: str) -> None:
    """What is wrong with it, and how it is written."""
    with pytest.raises(ConfigError, match=complaint):
        parse_instrument(name, SYMBOLS)

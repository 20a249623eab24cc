"""Amounts are exact in both directions, or an error."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.amounts import DOLLAR, ETHER, format_amount, parse_amount
from node.errors import ConfigError


def test_amounts_read_as_people_write_them() -> None:
    """Whole tokens with as many places as the chain counts."""
    assert parse_amount("12.5", DOLLAR) == 12_500_000
    assert parse_amount("0.000000001", 10**9) == 1
    assert format_amount(12_500_000, DOLLAR) == "12.5"
    assert format_amount(-1, DOLLAR) == "-0.000001"
    assert format_amount(0, ETHER) == "0"


@given(units=st.integers(1, 10**24), places=st.integers(0, 18))
def test_amounts_round_trip(units: int, places: int) -> None:
    """What is shown can be typed in again."""
    assert parse_amount(format_amount(units, 10**places), 10**places) == units


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is not a number"),
        ("five", "is not a number"),
        ("0", "above 0"),
        ("-1", "above 0"),
        ("nan", "above 0"),
        ("inf", "above 0"),
        ("1e999999", "above 0"),
        ("1e-999999", "above 0"),
        ("0.0000001", "at most 6 decimal places"),
    ],
)
def test_what_is_no_amount_is_refused(text: str, complaint: str) -> None:
    """Never rounded, never guessed."""
    with pytest.raises(ConfigError, match=f"--price: .*{complaint}"):
        parse_amount(text, DOLLAR, "--price")

"""Amounts as people write them, in whole tokens, and as the chain counts them, in units; exact both ways."""

from decimal import Decimal, InvalidOperation

from node.errors import ConfigError

DOLLAR = 1_000_000
"""Quote units in a dollar."""

ETHER = 10**18
GWEI = 10**9
"""Wei in an ether, and in a gwei."""


def parse_amount(text: str, units_per_token: int, name: str = "amount") -> int:
    """Units, at least 1, from whole tokens such as `12.5`. Raises ConfigError naming `name`; never rounds."""
    try:
        value = Decimal(text)
    except InvalidOperation as error:
        raise ConfigError(f"{name}: {text!r} is not a number; write it as in 12.5") from error
    # Bounded before it is multiplied: 1e999999 is a Decimal too.
    if not value.is_finite() or not 0 < value < 10**30 or value.as_tuple().exponent < -30:  # type: ignore[operator]
        raise ConfigError(f"{name}: {text} will not do; write a number above 0, as in 12.5")
    units, rest = divmod(value * units_per_token, 1)
    if rest:
        places = len(str(units_per_token)) - 1
        raise ConfigError(f"{name}: {text} is finer than the chain counts; give at most {places} decimal places")
    return int(units)


def format_amount(units: int, units_per_token: int) -> str:
    """Whole tokens, with as many places as are needed."""
    whole, rest = divmod(abs(units), units_per_token)
    places = len(str(units_per_token)) - 1
    tail = f".{rest:0{places}}".rstrip("0") if rest else ""
    return f"{'-' if units < 0 else ''}{whole}{tail}"

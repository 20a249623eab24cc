"""Names of instruments for people: `BTC` is the perpetual, `BTC-20171229` a future, `BTC-20171229-17.5-C` a call.

Everything expires at eight in the morning UTC of the day that is named; a strike is in dollars a lot.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from node.amounts import DOLLAR, format_amount, parse_amount
from node.errors import ConfigError
from state.constants import EXPIRY_SECOND_OF_DAY
from state.leaves import CALL, FUTURE, PERPETUAL, PUT, Instrument
from state.operations import is_instrument

RIGHTS = {"P": PUT, "C": CALL}


def parse_instrument(name: str, symbols: Sequence[str]) -> Instrument:
    """The instrument of a name. Raises ConfigError, which says what is wrong with it."""
    symbol, *rest = name.split("-")
    if symbol not in symbols:
        raise ConfigError(f"{symbol} is not listed; listed are: {', '.join(symbols)}")
    underlying = symbols.index(symbol)
    if not rest:
        return Instrument(underlying, 0, 0, PERPETUAL)
    expiry = _parse_day(name, rest[0])
    if len(rest) == 1:
        return Instrument(underlying, expiry, 0, FUTURE)
    if len(rest) != 3 or rest[2] not in RIGHTS:
        raise ConfigError(f"{name}: write {symbol}, {symbol}-20171229, or {symbol}-20171229-17.5-C (C call, P put)")
    instrument = Instrument(underlying, expiry, parse_amount(rest[1], DOLLAR, "the strike"), RIGHTS[rest[2]])
    if not is_instrument(instrument):
        raise ConfigError(f"{name}: a strike has at most three digits that are not zero, as in 17.5")
    return instrument


def format_instrument(instrument: Instrument, symbols: Sequence[str]) -> str:
    """The name of an instrument."""
    parts = [symbols[instrument.underlying]]
    if instrument.expiry:
        parts.append(datetime.fromtimestamp(instrument.expiry, UTC).strftime("%Y%m%d"))
    if instrument.is_option:
        parts += [format_amount(instrument.strike, DOLLAR), "C" if instrument.kind == CALL else "P"]
    return "-".join(parts)


def _parse_day(name: str, day: str) -> int:
    try:
        midnight = datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC)
    except ValueError:
        raise ConfigError(f"{name}: {day} is no day; write it as in 20171229") from None
    return int(midnight.timestamp()) + EXPIRY_SECOND_OF_DAY

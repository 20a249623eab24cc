"""What price sources say, line by line, and what several of them come to: the median of each number.

A line is JSON in quote units a lot: `{"symbol": "BTC", "spot": 17000000, "mark": 17010000}`, and if they are known
`spot_confidence_ppm`, `mark_confidence_ppm` and `volatility_ppm` (a year, at the money). A line with `expiry` (seconds)
is of a surface: `forward`, `rate_ppm`, `confidence_ppm`, and `quotes`, which are `[strike, vol_ppm]`, at least five.
`source` names who says it; the latest line of a source counts.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median_low

from risk.fixed_point import ONE_Q38
from risk.implied import fit_svi
from state.constants import EXPIRY_SECOND_OF_DAY, EXPIRY_STEP, PPM, PRICE_MAX

VOLATILITY_MAX_PPM = 20 * PPM
QUOTES_MIN = 5


class SourceError(Exception):
    """A line of the price source is not one; the text names the field."""


@dataclass(frozen=True, slots=True)
class Price:
    """An underlying: quote units a lot; confidences and vol in parts per million."""

    symbol: str
    spot: int
    mark: int
    spot_confidence: int = PPM
    mark_confidence: int = PPM
    volatility: int = PPM


@dataclass(frozen=True, slots=True)
class Smile:
    """An expiry: forward in quote units a lot, and (strike, vol in parts per million a year)."""

    symbol: str
    expiry: int
    forward: int
    rate_ppm: int
    confidence: int
    quotes: tuple[tuple[int, int], ...]


def parse_line(line: str) -> tuple[str, Price | Smile]:
    """Who says what. Raises SourceError."""
    try:
        value = json.loads(line)
    except ValueError as error:
        raise SourceError(f"not a line of JSON: {line[:80]!r}") from error
    if not isinstance(value, dict) or not isinstance(value.get("symbol"), str):
        raise SourceError('symbol: text is needed, as in {"symbol": "BTC", "spot": 17000000, "mark": 17010000}')
    return str(value.get("source", "")), _parse_smile(value) if "expiry" in value else _parse_price(value)


def _parse_price(value: Mapping[str, object]) -> Price:
    spot = take_whole("spot", value.get("spot"), 1, PRICE_MAX - 1)
    return Price(
        symbol=str(value["symbol"]),
        spot=spot,
        mark=take_whole("mark", value.get("mark", spot), 1, PRICE_MAX - 1),
        spot_confidence=take_whole("spot_confidence_ppm", value.get("spot_confidence_ppm", PPM), 0, PPM),
        mark_confidence=take_whole("mark_confidence_ppm", value.get("mark_confidence_ppm", PPM), 0, PPM),
        volatility=take_whole("volatility_ppm", value.get("volatility_ppm", PPM), 1, VOLATILITY_MAX_PPM),
    )


def _parse_smile(value: Mapping[str, object]) -> Smile:
    expiry = take_whole("expiry", value["expiry"], 1, (1 << 32) - 1)
    if expiry % EXPIRY_STEP != EXPIRY_SECOND_OF_DAY:
        raise SourceError(f"expiry: {expiry} is not eight o'clock UTC of a day, when everything expires")
    quotes = value.get("quotes")
    if not isinstance(quotes, list) or len(quotes) < QUOTES_MIN:
        raise SourceError(f"quotes: at least {QUOTES_MIN} of [strike, vol_ppm] are needed to fit a surface")
    return Smile(
        symbol=str(value["symbol"]),
        expiry=expiry,
        forward=take_whole("forward", value.get("forward"), 1, PRICE_MAX - 1),
        rate_ppm=take_whole("rate_ppm", value.get("rate_ppm", 0), -PPM, PPM),
        confidence=take_whole("confidence_ppm", value.get("confidence_ppm", PPM), 0, PPM),
        quotes=tuple(_parse_quote(quote) for quote in quotes),
    )


def _parse_quote(quote: object) -> tuple[int, int]:
    if not isinstance(quote, list) or len(quote) != 2:
        raise SourceError(f"quotes: {quote!r} is not [strike, vol_ppm]")
    strike, vol = quote
    return take_whole("quotes: strike", strike, 1, PRICE_MAX - 1), take_whole("quotes: vol", vol, 1, VOLATILITY_MAX_PPM)


def take_whole(name: str, value: object, least: int, most: int) -> int:
    """A whole number of a JSON line within bounds. Raises SourceError."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise SourceError(f"{name}: a whole number from {least} to {most} is needed, not {value!r}")
    return value


@dataclass(slots=True)
class Sources:
    """The latest of every source, and what they come to together."""

    _prices: dict[str, dict[str, Price]] = field(default_factory=dict)
    _smiles: dict[tuple[str, int], dict[str, Smile]] = field(default_factory=dict)

    def take(self, line: str) -> None:
        """Note a line. Raises SourceError."""
        source, said = parse_line(line)
        if isinstance(said, Price):
            self._prices.setdefault(said.symbol, {})[source] = said
        else:
            self._smiles.setdefault((said.symbol, said.expiry), {})[source] = said

    def list_prices(self) -> list[Price]:
        """One of every symbol: medians of prices and vols, the least of the confidences."""
        return [combine_prices(list(said.values())) for said in self._prices.values()]

    def list_smiles(self) -> list[Smile]:
        """One of every expiry: the median forward, and everybody's quotes."""
        return [combine_smiles(list(said.values())) for said in self._smiles.values()]


def combine_prices(said: Sequence[Price]) -> Price:
    """What several sources come to: a single one that lies moves no median of three."""
    return Price(
        symbol=said[0].symbol,
        spot=_median(one.spot for one in said),
        mark=_median(one.mark for one in said),
        spot_confidence=min(one.spot_confidence for one in said),
        mark_confidence=min(one.mark_confidence for one in said),
        volatility=_median(one.volatility for one in said),
    )


def combine_smiles(said: Sequence[Smile]) -> Smile:
    """Medians of forward, rate and of the vols that several quote at one strike."""
    by_strike: dict[int, list[int]] = {}
    for one in said:
        for strike, vol in one.quotes:
            by_strike.setdefault(strike, []).append(vol)
    return Smile(
        symbol=said[0].symbol,
        expiry=said[0].expiry,
        forward=_median(one.forward for one in said),
        rate_ppm=_median(one.rate_ppm for one in said),
        confidence=min(one.confidence for one in said),
        quotes=tuple((strike, _median(vols)) for strike, vols in sorted(by_strike.items())),
    )


def _median(values: Iterable[int]) -> int:
    return median_low(values)


@dataclass(frozen=True, slots=True)
class Fit:
    """A smile's surface in the integers of an op: forward in quote units a lot, the rest Q38."""

    forward: int
    rate: int
    a: int
    b: int
    rho: int
    m: int
    sigma: int


def fit_smile(smile: Smile, time: int) -> Fit:
    """The surface that fits a smile best, as of `time`, which is before its expiry."""
    log_strikes = [math.log(strike / smile.forward) for strike, _ in smile.quotes]
    vols = [vol / PPM for _, vol in smile.quotes]
    found = fit_svi(log_strikes, vols, 1_000 * max(smile.expiry - time, 1))
    a, b, rho, m, sigma = (round(parameter * ONE_Q38) for parameter in found.parameters)
    rate = smile.rate_ppm * ONE_Q38 // PPM
    return Fit(smile.forward, rate, a, max(b, 0), max(min(rho, ONE_Q38 - 1), 1 - ONE_Q38), m, max(sigma, 1))

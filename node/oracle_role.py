"""The oracle: signs readings of a price source and hands them to the sequencer, by heartbeat and deviation.

A source is lines of JSON in quote units a lot, `{"symbol": "BTC", "spot": 17000000, "mark": 17010000}`, and if they are
known `spot_confidence_ppm`, `mark_confidence_ppm` and `volatility_ppm`; the latest of a symbol counts. Readings enter
the chain when a price has moved enough or its last one grows old, not at every line.
"""

import json
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import trio

from node.client import Client, GatewayUnreachable, open_client
from node.gateway import MethodError
from node.keys import Secp256k1Key
from node.logs import Log
from node.session import SessionError, fetch_globals, fetch_params, fetch_underlyings
from sequencer.requests import build_request
from state.constants import ORACLE_SIGNERS_MAX, PPM, PRICE_MAX
from state.operations import Oracle, OracleSignature, hash_digest

LINE_BYTES_MAX = 4096
VOLATILITY_MAX_PPM = 20 * PPM


class SourceError(Exception):
    """A line of the price source is not one; the text names the field."""


@dataclass(frozen=True, slots=True)
class Price:
    """One line of a source: quote units a lot; confidences and vol a year, at the money, in parts per million."""

    symbol: str
    spot: int
    mark: int
    spot_confidence: int = PPM
    mark_confidence: int = PPM
    volatility: int = PPM


@dataclass(frozen=True, slots=True)
class OracleSettings:
    """When a reading is worth a place on the chain. heartbeat in seconds, deviation in parts per million of spot."""

    host: str = "127.0.0.1"
    port: int = 7401
    heartbeat: float = 20.0
    deviation_ppm: int = 2_000
    poll_seconds: float = 0.5
    tls: ssl.SSLContext | None = None


def parse_price(line: str) -> Price:
    """One line of a source. Raises SourceError."""
    try:
        value = json.loads(line)
    except ValueError as error:
        raise SourceError(f"not a line of JSON: {line[:80]!r}") from error
    if not isinstance(value, dict) or not isinstance(value.get("symbol"), str):
        raise SourceError('symbol: text is needed, as in {"symbol": "BTC", "spot": 17000000, "mark": 17010000}')
    spot = value.get("spot")
    mark = value.get("mark", spot)
    prices = [take_whole(name, price, PRICE_MAX - 1) for name, price in (("spot", spot), ("mark", mark))]
    bounds = (("spot_confidence_ppm", PPM), ("mark_confidence_ppm", PPM), ("volatility_ppm", VOLATILITY_MAX_PPM))
    parts = [take_whole(name, value.get(name, PPM), most) for name, most in bounds]
    return Price(value["symbol"], *prices, *parts)


def take_whole(name: str, value: object, most: int) -> int:
    """A whole number of a JSON line within bounds. Raises SourceError."""
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise SourceError(f"{name}: a whole number from 1 to {most} is needed, not {value!r}")
    return value


class OracleNode:
    """Signs and sends readings. `clock` gives seconds since the epoch."""

    def __init__(
        self,
        domain: bytes,
        keys: Sequence[Secp256k1Key],
        settings: OracleSettings,
        log: Log,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._domain = domain
        self._keys = keys
        self._settings = settings
        self._log = log
        self._clock = clock
        self._prices: dict[str, Price] = {}
        self._sent: dict[str, tuple[Price, float]] = {}
        self.readings = 0

    async def run(self, source: AsyncIterator[str]) -> None:
        """Read the source to its end and publish until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._publish_for_ever)
            async for line in source:
                if not line.strip():
                    continue
                try:
                    price = parse_price(line)
                except SourceError as error:
                    self._log.warning("line skipped", reason=str(error))
                    continue
                self._prices[price.symbol] = price

    async def _publish_for_ever(self) -> None:
        while True:
            try:
                settings = self._settings
                async with open_client(settings.host, settings.port, settings.tls) as client:
                    symbols, signers = await self._get_market(client)
                    while True:
                        await self._publish_due(client, symbols, signers)
                        await trio.sleep(self._settings.poll_seconds)
            except* (GatewayUnreachable, SessionError, trio.BrokenResourceError) as group:
                self._log.warning("sequencer unreachable", error=str(group.exceptions[0]))
            await trio.sleep(self._settings.poll_seconds)

    async def _get_market(self, client: Client) -> tuple[Mapping[str, int], list[tuple[int, Secp256k1Key]]]:
        """Underlyings by symbol, and our keys by their place among the chain's signers."""
        underlyings, params = await fetch_underlyings(client), await fetch_params(client)
        symbols = {listed.symbol.rstrip(b"\0").decode(): index for index, listed in enumerate(underlyings)}
        by_address = {key.address: key for key in self._keys}
        signers = [(i, by_address[a]) for i, a in enumerate(params.oracle_signers) if a in by_address]
        if len(signers) < params.oracle_threshold:
            self._log.error("too few keys", have=len(signers), need=params.oracle_threshold)
        return symbols, signers[:ORACLE_SIGNERS_MAX]

    async def _publish_due(
        self, client: Client, symbols: Mapping[str, int], signers: list[tuple[int, Secp256k1Key]]
    ) -> None:
        now = self._clock()
        for symbol, price in self._prices.items():
            if symbol in symbols and self._is_due(symbol, price, now):
                await self._publish(client, symbols[symbol], price, signers)

    def _is_due(self, symbol: str, price: Price, now: float) -> bool:
        if symbol not in self._sent:
            return True
        last, sent_at = self._sent[symbol]
        moved = max(abs(price.spot - last.spot), abs(price.mark - last.mark))
        return now - sent_at >= self._settings.heartbeat or moved * PPM >= last.spot * self._settings.deviation_ppm

    async def _publish(
        self, client: Client, underlying: int, price: Price, signers: list[tuple[int, Secp256k1Key]]
    ) -> None:
        state = await fetch_globals(client)
        # The chain's own time: a reading ahead of it would be refused, one behind the last one too.
        reading = sign_reading(self._domain, underlying, price, state.time, signers)
        try:
            await client.call("submit", build_request(reading))
        except MethodError as error:
            self._log.info("reading not taken", symbol=price.symbol, code=error.code, reason=error.text)
            return
        self._sent[price.symbol] = (price, self._clock())
        self.readings += 1


def sign_reading(
    domain: bytes, underlying: int, price: Price, at: int, signers: Sequence[tuple[int, Secp256k1Key]]
) -> Oracle:
    """A reading at L2 time `at`, signed by keys given with their places among the chain's signers, in order."""
    mask = sum(1 << place for place, _ in signers)
    bare = Oracle(
        position=0,
        underlying=underlying,
        time=at,
        spot=price.spot,
        mark=price.mark,
        spot_confidence=price.spot_confidence,
        mark_confidence=price.mark_confidence,
        volatility=price.volatility,
        signer_mask=mask,
        signatures=(),
    )
    digest = hash_digest(domain, bare)
    signed = [key.sign(digest) for _, key in signers]
    signatures = tuple(OracleSignature(one[:32], one[32:64], one[64]) for one in signed)
    return replace(bare, signatures=signatures)


async def read_lines(stream: trio.abc.ReceiveStream) -> AsyncIterator[str]:
    """Lines of a byte stream, such as standard input."""
    buffer = bytearray()
    while data := await stream.receive_some(1 << 16):
        buffer += data
        *lines, rest = bytes(buffer).split(b"\n")
        buffer = bytearray(rest[-LINE_BYTES_MAX:])
        for line in lines:
            yield line.decode("utf-8", "replace")

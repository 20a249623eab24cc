"""The oracle: signs readings of price sources and hands them to the sequencer, by heartbeat and deviation.

What a line of a source says is node/oracle_source.py's; of several sources medians count. Readings enter the chain when
a price has moved enough or its last one grows old, not at every line.
"""

import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import trio

from node.client import Client, GatewayUnreachable, open_client
from node.gateway import MethodError
from node.keys import Secp256k1Key
from node.logs import Log
from node.oracle_source import Price, SourceError, Sources
from node.oracle_surfaces import SurfaceDesk
from node.session import SessionError, fetch_globals, fetch_params, fetch_underlyings
from sequencer.requests import build_request
from state.constants import ORACLE_SIGNERS_MAX, PPM
from state.leaves import Params
from state.operations import Oracle, OracleSignature, Surface, hash_digest

LINE_BYTES_MAX = 4096


@dataclass(frozen=True, slots=True)
class OracleSettings:
    """When a reading is worth a place on the chain. heartbeat in seconds, deviation in parts per million of spot."""

    host: str = "127.0.0.1"
    port: int = 7401
    heartbeat: float = 20.0
    deviation_ppm: int = 2_000
    poll_seconds: float = 0.5
    tls: ssl.SSLContext | None = None


class OracleNode:
    """Signs and sends readings. `clock` gives seconds since the epoch.

    What the sequencer leaves out node/oracle_relay.py relays, of the same sources and surfaces.
    """

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
        self.sources = Sources()
        self.surfaces = SurfaceDesk(self.sources, settings.heartbeat, settings.deviation_ppm)
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
                    self.sources.take(line)
                except SourceError as error:
                    self._log.warning("line skipped", reason=str(error))

    async def _publish_for_ever(self) -> None:
        while True:
            try:
                settings = self._settings
                async with open_client(settings.host, settings.port, settings.tls) as client:
                    version: int | None = None
                    while True:
                        state = await fetch_globals(client)
                        if version != state.params_version:  # signers are those of the active parameters
                            version, (symbols, signers) = state.params_version, await self._get_market(client)
                        # The chain's own time: a reading ahead of it would be refused, one behind the last one too.
                        await self._publish_due(client, state.time, symbols, signers)
                        await trio.sleep(self._settings.poll_seconds)
            except* (GatewayUnreachable, SessionError, trio.BrokenResourceError) as group:
                self._log.warning("sequencer unreachable", error=str(group.exceptions[0]))
            await trio.sleep(self._settings.poll_seconds)

    async def _get_market(self, client: Client) -> tuple[Mapping[str, int], list[tuple[int, Secp256k1Key]]]:
        """Underlyings by symbol, and our keys by their place among the chain's signers."""
        underlyings, params = await fetch_underlyings(client), await fetch_params(client)
        symbols = {listed.symbol.rstrip(b"\0").decode(): index for index, listed in enumerate(underlyings)}
        signers = find_signers(params, self._keys)
        if len(signers) < params.oracle_threshold:
            self._log.error("too few keys", have=len(signers), need=params.oracle_threshold)
        return symbols, signers

    async def _publish_due(
        self, client: Client, time: int, symbols: Mapping[str, int], signers: list[tuple[int, Secp256k1Key]]
    ) -> None:
        now, prices = self._clock(), self.sources.list_prices()
        for price in prices:
            if price.symbol in symbols and self._is_due(price.symbol, price, now):
                reading = draft_reading(symbols[price.symbol], price, time)
                if await self._submit(client, reading, price.symbol, signers):
                    self._sent[price.symbol] = (price, self._clock())
        for surface in await self.surfaces.list_due(client, time, symbols, prices):
            await self._submit(client, surface, f"underlying {surface.underlying}, expiry {surface.expiry}", signers)

    async def _submit(
        self, client: Client, bare: Oracle | Surface, name: str, signers: list[tuple[int, Secp256k1Key]]
    ) -> bool:
        """Sign and send; whether it was taken."""
        try:
            await client.call("submit", build_request(sign_reading(self._domain, bare, signers)))
        except MethodError as error:
            self._log.info("reading not taken", of=name, code=error.code, reason=error.text)
            return False
        self.readings += 1
        return True

    def _is_due(self, symbol: str, price: Price, now: float) -> bool:
        if symbol not in self._sent:
            return True
        last, sent_at = self._sent[symbol]
        moved = max(abs(price.spot - last.spot), abs(price.mark - last.mark))
        return now - sent_at >= self._settings.heartbeat or moved * PPM >= last.spot * self._settings.deviation_ppm


def find_signers(params: Params, keys: Sequence[Secp256k1Key]) -> list[tuple[int, Secp256k1Key]]:
    """Which of the keys sign for the chain, by their places among its signers."""
    by_address = {key.address: key for key in keys}
    signers = [(i, by_address[a]) for i, a in enumerate(params.oracle_signers) if a in by_address]
    return signers[:ORACLE_SIGNERS_MAX]


def draft_reading(underlying: int, price: Price, at: int) -> Oracle:
    """A reading at L2 time `at` without signatures."""
    return Oracle(
        position=0,
        underlying=underlying,
        time=at,
        spot=price.spot,
        mark=price.mark,
        spot_confidence=price.spot_confidence,
        mark_confidence=price.mark_confidence,
        volatility=price.volatility,
        signer_mask=0,
        signatures=(),
    )


def sign_reading(
    domain: bytes, bare: Oracle | Surface, signers: Sequence[tuple[int, Secp256k1Key]]
) -> Oracle | Surface:
    """A reading signed by keys given with their places among the chain's signers, in order."""
    digest = hash_digest(domain, bare)
    signed = [key.sign(digest) for _, key in signers]
    signatures = tuple(OracleSignature(one[:32], one[32:64], one[64]) for one in signed)
    return replace(bare, signer_mask=sum(1 << place for place, _ in signers), signatures=signatures)


async def read_lines(stream: trio.abc.ReceiveStream) -> AsyncIterator[str]:
    """Lines of a byte stream, such as standard input."""
    buffer = bytearray()
    while data := await stream.receive_some(1 << 16):
        buffer += data
        *lines, rest = bytes(buffer).split(b"\n")
        buffer = bytearray(rest[-LINE_BYTES_MAX:])
        for line in lines:
            yield line.decode("utf-8", "replace")

"""Surfaces and settlement: fits what sources quote on each expiry, and signs it beside the integral of spot.

An expiry gets a reading by heartbeat and deviation, as an underlying does; and one of the very second at which its
settlement window begins, and of the one at which it ends, however late that is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from node.client import Client
from node.oracle_integrals import Integral, begin_integral, list_due_seconds
from node.oracle_source import Fit, Price, Smile, Sources, fit_smile
from node.session import fetch_expiry
from state.constants import PPM, SETTLEMENT_WINDOW
from state.leaves import Expiry
from state.operations import Surface


@dataclass(slots=True)
class SurfaceDesk:
    """What surfaces are due. `heartbeat` in seconds, `deviation_ppm` of the forward."""

    sources: Sources
    heartbeat: float
    deviation_ppm: int
    _integrals: dict[int, Integral] = field(default_factory=dict)

    async def list_due(
        self, client: Client, time: int, symbols: Mapping[str, int], prices: Sequence[Price]
    ) -> list[Surface]:
        """Unsigned readings that are due at L2 time `time`, in the order in which they must stand."""
        known: dict[tuple[int, int], Expiry | None] = {}
        smiles = [smile for smile in self.sources.list_smiles() if smile.symbol in symbols]
        for smile in smiles:
            underlying = symbols[smile.symbol]
            known[underlying, smile.expiry] = await fetch_expiry(client, underlying, smile.expiry)
        self.advance(time, symbols, prices, known)
        due: list[Surface] = []
        for smile in smiles:
            leaf = known[symbols[smile.symbol], smile.expiry]
            if leaf is None or leaf.settlement == 0:
                due += self.list_readings(smile, symbols[smile.symbol], leaf, time)
        return due

    def advance(
        self,
        time: int,
        symbols: Mapping[str, int],
        prices: Sequence[Price],
        known: Mapping[tuple[int, int], Expiry | None],
    ) -> None:
        """Every spot stands from now on; `known` are leaves on the chain, from which an integral goes on."""
        for price in prices:
            underlying = symbols.get(price.symbol)
            if underlying is None:
                continue
            if underlying not in self._integrals:
                readings = [leaf for (index, _), leaf in known.items() if index == underlying and leaf is not None]
                self._integrals[underlying] = begin_integral(readings, time, price.spot)
            self._integrals[underlying].advance(time, price.spot)

    def list_readings(self, smile: Smile, underlying: int, leaf: Expiry | None, time: int) -> list[Surface]:
        """Those of one expiry, whose leaf on the chain is `leaf`."""
        integral, seconds = self._integrals.get(underlying), self.list_seconds(smile, leaf, time)
        if integral is None:
            return []
        start = smile.expiry - SETTLEMENT_WINDOW
        fixed_from = integral.compute(start) if start in seconds or leaf is None else leaf.start_integral
        return [self._build(smile, underlying, second, integral.compute(second), fixed_from) for second in seconds]

    def list_seconds(self, smile: Smile, leaf: Expiry | None, time: int) -> list[int]:
        """The seconds of which readings are due."""
        seconds = list_due_seconds(leaf, smile.expiry, time)
        if not seconds and time < smile.expiry and self._is_due(smile, leaf, time):
            return [time]
        return seconds

    def has_begun(self, underlying: int) -> bool:
        """Whether the underlying's integral goes on already."""
        return underlying in self._integrals

    def _is_due(self, smile: Smile, leaf: Expiry | None, time: int) -> bool:
        if leaf is None:
            return True
        moved = abs(smile.forward - leaf.forward) * PPM >= leaf.forward * self.deviation_ppm
        return time > leaf.time and (moved or time - leaf.time >= self.heartbeat)

    @staticmethod
    def _build(smile: Smile, underlying: int, second: int, value: int, fixed_from: int) -> Surface:
        fit = fit_smile(smile, min(second, smile.expiry - 1))
        return Surface(
            position=0,
            underlying=underlying,
            expiry=smile.expiry,
            time=second,
            integral=value,
            forward=compute_forward(fit, smile.expiry, second, value - fixed_from),
            rate=fit.rate,
            a=fit.a,
            b=fit.b,
            rho=fit.rho,
            m=fit.m,
            sigma=fit.sigma,
            confidence=smile.confidence,
            signer_mask=0,
            signatures=(),
        )


def compute_forward(fit: Fit, expiry: int, second: int, passed: int) -> int:
    """The forward of the settlement price: inside the window what has passed counts, and the market's for the rest."""
    left = expiry - second
    if left >= SETTLEMENT_WINDOW:
        return fit.forward
    return max(1, (passed + left * fit.forward) // SETTLEMENT_WINDOW)

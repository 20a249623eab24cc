"""The integral of spot over time, from which expiries settle: no reading that an oracle leaves out can bend a mean.

A settlement price is the difference of two signed values, half an hour apart. Both are of exact seconds, so every
second's value can be told later, and each may be signed late.
"""

from bisect import bisect_right
from dataclasses import dataclass, field

from state.constants import SETTLEMENT_WINDOW
from state.leaves import Expiry

KEPT_SECONDS = 2 * SETTLEMENT_WINDOW


@dataclass(slots=True)
class Integral:
    """One underlying's, in quote units a lot times seconds; a spot stands until the next one is told."""

    _times: list[int] = field(default_factory=list)
    _values: list[int] = field(default_factory=list)
    _spots: list[int] = field(default_factory=list)

    def advance(self, time: int, spot: int, value: int = 0) -> None:
        """From second `time` on spot is `spot`; `value` is where the integral begins, and counts the first time."""
        if self._times and time <= self._times[-1]:
            self._spots[-1] = spot
            return
        self._values.append(self.compute(time) if self._times else value)
        self._times.append(time)
        self._spots.append(spot)
        while len(self._times) > 2 and self._times[1] < time - KEPT_SECONDS:
            del self._times[0], self._values[0], self._spots[0]

    def compute(self, second: int) -> int:
        """The value at a second; before the first spot that is known, as if that one had stood, but not below 0."""
        at = max(bisect_right(self._times, second) - 1, 0)
        return max(self._values[at] + self._spots[at] * (second - self._times[at]), 0)


def begin_integral(readings: list[Expiry], time: int, spot: int) -> Integral:
    """Go on from the farthest integral that the chain holds, as if `spot` had stood since; else begin at 0."""
    integral, last = Integral(), max(readings, key=lambda leaf: leaf.integral, default=None)
    if last is not None and last.integral > 0:
        integral.advance(last.time, spot, last.integral)
    integral.advance(time, spot)
    return integral


def list_due_seconds(leaf: Expiry | None, expiry: int, time: int) -> list[int]:
    """The exact seconds whose reading the expiry still lacks and that have come: window's start, then the end."""
    last = 0 if leaf is None else leaf.time
    return [second for second in (expiry - SETTLEMENT_WINDOW, expiry) if last < second <= time]

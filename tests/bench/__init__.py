"""Measurements: `python -m tests.bench` runs every `bench_*` function of tests/bench/bench_*.py and writes latest.json.

Machines differ, so every time stands beside a yardstick that was measured in the same run: one Ed25519 verification
by the installed libsodium. A ratio to it means the same everywhere.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Measurement:
    """One figure: every run of it, its unit, and what it must not exceed, or fall below, if anything is promised."""

    runs: tuple[float, ...]
    unit: str
    target: float | None = None
    more_is_better: bool = False

    @property
    def value(self) -> float:
        """The best run: what the work costs when nothing else disturbs it."""
        return max(self.runs) if self.more_is_better else min(self.runs)

    @property
    def misses_target(self) -> bool:
        """Whether something was promised and is not kept."""
        if self.target is None:
            return False
        return self.value < self.target if self.more_is_better else self.value > self.target


def measure_us(work: Callable[[], int], runs: int = 5) -> tuple[float, ...]:
    """Microseconds per item of some work, which answers how many items it did; once for each run."""
    found = []
    for _ in range(runs):
        start = time.perf_counter_ns()
        count = work()
        found.append((time.perf_counter_ns() - start) / count / 1000)
    return tuple(found)

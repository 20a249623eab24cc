"""`python -m tests.bench [word ...]`: run the benches whose names contain one of the words, or all of them."""

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from nacl.signing import SigningKey

from state.signatures import is_ed25519_valid
from tests.bench import Measurement, measure_us

FOLDER = Path(__file__).resolve().parent
LATEST = FOLDER / "latest.json"

Bench = Callable[[], Measurement]


def collect(words: list[str]) -> Iterator[tuple[str, Bench]]:
    """Every function `bench_<name>` of every module `bench_*.py`, in order, with its name."""
    for path in sorted(FOLDER.glob("bench_*.py")):
        module = importlib.import_module(f"tests.bench.{path.stem}")
        for name, bench in list(vars(module).items()):
            if name.startswith("bench_") and callable(bench) and (not words or any(word in name for word in words)):
                yield name.removeprefix("bench_"), bench


def measure_yardstick() -> float:
    """Microseconds for one verification of an Ed25519 signature over 32 bytes."""
    key, digest = SigningKey(bytes(32)), bytes(32)
    public_key, signature = key.verify_key.encode(), key.sign(digest).signature

    def verify() -> int:
        for _ in range(2_000):
            assert is_ed25519_valid(public_key, digest, signature)
        return 2_000

    return min(measure_us(verify))


def describe(name: str, measurement: Measurement, yardstick_us: float) -> str:
    """One line: the figure, its ratio to the yardstick where it is a time, and whether the target is kept."""
    line = f"{name:32} {measurement.value:12,.2f} {measurement.unit:16}"
    if measurement.unit.startswith("us"):
        line += f" {measurement.value / yardstick_us:8.2f} verifications"
    if measurement.target is not None:
        verdict = "MISSED" if measurement.misses_target else "kept"
        line += f"   target {measurement.target:,g}: {verdict}"
    return line


def main(words: list[str]) -> int:
    """Measure, print, and put the figures into latest.json; figures that were not measured now stay. 1 for a miss."""
    yardstick_us = measure_yardstick()
    print(f"yardstick: one libsodium verification takes {yardstick_us:.1f} us")
    figures = json.loads(LATEST.read_text()) if LATEST.exists() else {}
    missed = False
    for name, bench in collect(words):
        measurement = bench()
        missed |= measurement.misses_target
        figures[name] = {
            "value": round(measurement.value, 3),
            "unit": measurement.unit,
            "yardstick": round(yardstick_us, 3),
            "runs": [round(run, 3) for run in measurement.runs],
        }
        print(describe(name, measurement, yardstick_us), flush=True)
    LATEST.write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""What the shipped sequencer takes a second over loopback TCP, how long a receipt takes, and how long a restart.

One run of one exchange (tests/bench/exchange.py) serves every figure. The people are another process
(tests/bench/load_client.py) on the same cores, and so are the L1 and the processes that work signatures off.
"""

import functools
import json
import random
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack  # type: ignore[import-untyped]
from nacl.signing import SigningKey

from state.signatures import is_ed25519_valid
from tests.bench import Measurement
from tests.bench.exchange import Exchange, People, open_exchange

FULL_COUNT = 20_000
WARM_COUNT = 2_000
PACED_SECONDS = 6


@dataclass(frozen=True)
class Run:
    """What the client saw at full load and at half of it, and how long starts took."""

    verifications_s: float
    full: dict[str, Any]
    paced: dict[str, Any]
    restart_s: float
    recovery_s: float
    log_records: int
    cpu_us: float

    @property
    def receipts_s(self) -> float:
        """Receipts a second at full load."""
        return float(self.full["codes"]["0"] / self.full["seconds"])


def measure_verifications_s() -> list[float]:
    """Verifications a second on one core, several times."""
    key, digest = SigningKey(bytes(32)), bytes(32)
    public_key, signature = key.verify_key.encode(), key.sign(digest).signature
    found = []
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(2_000):
            assert is_ed25519_valid(public_key, digest, signature)
        found.append(2_000 / (time.perf_counter() - began))
    return found


def send(exchange: Exchange, requests: list[tuple[int, bytes]], rate: float) -> dict[str, Any]:
    """Have the other process send these."""
    path = exchange.folder / "requests"
    path.write_bytes(msgpack.packb(requests))
    command = [sys.executable, "-m", "tests.bench.load_client", str(exchange.port), str(path), str(rate)]
    done = subprocess.run(command, capture_output=True, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr.decode() + exchange.read_log()
    result: dict[str, Any] = json.loads(done.stdout)
    assert result["codes"].get("0", 0) >= len(requests) * 99 // 100, (result, exchange.read_log())
    return result


@functools.cache
def run_once() -> Run:
    """About a minute, half of it spent on accounts and signatures before anything is measured."""
    with open_exchange() as exchange:
        people = People(exchange.domain, random.Random(1))
        # The first start posts a bond and takes the slot on L1; a restart finds both there.
        exchange.start()
        exchange.kill()
        restart_s = exchange.start()
        exchange.wait_until_open()
        send(exchange, [people.draw() for _ in range(WARM_COUNT)], 0)
        requests = [people.draw() for _ in range(FULL_COUNT)]
        speeds = measure_verifications_s()
        cpu_s = exchange.read_cpu_seconds()
        full = send(exchange, requests, 0)
        cpu_us = (exchange.read_cpu_seconds() - cpu_s) / FULL_COUNT * 1e6
        speeds += measure_verifications_s()
        rate = full["codes"]["0"] / full["seconds"] / 2
        paced = send(exchange, [people.draw() for _ in range(int(rate * PACED_SECONDS))], rate)
        status = exchange.ask("status")
        assert isinstance(status, list)
        exchange.kill()
        recovery_s = exchange.start()
        after = exchange.ask("status")
        assert isinstance(after, list)
        assert int(after[2]) >= int(status[2])  # type: ignore[arg-type]
        log_records = int(status[2])  # type: ignore[arg-type]
        return Run(statistics.median(speeds), full, paced, restart_s, recovery_s, log_records, cpu_us)


def bench_gateway_receipt_ratio() -> Measurement:
    """Durable signed receipts a second over libsodium's verifications a second on one core."""
    run = run_once()
    return Measurement((run.receipts_s / run.verifications_s,), "", target=0.4, more_is_better=True)


def bench_gateway_receipts() -> Measurement:
    """Signed requests that got a receipt at full load; fills are not among them."""
    return Measurement((run_once().full["codes"]["0"],), "receipts", more_is_better=True)


def bench_gateway_cpu_us() -> Measurement:
    """What the sequencer's own process computes for a request at full load; signatures are worked off by others."""
    return Measurement((run_once().cpu_us,), "us a request")


def bench_gateway_refused() -> Measurement:
    """Requests that were refused at full load: a cancel that came too late, an order that its account cannot carry."""
    codes = run_once().full["codes"]
    return Measurement((sum(codes.values()) - codes["0"],), "refusals")


def bench_gateway_fills() -> Measurement:
    """Requests among them that traded at once."""
    return Measurement((run_once().full["filled"],), "requests", more_is_better=True)


def bench_gateway_seconds() -> Measurement:
    """From the first request sent to the last receipt."""
    return Measurement((run_once().full["seconds"],), "s")


def bench_gateway_verifications_s() -> Measurement:
    """The yardstick of the ratio: verifications a second, the median around the run."""
    return Measurement((run_once().verifications_s,), "1/s", more_is_better=True)


def bench_receipt_p50_ms() -> Measurement:
    """From the moment a request was due to its receipt, at half the full load."""
    return Measurement((run_once().paced["p50_ms"],), "ms")


def bench_receipt_p99_ms() -> Measurement:
    """The same for the slowest in a hundred."""
    return Measurement((run_once().paced["p99_ms"],), "ms", target=10)


def bench_restart_100k_s() -> Measurement:
    """From the command to the first answer, with 100 000 accounts on disk and an empty log."""
    return Measurement((run_once().restart_s,), "s", target=3)


def bench_recovery_s() -> Measurement:
    """From the command to the first answer after kill -9, with the log of the whole run."""
    return Measurement((run_once().recovery_s,), "s", target=10)


def bench_recovery_log_records() -> Measurement:
    """How long that log is."""
    return Measurement((run_once().log_records,), "records", more_is_better=True)

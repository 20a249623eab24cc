"""`python -m tests.soak [--minutes M]`: run the devnet, sample every process, and fail when one goes on growing.

The slope is that of the least-squares line through the anonymous memory of a process (what it has allocated; files that
it maps are the kernel's to drop), in MiB an hour. Samples of the beginning are left out: imports, caches that fill up.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

PROJECT = Path(__file__).resolve().parent.parent.parent
SAMPLE_SECONDS = 5.0
WARM_UP = 0.25
"""Of the samples of each process, which are left out."""

SLOPE_MAX_MIB_H = 100.0
"""Of a process of ours. In the first hours kept decodings of leaves, and in a sequencer verdicts, fill up to bounds
of some 60 MiB; then honest growth is the chain's: some hundred bytes a batch, a leaf an account."""

MEBIBYTE = 1 << 20
STOP_SECONDS_MAX = 60

NAMES = {
    "devnet.liar": "sequencer",
    "watchtower": "watchtower",
    "follower": "follower",
    "oracle": "oracle",
    "node.signature_worker": "signature worker",
    "node.batch_worker": "batch worker",
    "anvil": "anvil (holds all blocks; no bound)",
    "devnet": "people and director",
}
"""A word of the command line -> what the table calls it; the first that fits."""

UNBOUND = "anvil"


@dataclass
class Series:
    """Samples of one process: (seconds, bytes)."""

    name: str
    samples: list[tuple[float, int]] = field(default_factory=list)

    def measure_slope(self) -> float | None:
        """Bytes an hour; None for a process that did not live long enough."""
        kept = self.samples[int(len(self.samples) * WARM_UP) :]
        if len(kept) < 10:
            return None
        mean_x = sum(x for x, _ in kept) / len(kept)
        mean_y = sum(y for _, y in kept) / len(kept)
        spread = sum((x - mean_x) ** 2 for x, _ in kept)
        return 3600 * sum((x - mean_x) * (y - mean_y) for x, y in kept) / spread


def list_descendants(pid: int) -> list[int]:
    """A process and all that it has started, and so on."""
    children = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children[parent].append(int(entry.name))
    found = [pid]
    for one in found:
        found += children[one]
    return found


def read_name(pid: int) -> str | None:
    """By its command line; None for one that is gone or is nothing of ours."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return None
    for word, name in NAMES.items():
        if any(part == word or Path(part).name == word for part in words):
            return name
    return None


def read_memory(pid: int) -> int | None:
    """Anonymous resident bytes; None for a process that is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:")), None)


def sample(root: int, began: float, series: dict[int, Series]) -> None:
    """One look at everything that runs."""
    for pid in list_descendants(root):
        memory = read_memory(pid)
        if pid not in series:
            name = read_name(pid)
            if name is None:
                continue
            series[pid] = Series(name)
        if memory:
            series[pid].samples.append((time.monotonic() - began, memory))


def soak(minutes: float, folder: Path) -> tuple[dict[int, Series], str | None]:
    """Run the devnet so long; the samples, and how it ended when it ended by itself."""
    series: dict[int, Series] = {}
    log = folder / "devnet.log"
    with log.open("wb") as output:
        command = [sys.executable, "-m", "devnet", "--folder", str(folder / "run")]
        process = subprocess.Popen(
            command, cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    began = said = time.monotonic()
    try:
        while time.monotonic() - began < 60 * minutes:
            if process.poll() is not None:
                return series, f"the devnet ended by itself: {log.read_text(errors='replace')[-2000:]}"
            sample(process.pid, began, series)
            if time.monotonic() - said >= 60:
                said = time.monotonic()
                print_progress(said - began, series)
            time.sleep(SAMPLE_SECONDS)
    finally:
        stop(process)
    return series, None


def stop(process: subprocess.Popen[bytes]) -> None:
    """As Ctrl-C does; what is left after a while is killed."""
    started = list_descendants(process.pid)
    process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        for pid in started:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        process.wait()


def print_progress(seconds: float, series: dict[int, Series]) -> None:
    """One line a minute."""
    sizes = ", ".join(f"{one.name} {one.samples[-1][1] / MEBIBYTE:.0f}" for one in series.values() if one.samples)
    print(f"{seconds / 60:5.1f} min  MiB: {sizes}", flush=True)


def print_table(series: dict[int, Series], bound: float) -> bool:
    """Every process with first, last and slope; whether all keep the bound."""
    is_kept = True
    for one in sorted(series.values(), key=lambda one: one.name):
        slope = one.measure_slope()
        if slope is None:
            continue
        is_bound = not one.name.startswith(UNBOUND)
        is_over = is_bound and slope > bound * MEBIBYTE
        is_kept &= not is_over
        first, last = one.samples[0][1], one.samples[-1][1]
        print(
            f"{one.name:38} {first / MEBIBYTE:7.1f} -> {last / MEBIBYTE:7.1f} MiB  {slope / MEBIBYTE:+9.2f} MiB/h"
            f"{'   ABOVE THE BOUND' if is_over else ''}"
        )
    return is_kept


def main(words: list[str]) -> int:
    """0 when nothing grew faster than the bound, and nothing ended by itself."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--bound", type=float, default=SLOPE_MAX_MIB_H, help="MiB an hour that a process may grow")
    arguments = parser.parse_args(words)
    with TemporaryDirectory(prefix="keel-soak-") as name:
        series, failure = soak(arguments.minutes, Path(name))
    is_kept = print_table(series, arguments.bound)
    print(f"bound: {arguments.bound:g} MiB/h" + (f"; {failure}" if failure else ""))
    return 0 if is_kept and failure is None else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The development L1: one `anvil` process, started, awaited and always stopped.

What a real L1 would refuse must be refused here too: the rules are Osaka's, with EIP-170 on code size and with
EIP-7825 on the gas of a transaction, which anvil leaves off unless asked. (One thing it takes and mainnet's pools do
not: a transaction of more than 128 KiB.) An epoch is one slot long, so that `finalized` follows the head at a
distance of two blocks instead of sixty-four.

    with run_anvil() as l1:                                # tests, tools
        l1.request("evm_mine")

    async with open_anvil(block_seconds=1) as l1:          # the devnet, beside other tasks
        nursery.start_soon(l1.watch)
"""

import json
import os
import platform
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import trio

from node.errors import NodeError

PROJECT = Path(__file__).resolve().parent.parent

CHAIN_ID = 31_337
BLOCK_GAS_LIMIT = 60_000_000
START_DEADLINE_SECONDS = 20
STOP_DEADLINE_SECONDS = 20
"""Both generous: a start takes a tenth of a second, a stop as long as writing the state file."""


class AnvilError(NodeError):
    """The process could not be found, did not start, or ended by itself; the text says which, and why."""


class RequestError(RuntimeError):
    """The L1 answered a request with an error. `code` and `data` are JSON-RPC's."""

    def __init__(self, method: str, error: dict[str, Any]) -> None:
        super().__init__(f"{method}: {error.get('message')}")
        self.code = error.get("code")
        self.data = error.get("data")


class Anvil:
    """A running process. `url` answers JSON-RPC over HTTP, and over WebSocket with `ws` for `http`."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path, *, keep_log: bool) -> None:
        self.process = process
        self.port = port
        self.log = log
        self._keep_log = keep_log
        self.url = f"http://127.0.0.1:{port}"
        # Loopback is never behind a proxy, whatever the environment says of others.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def request(self, method: str, *params: Any) -> Any:
        """One JSON-RPC call, mostly for what only a development L1 offers: `evm_mine`, `evm_snapshot`, and so on."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(self.url, body, {"Content-Type": "application/json"})
        with self._opener.open(request, timeout=60) as response:
            answer = json.load(response)
        if "error" in answer:
            raise RequestError(method, answer["error"])
        return answer["result"]

    def stop(self) -> None:
        """End the process, its state file written first if it has one. Stopping twice is harmless."""
        self.process.terminate()
        try:
            self.process.wait(STOP_DEADLINE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if not self._keep_log:
            self.log.unlink(missing_ok=True)

    async def watch(self) -> None:
        """Wait for the process, for ever if all goes well: its end is an error of whoever runs this."""
        status = await trio.to_thread.run_sync(self.process.wait, abandon_on_cancel=True)
        raise AnvilError(f"anvil ended by itself with status {status}; its log: {_last_lines(self.log)}")


@contextmanager
def run_anvil(**options: Any) -> Iterator[Anvil]:
    """Run an L1 for the length of a `with` block. Options: see `start_anvil`."""
    running = start_anvil(**options)
    try:
        yield running
    finally:
        running.stop()


@asynccontextmanager
async def open_anvil(**options: Any) -> AsyncIterator[Anvil]:
    """The same for trio: neither start nor stop holds up other tasks, and a cancelled block stops it too."""
    running = await trio.to_thread.run_sync(lambda: start_anvil(**options))
    try:
        yield running
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(running.stop)


def start_anvil(
    *,
    port: int = 0,
    block_seconds: int | None = None,
    timestamp: int | None = None,
    state_file: Path | None = None,
    log: Path | None = None,
    chain_id: int = CHAIN_ID,
    hardfork: str = "osaka",
    epoch_slots: int = 1,
    arguments: Sequence[str] = (),
) -> Anvil:
    """Start an L1 on loopback and return when it answers.

    `port` 0 takes a free one. Without `block_seconds` every transaction makes its block. `timestamp` (seconds) is
    that of the genesis block. `state_file` is loaded where it exists, and written every second and at the end.
    `log` is a file for what the process prints, by default a temporary one. `finalized` follows the head at a distance
    of two epochs; an `anvil_reorg` of that depth or more takes finalized blocks back, which no real L1 does.
    `arguments` go to anvil as they are.
    """
    command = [find_anvil(), "--host=127.0.0.1", f"--port={port}", f"--chain-id={chain_id}"]
    command += [f"--hardfork={hardfork}", "--enable-tx-gas-limit", f"--gas-limit={BLOCK_GAS_LIMIT}"]
    command += [f"--slots-in-an-epoch={epoch_slots}"]
    if block_seconds is not None:
        command += [f"--block-time={block_seconds}"]
    if timestamp is not None:
        command += [f"--timestamp={timestamp}"]
    if state_file is not None:
        command += [f"--state={state_file}", "--state-interval=1"]
    keep_log = log is not None
    if log is None:
        descriptor, name = tempfile.mkstemp(prefix="anvil-", suffix=".log")
        os.close(descriptor)
        log = Path(name)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, *arguments], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        return Anvil(process, _wait_for_port(process, log), log, keep_log=keep_log)
    except BaseException:
        process.kill()
        process.wait()
        raise


def find_anvil() -> str:
    """The program that `make setup` installed for this machine, else the one on PATH."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    installed = f"node_modules/@foundry-rs/anvil-{platform.system().lower()}-{machine}/bin/anvil"
    found = shutil.which(PROJECT / installed) or shutil.which("anvil")
    if found is None:
        raise AnvilError(f"no anvil at {installed} and none on PATH: run `make setup`")
    return found


def _wait_for_port(process: subprocess.Popen[bytes], log: Path) -> int:
    """Return the port the process says it listens on. It binds before it says so."""
    deadline = time.monotonic() + START_DEADLINE_SECONDS
    while time.monotonic() < deadline:
        ended = process.poll() is not None
        _, found, rest = log.read_text(errors="replace").partition("Listening on 127.0.0.1:")
        if found and "\n" in rest:
            return int(rest.split("\n", 1)[0])
        if ended:
            raise AnvilError(f"anvil did not start (status {process.returncode}): {_last_lines(log)}")
        time.sleep(0.01)
    raise AnvilError(f"anvil did not listen within {START_DEADLINE_SECONDS} s: {_last_lines(log)}")


def _last_lines(log: Path) -> str:
    return " | ".join(log.read_text(errors="replace").split("\n")[-6:]).strip(" |") or "(empty)"

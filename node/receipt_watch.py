"""Receipts that people hand to a watchtower: held against every batch as it is posted, and against what was before.

They are lines in files (`keel wallet ... --receipts FILE`), one file or a folder of them, read on as they grow. Whoever
hands a receipt in need not watch any more: a key that breaks its word loses its bond by one transaction of the tower's.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import trio

from fraud_proofs.replica import Replica
from node.errors import CallReverted, L1Error
from node.keys import format_address
from node.l1 import in_thread
from node.logs import Log
from node.receipt_check import Contradiction, KeptReceipt, ReceiptCheck, find_contradictions, is_taken, parse_receipt
from node.rollup import Rollup
from node.transactions import Mined, Sender
from state.batches import HEADER_BYTES, decode_header
from state.l1_events import BatchPosted


@dataclass(slots=True)
class ReceiptCounters:
    """What the metrics page tells of receipts."""

    held: int = 0
    unreadable: int = 0
    contradicted: int = 0
    slashed: int = 0


class ReceiptFiles:
    """Lines of one file, or of every file in a folder, each told once; a line counts when it has its end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read: dict[Path, int] = {}

    def read_new(self) -> Iterator[tuple[Path, str]]:
        """What has been added since the last call, with the file that it stands in."""
        files = sorted(self._path.iterdir()) if self._path.is_dir() else [self._path]
        for file in files:
            if not file.is_file():
                continue
            with file.open("rb") as stream:
                stream.seek(self._read.get(file, 0))
                data = stream.read()
            whole = data[: data.rfind(b"\n") + 1]
            self._read[file] = self._read.get(file, 0) + len(whole)
            for line in whole.splitlines():
                yield file, line.decode(errors="replace")


class ReceiptWatch:
    """The receipts that stand in a path, against one rollup. A watchtower shows it each batch before it is executed."""

    def __init__(self, rollup: Rollup, sender: Sender, path: Path, log: Log) -> None:
        self._rollup = rollup
        self._sender = sender
        self._log = log
        self._files = ReceiptFiles(path)
        self._domain = rollup.get_domain()
        self._check = ReceiptCheck(self._domain)
        # (key, generation) -> how far it has posted.
        self._posted: dict[tuple[bytes, int], int] = {}
        self._found: list[Contradiction] = []
        self.counters = ReceiptCounters()

    def take_batch(self, event: BatchPosted, replica: Replica) -> None:
        """A batch was posted; `replica` stands before it."""
        header = decode_header(event.data[:HEADER_BYTES])
        self._posted[event.submitter, header.generation] = header.position_to
        self._note(self._check.find(event, replica))

    def _note(self, found: list[Contradiction]) -> None:
        for one in found:
            self.counters.contradicted += 1
            self._log.error("receipt contradicted", receipt=str(one), signer=format_address(one.kept.signer))
        self._found += found

    async def run(self, poll_seconds: float) -> None:
        """Take what is handed in and send what is found, until cancelled."""
        while True:
            try:
                await self.look()
            except L1Error as error:
                self._log.warning("unavailable", error=str(error))
            except OSError as error:
                self._log.warning("receipts cannot be read", error=str(error))
            await trio.sleep(poll_seconds)

    async def look(self) -> None:
        """Take what was handed in since the last look, and send what is found. Raises L1Error, OSError."""
        late = []
        for file, line in await trio.to_thread.run_sync(lambda: list(self._files.read_new())):
            kept = parse_receipt(line, self._domain)
            if kept is None:
                self.counters.unreadable += 1
                self._log.warning("no receipt of this rollup with its request", file=str(file))
                continue
            pair = self._check.add(kept)
            self._note([] if pair is None else [pair])
            if self._is_late(kept):
                late.append(kept)
        self.counters.held = len(self._check)
        if late:
            # What was posted behind it before it was handed in: all of history is read once more.
            self._note(await in_thread(find_contradictions, self._rollup, late))
        await self._slash()

    def _is_late(self, kept: KeptReceipt) -> bool:
        """Whether the key has already posted beyond the receipt."""
        return self._posted.get((kept.signer, kept.held.generation), 0) > kept.held.position

    async def _slash(self) -> None:
        """Send one proof for each key that broke its word; what L1 does not take any more is let go."""
        while self._found:
            one = self._found[0]
            if await in_thread(is_taken, self._rollup, one):
                await self._send(one)
            self._found = [other for other in self._found if other is not one]

    async def _send(self, one: Contradiction) -> None:
        try:
            outcome = await self._sender.send_async(self._rollup.contradict(one.proof))
        except CallReverted as error:
            self._log.info("not slashed", receipt=str(one), reason=error.reason)
            return
        if isinstance(outcome, Mined):
            self.counters.slashed += 1
            self._log.info("slashed", signer=format_address(one.kept.signer), gas=outcome.gas_used)
        else:
            self._log.error("proof did not count", receipt=str(one), outcome=str(outcome))
            self._found.append(one)

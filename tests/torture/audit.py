"""What must hold of a node that was killed, read from its folder, from L1, and from the receipts that people hold.

The folder is copied before anything opens it: what is judged is what the next start will find. Beside the node runs
its twin, an engine that has never been restarted: it is fed the same log, and must come to the same batches and roots.
"""

import copy
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fraud_proofs.contradiction_search import HeldReceipt
from node.chain_follower import ChainFollower
from node.keys import load_ethereum_key
from node.op_log import LOG_FOLDER, LevelDbLog
from node.receipt_check import KeptReceipt, find_contradictions
from node.sequencer_core import SequencerCore
from node.session import Answer
from sequencer.batcher import Batcher
from sequencer.engine import Engine, accept_any
from sequencer.oplog import LogRecord, RecordKind, hash_log
from sequencer.requests import decode_request
from state.batches import BatchData, decode_batch, decode_header
from state.l1_events import BatchPosted
from state.store import Store
from state.tree import build_tree
from tests.torture.load import Kept
from tests.torture.site import Site

GENERATION = 1


class Lost(AssertionError):
    """Something that must hold does not."""


def require(condition: bool, sentence: str) -> None:
    """Raises Lost."""
    if not condition:
        raise Lost(sentence)


class Twin:
    """An engine that never stops: the records of a log, cut into the batches that others say."""

    def __init__(self, site: Site, domain: bytes) -> None:
        leaves = site.genesis.build_leaves()
        self.engine = Engine(dict(leaves), domain, verify=accept_any)
        self.batcher = Batcher(build_tree(leaves.items()), site.genesis.batch_hash)
        self.index = 0
        self.engine.open_batch(GENERATION)

    def fork(self) -> "Twin":
        """One that may run ahead without this one."""
        return copy.deepcopy(self)

    def advance(self, records: list[LogRecord], position: int, messages: Any) -> None:
        """Do again what a log holds, up to a position."""
        while self.engine.next_position < position:
            at = self.engine.next_position
            redone = self.engine.replay(records[at], messages)
            require(list(redone) == records[at : at + len(redone)], f"log position {at} is not what its replay gives")

    def take_batch(self, batch: BatchData, records: list[LogRecord], messages: Any) -> None:
        """Close the batch where another closes, and come to the same bytes."""
        header = decode_header(batch.header)
        self.advance(records, header.position_to, messages)
        built = self.batcher.build(self.engine.seal())
        require(built.encode() == batch.encode(), f"batch {header.index} is not what the log gives")
        self.index = header.index
        self.engine.open_batch(GENERATION)

    def picture(self) -> tuple[Any, ...]:
        """Root, log, and every order that rests."""
        return picture(self.engine, self.batcher)


def picture(engine: Engine, batcher: Batcher) -> tuple[Any, ...]:
    """What must be the same of two sequencers that have heard the same."""
    batcher.advance(engine.pending)
    resting = sorted(
        (slot, known.counter, known.order.accepted, known.order.remaining, known.order.is_registered)
        for slot, known in engine.slots.items()
        if known.order is not None
    )
    return batcher.tree.root, batcher.parent, engine.next_position, engine.log_hash, engine.pending_count, resting


@dataclass
class Auditor:
    """Looks after every kill; remembers what it saw, so that nothing may vanish later either."""

    site: Site
    kept: Kept
    records: list[LogRecord] = field(default_factory=list)
    hashes: list[bytes] = field(default_factory=list)
    mined: list[dict[str, Any]] = field(default_factory=list)
    checked: int = 0
    audits: int = 0
    _block: int = 0
    _unchecked: list[BatchPosted] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rollup = self.site.rollup
        self.domain = self.rollup.get_domain()
        self.follower = ChainFollower(self.rollup)
        self.twin = Twin(self.site, self.domain)
        self.key = load_ethereum_key(self.site.folder / "keys" / "l1.json")

    def audit(self) -> None:
        """Everything; only while the sequencer is dead. Blocks. Raises Lost."""
        self._follow()
        with TemporaryDirectory(prefix="keel-audit-") as name:
            # Replicas of roles that go on running lie beside it.
            copy, data = Path(name), self.site.folder / "data"
            for place in ("leveldb", f"{LOG_FOLDER}/leveldb"):
                shutil.copytree(data / place, copy / place)
            with Store(copy) as store, Store(copy / LOG_FOLDER) as log_store:
                log = LevelDbLog(log_store)
                self._read_log(log)
                self._check_receipts()
                self._check_recovery(store, log)
        self._check_transactions()
        self.audits += 1

    def _follow(self) -> None:
        """Every batch on L1 is good, and is what the uninterrupted twin posts."""
        progress = self.follower.advance()
        posted = [event for event in progress.events if isinstance(event, BatchPosted)]
        require(all(verdict.is_valid for _, verdict in progress.verdicts), "a batch on L1 is wrong")
        self._unchecked += posted

    @property
    def _messages(self) -> Any:
        return self.follower.replica.messages.__getitem__

    def _read_log(self, log: LevelDbLog) -> None:
        found = list(log.read_from(GENERATION, 0))
        require(found[: len(self.records)] == self.records, "records that were on disk have changed or are gone")
        for record in found[len(self.records) :]:
            require(record.position == len(self.records), f"log position {len(self.records)} is missing")
            self.hashes.append(hash_log(self.hashes[-1] if self.hashes else bytes(32), record))
            self.records.append(record)

    def _check_receipts(self) -> None:
        """Whatever was acknowledged stands where its receipt says, behind the very log that it says.

        So no two contradict each other: each is compared with the one record of its position.
        """
        for answer in self.kept.answers[self.checked :]:
            body = answer.receipt.body
            require(body.generation == GENERATION, "a receipt is of another generation")
            require(body.position < len(self.records), f"position {body.position} was acknowledged and is lost")
            record = self.records[body.position]
            request = record.body if record.kind is RecordKind.ACCEPTED else record.body[:1] + record.body[9:]
            require(request == answer.request, f"position {body.position} holds something else than was acknowledged")
            require(self.hashes[body.position] == body.log_hash, f"the log behind position {body.position} is another")
            self.checked += 1

    def _check_recovery(self, store: Store, log: LevelDbLog) -> None:
        """What a start recovers from the copy is what the twin comes to without one."""
        core = SequencerCore(store, self.domain, 4_000_000, log=log)
        if not core.recover(self._messages):
            require(not self.kept.answers, "there are receipts and no state")
            return
        for event in self._unchecked:
            batch = decode_batch(event.data)
            assert batch is not None
            self.twin.take_batch(batch, self.records, self._messages)
        self._unchecked.clear()
        ahead = self.twin.fork()
        for index in sorted(core.sealed):
            if index > ahead.index:
                ahead.take_batch(core.sealed[index], self.records, self._messages)
        ahead.advance(self.records, len(self.records), self._messages)
        assert isinstance(core.batcher, Batcher)
        require(picture(core.engine, core.batcher) == ahead.picture(), "recovery and the uninterrupted run differ")

    def _check_transactions(self) -> None:
        """No call of the operator's is mined twice."""
        head = self.rollup.l1.get_block().number
        for number in range(self._block, head + 1):
            block = self.site.anvil.request("eth_getBlockByNumber", hex(number), True)
            sender = "0x" + self.site.operator.hex()
            self.mined += [one for one in block["transactions"] if one["from"].lower() == sender]
        self._block = head + 1
        nonces = sorted(int(one["nonce"], 16) for one in self.mined)
        require(nonces == list(range(len(nonces))), f"nonces on L1 have gaps: {nonces}")
        twice = [data for data, count in Counter(one["input"] for one in self.mined).items() if count > 1]
        require(not twice, f"mined twice: {[data[:10] for data in twice]}")

    def read_tip(self) -> tuple[int, bytes]:
        """The last batch on L1 and its root. Blocks."""
        self.follower.advance()
        replica = self.follower.replica
        return replica.tip, replica.roots[replica.tip]

    def check_contradictions(self, answers: Sequence[Answer]) -> None:
        """Hold some receipts against each other and every batch on L1, as their holder would. Blocks. Raises Lost.

        That goes through every step for every receipt. What it could find, the audits have excluded for all: each
        receipt fits the log, and each batch on L1 is what the log gives.
        """
        kept = []
        for answer in answers:
            request = decode_request(answer.request)
            assert request is not None
            kept.append(KeptReceipt(HeldReceipt(answer.receipt.encode(), request.op), self.site.operator))
        found = find_contradictions(self.rollup, kept)
        require(not found, f"receipts contradict what their signer did: {[str(one) for one in found]}")

"""A holder's receipts against what L1 shows: which of them their own signer contradicts (fraud_proofs/SPEC.md 5).

Nothing here trusts a sequencer: the chain is re-executed from L1 alone. Receipts are kept in a file, one a line, each
with the request that it is for: whose order or withdrawal it was, the receipt's digest alone does not say.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fraud_proofs.contradiction_search import (
    HeldReceipt,
    ends_order,
    find_cancelled_fill,
    find_contradiction,
    list_filled_orders,
    prove_other_receipt,
)
from fraud_proofs.contradictions import ContradictionKind
from fraud_proofs.replica import ForeignContract, Replica
from node.errors import CallReverted, ConfigError, WrongContract
from node.event_reader import EventReader
from node.rollup import Rollup
from sequencer.requests import decode_request
from state.batches import decode_batch, decode_header
from state.context import StepContext
from state.l1_events import BatchPosted
from state.receipts import SignedReceipt, decode_receipt


@dataclass(frozen=True, slots=True)
class KeptReceipt:
    """A receipt, what it is for, and whose it is."""

    held: HeldReceipt
    signer: bytes


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A receipt that its signer contradicts, and the proof that `contradict` takes."""

    kept: KeptReceipt
    proof: bytes

    def __str__(self) -> str:
        held, kind = self.kept.held, ContradictionKind(self.proof[0])
        return f"{held.op.kind.name.lower()} at position {held.position} of generation {held.generation}: {kind.name}"


class ReceiptCheck:
    """Receipts beside a chain that moves batch by batch."""

    def __init__(self, domain: bytes) -> None:
        self._domain = domain
        self._kept: list[KeptReceipt] = []
        self._first: dict[tuple[bytes, int, int], HeldReceipt] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, kept: KeptReceipt) -> Contradiction | None:
        """Keep another receipt; what it says against the first that its key gave for the position, if it does."""
        self._kept.append(kept)
        first = self._first.setdefault((kept.signer, kept.held.generation, kept.held.position), kept.held)
        if (first.op_digest, first.log_hash) == (kept.held.op_digest, kept.held.log_hash):
            return None
        return Contradiction(kept, prove_other_receipt(first.data, kept.held.data))

    def find(self, event: BatchPosted, replica: Replica) -> list[Contradiction]:
        """Hold every receipt of the submitter's against a batch that the replica has not executed yet."""
        batch = decode_batch(event.data)
        if batch is None or event.index != replica.tip + 1 or replica.wrong is not None:
            return []
        header = decode_header(batch.header)
        own = [
            kept for kept in self._kept if (kept.signer, kept.held.generation) == (event.submitter, header.generation)
        ]
        if not own or header.inbox_cursor > len(replica.messages):
            return []
        context = StepContext(header, 0, self._domain, replica.messages.__getitem__)
        filled = list_filled_orders(batch, replica.state)
        found: list[Contradiction] = []
        for kept in own:
            proof = find_contradiction(self._domain, kept.held, event.index, batch)
            if proof is None and any(ends_order(kept.held, order) for order in filled):
                proof = find_cancelled_fill(kept.held, event.index, batch, replica.state, context)
            if proof is not None:
                found.append(Contradiction(kept, proof))
        return found


def format_receipt(receipt: SignedReceipt, request: bytes) -> str:
    """A line of a receipts file."""
    return f"{receipt.encode().hex()} {request.hex()}"


def read_receipts(path: Path, domain: bytes) -> list[KeptReceipt]:
    """Every receipt of a file. Raises ConfigError for a line that is none, naming it."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read receipts from {path}: {error}") from error
    kept = [parse_receipt(line, domain) for line in lines]
    if None in kept:
        raise ConfigError(
            f"{path}, line {kept.index(None) + 1}: no receipt of this rollup with its request; a line is what "
            "`keel wallet ... --receipts FILE` appends"
        )
    return [one for one in kept if one is not None]


def parse_receipt(line: str, domain: bytes) -> KeptReceipt | None:
    """A line of a receipts file; None when it is no receipt of this rollup with the request that it is for."""
    try:
        data, request_data = (bytes.fromhex(word) for word in line.split(" "))
    except ValueError:
        return None
    receipt, request = decode_receipt(data), decode_request(request_data)
    signer = None if receipt is None else receipt.recover(domain)
    if receipt is None or request is None or signer is None:
        return None
    if receipt.body.op_digest != request.hash_digest(domain):
        return None
    return KeptReceipt(HeldReceipt(data, request.op), signer)


def find_contradictions(rollup: Rollup, kept: Sequence[KeptReceipt]) -> list[Contradiction]:
    """Every contradiction that L1 would take now, one a receipt and batch at most. Raises L1Error, WrongContract."""
    domain = rollup.get_domain()
    check, replica = ReceiptCheck(domain), Replica(domain)
    found = [pair for one in kept if (pair := check.add(one)) is not None]
    try:
        for event in EventReader(rollup).read().events:
            if isinstance(event, BatchPosted):
                found += check.find(event, replica)
            replica.apply(event)
    except ForeignContract as error:
        raise WrongContract(f"this rollup cannot be followed: {error}") from error
    return [one for one in found if is_taken(rollup, one)]


def is_taken(rollup: Rollup, contradiction: Contradiction) -> bool:
    """Whether L1 would slash for it: the batch may have died since, and the bond be gone."""
    try:
        rollup.l1.call(rollup.contradict(contradiction.proof))
    except CallReverted:
        return False
    return True

"""A holder's receipts against what L1 shows: which of them their own signer contradicts (fraud_proofs/SPEC.md 5).

Nothing here trusts a sequencer: the chain is re-executed from L1 alone. Receipts are kept in a file, one a line, each
with the request that it is for: whose order or withdrawal it was, the receipt's digest alone does not say.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fraud_proofs.contradiction_search import (
    HeldReceipt,
    find_cancelled_fill,
    find_contradiction,
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


@dataclass(slots=True)
class _Check:
    """Receipts beside a replica that moves batch by batch."""

    domain: bytes
    kept: Sequence[KeptReceipt]
    replica: Replica
    found: list[Contradiction] = field(default_factory=list)

    def take_batch(self, event: BatchPosted) -> None:
        """Hold every receipt of the submitter's against a batch that the replica has not taken yet."""
        batch = decode_batch(event.data)
        if batch is None or event.index != self.replica.tip + 1 or self.replica.wrong is not None:
            return
        header = decode_header(batch.header)
        if header.inbox_cursor > len(self.replica.messages):
            return
        context = StepContext(header, 0, self.domain, self.replica.messages.__getitem__)
        for kept in self.kept:
            if kept.signer != event.submitter:
                continue
            proof = find_contradiction(self.domain, kept.held, event.index, batch)
            if proof is None:
                proof = find_cancelled_fill(kept.held, event.index, batch, self.replica.state, context)
            if proof is not None:
                self.found.append(Contradiction(kept, proof))


def format_receipt(receipt: SignedReceipt, request: bytes) -> str:
    """A line of a receipts file."""
    return f"{receipt.encode().hex()} {request.hex()}"


def read_receipts(path: Path, domain: bytes) -> list[KeptReceipt]:
    """Every receipt of a file. Raises ConfigError for a line that is none, naming it."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read receipts from {path}: {error}") from error
    kept = [_parse_line(line, domain) for line in lines]
    if None in kept:
        raise ConfigError(
            f"{path}, line {kept.index(None) + 1}: no receipt of this rollup with its request; a line is what "
            "`keel wallet ... --receipts FILE` appends"
        )
    return [one for one in kept if one is not None]


def _parse_line(line: str, domain: bytes) -> KeptReceipt | None:
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
    """Every contradiction that L1 would take now, one a receipt at most. Raises L1Error, WrongContract."""
    domain = rollup.get_domain()
    check = _Check(domain, kept, Replica(domain))
    check.found += _find_pairs(kept)
    try:
        for event in EventReader(rollup).read().events:
            if isinstance(event, BatchPosted):
                check.take_batch(event)
            check.replica.apply(event)
    except ForeignContract as error:
        raise WrongContract(f"this rollup cannot be followed: {error}") from error
    return [one for one in check.found if _is_taken(rollup, one)]


def _find_pairs(kept: Sequence[KeptReceipt]) -> list[Contradiction]:
    """Receipts of one key for one position that are not of one word."""
    found: list[Contradiction] = []
    first: dict[tuple[bytes, int, int], HeldReceipt] = {}
    for one in kept:
        other = first.setdefault((one.signer, one.held.generation, one.held.position), one.held)
        if (other.op_digest, other.log_hash) != (one.held.op_digest, one.held.log_hash):
            found.append(Contradiction(one, prove_other_receipt(other.data, one.held.data)))
    return found


def _is_taken(rollup: Rollup, contradiction: Contradiction) -> bool:
    """Whether L1 would slash for it: the batch may have died since, and the bond be gone."""
    try:
        rollup.l1.call(rollup.contradict(contradiction.proof))
    except CallReverted:
        return False
    return True

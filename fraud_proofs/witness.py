"""Witnesses: the leaves that a ground reads, each with a path, and what else its evaluation needs (SPEC.md section 3).

A witness is built from a ledger that recorded what the honest rules read; so it is never more than that.

Mirrors contracts/witness.vy.
"""

import struct
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

from fraud_proofs.ed25519 import Hints, build_signature_hints
from fraud_proofs.grounds import Ground, GroundKind
from state.codes import Code
from state.context import Check, StepContext, is_passed
from state.ledger import Exhibit, Ledger, SubjectMissing
from state.operations import NO_ACTIVE, Deleverage, MessageOperation, Operation, SignedOperation, hash_digest
from state.signed_checks import get_key
from state.transition import PROCESSES, decode_step
from state.tree import LeafKey, Path, Tree, get_account_index, hash_leaf

_HINTS = struct.Struct(">B32s32s32s32s")
HINTS_BYTES = _HINTS.size

SIGNATURE_CODES = (
    Code.ORDER_SIGNATURE_MUST_VERIFY,
    Code.CANCEL_SIGNATURE_MUST_VERIFY,
    Code.TRANSFER_SIGNATURE_MUST_VERIFY,
    Code.WITHDRAW_SIGNATURE_MUST_VERIFY,
    Code.TAKE_SIGNATURE_MUST_VERIFY,
)

MESSAGE_CODES = (
    Code.L1_MESSAGE_MUST_BE_PLAIN,
    Code.L1_MARGIN_MUST_MATCH,
    Code.BID_MESSAGE_MUST_BE_A_TAKE,
    Code.BID_TIME_MUST_REACH_MESSAGE,
    Code.BID_CLAIMS_MUST_MATCH,
    Code.BID_OUTCOME_MUST_MATCH,
    Code.RELAY_MESSAGE_MUST_BE_A_READING,
    Code.RELAY_TIME_MUST_REACH_MESSAGE,
)
"""Checks that read the message, as the effect of an op that takes one does."""

EXHIBIT_AT = 4
"""Leaves that check 1608 reads before the account that a prover exhibits: G, P, A(counterparty), U."""

NO_SCENARIOS = Exhibit(b"\xfe" * len(NO_ACTIVE), b"\xfe" * len(NO_ACTIVE))
"""Numbers of none, where nobody asks what the worst would take: so nothing is valued for it."""


@dataclass(frozen=True, slots=True)
class WitnessLeaf:
    """A leaf as it stands before the step, and its path in the tree after the writes to the leaves before it."""

    key: LeafKey
    data: bytes
    path: Path

    def encode(self) -> bytes:
        """`length u16 || leaf || mask u64 || siblings`; the key is not said, the rules give it."""
        head = len(self.data).to_bytes(2) + self.data + self.path.mask.to_bytes(8)
        return head + b"".join(self.path.siblings)


@dataclass(frozen=True, slots=True)
class Witness:
    """Message (of a ground that reads it), leaves in order of first read, hints (of a signature check).

    `exhibit` is the account that check 1608 compares with: it may be any, so it is named before its leaf. `scenarios`
    are those under which a margin is judged, before the leaf at `scenarios_at`, the first that it reads.
    """

    leaves: tuple[WitnessLeaf, ...]
    message: bytes | None = None
    hints: bytes = b""
    exhibit: int | None = None
    scenarios: Exhibit | None = None
    scenarios_at: int = 0

    def encode(self) -> bytes:
        """The last field of a proof."""
        message = b"" if self.message is None else len(self.message).to_bytes(2) + self.message
        entries = [leaf.encode() for leaf in self.leaves]
        if self.exhibit is not None:
            entries.insert(EXHIBIT_AT, self.exhibit.to_bytes(4))
        if self.scenarios is not None:
            entries.insert(self.scenarios_at, self.scenarios.encode())
        return message + b"".join(entries) + self.hints


def build_leaves(tree: Tree, reads: Mapping[LeafKey, bytes], writes: Mapping[LeafKey, bytes]) -> list[WitnessLeaf]:
    """Sequential paths: each in the tree after the writes before it. The tree is left as it was found."""
    leaves = []
    for key, data in reads.items():
        leaves.append(WitnessLeaf(key, data, tree.prove(key)))
        if key in writes:
            tree.update({key: hash_leaf(key, writes[key])})
    tree.update({key: hash_leaf(key, reads[key]) for key in writes})
    return leaves


def encode_hints(ledger: Ledger, context: StepContext, op: SignedOperation) -> bytes:
    """`hint_kind u8 || hints`; nothing when the key does not exist, for then nothing needs to be shown of it."""
    key = get_key(ledger, op)
    if key is None:
        return b""
    kind, hints = build_signature_hints(key.public_key, op.signature, hash_digest(context.domain, op))
    return _HINTS.pack(kind, *(hint.to_bytes(32) for hint in hints))


def decode_hints(data: bytes) -> tuple[int, Hints]:
    """Hint kind and hints from HINTS_BYTES bytes."""
    kind, *words = _HINTS.unpack(data)
    first, second, third, fourth = (int.from_bytes(word) for word in words)
    return kind, (first, second, third, fourth)


def is_message_claimed(context: StepContext, op: Operation) -> bool:
    """Whether an op that takes a message stays below the header's cursor, beyond which L1 need not know one; true of
    other ops."""
    return not isinstance(op, MessageOperation) or op.index < context.header.inbox_cursor


def get_exhibit(op: Operation, ledger: Ledger) -> int | None:
    """Whom check 1608 compares with, the counterparty when nobody comes before it; None if it never got so far."""
    if not isinstance(op, Deleverage) or len(ledger.reads) < EXHIBIT_AT or b"" in ledger.reads.values():
        return None
    keys = list(ledger.reads)
    return get_account_index(keys[EXHIBIT_AT]) if len(keys) > EXHIBIT_AT else op.counterparty


def find_scenarios(
    leaves: Mapping[LeafKey, bytes], ledger: Ledger, context: StepContext, op: Operation, check: Check
) -> Exhibit:
    """Which scenarios speak against a check that `ledger` was judged by; any where none do, or it asks for none."""
    exhibits = ledger.list_exhibits()
    for exhibit in exhibits:
        shown = Ledger(leaves)
        shown.exhibited = exhibit
        if not is_passed(check, shown, context, op):
            return exhibit
    return exhibits[0] if exhibits else NO_SCENARIOS


def build_witness(
    leaves: Mapping[LeafKey, bytes], tree: Tree, context: StepContext, op_bytes: bytes, ground: Ground
) -> Witness:
    """What convicts a step on this ground, if anything does; `leaves` and `tree` are the state before the step."""
    op = decode_step(context, op_bytes)
    if ground.kind is GroundKind.MALFORMED or op is None:
        return Witness(())
    is_effect = ground.kind is GroundKind.EFFECT
    message: bytes | None = None
    if (is_effect or ground.code in MESSAGE_CODES) and isinstance(op, MessageOperation):
        if not is_message_claimed(context, op):
            return Witness(())
        message = context.get_message(op.index)
    ledger, process = Ledger(leaves), PROCESSES[op.kind]
    scenarios, hints, exhibit = NO_SCENARIOS, b"", None
    if is_effect:
        with suppress(SubjectMissing):
            process.apply_effects(ledger, context, op)
    for code, check in process.checks:
        if code == ground.code and not is_effect:
            is_passed(check, ledger, context, op)
            scenarios = find_scenarios(leaves, ledger, context, op, check)
    if ground.code in SIGNATURE_CODES:
        with suppress(SubjectMissing):
            hints = encode_hints(ledger, context, cast(SignedOperation, op))
    if ground.code is Code.DELEVERAGE_RANK_MUST_BE_FIRST:
        exhibit = get_exhibit(op, ledger)
    entries = tuple(build_leaves(tree, ledger.reads, ledger.writes if is_effect else {}))
    if ledger.exhibit_at is None:
        return Witness(entries, message, hints, exhibit)
    return Witness(entries, message, hints, exhibit, scenarios, ledger.exhibit_at)

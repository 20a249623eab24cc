"""One step re-run from a proof alone: what the contract does with a witness, in Python (SPEC.md).

Mirrors contracts/judge.vy and the verifiers behind it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from fraud_proofs.grounds import Ground, GroundKind
from fraud_proofs.witness import Witness, is_message_claimed
from state.batches import decode_frame
from state.context import StepContext, is_passed
from state.ledger import Ledger, SubjectMissing
from state.transition import PROCESSES, decode_step, get_decode_code
from state.tree import LeafKey, compute_root, hash_leaf


class BadWitness(Exception):
    """The proof does not fit the state before the step: the prover's fault, never a verdict."""


class WitnessLeaves(Mapping[LeafKey, bytes]):
    """The leaves of a witness, which must be read in the order in which they were supplied."""

    def __init__(self, witness: Witness) -> None:
        self._given = {leaf.key: leaf.data for leaf in witness.leaves}
        self._order = iter(witness.leaves)

    def __getitem__(self, key: LeafKey) -> bytes:
        expected = next(self._order, None)
        if expected is None or expected.key != key:
            raise BadWitness("witness: another leaf is needed here")
        return expected.data

    def __iter__(self) -> Iterator[LeafKey]:
        return iter(self._given)

    def __len__(self) -> int:
        return len(self._given)

    def assert_exhausted(self) -> None:
        """Nothing may be supplied that is not needed. Raises BadWitness."""
        if next(self._order, None) is not None:
            raise BadWitness("witness: a leaf too many")


def fold_witness(pre_root: bytes, witness: Witness, writes: Mapping[LeafKey, bytes]) -> bytes:
    """Authenticate every leaf and answer the root after the writes. Raises BadWitness."""
    root = pre_root
    for leaf in witness.leaves:
        try:
            if compute_root(leaf.key, hash_leaf(leaf.key, leaf.data), leaf.path) != root:
                raise BadWitness("witness: a leaf is not in the state before the step")
        except ValueError as error:
            raise BadWitness(str(error)) from error
        if leaf.key in writes:
            root = compute_root(leaf.key, hash_leaf(leaf.key, writes[leaf.key]), leaf.path)
    return root


def is_fraud_shown(
    context: StepContext, op_bytes: bytes, ground: Ground, witness: Witness, pre_root: bytes, post_root: bytes
) -> bool:
    """Whether this CHECK or EFFECT convicts the step. Raises BadWitness."""
    op = decode_step(context, op_bytes)
    if op is None or ground.code is get_decode_code(op_bytes):
        return ground.kind is GroundKind.CHECK and op is None and ground.code is get_decode_code(op_bytes)
    given = WitnessLeaves(witness)
    if witness.message is not None:
        message = witness.message
        context = replace(context, get_message=lambda index: message)
    ledger, process = Ledger(given), PROCESSES[op.kind]
    if ground.kind is GroundKind.EFFECT:
        if not is_message_claimed(context, op):
            return False
        try:
            process.apply_effects(ledger, context, op)
        except SubjectMissing:
            return False
        given.assert_exhausted()
        return fold_witness(pre_root, witness, ledger.writes) != post_root
    is_shown = any(code == ground.code and not is_passed(check, ledger, context, op) for code, check in process.checks)
    given.assert_exhausted()
    fold_witness(pre_root, witness, {})
    return is_shown


def is_malformed(frame: bytes) -> bool:
    """Whether the ground MALFORMED convicts these bytes."""
    return decode_frame(frame) is None

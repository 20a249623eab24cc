"""One step re-run from a proof alone: what the contract does with a witness, in Python (SPEC.md).

Mirrors contracts/judge.vy and the verifiers behind it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from fraud_proofs.ed25519 import Verdict, judge_signature
from fraud_proofs.grounds import Ground, GroundKind
from fraud_proofs.witness import HINTS_BYTES, MESSAGE_CODES, Witness, decode_hints, is_message_claimed
from state.batches import decode_frame
from state.context import MessageUnknown, StepContext, is_passed
from state.leaves import Account, LeafError
from state.ledger import Ledger, SubjectMissing
from state.operations import MessageOperation, Operation
from state.transition import PROCESSES, decode_step, get_decode_code
from state.tree import LeafKey, compute_root, get_account_index, hash_leaf


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


class WitnessLedger(Ledger):
    """A ledger over a witness: of all accounts it knows only the one that is exhibited, and reads it when asked; and a
    margin is judged under the scenarios that stand before its leaves."""

    __slots__ = ("_exhibit", "_given", "_scenarios_at")

    def __init__(self, witness: Witness) -> None:
        self._given = WitnessLeaves(witness)
        super().__init__(self._given)
        self._exhibit = witness.exhibit
        self._scenarios_at = None if witness.scenarios is None else witness.scenarios_at
        self.exhibited = witness.scenarios

    def peek_accounts(self) -> Iterator[tuple[int, Account]]:
        """The counterparty, which has been read, and the exhibit."""
        if self._exhibit is None:
            raise BadWitness("witness: an account must be exhibited here")
        known = [get_account_index(key) for key in self.reads]
        for index in dict.fromkeys((*(index for index in known if index is not None), self._exhibit)):
            account = self.get_account(index)
            if account is not None:
                yield index, account

    def assert_exhausted(self) -> None:
        """Nothing may be supplied that is not needed, and scenarios just where a margin is read. Raises BadWitness."""
        self._given.assert_exhausted()
        if self._scenarios_at != self.exhibit_at:
            raise BadWitness("witness: scenarios stand before the leaves of a margin, and nowhere else")


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


def supply_message(context: StepContext, witness: Witness, index: int) -> StepContext:
    """The context with the witness's message, which must be the one that L1 keeps at this index. Raises BadWitness."""
    try:
        kept = context.get_message(index)
    except MessageUnknown as error:
        raise BadWitness(str(error)) from error
    if witness.message != kept:
        raise BadWitness("witness: another message is needed here")
    return replace(context, get_message=lambda index: kept)


def assert_no_message(witness: Witness) -> None:
    """Where none is read, none is supplied. Raises BadWitness."""
    if witness.message is not None:
        raise BadWitness("witness: no message is needed here")


class HintedVerifier:
    """Judges one signature from the hints of a witness, as L1 does."""

    def __init__(self, hints: bytes) -> None:
        self._hints = hints

    def __call__(self, public_key: bytes, digest: bytes, signature: bytes) -> bool:
        hints, self._hints = self._hints, b""
        if len(hints) != HINTS_BYTES:
            raise BadWitness("witness: hints of another length are needed")
        verdict = judge_signature(public_key, signature[:32], signature[32:], digest, *decode_hints(hints))
        if verdict is Verdict.BAD_HINT:
            raise BadWitness("witness: the hints show nothing of the signature")
        return verdict is Verdict.VALID

    def assert_exhausted(self) -> None:
        """No hints where no signature is judged. Raises BadWitness."""
        if self._hints:
            raise BadWitness("witness: no hints are needed here")


def is_check_failed(context: StepContext, op: Operation, ground: Ground, witness: Witness, pre_root: bytes) -> bool:
    """Whether the check of this ground fails in the state before the step. Raises BadWitness."""
    if ground.code not in MESSAGE_CODES:
        assert_no_message(witness)
    elif not is_message_claimed(context, op):
        return False
    elif isinstance(op, MessageOperation) and ground.code // 100 == op.kind:
        context = supply_message(context, witness, op.index)
    fold_witness(pre_root, witness, {})
    verifier = HintedVerifier(witness.hints)
    context, ledger = replace(context, verify=verifier), WitnessLedger(witness)
    checks = PROCESSES[op.kind].checks
    is_failed = any(code == ground.code and not is_passed(check, ledger, context, op) for code, check in checks)
    ledger.assert_exhausted()
    verifier.assert_exhausted()
    return is_failed


def is_effect_wrong(context: StepContext, op: Operation, witness: Witness, pre_root: bytes, post_root: bytes) -> bool:
    """Whether the effects of the op, if it were valid, lead to another root than the claimed one. Raises BadWitness."""
    if not is_message_claimed(context, op):
        return False
    if isinstance(op, MessageOperation):
        context = supply_message(context, witness, op.index)
    else:
        assert_no_message(witness)
    if witness.hints:
        raise BadWitness("witness: no hints are needed here")
    ledger = WitnessLedger(witness)
    try:
        PROCESSES[op.kind].apply_effects(ledger, context, op)
    except SubjectMissing:
        return False
    except (LeafError, ArithmeticError, LookupError) as error:
        # Only folding, which needs the writes, tells whether the leaves are genuine. These were not: under a root every
        # leaf is well formed and the rules are defined (state/genesis.py).
        raise BadWitness(f"witness: leaves that no state has: {error}") from error
    ledger.assert_exhausted()
    return fold_witness(pre_root, witness, ledger.writes) != post_root


def is_fraud_shown(
    context: StepContext, op_bytes: bytes, ground: Ground, witness: Witness, pre_root: bytes, post_root: bytes
) -> bool:
    """Whether this CHECK or EFFECT convicts the step. Raises BadWitness."""
    op = decode_step(context, op_bytes)
    if op is None or ground.code is get_decode_code(op_bytes):
        return ground.kind is GroundKind.CHECK and op is None and ground.code is get_decode_code(op_bytes)
    if ground.kind is GroundKind.EFFECT:
        return is_effect_wrong(context, op, witness, pre_root, post_root)
    return is_check_failed(context, op, ground, witness, pre_root)


def is_malformed(frame: bytes) -> bool:
    """Whether the ground MALFORMED convicts these bytes."""
    return decode_frame(frame) is None

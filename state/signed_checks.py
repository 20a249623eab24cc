"""The checks that every signed op shares: its account exists, and a live key of that account signed it (SPEC.md
section 6).

Mirrors `_is_key_live` of contracts/context.vy.
"""

from typing import cast

from state.context import Check, StepContext
from state.leaves import SessionKey
from state.ledger import Ledger
from state.operations import Operation, SignedOperation, hash_digest


def get_key(ledger: Ledger, op: SignedOperation) -> SessionKey | None:
    """The session key that the op names, if its account has it. Raises SubjectMissing when there is no account."""
    keys = ledger.require_account(op.account).keys
    return keys[op.key_index] if op.key_index < len(keys) else None


def does_account_exist(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """The account in whose name the op is signed."""
    return ledger.get_account(cast(SignedOperation, op).account) is not None


def is_key_live(scope: int) -> Check:
    """The check that the named key exists, may do this, and has not expired."""

    def is_live(ledger: Ledger, context: StepContext, op: Operation) -> bool:
        time = ledger.get_globals().time
        key = get_key(ledger, cast(SignedOperation, op))
        return key is not None and bool(key.scope & scope) and key.expiry > time

    return is_live


def is_signature_valid(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """The named key signed the op's digest."""
    signed = cast(SignedOperation, op)
    key = get_key(ledger, signed)
    return key is not None and context.verify(key.public_key, hash_digest(context.domain, signed), signed.signature)

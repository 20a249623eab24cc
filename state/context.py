"""What a step may look at beside the state: the batch's header, its place in it, the domain, L1 messages.

Mirrors contracts/context.vy.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from state.batches import Header
from state.codes import Code, MessageCode
from state.constants import NEVER, PROTOCOL_VERSION
from state.ledger import Ledger, SubjectMissing
from state.operations import Operation
from state.signatures import is_ed25519_valid

Verifier = Callable[[bytes, bytes, bytes], bool]


class MessageUnknown(Exception):
    """The inbox message that an l1 op names is not known here: the caller derived too little of L1, or the op lies."""


def no_messages(index: int) -> bytes:
    """The inbox of someone who knows no message."""
    raise MessageUnknown(f"L1 message {index} is not known")


@dataclass(frozen=True, slots=True)
class StepContext:
    """`verify` is (public key, digest, signature) -> bool; `get_message` gives an inbox message by its index."""

    header: Header
    step: int
    domain: bytes
    get_message: Callable[[int], bytes] = no_messages
    verify: Verifier = is_ed25519_valid

    def at(self, step: int) -> "StepContext":
        """The same batch at another step."""
        return StepContext(self.header, step, self.domain, self.get_message, self.verify)


def draft_header(
    *,
    index: int,
    parent: bytes,
    generation: int,
    pre_root: bytes,
    time_from: int,
    position_from: int,
    flags: int = 0,
) -> Header:
    """The header of a batch that is still open: what its end will claim is left at its bounds."""
    return Header(
        version=PROTOCOL_VERSION,
        data_kind=0,
        flags=flags,
        index=index,
        parent=parent,
        generation=generation,
        pre_root=pre_root,
        post_root=bytes(32),
        step_count=(1 << 32) - 1,
        inbox_cursor=NEVER,
        inbox_hash=bytes(32),
        time_from=time_from,
        time=NEVER,
        position_from=position_from,
        position_to=NEVER,
        log_hash=bytes(32),
        oracle_time=NEVER,
    )


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a valid step did, for whoever reads the feed; nothing of it reaches a root. A relayed reading that fails has
    the code that an op of its own would have."""

    message_code: MessageCode | Code = MessageCode.DONE
    account: int = 0
    withdrawal: int | None = None


Check = Callable[[Ledger, StepContext, Operation], bool]


def is_passed(check: Check, ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """Whether a check holds; one whose subject does not exist fails."""
    try:
        return check(ledger, context, op)
    except SubjectMissing:
        return False


@dataclass(frozen=True, slots=True)
class Process:
    """How one kind of op is judged and what it does: numbered checks in order of precedence, then effects."""

    checks: tuple[tuple[Code, Check], ...]
    apply_effects: Callable[[Ledger, StepContext, Operation], Receipt]


def is_position_next(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """The check that every op with a log position shares."""
    position: int = op.position  # type: ignore[union-attr]
    return ledger.get_globals().next_position <= position < context.header.position_to


def advance_position(ledger: Ledger, op: Operation) -> None:
    """The effect that every op with a log position shares."""
    position: int = op.position  # type: ignore[union-attr]
    ledger.put_globals(replace(ledger.get_globals(), next_position=position + 1))

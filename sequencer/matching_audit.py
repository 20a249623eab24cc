"""Has the sequencer matched by price and time? Its log, replayed record by record by an honest engine.

What people asked for stands in the log, with the position at which it was taken; everything else in it must follow. The
audit needs the state before the generation's first batch, the log from position 0 on, and L1's messages. Signatures
are verified again: an order that nobody signed is a departure like any other.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from sequencer.engine import MESSAGE_KINDS, Engine
from sequencer.log_check import AlarmCode
from sequencer.oplog import LogRecord, RecordKind
from sequencer.refusals import Refused
from sequencer.requests import decode_request
from state.codes import Kind
from state.constants import NEVER
from state.context import Verifier
from state.leaves import FLAG_SELL
from state.operations import Fill, Operation, OrderOp, decode_operation
from state.signatures import is_ed25519_valid
from state.tree import LeafKey

# Steps of an open batch that the engine is let keep: here no batch is posted.
STEPS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Departure:
    """The first position at which the log is not what it should be. `due` is None when nothing should stand there
    but what somebody asks for."""

    generation: int
    position: int
    done: LogRecord
    due: LogRecord | Refused | None

    def __str__(self) -> str:
        match self.due:
            case None:
                due = "nothing that nobody asked for"
            case Refused() as refused:
                due = f"a refusal ({refused.code.value}: {refused.text})"
            case _:
                due = describe_record(self.due)
        code, done = AlarmCode.PRIORITY_BROKEN, describe_record(self.done)
        place = f"{code.value} {code.name}: generation {self.generation}, position {self.position}"
        return f"{place}: done was {done}; due was {due}"


class MatchingAudit:
    """One generation's log. `leaves` is the state before its first batch, and belongs to the audit from then on."""

    def __init__(
        self,
        leaves: dict[LeafKey, bytes],
        domain: bytes,
        generation: int,
        get_message: Callable[[int], bytes],
        verify: Verifier = is_ed25519_valid,
    ) -> None:
        self._engine = Engine(leaves, domain, NEVER, verify)
        self._engine.open_batch(generation)
        self._generation = generation
        self._get_message = get_message
        self._due: deque[LogRecord] = deque()
        self.fills = 0

    @property
    def position(self) -> int:
        """Of the record that is audited next."""
        return self._engine.next_position - len(self._due)

    @property
    def log_hash(self) -> bytes:
        """Of the log so far, once no record is due: that of an honest log is its own."""
        return self._engine.log_hash

    def take(self, record: LogRecord) -> Departure | None:
        """Audit the next record. Raises MessageUnknown, KeyError or IndexError as `get_message` does."""
        if record.position != self.position:
            return Departure(self._generation, self.position, record, None)
        if not self._due:
            refused = self._do(record)
            if refused is not None or not self._due:
                return Departure(self._generation, record.position, record, refused)
        due = self._due.popleft()
        if due != record:
            return Departure(self._generation, record.position, record, due)
        self.fills += record.kind is RecordKind.POSTED and record.body[0] == Kind.FILL
        if not self._due and self._engine.pending_count >= STEPS_MAX:
            self._engine.seal()
            self._engine.open_batch(self._generation)
        return None

    def _do(self, record: LogRecord) -> Refused | None:
        """Do what a record says that was asked for; what follows from it is due."""
        engine, body = self._engine, record.body
        kind = body[0] if body else 0
        if record.kind is RecordKind.POSTED and kind == Kind.TICK:
            self._due += engine.tick(int.from_bytes(body[9:]))
        elif record.kind is RecordKind.POSTED and kind in MESSAGE_KINDS:
            index = int.from_bytes(body[9:17])
            if index == engine.globals.inbox_cursor:
                self._due += engine.take_message(index, self._get_message(index))
        elif record.kind is RecordKind.ACCEPTED or kind not in (Kind.ORDER, Kind.FILL):
            # A posted op is its request with a position.
            outcome = engine.submit(body if record.kind is RecordKind.ACCEPTED else body[:1] + body[9:])
            if isinstance(outcome, Refused):
                return outcome
            self._due += outcome.records
        return None


def describe_record(record: LogRecord) -> str:
    """What a record says, for people."""
    op: Operation | None
    if record.kind is RecordKind.ACCEPTED:
        request = decode_request(record.body)
        op, word = None if request is None else request.op, "accepted"
    else:
        op, word = decode_operation(record.body), "posted"
    match op:
        case None:
            return f"{word} bytes that are no op"
        case Fill():
            return (
                f"a fill of {op.quantity} lots at {op.price} between account {op.buyer} slot {op.buyer_slot}, which "
                f"buys, and account {op.seller} slot {op.seller_slot}"
            )
        case OrderOp():
            terms = op.terms
            side = "sells" if terms.flags & FLAG_SELL else "buys"
            return (
                f"an order, {word}, of account {terms.account} slot {terms.slot} counter {terms.counter}, which {side} "
                f"{terms.size} lots at {terms.price}"
            )
    return f"an op, {word}: {op.kind.name.lower()}"

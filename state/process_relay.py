"""relay: a signed reading that came through Ethereum, because a sequencer that lives left it out (SPEC.md sections 6
to 9).

The message carries what an `oracle` or `surface` op does, but for its position, and is judged by the same rules. Only
its age is taken when L1 took it, so that nobody makes it too old by taking it late. It does not make a price young
again for margin; and readings never go back, so a late one changes nothing that is newer.

Mirrors contracts/verify_relay.vy.
"""

from typing import cast

from state.codes import Code, Kind, MessageCode
from state.context import Process, Receipt, StepContext, is_position_next
from state.ledger import Ledger, SubjectMissing
from state.operations import Operation, Oracle, Relay, Surface, decode_operation
from state.process_inbox import (
    Message,
    MessageType,
    advance_inbox,
    is_index_at_cursor,
    is_index_within_header,
    is_message_for_kind,
    is_message_reached,
)
from state.process_market import ORACLE
from state.process_surface import SURFACE, is_end_of_window

_PROCESSES = {Kind.ORACLE: ORACLE, Kind.SURFACE: SURFACE}

# The type of a message says of which kind the op is whose bytes, from the signed fields on, are its payload.
_KINDS = {MessageType.READING: Kind.ORACLE, MessageType.SURFACE: Kind.SURFACE}
_PAYLOAD_AT = 9

_AGE_CODES = (Code.ORACLE_MUST_NOT_BE_STALE, Code.SURFACE_MUST_NOT_BE_STALE)


def encode_reading(reading: Oracle | Surface) -> tuple[MessageType, bytes]:
    """Type and payload of the message that carries a reading."""
    types = {kind: message_type for message_type, kind in _KINDS.items()}
    return types[reading.kind], reading.encode()[_PAYLOAD_AT:]


def decode_reading(message: Message, position: int) -> Oracle | Surface | None:
    """The op that a message carries, None when its payload is none. Raises SubjectMissing for another type."""
    kind = _KINDS.get(cast(MessageType, message.type))
    if kind is None:
        raise SubjectMissing("a reading")
    return cast(Oracle | Surface | None, decode_operation(bytes([kind]) + position.to_bytes(8) + message.payload))


def is_age_kept(ledger: Ledger, reading: Oracle | Surface, message: Message) -> bool:
    """Whether L1 took the reading before it was too old."""
    is_ageless = isinstance(reading, Surface) and is_end_of_window(reading)
    return is_ageless or reading.time + ledger.get_params().oracle_age_max >= message.time


def find_refusal(ledger: Ledger, context: StepContext, reading: Oracle | Surface, message: Message) -> Code | None:
    """The first check of the reading's own kind that speaks against it. Of one that is not listed, nothing is read."""
    _, (unlisted, is_listed), *others = _PROCESSES[reading.kind].checks
    if not is_listed(ledger, context, reading):
        return unlisted
    ledger.get_params()
    if isinstance(reading, Oracle):
        ledger.require_underlying(reading.underlying)
    else:
        ledger.get_expiry(reading.underlying, reading.expiry)
    for code, check in others:
        is_kept = is_age_kept(ledger, reading, message) if code in _AGE_CODES else check(ledger, context, reading)
        if not is_kept:
            return code
    return None


def apply_relay(ledger: Ledger, context: StepContext, op: Operation) -> Receipt:
    """The reading is stored; or nothing moves but the cursor."""
    message = advance_inbox(ledger, context, op)
    reading = decode_reading(message, cast(Relay, op).position)
    # CHECKS
    if reading is None:
        return Receipt(MessageCode.READING_MALFORMED)
    refusal = find_refusal(ledger, context, reading, message)
    if refusal is not None:
        return Receipt(refusal)
    # EFFECTS and RECEIPT
    return _PROCESSES[reading.kind].apply_effects(ledger, context, reading)


RELAY = Process(
    checks=(
        (Code.RELAY_POSITION_MUST_INCREASE, is_position_next),
        (Code.RELAY_INDEX_MUST_BE_CURSOR, is_index_at_cursor),
        (Code.RELAY_INDEX_MUST_NOT_PASS_HEADER, is_index_within_header),
        (Code.RELAY_MESSAGE_MUST_BE_A_READING, is_message_for_kind),
        (Code.RELAY_TIME_MUST_REACH_MESSAGE, is_message_reached),
    ),
    apply_effects=apply_relay,
)

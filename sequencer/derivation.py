"""From the logs of an L1 to the events of a rollup, in order (state/l1_events.py).

Deriving is total: any logs give events or a DerivationError with a numbered code, never another exception. The contract
checks all of this before it logs anything, so an error always means that the endpoint answered wrongly: left a log
out, mixed two forks, or gave a transaction that is not the one that was logged. Whoever derives asks another endpoint.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import NamedTuple

from state.batches import HEADER_BYTES, decode_batch, decode_header
from state.l1_events import BatchPosted, Finalised, GenesisSet, L1Event, MessageSent, RolledBack, WoundDown

# keccak256 of the events' signatures, and the selector of submit_batch(bytes): the ABI of contracts/rollup.vy.
GENESIS = bytes.fromhex("2c53999b7ee63fe40f7878afe9c8ef3c4e3bdaf9ecec6fb4cc31d792d8cb9202")
MESSAGE = bytes.fromhex("386ba0209794f52bcfc572815d06cf5f04184d61b005787f8fd35a2204fb1ed6")
BATCH_SUBMITTED = bytes.fromhex("aed01d2ef02dd3d2d7a58e40194f5aaeae8b40b68000159dab78bbbf08dd6765")
CONVICTED = bytes.fromhex("b04ed1413617aa50c3aa20c349ba443efe9b75b3f0687e068481ceb028c699ca")
FINALISED = bytes.fromhex("e10ee7a95d152ffeccc696d3572166a97ff644de2dba704f14fce4f9a6627f86")
WOUND_DOWN = bytes.fromhex("78a0a6e896b6b620cb95ecb8707d75bec37eca661c00d8d8aec6084a23b38c3e")
SUBMIT_BATCH = bytes.fromhex("66e7f1ca")

WORD = 32


class DerivationCode(IntEnum):
    """What is wrong with the logs."""

    LOG_MUST_BE_THE_ROLLUPS = 1
    LOGS_MUST_BE_ORDERED = 2
    LOG_MUST_DECODE = 3
    CALLDATA_MUST_BE_CANONICAL = 4
    BATCH_MUST_MATCH_EVENT = 5
    GENESIS_MUST_BE_FIRST = 6
    MESSAGE_MUST_BE_NEXT = 7
    BATCH_MUST_BE_NEXT = 8
    ROLLBACK_MUST_HIT_A_PENDING_BATCH = 9
    FINALITY_MUST_ADVANCE = 10
    BATCH_MUST_NOT_OUTRUN_INBOX = 11
    END_MUST_NAME_THE_LAST_FINAL_BATCH = 12


class DerivationError(Exception):
    """These logs are not what the contract wrote."""

    def __init__(self, code: DerivationCode, block: int) -> None:
        super().__init__(f"L1 block {block}: {code.name.lower().replace('_', ' ')} (D{code.value})")
        self.code = code
        self.block = block


class RawLog(NamedTuple):
    """One log as an endpoint gives it, its place, the time of its block, and the input of its transaction.

    `calldata` matters for BatchSubmitted alone; elsewhere it may be empty.
    """

    address: bytes
    topics: tuple[bytes, ...]
    data: bytes
    block: int
    log_index: int
    time: int = 0
    calldata: bytes = b""


@dataclass(frozen=True, slots=True)
class L1Cursor:
    """Where the logs read so far leave a rollup: enough to notice one that is missing."""

    is_born: bool = False
    next_message: int = 0
    tip: int = 0
    final_index: int = 0
    generation: int = 0
    place: tuple[int, int] = (-1, -1)


def derive_events(cursor: L1Cursor, rollup: bytes, logs: Iterable[RawLog]) -> tuple[L1Cursor, tuple[L1Event, ...]]:
    """The events in these logs, which follow those that made `cursor`, and the cursor after them.

    `rollup` is the 20-byte address. Logs of the contract that do not move the chain are passed over.
    Raises DerivationError.
    """
    events: list[L1Event] = []
    for log in logs:
        if log.address != rollup:
            raise DerivationError(DerivationCode.LOG_MUST_BE_THE_ROLLUPS, log.block)
        place = (log.block, log.log_index)
        if place <= cursor.place:
            raise DerivationError(DerivationCode.LOGS_MUST_BE_ORDERED, log.block)
        cursor = replace(cursor, place=place)
        event = decode_log(log)
        if event is not None:
            cursor = _advance(cursor, event, log.block)
            events.append(event)
    return cursor, tuple(events)


def decode_log(log: RawLog) -> L1Event | None:
    """The event in a log; None when it is one that does not move the chain. Raises DerivationError."""
    decoder = _DECODERS.get(log.topics[0]) if log.topics else None
    if decoder is None:
        return None
    try:
        return decoder(log)
    except IndexError as error:
        raise DerivationError(DerivationCode.LOG_MUST_DECODE, log.block) from error


def decode_calldata(calldata: bytes) -> bytes | None:
    """The batch in the input of a submit_batch transaction; None when it is not in the one form that L1 accepts."""
    head, length = calldata[:36], int.from_bytes(calldata[36:68])
    if head != SUBMIT_BATCH + WORD.to_bytes(WORD) or len(calldata) != 68 + -(-length // WORD) * WORD:
        return None
    return calldata[68 : 68 + length]


# Each event moves the cursor by one place, or it does not follow


def _advance(cursor: L1Cursor, event: L1Event, block: int) -> L1Cursor:
    """The cursor after an event. Raises DerivationError when the event cannot stand here."""
    if isinstance(event, GenesisSet) == cursor.is_born:
        raise DerivationError(DerivationCode.GENESIS_MUST_BE_FIRST, block)
    match event:
        case GenesisSet():
            return replace(cursor, is_born=True)
        case MessageSent(index=index):
            if index != cursor.next_message:
                raise DerivationError(DerivationCode.MESSAGE_MUST_BE_NEXT, block)
            return replace(cursor, next_message=index + 1)
        case BatchPosted(index=index, generation=generation, data=data):
            if decode_header(data[:HEADER_BYTES]).inbox_cursor > cursor.next_message:
                raise DerivationError(DerivationCode.BATCH_MUST_NOT_OUTRUN_INBOX, block)
            if index != cursor.tip + 1 or not cursor.generation <= generation <= cursor.generation + 1:
                raise DerivationError(DerivationCode.BATCH_MUST_BE_NEXT, block)
            return replace(cursor, tip=index, generation=generation)
        case RolledBack(index=index, generation=generation):
            if not cursor.final_index < index <= cursor.tip or generation != cursor.generation + 1:
                raise DerivationError(DerivationCode.ROLLBACK_MUST_HIT_A_PENDING_BATCH, block)
            return replace(cursor, tip=index - 1, generation=generation)
        case Finalised(index=index):
            if not cursor.final_index < index <= cursor.tip:
                raise DerivationError(DerivationCode.FINALITY_MUST_ADVANCE, block)
            return replace(cursor, final_index=index)
        case WoundDown(index=index):
            if index != cursor.final_index:
                raise DerivationError(DerivationCode.END_MUST_NAME_THE_LAST_FINAL_BATCH, block)
            return replace(cursor, tip=index)


# ABI: words of 32 bytes; a dynamic argument is a word that says where its length stands


def _decode_genesis(log: RawLog) -> L1Event:
    return GenesisSet(_read_bytes(log.data, 0), _read_word(log.data, WORD))


def _decode_message(log: RawLog) -> L1Event:
    return MessageSent(log.block, _to_uint(log.topics[1]), _read_bytes(log.data, 0))


def _decode_batch_submitted(log: RawLog) -> L1Event:
    index, submitter = _to_uint(log.topics[1]), _to_address(log.topics[2])
    batch_hash, post_root = _read_word(log.data, 0), _read_word(log.data, WORD)
    generation = _to_uint(_read_word(log.data, 2 * WORD))
    data = decode_calldata(log.calldata)
    if data is None:
        raise DerivationError(DerivationCode.CALLDATA_MUST_BE_CANONICAL, log.block)
    batch = decode_batch(data)
    if batch is None or batch.batch_hash != batch_hash:
        raise DerivationError(DerivationCode.BATCH_MUST_MATCH_EVENT, log.block)
    header = decode_header(batch.header)
    if (header.index, header.post_root, header.generation) != (index, post_root, generation):
        raise DerivationError(DerivationCode.BATCH_MUST_MATCH_EVENT, log.block)
    return BatchPosted(log.block, index, submitter, data, batch_hash, generation, log.time)


def _decode_convicted(log: RawLog) -> L1Event:
    generation = _to_uint(_read_word(log.data, WORD))
    return RolledBack(log.block, _to_uint(log.topics[1]), generation, _to_address(log.topics[2]))


def _decode_finalised(log: RawLog) -> L1Event:
    return Finalised(log.block, _to_uint(log.topics[1]))


def _decode_wound_down(log: RawLog) -> L1Event:
    return WoundDown(log.block, _to_uint(log.topics[1]))


_DECODERS: dict[bytes, Callable[[RawLog], L1Event]] = {
    GENESIS: _decode_genesis,
    MESSAGE: _decode_message,
    BATCH_SUBMITTED: _decode_batch_submitted,
    CONVICTED: _decode_convicted,
    FINALISED: _decode_finalised,
    WOUND_DOWN: _decode_wound_down,
}


def _read_word(data: bytes, at: int) -> bytes:
    """32 bytes from `at`. Raises IndexError when they are not all there."""
    if at + WORD > len(data):
        raise IndexError("a word is missing")
    return data[at : at + WORD]


def _read_bytes(data: bytes, slot: int) -> bytes:
    """The dynamic argument whose place stands at `slot`. Raises IndexError when it is not all there."""
    at = _to_uint(_read_word(data, slot))
    length = _to_uint(_read_word(data, at))
    end = at + WORD + length
    if end > len(data):
        raise IndexError("bytes are missing")
    return data[at + WORD : end]


def _to_uint(word: bytes) -> int:
    """Raises IndexError for a word that is not one: a topic may have any length as far as an endpoint goes."""
    if len(word) != WORD:
        raise IndexError("not a word")
    return int.from_bytes(word)


def _to_address(word: bytes) -> bytes:
    """The last 20 bytes of a word. Raises IndexError when it holds more."""
    if _to_uint(word) >> 160:
        raise IndexError("not an address")
    return word[12:]

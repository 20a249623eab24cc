"""What a node writes, by kind: told from the system call, the file, and the first key of a LevelDB write.

A write to LevelDB's journal is `checksum 4, length 2, type 1`, and in the first piece of a batch `sequence 8, count 4`,
then its entries, `put 1 or delete 0, key length, key, ...`. state/store.py puts what a write is about first in it.
"""

import re
from collections.abc import Iterator
from enum import StrEnum

from sequencer.derivation import SUBMIT_BATCH
from state.receipts import RECEIPT_BYTES
from tests.torture.ptrace import Call


class Kind(StrEnum):
    """Everything that a role puts on its disk, and what it tells the world on the strength of it."""

    LOG_GROUP = "a group of the op log"
    LOG_SYNC = "a sync of LevelDB's journal"
    RECEIPT = "receipts to a client"
    SEALED_BATCH = "a sealed batch with the leaves after it"
    FORGOTTEN_BATCH = "final batches forgotten"
    LOG_TAKEN_OVER = "the log taken over at a start"
    GENERATION_BEGUN = "the first state of a generation"
    BATCHES_TAKEN_BACK = "batches taken back that grew too old"
    TRANSACTION_NOTED = "a batch's transaction noted before it is sent"
    NONCES_WRITTEN = "any other change of the nonce journal"
    NONCES_RENAMED = "the nonce journal put in its place"
    CHECKPOINT = "a checkpoint of a replica"
    TABLES = "LevelDB's tables and its list of them"


_HEAD_BYTES = 7
_FIRST_PIECES = (1, 2)
_BATCH_HEAD_BYTES = 12
_TABLES = re.compile(r"/leveldb/(MANIFEST-\d+|\d+\.ldb|\d+\.dbtmp|CURRENT)$")
_JOURNAL = re.compile(r"/leveldb/\d+\.log$")

_BY_FIRST_KEY = {
    b"log:": Kind.LOG_GROUP,
    b"metalog epoch": Kind.LOG_TAKEN_OVER,
    b"metaidentity": Kind.GENERATION_BEGUN,
    b"metahead": Kind.SEALED_BATCH,
    b"metaforgotten": Kind.FORGOTTEN_BATCH,
    b"metareplica": Kind.CHECKPOINT,
}


def holds_receipt(sent: bytes) -> bool:
    """Whether bytes on a socket are answers of the gateway, `[id, code, result]` each, and a receipt is among them."""
    return sent[4:5] == b"\x93" and bytes([0xC4, RECEIPT_BYTES]) in sent


class Classifier:
    """Remembers what the last first piece of each file was about: later pieces do not say."""

    def __init__(self) -> None:
        self._last: dict[str, Kind | None] = {}

    def classify(self, call: Call) -> Kind | None:
        """The kind of a call; None for what is neither kept nor told."""
        if call.name == "sendto":
            return Kind.RECEIPT if holds_receipt(call.data) else None
        if call.path.endswith((".nonces", ".nonces.new")):
            return self._classify_nonces(call)
        if _TABLES.search(call.path):
            return Kind.TABLES
        if not _JOURNAL.search(call.path):
            return None
        return self._classify_journal(call)

    @staticmethod
    def _classify_nonces(call: Call) -> Kind:
        if call.name == "rename":
            return Kind.NONCES_RENAMED
        return Kind.TRANSACTION_NOTED if SUBMIT_BATCH.hex().encode() in call.data else Kind.NONCES_WRITTEN

    def _classify_journal(self, call: Call) -> Kind | None:
        if call.name in ("fsync", "fdatasync"):
            # Of what is synced here people hear next only when it was a group of the log.
            return Kind.LOG_SYNC if self._last.get(call.path) is Kind.LOG_GROUP else None
        if len(call.data) > _HEAD_BYTES and call.data[_HEAD_BYTES - 1] in _FIRST_PIECES:
            self._last[call.path] = _read_kind(call.data[_HEAD_BYTES + _BATCH_HEAD_BYTES :])
        return self._last.get(call.path)


def _read_kind(entries: bytes) -> Kind | None:
    """From the first key of a batch; where a head moves, from what happens to the first sealed batch in it."""
    keys = _list_keys(entries)
    _, first = next(keys, (False, b""))
    for prefix, kind in _BY_FIRST_KEY.items():
        if first.startswith(prefix):
            puts = [is_put for is_put, key in keys if key.startswith(b"seal")]
            return Kind.BATCHES_TAKEN_BACK if kind is Kind.SEALED_BATCH and puts and not puts[0] else kind
    return None


def _list_keys(entries: bytes) -> Iterator[tuple[bool, bytes]]:
    """(whether it is put, key) of each entry, as far as a piece holds them whole."""
    at = 0
    while at < len(entries):
        is_put = entries[at] == 1
        length, start = _read_length(entries, at + 1)
        key, at = entries[start : start + length], start + length
        if len(key) == length:
            yield is_put, key
        if is_put:
            length, start = _read_length(entries, at)
            at = start + length


def _read_length(data: bytes, at: int) -> tuple[int, int]:
    """LevelDB's varint: seven bits a byte, lowest first; (value, where it ends)."""
    value, shift = 0, 0
    while at < len(data):
        value |= (data[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 0x80:
            break
    return value, at

"""The nonce journal: which transactions of a key are on their way, kept so that no crash sends one of them twice.

A transaction is written down before it is handed to the network and struck out when its end is known. The file is JSON,
replaced as a whole (write, fsync, rename), and locked for as long as it is open: two processes with one key would take
each other's nonces.
"""

import fcntl
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from node.errors import JournalError
from node.l1 import Call, TransactionFields


@dataclass(frozen=True, slots=True)
class Entry:
    """A transaction whose end is not known: what it does, its last fees, every hash it has had, and since when."""

    call: Call
    fields: TransactionFields
    hashes: tuple[bytes, ...]
    sent_block: int


class NonceJournal:
    """The open journal of one key on one chain; a context manager."""

    def __init__(self, path: Path, address: bytes, chain: bytes) -> None:
        """`chain` is the hash of block 0, which tells two development chains of one id apart. Raises JournalError."""
        self._path = path
        self._identity = {"address": address.hex(), "chain": chain.hex()}
        self.entries: dict[int, Entry] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise JournalError(f"cannot keep the nonce journal {path}: {error.strerror}") from error
        try:
            self._take_lock()
            self._read()
        except BaseException:
            os.close(self._lock)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let another process have it. Closing twice is harmless."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def put(self, entry: Entry) -> None:
        """Write down a transaction, or its new fees; durable when this returns. Raises JournalError."""
        self._write(self.entries | {entry.fields.nonce: entry})

    def strike(self, nonce: int) -> None:
        """The end of this transaction is known. Raises JournalError."""
        if nonce in self.entries:
            self._write({other: entry for other, entry in self.entries.items() if other != nonce})

    def _take_lock(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise JournalError(
                f"another process sends with this key: it holds {self._path}; stop it, or use another key"
            ) from error

    def _read(self) -> None:
        if not self._path.exists():
            return
        try:
            stored = json.loads(self._path.read_text())
            identity = {name: stored[name] for name in self._identity}
            entries = [_decode_entry(fields) for fields in stored["transactions"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise JournalError(f"the nonce journal {self._path} is damaged ({error}); {_HOW_TO_DROP}") from error
        if identity != self._identity:
            raise JournalError(f"the nonce journal {self._path} is of another key or chain; {_HOW_TO_DROP}")
        self.entries = {entry.fields.nonce: entry for entry in entries}

    def _write(self, entries: dict[int, Entry]) -> None:
        """What is not on disk is not in memory either: a nonce must not be taken by what nobody will remember."""
        stored = self._identity | {"transactions": [_encode_entry(entry) for entry in entries.values()]}
        fresh = self._path.with_name(self._path.name + ".new")
        try:
            with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                json.dump(stored, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(fresh, self._path)
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise JournalError(f"cannot write the nonce journal {self._path}: {error.strerror}") from error
        self.entries = entries


_HOW_TO_DROP = "if none of this key's transactions waits any more, delete it"


def _encode_entry(entry: Entry) -> dict[str, Any]:
    fields = asdict(entry.fields) | {"to": _to_text(entry.fields.to), "data": entry.fields.data.hex()}
    hashes = [one.hex() for one in entry.hashes]
    return {"label": entry.call.label, "fields": fields, "hashes": hashes, "sent_block": entry.sent_block}


def _decode_entry(stored: dict[str, Any]) -> Entry:
    given = stored["fields"]
    to = None if given["to"] is None else bytes.fromhex(given["to"])
    fields = TransactionFields(**(given | {"to": to, "data": bytes.fromhex(given["data"])}))
    call = Call(fields.to, fields.data, fields.value, stored["label"])
    return Entry(call, fields, tuple(bytes.fromhex(one) for one in stored["hashes"]), stored["sent_block"])


def _to_text(address: bytes | None) -> str | None:
    return None if address is None else address.hex()

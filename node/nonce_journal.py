"""The nonce journal: what a key has sent, kept until no reorg can undo it, so that no crash sends one of them twice.

A transaction is written down before it is handed to the network. When its end is known it stays, marked with the block
of its end: an L1 that takes that block back may have lost it, and then it is offered again, the same bytes under the
same nonce. It is struck out when its block is final.

The file is JSON, a record a line, appended and synced; the last record of a nonce counts, and a torn last line is of a
transaction that was never sent. When most of it is of the past it is written anew and renamed into its place. It is
locked for as long as it is open: two processes with one key would take each other's nonces.
"""

import fcntl
import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

from node.errors import JournalError
from node.l1 import Call, TransactionFields

PAST_BYTES_MAX = 1_000_000
"""So much may be of the past, or as much as is not, before the file is written anew."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A transaction that is not final: what it does, its last fees, every hash it has had, and since when.

    `ended_block` is the block of its end, None while that is not known.
    """

    call: Call
    fields: TransactionFields
    hashes: tuple[bytes, ...]
    sent_block: int
    ended_block: int | None = None


class NonceJournal:
    """The open journal of one key on one chain; a context manager."""

    def __init__(self, path: Path, address: bytes, chain: bytes) -> None:
        """`chain` is the hash of block 0, which tells two development chains of one id apart. Raises JournalError."""
        self._path = path
        self._identity = {"address": address.hex(), "chain": chain.hex()}
        self._file = -1
        self._sizes: dict[int, int] = {}
        self._past_bytes = 0
        self.entries: dict[int, Entry] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise JournalError(f"cannot keep the nonce journal {path}: {error.strerror}") from error
        try:
            self._take_lock()
            self._read()
            self._write_anew()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let another process have it. Closing twice is harmless."""
        for descriptor in (self._file, self._lock):
            if descriptor >= 0:
                os.close(descriptor)
        self._file = self._lock = -1

    # Changes, each durable when it returns. Raise JournalError.

    def put(self, entry: Entry) -> None:
        """Write down a transaction, or its new fees."""
        self._append({"transaction": _encode_entry(entry)})
        self._take(entry)

    def end(self, nonce: int, block: int | None) -> None:
        """The end of a transaction is known, in this block; None when the block is gone, and it waits again."""
        self._append({"nonce": nonce, "ended_block": block})
        self.entries[nonce] = replace(self.entries[nonce], ended_block=block)

    def strike(self, *nonces: int) -> None:
        """These transactions matter no more."""
        gone = [nonce for nonce in nonces if nonce in self.entries]
        if gone:
            self._append({"struck": gone})
            self._drop(gone)
        if self._past_bytes > max(PAST_BYTES_MAX, sum(self._sizes.values())):
            self._write_anew()

    # In memory

    def _take(self, entry: Entry) -> None:
        nonce = entry.fields.nonce
        self._past_bytes += self._sizes.get(nonce, 0)
        self.entries[nonce] = entry
        self._sizes[nonce] = 2 * len(entry.fields.data)

    def _drop(self, nonces: list[int]) -> None:
        for nonce in nonces:
            self.entries.pop(nonce, None)
            self._past_bytes += self._sizes.pop(nonce, 0)

    # On disk

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
            identity, *records = [json.loads(line) for line in _split_whole_lines(self._path.read_bytes())]
            if not isinstance(identity, dict):
                raise TypeError("its first line is no object")
            for record in records:
                self._replay(record)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise JournalError(f"the nonce journal {self._path} is damaged ({error}); {_HOW_TO_DROP}") from error
        if identity != self._identity:
            raise JournalError(f"the nonce journal {self._path} is of another key or chain; {_HOW_TO_DROP}")

    def _replay(self, record: dict[str, Any]) -> None:
        if "transaction" in record:
            self._take(_decode_entry(record["transaction"]))
        elif "struck" in record:
            self._drop(record["struck"])
        else:
            nonce, block = record["nonce"], record["ended_block"]
            self.entries[nonce] = replace(self.entries[nonce], ended_block=block)

    def _append(self, record: dict[str, Any]) -> None:
        """What is not on disk is not in memory either: a nonce must not be taken by what nobody will remember."""
        size = os.fstat(self._file).st_size
        try:
            _write_all(self._file, _encode_line(record))
            os.fsync(self._file)
        except OSError as error:
            os.ftruncate(self._file, size)
            raise self._describe(error) from error

    def _write_anew(self) -> None:
        """Only what counts, in a file that takes the old one's place as a whole."""
        records: list[dict[str, Any]] = [self._identity]
        records += [{"transaction": _encode_entry(entry)} for entry in self.entries.values()]
        fresh = self._path.with_name(self._path.name + ".new")
        try:
            file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
            try:
                _write_all(file, b"".join(map(_encode_line, records)))
                os.fsync(file)
                os.replace(fresh, self._path)
                _sync_folder(self._path.parent)
            except OSError:
                os.close(file)
                raise
        except OSError as error:
            raise self._describe(error) from error
        if self._file >= 0:
            os.close(self._file)
        self._file, self._past_bytes = file, 0

    def _describe(self, error: OSError) -> JournalError:
        return JournalError(f"cannot write the nonce journal {self._path}: {error.strerror}")


_HOW_TO_DROP = "if none of this key's transactions waits any more, delete it"


def _split_whole_lines(data: bytes) -> list[bytes]:
    """Without what follows the last line feed: a crash tore it, and whoever wrote it never went on."""
    return data.split(b"\n")[:-1]


def _write_all(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _encode_line(record: dict[str, Any]) -> bytes:
    return json.dumps(record).encode() + b"\n"


def _encode_entry(entry: Entry) -> dict[str, Any]:
    fields = asdict(entry.fields) | {"to": _to_text(entry.fields.to), "data": entry.fields.data.hex()}
    hashes = [one.hex() for one in entry.hashes]
    times = {"sent_block": entry.sent_block, "ended_block": entry.ended_block}
    return {"label": entry.call.label, "fields": fields, "hashes": hashes} | times


def _decode_entry(stored: dict[str, Any]) -> Entry:
    given = stored["fields"]
    to = None if given["to"] is None else bytes.fromhex(given["to"])
    fields = TransactionFields(**(given | {"to": to, "data": bytes.fromhex(given["data"])}))
    call = Call(fields.to, fields.data, fields.value, stored["label"])
    hashes = tuple(bytes.fromhex(one) for one in stored["hashes"])
    return Entry(call, fields, hashes, stored["sent_block"], stored["ended_block"])


def _to_text(address: bytes | None) -> str | None:
    return None if address is None else address.hex()

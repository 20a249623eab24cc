"""What strace saw of a sequencer: which log record was durable when, and when its receipt went out.

    strace --follow-forks --seccomp-bpf --decode-fds --strings-in-hex --string-limit=... -o FILE COMMAND

A line is a call, or one half of it: `PID call(... <unfinished ...>` where it began, `PID <... call resumed>...` where
it ended; the order of lines is the order of these moments.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from node.framing import FrameReader
from state.codec import decode
from state.receipts import decode_receipt
from tests.torture.writes import holds_receipt

STRACE = (
    "strace",
    "--follow-forks",
    "--seccomp-bpf",
    "--decode-fds",
    "--strings-in-hex=all",
    "--string-limit=1000000",
    "--trace=write,fsync,fdatasync,sendto",
    "--quiet=all",
)
BLOCK = 32_768
HEAD = 7
PADDING, FULL, FIRST, MIDDLE, LAST = range(5)

_LINE = re.compile(r"(\d+) +(?:(\w+)\((.*)|<\.\.\. (\w+) resumed>(.*))$")
_TARGET = re.compile(r"\d+<((?:\\x[0-9a-f]{2})*)>")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


@dataclass(frozen=True, slots=True)
class Seen:
    """A call from its first moment to its last, as numbers of lines."""

    name: str
    target: str
    data: bytes
    began: int
    ended: int


def read_calls(lines: Iterable[str]) -> Iterator[Seen]:
    """Every call that succeeded, in the order in which they ended."""
    begun: dict[str, tuple[str, str, bytes, int]] = {}
    for number, line in enumerate(lines):
        found = _LINE.match(line.rstrip("\n"))
        if found is None:
            continue
        process, name, arguments, _, rest = found.groups()
        if name is not None:
            target, data = _read_hex(_TARGET.match(arguments)), _read_hex(_TEXT.search(arguments))
            begun[process] = (name, target.decode(errors="replace"), data, number)
            rest = arguments
        if rest.endswith("<unfinished ...>") or process not in begun:
            continue
        name, where, data, began = begun.pop(process)
        result = int(rest.rpartition("= ")[2].split()[0])
        if result >= 0:
            yield Seen(name, where, data[:result] if data else data, began, number)


def _read_hex(found: re.Match[str] | None) -> bytes:
    return bytes.fromhex(found[1].replace("\\x", "")) if found else b""


@dataclass
class _Journal:
    """One of LevelDB's journals, as far as it was written: records are cut into blocks, each piece with a head."""

    stream: bytearray = field(default_factory=bytearray)
    at: int = 0
    pieces: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Every record that is whole now."""
        self.stream += data
        while True:
            room = BLOCK - self.at % BLOCK
            if room < HEAD:
                self.at += room
            head = self.stream[self.at : self.at + HEAD]
            length = int.from_bytes(head[4:6], "little")
            if len(head) < HEAD or len(self.stream) < self.at + HEAD + length:
                return
            self.pieces += self.stream[self.at + HEAD : self.at + HEAD + length]
            self.at += HEAD + length
            if head[6] in (FULL, LAST):
                yield bytes(self.pieces)
                self.pieces.clear()


Place = tuple[int, int]
"""(generation, position) of a log record."""

_KEY = re.compile(rb"\x01\x10log:(.{4})(.{8})", re.DOTALL)


def find_early_receipts(calls: Iterable[Seen]) -> tuple[int, list[Place]]:
    """How many receipts went out, and those that went out before a sync behind their record's write had returned."""
    journals: dict[str, _Journal] = {}
    written: dict[str, list[tuple[int, Place]]] = {}
    durable: dict[Place, int] = {}
    sockets: dict[str, FrameReader] = {}
    sent: list[tuple[int, Place]] = []
    for call in calls:
        if call.name == "write" and call.target.endswith(".log") and "/leveldb/" in call.target:
            for record in journals.setdefault(call.target, _Journal()).feed(call.data):
                places = [(int.from_bytes(g), int.from_bytes(p)) for g, p in _KEY.findall(record)]
                written.setdefault(call.target, []).extend((call.ended, place) for place in places)
        elif call.name in ("fsync", "fdatasync"):
            behind = [(ended, place) for ended, place in written.get(call.target, []) if ended < call.began]
            for one in behind:
                durable.setdefault(one[1], call.ended)
            written[call.target] = [one for one in written.get(call.target, []) if one not in behind]
        elif call.name == "sendto" and holds_receipt(call.data):
            sent += [(call.began, place) for place in _read_receipts(sockets, call)]
    return len(sent), [place for began, place in sent if durable.get(place, began) >= began]


def _read_receipts(sockets: dict[str, FrameReader], call: Seen) -> Iterator[Place]:
    for body in sockets.setdefault(call.target, FrameReader()).feed(call.data):
        match decode(body):
            case [_, 0, [bytes() as data, int()]]:
                receipt = decode_receipt(data)
                assert receipt is not None
                yield receipt.body.generation, receipt.body.position

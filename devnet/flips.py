"""Flipped bytes: rows `{"step": n, "offset": n, "xor": n}` that bend an honest batch before it is posted.

The byte stands `offset` bytes behind the start of step `step`, which is `length u16 || op || post_root`. Steps are
counted modulo those of the batch; an offset beyond the step runs on into what follows it, and beyond the last frame
begins again at the step. So every row names a byte of every batch.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

from node.errors import ConfigError
from state.batches import FRAME_HEAD_BYTES, HEADER_BYTES, BatchData, decode_frame


class BadRow(ConfigError):
    """A row that names no change; the text says which row, and what it should say."""


@dataclass(frozen=True, slots=True)
class Flip:
    """One byte to change: the `xor` of its old and its new value, 1 to 255."""

    step: int
    offset: int
    xor: int

    @property
    def name(self) -> str:
        """As it stands in the drill's report."""
        return f"flip step {self.step} offset {self.offset} xor {self.xor}"


def read_flips(path: Path) -> list[Flip]:
    """From a file with a JSON array of rows, or with one row a line. Raises BadRow."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise BadRow(f"cannot read {path}: {error}; LIES names a file of rows") from error
    return [parse_flip(row, number) for number, row in enumerate(_parse_rows(path, text), 1)]


def _parse_rows(path: Path, text: str) -> list[object]:
    try:
        whole = json.loads(text)
    except ValueError:
        whole = None
    if whole is not None:
        return whole if isinstance(whole, list) else [whole]
    try:
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    except ValueError as error:
        raise BadRow(f"{path} is not JSON: {error}; write an array of rows, or one row a line") from error


def parse_flip(row: object, number: int) -> Flip:
    """From one row; `number` counts from 1, for people. Raises BadRow."""
    wanted = '{"step": n, "offset": n, "xor": n}'
    if not isinstance(row, dict):
        raise BadRow(f"row {number} of the lies is no {wanted}: {row!r}")
    step, offset, xor = (row.get(name) for name in ("step", "offset", "xor"))
    if not (is_integer(step) and is_integer(offset) and is_integer(xor)):
        raise BadRow(f"row {number} of the lies is no {wanted} of integers: {row!r}")
    if xor % 256 == 0:
        raise BadRow(f"row {number} of the lies changes nothing: xor is 0 modulo 256; give one from 1 to 255")
    return Flip(step, offset, xor % 256)


def is_integer(value: object) -> TypeGuard[int]:
    """JSON's true and false are no numbers here."""
    return isinstance(value, int) and not isinstance(value, bool)


def flip_byte(batch: BatchData, flip: Flip) -> bytes:
    """The posted bytes of an honest batch with one byte changed."""
    data = bytearray(batch.encode())
    starts = list_step_starts(batch)
    start = starts[flip.step % len(starts)]
    data[start + flip.offset % (len(data) - start)] ^= flip.xor
    return bytes(data)


def list_step_starts(batch: BatchData) -> list[int]:
    """Where each step of a well-formed batch begins within its posted bytes."""
    starts, frame_at = [], HEADER_BYTES
    for data in batch.frames:
        frame = decode_frame(data)
        assert frame is not None
        at = frame_at + 4 + FRAME_HEAD_BYTES
        for step in frame.steps:
            starts.append(at)
            at += 2 + len(step.op) + 32
        frame_at += 4 + len(data)
    return starts

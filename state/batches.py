"""Headers, frames and batches (SPEC.md section 4).

Parsing a frame is total: `decode_frame` answers None for a malformed one.

Mirrors contracts/frames.vy, contracts/context.vy (Header) and the parsing in contracts/rollup.vy.
"""

import hashlib
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from state.constants import BATCH_BYTES_MAX, FRAME_BYTES_MAX, FRAMES_MAX, OP_BYTES_MAX

FLAG_RESCUE = 1

_HEADER = struct.Struct(">HBBQ32sI32s32sIQ32sQQQQ32sQ")
HEADER_BYTES = _HEADER.size
_FRAME_HEAD = struct.Struct(">32sIH")
_LENGTH = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class Header:
    """What a batch claims; the ops `open` and `close` make each claim a step."""

    version: int
    data_kind: int
    flags: int
    index: int
    parent: bytes
    generation: int
    pre_root: bytes
    post_root: bytes
    step_count: int
    inbox_cursor: int
    inbox_hash: bytes
    time_from: int
    time: int
    position_from: int
    position_to: int
    log_hash: bytes
    oracle_time: int

    def encode(self) -> bytes:
        """HEADER_BYTES bytes."""
        return _HEADER.pack(
            self.version,
            self.data_kind,
            self.flags,
            self.index,
            self.parent,
            self.generation,
            self.pre_root,
            self.post_root,
            self.step_count,
            self.inbox_cursor,
            self.inbox_hash,
            self.time_from,
            self.time,
            self.position_from,
            self.position_to,
            self.log_hash,
            self.oracle_time,
        )

    @property
    def is_rescue(self) -> bool:
        """Whether only ops that need no discretion may stand in the batch."""
        return bool(self.flags & FLAG_RESCUE)


def decode_header(data: bytes) -> Header:
    """From exactly HEADER_BYTES bytes; any such bytes are a header."""
    return Header(*_HEADER.unpack(data))


class Step(NamedTuple):
    """One op as posted and the root that is claimed after it."""

    op: bytes
    post_root: bytes


@dataclass(frozen=True, slots=True)
class Frame:
    """A run of steps: what a proof carries of a batch's data."""

    pre_root: bytes
    first_index: int
    steps: tuple[Step, ...]

    def encode(self) -> bytes:
        """38 bytes and (34 + op) a step."""
        head = _FRAME_HEAD.pack(self.pre_root, self.first_index, len(self.steps))
        return head + b"".join(encode_step(step) for step in self.steps)


def encode_step(step: Step) -> bytes:
    """`length u16 || op || post_root`."""
    return len(step.op).to_bytes(2) + step.op + step.post_root


FRAME_HEAD_BYTES = _FRAME_HEAD.size
FRAME_BYTES_MIN = FRAME_HEAD_BYTES + 2 + 1 + 32


def decode_frame(data: bytes) -> Frame | None:
    """None when it does not parse to its last byte."""
    if len(data) < FRAME_HEAD_BYTES:
        return None
    pre_root, first_index, count = _FRAME_HEAD.unpack_from(data)
    if count == 0:
        return None
    at = FRAME_HEAD_BYTES
    steps = []
    for _ in range(count):
        length = int.from_bytes(data[at : at + 2])
        end = at + 2 + length + 32
        if not 1 <= length <= OP_BYTES_MAX or end > len(data):
            return None
        steps.append(Step(data[at + 2 : at + 2 + length], data[end - 32 : end]))
        at = end
    if at != len(data):
        return None
    return Frame(pre_root, first_index, tuple(steps))


def pack_frames(pre_root: bytes, steps: Sequence[Step], frame_bytes: int = 4096) -> list[Frame]:
    """Cut the steps of a batch into frames of at most `frame_bytes` (or of one step, where that is larger)."""
    frames: list[Frame] = []
    first, size = 0, FRAME_HEAD_BYTES
    for index, step in enumerate(steps):
        step_bytes = 34 + len(step.op)
        if index > first and size + step_bytes > frame_bytes:
            frames.append(Frame(pre_root, first, tuple(steps[first:index])))
            pre_root, first, size = steps[index - 1].post_root, index, FRAME_HEAD_BYTES
        size += step_bytes
    frames.append(Frame(pre_root, first, tuple(steps[first:])))
    return frames


def hash_batch(header: bytes, frames: Iterable[bytes]) -> bytes:
    """The hash that the contract keeps; `frames` as bytes."""
    return hash_batch_commitment(header, [hashlib.sha256(frame).digest() for frame in frames])


def hash_batch_commitment(header: bytes, frame_hashes: Iterable[bytes]) -> bytes:
    """The batch hash from the hashes of its frames."""
    return hashlib.sha256(header + b"".join(frame_hashes)).digest()


class BatchData(NamedTuple):
    """A posted batch, cut but not parsed: its header and the bytes of its frames."""

    header: bytes
    frames: tuple[bytes, ...]

    def encode(self) -> bytes:
        """The calldata argument of submit_batch."""
        return self.header + b"".join(_LENGTH.pack(len(frame)) + frame for frame in self.frames)

    @property
    def batch_hash(self) -> bytes:
        """As the contract computes it."""
        return hash_batch(self.header, self.frames)


def decode_batch(data: bytes) -> BatchData | None:
    """Cut posted bytes into header and frames; None for what the contract refuses for its shape."""
    if not HEADER_BYTES < len(data) <= BATCH_BYTES_MAX:
        return None
    frames: list[bytes] = []
    at = HEADER_BYTES
    while at < len(data):
        length = int.from_bytes(data[at : at + 4])
        end = at + 4 + length
        if not FRAME_BYTES_MIN <= length <= FRAME_BYTES_MAX or end > len(data) or len(frames) == FRAMES_MAX:
            return None
        frames.append(data[at + 4 : end])
        at = end
    return BatchData(data[:HEADER_BYTES], tuple(frames))

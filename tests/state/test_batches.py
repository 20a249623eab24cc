"""state/batches.py: headers, frames and batches are their bytes, and parsing is total."""

import hashlib
import itertools
import random
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from state.batches import (
    FRAME_BYTES_MIN,
    HEADER_BYTES,
    BatchData,
    Frame,
    Header,
    Step,
    decode_batch,
    decode_frame,
    decode_header,
    encode_step,
    hash_batch,
    hash_batch_commitment,
    pack_frames,
)
from state.constants import BATCH_BYTES_MAX, FRAME_BYTES_MAX, FRAMES_MAX, OP_BYTES_MAX
from tests.strategies import frames, headers, raw, steps

STEP = Step(b"\x01", bytes(32))


@given(headers)
def test_header_round_trip(header: Header) -> None:
    """Any header is its bytes, and any bytes of that length are a header."""
    assert decode_header(header.encode()) == header


@given(raw(HEADER_BYTES))
def test_any_header_bytes_are_a_header(data: bytes) -> None:
    """What a header claims is for the contract and the steps to judge; reading it never fails."""
    assert decode_header(data).encode() == data


@given(frames)
def test_frame_round_trip(frame: Frame) -> None:
    """A frame of any ops, well-formed or not, is its bytes."""
    assert decode_frame(frame.encode()) == frame


@given(frames, st.randoms(use_true_random=False))
def test_decoding_beside_a_frame_is_canonical(frame: Frame, chance: random.Random) -> None:
    """One byte changed, added or lost: what still parses gives just these bytes back."""
    data = frame.encode()
    at = chance.randrange(len(data))
    for changed in (
        data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :],
        data[:at] + data[at + 1 :],
        data[:at] + b"\0" + data[at:],
        data[:at],
        data + b"\0",
    ):
        decoded = decode_frame(changed)
        assert decoded is None or decoded.encode() == changed
    assert decode_frame(data[:-1]) is None
    assert decode_frame(data + b"\0") is None


@given(st.binary(max_size=300))
@example(b"")
@example(bytes(38))
def test_decoding_frames_is_total(data: bytes) -> None:
    """Any bytes at all are one frame, which gives them back, or none."""
    frame = decode_frame(data)
    assert frame is None or frame.encode() == data


def test_frames_that_are_malformed() -> None:
    """A count of steps that are not there, of none, an op of no bytes or too many: each is malformed alone."""
    frame = Frame(bytes(32), 0, (STEP, STEP))
    head, body = frame.encode()[:36], frame.encode()[38:]
    assert decode_frame(head + (2).to_bytes(2) + body) == frame
    assert decode_frame(head + (0).to_bytes(2)) is None
    assert decode_frame(head + (1).to_bytes(2) + body) is None
    assert decode_frame(head + (3).to_bytes(2) + body) is None
    for length, is_sound in ((0, False), (1, True), (OP_BYTES_MAX, True), (OP_BYTES_MAX + 1, False)):
        data = Frame(bytes(32), 0, (Step(bytes(length), bytes(32)),)).encode()
        assert (decode_frame(data) is not None) == is_sound


@given(st.lists(steps, min_size=1, max_size=30), st.integers(1, 400))
def test_packing_keeps_every_step_in_order(batch_steps: list[Step], frame_bytes: int) -> None:
    """Frames hold all steps, chain by their roots and indices, and keep to their size where one step does."""
    packed = pack_frames(b"p" * 32, batch_steps, frame_bytes)
    assert [step for frame in packed for step in frame.steps] == batch_steps
    root, index = b"p" * 32, 0
    for frame in packed:
        assert (frame.pre_root, frame.first_index) == (root, index)
        assert len(frame.encode()) <= frame_bytes or len(frame.steps) == 1
        root, index = frame.steps[-1].post_root, index + len(frame.steps)
    for frame, following in itertools.pairwise(packed):
        assert len(frame.encode()) + len(encode_step(following.steps[0])) > frame_bytes


@given(headers, st.lists(frames, min_size=1, max_size=3))
def test_batch_round_trip(header: Header, batch_frames: list[Frame]) -> None:
    """A batch is cut into the frames that it was put together from, and hashes as the text says."""
    batch = BatchData(header.encode(), tuple(frame.encode() for frame in batch_frames))
    assert decode_batch(batch.encode()) == batch
    hashes = [hashlib.sha256(frame).digest() for frame in batch.frames]
    expected = hashlib.sha256(batch.header + b"".join(hashes)).digest()
    assert batch.batch_hash == hash_batch(*batch) == hash_batch_commitment(batch.header, hashes) == expected


@given(st.binary(max_size=100), headers, frames, st.integers(0, 1 << 32))
def test_decoding_batches_is_total(tail: bytes, header: Header, frame: Frame, length: int) -> None:
    """Whatever stands behind a header is cut to its last byte, and gives the same bytes back, or is refused."""
    good = BatchData(header.encode(), (frame.encode(),)).encode()
    for data in (tail, header.encode() + tail, good + tail, good[:HEADER_BYTES] + length.to_bytes(8) + tail, good[:-1]):
        batch = decode_batch(data)
        assert batch is None or batch.encode() == data


@pytest.mark.parametrize(
    ("count", "size", "is_sound"),
    [
        (0, 0, False),
        (1, FRAME_BYTES_MIN - 1, False),
        (1, FRAME_BYTES_MIN, True),
        (1, FRAME_BYTES_MAX, True),
        (1, FRAME_BYTES_MAX + 1, False),
        (FRAMES_MAX, FRAME_BYTES_MIN, True),
        (FRAMES_MAX + 1, FRAME_BYTES_MIN, False),
        (13, FRAME_BYTES_MAX, True),
        (14, FRAME_BYTES_MAX, False),
    ],
)
def test_bounds_of_a_batch(count: int, size: int, is_sound: bool) -> None:
    """No frame is too small or too large, there are some and not too many, and all fits one transaction."""
    data = BatchData(bytes(HEADER_BYTES), (bytes(size),) * count).encode()
    assert (decode_batch(data) is not None) == is_sound
    assert is_sound <= (len(data) <= BATCH_BYTES_MAX)


@given(headers, headers)
def test_a_header_decides_the_batch_hash(header: Header, other: Header) -> None:
    """Two batches of the same frames under two headers have two hashes."""
    frame = Frame(bytes(32), 0, (STEP,)).encode()
    hashes = {hash_batch(one.encode(), [frame]) for one in (header, other)}
    assert len(hashes) == (1 if header == other else 2)
    assert replace(header, flags=1).is_rescue
    assert not replace(header, flags=2).is_rescue

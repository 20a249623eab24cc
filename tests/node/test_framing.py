"""Frames: however the bytes arrive, the same bodies come out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.framing import FRAME_BYTES_MAX, FrameError, FrameReader, encode_frame
from state.codec import decode


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=8), st.data())
def test_any_cutting_gives_the_same_bodies(bodies: list[bytes], data: st.DataObject) -> None:
    """A frame may come in halves, and many at once."""
    stream = b"".join(len(body).to_bytes(4) + body for body in bodies)
    reader, found = FrameReader(), []
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        found += reader.feed(stream[:cut])
        stream = stream[cut:]
    assert found == bodies


@pytest.mark.parametrize("length", [0, FRAME_BYTES_MAX + 1, 0xFFFFFFFF])
def test_an_impossible_length_ends_it(length: int) -> None:
    """Nothing is buffered for a frame that cannot be."""
    with pytest.raises(FrameError, match=str(length)):
        FrameReader().feed(length.to_bytes(4))


def test_a_frame_holds_one_value() -> None:
    """What is framed is found again."""
    (body,) = FrameReader().feed(encode_frame([1, "status"]))
    assert decode(body) == [1, "status"]


def test_an_answer_too_large_is_not_sent() -> None:
    """The sender keeps the limit that it holds others to."""
    with pytest.raises(FrameError):
        encode_frame(bytes(FRAME_BYTES_MAX))

"""Frames on a byte stream: `length u32 || body`, whole buffers cut at once. No I/O.

A body is one canonical msgpack array. Requests are `[id, method, *arguments]`, answers `[id, 0, result]` or
`[id, code, text]`; what a server sends unasked has id 0.
"""

from state.codec import Value, encode

FRAME_BYTES_MAX = 1 << 16
_HEAD = 4


class FrameError(Exception):
    """The peer does not speak this protocol; the connection cannot go on."""


class FrameReader:
    """Turns whatever arrives into whole bodies."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Every body that is complete now. Raises FrameError for a length that no frame has."""
        buffer = self._buffer
        buffer += data
        bodies, at = [], 0
        while len(buffer) - at >= _HEAD:
            length = int.from_bytes(buffer[at : at + _HEAD])
            if not 1 <= length <= FRAME_BYTES_MAX:
                raise FrameError(f"frame of {length} bytes; 1 to {FRAME_BYTES_MAX} are allowed")
            if len(buffer) - at < _HEAD + length:
                break
            bodies.append(bytes(buffer[at + _HEAD : at + _HEAD + length]))
            at += _HEAD + length
        del buffer[:at]
        return bodies


def encode_frame(value: Value) -> bytes:
    """One frame around a value."""
    body = encode(value)
    if len(body) > FRAME_BYTES_MAX:
        raise FrameError(f"answer of {len(body)} bytes is above {FRAME_BYTES_MAX}")
    return len(body).to_bytes(_HEAD) + body

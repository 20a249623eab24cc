"""Canonical msgpack, for what L1 never sees: gateway frames, store records, feeds.

Arrays, integers, bytes, strings, booleans and nil only; shortest forms; nothing after the value. msgpack allows several
encodings of one value, so decoding insists that encoding the value gives the same bytes back.
"""

from typing import cast

import msgpack  # type: ignore[import-untyped]

Value = None | bool | int | bytes | str | list["Value"]

DEPTH_MAX = 8
_SCALARS = (int, bytes, str, bool, type(None))
_SCALAR_TYPES = frozenset(_SCALARS)


class CodecError(Exception):
    """Bytes that are not one canonical value."""


def encode(value: Value) -> bytes:
    """The one encoding of a value. Raises CodecError for what has none."""
    _assert_plain(value, 0)
    try:
        return cast(bytes, msgpack.packb(value, use_bin_type=True))
    except (OverflowError, ValueError) as error:
        raise CodecError(f"value out of range: {error}") from error


def decode(data: bytes) -> Value:
    """The value that these bytes are. Raises CodecError."""
    try:
        value = msgpack.unpackb(data, raw=False)
    except Exception as error:  # msgpack raises a family without a common base, UnicodeDecodeError among it
        raise CodecError(f"not msgpack: {type(error).__name__}") from error
    if encode(value) != data:
        raise CodecError("not canonical: use the shortest form of every value")
    return cast(Value, value)


def _assert_plain(value: object, depth: int) -> None:
    if isinstance(value, list):
        if value and depth >= DEPTH_MAX:
            raise CodecError("nested too deeply")
        for item in value:
            # Nearly every item is a scalar: to call for each would cost more than all the rest of encoding.
            if type(item) not in _SCALAR_TYPES:
                _assert_plain(item, depth + 1)
    elif not isinstance(value, _SCALARS):
        raise CodecError(f"a {type(value).__name__} has no canonical form; use arrays, integers, bytes and strings")

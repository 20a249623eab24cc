"""Canonical msgpack: one value has one encoding, and nothing else decodes."""

from typing import Any

import msgpack  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.codec import CodecError, Value, decode, encode

values: st.SearchStrategy[Value] = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.binary(max_size=40) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5),
    max_leaves=12,
)


@given(values)
def test_a_value_survives(value: Value) -> None:
    """What was encoded is decoded."""
    assert decode(encode(value)) == value


@given(st.binary(max_size=60))
def test_decoding_is_total(data: bytes) -> None:
    """Any bytes are one canonical value or a CodecError; and then they are the value's only encoding."""
    try:
        value = decode(data)
    except CodecError:
        return
    assert encode(value) == data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xcd\x00\x01",
        b"\xd9\x01a",
        msgpack.packb({"a": 1}),
        msgpack.packb(1.5),
        msgpack.packb(msgpack.Timestamp(1)),
        msgpack.packb([1]) + b"\x00",
        b"\xa1\xff",
        b"\x91" * 40,
        b"\xdd\xff\xff\xff\xff",
    ],
    ids=[
        "empty",
        "long integer",
        "long string head",
        "map",
        "float",
        "timestamp",
        "trailing",
        "not UTF-8",
        "cut short",
        "huge array",
    ],
)
def test_other_forms_are_refused(data: bytes) -> None:
    """Longer forms, other types and trailing bytes are no values here."""
    with pytest.raises(CodecError):
        decode(data)


def test_what_has_no_form_is_refused() -> None:
    """Floats, maps and integers beyond 64 bits have no encoding."""
    values: list[Any] = [1.5, {}, 1 << 64, [[[[[[[[[[]]]]]]]]]]]
    for value in values:
        with pytest.raises(CodecError):
            encode(value)

"""state/operations.py: bytes become an op exactly when they are one, within every static bound."""

import hashlib
import itertools
import random
import struct
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from state.codes import Kind
from state.constants import (
    ACCOUNTS_MAX,
    AMOUNT_MAX,
    ASSETS_MAX,
    FEE_PPM_MAX,
    KEYS_MAX,
    OP_BYTES_MAX,
    PPM,
    PRICE_MAX,
    QUANTITY_MAX,
    SLOTS_PER_ACCOUNT,
    UNDERLYINGS_MAX,
)
from state.leaves import CALL, FUTURE, PUT, Instrument, call, future, perpetual, put
from state.operations import (
    L1,
    Cancel,
    Deleverage,
    Fill,
    Index,
    Interest,
    Liquidate,
    Operation,
    Oracle,
    OracleSignature,
    OrderOp,
    OrderTerms,
    Settle,
    Surface,
    Take,
    Transfer,
    Withdraw,
    decode_operation,
    hash_digest,
    hash_domain,
    is_instrument,
    is_strike_round,
)
from tests.strategies import operations, operations_by_kind, raw
from tests.workload import mutate

kinds = pytest.mark.parametrize("kind", Kind)

TERMS = OrderTerms(1, 0, 1, 0, 0, 0, 0, 1, 1, 0, 0, ((perpetual(0), 1),))
ORDER = OrderOp(0, 0, TERMS, 0, bytes(64))
CANCEL = Cancel(0, 1, 0, 1, 0, 0, bytes(64))
FILL = Fill(0, 1, 0, 2, 0, 1, 1)
TRANSFER = Transfer(0, 1, 1, 2, 0, 1, 0, bytes(64))
WITHDRAW = Withdraw(0, 1, 1, 0, 1, 0, bytes(64))
SIGNATURES = (OracleSignature(bytes(32), bytes(32), 27),)
ORACLE = Oracle(0, 0, 1, 1, 1, 0, 0, 1, 1, SIGNATURES)
EXPIRY = 28_800 + 86_400
SURFACE = Surface(0, 0, EXPIRY, 1, 0, 1, 0, 0, 0, 0, 0, 1, 0, 1, SIGNATURES)
INDEX = Index(0, 0)
SETTLE = Settle(0, 1)
LIQUIDATE = Liquidate(0, 1, 0, 0, 0)
TAKE = Take(0, 0, 0, 0, 0, 1, 1, 2, 1, 0, 0, 0, bytes(64))
DELEVERAGE = Deleverage(0, 1, 2, perpetual(0), 1, 0, 0, 0, 0)
INTEREST = Interest(0, 1, 0)

BOUNDS: list[tuple[Operation, str, int, int]] = [
    (ORDER, "key_index", 0, KEYS_MAX - 1),
    (TERMS, "account", 1, ACCOUNTS_MAX - 1),  # type: ignore[list-item]
    (TERMS, "slot", 0, SLOTS_PER_ACCOUNT - 1),  # type: ignore[list-item]
    (TERMS, "counter", 1, (1 << 64) - 1),  # type: ignore[list-item]
    (TERMS, "flags", 0, 7),  # type: ignore[list-item]
    (TERMS, "price", 1, PRICE_MAX - 1),  # type: ignore[list-item]
    (TERMS, "size", 1, QUANTITY_MAX),  # type: ignore[list-item]
    (TERMS, "max_fee_ppm", 0, FEE_PPM_MAX),  # type: ignore[list-item]
    (TERMS, "counterparty", 0, ACCOUNTS_MAX - 1),  # type: ignore[list-item]
    (CANCEL, "account", 1, ACCOUNTS_MAX - 1),
    (CANCEL, "slot", 0, SLOTS_PER_ACCOUNT - 1),
    (CANCEL, "counter", 1, (1 << 64) - 1),
    (CANCEL, "key_index", 0, KEYS_MAX - 1),
    (FILL, "buyer", 1, ACCOUNTS_MAX - 1),
    (FILL, "buyer_slot", 0, SLOTS_PER_ACCOUNT - 1),
    (FILL, "seller", 1, ACCOUNTS_MAX - 1),
    (FILL, "seller_slot", 0, SLOTS_PER_ACCOUNT - 1),
    (FILL, "price", 1 - PRICE_MAX, PRICE_MAX - 1),
    (FILL, "quantity", 1, QUANTITY_MAX),
    (TRANSFER, "account", 1, ACCOUNTS_MAX - 1),
    (TRANSFER, "to", 1, ACCOUNTS_MAX - 1),
    (TRANSFER, "asset", 0, ASSETS_MAX - 1),
    (TRANSFER, "amount", 1, AMOUNT_MAX),
    (TRANSFER, "key_index", 0, KEYS_MAX - 1),
    (WITHDRAW, "account", 1, ACCOUNTS_MAX - 1),
    (WITHDRAW, "asset", 0, ASSETS_MAX - 1),
    (WITHDRAW, "amount", 1, AMOUNT_MAX),
    (WITHDRAW, "key_index", 0, KEYS_MAX - 1),
    (ORACLE, "underlying", 0, UNDERLYINGS_MAX - 1),
    (ORACLE, "spot", 1, PRICE_MAX - 1),
    (ORACLE, "mark", 1, PRICE_MAX - 1),
    (ORACLE, "spot_confidence", 0, PPM),
    (ORACLE, "mark_confidence", 0, PPM),
    (ORACLE, "volatility", 1, 20 * PPM),
    (SURFACE, "underlying", 0, UNDERLYINGS_MAX - 1),
    (SURFACE, "time", 0, EXPIRY),
    (SURFACE, "integral", 0, (1 << 112) - 1),
    (SURFACE, "forward", 1, PRICE_MAX - 1),
    (SURFACE, "rate", -(1 << 38), 1 << 38),
    (SURFACE, "a", 1 - (1 << 46), (1 << 46) - 1),
    (SURFACE, "b", 0, (1 << 42) - 1),
    (SURFACE, "rho", 1 - (1 << 38), (1 << 38) - 1),
    (SURFACE, "m", 1 - (1 << 46), (1 << 46) - 1),
    (SURFACE, "sigma", 1, (1 << 46) - 1),
    (SURFACE, "confidence", 0, PPM),
    (INDEX, "underlying", 0, UNDERLYINGS_MAX - 1),
    (SETTLE, "account", 1, ACCOUNTS_MAX - 1),
    (LIQUIDATE, "account", 1, ACCOUNTS_MAX - 1),
    (TAKE, "account", 1, ACCOUNTS_MAX - 1),
    (TAKE, "target", 1, ACCOUNTS_MAX - 1),
    (TAKE, "slice_ppm", 1, PPM),
    (TAKE, "key_index", 0, KEYS_MAX - 1),
    (DELEVERAGE, "bankrupt", 1, ACCOUNTS_MAX - 1),
    (DELEVERAGE, "counterparty", 1, ACCOUNTS_MAX - 1),
    (DELEVERAGE, "quantity", 1, QUANTITY_MAX),
    (DELEVERAGE, "mark", 0, PRICE_MAX - 1),
    (INTEREST, "account", 1, ACCOUNTS_MAX - 1),
]
"""What SPEC.md section 5 bounds statically: the op or its terms, the field, lowest and highest value."""


def build_with(value: Operation | OrderTerms, field: str, number: int) -> Operation:
    changed = replace(value, **{field: number})  # type: ignore[arg-type]
    return replace(ORDER, terms=changed) if isinstance(changed, OrderTerms) else changed


@kinds
@given(data=st.data())
def test_round_trip(kind: Kind, data: st.DataObject) -> None:
    """An op within its bounds is its bytes, and they begin with its kind."""
    op = data.draw(operations_by_kind[kind])
    encoded = op.encode()
    assert encoded[0] == kind
    assert decode_operation(encoded) == op
    assert 1 <= len(encoded) <= OP_BYTES_MAX


@given(st.binary(max_size=OP_BYTES_MAX + 2))
@example(b"")
@example(bytes(OP_BYTES_MAX))
def test_decoding_is_total(data: bytes) -> None:
    """Any bytes at all are one op, which gives them back, or none."""
    op = decode_operation(data)
    assert op is None or op.encode() == data


@given(operations, st.randoms(use_true_random=False))
def test_decoding_beside_an_op_is_canonical(op: Operation, chance: random.Random) -> None:
    """What is one field or byte away from an op is refused, or is another op that gives its bytes back."""
    data = op.encode()
    for _ in range(10):
        changed = mutate(data, chance)
        decoded = decode_operation(changed)
        assert decoded is None or decoded.encode() == changed


@kinds
@given(data=st.data())
def test_other_lengths_are_refused(kind: Kind, data: st.DataObject) -> None:
    """An op has exactly its length."""
    encoded = data.draw(operations_by_kind[kind]).encode()
    assert decode_operation(encoded + b"\0") is None
    assert len(encoded) == 1 or decode_operation(encoded[:-1]) is None


@pytest.mark.parametrize(("value", "field", "lowest", "highest"), BOUNDS)
def test_static_bounds(value: Operation, field: str, lowest: int, highest: int) -> None:
    """Both ends of a field's range decode, and one beyond either end does not, where the field can say it."""
    for number in (lowest, highest):
        op = build_with(value, field, number)
        assert decode_operation(op.encode()) == op
    for number in (lowest - 1, highest + 1):
        try:
            beyond = build_with(value, field, number).encode()
        except (struct.error, OverflowError):  # the field has no such number, so no bytes say it
            continue
        assert decode_operation(beyond) is None


@pytest.mark.parametrize(
    "legs",
    [
        (),
        ((perpetual(0), 1), (perpetual(1), 1)),
        ((perpetual(0), 1), (perpetual(0), 1)),
        ((future(0, EXPIRY), 1), (perpetual(0), 1)),
        ((put(0, EXPIRY, 2), 1), (put(0, EXPIRY, 1), 1)),
        ((perpetual(0), 2),),
        ((perpetual(0), 0),),
        ((perpetual(0), -1),),
        ((perpetual(0), 2), (future(0, EXPIRY), 4)),
        ((perpetual(0), -1), (future(0, EXPIRY), 1)),
        ((perpetual(0), 1), (future(0, EXPIRY), 0)),
        ((perpetual(0), 1), (future(0, EXPIRY), 17)),
        ((perpetual(0), 1), (future(0, EXPIRY), -17)),
        tuple((call(0, EXPIRY, strike), 1) for strike in range(1, 6)),
        ((perpetual(UNDERLYINGS_MAX), 1),),
        ((Instrument(0, 1, 0, 0), 1),),
    ],
)
def test_legs_that_say_nothing_or_say_it_twice(legs: tuple[tuple[Instrument, int], ...]) -> None:
    """Legs are one to four of one underlying, in order, in lowest terms, the first bought, no ratio beyond sixteen."""
    assert decode_operation(replace(ORDER, terms=replace(TERMS, legs=legs)).encode()) is None
    assert decode_operation(ORDER.encode()) == ORDER


@pytest.mark.parametrize(
    ("price", "is_sound"), [(0, True), (-PRICE_MAX + 1, True), (-PRICE_MAX, False), (PRICE_MAX, False)]
)
def test_a_spread_may_cost_less_than_nothing(price: int, is_sound: bool) -> None:
    """With more than one leg the price is a difference, of any sign."""
    spread = replace(TERMS, price=price, legs=((perpetual(0), 1), (future(0, EXPIRY), -1)))
    assert (decode_operation(replace(ORDER, terms=spread).encode()) is not None) == is_sound


@pytest.mark.parametrize(
    ("instrument", "is_sound"),
    [
        (perpetual(UNDERLYINGS_MAX - 1), True),
        (perpetual(UNDERLYINGS_MAX), False),
        (Instrument(0, EXPIRY, 0, 0), False),
        (Instrument(0, 0, 1, 0), False),
        (future(0, EXPIRY), True),
        (future(0, EXPIRY + 1), False),
        (future(0, 0), False),
        (Instrument(0, EXPIRY, 1, FUTURE), False),
        (put(0, EXPIRY, 1), True),
        (call(0, EXPIRY, 999_000_000_000), True),
        (Instrument(0, EXPIRY, 0, PUT), False),
        (Instrument(0, 0, 5, CALL), False),
        (Instrument(0, EXPIRY, 5, 4), False),
    ],
)
def test_what_could_be_listed(instrument: Instrument, is_sound: bool) -> None:
    """A perpetual has neither expiry nor strike, a future no strike, an option both; everything expires at eight."""
    assert is_instrument(instrument) == is_sound


@given(st.integers(0, (1 << 40) - 1))
@example(1_000)
@example(1_001)
@example((1 << 40) - 1)
def test_strikes_are_round(strike: int) -> None:
    """At most three decimal digits say anything, and a strike is not 0."""
    assert is_strike_round(strike) == (strike > 0 and len(str(strike).rstrip("0")) <= 3)


def test_what_is_not_named_is_not_said() -> None:
    """A fill has sixteen bytes of scenarios, or none where they would be zeros; a message eight, which may be zeros:
    they say that its account is short."""
    named = bytes(15) + b"\1"
    for op, tails in (
        (FILL, {b"": True, bytes(16): False, named: True, named[:15]: False, named + b"\0": False, b"\1" * 8: False}),
        (L1(0, 0), {b"": True, bytes(8): True, b"\1" * 8: True, bytes(7): False, bytes(9): False, bytes(16): False}),
    ):
        for tail, decodes in tails.items():
            data = op.encode() + tail
            decoded = decode_operation(data)
            assert (decoded is not None) is decodes
            assert decoded is None or decoded.encode() == data
    assert decode_operation(FILL.encode() + named) == replace(FILL, seller_active=named[8:])
    assert decode_operation(L1(0, 0).encode() + bytes(8)) == L1(0, 0, bytes(8))


def test_a_reading_has_as_many_signatures_as_its_mask() -> None:
    """Of all masks those of one to five signers decode, with exactly a signature for each bit."""
    one = ORACLE.signatures
    for mask, count in itertools.product(range(256), range(6)):
        decoded = decode_operation(replace(ORACLE, signer_mask=mask, signatures=one * count).encode())
        assert (decoded is not None) == (1 <= mask <= 31 and mask.bit_count() == count)


def test_unknown_kinds_decode_to_nothing() -> None:
    """No op begins with 0 or with a number above the last kind."""
    for number in {*range(256)} - {*Kind}:
        assert decode_operation(bytes([number])) is None
        assert decode_operation(bytes([number]) + bytes(16)) is None


SIGNED = (Kind.ORDER, Kind.CANCEL, Kind.TRANSFER, Kind.WITHDRAW, Kind.ORACLE, Kind.SURFACE, Kind.TAKE)


@pytest.mark.parametrize("kind", SIGNED)
@given(data=st.data())
def test_the_digest_binds_what_is_signed_and_nothing_else(kind: Kind, data: st.DataObject) -> None:
    """Changing the domain, the kind or any signed field changes the digest; log position and signature do not."""
    op, domain = data.draw(operations_by_kind[kind]), data.draw(raw(32))
    digest = hash_digest(domain, op)  # type: ignore[arg-type]
    assert digest == hashlib.sha256(domain + bytes([kind]) + op.encode_signed()).digest()  # type: ignore[union-attr]
    unsigned = {"position", "accepted", "key_index", "signature", "signer_mask", "signatures"}
    unsigned |= {"equity", "maintenance", "value", "relief"}
    signed_part = op.terms if isinstance(op, OrderOp) else op
    for name in {field.name for field in fields(signed_part)} - {"legs"}:
        value = getattr(signed_part, name)
        if not isinstance(value, int):
            continue
        changed = replace(signed_part, **{name: value ^ 1})  # type: ignore[arg-type]
        changed_op: Any = replace(op, terms=changed) if isinstance(op, OrderOp) else changed  # type: ignore[arg-type]
        assert (hash_digest(domain, changed_op) == digest) == (name in unsigned)
    if isinstance(op, Take):
        assert hash_digest(domain, replace(op, target_active=b"\1" * 8, rest_active=b"\2" * 8)) == digest
    assert hash_digest(hashlib.sha256(domain).digest(), op) != digest  # type: ignore[arg-type]


def test_the_domain_binds_chain_and_rollup() -> None:
    """A signature for one rollup on one chain is no signature anywhere else."""
    domains = {hash_domain(chain, bytes([rollup]) * 20) for chain in (1, 31337) for rollup in (0, 1)}
    assert len(domains) == 4
    assert hash_domain(1, bytes(20)) == hashlib.sha256(b"keel/1" + (1).to_bytes(32) + bytes(20)).digest()

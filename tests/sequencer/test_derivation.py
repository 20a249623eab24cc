"""Logs become events, in order and completely; whatever an endpoint leaves out, mixes up or makes up is refused."""

import random
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest
from eth_abi import encode
from eth_utils.abi import event_abi_to_log_topic, function_abi_to_4byte_selector
from hypothesis import given
from hypothesis import strategies as st

from node.contracts import compile_contract
from sequencer.derivation import (
    BATCH_SUBMITTED,
    CONVICTED,
    FINALISED,
    GENESIS,
    MESSAGE,
    SUBMIT_BATCH,
    WOUND_DOWN,
    DerivationCode,
    DerivationError,
    L1Cursor,
    RawLog,
    decode_calldata,
    decode_log,
    derive_events,
)
from state.batches import BatchData, decode_header
from state.l1_events import BatchPosted, Finalised, GenesisSet, L1Event, MessageSent, RolledBack, WoundDown
from tests.world import World

ROLLUP = bytes.fromhex("00000000000000000000000000000000000c0de1")
SUBMITTER = bytes([5]) * 20
PROVER = bytes([6]) * 20


def word(value: int) -> bytes:
    return value.to_bytes(32)


def build_log(topics: Sequence[bytes], data: bytes = b"", block: int = 0, index: int = 0, **more: object) -> RawLog:
    return RawLog(ROLLUP, tuple(topics), data, block, index, **more)  # type: ignore[arg-type]


def genesis_log(block: int = 0) -> RawLog:
    return build_log([GENESIS], encode(["bytes", "bytes32"], [b"how it began", b"r" * 32]), block)


def message_log(index: int, block: int, data: bytes = b"a message") -> RawLog:
    return build_log([MESSAGE, word(index)], encode(["bytes"], [data]), block, index)


def encode_submission(data: bytes) -> bytes:
    return SUBMIT_BATCH + encode(["bytes"], [data])


def batch_log(batch: BatchData, block: int) -> RawLog:
    header = decode_header(batch.header)
    values = [batch.batch_hash, header.post_root, header.generation]
    return build_log(
        [BATCH_SUBMITTED, word(header.index), word(int.from_bytes(SUBMITTER))],
        encode(["bytes32", "bytes32", "uint256"], values),
        block,
        time=1_000 + block,
        calldata=encode_submission(batch.encode()),
    )


def rollback_log(index: int, generation: int, block: int) -> RawLog:
    data = encode(["address", "uint256", "uint256"], [SUBMITTER, generation, 77])
    return build_log([CONVICTED, word(index), word(int.from_bytes(PROVER))], data, block)


def final_log(index: int, block: int) -> RawLog:
    return build_log([FINALISED, word(index)], block=block)


def wound_down_log(index: int, block: int) -> RawLog:
    return build_log([WOUND_DOWN, word(index)], block=block)


@pytest.fixture(scope="module")
def batches() -> tuple[BatchData, BatchData]:
    """Two honest batches in a row."""
    world = World(keep_steps=False)
    world.deposit("alice", 50_000_000)
    world.tick(1)
    first = world.seal()
    world.tick(5)
    return first, world.seal()


@pytest.fixture(scope="module")
def history(batches: tuple[BatchData, BatchData]) -> list[RawLog]:
    """A short life: genesis, two messages, two batches, the first final, the second convicted."""
    return [
        genesis_log(3),
        message_log(0, 4),
        message_log(1, 4),
        batch_log(batches[0], 5),
        batch_log(batches[1], 6),
        final_log(1, 7),
        rollback_log(2, 2, 8),
    ]


def test_constants_are_those_of_the_contract() -> None:
    """Topics and selector are the hashes of the signatures in the compiled ABI."""
    abi: list[Any] = compile_contract("rollup").abi
    topics = {entry["name"]: event_abi_to_log_topic(entry) for entry in abi if entry["type"] == "event"}
    (submit,) = [entry for entry in abi if entry.get("name") == "submit_batch"]

    assert topics["Genesis"] == GENESIS
    assert topics["Message"] == MESSAGE
    assert topics["BatchSubmitted"] == BATCH_SUBMITTED
    assert topics["Convicted"] == CONVICTED
    assert topics["Finalised"] == FINALISED
    assert topics["WoundDown"] == WOUND_DOWN
    assert function_abi_to_4byte_selector(submit) == SUBMIT_BATCH


def test_a_history_becomes_events_in_order(history: list[RawLog], batches: tuple[BatchData, BatchData]) -> None:
    """Every log that moves the chain is one event, with all its fields."""
    cursor, events = derive_events(L1Cursor(), ROLLUP, history)

    first, second = batches
    assert events == (
        GenesisSet(b"how it began", b"r" * 32),
        MessageSent(4, 0, b"a message"),
        MessageSent(4, 1, b"a message"),
        BatchPosted(5, 1, SUBMITTER, first.encode(), first.batch_hash, 1, 1_005),
        BatchPosted(6, 2, SUBMITTER, second.encode(), second.batch_hash, 1, 1_006),
        Finalised(7, 1),
        RolledBack(8, 2, 2, PROVER),
    )
    assert cursor == L1Cursor(True, 2, 1, 1, 2, (8, 0))


def test_reading_in_pieces_is_reading_at_once(history: list[RawLog], seed: int) -> None:
    """Wherever a reader stops and goes on, the events and the cursor are the same."""
    cuts = sorted(random.Random(seed).sample(range(len(history)), 2))
    cursor = L1Cursor()
    found: tuple[L1Event, ...] = ()
    for start, end in zip([0, *cuts], [*cuts, len(history)], strict=True):
        cursor, events = derive_events(cursor, ROLLUP, history[start:end])
        found += events

    assert (cursor, found) == derive_events(L1Cursor(), ROLLUP, history)


def test_a_missing_log_is_noticed(history: list[RawLog]) -> None:
    """Leave out any log but the last, and what follows no longer fits."""
    expected = [
        DerivationCode.GENESIS_MUST_BE_FIRST,
        DerivationCode.MESSAGE_MUST_BE_NEXT,
        DerivationCode.BATCH_MUST_NOT_OUTRUN_INBOX,
        DerivationCode.BATCH_MUST_BE_NEXT,
        DerivationCode.ROLLBACK_MUST_HIT_A_PENDING_BATCH,
        None,  # finality is only late
        None,
    ]
    for missing, code in enumerate(expected):
        rest = history[:missing] + history[missing + 1 :]
        if code is None:
            derive_events(L1Cursor(), ROLLUP, rest)
            continue
        with pytest.raises(DerivationError) as raised:
            derive_events(L1Cursor(), ROLLUP, rest)
        assert raised.value.code is code


def test_a_repeated_or_shuffled_log_is_refused(history: list[RawLog]) -> None:
    """Each log stands behind the one before it."""
    for pair in ([history[0], history[0]], [history[0], message_log(0, 2)]):
        with pytest.raises(DerivationError) as raised:
            derive_events(L1Cursor(), ROLLUP, pair)
        assert raised.value.code is DerivationCode.LOGS_MUST_BE_ORDERED


def test_what_cannot_follow_is_refused(batches: tuple[BatchData, BatchData]) -> None:
    """A second genesis, an old batch, a rollback of a final batch, finality beyond the tip or backwards."""
    one_batch = [genesis_log(0), message_log(0, 1), message_log(1, 1), batch_log(batches[0], 2)]
    cases = [
        (genesis_log(9), DerivationCode.GENESIS_MUST_BE_FIRST),
        (batch_log(batches[0], 9), DerivationCode.BATCH_MUST_BE_NEXT),
        (rollback_log(2, 2, 9), DerivationCode.ROLLBACK_MUST_HIT_A_PENDING_BATCH),
        (rollback_log(1, 3, 9), DerivationCode.ROLLBACK_MUST_HIT_A_PENDING_BATCH),
        (final_log(2, 9), DerivationCode.FINALITY_MUST_ADVANCE),
        (final_log(0, 9), DerivationCode.FINALITY_MUST_ADVANCE),
        (wound_down_log(1, 9), DerivationCode.END_MUST_NAME_THE_LAST_FINAL_BATCH),
    ]
    for log, code in cases:
        with pytest.raises(DerivationError) as raised:
            derive_events(L1Cursor(), ROLLUP, [*one_batch, log])
        assert raised.value.code is code
    with pytest.raises(DerivationError) as raised:
        derive_events(L1Cursor(), ROLLUP, [*one_batch, final_log(1, 3), rollback_log(1, 2, 4)])
    assert raised.value.code is DerivationCode.ROLLBACK_MUST_HIT_A_PENDING_BATCH


def test_the_end_kills_what_is_not_final(history: list[RawLog]) -> None:
    """A rollup that is wound down stands at its last final batch."""
    cursor, events = derive_events(L1Cursor(), ROLLUP, [*history[:-1], wound_down_log(1, 8)])

    assert events[-1] == WoundDown(8, 1)
    assert (cursor.tip, cursor.final_index) == (1, 1)


def test_another_contracts_log_is_refused() -> None:
    """Only the rollup speaks of the rollup."""
    with pytest.raises(DerivationError) as raised:
        derive_events(L1Cursor(), ROLLUP, [genesis_log()._replace(address=bytes(20))])
    assert raised.value.code is DerivationCode.LOG_MUST_BE_THE_ROLLUPS


def test_other_events_of_the_rollup_are_passed_over() -> None:
    """Bonds, the slot and claims do not move the chain."""
    other = build_log([bytes([1]) * 32], b"whatever", 2)

    assert decode_log(other) is None
    assert decode_log(other._replace(topics=())) is None
    assert len(derive_events(L1Cursor(), ROLLUP, [genesis_log(1), other])[1]) == 1


def test_posted_bytes_must_be_those_of_the_event(batches: tuple[BatchData, BatchData]) -> None:
    """Another transaction's input, a changed byte, or an event that says other than the header: all refused."""
    log = batch_log(batches[0], 5)
    data = batches[0].encode()
    flipped = data[:-1] + bytes([data[-1] ^ 1])
    wrong_index = log._replace(topics=(log.topics[0], word(2), log.topics[2]))
    for wrong, code in [
        (log._replace(calldata=b""), DerivationCode.CALLDATA_MUST_BE_CANONICAL),
        (log._replace(calldata=log.calldata + bytes(32)), DerivationCode.CALLDATA_MUST_BE_CANONICAL),
        (log._replace(calldata=encode_submission(flipped)), DerivationCode.BATCH_MUST_MATCH_EVENT),
        (log._replace(calldata=encode_submission(b"short")), DerivationCode.BATCH_MUST_MATCH_EVENT),
        (log._replace(calldata=encode_submission(batches[1].encode())), DerivationCode.BATCH_MUST_MATCH_EVENT),
        (wrong_index, DerivationCode.BATCH_MUST_MATCH_EVENT),
    ]:
        with pytest.raises(DerivationError) as raised:
            decode_log(wrong)
        assert raised.value.code is code
        assert "block 5" in str(raised.value)


@given(data=st.binary(max_size=300))
def test_calldata_round_trips(data: bytes) -> None:
    """What was submitted in the canonical form is what is read."""
    assert decode_calldata(encode_submission(data)) == data


@given(data=st.binary(max_size=200))
def test_calldata_of_any_bytes_is_total(data: bytes) -> None:
    """Random bytes behind the selector are either a batch's bytes in canonical form, or None."""
    found = decode_calldata(SUBMIT_BATCH + data)

    assert found is None or encode_submission(found)[: 68 + len(found)] == (SUBMIT_BATCH + data)[: 68 + len(found)]


TOPICS = st.sampled_from([GENESIS, MESSAGE, BATCH_SUBMITTED, CONVICTED, FINALISED, WOUND_DOWN]) | st.binary(max_size=40)
WORDS = st.integers(0, (1 << 256) - 1).map(word) | st.integers(0, 96).map(word)


@given(
    topics=st.lists(TOPICS | WORDS, max_size=4),
    data=st.lists(WORDS, max_size=6).map(b"".join) | st.binary(max_size=100),
    calldata=st.binary(max_size=100),
    cut=st.integers(0, 31),
)
def test_deriving_is_total(topics: list[bytes], data: bytes, calldata: bytes, cut: int) -> None:
    """Whatever an endpoint makes up, there is an answer or a numbered error."""
    log = RawLog(ROLLUP, tuple(topics), data[: len(data) - cut], 1, 1, 1, calldata)
    for cursor in (L1Cursor(), L1Cursor(is_born=True, next_message=3, tip=9, final_index=4, generation=2)):
        with suppress(DerivationError):
            _, events = derive_events(cursor, ROLLUP, [log])
            assert len(events) <= 1


def test_a_long_length_is_not_believed() -> None:
    """A length word beyond the data is an error, not a short answer."""
    honest = message_log(0, 1)
    lying = honest._replace(data=word(32) + word(10_000) + bytes(32))
    with pytest.raises(DerivationError) as raised:
        decode_log(lying)
    assert raised.value.code is DerivationCode.LOG_MUST_DECODE


def test_the_cursor_starts_unborn() -> None:
    """Nothing follows a contract's birth but what comes after it."""
    with pytest.raises(DerivationError) as raised:
        derive_events(L1Cursor(), ROLLUP, [message_log(0, 1)])
    assert raised.value.code is DerivationCode.GENESIS_MUST_BE_FIRST

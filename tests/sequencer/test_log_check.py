"""A log beside the batches of its generation: the sequencer's own passes, and wherever either is bent it is told."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sequencer.log_check import Alarm, AlarmCode, LogCheck, decode_records, list_posted
from sequencer.oplog import LogRecord, RecordKind
from state.batches import BatchData, decode_header
from state.codes import Kind
from tests.fraud_proofs.broken_word import bend_batch
from tests.node.test_sequencer_core import Desk
from tests.sequencer.test_matching_audit import read_log

Bend = Callable[[list[LogRecord], int], None]
"""Changes a log in place, at a position that a batch posts."""


@pytest.fixture
def desk(tmp_path: Path, seed: int) -> Iterator[Desk]:
    """A sequencer with three sealed batches, and something in its log behind them."""
    desk = Desk(tmp_path, seed)
    for _ in range(3):
        for _ in range(4):
            desk.keep(desk.core.take(desk.ask()).records)
        desk.core.seal()
    desk.keep(desk.core.engine.tick(desk.core.engine.globals.time + 1))
    yield desk
    desk.store.close()


def compare(log: list[LogRecord], batches: list[BatchData]) -> Alarm | None:
    """A whole log with a whole chain: the first alarm."""
    check = LogCheck(2, lambda position: iter(log[position:]))
    return next((alarm for batch in batches if (alarm := check.compare(batch)) is not None), None)


def list_batches(desk: Desk) -> list[BatchData]:
    return [desk.core.sealed[index] for index in sorted(desk.core.sealed)]


def test_an_honest_log_raises_no_alarm(desk: Desk) -> None:
    """In order, and when a reorg brings batches again or without those before them; each record is read once else."""
    log, batches = read_log(desk), list_batches(desk)
    read: list[int] = []

    def read_from(position: int) -> Iterator[LogRecord]:
        for record in log[position:]:
            read.append(record.position)
            yield record

    check = LogCheck(2, read_from)
    assert [check.compare(batch) for batch in batches] == [None] * 3
    assert sorted(set(read)) == list(range(decode_header(batches[-1].header).position_to + 1))
    assert len(read) == len(set(read)) + 2, "but for the records that show where a batch ends"
    assert [check.compare(batch) for batch in batches[1:]] == [None] * 2
    assert LogCheck(2, read_from).compare(batches[2]) is None


@pytest.mark.parametrize("is_posted", [True, False])
def test_no_byte_of_a_log_can_be_changed(desk: Desk, is_posted: bool) -> None:
    """A posted record that differs is told at its place; one that is not posted, by the hash of the batch beyond it."""
    batches = list_batches(desk)
    end = decode_header(batches[-1].header).position_to
    for record in read_log(desk)[:end]:
        if (record.kind is RecordKind.POSTED) != is_posted:
            continue
        log = read_log(desk)
        log[record.position] = record._replace(body=record.body[:-1] + bytes([record.body[-1] ^ 1]))
        found = compare(log, batches)
        assert found is not None
        if is_posted:
            assert found == Alarm(AlarmCode.OTHER_OP, 2, record.position)
        else:
            ends = [decode_header(batch.header).position_to for batch in batches]
            assert found == Alarm(AlarmCode.OTHER_LOG, 2, min(end for end in ends if end > record.position) - 1)


def leave_out(position: int) -> Callable[[list[bytes]], list[bytes]]:
    return lambda ops: [op for op in ops if op[1:9] != position.to_bytes(8)]


def test_what_a_batch_leaves_out_or_makes_up_is_told(desk: Desk) -> None:
    """An op of the log that is not posted, and one that is and stands in no log."""
    log, batches = read_log(desk), list_batches(desk)
    posted = [position for batch in batches[:1] for position, _ in list_posted(batch)]
    for position in posted:
        shorter = bend_batch(batches[0], leave_out(position))
        assert compare(log, [shorter]) == Alarm(AlarmCode.NOT_POSTED, 2, position)
    end = decode_header(batches[0].header).position_to
    tick = bytes([Kind.TICK]) + (end - 1).to_bytes(8) + bytes(8)
    longer = bend_batch(batches[0], lambda ops: [*ops[:-1], tick, ops[-1]])
    assert compare(log, [longer]) == Alarm(AlarmCode.OTHER_OP, 2, end - 1)


def test_an_alarm_says_what_it_means(desk: Desk) -> None:
    """A number, a name, the place and a sentence."""
    text = str(Alarm(AlarmCode.NOT_POSTED, 2, 17))
    assert text.startswith("9304 NOT_POSTED: generation 2, position 17: the feed's log has an op to post")


def test_records_are_read_as_they_are_given(desk: Desk) -> None:
    """What is no record, or an op of another position, is none of them."""
    log = read_log(desk)
    given: list[object] = [record.encode() for record in log]
    assert decode_records(0, given) == log
    assert decode_records(1, given) is None, "posted ops name their position"
    for bad in (7, b"", b"\1", b"\2\3", [b"\0\6"]):
        assert decode_records(0, [*given, bad]) is None

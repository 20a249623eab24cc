"""Whoever reads the feed comes to the sequencer's own state, without an engine; what may not stand is noticed."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from sequencer.fresh_state import FreshState
from sequencer.oplog import LogRecord, RecordKind
from state.batches import decode_header
from state.codes import Code
from state.context import MessageUnknown, no_messages
from state.operations import L1
from state.tree import GLOBALS_KEY, LeafKey
from tests.node.test_sequencer_core import Desk
from tests.sequencer.test_matching_audit import read_log


@pytest.fixture
def desk(tmp_path: Path, seed: int) -> Iterator[Desk]:
    desk = Desk(tmp_path, seed)
    yield desk
    desk.store.close()


def open_fresh(desk: Desk, posted: dict[LeafKey, bytes]) -> FreshState:
    return FreshState(posted, desk.market.world.domain, no_messages, 2)


def picture(leaves: dict[LeafKey, bytes]) -> dict[LeafKey, bytes]:
    """All leaves but the globals, which say what batch it is."""
    return {key: data for key, data in leaves.items() if data and key != GLOBALS_KEY}


def test_a_reader_sees_what_the_sequencer_sees(desk: Desk, seed: int) -> None:
    """After every group, and over batches that are posted while it reads, whether it begins anew upon them or not."""
    dice = random.Random(seed)
    posted = dict(desk.leaves)
    fresh = open_fresh(desk, posted)
    for _ in range(40):
        desk.keep(desk.core.take(desk.ask()).records)
        assert fresh.take(read_log(desk)[fresh.position :]) is None
        assert picture(dict(fresh.leaves)) == picture(desk.core.engine.leaves)
        if dice.random() < 0.2:
            sealed, batch = desk.core.seal()
            for op in sealed.ops:
                posted.update(op.writes)
            assert picture(dict(fresh.leaves)) == picture(desk.core.engine.leaves)
            if dice.random() < 0.5:
                continue
            fresh = open_fresh(desk, posted)
            assert fresh.position == decode_header(batch.header).position_to
            assert picture(dict(fresh.leaves)) == picture(desk.core.engine.leaves)


def test_an_op_that_may_not_stand_is_not_taken(desk: Desk) -> None:
    """Its code is told, the state stays before it; an L1 message that nobody has told yet is waited for."""
    fresh = open_fresh(desk, dict(desk.leaves))
    log = read_log(desk)
    end = len(log)
    assert fresh.take(log) is None
    before = dict(fresh.leaves)
    for op, code in (
        (b"\x03" + end.to_bytes(8) + bytes(8), Code.TICK_TIME_MUST_ADVANCE),
        (b"\x03", Code.TICK_MUST_DECODE),
    ):
        assert fresh.take([LogRecord(end, RecordKind.POSTED, op)]) == code
        assert (dict(fresh.leaves), fresh.position) == (before, end)
    cursor = desk.core.engine.globals.inbox_cursor
    with pytest.raises(MessageUnknown):
        fresh.take([LogRecord(end, RecordKind.POSTED, L1(end, cursor).encode())])
    assert (dict(fresh.leaves), fresh.position) == (before, end)


def test_a_generation_that_is_over_has_no_head(desk: Desk) -> None:
    """What is posted is of a later one."""
    desk.core.seal()
    posted = dict(desk.core.engine.leaves)
    with pytest.raises(ValueError, match="generation 2 is posted; 1 is over"):
        FreshState(posted, desk.market.world.domain, no_messages, 1)

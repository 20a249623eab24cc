"""The op log in LevelDB: groups are whole, generations apart, and a writer left behind is told."""

import os
import shutil
from pathlib import Path

import pytest

from node.op_log import LevelDbLog
from sequencer.oplog import Fenced, LogRecord, OpLog, RecordKind
from state.store import Store

RECORDS = [LogRecord(n, RecordKind.POSTED if n % 2 else RecordKind.ACCEPTED, bytes([n]) * 3) for n in range(5)]


def test_what_was_appended_is_read_from_any_position(tmp_path: Path) -> None:
    """In order, by generation, after a restart too."""
    with Store(tmp_path) as store:
        log: OpLog = LevelDbLog(store)
        log.fence(1)
        log.append_group(1, 7, RECORDS[:2])
        log.append_group(1, 7, RECORDS[2:])
        log.append_group(1, 8, RECORDS[:1])
        log.append_group(1, 8, [])

    with Store(tmp_path) as store:
        log = LevelDbLog(store)
        assert list(log.read_from(7, 0)) == RECORDS
        assert list(log.read_from(7, 3)) == RECORDS[3:]
        assert list(log.read_from(8, 0)) == RECORDS[:1]
        assert list(log.read_from(9, 0)) == []


def test_a_writer_left_behind_is_fenced(tmp_path: Path) -> None:
    """Whoever takes the log over ends every earlier writer, across restarts."""
    with Store(tmp_path) as store:
        log = LevelDbLog(store)
        log.fence(1)
        log.fence(2)
        with pytest.raises(Fenced, match="epoch 2 holds"):
            log.append_group(1, 7, RECORDS)
        with pytest.raises(Fenced, match="cannot take it"):
            log.fence(2)

    with Store(tmp_path) as store:
        log = LevelDbLog(store)
        assert log.epoch == 2
        with pytest.raises(Fenced):
            log.append_group(1, 7, RECORDS)
        assert list(log.read_from(7, 0)) == []


def test_a_torn_last_group_is_gone_whole(tmp_path: Path) -> None:
    """At whatever byte the disk stopped: what was acknowledged before stands, and of the last group all or nothing."""
    with Store(tmp_path / "whole") as store:
        log = LevelDbLog(store)
        log.fence(1)
        log.append_group(1, 7, RECORDS[:2])
        (journal,) = (tmp_path / "whole" / "leveldb").glob("*.log")
        kept = journal.stat().st_size
        log.append_group(1, 7, RECORDS[2:])
        end = journal.stat().st_size
        for size in range(kept, end + 1):
            torn = tmp_path / str(size)
            shutil.copytree(tmp_path / "whole", torn)
            os.truncate(torn / "leveldb" / journal.name, size)

            with Store(torn) as reopened:
                found = list(LevelDbLog(reopened).read_from(7, 0))
            assert found == (RECORDS if size == end else RECORDS[:2])


def test_nothing_is_written_before_the_log_is_taken(tmp_path: Path) -> None:
    """Epoch 0 is nobody's."""
    with Store(tmp_path) as store, pytest.raises(Fenced):
        LevelDbLog(store).append_group(1, 7, RECORDS)

"""The journal keeps what is on its way, and nothing else, through any restart."""

import resource
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.errors import JournalError
from node.l1 import Call, TransactionFields
from node.nonce_journal import Entry, NonceJournal

ADDRESS, CHAIN = bytes([1]) * 20, bytes([2]) * 32


def build_entry(nonce: int, to: bytes | None = bytes(20), data: bytes = b"data", value: int = 1) -> Entry:
    fields = TransactionFields(31_337, nonce, to, data, value, 21_000, 10, 1)
    return Entry(Call(to, data, value, "label"), fields, (bytes([nonce % 256]) * 32,), 7)


def test_a_restart_finds_what_was_written(tmp_path: Path) -> None:
    """The last version of each entry, without those that were struck out."""
    path = tmp_path / "journal"
    with NonceJournal(path, ADDRESS, CHAIN) as journal:
        for nonce in range(4):
            journal.put(build_entry(nonce))
        dearer = replace(build_entry(2), hashes=(bytes(32), bytes([9]) * 32), sent_block=8)
        journal.put(dearer)
        journal.strike(1)
        journal.strike(77)
    with NonceJournal(path, ADDRESS, CHAIN) as journal:
        assert journal.entries == {0: build_entry(0), 2: dearer, 3: build_entry(3)}


ADDRESSES = st.none() | st.binary(min_size=20, max_size=20)


@given(to=ADDRESSES, data=st.binary(max_size=50), value=st.integers(0, 2**256 - 1))
@settings(max_examples=30)
def test_entries_round_trip(to: bytes | None, data: bytes, value: int) -> None:
    """Whatever a call does."""
    entry = build_entry(5, to, data, value)
    with TemporaryDirectory() as folder:
        with NonceJournal(Path(folder) / "j", ADDRESS, CHAIN) as journal:
            journal.put(entry)
        with NonceJournal(Path(folder) / "j", ADDRESS, CHAIN) as journal:
            assert journal.entries == {5: entry}


def test_a_torn_write_leaves_the_last_whole_one(tmp_path: Path) -> None:
    """The file is replaced as a whole: what a crash leaves half-written beside it is passed over."""
    path = tmp_path / "journal"
    with NonceJournal(path, ADDRESS, CHAIN) as journal:
        journal.put(build_entry(0))
    (tmp_path / "journal.new").write_text('{"torn')
    with NonceJournal(path, ADDRESS, CHAIN) as journal:
        assert journal.entries == {0: build_entry(0)}
        journal.put(build_entry(1))
    with NonceJournal(path, ADDRESS, CHAIN) as journal:
        assert set(journal.entries) == {0, 1}


def test_a_full_disk_is_named_and_harms_nothing(tmp_path: Path) -> None:
    """What cannot be written down is not sent; what was written before stays whole."""
    path = tmp_path / "journal"
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with NonceJournal(path, ADDRESS, CHAIN) as journal:
        journal.put(build_entry(0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10, hard))
        try:
            with pytest.raises(JournalError, match="cannot write the nonce journal"):
                journal.put(build_entry(1))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        assert journal.entries == {0: build_entry(0)}
    with NonceJournal(path, ADDRESS, CHAIN) as journal:
        assert journal.entries == {0: build_entry(0)}

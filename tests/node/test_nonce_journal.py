"""The journal keeps what is not final, and nothing else, through any restart."""

import resource
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.errors import JournalError
from node.l1 import Call, TransactionFields
from node.nonce_journal import PAST_BYTES_MAX, Entry, NonceJournal

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
    """Wherever a crash tears a record, or a file that was to take the old one's place: what was whole still counts."""
    path = tmp_path / "journal"
    with NonceJournal(path, ADDRESS, CHAIN) as journal:
        journal.put(build_entry(0))
    (tmp_path / "journal.new").write_text('{"torn')
    whole = path.read_bytes()
    with NonceJournal(path, ADDRESS, CHAIN) as journal:
        assert journal.entries == {0: build_entry(0)}
        journal.put(build_entry(1))
    record = path.read_bytes()[len(whole) :]
    for length in range(len(record)):
        path.write_bytes(whole + record[:length])
        with NonceJournal(path, ADDRESS, CHAIN) as journal:
            assert journal.entries == {0: build_entry(0)}
    path.write_bytes(whole + record)
    with NonceJournal(path, ADDRESS, CHAIN) as journal:
        assert set(journal.entries) == {0, 1}


@given(
    st.lists(
        st.tuples(st.sampled_from(("put", "end", "undo", "strike", "reopen")), st.integers(0, 5), st.integers(0, 9)),
        max_size=30,
    )
)
@settings(max_examples=40)
def test_whatever_happens_a_restart_knows_it(steps: list[tuple[str, int, int]]) -> None:
    """Against a dictionary: put, ended, undone and struck out in any order, with restarts between."""
    expected: dict[int, Entry] = {}
    with TemporaryDirectory() as folder:
        journal = NonceJournal(Path(folder) / "j", ADDRESS, CHAIN)
        for step, nonce, number in steps:
            match step:
                case "put":
                    expected[nonce] = build_entry(nonce, value=number)
                    journal.put(expected[nonce])
                case "end" | "undo" if nonce in expected:
                    block = number if step == "end" else None
                    expected[nonce] = replace(expected[nonce], ended_block=block)
                    journal.end(nonce, block)
                case "strike":
                    journal.strike(nonce)
                    expected.pop(nonce, None)
                case "reopen":
                    journal.close()
                    journal = NonceJournal(Path(folder) / "j", ADDRESS, CHAIN)
            assert journal.entries == expected
        journal.close()
        with NonceJournal(Path(folder) / "j", ADDRESS, CHAIN) as again:
            assert again.entries == expected


def test_the_past_does_not_pile_up(tmp_path: Path) -> None:
    """A year of batches leaves a file of what is not final, and at most as much again and a megabyte."""
    path = tmp_path / "journal"
    with NonceJournal(path, ADDRESS, CHAIN) as journal:
        for nonce in range(60):
            journal.put(build_entry(nonce, data=bytes(90_000)))
            journal.end(nonce, nonce)
            journal.strike(nonce - 3)
            assert path.stat().st_size < 3 * 200_000 + PAST_BYTES_MAX + 400_000
        assert set(journal.entries) == {57, 58, 59}
    with NonceJournal(path, ADDRESS, CHAIN) as journal:
        assert set(journal.entries) == {57, 58, 59}


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

"""The store: what was acknowledged is there after anything, and nothing half-written ever is."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from state.store import Store, StoreError
from state.tree import LeafKey, account_key

KEY, OTHER = account_key(1), account_key(2)


def test_everything_written_is_read_back(tmp_path: Path) -> None:
    """Leaves, log, slots, sealed batches and values survive a restart."""
    with Store(tmp_path) as store:
        store.append_log(3, [(0, b"a"), (1, b"b"), (2, b"c")])
        store.append_log(4, [(0, b"z")])
        store.commit(leaves={KEY: b"leaf"}, slots={b"slot1": b"s"}, sealed=(7, b"batch"), meta={"head": b"h"})

    with Store(tmp_path) as store:
        assert store.read_leaves() == {KEY: b"leaf"}
        assert list(store.read_log(3, 1)) == [(1, b"b"), (2, b"c")]
        assert list(store.read_log(4, 0)) == [(0, b"z")]
        assert list(store.read_slots()) == [(b"slot1", b"s")]
        assert store.read_sealed(7) == b"batch"
        assert store.read_meta("head") == b"h"
        assert store.read_meta("tail") is None


def test_empty_bytes_remove(tmp_path: Path) -> None:
    """A leaf, a slot, a batch can be forgotten."""
    with Store(tmp_path) as store:
        store.commit(leaves={KEY: b"leaf", OTHER: b"x"}, slots={b"slot1": b"s"}, sealed=(7, b"batch"))
        store.commit(leaves={KEY: b""}, slots={b"slot1": b""}, forget_batches=[7])

        assert store.read_leaves() == {OTHER: b"x"}
        assert list(store.read_slots()) == []
        assert store.read_sealed(7) is None


def test_a_reset_keeps_the_log_and_nothing_else(tmp_path: Path) -> None:
    """After a rollback the state is another; what was acknowledged stays readable."""
    with Store(tmp_path) as store:
        store.append_log(1, [(0, b"a")])
        store.commit(leaves={KEY: b"leaf"}, slots={b"slot1": b"s"}, sealed=(7, b"batch"), meta={"head": b"h"})
        store.reset({OTHER: b"new"}, {"head": b"h2"})

        assert store.read_leaves() == {OTHER: b"new"}
        assert list(store.read_slots()) == []
        assert store.read_sealed(7) is None
        assert store.read_meta("head") == b"h2"
        assert list(store.read_log(1, 0)) == [(0, b"a")]


def test_one_folder_has_one_process(tmp_path: Path) -> None:
    """A second opener is told why it cannot."""
    with Store(tmp_path), pytest.raises(StoreError, match="another process holds"):
        Store(tmp_path)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """The error says which folder."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file"):
        Store(tmp_path / "file" / "data")


WRITER = """
import sys
from pathlib import Path
from state.store import Store
from state.tree import account_key
store = Store(Path(sys.argv[1]))
for number in range(10**9):
    store.append_log(1, [(2 * number, b"x" * 100), (2 * number + 1, b"y" * 100)])
    store.commit(leaves={account_key(1): number.to_bytes(8), account_key(2): number.to_bytes(8)})
    print(number, flush=True)
"""


@pytest.mark.parametrize("acknowledged", [1, 7, 40])
def test_a_killed_writer_loses_nothing_that_it_acknowledged(tmp_path: Path, acknowledged: int) -> None:
    """kill -9 at any instant: whole groups, whole commits, everything that was said to be durable."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    assert process.stdout is not None
    last = -1
    for line in process.stdout:
        last = int(line)
        if last >= acknowledged:
            break
    os.kill(process.pid, signal.SIGKILL)
    rest = process.stdout.read()
    process.stdout.close()
    process.wait()
    last = max([last, *(int(line) for line in rest.split(b"\n")[:-1])])

    with Store(tmp_path) as store:
        positions = [position for position, _ in store.read_log(1, 0)]
        leaves = store.read_leaves()
    assert positions == list(range(len(positions)))
    assert len(positions) % 2 == 0
    assert len(positions) >= 2 * (last + 1)
    assert leaves[LeafKey(account_key(1))] == leaves[LeafKey(account_key(2))]
    assert int.from_bytes(leaves[account_key(1)]) >= last

"""Processes of the devnet: what is started is stopped, and one that ends by itself is an error with its last words."""

import sys
from pathlib import Path

import pytest
import trio

from devnet.network import DevnetError, open_role, watch_role

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(99)"
)


async def test_a_process_ends_with_its_block(tmp_path: Path) -> None:
    """It is asked to end, and has ended when the block is left."""
    async with open_role("sleeper", [sys.executable, "-c", "import time; time.sleep(99)"], tmp_path) as role:
        assert role.process.poll() is None

    assert role.process.returncode is not None


async def test_a_process_that_does_not_listen_is_made_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Patience has an end."""
    monkeypatch.setattr("devnet.network.STOP_SECONDS", 0.1)

    async with open_role("stubborn", [sys.executable, "-c", STUBBORN], tmp_path, is_piped=True) as role:
        assert role.process.stdout is not None
        with trio.fail_after(10):
            await role.process.stdout.receive_some()

    assert role.process.returncode == -9


async def test_a_process_that_ends_by_itself_is_an_error(tmp_path: Path) -> None:
    """The error has its status, the last lines of its log, and where the log is."""
    async with open_role("quitter", [sys.executable, "-c", "raise SystemExit('no more')"], tmp_path) as role:
        with pytest.raises(DevnetError, match=r"quitter ended by itself with status 1: no more .*quitter\.log"):
            await watch_role(role)

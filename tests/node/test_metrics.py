"""Counters of any role can be read over HTTP, as they stand when they are read."""

import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio

from devnet.network import find_port
from node.keys import Secp256k1Key, create_key, format_address
from node.metrics import MetricsError, serve_metrics
from tests.node.test_rescue_role import run_keel
from tests.node.test_vertical import open_stage, until
from tests.node.town import give_ether


@dataclass
class Counters:
    batches: int = 0
    seconds_left: float = 1.5
    closed: dict[str, int] = field(default_factory=dict)
    note: str = "not a number"


def fetch(port: int) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
        return str(response.read().decode())


def test_counters_are_served_as_they_stand() -> None:
    """Numbers by source and field, dictionaries with a label, nothing else."""
    counters = Counters()
    with serve_metrics(0, {"tower": counters}) as port:
        assert "keel_tower_batches 0.0" in fetch(port)
        counters.batches = 3
        counters.closed["idle"] = 2
        text = fetch(port)

    assert "keel_tower_batches 3.0" in text
    assert "keel_tower_seconds_left 1.5" in text
    assert 'keel_tower_closed{which="idle"} 2.0' in text
    assert "note" not in text


def test_a_taken_port_is_named() -> None:
    """And the port is free again afterwards."""
    with (
        serve_metrics(0, {}) as port,
        pytest.raises(MetricsError, match=r"metrics port \d+: .*set another node.metrics"),
    ):
        serve_metrics(port, {}).__enter__()
    with serve_metrics(port, {}) as again:
        assert again == port


@pytest.mark.slow
async def test_roles_show_their_counters(tmp_path: Path) -> None:
    """A follower its gateway's, a watchtower those of the receipts that are handed to it; as processes."""
    handed_in = tmp_path / "handed-in"
    handed_in.mkdir()
    key = create_key(tmp_path / "tower.json", Secp256k1Key)
    assert isinstance(key, Secp256k1Key)
    async with open_stage(tmp_path) as stage:
        give_ether(stage.anvil, key, 10)
        at = ["--l1", stage.anvil.url, "--rollup", format_address(stage.rollup.address)]
        ports = find_port(), find_port()
        follower = ["follower", *at, "--listen", "127.0.0.1:0", "--metrics-port", ports[0]]
        tower = [
            "watchtower",
            *at,
            "--key",
            tmp_path / "tower.json",
            "--receipts",
            handed_in,
            "--metrics-port",
            ports[1],
        ]
        with run_keel(*follower) as following, run_keel(*tower) as watching:
            await trio.to_thread.run_sync(following.wait_for, "serving")
            await trio.to_thread.run_sync(watching.wait_for, "self-test")
            (handed_in / "one").write_text("nonsense\n")

            async def shows(port: int, *lines: str) -> bool:
                try:
                    page = await trio.to_thread.run_sync(fetch, port)
                except urllib.error.URLError:
                    return False
                return all(line in page for line in lines)

            await until(lambda: shows(ports[0], "keel_gateway_connections 0.0", "keel_follower_tip 0.0"))
            await until(lambda: shows(ports[1], "keel_receipts_unreadable 1.0", "keel_watchtower_convictions 0.0"))

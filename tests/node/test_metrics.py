"""Counters of any role can be read over HTTP, as they stand when they are read."""

import urllib.request
from dataclasses import dataclass, field

import pytest

from node.metrics import MetricsError, serve_metrics


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

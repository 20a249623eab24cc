"""Prometheus metrics on a loopback port, read from plain counters at the moment they are asked for.

    with serve_metrics(9100, {"gateway": gateway.counters, "watchtower": tower.counters}):
        ...

A source is a dataclass: each number in it is `keel_<source>_<field>`, each dictionary of numbers the same with a label.
Who counts knows nothing of Prometheus.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from node.errors import NodeError


class MetricsError(NodeError):
    """The port is taken, or may not be used."""


class CounterCollector(Collector):
    """Turns counters into metric families."""

    def __init__(self, sources: Mapping[str, Any]) -> None:
        """Source name -> dataclass instance, which goes on changing."""
        self._sources = sources

    def collect(self) -> Iterator[Metric]:
        """Everything countable, as it stands now."""
        for source, counters in self._sources.items():
            for field in dataclasses.fields(counters):
                value = getattr(counters, field.name)
                name = f"keel_{source}_{field.name}"
                if isinstance(value, int | float):
                    yield GaugeMetricFamily(name, name, value=value)
                elif isinstance(value, dict):
                    # A copy: another task may add a key meanwhile.
                    family = GaugeMetricFamily(name, name, labels=["which"])
                    for label, count in dict(value).items():
                        family.add_metric([str(label)], count)
                    yield family


@contextmanager
def serve_metrics(port: int, sources: Mapping[str, Any]) -> Iterator[int]:
    """Serve on 127.0.0.1 for the length of a `with` block; gives the port (0 takes a free one). Raises MetricsError."""
    registry = CollectorRegistry()
    registry.register(CounterCollector(sources))
    try:
        server, thread = start_http_server(port, addr="127.0.0.1", registry=registry)
    except OSError as error:
        raise MetricsError(
            f"metrics port {port}: {error.strerror}; set another node.metrics_port, 0 for none"
        ) from error
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

"""A process takes what files the system gives it, and leaves enough of them to its disk."""

import resource
from collections.abc import Iterator

import pytest

from node.file_limit import OTHER_FILES, fit_limits
from node.gateway import GatewayLimits


@pytest.fixture(autouse=True)
def limits() -> Iterator[tuple[int, int]]:
    """Put back what a test lowers; the hard limit cannot be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield soft, hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_soft_limit_is_no_limit(limits: tuple[int, int]) -> None:
    """Most systems give a process 1,024 files until it asks for more."""
    _, hard = limits
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))

    fitted = fit_limits(GatewayLimits(connections_max=10_000))

    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    if hard != resource.RLIM_INFINITY:
        assert fitted.connections_max <= max(hard - OTHER_FILES, hard // 2)


@pytest.mark.parametrize(("hard", "connections"), [(20_000, 10_000), (4_096, 2_896), (1_024, 512)])
def test_connections_leave_files_to_the_disk(monkeypatch: pytest.MonkeyPatch, hard: int, connections: int) -> None:
    """However few there are."""
    monkeypatch.setattr(resource, "getrlimit", lambda which: (256, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda which, pair: None)

    assert fit_limits(GatewayLimits()).connections_max == connections

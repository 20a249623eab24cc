"""What every test may ask for: a seed that can be replayed, the development L1, the reference vectors.

A run is random and repeatable: one number, printed first and again under each failure, seeds every `seed` fixture
and hypothesis; `pytest --seed N` replays it. Skips are listed with their reasons at the end of a run, so that
nothing is passed over in silence. What a test measures it hands to `record_property` as MEASURED; that is listed too.
"""

import hashlib
import secrets
from collections import defaultdict
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from node.anvil import Anvil, run_anvil
from tests.workers import PieceByPiece, sort_for_workers

MEASURED = "measured"
SHARED = Path(__file__).resolve().parent.parent.parent / "shared"

hypothesis.settings.register_profile(
    "keel",
    print_blob=True,
    deadline=2_000,  # milliseconds an example; generous, since machines are shared
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.register_profile("long", hypothesis.settings.get_profile("keel"), max_examples=5_000, deadline=None)
hypothesis.settings.load_profile("keel")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, help="replay a run: the number its header and its failures print")
    parser.addoption("--every-depth", action="store_true", help="reorganize the L1 at every depth, not at a few")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Choose the seed before hypothesis looks for its own."""
    if config.option.seed is None:
        config.option.seed = secrets.randbits(32)
    if config.getoption("--hypothesis-seed") is None:
        config.option.hypothesis_seed = config.option.seed


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        sort_for_workers(items)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> PieceByPiece:
    config.option.loadscopereorder = False  # they come as they are sorted
    return PieceByPiece(config, log)


def pytest_report_header(config: pytest.Config) -> str:
    return f"seed: {config.option.seed} (replay with --seed {config.option.seed})"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        report.sections.append(("seed", f"replay with: pytest '{item.nodeid}' --seed {item.config.option.seed}"))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List what was measured, and by reason what was skipped."""
    passed = terminalreporter.stats.get("passed", [])
    measured = [(report.nodeid, text) for report in passed for name, text in report.user_properties if name == MEASURED]
    if measured:
        terminalreporter.section(MEASURED)
        for test, text in measured:
            terminalreporter.line(f"{test}: {text}")
    tests_by_reason = defaultdict(list)
    for report in terminalreporter.stats.get("skipped", []):
        _, _, reason = report.longrepr
        tests_by_reason[reason.removeprefix("Skipped: ")].append(report.nodeid)
    if not tests_by_reason:
        return
    terminalreporter.section(f"{sum(map(len, tests_by_reason.values()))} skipped")
    for reason, tests in sorted(tests_by_reason.items()):
        terminalreporter.line(f"{len(tests)}: {reason}")
        for test in sorted(tests):
            terminalreporter.line(f"    {test}")


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """A 64-bit number for this test alone: the run's seed and the test's name decide it, not the order of tests."""
    text = f"{request.config.option.seed} {request.node.nodeid}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference vectors and market data beside the project; without it its tests are skipped."""
    if not SHARED.is_dir():
        pytest.skip("no folder ../shared with reference vectors")
    return SHARED


@pytest.fixture(scope="session")
def anvil() -> Iterator[Anvil]:
    """One development L1 for the whole run, a block per transaction; a test that bends time starts its own."""
    with run_anvil() as running:
        yield running

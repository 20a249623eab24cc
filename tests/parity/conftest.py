"""The table of all checks, at the end of a run in which any was tried."""

from collections.abc import Callable, Iterator

import pytest

from tests.parity.tally import Tally

TRIED = "checks tried against the bytecode"


@pytest.fixture
def tally(record_property: Callable[[str, object], None]) -> Iterator[Tally]:
    """A test's own, which goes into the table."""
    tally = Tally()
    yield tally
    record_property(TRIED, tally.list_counts())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    total = Tally()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) == "teardown":
                for name, counts in report.user_properties:
                    if name == TRIED:
                        total.add_counts(counts)
    if total.convicted.total():
        terminalreporter.section(TRIED)
        for row in total.list_rows():
            terminalreporter.line(row)

"""The table of all checks, at the end of a run in which any was tried."""

import pytest

from tests.parity.tally import TOTAL


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if TOTAL.convicted:
        terminalreporter.section("checks tried against the bytecode")
        for row in TOTAL.list_rows():
            terminalreporter.line(row)

"""What tests of faults share: a record of how long each took to recover, shown at the end."""

import sys
from collections.abc import Callable

import pytest

RECOVERED = "recovered"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/faults/" in item.nodeid:
            item.add_marker(pytest.mark.faults)
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def told(record_property: Callable[[str, object], None]) -> Callable[[str, float], None]:
    """Take note of the seconds from the end of a fault to the last event's batch."""

    def note(name: str, seconds: float) -> None:
        record_property(RECOVERED, (name, seconds))
        sys.stderr.write(f"{seconds:6.1f}  {name}\n")  # seen with -s, and when a test fails

    return note


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    rows = [
        value
        for report in terminalreporter.stats.get("passed", [])
        for name, value in getattr(report, "user_properties", [])
        if name == RECOVERED
    ]
    if rows:
        terminalreporter.section("seconds from the end of a fault until all was there")
    for name, seconds in sorted(rows):
        terminalreporter.write_line(f"{seconds:6.1f}  {name}")

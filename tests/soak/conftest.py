"""Numbers that the cases measure: kept with the report of each test, and shown at the end of a run."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Measured = Callable[..., None]

LONG_EVENTS, SHORT_EVENTS = 3000.0, 500.0
LONG_TIMEOUT_SECONDS, SHORT_TIMEOUT_SECONDS = 3600, 900


@pytest.fixture
def measured(record_property: Callable[[str, object], None]) -> Measured:
    """Note figures under their names."""

    def note(**figures: object) -> None:
        for name, value in figures.items():
            record_property(name, round(value, 2) if isinstance(value, float) else value)

    return note


@pytest.fixture
def rate(request: pytest.FixtureRequest) -> float:
    """Events a second of the simulated market; each is one to four frames."""
    return LONG_EVENTS if request.node.get_closest_marker("soak") else SHORT_EVENTS


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let a crowded machine take its time."""
    for item in items:
        if "tests/soak/" in item.nodeid:
            long = item.get_closest_marker("soak") is not None
            item.add_marker(pytest.mark.timeout(LONG_TIMEOUT_SECONDS if long else SHORT_TIMEOUT_SECONDS))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List what was measured, by test."""
    lines = [
        (report.nodeid.rpartition("::")[2], report.user_properties, report.duration)
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, [])
        if getattr(report, "user_properties", None) and "tests/soak/" in report.nodeid
    ]
    if lines:
        terminalreporter.section("measured")
    for name, figures, seconds in lines:
        terminalreporter.write_line(f"{name} ({seconds:.0f} s)")
        terminalreporter.write_line("    " + ", ".join(f"{key} {value}" for key, value in figures))

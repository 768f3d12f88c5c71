"""When a minute is judged whose trades are asked for in turn."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from collector.audit.auditor import AuditOptions, Auditor
from collector.audit.subjects import Subject
from collector.venues.adapter import CandleSums
from collector.venues.finam import FinamSettings
from tests.feed.fakes import FakeClock

SUMS = CandleSums(volume=True)


def auditor(count: int, now: datetime) -> Auditor:
    clock = FakeClock()
    clock.now_ns = lambda: int(now.timestamp() * 1e9)  # type: ignore[method-assign]
    nobody: Any = None
    made = Auditor(
        {"polled": SUMS._replace(polled_per_minute=180.0), "streamed": SUMS}, AuditOptions(15.0, 24.0),
        dsn=str, committed=nobody, wake=nobody, look_up=nobody, clock=clock,
    )  # fmt: skip
    made._subjects = [Subject(number, "polled", f"S{number}", SUMS, (), "") for number in range(count)]
    return made


@pytest.mark.parametrize(
    ("count", "minute"),
    [(1, 8), (50, 8), (200, 7), (5000, 5)],  # a minute, two turns of 67 s, four minutes at the most
)
def test_minute_of_a_polled_venue_waits_until_all_were_asked(count: int, minute: int) -> None:
    now = datetime(2026, 11, 21, 18, 10, 14, tzinfo=UTC)
    asked = auditor(count, now)._asked()
    assert asked == {"polled": datetime(2026, 11, 21, 18, minute, tzinfo=UTC)}


def test_finam_is_polled_and_streamed() -> None:
    settings = {"secret": "x", "symbols": ["SBER@MISX"]}
    assert FinamSettings(**settings).polled_per_minute == 180
    assert FinamSettings(**settings, transport="stream").polled_per_minute == 0

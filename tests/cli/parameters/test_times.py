"""Times and lengths of time on the command line: what is understood, and what is told about the rest."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
import typer

from collector.cli.parameters.times import day, duration_seconds, microseconds, moment, ordered


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-11-01", "2026-11-01T00:00:00+00:00"),
        ("2026-11-01T09:30", "2026-11-01T09:30:00+00:00"),
        ("2026-11-01 09:30:15Z", "2026-11-01T09:30:15+00:00"),
        ("2026-11-01T09:30+01:00", "2026-11-01T08:30:00+00:00"),
    ],
)
def test_times_are_utc_unless_they_say_otherwise(text: str, time: str) -> None:
    assert moment(text).isoformat() == time
    assert microseconds(moment(text)) == int(datetime.fromisoformat(time).timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("text", "ago"),
    [("now", timedelta()), ("2h ago", timedelta(hours=2)), ("2h", timedelta(hours=2)), ("7 d ago", timedelta(days=7))],
)
def test_times_may_be_told_from_now(text: str, ago: timedelta) -> None:
    before = datetime.now(UTC)
    time = moment(text)
    assert before <= time + ago <= datetime.now(UTC)


def test_today_and_yesterday_begin_at_midnight_utc() -> None:
    today, yesterday = moment("today"), moment("yesterday")
    assert (today.hour, today.minute, today.second, today.microsecond) == (0, 0, 0, 0)
    assert today - yesterday == timedelta(days=1)
    assert (day("today") - day("yesterday"), day("2026-11-20")) == (timedelta(days=1), date(2026, 11, 20))


@pytest.mark.parametrize("text", ["tomorrow", "1.11.2026", "", "ago", "1999-01-01", "2026-13-01", "900000w ago"])
def test_what_is_no_time_is_told_with_what_would_be_one(text: str) -> None:
    with pytest.raises(typer.BadParameter, match=r"2026-11-01, .*'2h ago'|this century"):
        moment(text)


@pytest.mark.parametrize(("text", "seconds"), [("20", 20), ("0.5", 0.5), ("90s", 90), ("5m", 300), ("2h", 7200)])
def test_a_length_of_time_without_a_unit_is_seconds(text: str, seconds: float) -> None:
    assert duration_seconds(text) == seconds


@pytest.mark.parametrize("text", ["-1", "soon", "5 minutes", ""])
def test_what_is_no_length_of_time_is_told_with_what_would_be_one(text: str) -> None:
    with pytest.raises(typer.BadParameter, match='"90s", "5m"'):
        duration_seconds(text)


def test_a_span_begins_before_it_ends_and_not_in_the_future() -> None:
    first, last = moment("2026-01-01"), moment("2026-01-02")
    assert ordered(first, last) == (first, last)
    assert ordered(None, None) == (None, None)
    with pytest.raises(typer.BadParameter, match="2026-01-02T00:00:00Z is not before --to"):
        ordered(last, first)
    with pytest.raises(typer.BadParameter, match="in the future"):
        ordered(datetime.now(UTC) + timedelta(days=1), None)

"""Moments and lengths of time on the command line: one parser of each for every option of every command."""

from __future__ import annotations

__all__ = ["MOMENT_EXAMPLES", "day", "duration_seconds", "microseconds", "moment", "ordered"]

import re
from datetime import UTC, date, datetime, timedelta

import typer

from collector.durations import DURATION_EXAMPLES, parse_duration

MOMENT_EXAMPLES = "2026-11-01, 2026-11-01T09:30 (UTC), 2026-11-01T09:30+01:00, '2h ago', yesterday, now"

_NUMBER = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,6})?", re.ASCII)
_DAYS_BEFORE = {"today": 0, "yesterday": 1}


def moment(text: str) -> datetime:
    """Read an ISO date or time, `now`, `today`, `yesterday`, or how long ago it was; without a zone it is UTC."""
    from collector.model import EARLIEST_US, LATEST_US

    time = _moment(text.strip())
    if time is None:
        raise typer.BadParameter(f"{text!r} is not a time; write one such as {MOMENT_EXAMPLES}")
    if not EARLIEST_US <= microseconds(time) <= LATEST_US:
        raise typer.BadParameter(f"{text!r} is not a time of this century")
    return time


def _moment(text: str) -> datetime | None:
    now = datetime.now(UTC)
    if text == "now":
        return now
    if text in _DAYS_BEFORE:
        return now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=_DAYS_BEFORE[text])
    try:
        return now - parse_duration(text.removesuffix("ago"))
    except (ValueError, OverflowError):
        pass
    try:
        time = datetime.fromisoformat(text)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def day(text: str) -> date:
    """Read a date, `today` or `yesterday`; a day is UTC's."""
    if text in _DAYS_BEFORE:
        return (datetime.now(UTC) - timedelta(days=_DAYS_BEFORE[text])).date()
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a date; write 2026-11-20 or yesterday") from None


def duration_seconds(text: str | float) -> float:
    """Read a length of time as seconds; a number without a unit is seconds."""
    if not isinstance(text, str):
        return float(text)  # a default
    try:
        return float(text) if _NUMBER.fullmatch(text) else parse_duration(text).total_seconds()
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a length of time; write {DURATION_EXAMPLES}") from None


def microseconds(time: datetime) -> int:
    """Return a moment as microseconds since 1970."""
    return (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def ordered(since: datetime | None, until: datetime | None) -> tuple[datetime | None, datetime | None]:
    """Return both ends of a span; wrong usage where it would end before it begins, or lies in the future."""
    now = datetime.now(UTC)
    if since is not None and since >= min(until or now, now):
        what = "in the future" if since >= now else "not before --to"
        raise typer.BadParameter(f"{since:%Y-%m-%dT%H:%M:%SZ} is {what}", param_hint="--from")
    return since, until

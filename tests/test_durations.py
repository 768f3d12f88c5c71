"""Lengths of time have one form everywhere."""

from __future__ import annotations

from datetime import timedelta

import pytest

from collector.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("90s", 90), ("5m", 300), ("2h", 7200), ("1.5 h", 5400), ("7d", 604_800), ("2w", 1_209_600)],
)
def test_a_number_and_a_unit_are_a_length_of_time(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "90", "h", "2 hours", "-5m", "1e3s", "5M", "１s", "1mo", "9999999d"])
def test_anything_else_is_refused_with_what_would_be_one(text: str) -> None:
    with pytest.raises(ValueError, match=r'is not a length of time; write .*"90s", "5m", "2h" or "7d"'):
        parse_duration(text)


@pytest.mark.parametrize("text", ["90d", "36h", "90m", "61s", "1500ms"])
def test_what_is_written_can_be_read_again(text: str) -> None:
    assert format_duration(parse_duration(text)) == text

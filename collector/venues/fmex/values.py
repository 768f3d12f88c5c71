"""What a well-formed name or time looks like, and how to show a value that is none."""

from __future__ import annotations

from typing import Any

from collector.model import EARLIEST_US, LATEST_US
from collector.venues.fmex.numbers import whole


def millis_us(value: Any) -> int | None:
    """Read a time in milliseconds as microseconds; None when it is no time between the years 2000 and 2100."""
    number = whole(value)
    if number is None:
        return None
    time_us = number * 1000
    return time_us if EARLIEST_US <= time_us <= LATEST_US else None


def seconds_us(value: Any) -> int | None:
    """Read a time in seconds, as bars have it; see `millis_us`."""
    number = whole(value)
    if number is None:
        return None
    time_us = number * 1_000_000
    return time_us if EARLIEST_US <= time_us <= LATEST_US else None

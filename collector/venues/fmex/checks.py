"""What a well-formed name or time looks like, and how to show a value that is none."""

from __future__ import annotations

import re
from reprlib import Repr
from typing import Any

from collector.model import EARLIEST_US, LATEST_US
from collector.venues.fmex.numbers import whole

_REASON_CHARACTERS = 100
_BRIEF = Repr()  # frames can be huge, or nest deeply
_BRIEF.maxlevel = 2
_BRIEF.maxdict = _BRIEF.maxlist = 4
_BRIEF.maxstring = 60
_name = re.compile(r"[\x21-\x7e]{1,64}").fullmatch


def shorten(value: object) -> str:
    """Show a value in an error: printable, and never longer than a line."""
    text = _BRIEF.repr(value)
    return text if len(text) <= _REASON_CHARACTERS else text[: _REASON_CHARACTERS - 3] + "..."


def is_name(value: Any) -> bool:
    """Tell whether it can be a symbol, an index or a currency."""
    return type(value) is str and _name(value) is not None


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

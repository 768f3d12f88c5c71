"""Lengths of time as people write them, in commands and in the configuration: `90s`, `5m`, `2h`, `7d`."""

from __future__ import annotations

__all__ = ["DURATION_EXAMPLES", "format_duration", "parse_duration"]

import re
from datetime import timedelta

DURATION_EXAMPLES = '"90s", "5m", "2h" or "7d"'

_DURATION = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,6})?) ?(ms|[smhdw])", re.ASCII)
_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}


def parse_duration(text: str) -> timedelta:
    """Return the length of time that a number and a unit (ms, s, m, h, d, w) mean; ValueError for anything else."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a length of time; write a number and a unit, such as {DURATION_EXAMPLES}")
    return float(match[1]) * _UNITS[match[2]]


def format_duration(duration: timedelta) -> str:
    """Write a length of time in the largest unit, weeks excepted, of which it is a whole number: `36h`, `90d`."""
    for unit in ("d", "h", "m", "s"):
        count, rest = divmod(duration, _UNITS[unit])
        if not rest:
            return f"{count}{unit}"
    return f"{duration / _UNITS['ms']:g}ms"

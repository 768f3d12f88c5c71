"""What a well-formed value looks like in this venue's packets, whose numbers were read as the very text that came.

Exponent forms become plain decimals, exactly; nothing else is changed.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from collector.model import DECIMAL, EARLIEST_US, LATEST_US

_DECODER = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=str)
# JSON with every number as its own text.
loads = _DECODER.decode
# The same of a value that begins at a place in a text; tells where it ends, too.
decode_at = _DECODER.raw_decode

MOST_EXPONENT = 400
LARGEST_BIGINT = 2**63 - 1

_EXPONENT = re.compile(r"-?[0-9]{1,400}(?:\.[0-9]{1,400})?[eE][+-]?([0-9]{1,3})", re.ASCII)
_ISO = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d):(\d\d)(?:\.(\d{1,9}))?Z?", re.ASCII)
_MINUTES_KEPT = 512
_TIMES_KEPT = 4096

_is_decimal = DECIMAL.fullmatch
_minutes: dict[tuple[str, str], int] = {}
_times: dict[str, int] = {}


def decimal(value: Any) -> str | None:
    """Return a number's plain decimal text, None when it is no number."""
    if type(value) is not str:
        return None
    if _is_decimal(value):
        return value
    found = _EXPONENT.fullmatch(value)
    if found is None or int(found[1]) > MOST_EXPONENT:
        return None
    return f"{Decimal(value):f}"


def whole(value: Any) -> int | None:
    """Return a whole number that fits a bigint, None when it is none."""
    if type(value) is not str or not value.isascii() or len(value) > 20:
        return None
    if not value.isdigit() and not value.removeprefix("-").isdigit():
        return None
    number = int(value)
    return number if -LARGEST_BIGINT <= number <= LARGEST_BIGINT else None


def time_us(value: Any) -> int | None:
    """Read an ISO time as microseconds; a broker's own time, which has no zone, is read as if it were UTC.

    None when it is no time between the years 2000 and 2100.
    """
    if type(value) is not str:
        return None
    known = _times.get(value)
    if known is not None:  # a bar's opening comes with every change of it, a moment with the quote and the tick
        return known
    found = _ISO.fullmatch(value)
    if found is None:
        return None
    day, minute, second, fraction = found.groups()
    minute_us = _minutes.get((day, minute))
    if minute_us is None:
        try:
            start = datetime.fromisoformat(f"{day}T{minute}").replace(tzinfo=UTC)
        except ValueError:
            return None
        if len(_minutes) >= _MINUTES_KEPT:
            _minutes.clear()
        minute_us = _minutes[day, minute] = int(start.timestamp()) * 1_000_000
    if int(second) > 59:
        return None
    found_us = minute_us + int(second) * 1_000_000
    if fraction:
        found_us += int(fraction) * 1000 if len(fraction) == 3 else int(fraction.ljust(6, "0")[:6])
    if not EARLIEST_US <= found_us <= LATEST_US:
        return None
    if len(_times) >= _TIMES_KEPT:
        _times.clear()
    _times[value] = found_us
    return found_us


def iso(us: int) -> str:
    """Write a time as the venue reads it, the rest below the millisecond cut."""
    start = datetime.fromtimestamp(us // 1_000_000, UTC)
    return f"{start:%Y-%m-%dT%H:%M:%S}.{us % 1_000_000 // 1000:03d}Z"

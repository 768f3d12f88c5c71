"""Reads values of this venue's packets. JSON numbers are decoded to their own text, so that no digit is changed.

Numbers with an exponent become plain decimals, exactly.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from collector.model import DECIMAL, EARLIEST_US, LATEST_US

_DECODER = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=str)
# Decodes JSON; every number becomes a string with its text.
loads = _DECODER.decode
# The same for a value that begins at an index of a text; returns the value and the index where it ends.
decode_at = _DECODER.raw_decode

# The largest exponent that is written out; larger numbers are malformed. Doubles, which MetaTrader has, end at 1e308; a
# larger bound would let a few characters become megabytes.
EXPONENT_MAX = 400
# The largest value of PostgreSQL's bigint.
BIGINT_MAX = 2**63 - 1

_EXPONENT = re.compile(r"-?[0-9]{1,400}(?:\.[0-9]{1,400})?[eE][+-]?([0-9]{1,3})", re.ASCII)
_ISO = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d):(\d\d)(?:\.(\d{1,9}))?Z?", re.ASCII)

# How many entries the caches of `time_us` hold; a full cache is cleared. The minutes are the present one in UTC and on
# each broker's clock, and those in which open bars began; the times are mostly those of the last seconds. Larger caches
# only cost memory, smaller ones are cleared while still in use, so that times are parsed again.
_CACHED_MINUTES_MAX = 512
_CACHED_TIMES_MAX = 4096

_is_decimal = DECIMAL.fullmatch
_minutes: dict[tuple[str, str], int] = {}
_times: dict[str, int] = {}


def decimal(value: Any) -> str | None:
    """Return the plain decimal text of a number as `loads` gives it; None for anything else."""
    if type(value) is not str:
        return None
    if _is_decimal(value):
        return value
    match = _EXPONENT.fullmatch(value)
    if match is None or int(match[1]) > EXPONENT_MAX:
        return None
    return f"{Decimal(value):f}"


def whole(value: Any) -> int | None:
    """Return a whole number that fits a bigint; None for anything else."""
    if type(value) is not str or not value.isascii() or len(value) > 20:
        return None
    if not value.isdigit() and not value.removeprefix("-").isdigit():
        return None
    number = int(value)
    return number if -BIGINT_MAX <= number <= BIGINT_MAX else None


def time_us(value: Any) -> int | None:
    """Return an ISO time in microseconds since 1970; None for anything but a time between the years 2000 and 2100.

    A broker's local time, which has no zone, is read as if it were UTC.
    """
    if type(value) is not str:
        return None
    known = _times.get(value)
    if known is not None:  # times repeat: a bar's opening comes with each of its states, a moment with quote and tick
        return known
    match = _ISO.fullmatch(value)
    if match is None:
        return None
    day, minute, second, fraction = match.groups()
    minute_us = _minutes.get((day, minute))
    if minute_us is None:
        try:
            start = datetime.fromisoformat(f"{day}T{minute}").replace(tzinfo=UTC)
        except ValueError:
            return None
        if len(_minutes) >= _CACHED_MINUTES_MAX:
            _minutes.clear()
        minute_us = _minutes[day, minute] = int(start.timestamp()) * 1_000_000
    if int(second) > 59:
        return None
    at_us = minute_us + int(second) * 1_000_000
    if fraction:
        at_us += int(fraction) * 1000 if len(fraction) == 3 else int(fraction.ljust(6, "0")[:6])
    if not EARLIEST_US <= at_us <= LATEST_US:
        return None
    if len(_times) >= _CACHED_TIMES_MAX:
        _times.clear()
    _times[value] = at_us
    return at_us


def iso(at_us: int) -> str:
    """Write a time in microseconds in the venue's format; what is below the millisecond is cut off."""
    start = datetime.fromtimestamp(at_us // 1_000_000, UTC)
    return f"{start:%Y-%m-%dT%H:%M:%S}.{at_us % 1_000_000 // 1000:03d}Z"

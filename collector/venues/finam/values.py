"""Reads the venue's values, and words the errors about malformed ones.

Decimals come as `{"value": "6.8042089E8"}`, on the socket sometimes as plain text. An exponent is written out, exactly;
otherwise digits are kept as the venue wrote them. Times are RFC 3339; digits below the microsecond are cut off.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from collector.model import DECIMAL, EARLIEST_US, LATEST_US
from collector.venues.kit.values import shorten

# The largest exponent that is written out; larger numbers are malformed. A larger bound would let a few characters
# become a text of any length.
_EXPONENT_MAX = 300

_SCIENTIFIC = re.compile(r"([+-]?)([0-9]{1,300})(?:\.([0-9]{0,300}))?(?:[eE]([+-]?[0-9]{1,3}))?", re.ASCII)
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-]\d\d:\d\d))", re.ASCII)
# `TICKER@MIC`: the ticker may hold any printable ASCII but a second `@`. Names with spaces or other letters, which the
# venue has for some indices and currencies, are not accepted.
_SYMBOL = re.compile(r"[\x21-\x3f\x41-\x7e]{1,64}@[A-Za-z0-9_]{1,16}")


class BadValueError(ValueError):
    """A member is malformed; the text names it and shows its value."""


def is_symbol(value: object) -> bool:
    """Whether a value can be a symbol, `TICKER@MIC`."""
    return type(value) is str and _SYMBOL.fullmatch(value) is not None


def plain_decimal(text: str) -> str | None:
    """Write a decimal without exponent, exactly; None for anything that is not a decimal."""
    if DECIMAL.fullmatch(text):
        return text
    match = _SCIENTIFIC.fullmatch(text)
    if match is None:
        return None
    sign, whole, fraction, exponent = match[1], match[2], match[3] or "", int(match[4] or 0)
    if abs(exponent) > _EXPONENT_MAX:
        return None
    point = len(whole) + exponent
    digits = whole + fraction
    if point <= 0:
        digits = digits.rjust(len(digits) - point + 1, "0")
        point = 1
    digits = digits.ljust(point, "0")
    head, tail = digits[:point].lstrip("0") or "0", digits[point:]
    return ("-" if sign == "-" else "") + head + (f".{tail}" if tail else "")


def decimal(item: Mapping[str, Any], name: str) -> str | None:
    """Read a decimal member; None where it is missing or empty. Raises `BadValueError`."""
    value = item.get(name)
    text = value.get("value") if type(value) is dict else value
    if text is None or text == "":
        return None
    number = plain_decimal(text) if type(text) is str else str(text) if type(text) is int else None
    if number is None:
        raise BadValueError(f"{name}: {shorten(value)} is not a decimal number")
    return number


def needed(item: Mapping[str, Any], name: str) -> str:
    """Read a decimal member that must be present. Raises `BadValueError`."""
    number = decimal(item, name)
    if number is None:
        raise BadValueError(f"{name}: missing")
    return number


def unsigned(item: Mapping[str, Any], name: str) -> str | None:
    """Read a decimal member that cannot be negative; None where it is missing. Raises `BadValueError`."""
    number = decimal(item, name)
    if number is not None and number.startswith("-"):
        raise BadValueError(f"{name}: {shorten(number)} is negative")
    return number


def moment_us(item: Mapping[str, Any], name: str = "timestamp") -> int:
    """Read a time that must be present, in microseconds since 1970. Raises `BadValueError`."""
    at_us = time_us(item.get(name))
    if at_us is None:
        raise BadValueError(f"{name}: {shorten(item.get(name))} is not a time between the years 2000 and 2100")
    return at_us


def time_us(value: object) -> int | None:
    """Return a time in microseconds since 1970; None for anything but a time between the years 2000 and 2100."""
    match = _TIME.fullmatch(value) if type(value) is str else None
    if match is None:
        return None
    day, clock, fraction, offset = match.groups()
    try:
        whole = datetime.fromisoformat(f"{day}T{clock}{offset or '+00:00'}")
    except ValueError:
        return None
    result = int(whole.timestamp()) * 1_000_000 + int((fraction or "0").ljust(6, "0")[:6])
    return result if EARLIEST_US <= result <= LATEST_US else None


def is_zero(decimal_text: str) -> bool:
    """Whether a plain decimal is zero."""
    return not decimal_text.strip("-0.")


def objects(value: Any, name: str) -> list[Any]:
    """Return a value that must be a list, the empty list where it is missing. Raises `BadValueError`."""
    if value is None:
        return []
    if type(value) is not list:
        raise BadValueError(f"{name}: {shorten(value)} is not a list")
    return value


def mapping(value: Any, name: str) -> dict[str, Any]:
    """Return a value that must be a JSON object. Raises `BadValueError`."""
    if type(value) is not dict:
        raise BadValueError(f"{name}: {shorten(value)} is not an object")
    return value


def text(item: Mapping[str, Any], name: str) -> str:
    """Return a text member, the empty text where it is missing or of another type."""
    value = item.get(name)
    return value if type(value) is str else ""

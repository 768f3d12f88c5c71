"""What the venue's values look like, and what to say of one that does not.

Decimals come as `{"value": "6.8042089E8"}`, on the socket sometimes as bare text; an exponent is written out exactly,
every other digit is stored as the venue wrote it. Times are RFC 3339; digits beyond the microsecond are cut.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from collector.model import DECIMAL, EARLIEST_US, LATEST_US
from collector.venues.kit.values import shorten

_LARGEST_EXPONENT = 300

_SCIENTIFIC = re.compile(r"([+-]?)([0-9]{1,300})(?:\.([0-9]{0,300}))?(?:[eE]([+-]?[0-9]{1,3}))?", re.ASCII)
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-]\d\d:\d\d))", re.ASCII)
_SYMBOL = re.compile(r"[\x21-\x3f\x41-\x7e]{1,64}@[A-Za-z0-9_]{1,16}")


class BadValueError(ValueError):
    """A field is not what it has to be; the text names it and shows what is there."""


def is_symbol(value: object) -> bool:
    """Tell whether it can be a symbol, `TICKER@MIC`."""
    return type(value) is str and _SYMBOL.fullmatch(value) is not None


def plain_decimal(text: str) -> str | None:
    """Write a decimal without exponent, exactly; None for what is no decimal."""
    if DECIMAL.fullmatch(text):
        return text
    found = _SCIENTIFIC.fullmatch(text)
    if found is None:
        return None
    sign, whole, fraction, exponent = found[1], found[2], found[3] or "", int(found[4] or 0)
    if abs(exponent) > _LARGEST_EXPONENT:
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
    """Read a decimal field; None where it is missing. Raises `BadValueError`."""
    value = item.get(name)
    text = value.get("value") if type(value) is dict else value
    if text is None or text == "":
        return None
    found = plain_decimal(text) if type(text) is str else str(text) if type(text) is int else None
    if found is None:
        raise BadValueError(f"{name}: {shorten(value)} is not a decimal number")
    return found


def needed(item: Mapping[str, Any], name: str) -> str:
    """Read a decimal field that must be there. Raises `BadValueError`."""
    found = decimal(item, name)
    if found is None:
        raise BadValueError(f"{name}: missing")
    return found


def unsigned(item: Mapping[str, Any], name: str) -> str | None:
    """Read a size, which cannot be negative. Raises `BadValueError`."""
    found = decimal(item, name)
    if found is not None and found.startswith("-"):
        raise BadValueError(f"{name}: {shorten(found)} is negative")
    return found


def moment_us(item: Mapping[str, Any], name: str = "timestamp") -> int:
    """Read a time that must be there. Raises `BadValueError`."""
    found = time_us(item.get(name))
    if found is None:
        raise BadValueError(f"{name}: {shorten(item.get(name))} is not a time between the years 2000 and 2100")
    return found


def time_us(value: object) -> int | None:
    """Read a time in microseconds; None when it is none between the years 2000 and 2100."""
    found = _TIME.fullmatch(value) if type(value) is str else None
    if found is None:
        return None
    day, clock, fraction, offset = found.groups()
    try:
        whole = datetime.fromisoformat(f"{day}T{clock}{offset or '+00:00'}")
    except ValueError:
        return None
    result = int(whole.timestamp()) * 1_000_000 + int((fraction or "0").ljust(6, "0")[:6])
    return result if EARLIEST_US <= result <= LATEST_US else None


def is_zero(decimal_text: str) -> bool:
    """Tell whether a plain decimal is nothing."""
    return not decimal_text.strip("-0.")


def objects(value: Any, what: str) -> list[Any]:
    """Return a list field, the empty list where it is missing. Raises `BadValueError`."""
    if value is None:
        return []
    if type(value) is not list:
        raise BadValueError(f"{what}: {shorten(value)} is not a list")
    return value


def mapping(value: Any, what: str) -> dict[str, Any]:
    """Return an object. Raises `BadValueError`."""
    if type(value) is not dict:
        raise BadValueError(f"{what}: {shorten(value)} is not an object")
    return value


def text(item: Mapping[str, Any], name: str) -> str:
    """Return a text field, the empty text where it is missing or of another type."""
    value = item.get(name)
    return value if type(value) is str else ""

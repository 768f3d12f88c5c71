"""What a well-formed value looks like, and what to say of one that is not.

The readers test whole items with one joined pattern, since that is the hot path; only when it fails do they come here
to find out which field was wrong. Nothing in here changes a value: what passes is stored as the venue wrote it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from collector.model import DECIMAL, EARLIEST_US, LATEST_US, UNSIGNED
from collector.venues.kit.values import shorten

FIRST_MS = EARLIEST_US // 1000
LAST_MS = LATEST_US // 1000
LARGEST_BIGINT = 2**63 - 1

_ISO_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:Z|\+00:?00)", re.ASCII)

# `collector.model.UNSIGNED`, possessive: it never goes back, which is faster and needs no memory for long lists.
_NUMBER = r"[0-9]{1,1000}+(?:\.[0-9]{1,1000}+)?+"

Matcher = Callable[[str], object]


def joined(count: int) -> Matcher:
    """Return a test for so many unsigned decimals joined by bars: one match costs less than one for each."""
    return re.compile(_NUMBER + rf"\|{_NUMBER}" * (count - 1), re.ASCII).fullmatch


# Comma-joined unsigned decimals.
DECIMAL_LIST: Matcher = re.compile(rf"{_NUMBER}(?:,{_NUMBER})*+", re.ASCII).fullmatch


class Rule(NamedTuple):
    """What a field must be. `label` completes the sentence "it is not ..."."""

    label: str
    accepts: Callable[[Any], bool]
    optional: bool = False


def _is_millis(value: Any) -> bool:
    return type(value) is int and FIRST_MS <= value <= LAST_MS


def _is_unsigned(value: Any) -> bool:
    return type(value) is str and UNSIGNED.fullmatch(value) is not None


def _is_signed(value: Any) -> bool:
    return type(value) is str and DECIMAL.fullmatch(value) is not None


def _is_sequence(value: Any) -> bool:
    return type(value) is int and 0 <= value <= LARGEST_BIGINT


def _is_trade_id(value: Any) -> bool:
    return trade_number(value) is not None


def _is_moment(value: Any) -> bool:
    return moment_us(value) is not None


MILLIS = Rule("a time in milliseconds between the years 2000 and 2100", _is_millis)
MOMENT = Rule("a time between the years 2000 and 2100", _is_moment)
UNSIGNED_TEXT = Rule("a decimal number, not negative, as text", _is_unsigned)
SIGNED_TEXT = Rule("a decimal number as text", _is_signed)
SEQUENCE = Rule("a sequence number", _is_sequence)
SIDE = Rule("buy or sell", lambda value: value in ("buy", "sell"))
TRADE_ID = Rule("a whole number", _is_trade_id, optional=True)


def optional(rule: Rule) -> Rule:
    """Return the rule for a field that may be null or left out."""
    return rule._replace(optional=True)


def fault(item: object, rules: Mapping[str, Rule]) -> str | None:
    """Name the first field that breaks its rule, with its value; None when all are well."""
    if type(item) is not dict:
        return f"{shorten(item)} is not an object"
    for name, rule in rules.items():
        value = item.get(name)
        if value is None:
            if not rule.optional:
                return f"{name}: missing"
        elif not rule.accepts(value):
            return f"{name}: {shorten(value)} is not {rule.label}"
    return None


def trade_number(value: Any) -> int | None:
    """Read a trade id, which the venue writes as a number or as text; None when it is neither."""
    if type(value) is int:
        return value if value >= 0 else None
    if type(value) is str and value.isascii() and value.isdigit() and len(value) <= 40:
        return int(value)
    return None


def moment_us(value: Any) -> int | None:
    """Read a REST time: ISO 8601 in UTC with up to nine digits after the second, or UNIX milliseconds.

    Digits beyond the microsecond are cut. None when it is no time between the years 2000 and 2100.
    """
    if type(value) is str:
        found = _ISO_TIME.fullmatch(value)
        if found is None:
            if not (value.isascii() and value.isdigit() and len(value) <= 16):
                return None
            time_us = int(value) * 1000
        else:
            day, clock, fraction = found.groups()
            try:
                whole = datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=UTC)
            except ValueError:
                return None
            time_us = int(whole.timestamp()) * 1_000_000 + int((fraction or "0").ljust(6, "0")[:6])
    elif type(value) is int:
        time_us = value * 1000
    else:
        return None
    return time_us if EARLIEST_US <= time_us <= LATEST_US else None

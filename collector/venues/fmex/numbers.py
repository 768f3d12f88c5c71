"""JSON whose numbers keep their digits, and decimals in the one form that the tables take.

The venue writes prices as JSON numbers, with up to twenty significant digits, in mixed forms (`7865`, `7865.0`,
`5.9E-5`, `0E-18`). A float would round them, so every number is decoded to its own text, integers too: one field can
come as either. Exponent forms become plain decimals, exactly; no other digit is touched.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from collector.model import DECIMAL, UNSIGNED

_NUMBER = r"[0-9]{1,1000}+(?:\.[0-9]{1,1000}+)?+"
_plain_list = re.compile(rf"{_NUMBER}(?:,{_NUMBER})*+", re.ASCII).fullmatch
_exponent = re.compile(r"-?[0-9]{1,100}(?:\.[0-9]{1,100})?[eE][+-]?[0-9]{1,3}", re.ASCII).fullmatch
_decode = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=str).decode

LARGEST_BIGINT = 2**63 - 1


def loads(payload: bytes) -> Any:
    """Decode JSON with every number as its text (`NaN` too, which no check lets pass). ValueError for what is none."""
    try:
        return _decode(payload.decode())
    except RecursionError:
        raise ValueError("nested too deeply") from None


def signed(value: Any) -> str | None:
    """Return the number as a plain decimal, None for what is no number (or one of more than a thousand digits)."""
    if type(value) is not str:
        return None
    if DECIMAL.fullmatch(value):
        return value
    if not _exponent(value):
        return None
    plain = format(Decimal(value), "f")
    return plain if DECIMAL.fullmatch(plain) else None


def unsigned(value: Any) -> str | None:
    """Return the number as a plain decimal without sign, None for what is none."""
    plain = signed(value)
    return plain if plain is not None and UNSIGNED.fullmatch(plain) else None


def all_unsigned(values: Sequence[Any]) -> Sequence[str] | None:
    """Return the numbers as plain decimals without sign, None when one of them is none."""
    try:
        joined = ",".join(values)
        if "E" in joined or "e" in joined:
            values = [signed(value) or "" if "E" in value or "e" in value else value for value in values]
            joined = ",".join(values)
    except TypeError:
        return None
    # One match costs less than one for each.
    return values if _plain_list(joined) and joined.count(",") == len(values) - 1 else None


def whole(value: Any) -> int | None:
    """Read a sequence number, an id or a count: a whole number from 0 to 2**63 - 1."""
    if type(value) is not str or not (value.isascii() and value.isdigit()) or len(value) > 19:
        return None
    number = int(value)
    return number if number <= LARGEST_BIGINT else None

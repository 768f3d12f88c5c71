"""How the venue writes numbers, times and WebSocket frames.

Prices and quantities live as integers of the smallest unit; this is the only place where they become text, so that
every channel and every REST path shows the same digits.
"""

import zlib
from datetime import UTC, datetime
from decimal import Context, Decimal
from typing import Final

_SIXTEEN_DIGITS: Final = Context(prec=16)

# Later times cannot be written as a date.
_TIME_MAX_MS: Final = 250_000_000_000_000


def decimal_text(units: int, decimals: int) -> str:
    """Write `units` of 10**-decimals with all its decimals: `decimal_text(90, 2) == "0.90"`."""
    if not decimals:
        return str(units)
    if units < 0:
        return "-" + decimal_text(-units, decimals)
    digits = str(units)
    if len(digits) <= decimals:
        digits = digits.zfill(decimals + 1)
    return digits[:-decimals] + "." + digits[-decimals:]


def ratio_text(numerator: int | Decimal, denominator: int | Decimal) -> str:
    """Write a quotient with sixteen significant digits and no exponent, as the venue writes percentages."""
    return plain_text(_SIXTEEN_DIGITS.divide(Decimal(numerator), Decimal(denominator)))


def plain_text(value: Decimal) -> str:
    """Write a decimal with at most sixteen significant digits and no exponent."""
    return format(_SIXTEEN_DIGITS.plus(value), "f")


def iso_time(time_ms: int) -> str:
    """Write a millisecond UNIX time as REST does: `2024-04-14T12:18:40.426Z`."""
    moment = datetime.fromtimestamp(time_ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time_ms % 1000:03d}Z"


def iso_time_ns(time_ms: int, within_ms: int) -> str:
    """Write a time with nanoseconds, as the REST order book does; `within_ms` is 0..999999."""
    return f"{iso_time(time_ms)[:-1]}{within_ms:06d}Z"


def parse_time(text: str) -> int:
    """Read a request's time in ms: UNIX milliseconds or seconds, or ISO 8601 (UTC where it names no zone).

    Raises `ValueError` where it is neither.
    """
    if text.lstrip("-").isdigit():
        number = int(text)
        return _within_reason(number if abs(number) >= 100_000_000_000 else number * 1000)
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    whole = int(moment.replace(microsecond=0).timestamp())
    return _within_reason(whole * 1000 + moment.microsecond // 1000)


def _within_reason(time_ms: int) -> int:
    if not 0 <= time_ms < _TIME_MAX_MS:
        raise ValueError(f"{time_ms} ms is not a time from 1970 to 9891")
    return time_ms


def levels_checksum(asks_json: str, bids_json: str) -> int:
    """Give the CRC-32 by which the ledger identifies the levels of one book message.

    The arguments are the compact JSON texts of the two lists as sent: `[["0.1","2"],..]`, asks first.
    """
    return zlib.crc32((asks_json + bids_json).encode())

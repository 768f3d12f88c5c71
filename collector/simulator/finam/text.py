"""How the venue writes numbers and times, as far as clients have reported it.

Decimals keep one fractional digit at least (`10.0`), large sums come with an exponent (`2.78E7`), and a time has 0, 3,
6 or 9 digits after the second.
"""

from datetime import UTC, datetime
from typing import Any, Final

EXPONENT_FROM: Final = 10_000_000


def decimal(value: int, places: int = 0) -> str:
    """Write `value` / 10^`places` exactly."""
    sign, digits = ("-", str(-value)) if value < 0 else ("", str(value))
    digits = digits.rjust(places + 1, "0")
    whole, fraction = (digits[:-places], digits[-places:].rstrip("0")) if places else (digits, "")
    return f"{sign}{whole}.{fraction or '0'}"


def large(value: int, places: int = 0) -> str:
    """Write a sum: like `decimal`, with an exponent from ten million on."""
    if value < EXPONENT_FROM * 10**places:
        return decimal(value, places)
    digits = str(value)
    mantissa = digits[1:].rstrip("0") or "0"
    return f"{digits[0]}.{mantissa}E{len(digits) - 1 - places}"


def plain(text: str) -> str:
    """Write a decimal without an exponent, every other digit as it is."""
    mantissa, mark, exponent = text.partition("E")
    if not mark:
        return text
    whole, _, fraction = mantissa.partition(".")
    if fraction.strip("0") == "":
        fraction = ""
    shift = int(exponent)
    fraction = fraction.ljust(shift, "0")
    rest = fraction[shift:]
    return f"{whole}{fraction[:shift]}" + (f".{rest}" if rest else "")


def boxed(text: str) -> dict[str, str]:
    """Wrap a decimal as google.type.Decimal."""
    return {"value": text}


def timestamp(time_us: int) -> str:
    """Write a time in UTC; the number of digits varies as it does at the venue."""
    seconds, micros = divmod(time_us, 1_000_000)
    whole = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    if not micros:
        return f"{whole}Z"
    if not micros % 1000:
        return f"{whole}.{micros // 1000:03d}Z"
    return f"{whole}.{micros:06d}{'000' if not micros % 7 else ''}Z"


def read_time(text: str) -> int:
    """Read a time with any offset, in microseconds. ValueError for what is none."""
    value = datetime.fromisoformat(text)
    if value.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    delta = value - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def status(code: int, message: str) -> dict[str, Any]:
    """Make the body of an error: google.rpc.Status."""
    return {"code": code, "message": message, "details": []}

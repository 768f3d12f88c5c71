"""How the venue writes numbers and times: no trailing zeros; UTC with a Z, the broker's time without."""

from datetime import UTC, datetime


def number(units: int, digits: int) -> str:
    """Write `units` of 10**-digits as a JSON number: `number(107120, 5) == "1.0712"`."""
    if not digits:
        return str(units)
    sign, text = ("-" if units < 0 else ""), str(abs(units)).zfill(digits + 1)
    fraction = text[-digits:].rstrip("0")
    return f"{sign}{text[:-digits]}.{fraction}" if fraction else sign + text[:-digits]


def utc(time_ms: int) -> str:
    """Write a time as ISO 8601 with milliseconds."""
    return f"{_second(time_ms):%Y-%m-%dT%H:%M:%S}.{time_ms % 1000:03d}Z"


def broker(time_ms: int) -> str:
    """Write a time of the broker's clock, which is given as if it were UTC."""
    return f"{_second(time_ms):%Y-%m-%d %H:%M:%S}.{time_ms % 1000:03d}"


def read_time(text: str) -> int:
    """Read a time of a request in milliseconds. ValueError where it is none."""
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _second(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms // 1000, UTC)

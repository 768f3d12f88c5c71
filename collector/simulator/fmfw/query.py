"""Query parameters of REST requests, read as the venue reads them: what is wrong is error 10001."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, TypeVar

from collector.simulator.fmfw.errors import BadParameter
from collector.simulator.fmfw.text import parse_time
from collector.simulator.fmfw.trading.candles import PERIODS

Query = Mapping[str, str]
_T = TypeVar("_T")

# What the venue allows of `limit` and `offset`.
_LIMIT_MAX: Final = 1000
_OFFSET_MAX: Final = 100_000


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is wanted.  `first` and `last` are times in ms, or ids where `by_id`; both included."""

    ascending: bool
    first: int | None
    last: int | None
    limit: int
    offset: int
    by_id: bool = False

    def window(self, low: int, high: int) -> Sequence[int]:
        """Give the positions within low..high-1 that are on this page, in the order asked for."""
        if self.ascending:
            start = low + self.offset
            return range(start, min(high, start + self.limit))
        start = high - 1 - self.offset
        return range(start, max(low - 1, start - self.limit), -1)

    def cut(self, items: Sequence[_T]) -> list[_T]:
        """Give the part of an ascending list."""
        return [items[position] for position in self.window(0, len(items))]


def page(
    query: Query,
    *,
    single: bool,
    by: bool = False,
    names: tuple[str, str] = ("from", "till"),
    default_limit: int | None = None,
) -> Page:
    """Read paging parameters; `single` is the form with a symbol in the path (limit 100 and an offset)."""
    by_value = query.get("by", "timestamp") if by else "timestamp"
    if by_value not in ("timestamp", "id"):
        raise BadParameter(f"by must be timestamp or id, not {by_value}")
    sort = query.get("sort", "DESC").upper()
    if sort not in ("ASC", "DESC"):
        raise BadParameter(f"sort must be ASC or DESC, not {sort}")
    read: Callable[[Query, str], int | None] = _integer if by_value == "id" else _time
    default = default_limit if default_limit is not None else (100 if single else 10)
    return Page(
        ascending=sort == "ASC",
        first=read(query, names[0]),
        last=read(query, names[1]),
        limit=bounded(query, "limit", default, 1, _LIMIT_MAX),
        offset=bounded(query, "offset", 0, 0, _OFFSET_MAX) if single else 0,
        by_id=by_value == "id",
    )


def bounded(query: Query, name: str, default: int, least: int, most: int) -> int:
    """Read an integer within bounds."""
    value = _integer(query, name)
    if value is None:
        return default
    if not least <= value <= most:
        raise BadParameter(f"{name} must be from {least} to {most}, not {value}")
    return value


def period(query: Query) -> str:
    """Read the period of candles, M30 where none is given."""
    value = query.get("period", "M30")
    if value not in PERIODS:
        raise BadParameter(f"period must be one of {', '.join(PERIODS)}, not {value}")
    return value


def names(query: Query, name: str) -> list[str] | None:
    """Read a comma-separated list, None where it is not given."""
    value = query.get(name)
    return [one for one in value.split(",") if one] if value else None


def required(query: Query, name: str) -> str:
    value = query.get(name)
    if not value:
        raise BadParameter(f"{name} is required")
    return value


def _integer(query: Query, name: str) -> int | None:
    value = query.get(name)
    if value is None:
        return None
    try:
        return int(value)
    except ValueError:
        raise BadParameter(f"{name} must be a whole number, not {value}") from None


def _time(query: Query, name: str) -> int | None:
    value = query.get(name)
    if value is None:
        return None
    try:
        return parse_time(value)
    except (ValueError, OverflowError, OSError):
        raise BadParameter(f"{name} must be a time, not {value}") from None


def amount(query: Query, name: str) -> Decimal | None:
    """Read a decimal number above zero, None where it is not given."""
    value = query.get(name)
    if value is None:
        return None
    try:
        number = Decimal(value)
    except ArithmeticError:
        raise BadParameter(f"{name} must be a number, not {value}") from None
    if not number.is_finite() or number <= 0:
        raise BadParameter(f"{name} must be above zero, not {value}")
    return number

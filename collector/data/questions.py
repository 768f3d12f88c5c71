"""The questions that a market answers, and what their arguments may look like."""

from __future__ import annotations

__all__ = ["Moment", "Period", "Questions"]

import re
from abc import ABC, abstractmethod
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Generic, TypeVar

from collector.data.errors import QueryError
from collector.model import PERIODS
from collector.store.named import queries

_SQL = queries("market")

Answer = TypeVar("Answer")

# A time; without a zone it is UTC, a date is its midnight. Texts are ISO 8601. A pandas Timestamp is a datetime.
Moment = str | date | datetime

# A length of time: `30s`, `5m`, `1h`, `1d`, `1w`, `1mo`, or a timedelta.
Period = str | timedelta

_PERIOD = re.compile(r"([1-9]\d*)(s|m|h|d|w|mo)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks", "mo": "months"}


class Questions(ABC, Generic[Answer]):
    """What can be asked. Every answer is a frame; columns are named as in the database, times are UTC.

    Venues and symbols are those of the database: `instruments()` lists them. Spans are [from_time, to_time); without
    from_time they begin with the data, without to_time they end now. Numbers are `Decimal`, or floats where the market
    was made with `floats=True`.
    """

    @abstractmethod
    def _ask(self, query: str, *arguments: Any) -> Answer: ...

    def sql(self, query: str, *arguments: Any) -> Answer:
        """Answer any query; `$1`, `$2`, .. stand for the arguments. Nothing can be changed."""
        return self._ask(query, *arguments)

    def instruments(self, venue: str | None = None) -> Answer:
        """List what is recorded, with common names, tick sizes and what else the venues say."""
        return self._ask(_SQL["instruments"], venue)

    def instrument_at(self, venue: str, symbol: str, at: Moment | None = None) -> Answer:
        """Tell what the venue said of an instrument at a moment; no row before we first asked."""
        return self._ask(_SQL["instrument_at"], venue, symbol, moment(at))

    def trades(self, venue: str, symbol: str, from_time: Moment | None = None, to_time: Moment | None = None) -> Answer:
        """Give executions in their order; `side` is the aggressor, 1 the buyer and -1 the seller."""
        return self._ask(_SQL["trades"], venue, symbol, moment(from_time), moment(to_time))

    def ticks(self, venue: str, symbol: str, from_time: Moment | None = None, to_time: Moment | None = None) -> Answer:
        """Give best bids and asks, and last prices, in their order."""
        return self._ask(_SQL["ticks"], venue, symbol, moment(from_time), moment(to_time))

    def candles(
        self,
        venue: str,
        symbol: str,
        period: str,
        from_time: Moment | None = None,
        to_time: Moment | None = None,
        *,
        series: str = "trade",
    ) -> Answer:
        """Give the venue's own candles. `period` is one that was recorded, such as `1m`; `series` trade, mark, .."""
        if period not in PERIODS:
            raise QueryError(f"{period!r} is no period of candles; there is {', '.join(PERIODS)}")
        span = moment(from_time), moment(to_time)
        return self._ask(_SQL["candles"], venue, symbol, *span, PERIODS[period], series)

    def ohlcv(
        self,
        venue: str,
        symbol: str,
        period: Period,
        from_time: Moment | None = None,
        to_time: Moment | None = None,
        *,
        fill: bool = False,
    ) -> Answer:
        """Give bars of any length, made of trades.

        `gap` flags bars of which a part is not known to be recorded, `partial` those that are not over or cut by the
        span. Bars without trades are left out, or have no prices with `fill`.
        """
        return self._ask(_SQL["ohlcv"], venue, symbol, moment(from_time), moment(to_time), interval(period), fill)

    def spread(
        self, venue: str, symbol: str, step: Period, from_time: Moment | None = None, to_time: Moment | None = None
    ) -> Answer:
        """Give bid, ask, spread and mid as they stood every `step`; `gap` flags moments that were not recorded."""
        return self._ask(_SQL["spread"], venue, symbol, moment(from_time), moment(to_time), interval(step))

    def trades_with_quotes(
        self, venue: str, symbol: str, from_time: Moment | None = None, to_time: Moment | None = None
    ) -> Answer:
        """Give trades, each with the last quote at or before it."""
        return self._ask(_SQL["trades_with_quotes"], venue, symbol, moment(from_time), moment(to_time))

    def book_at(self, venue: str, symbol: str, at: Moment | None = None, *, depth: int = 10) -> Answer:
        """Give the order book at a moment, the best level first.

        `as_of` is the last change in it and `age` how long before that was; where `covered` is false it is the last
        book that is known and not the one of the moment.
        """
        return self._ask(_SQL["book_at"], venue, symbol, moment(at), depth)

    def vwap(self, venue: str, symbol: str, from_time: Moment | None = None, to_time: Moment | None = None) -> Answer:
        """Give the average price of the trades of a span, weighted by size: one row, null without trades."""
        return self._ask(_SQL["vwap"], venue, symbol, moment(from_time), moment(to_time))

    def last_prices(self) -> Answer:
        """Give the last trade of every instrument."""
        return self._ask(_SQL["last_prices"])

    def coverage(
        self,
        venue: str | None = None,
        symbol: str | None = None,
        stream: str | None = None,
        from_time: Moment | None = None,
        to_time: Moment | None = None,
    ) -> Answer:
        """Tell which time of which stream is `covered`, `repaired`, `missing` or `lost`."""
        return self._ask(_SQL["coverage"], venue, symbol, stream, moment(from_time), moment(to_time))

    def gaps(
        self,
        venue: str | None = None,
        symbol: str | None = None,
        stream: str | None = None,
        from_time: Moment | None = None,
        to_time: Moment | None = None,
    ) -> Answer:
        """List what was not recorded, with the cause and what became of it. One that lasts has no `to_time`."""
        return self._ask(_SQL["gaps"], venue, symbol, stream, moment(from_time), moment(to_time))


def moment(given: Moment | None) -> datetime | None:
    """Read a time; raises `QueryError` for what is none."""
    if given is None:
        return None
    if isinstance(given, str):
        try:
            given = datetime.fromisoformat(given)
        except ValueError:
            raise QueryError(f"{given!r} is not a time; write 2026-11-01 or 2026-11-01T09:30:00+01:00") from None
    if not isinstance(given, datetime):
        given = datetime.combine(given, time())
    return given if given.tzinfo else given.replace(tzinfo=UTC)


def interval(given: Period) -> str:
    """Write a length of time as PostgreSQL reads it; raises `QueryError` for what is none."""
    if isinstance(given, timedelta):
        return f"{given / timedelta(microseconds=1):.0f} microseconds"
    match = _PERIOD.fullmatch(given)
    if match is None:
        raise QueryError(f"{given!r} is not a length of time; write 30s, 5m, 1h, 1d, 1w or 1mo")
    return f"{match[1]} {_UNITS[match[2]]}"

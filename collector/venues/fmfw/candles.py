"""Candles, and when one of them is final.

The venue sends the current bar anew after every trade and never says that it is over. A bar is closed here when a
later bar of its series arrives, or when the clock passes its end plus a grace; it is then written once more with
`closed`, which counts as an item of its own. A bar that changes after that is written again, closed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, Self

from collector.model import PERIODS, Candle, Instrument, Records
from collector.venues.events import Event
from collector.venues.fmfw.context import Context
from collector.venues.fmfw.values import (
    FIRST_MS,
    LAST_MS,
    MILLIS,
    MOMENT,
    SIGNED_TEXT,
    UNSIGNED_TEXT,
    Rule,
    fault,
    joined,
    moment_us,
    optional,
)
from collector.venues.kit.session import NEVER_US
from collector.venues.kit.values import is_name, shorten

STREAM = "candles"

VENUE_PERIODS = {
    "M1": "1m",
    "M3": "3m",
    "M5": "5m",
    "M15": "15m",
    "M30": "30m",
    "H1": "1h",
    "H4": "4h",
    "D1": "1d",
    "D7": "1w",
    "1M": "1mo",
}
"""The venue's names of periods and ours."""

AHEAD_US = 3_600_000_000
"""A bar that opens later than this from now is stored, but does not close the present one: no clock is so wrong."""

_MONTH = PERIODS["1mo"]
_prices_and_volumes = joined(6)
_RULES = {"t": MILLIS} | dict.fromkeys("ochl", UNSIGNED_TEXT) | dict.fromkeys("vq", optional(UNSIGNED_TEXT))


def end_us(start_us: int, period: int) -> int:
    """Return when a bar is over. Only months are asked of the calendar: weeks are as long as their name says."""
    if period != _MONTH:
        return start_us + period * 1_000_000
    start = datetime.fromtimestamp(start_us // 1_000_000, UTC)
    year, month = (start.year + 1, 1) if start.month == 12 else (start.year, start.month + 1)
    return int(start.replace(year=year, month=month, day=1).timestamp()) * 1_000_000


class _Bar:
    """The newest bar of a series, as last told."""

    __slots__ = ("candle", "due_us")

    def __init__(self, candle: Candle, due_us: int) -> None:
        self.candle = candle
        self.due_us = due_us


class CandleReader:
    """The socket channels `candles` and `converted/candles` of one period."""

    __slots__ = ("_bars", "_channel", "_context", "_converted", "_period", "_seen")

    def __init__(
        self,
        context: Context,
        channel: str,
        period: int,
        *,
        converted: bool,
        bars: dict[tuple[str, str], _Bar] | None = None,
    ) -> None:
        self._context = context
        self._channel = channel
        self._period = period
        self._converted = converted
        self._seen = context.seen(channel)
        self._bars = {} if bars is None else bars

    def fork(self, context: Context) -> Self:
        bars = {key: _Bar(bar.candle, bar.due_us) for key, bar in self._bars.items()}
        return type(self)(context, self._channel, self._period, converted=self._converted, bars=bars)

    def read(self, message: dict[str, Any], payload: bytes, received_ns: int, out: Records) -> Sequence[Event] | None:
        content = message.get("update")
        snapshot = content is None
        if snapshot:
            content = message.get("snapshot")
        if type(content) is not dict:
            return None
        context = self._context
        received_us = received_ns // 1000
        series = "trade"
        if self._converted:
            target = message.get("target_currency")
            if not is_name(target):
                reason = f"target_currency: {shorten(target)} is not a currency"
                context.reject(out, STREAM, reason, payload, received_us, max(1, len(content)))
                return ()
            series = f"converted:{target}"
        for symbol, items in content.items():
            instrument = context.instruments.get(symbol) or context.admit(symbol)
            if instrument is None:
                context.reject_symbol(out, STREAM, symbol, payload, received_us, items)
                continue
            if self._converted and type(items) is dict and len(items) == 1:
                # The documentation shows the list one level deeper, under a second symbol.
                (items,) = items.values()
            if type(items) is not list:
                context.reject(out, STREAM, f"{symbol}: not a list of candles", payload, received_us)
                continue
            candles: list[Candle] = []
            for item in items:
                candle = _read(instrument, item, self._period, series, received_us)
                if isinstance(candle, str):
                    context.reject(out, STREAM, candle, payload, received_us)
                elif candle.time_us > received_us + AHEAD_US:
                    out.candles.append(candle)
                    out.items += 1
                else:
                    candles.append(candle)
            if snapshot and len(candles) > 1:
                self._take_past(candles, out)
            for candle in candles:
                self._take(candle, out)
            if candles or not items:
                self._seen[symbol] = received_ns
        return ()

    def close_due(self, received_us: int, out: Records) -> int:
        """Close every bar that is over by the clock; return when the next one will be."""
        next_us = NEVER_US
        for bar in self._bars.values():
            if bar.candle.closed:
                continue
            if bar.due_us <= received_us:
                self._close(bar, received_us, out)
            elif bar.due_us < next_us:
                next_us = bar.due_us
        return next_us

    def _take_past(self, candles: list[Candle], out: Records) -> None:
        # Leaves the newest in the list. What a snapshot says of the bar we held replaces it: had we closed ours on
        # the newest one's arrival, an older state would have been called final.
        candles.sort(key=lambda candle: candle.time_us)
        newest = candles.pop()
        for candle in candles:
            closed = candle._replace(closed=True)
            bar = self._bars.get((closed.series, closed.instrument.symbol))
            if bar is not None and bar.candle.time_us == closed.time_us:
                bar.candle = closed
            out.candles.append(closed)
        out.items += len(candles)
        candles[:] = [newest]

    def _take(self, candle: Candle, out: Records) -> None:
        key = (candle.series, candle.instrument.symbol)
        bar = self._bars.get(key)
        if bar is None or candle.time_us > bar.candle.time_us:
            if bar is not None and not bar.candle.closed:
                self._close(bar, candle.received_us, out)
            due_us = end_us(candle.time_us, self._period) + self._context.grace_us
            bar = self._bars[key] = _Bar(candle, due_us)
            if due_us <= candle.received_us:
                bar.candle = candle = candle._replace(closed=True)
            elif due_us * 1000 < self._context.due_ns:
                self._context.due_ns = due_us * 1000
        elif candle.time_us < bar.candle.time_us:
            candle = candle._replace(closed=True)
        else:
            if bar.candle.closed or bar.due_us <= candle.received_us:
                candle = candle._replace(closed=True)
            bar.candle = candle
        out.candles.append(candle)
        out.items += 1

    def _close(self, bar: _Bar, received_us: int, out: Records) -> None:
        bar.candle = bar.candle._replace(closed=True, received_us=received_us)
        out.candles.append(bar.candle)
        out.items += 1


def _read(instrument: Instrument, item: Any, period: int, series: str, received_us: int) -> Candle | str:
    try:
        t = item["t"]
        opening = item["o"]
        close = item["c"]
        high = item["h"]
        low = item["l"]
        volume = item["v"]
        quote_volume = item["q"]
        well = (
            type(t) is int
            and FIRST_MS <= t <= LAST_MS
            and _prices_and_volumes("|".join((opening, close, high, low, volume, quote_volume)))
        )
    except (KeyError, TypeError):
        well = None
    if not well:
        reason = fault(item, _RULES)
        if reason is not None:
            return reason
        t, opening, close, high, low = (item[name] for name in "tochl")
        volume, quote_volume = item.get("v"), item.get("q")
    return Candle(
        instrument, t * 1000, period, series, opening, high, low, close, volume, quote_volume, None, False, received_us
    )


class RestCandles(NamedTuple):
    """How one REST path tells candles. A premium can be negative, and only traded bars have volumes."""

    series: str
    rules: Mapping[str, Rule]

    def read(
        self,
        instrument: Instrument,
        items: Any,
        period: int,
        context: Context,
        body: bytes,
        received_us: int,
        out: Records,
    ) -> None:
        """Read one symbol's list in whatever order: all bars but the newest are final, that one by the clock."""
        if type(items) is not list:
            context.reject(out, STREAM, f"{instrument.symbol}: not a list of candles", body, received_us)
            return
        candles = []
        for item in items:
            reason = fault(item, self.rules)
            time_us = None if reason else moment_us(item["timestamp"])
            if time_us is None:
                context.reject(out, STREAM, reason or "not a candle", body, received_us)
                continue
            candles.append(
                Candle(
                    instrument,
                    time_us,
                    period,
                    self.series,
                    item["open"],
                    item["max"],
                    item["min"],
                    item["close"],
                    item.get("volume"),
                    item.get("volume_quote"),
                    None,
                    False,
                    received_us,
                )
            )
        newest_us = max((candle.time_us for candle in candles), default=0)
        for candle in sorted(candles, key=lambda candle: candle.time_us):
            over = candle.time_us < newest_us or end_us(candle.time_us, period) + context.grace_us <= received_us
            out.candles.append(candle._replace(closed=True) if over else candle)
        out.items += len(candles)


def rest_candles(series: str, *, signed: bool = False) -> RestCandles:
    """Return the reader of a series; `signed` where its values can be negative."""
    rule = SIGNED_TEXT if signed else UNSIGNED_TEXT
    rules = {"timestamp": MOMENT} | dict.fromkeys(("open", "close", "min", "max"), rule)
    return RestCandles(series, rules | dict.fromkeys(("volume", "volume_quote"), optional(UNSIGNED_TEXT)))

"""Candles, and when one of them is final.

The venue sends the current bar anew after every trade and never says that it is over: see `collector.venues.kit.bars`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

from collector.model import Candle, Instrument, Records
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
from collector.venues.kit.bars import AHEAD_US, SHORT_PERIODS, OpenBars, end_us
from collector.venues.kit.values import is_name, shorten

STREAM = "candles"

# The venue's names of periods and ours.
VENUE_PERIODS = SHORT_PERIODS | {"D1": "1d", "D7": "1w", "1M": "1mo"}

_prices_and_volumes = joined(6)
_RULES = {"t": MILLIS} | dict.fromkeys("ochl", UNSIGNED_TEXT) | dict.fromkeys("vq", optional(UNSIGNED_TEXT))


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
        bars: OpenBars | None = None,
    ) -> None:
        self._context = context
        self._channel = channel
        self._period = period
        self._converted = converted
        self._seen = context.seen(channel)
        self._bars = OpenBars(end_us, context.grace_us) if bars is None else bars

    def fork(self, context: Context) -> Self:
        return type(self)(context, self._channel, self._period, converted=self._converted, bars=self._bars.fork())

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
                self._bars.take((series, symbol), candle, out)
            if candles or not items:
                self._seen[symbol] = received_ns
        context.due_ns = min(context.due_ns, self._bars.due_us * 1000)
        return ()

    def close_due(self, received_us: int, out: Records) -> int:
        """Close every bar that is over by the clock; return when the next one will be."""
        return self._bars.close_due(received_us, out)

    def _take_past(self, candles: list[Candle], out: Records) -> None:
        # Leaves the newest in the list. What a snapshot says of the bar we held replaces it: had we closed ours on
        # the newest one's arrival, an older state would have been called final.
        candles.sort(key=lambda candle: candle.time_us)
        newest = candles.pop()
        for candle in candles:
            closed = candle._replace(closed=True)
            self._bars.replace((closed.series, closed.instrument.symbol), closed)
            out.candles.append(closed)
        out.items += len(candles)
        candles[:] = [newest]


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

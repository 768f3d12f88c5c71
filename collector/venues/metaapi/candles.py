"""Reads candles, and decides when a bar is final.

The venue sends the current bar again and again while it grows, and never says that it is over. A bar is closed when a
later bar of its series arrives, or when the clock passes its end plus a grace period while the terminal is connected
to its broker. It is then stored once more with `closed`, which counts as an item. If packets may have been missed
around its end, the bar is forgotten instead, since its last state may be incomplete.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from collector.model import Candle, Instrument, Records
from collector.venues.kit.bars import AHEAD_US, OpenBars
from collector.venues.kit.values import shorten
from collector.venues.metaapi.periods import VENUE_PERIODS
from collector.venues.metaapi.values import decimal, time_us, whole

# The largest value of PostgreSQL's integer, the type of `candles.trades`.
_INT4_MAX = 2**31 - 1


def read_candle(instrument: Instrument, item: Mapping[str, Any], series: str, received_us: int) -> Candle | str:
    """Return the row of a candle, or a text that says what is wrong with the item.

    MetaTrader's tick volume, the number of price changes in the bar, is stored as the row's `trades`.
    """
    at_us = time_us(item.get("time"))
    if at_us is None:
        return f"time: {shorten(item.get('time'))} is not a time between the years 2000 and 2100"
    name = item.get("timeframe")
    period = VENUE_PERIODS.get(name) if type(name) is str else None
    if period is None:
        return f"timeframe: {shorten(name)} is not a period of this venue"
    opening, high = decimal(item.get("open")), decimal(item.get("high"))
    low, close = decimal(item.get("low")), decimal(item.get("close"))
    if opening is None or high is None or low is None or close is None:
        field = next(field for field in ("open", "high", "low", "close") if decimal(item.get(field)) is None)
        return f"{field}: {shorten(item.get(field))} is not a number"
    raw_volume, raw_ticks = item.get("volume"), item.get("tickVolume")
    volume = None if raw_volume is None else decimal(raw_volume)
    if raw_volume is not None and volume is None:
        return f"volume: {shorten(raw_volume)} is not a number"
    ticks = None if raw_ticks is None else whole(raw_ticks)
    if raw_ticks is not None and (ticks is None or not 0 <= ticks <= _INT4_MAX):
        return f"tickVolume: {shorten(raw_ticks)} is not a count"
    return Candle(instrument, at_us, period, series, opening, high, low, close, volume, None, ticks, False, received_us)


class Bars(OpenBars):
    """The newest bar of each series (symbol and period) of one account."""

    __slots__ = ()

    def store(self, candle: Candle, out: Records, *, late: bool) -> None:
        """Store a candle.

        `late`: its packet came after later ones. Such a candle is left out unless it opens a newer bar, since it would
        put an older state of its bar in the place of a newer one.
        """
        key = candle.instrument.symbol, candle.period
        if late:
            newest = self.newest(key)
            if newest is not None and newest.time_us >= candle.time_us:
                return
        # A bar that opens far in the future, by a fault of the broker's clock, must not close the present one.
        if candle.time_us > candle.received_us + AHEAD_US:
            out.candles.append(candle)
            out.items += 1
        else:
            self.take(key, candle, out)

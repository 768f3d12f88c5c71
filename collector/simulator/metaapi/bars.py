"""Bars of all of MetaTrader's periods, kept up to date tick by tick. They open by the broker's clock."""

from array import array
from bisect import bisect_right
from datetime import UTC, datetime
from typing import Final

from collector.simulator.metaapi.symbols import Symbol
from collector.simulator.metaapi.text import broker, utc

_MINUTE: Final = 60_000
_DAY: Final = 86_400_000
_WEEK: Final = 7 * _DAY
_FIRST_SUNDAY: Final = 3 * _DAY  # 1970-01-04

MT5: Final = {
    "1m": _MINUTE,
    "2m": 2 * _MINUTE,
    "3m": 3 * _MINUTE,
    "4m": 4 * _MINUTE,
    "5m": 5 * _MINUTE,
    "6m": 6 * _MINUTE,
    "10m": 10 * _MINUTE,
    "12m": 12 * _MINUTE,
    "15m": 15 * _MINUTE,
    "20m": 20 * _MINUTE,
    "30m": 30 * _MINUTE,
    "1h": 60 * _MINUTE,
    "2h": 120 * _MINUTE,
    "3h": 180 * _MINUTE,
    "4h": 240 * _MINUTE,
    "6h": 360 * _MINUTE,
    "8h": 480 * _MINUTE,
    "12h": 720 * _MINUTE,
    "1d": _DAY,
    "1w": _WEEK,
    "1mn": 30 * _DAY,
}
MT4: Final = ("1m", "5m", "15m", "30m", "1h", "4h", "1d", "1w", "1mn")


def opening(timeframe: str, time_ms: int, offset_ms: int) -> int:
    """Return the UTC time at which the bar that holds a moment opens."""
    local = time_ms + offset_ms
    if timeframe == "1mn":
        moment = datetime.fromtimestamp(local // 1000, UTC)
        start = int(moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp() * 1000)
    elif timeframe == "1w":
        start = (local - _FIRST_SUNDAY) // _WEEK * _WEEK + _FIRST_SUNDAY
    else:
        start = local - local % MT5[timeframe]
    return start - offset_ms


class Bar:
    """One bar; prices in units."""

    __slots__ = ("close", "end", "high", "low", "open", "spread", "start", "ticks", "volume")

    def __init__(self, start: int, end: int, price: int, spread: int) -> None:
        self.start = start
        self.end = end
        self.open = self.high = self.low = self.close = price
        self.ticks = self.volume = 0
        self.spread = spread

    def json(self, symbol: Symbol, timeframe: str, offset_ms: int) -> str:
        """Write the bar as the venue does."""
        price = symbol.price
        return (
            f'{{"symbol":"{symbol.name}","timeframe":"{timeframe}","time":"{utc(self.start)}",'
            f'"brokerTime":"{broker(self.start + offset_ms)}","open":{price(self.open)},"high":{price(self.high)},'
            f'"low":{price(self.low)},"close":{price(self.close)},"tickVolume":{self.ticks},"spread":{self.spread},'
            f'"volume":{self.volume}}}'
        )


class Series:
    """All bars of one symbol."""

    def __init__(self, offset_ms: int) -> None:
        self._offset_ms = offset_ms
        self.bars: dict[str, list[Bar]] = {timeframe: [] for timeframe in MT5}
        self._starts: dict[str, array[int]] = {timeframe: array("q") for timeframe in MT5}

    def add(self, time_ms: int, price: int, spread: int, volume: int) -> None:
        """Let a tick take its effect on the current bar of every period."""
        for timeframe, bars in self.bars.items():
            bar = bars[-1] if bars else None
            if bar is None or time_ms >= bar.end:
                start = opening(timeframe, time_ms, self._offset_ms)
                length = MT5[timeframe]
                if timeframe == "1mn":
                    length = opening(timeframe, start + 40 * _DAY, self._offset_ms) - start
                bar = Bar(start, start + length, price, spread)
                bars.append(bar)
                self._starts[timeframe].append(start)
            bar.high = max(bar.high, price)
            bar.low = min(bar.low, price)
            bar.close = price
            bar.ticks += 1
            bar.volume += volume

    def until(self, timeframe: str, time_ms: int, limit: int) -> list[Bar]:
        """Return the last bars that open at or before a time, the oldest first."""
        end = bisect_right(self._starts[timeframe], time_ms)
        return self.bars[timeframe][max(0, end - limit) : end]

"""Bars of one series: minutes are kept, every longer period is folded from them, so they can never disagree.

D7 begins on Monday and 1M on the first of the month, both UTC.  Bars without trades do not exist.
"""

from bisect import bisect_left
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from collector.simulator.kit import bars

MINUTE_MS: Final = 60_000
_DAY_MS: Final = 1_440 * MINUTE_MS
_MONDAY_MS: Final = 4 * _DAY_MS  # 5 January 1970
# Minutes of a series that are kept: five weeks.
_MINUTES_MAX: Final = 50_000

PERIODS: Final = {
    "M1": MINUTE_MS,
    "M3": 3 * MINUTE_MS,
    "M5": 5 * MINUTE_MS,
    "M15": 15 * MINUTE_MS,
    "M30": 30 * MINUTE_MS,
    "H1": 60 * MINUTE_MS,
    "H4": 240 * MINUTE_MS,
    "D1": _DAY_MS,
    "D7": 7 * _DAY_MS,
    "1M": 0,
}


def period_start(period: str, time_ms: int) -> int:
    """Give the opening time of the bar that `time_ms` falls into."""
    if period == "1M":
        moment = datetime.fromtimestamp(time_ms // 1000, UTC)
        return int(datetime(moment.year, moment.month, 1, tzinfo=UTC).timestamp()) * 1000
    length = PERIODS[period]
    if period == "D7":
        return time_ms - (time_ms - _MONDAY_MS) % length
    return time_ms - time_ms % length


def period_end(period: str, start_ms: int) -> int:
    """Give the opening time of the bar after the one that opens at `start_ms`."""
    if period == "1M":
        return period_start(period, start_ms + 32 * _DAY_MS)
    return start_ms + PERIODS[period]


class Bar(bars.Bar):
    """One bar in the instrument's units."""

    __slots__ = ()

    def add(self, price: int, size: int) -> None:
        self.close = price
        if price > self.high:
            self.high = price
        elif price < self.low:
            self.low = price
        self.volume += size
        self.value += price * size
        self.count += 1

    def copy(self, start: int) -> "Bar":
        twin = Bar(start, self.open)
        twin.close, twin.high, twin.low = self.close, self.high, self.low
        twin.volume, twin.value, twin.count = self.volume, self.value, self.count
        return twin


def fold(minutes: Iterable[Bar], period: str) -> list[Bar]:
    """Join ascending minutes into ascending bars of `period`."""
    bars: list[Bar] = []
    for minute in minutes:
        start = period_start(period, minute.start)
        if bars and bars[-1].start == start:
            bars[-1].append(minute)
        else:
            bars.append(minute.copy(start))
    return bars


class Series:
    """The bars of one symbol and kind."""

    __slots__ = ("_live", "minutes")

    def __init__(self) -> None:
        self.minutes: list[Bar] = []
        self._live: dict[str, Bar] = {}

    def add(self, time_ms: int, price: int, size: int) -> None:
        """Count one trade, or one sample of a value when `size` is 0.  Times must not go back."""
        start = time_ms - time_ms % MINUTE_MS
        minutes = self.minutes
        if not minutes or minutes[-1].start != start:
            minutes.append(Bar(start, price))
            if len(minutes) > _MINUTES_MAX * 1.1:
                del minutes[: len(minutes) - _MINUTES_MAX]
        minutes[-1].add(price, size)
        for period, bar in self._live.items():
            start = period_start(period, time_ms)
            if bar.start != start:
                self._live[period] = bar = Bar(start, price)
            bar.add(price, size)

    def current(self, period: str) -> Bar | None:
        """Give the newest bar; from then on it is kept up to date trade by trade."""
        if period == "M1":
            return self.minutes[-1] if self.minutes else None
        if period not in self._live and self.minutes:
            start = period_start(period, self.minutes[-1].start)
            self._live[period] = fold(self.minutes[self._first(start) :], period)[-1]
        return self._live.get(period)

    def bars(self, period: str, from_ms: int | None = None, till_ms: int | None = None) -> list[Bar]:
        """List the bars that open within from_ms..till_ms, both included, ascending."""
        low = 0 if from_ms is None else self._first(period_start(period, from_ms))
        high = len(self.minutes) if till_ms is None else self._first(period_end(period, period_start(period, till_ms)))
        minutes = self.minutes[low:high]
        folded = minutes if period == "M1" else fold(minutes, period)
        return [
            bar
            for bar in folded
            if (from_ms is None or bar.start >= from_ms) and (till_ms is None or bar.start <= till_ms)
        ]

    def close_before(self, time_ms: int) -> int | None:
        """Give the last close of a minute that opened before `time_ms`, else the first open of all."""
        position = self._first(time_ms)
        if position:
            return self.minutes[position - 1].close
        return self.minutes[0].open if self.minutes else None

    def _first(self, start_ms: int) -> int:
        return bisect_left(self.minutes, start_ms, key=lambda bar: bar.start)

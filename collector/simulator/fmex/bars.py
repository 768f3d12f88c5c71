"""Bars of one contract: minutes are kept, every longer period is folded from them, so they can never disagree.

Bars without trades exist here, with the last close as their prices. Days, weeks and months begin at midnight in UTC+8.
"""

from datetime import UTC, datetime
from typing import Final

from collector.simulator.kit import bars
from collector.simulator.kit.periods import SHORT_PERIODS_SECONDS

MINUTE_MS: Final = 60_000
_HOUR_MS: Final = 60 * MINUTE_MS
_DAY_MS: Final = 24 * _HOUR_MS
_CHINA_MS: Final = 8 * _HOUR_MS
_MONDAY_MS: Final = 4 * _DAY_MS  # 5 January 1970
# Minutes of a contract that are kept.
_MINUTES_MAX: Final = 24 * 60

SECONDS: Final = SHORT_PERIODS_SECONDS | {"H6": 21600, "D1": 86400, "W1": 604800, "MN": 2_592_000}


def period_start(period: str, time_ms: int) -> int:
    """Give the opening time of the bar that `time_ms` falls into."""
    local = time_ms + _CHINA_MS
    if period == "MN":
        moment = datetime.fromtimestamp(local // 1000, UTC)
        return int(datetime(moment.year, moment.month, 1, tzinfo=UTC).timestamp()) * 1000 - _CHINA_MS
    if period == "W1":
        return local - (local - _MONDAY_MS) % (7 * _DAY_MS) - _CHINA_MS
    return local - local % (SECONDS[period] * 1000) - _CHINA_MS


class Bar(bars.Bar):
    """One bar: prices in ticks, `volume` in contracts, `value` in 10**-18 BTC; `seq` grows with each change."""

    __slots__ = ("seq",)

    def __init__(self, start: int, price: int) -> None:
        super().__init__(start, price)
        self.seq = 0

    def add(self, price: int, volume: int, value: int, seq: int) -> None:
        if not self.count:
            self.open = self.high = self.low = price
        self.close = price
        self.high = max(self.high, price)
        self.low = min(self.low, price)
        self.volume += volume
        self.value += value
        self.count += 1
        self.seq = seq

    def merge(self, later: "Bar") -> None:
        """Take a bar that follows this one in; one without trades tells nothing."""
        if later.count:
            if not self.count:
                self.open, self.high, self.low = later.open, later.high, later.low
            self.append(later)
        self.seq = max(self.seq, later.seq)


class Minutes:
    """The minutes of the last day, without holes."""

    def __init__(self, start_ms: int, price: int) -> None:
        self._bars = [Bar(start_ms - start_ms % MINUTE_MS, price)]

    def __repr__(self) -> str:
        return f"<Minutes {len(self._bars)}>"

    def roll(self, now_ms: int, seq: int) -> None:
        """Begin the minutes that have begun by now."""
        bars = self._bars
        while bars[-1].start + MINUTE_MS <= now_ms:
            bar = Bar(bars[-1].start + MINUTE_MS, bars[-1].close)
            bar.seq = seq
            bars.append(bar)
        if len(bars) > _MINUTES_MAX * 1.1:
            del bars[: len(bars) - _MINUTES_MAX]

    def add(self, price: int, volume: int, value: int, seq: int) -> None:
        """Count a trade into the newest minute."""
        self._bars[-1].add(price, volume, value, seq)

    def current(self, period: str) -> Bar:
        """Give the running bar."""
        newest = self._bars[-1]
        return newest if period == "M1" else self._fold(period_start(period, newest.start), len(self._bars))

    def bars(self, period: str, before_ms: int | None, limit: int) -> list[Bar]:
        """List the last bars that open before a time, oldest first."""
        found: list[Bar] = []
        end = len(self._bars)
        while end and len(found) < limit:
            start_ms = period_start(period, self._bars[end - 1].start)
            bar = self._fold(start_ms, end)
            end = self._place(start_ms)
            if before_ms is None or start_ms < before_ms:
                found.append(bar)
        return found[::-1]

    def day(self) -> Bar:
        """Give one bar over all that is kept."""
        return self._fold(self._bars[0].start, len(self._bars))

    def _place(self, start_ms: int) -> int:
        return max(0, (start_ms - self._bars[0].start) // MINUTE_MS)

    def _fold(self, start_ms: int, end: int) -> Bar:
        minutes = self._bars[self._place(start_ms) : end]
        bar = Bar(start_ms, minutes[0].open)
        bar.close = minutes[0].close
        for minute in minutes:
            bar.merge(minute)
        return bar

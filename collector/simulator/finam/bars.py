"""Bars out of trades: minutes are kept, longer frames are summed up from them when asked for.

Days and longer begin at midnight in Moscow, as the venue's do.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

MINUTE_US: Final = 60_000_000
_MOSCOW: Final = timedelta(hours=3)

# Minutes of each frame; 0 where the calendar decides.
FRAME_MINUTES: Final = {
    "TIME_FRAME_M1": 1,
    "TIME_FRAME_M5": 5,
    "TIME_FRAME_M15": 15,
    "TIME_FRAME_M30": 30,
    "TIME_FRAME_H1": 60,
    "TIME_FRAME_H2": 120,
    "TIME_FRAME_H4": 240,
    "TIME_FRAME_H8": 480,
    "TIME_FRAME_D": 1440,
    "TIME_FRAME_W": 0,
    "TIME_FRAME_MN": 0,
    "TIME_FRAME_QR": 0,
}

# The longest span of one request by frame; 30 days for the others.
SPAN_MAX_DAYS: Final = {
    "TIME_FRAME_M1": 7,
    "TIME_FRAME_D": 365,
    "TIME_FRAME_W": 1825,
    "TIME_FRAME_MN": 1825,
    "TIME_FRAME_QR": 1825,
}

NUMBERS: Final = {
    1: "TIME_FRAME_M1",
    5: "TIME_FRAME_M5",
    9: "TIME_FRAME_M15",
    11: "TIME_FRAME_M30",
    12: "TIME_FRAME_H1",
    13: "TIME_FRAME_H2",
    15: "TIME_FRAME_H4",
    17: "TIME_FRAME_H8",
    19: "TIME_FRAME_D",
    20: "TIME_FRAME_W",
    21: "TIME_FRAME_MN",
    22: "TIME_FRAME_QR",
}


class Bar:
    """One bar; prices and volume as the market counts them."""

    __slots__ = ("close", "high", "low", "open", "start_us", "volume")

    def __init__(self, start_us: int, price: int, size: int) -> None:
        self.start_us = start_us
        self.open = self.high = self.low = self.close = price
        self.volume = size

    def add(self, high: int, low: int, close: int, volume: int) -> None:
        self.high = max(self.high, high)
        self.low = min(self.low, low)
        self.close = close
        self.volume += volume

    def copy(self, start_us: int) -> "Bar":
        bar = Bar(start_us, self.open, self.volume)
        bar.high, bar.low, bar.close = self.high, self.low, self.close
        return bar


def frame_start(frame: str, time_us: int) -> int:
    """Give the opening of the bar that holds a time."""
    minutes = FRAME_MINUTES[frame]
    if minutes and minutes < 1440:
        return time_us - time_us % (minutes * MINUTE_US)
    local = datetime.fromtimestamp(time_us // 1_000_000, UTC) + _MOSCOW
    day = local.replace(hour=0, minute=0, second=0)
    if frame == "TIME_FRAME_W":
        day -= timedelta(days=day.weekday())
    elif frame == "TIME_FRAME_MN":
        day = day.replace(day=1)
    elif frame == "TIME_FRAME_QR":
        day = day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1)
    return int((day - _MOSCOW).timestamp()) * 1_000_000


class Series:
    """The minutes of one market, oldest first."""

    def __init__(self) -> None:
        self.minutes: list[Bar] = []

    def add(self, time_us: int, price: int, size: int) -> None:
        start = time_us - time_us % MINUTE_US
        if self.minutes and self.minutes[-1].start_us == start:
            self.minutes[-1].add(price, price, price, size)
        else:
            self.minutes.append(Bar(start, price, size))

    def bars(self, frame: str, from_us: int, to_us: int) -> list[Bar]:
        """List the bars that open from `from_us` on and before `to_us`."""
        found: list[Bar] = []
        for minute in self.minutes:
            start = frame_start(frame, minute.start_us)
            if not from_us <= start < to_us:
                continue
            if found and found[-1].start_us == start:
                found[-1].add(minute.high, minute.low, minute.close, minute.volume)
            else:
                found.append(minute.copy(start))
        return found

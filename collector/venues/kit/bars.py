"""The open bar of each series, for venues that send it anew while it grows and never say that it is over.

A bar is closed when a later one of its series arrives, or when the clock passes its end plus a grace; it is then
written once more with `closed`, which counts as an item of its own. A bar that changes after that is written again,
closed.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from datetime import UTC, datetime
from typing import Any, Final, Protocol, Self

from collector.model import PERIODS, Candle, Records
from collector.venues.header import SessionHeader
from collector.venues.kit.session import NEVER_US

# A bar that opens later than this from now is stored, but does not close the present one: no clock is so wrong.
AHEAD_US: Final = 3_600_000_000


# How long after its end a bar stays open for late updates, where a journal of an older program does not tell.
DEFAULT_GRACE_US: Final = 5_000_000

# Periods that FMFW and FMex call alike, with our names of them.
SHORT_PERIODS: Final = {
    "M1": "1m",
    "M3": "3m",
    "M5": "5m",
    "M15": "15m",
    "M30": "30m",
    "H1": "1h",
    "H4": "4h",
}
_MONTH: Final = PERIODS["1mo"]


class ClosesBars(Protocol):
    """Settings that say how long a bar stays open after its end."""

    @property
    def grace_seconds(self) -> float: ...


def grace_entry(settings: ClosesBars) -> dict[str, Any]:
    """Return what a session's header says of the grace: `grace_us` reads it."""
    return {"candle_grace_us": round(settings.grace_seconds * 1_000_000)}


def grace_us(header: SessionHeader) -> int:
    """Return how long after its end a bar of this session stays open, in microseconds."""
    return int(header.own.get("candle_grace_us", DEFAULT_GRACE_US))


def end_us(start_us: int, period: int, shift_us: int = 0) -> int:
    """Return when a bar is over: months go by the calendar, all others, weeks too, are as long as their name says.

    The venue's clock is `shift_us` ahead of UTC.
    """
    return month_end_us(start_us, shift_us) if period == _MONTH else start_us + period * 1_000_000


def month_end_us(start_us: int, shift_us: int = 0) -> int:
    """Return when the month is over that begins at a moment; the venue's clock is `shift_us` ahead of UTC."""
    start = datetime.fromtimestamp((start_us + shift_us) // 1_000_000, UTC)
    year, month = (start.year + 1, 1) if start.month == 12 else (start.year, start.month + 1)
    return int(start.replace(year=year, month=month, day=1).timestamp()) * 1_000_000 - shift_us


class _Bar:
    """The newest bar of a series, as last told, and when it is over with the grace."""

    __slots__ = ("candle", "due_us")

    def __init__(self, candle: Candle, due_us: int) -> None:
        self.candle = candle
        self.due_us = due_us


class OpenBars:
    """The newest bar of each series. `end_us` tells when a bar of an opening and a period is over."""

    __slots__ = ("_bars", "_end_us", "_grace_us", "due_us")

    def __init__(self, end_us: Callable[[int, int], int], grace_us: int) -> None:
        self._end_us = end_us
        self._grace_us = grace_us
        self._bars: dict[Hashable, _Bar] = {}
        self.due_us = NEVER_US
        """No bar is over by the clock before."""

    def fork(self) -> Self:
        copy = type(self)(self._end_us, self._grace_us)
        copy._bars.update((key, _Bar(bar.candle, bar.due_us)) for key, bar in self._bars.items())  # noqa: SLF001
        copy.due_us = self.due_us
        return copy

    def forget(self) -> None:
        """Bars may have grown unseen: none of those in hand may be called final."""
        self._bars.clear()
        self.due_us = NEVER_US

    def newest(self, key: Hashable) -> Candle | None:
        """Return the newest bar of a series, as last told."""
        bar = self._bars.get(key)
        return None if bar is None else bar.candle

    def replace(self, key: Hashable, candle: Candle) -> None:
        """Let this be what was last told of the newest bar of its series, if that is the one."""
        bar = self._bars.get(key)
        if bar is not None and bar.candle.time_us == candle.time_us:
            bar.candle = candle

    def take(self, key: Hashable, candle: Candle, out: Records) -> None:
        """Store a state of a bar."""
        bar = self._bars.get(key)
        if bar is None or candle.time_us > bar.candle.time_us:
            if bar is not None and not bar.candle.closed:
                _close(bar, candle.received_us, out)
            due_us = self._end_us(candle.time_us, candle.period) + self._grace_us
            if due_us <= candle.received_us:
                candle = candle._replace(closed=True)
            elif due_us < self.due_us:
                self.due_us = due_us
            self._bars[key] = _Bar(candle, due_us)
        elif candle.time_us < bar.candle.time_us:
            candle = candle._replace(closed=True)
        else:  # the bar in hand has grown, as nearly always
            if bar.candle.closed or bar.due_us <= candle.received_us:
                candle = candle._replace(closed=True)
            bar.candle = candle
        out.candles.append(candle)
        out.items += 1

    def close_due(self, received_us: int, out: Records) -> int:
        """Close every bar that is over by the clock; return when the next one will be."""
        next_us = NEVER_US
        for bar in self._bars.values():
            if bar.candle.closed:
                continue
            if bar.due_us <= received_us:
                _close(bar, received_us, out)
            elif bar.due_us < next_us:
                next_us = bar.due_us
        self.due_us = next_us
        return next_us


def _close(bar: _Bar, received_us: int, out: Records) -> None:
    bar.candle = bar.candle._replace(closed=True, received_us=received_us)
    out.candles.append(bar.candle)
    out.items += 1

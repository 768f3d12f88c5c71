"""When an instrument's market is open, and when the whole venue is away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

from collector.venues.finam.values import time_us

MINUTE_US = 60_000_000
DAY_US = 86_400_000_000
# A market that shows something new while its schedule says closed is taken for open for so long.
ACTIVE_US = 5 * MINUTE_US


class Session(NamedTuple):
    """One session of a day, [begin, end)."""

    begin_us: int
    end_us: int


class Hours:
    """One instrument's sessions, of the days that the venue has told. Before the first answer it may be open."""

    __slots__ = ("_active_until_us", "_sessions", "known")

    def __init__(self, sessions: Sequence[Session] | None = None, active_until_us: int = 0) -> None:
        self._sessions = sessions or ()
        self._active_until_us = active_until_us
        self.known = sessions is not None

    def fork(self) -> Self:
        return type(self)(self._sessions if self.known else None, self._active_until_us)

    def learn(self, content: Mapping[str, Any]) -> None:
        """Take a schedule. A session of a kind that we do not know may be open; only `CLOSED` is not."""
        sessions = content.get("sessions")
        found = []
        for item in sessions if type(sessions) is list else ():
            interval = item.get("interval") if type(item) is dict else None
            if type(interval) is not dict or "CLOSED" in str(item.get("type")).upper():
                continue
            begin, end = time_us(interval.get("start_time")), time_us(interval.get("end_time"))
            if begin is not None and end is not None and end > begin:
                found.append(Session(begin, end))
        if type(sessions) is list:
            self._sessions, self.known = sorted(found), True

    def stir(self, now_us: int) -> None:
        """Something new came: whatever the schedule says, the market moves."""
        self._active_until_us = now_us + ACTIVE_US

    def open(self, now_us: int) -> bool:
        """Tell whether the market may be open."""
        if not self.known or now_us < self._active_until_us:
            return True
        return any(begin <= now_us < end for begin, end in self._sessions)

    def opens_us(self, now_us: int) -> int | None:
        """Return when the next session begins; None where the venue has not told of any."""
        return min((begin for begin, _ in self._sessions if begin > now_us), default=None)

    def closes_us(self, time_us: int) -> int:
        """Return when the market that is open at this time closes, sessions that meet taken as one; else the time."""
        end_us = time_us
        for begin, end in self._sessions:
            if begin <= end_us < end:
                end_us = end
        return end_us

    def outdated(self, now_us: int) -> bool:
        """Tell whether the last session that we know of is over."""
        return self.known and not any(end > now_us for _, end in self._sessions)


class Maintenance:
    """The daily window, in minutes of the UTC day, in which the venue is left alone."""

    __slots__ = ("_begin", "_end")

    def __init__(self, window: Sequence[int] | None) -> None:
        self._begin, self._end = window or (0, 0)

    def seconds_left(self, now_us: int) -> float:
        """Return how long it lasts from now on; 0 outside of it."""
        length = (self._end - self._begin) % 1440 * MINUTE_US
        into = (now_us - self._begin * MINUTE_US) % DAY_US
        return (length - into) / 1e6 if into < length else 0.0

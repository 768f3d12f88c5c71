"""When an instrument's market is open, and when the whole venue is down for its daily maintenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

from collector.venues.finam.values import time_us

MINUTE_US = 60_000_000
DAY_US = 86_400_000_000
# A market whose schedule says closed counts as open for this long after new data came from it. Longer would poll a
# closed market at the full pace for nothing; shorter would slow down between the trades of a quiet one.
MARKET_ACTIVE_US = 5 * MINUTE_US


class Session(NamedTuple):
    """One trading session, from `begin_us` (included) to `end_us` (excluded)."""

    begin_us: int
    end_us: int


class Hours:
    """One instrument's trading sessions, of the days for which the venue gave a schedule.

    Before the first schedule (`known` is false) the market counts as open.
    """

    __slots__ = ("_active_until_us", "_sessions", "known")

    def __init__(self, sessions: Sequence[Session] | None = None, active_until_us: int = 0) -> None:
        self._sessions = sessions or ()
        self._active_until_us = active_until_us
        self.known = sessions is not None

    def fork(self) -> Self:
        return type(self)(self._sessions if self.known else None, self._active_until_us)

    def learn(self, content: Mapping[str, Any]) -> None:
        """Take over a schedule. Sessions of unknown types count as open; only those with `CLOSED` in it do not."""
        sessions = content.get("sessions")
        open_sessions = []
        for item in sessions if type(sessions) is list else ():
            interval = item.get("interval") if type(item) is dict else None
            if type(interval) is not dict or "CLOSED" in str(item.get("type")).upper():
                continue
            begin, end = time_us(interval.get("start_time")), time_us(interval.get("end_time"))
            if begin is not None and end is not None and end > begin:
                open_sessions.append(Session(begin, end))
        if type(sessions) is list:
            self._sessions, self.known = sorted(open_sessions), True

    def note_activity(self, now_us: int) -> None:
        """New data came: the market is active, whatever the schedule says."""
        self._active_until_us = now_us + MARKET_ACTIVE_US

    def is_open(self, now_us: int) -> bool:
        """Whether the market may be open."""
        if not self.known or now_us < self._active_until_us:
            return True
        return any(begin <= now_us < end for begin, end in self._sessions)

    def next_opening_us(self, now_us: int) -> int | None:
        """Return when the next session begins; None where the schedule has none."""
        return min((begin for begin, _ in self._sessions if begin > now_us), default=None)

    def closing_us(self, time_us: int) -> int:
        """Return when the market that is open at `time_us` closes; `time_us` itself where it is closed.

        Sessions that follow each other without a pause count as one.
        """
        end_us = time_us
        for begin, end in self._sessions:
            if begin <= end_us < end:
                end_us = end
        return end_us

    def outdated(self, now_us: int) -> bool:
        """Whether the last session of the schedule is over."""
        return self.known and not any(end > now_us for _, end in self._sessions)


class Maintenance:
    """The daily window in which the venue is not called. `window`: its begin and end in minutes of the UTC day."""

    __slots__ = ("_begin", "_end")

    def __init__(self, window: Sequence[int] | None) -> None:
        self._begin, self._end = window or (0, 0)

    def seconds_left(self, now_us: int) -> float:
        """Return how long the window still lasts; 0 outside of it."""
        length_us = (self._end - self._begin) % 1440 * MINUTE_US
        elapsed_us = (now_us - self._begin * MINUTE_US) % DAY_US
        return (length_us - elapsed_us) / 1e6 if elapsed_us < length_us else 0.0

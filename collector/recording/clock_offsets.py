"""Estimates how far a venue's clock is from ours, from the times in its records.

`received - time` of a record is its delay on the way plus the offset of our clock against the venue's. The smallest
value of a minute has the least delay, and so is closest to the offset. If it is negative, the venue's clock is ahead.
"""

from __future__ import annotations

from typing import NamedTuple

# The smallest offset of a minute is kept: the message that was delayed least tells the clocks' difference best.
WINDOW_NS = 60_000_000_000


class _Least(NamedTuple):
    window: int
    us: int


class ClockOffsets:
    """The smallest `received - time` of each venue, for the current minute and the one before."""

    def __init__(self) -> None:
        self._now: dict[str, _Least] = {}
        self._before: dict[str, _Least] = {}

    def note(self, venue: str, time_us: int, received_us: int) -> None:
        """Take one record into account."""
        window, us = received_us * 1000 // WINDOW_NS, received_us - time_us
        known = self._now.get(venue)
        if known is None or known.window != window:
            if known is not None:
                self._before[venue] = known
            self._now[venue] = _Least(window, us)
        elif us < known.us:
            self._now[venue] = _Least(window, us)

    def seconds(self, venue: str, now_ns: int) -> float | None:
        """Return the smallest value of the last one to two minutes; None where no record came."""
        window = now_ns // WINDOW_NS
        known = [one.us for one in (self._now.get(venue), self._before.get(venue)) if one and one.window >= window - 1]
        return min(known) / 1e6 if known else None

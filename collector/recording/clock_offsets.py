"""How far a venue's clock is from ours, as far as its records tell.

A record is received after it happened, so `received - time` is the way's length plus what our clock is ahead of the
venue's. The least of a minute is closest to the clocks' difference: below zero, the venue's clock is ahead for certain.
"""

from __future__ import annotations

from typing import NamedTuple

# The smallest offset of a minute is kept: the message that was delayed least tells the clocks' difference best.
WINDOW_NS = 60_000_000_000


class _Least(NamedTuple):
    window: int
    us: int


class ClockOffsets:
    """The least `received - time` of each venue in this minute and the one before."""

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
        """Return the least of the last one to two minutes; None when nothing came in them."""
        window = now_ns // WINDOW_NS
        known = [one.us for one in (self._now.get(venue), self._before.get(venue)) if one and one.window >= window - 1]
        return min(known) / 1e6 if known else None

"""Keeps the states of candles in order when our clock is set back.

Each row has the time that our clock showed at its receipt. Only candles are compared by that time: a later state of a
bar replaces an earlier one, and a replay must not do the opposite. So while the clock shows less than its latest time
before, candles get that latest time, and among them the order of the journal decides.
"""

from __future__ import annotations

# Frames are stamped on arrival and journalled a moment later, out of order by less than this: no step of the clock.
CLOCK_STEP_MIN_NS = 1_000_000_000
# A clock that was ahead by more than 30 days was wrong: candles are not held back until that time comes.
CLOCK_AHEAD_MAX_NS = 30 * 86_400 * 1_000_000_000


class Shown:
    """The latest time that the clock has shown, by all records of a journal in their order."""

    __slots__ = ("latest_ns",)

    def __init__(self, latest_ns: int = 0) -> None:
        self.latest_ns = latest_ns

    def __repr__(self) -> str:
        return f"<Shown {self.latest_ns}>"

    def behind(self, now_ns: int) -> int:
        """Take a reading that is not the latest; returns the time to keep instead, in microseconds, 0 for none."""
        back = self.latest_ns - now_ns
        if back > CLOCK_AHEAD_MAX_NS:
            self.latest_ns = now_ns
            return 0
        return self.latest_ns // 1000 if back > CLOCK_STEP_MIN_NS else 0

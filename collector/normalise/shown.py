"""What our clock has shown. It may be set back, and what came later must still be known to be later.

Rows carry the time that the clock showed when they were received, whatever it was. Only candles are compared by it: a
later state of a bar replaces an earlier one, and a replay must not put an earlier one back. For as long as the clock
shows less than it has shown before, candles therefore keep that latest time. The journal's order decides among them.
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

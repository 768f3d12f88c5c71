"""What our clock has shown. It may be set back, and what came later must still be known to be later.

Rows carry the time that the clock showed when they were received, whatever it was. Only candles are compared by it: a
later state of a bar replaces an earlier one, and a replay must not put an earlier one back. For as long as the clock
shows less than it has shown before, candles therefore keep that latest time. The journal's order decides among them.
"""

from __future__ import annotations

# Answers and messages are stamped where they arrive and journalled a moment later: less is no step.
STEP_NS = 1_000_000_000
# A clock that was ahead by more was wrong: waiting for that time to come again would take too long.
WRONG_NS = 30 * 86_400 * 1_000_000_000


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
        if back > WRONG_NS:
            self.latest_ns = now_ns
            return 0
        return self.latest_ns // 1000 if back > STEP_NS else 0

"""The numbers of one stream of packets: what is next, what was seen, what is missing.

Packets are never held back, since a WebSocket keeps their order: a client that waits for a lost one waits for ever.
What is held back is the verdict: a missing number may still come for a short while, and is lost only after it. How
many are remembered as missing is bounded.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

MOST_MISSING = 100


class Verdict(Enum):
    """What to do with a packet."""

    NEXT = "next"
    LATE = "late"  # it was missing and is here now
    OLD = "old"  # seen before, or of an earlier run of the stream


class Hole(NamedTuple):
    """Packets that are lost: receipts before and after in microseconds, numbers before and after."""

    from_us: int
    to_us: int
    from_number: int
    to_number: int


class Sequence:
    """One stream. Times are receipts in microseconds."""

    __slots__ = ("_again", "_due_us", "_hole", "_missing", "_patience_us", "last", "last_us", "stamp", "started")

    def __init__(self, patience_us: int) -> None:
        self._patience_us = patience_us
        self.last: int | None = None
        self.last_us = 0
        self.stamp = 0
        """The newest `sequenceTimestamp`, which never starts again."""
        self.started = 0
        """The `sequenceTimestamp` of the present run's beginning."""
        self._missing: set[int] = set()
        self._hole: Hole | None = None
        self._due_us = 0
        self._again: int | None = None

    def fork(self) -> Sequence:
        copy = Sequence(self._patience_us)
        copy.last, copy.last_us, copy.stamp, copy.started = self.last, self.last_us, self.stamp, self.started
        copy._missing, copy._hole, copy._due_us = set(self._missing), self._hole, self._due_us
        copy._again = self._again
        return copy

    def start(self, number: int, stamp: int, received_us: int) -> Hole | None:
        """Begin a new run of numbers; what was still missing of the old one is lost."""
        lost = self._give_up()
        self.last, self.last_us, self._again = number, received_us, None
        self.stamp = max(self.stamp, stamp)
        self.started = stamp
        return lost

    def take(self, number: int, stamp: int, received_us: int) -> Verdict:
        """Judge a packet and remember it."""
        last = self.last
        if last is None or number == last + 1:
            self.last, self.last_us, self._again = number, received_us, None
            self.stamp = max(self.stamp, stamp)
            return Verdict.NEXT
        if number > last:
            self._note_hole(last, number, received_us)
            self.last, self.last_us, self._again = number, received_us, None
            self.stamp = max(self.stamp, stamp)
            return Verdict.NEXT
        if number in self._missing and self.started <= stamp <= self.stamp:
            self._missing.discard(number)
            if not self._missing:
                self._hole = None
            return Verdict.LATE
        if stamp <= self.stamp or number == last:
            return Verdict.OLD
        # Lower numbers under newer stamps: a copy of a packet, or numbers that began again without saying so. Two in
        # a row are no copy.
        if self._again is not None and number == self._again + 1:
            self._note_hole(last, number, received_us)
            self._missing.clear()
            self.last, self.last_us, self.stamp, self._again = number, received_us, stamp, None
            return Verdict.NEXT
        self._again = number
        return Verdict.OLD

    def lost(self, received_us: int) -> Hole | None:
        """Return what is lost for good by now."""
        if self._hole is None or received_us < self._due_us:
            return None
        return self._give_up()

    def _give_up(self) -> Hole | None:
        hole, self._hole = self._hole, None
        self._missing.clear()
        return hole

    def _note_hole(self, before: int, after: int, received_us: int) -> None:
        if self._hole is None:
            self._due_us = received_us + self._patience_us
            self._hole = Hole(self.last_us, received_us, before, after)
        else:
            self._hole = self._hole._replace(to_us=received_us, to_number=after)
        missing = range(before + 1, after)
        if len(missing) + len(self._missing) > MOST_MISSING:
            self._due_us = received_us  # nobody reorders so many
        else:
            self._missing.update(missing)

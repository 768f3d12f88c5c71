"""Follows the sequence numbers of one stream of packets: which are new, repeated, late or lost.

Packets are read as they come: a WebSocket keeps their order, and waiting for a lost one could stop all data (as it does
in the venue's own client). Only the verdict waits: a missing number may still come within a short time, and counts as
lost after that.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

# How many missing numbers are waited for. Where more are missing at once they are lost and not reordered, and the loss
# is reported with the next packet. It is as many as the venue's own client holds back, and bounds memory.
MISSING_NUMBERS_MAX = 100


class Verdict(Enum):
    """What a packet's number says about it."""

    NEXT = "next"  # newer than all before it
    LATE = "late"  # it was missing; newer packets have been read already
    OLD = "old"  # a repetition, or of an earlier run of the stream: to be ignored


class Hole(NamedTuple):
    """Packets that are lost. Times are receipts of the packets before and after, numbers are those packets' own."""

    from_us: int
    to_us: int
    from_number: int
    to_number: int


class Sequence:
    """The sequence of one stream. Times are receipts in microseconds; `stamp` is a packet's `sequenceTimestamp`.

    `reorder_us`: how long a missing number may still come before it counts as lost.
    """

    __slots__ = (
        "_due_us",
        "_hole",
        "_missing",
        "_reorder_us",
        "_suspected_restart",
        "last",
        "last_us",
        "stamp",
        "started",
    )

    def __init__(self, reorder_us: int) -> None:
        self._reorder_us = reorder_us
        self.last: int | None = None
        self.last_us = 0
        self.stamp = 0
        """The newest `sequenceTimestamp`; unlike the numbers it never starts again."""
        self.started = 0
        """The `sequenceTimestamp` with which the present run of numbers began."""
        self._missing: set[int] = set()
        self._hole: Hole | None = None
        self._due_us = 0
        self._suspected_restart: int | None = None
        """The lower number under a newer stamp that came last, which may be the first of a new run."""

    def fork(self) -> Sequence:
        copy = Sequence(self._reorder_us)
        copy.last, copy.last_us, copy.stamp, copy.started = self.last, self.last_us, self.stamp, self.started
        copy._missing, copy._hole, copy._due_us = set(self._missing), self._hole, self._due_us
        copy._suspected_restart = self._suspected_restart
        return copy

    def start(self, number: int, stamp: int, received_us: int) -> Hole | None:
        """Begin a new run of numbers; what was still missing of the old run is returned as lost."""
        lost = self._give_up()
        self.last, self.last_us, self._suspected_restart = number, received_us, None
        self.stamp = max(self.stamp, stamp)
        self.started = stamp
        return lost

    def take(self, number: int, stamp: int, received_us: int) -> Verdict:
        """Return what a packet's number says about it, and remember it."""
        last = self.last
        if last is None or number == last + 1:
            self.last, self.last_us, self._suspected_restart = number, received_us, None
            self.stamp = max(self.stamp, stamp)
            return Verdict.NEXT
        if number > last:
            self._note_hole(last, number, received_us)
            self.last, self.last_us, self._suspected_restart = number, received_us, None
            self.stamp = max(self.stamp, stamp)
            return Verdict.NEXT
        if number in self._missing and self.started <= stamp <= self.stamp:
            self._missing.discard(number)
            if not self._missing:
                self._hole = None
            return Verdict.LATE
        if stamp <= self.stamp or number == last:
            return Verdict.OLD
        # A lower number under a newer stamp is a copy of a packet, or the numbers have begun again without a
        # `synchronizationStarted`. Two such numbers in a row cannot be copies.
        if self._suspected_restart is not None and number == self._suspected_restart + 1:
            self._note_hole(last, number, received_us)
            self._missing.clear()
            self.last, self.last_us, self.stamp, self._suspected_restart = number, received_us, stamp, None
            return Verdict.NEXT
        self._suspected_restart = number
        return Verdict.OLD

    def take_lost(self, received_us: int) -> Hole | None:
        """Return the packets that count as lost by now, once; None where there are none."""
        if self._hole is None or received_us < self._due_us:
            return None
        return self._give_up()

    def _give_up(self) -> Hole | None:
        hole, self._hole = self._hole, None
        self._missing.clear()
        return hole

    def _note_hole(self, before: int, after: int, received_us: int) -> None:
        if self._hole is None:
            self._due_us = received_us + self._reorder_us
            self._hole = Hole(self.last_us, received_us, before, after)
        else:
            self._hole = self._hole._replace(to_us=received_us, to_number=after)
        missing = range(before + 1, after)
        if len(missing) + len(self._missing) > MISSING_NUMBERS_MAX:
            self._due_us = received_us  # too many to have been reordered: they are lost, so there is no need to wait
        else:
            self._missing.update(missing)

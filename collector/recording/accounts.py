"""The items of frames against what became of them: every item that was received in this run has to be committed.

Two counts are kept of each segment of the journal: the items that live parsers found in its frames as these came, and
those of the batches that were committed, which may have been read from the journal again. Where they differ, something
was dropped on the way that is neither a row nor a duplicate nor in quarantine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from collector.journal import Position
from collector.store.batch import Batch, Committed


class Accounts:
    """Counts what was received and what was committed. `begin` is where this run's part of the journal begins."""

    def __init__(self, begin: Position) -> None:
        self._begin = begin
        self._received: Counter[int] = Counter()
        self._committed: Counter[int] = Counter()
        self._not_compared: set[int] = set()
        self._read_anew = False
        """Whether the journal is read by parsers that began in the middle of this run."""
        self._miscounted = 0
        """Items that a commit told of more, or of less, than its batch held."""

    def __repr__(self) -> str:
        return f"<Accounts received={self._received.total()} committed={self._committed.total()}>"

    def received(self, segment: int, items: int) -> None:
        """Frames in this segment of the journal held so many items."""
        self._received[segment] += items

    def committed(self, batch: Batch, committed: Committed) -> None:
        """A batch is in the database."""
        items = batch.records.items
        self._miscounted += abs(items - sum(count.items for count in committed.counts.values()))
        if batch.position.segment >= self._begin.segment:
            self._committed[batch.position.segment] += items

    def read_again_from(self, position: Position) -> None:
        """What lies behind this place is going to be committed once more."""
        for segment in [number for number in self._committed if number >= position.segment]:
            del self._committed[segment]
        self._read_anew = True

    def caught_up(self, end: Position) -> None:
        """What is received from here on is committed as live parsers read it."""
        if self._read_anew:
            # Parsers that begin in the middle know less: of a bar that they never saw open they tell no end.
            self._not_compared.update(number for number in self._received if number <= end.segment)
            self._read_anew = False

    def lost_before(self, position: Position) -> None:
        """What lies before this place is in no table and cannot be read: it is told as a gap."""
        for counts in (self._received, self._committed):
            for segment in [number for number in counts if number < position.segment]:
                del counts[segment]

    def unaccounted(self, committed: Position, queued: Mapping[int, int] | None) -> int:
        """Return how many items were dropped.

        `committed` is how far the journal is in the tables. `queued`: items by segment that wait for the writer; None
        while the journal is read, when only segments that are wholly committed can be compared.
        """
        difference = 0
        for segment in self._received.keys() | self._committed.keys():
            if segment in self._not_compared or (queued is None and (self._read_anew or segment >= committed.segment)):
                continue
            waiting = 0 if queued is None else queued.get(segment, 0)
            difference += abs(self._received[segment] - self._committed[segment] - waiting)
        return difference + self._miscounted

"""Checks that every item received in this run is committed.

For each segment of the journal there are two counts: the items that live parsers found in its frames, and the items of
the batches that were committed, some of which were read from the journal again. If the two differ, an item was lost: it
is neither a row, nor a duplicate, nor in quarantine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from collector.journal import Position
from collector.store.batch import Batch, Committed


class Accounts:
    """Counts received and committed items; `begin` is where this run's part of the journal begins."""

    def __init__(self, begin: Position) -> None:
        self._begin = begin
        self._received: Counter[int] = Counter()
        self._committed: Counter[int] = Counter()
        self._not_compared: set[int] = set()
        self._read_anew = False
        """Whether the journal is read by parsers that began in the middle of this run."""
        self._miscounted = 0
        """How many items more or fewer commits reported than their batches held."""

    def __repr__(self) -> str:
        return f"<Accounts received={self._received.total()} committed={self._committed.total()}>"

    def received(self, segment: int, items: int) -> None:
        """Count items of frames in a segment of the journal."""
        self._received[segment] += items

    def committed(self, batch: Batch, committed: Committed) -> None:
        """A batch is in the database."""
        items = batch.records.items
        self._miscounted += abs(items - sum(count.items for count in committed.counts.values()))
        if batch.position.segment >= self._begin.segment:
            self._committed[batch.position.segment] += items

    def read_again_from(self, position: Position) -> None:
        """Note that everything after this position will be committed again."""
        for segment in [number for number in self._committed if number >= position.segment]:
            del self._committed[segment]
        self._read_anew = True

    def caught_up(self, end: Position) -> None:
        """Note that everything after this position is committed as live parsers read it."""
        if self._read_anew:
            # Parsers that begin in the middle know less: they do not close a bar whose beginning they have not seen.
            self._not_compared.update(number for number in self._received if number <= end.segment)
            self._read_anew = False

    def lost_before(self, position: Position) -> None:
        """Note that frames before this position cannot be read any more; a gap says so."""
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

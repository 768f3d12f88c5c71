"""A batch of records for the tables, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from collector.model import Position, Records


class TableCount(NamedTuple):
    """What became of the items of one table; always `items == stored + duplicates + quarantined`.

    `stored` counts rows that the database inserted or changed. `duplicates` counts items without news: their row was in
    the table already, or (candles) the same batch holds a later state of the same bar.
    """

    items: int = 0
    stored: int = 0
    duplicates: int = 0
    quarantined: int = 0

    def __add__(self, other: TableCount) -> TableCount:  # type: ignore[override]
        return TableCount(*(a + b for a, b in zip(self, other, strict=True)))


@dataclass(slots=True)
class Batch:
    """Records that are committed together, and how far into the journal they reach."""

    records: Records
    position: Position
    """The position in the journal after their last frame."""
    oldest_ns: int
    """When its oldest frame was received, in nanoseconds; the lag from receipt to commit is measured from there."""
    size: int = 0
    """Size of its frames in bytes."""
    newest_ns: int = 0
    """Once this batch is committed, everything received until then (nanoseconds) is in the tables; 0: not known."""


@dataclass(slots=True)
class Committed:
    """What became of a batch, by table.

    The key `frames` counts frames that were quarantined before their stream was known.
    """

    counts: dict[str, TableCount] = field(default_factory=dict)

    @property
    def stored(self) -> int:
        return sum(count.stored for count in self.counts.values())

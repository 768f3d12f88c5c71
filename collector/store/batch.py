"""What the writer is given and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from collector.model import Position, Records


class TableCount(NamedTuple):
    """What became of the items of one table; always `items == stored + duplicates + quarantined`.

    `stored` counts rows that the database inserted or changed. `duplicates` counts items that said nothing new: the
    row was there already, or (candles) a later state of the same bar came with the same batch.
    """

    items: int = 0
    stored: int = 0
    duplicates: int = 0
    quarantined: int = 0

    def __add__(self, other: TableCount) -> TableCount:  # type: ignore[override]
        return TableCount(*(a + b for a, b in zip(self, other, strict=True)))


@dataclass(slots=True)
class Batch:
    """Records that are committed together, with the place in the journal that they reach."""

    records: Records
    position: Position
    """Where the journal has been read to with them."""
    oldest_ns: int
    """When the oldest frame of it was received: what the lag from receipt to commit is measured from."""
    size: int = 0
    """Bytes of the frames that it was made of."""
    newest_ns: int = 0
    """What was received until then is in the tables with this batch, or was before; 0: not known."""


@dataclass(slots=True)
class Committed:
    """A batch's outcome by table; `frames` holds what was quarantined before its stream was known."""

    counts: dict[str, TableCount] = field(default_factory=dict)

    @property
    def stored(self) -> int:
        return sum(count.stored for count in self.counts.values())

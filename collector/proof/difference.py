"""What a replay by today's program would give, against what the tables hold: before a parser's change ships.

Compared is what was received within a span of the journal of which both sides are whole: from where the parsers had
seen enough to count right, to where the tables are. What is received meanwhile lies behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

from collector.journal import Kind, MissingSegment, Position, read
from collector.journal.segments import numbers
from collector.model import Records
from collector.proof.replay import Replayed, replay
from collector.store.shadow import Shadow, TableDifference
from collector.tables import NAMES as TABLES

# Records after the end that are searched for the earliest time of receipt: records are nearly in order of receipt.
RECORDS_PEEKED_MAX = 20_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class Compared:
    """A comparison. `received`: the span of receipts that it is about; None: there was nothing to compare."""

    replayed: Replayed
    received: tuple[datetime, datetime] | None = None
    tables: dict[str, TableDifference] = field(default_factory=dict)
    quarantined: dict[str, int] = field(default_factory=dict)
    """Items that today's parsers do not understand, by error."""
    notes: list[str] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        """Whether every table is what the journal gives."""
        return all(one.equal for one in self.tables.values())

    @property
    def proved(self) -> bool:
        """Whether every table is what the journal gives, of which there is something."""
        return self.equal and any(one.rows for one in self.tables.values())


async def compare(
    directory: Path,
    shadow: Shadow,
    committed: Position | None,
    *,
    start: Position | None = None,
    end: Position | None = None,
    backfills: Sequence[Path] = (),
    venues: Collection[str] | None = None,
    tables: Sequence[str] = TABLES,
    examples: int = 5,
    progress: Callable[[Replayed], object] = lambda _: None,
) -> Compared:
    """Replay a part of a journal beside the tables and compare. Raises `ComparisonError`, `DatabaseError`.

    `committed`: how far the tables are in this journal; nothing behind that is compared.
    """
    notes = []
    if committed is not None and (end is None or end > committed):
        end = committed
    if start is None and (later := _first_whole(directory)) is not None:
        start = later
        notes.append(
            f"the segments before {later.segment} only give the parsers their state and are not "
            "compared: the segments before them are deleted"
        )
    wanted = set(tables)

    def keep(out: Records) -> Records:
        kept = Records()
        for name in wanted:
            setattr(kept, name, getattr(out, name))
        kept.quarantine = out.quarantine
        kept.items = kept.rows + sum(bad.items for bad in kept.quarantine)
        return kept

    done = await replay(
        directory, shadow, start=start, end=end, backfills=backfills, only=venues, keep=keep, progress=progress
    )
    if not done.last_ns:
        return Compared(done, notes=notes)
    first_us = max(done.first_ns // 1000, done.before_ns // 1000 + 1 if done.before_ns else 0)
    last_us = min(done.last_ns // 1000, _behind(directory, end))
    received = _time(first_us), _time(last_us)
    contested = None
    if done.fetched_ns is not None:
        begin_ns, end_ns = done.fetched_ns
        contested = _time(begin_ns // 1000), _time(end_ns // 1000)
    found, bad = await shadow.compare(
        [one for one in TABLES if one in wanted], done.venues, received, examples, contested
    )
    return Compared(done, received, found, bad, notes)


def _first_whole(directory: Path) -> Position | None:
    """Return where rows begin that do not depend on what is deleted; None: at the beginning, or nowhere else."""
    present = numbers(directory) if directory.is_dir() else []
    if len(present) < 2:
        return None
    try:
        for record in read(directory, Position(present[0], 0), Position(present[1], 0), on_corrupt=lambda _: None):
            return Position(present[1], 0) if record.kind is Kind.CARRY else None
    except MissingSegment:
        return None
    return None


def _behind(directory: Path, end: Position | None) -> int:
    """Return the last microsecond before anything behind `end` was received."""
    if end is None:
        return 2**62
    try:
        following = islice(read(directory, end, on_corrupt=lambda _: None), RECORDS_PEEKED_MAX)
        return min((one.received_ns // 1000 - 1 for one in following if one.kind is not Kind.CARRY), default=2**62)
    except MissingSegment:
        return 2**62


def _time(time_us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=time_us)

"""Makes rows from the journal again: after a parser's repair, into a new database, or to prove that nothing changed.

A replay is idempotent and never touches the daemon's position; it may run beside the daemon.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import structlog

from collector import venues
from collector.journal import DamagedJournal, Kind, Position, Record, read
from collector.journal.segments import numbers
from collector.model import Records
from collector.normalise.apply import apply, tell_orphans
from collector.normalise.normaliser import Normaliser
from collector.proof.frames import Chosen
from collector.store.batch import Batch, Committed, TableCount

log = structlog.get_logger()

# A batch is committed when it holds this many items, or its frames this many bytes.
BATCH_ITEMS_MAX = 5000
BATCH_MAX_BYTES = 4 << 20


@dataclass
class Replayed:
    """What a replay did."""

    segment: int = 0
    """Where the replay is now."""
    frames: int = 0
    bytes: int = 0
    tables: dict[str, TableCount] = field(default_factory=dict)
    damages: list[str] = field(default_factory=list)
    venues: set[str] = field(default_factory=set)
    first_ns: int = 0
    last_ns: int = 0
    """When the first and the last of it was received; 0 when there was nothing."""
    before_ns: int = 0
    """When the last of what parsers only saw before `start` was received."""
    fetched_ns: tuple[int, int] | None = None
    """When the first and the last of it was received that is of a backfill."""

    @property
    def nothing(self) -> bool:
        """Whether there was nothing of the chosen venues; notes of the daemon concern all of them."""
        return not self.frames or not self.venues

    def took(self, record: Record) -> None:
        """Count a record whose rows are written."""
        self.frames += 1
        self.bytes += len(record.payload)
        if record.kind is not Kind.CARRY:  # has the time of its opening
            self.first_ns = min(self.first_ns or record.received_ns, record.received_ns)
            self.last_ns = max(self.last_ns, record.received_ns)


@dataclass(eq=False)
class _Source:
    """One journal with the parsers of its sessions: a session's number tells it apart within its journal only."""

    records: Iterator[Record]
    chosen: Chosen
    exhausted: bool = False
    normaliser: Normaliser = field(default_factory=lambda: Normaliser(venues.find))

    def __iter__(self) -> Iterator[tuple[Record, _Source]]:
        for record in self.records:
            if self.chosen.takes(record):
                yield record, self
        self.exhausted = True


class Committer(Protocol):
    """What takes a batch and tells what became of it: a writer, or the shadow of a comparison."""

    async def commit(self, batch: Batch) -> Committed: ...


async def replay(
    directory: Path,
    committer: Committer,
    *,
    start: Position | None = None,
    end: Position | None = None,
    backfills: Sequence[Path] = (),
    only: Collection[str] | None = None,
    keep: Callable[[Records], Records] = lambda out: out,
    progress: Callable[[Replayed], object] = lambda _: None,
) -> Replayed:
    """Write everything between two positions of the journal in `directory` once more.

    Parsers first see the segment before `start` too, whose rows are not written: they tell equal trades apart by
    counting. What `backfills` (journals too) received in the meantime goes in between, so that the first to tell a row
    is the first again. `only`: venues, None for all. `keep` chooses what of a batch is written.
    """
    done = Replayed()

    def damaged(damage: DamagedJournal) -> None:
        done.damages.append(str(damage))
        log.error("journal_damaged", reason=str(damage))

    present = numbers(directory) if directory.is_dir() else []  # noqa: ASYNC240  once, at the start
    begin = None if start is None or not present else Position(max(present[0], start.segment - 1), 0)
    main = _Source(read(directory, begin, end, on_corrupt=damaged) if present else iter(()), Chosen(only))
    others = [_Source(read(path, on_corrupt=damaged), Chosen(only)) for path in backfills]
    merged = heapq.merge(main, *others, key=_receipt) if others else iter(main)
    out, size, oldest_ns = Records(), 0, 0
    last: Record | None = None
    begun = start is None

    async def commit(at: Record) -> None:
        committed = await committer.commit(Batch(keep(out), at.end, oldest_ns, size))
        for table, count in committed.counts.items():
            done.tables[table] = done.tables.get(table, TableCount()) + count
        progress(done)

    for record, source in merged:
        if source is main and start is not None:
            begun = record.position >= start
        if not begun:
            apply(record, source.normaliser, Records())
            if record.kind is not Kind.CARRY:
                done.before_ns = max(done.before_ns, record.received_ns)
            continue
        if main.exhausted and end is not None and source is not main:
            break
        apply(record, source.normaliser, out)
        if source is main:
            done.segment = record.position.segment
        elif record.kind is Kind.REST:
            first_ns, last_ns = done.fetched_ns or (record.received_ns, record.received_ns)
            done.fetched_ns = min(first_ns, record.received_ns), max(last_ns, record.received_ns)
        done.took(record)
        size += len(record.payload)
        oldest_ns = oldest_ns or record.received_ns
        last = record
        if out.items >= BATCH_ITEMS_MAX or size >= BATCH_MAX_BYTES:
            await commit(record)
            out, size, oldest_ns, last = Records(), 0, 0, None
    if last is not None:
        await commit(last)
    for source in (main, *others):
        tell_orphans(source.normaliser)
        done.venues |= source.chosen.venues
    return done


def _receipt(one: tuple[Record, _Source]) -> int:
    return one[0].received_ns

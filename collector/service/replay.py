"""Makes rows from the journal again: after a parser's repair, into a new database, or to prove that nothing changed.

A replay is idempotent and never touches the daemon's position; it may run beside the daemon.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from collector import venues
from collector.journal import DamagedJournal, Position, Record, read
from collector.journal.segments import numbers
from collector.model import Records
from collector.normalise.normaliser import Normaliser
from collector.service.journalled import apply, tell_orphans
from collector.store.batch import Batch, TableCount
from collector.store.writer import Writer

log = structlog.get_logger()

BATCH_ITEMS = 5000
BATCH_BYTES = 4 << 20


@dataclass
class Replayed:
    """What a replay did."""

    segment: int = 0
    """Where the replay is now."""
    frames: int = 0
    bytes: int = 0
    tables: dict[str, TableCount] = field(default_factory=dict)
    damages: list[str] = field(default_factory=list)


async def replay(
    directory: Path,
    writer: Writer,
    *,
    start: Position | None = None,
    end: Position | None = None,
    progress: Callable[[Replayed], object] = lambda _: None,
) -> Replayed:
    """Write everything between two positions of the journal in `directory` once more.

    Parsers first see the segment before `start` too, whose rows are not written: they tell equal trades apart by
    counting.
    """
    done = Replayed()

    def damaged(damage: DamagedJournal) -> None:
        done.damages.append(str(damage))
        log.error("journal_damaged", reason=str(damage))

    present = numbers(directory)
    if not present:
        return done
    begin = None if start is None else Position(max(present[0], start.segment - 1), 0)
    normaliser, out, size, oldest_ns = Normaliser(venues.find), Records(), 0, 0
    last: Record | None = None

    async def commit(at: Record) -> None:
        committed = await writer.commit(Batch(out, at.end.segment, at.end.offset, oldest_ns, size))
        for table, count in committed.counts.items():
            done.tables[table] = done.tables.get(table, TableCount()) + count
        progress(done)

    for record in read(directory, begin, end, on_corrupt=damaged):
        if start is not None and record.position < start:
            apply(record, normaliser, Records())
            continue
        apply(record, normaliser, out)
        done.segment = record.position.segment
        done.frames += 1
        done.bytes += len(record.payload)
        size += len(record.payload)
        oldest_ns = oldest_ns or record.received_ns
        last = record
        if out.items >= BATCH_ITEMS or size >= BATCH_BYTES:
            await commit(record)
            out, size, oldest_ns, last = Records(), 0, 0, None
    if last is not None:
        await commit(last)
    tell_orphans(normaliser)
    return done

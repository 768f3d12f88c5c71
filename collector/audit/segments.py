"""Reads journal segments again: is every record whole, and was every item in their frames counted?

Items are counted by the parsers, as they were when the frames came, and compared with `journal_counts`, which says what
became of each. The bytes' hash is noted, so that a later audit tells an archive that was changed, even where its
checksums were changed with it, and need not parse what is known already.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import asyncpg

from collector import venues
from collector.journal import DamagedJournal, Kind, MissingSegment, Position
from collector.journal.layout import HEADER_BYTES
from collector.journal.reader import segment_records
from collector.journal.segments import SegmentSource, numbers
from collector.model import Records
from collector.normalise.apply import apply
from collector.normalise.normaliser import Normaliser
from collector.store.named import queries
from collector.tables import NAMES

READ_CHUNK_BYTES = 1 << 20
# Records between two reports of progress.
RECORDS_PER_REPORT = 2000
CANDLES = "candles"
# Faults of one segment that are shown; all are counted.
FAULTS_SHOWN_MAX = 3

_SQL = queries("audit")


class Segment(NamedTuple):
    """What was found in one segment; see the table `segment_audits`. `read`: parsed now, not known by its hash."""

    segment: int
    verdict: str
    whole: bool
    byte_offset: int
    sha256: str
    records: int
    items: int
    counted: int
    faults: str | None
    read: bool


class Ledger(NamedTuple):
    """What the tables say of a journal: how far it is in them, items counted by segment and table, and known hashes."""

    name: str
    position: Position
    counted: Mapping[int, Mapping[str, int]]
    known: Mapping[int, Segment]


async def load(connection: asyncpg.Connection, name: str) -> Ledger | None:
    """Read the books kept about a journal, all of one moment; None where none are kept."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        place = await connection.fetchrow(_SQL["load_place"], name)
        counts = await connection.fetch(_SQL["counted"], name)
        hashes = await connection.fetch(_SQL["audited_segments"], name)
    if place is None:
        return None
    counted: dict[int, dict[str, int]] = {}
    for segment, table, items in counts:
        counted.setdefault(segment, {})[table] = items
    known = {
        row["segment"]: Segment(
            row["segment"],
            row["verdict"],
            True,
            row["byte_offset"],
            row["sha256"],
            row["records"],
            row["items"],
            row["counted"],
            row["faults"],
            False,
        )
        for row in hashes
    }
    return Ledger(name, Position(*place), counted, known)


async def note(connection: asyncpg.Connection, name: str, one: Segment) -> None:
    """Write down what was found in a segment that was read."""
    await connection.execute(_SQL["note_segment"], name, *one[:-1])


def committed_segments(directory: Path, ledger: Ledger, since: int, until: int) -> list[int]:
    """Return the segments that are in the tables, at least in part, and were written between two times in seconds.

    A segment's number is the second of its beginning, or later; it lasts until the next one begins.
    """
    present = [number for number in numbers(directory) if number <= ledger.position.segment]
    ends = [*present[1:], ledger.position.segment + 1]
    return [number for number, end in zip(present, ends, strict=False) if number < until and end >= since]


def audit_segments(
    directory: Path, ledger: Ledger, wanted: list[int], *, again: bool = False
) -> Iterator[Segment | int]:
    """Audit these segments, oldest first; between them come numbers of bytes read, for whoever shows progress.

    A segment whose hash is known and the same, and as many items counted, is not parsed again, unless `again` says so.
    """
    parsing: list[int] = []
    for number in wanted:
        known = ledger.known.get(number)
        end = ledger.position.offset if number == ledger.position.segment else None
        digest, size = _hash(directory, number, end)
        yield size
        if known is not None and end is None:
            if known.sha256 != digest:
                yield known._replace(
                    verdict="unexplained",
                    read=True,
                    faults="its bytes differ from those of an earlier audit: the archive was changed",
                )
                continue
            if not again and known.counted == sum(ledger.counted.get(number, {}).values()):
                yield known
                continue
        parsing.append(number)
    yield from _parse_all(directory, ledger, parsing)


def _parse_all(directory: Path, ledger: Ledger, wanted: list[int]) -> Iterator[Segment | int]:
    present = numbers(directory)
    reader: _Reader | None = None
    last: int | None = None
    for number in wanted:
        before = next((one for one in reversed(present) if one < number), None)
        if reader is None or last != before:
            # Equal trades are told apart by counting, and open bars are closed: parsers see the one before, too.
            reader = _Reader(directory)
            if before is not None:
                yield from reader.read(before, None)
        end = ledger.position.offset if number == ledger.position.segment else None
        yield from reader.read(number, end)
        digest, size = _hash(directory, number, end)
        yield reader.judged(number, digest, size, end is None, ledger.counted.get(number, {}), alone=before is None)
        last = number


class _Reader:
    """Parsers that go through neighbouring segments."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._normaliser = Normaliser(venues.find)
        self._items: Counter[str] = Counter()
        self._faults: list[DamagedJournal] = []
        self._records = 0
        self._resumed = False
        """Whether some sessions began before anything was read: bars that were open by then are closed unseen."""

    def read(self, number: int, end: int | None) -> Iterator[int]:
        """Parse a segment, up to an offset; yields numbers of bytes."""
        self._items, self._faults, self._records = Counter(), [], 0
        out, done = Records(), 0
        try:
            source = SegmentSource.find(self._directory, number)
        except MissingSegment as missing:
            self._faults.append(missing)
            return
        with source:
            for record in segment_records(source, HEADER_BYTES, end, live=False, on_corrupt=self._faults.append):
                if record.kind is Kind.CARRY and record.session not in self._normaliser.sessions:
                    self._resumed = True
                apply(record, self._normaliser, out)
                self._records += 1
                if not self._records % RECORDS_PER_REPORT:
                    self._count(out)
                    out = Records()
                    yield record.end.offset - done
                    done = record.end.offset
        self._count(out)

    def _count(self, out: Records) -> None:
        for table in NAMES:
            self._items[table] += len(getattr(out, table))
        for bad in out.quarantine:
            self._items[bad.stream or "frames"] += bad.items

    def judged(
        self,
        number: int,
        digest: str,
        size: int,
        whole: bool,
        counted: Mapping[str, int],
        *,
        alone: bool,
    ) -> Segment:
        """Compare what was read last with what was counted."""
        told = [str(fault) for fault in self._faults[:FAULTS_SHOWN_MAX]]
        if len(self._faults) > FAULTS_SHOWN_MAX:
            told.append(f"and {len(self._faults) - FAULTS_SHOWN_MAX} more places that cannot be read")
        verdict = "unexplained" if told else "complete"
        for table in sorted({*self._items, *counted}):
            held, known = self._items[table], counted.get(table, 0)
            if held == known:
                continue
            told.append(f"{table}: {held} items in frames, {known} counted")
            if table == CANDLES and self._resumed and held < known:
                told[-1] += " (bars that were open before the first frame that was read)"
            elif not (alone and self._resumed):
                verdict = "unexplained"
            elif verdict == "complete":
                verdict = "not comparable"
                told.append("the segment before it, which the parsers need, was deleted")
        items, known = sum(self._items.values()), sum(counted.values())
        faults = "; ".join(told) or None
        return Segment(number, verdict, whole, size, digest, self._records, items, known, faults, True)


def _hash(directory: Path, number: int, end: int | None) -> tuple[str, int]:
    """Return the SHA-256 of a segment's bytes, uncompressed, up to an offset, and how many they are."""
    digest, size = hashlib.sha256(), 0
    try:
        source = SegmentSource.find(directory, number)
    except MissingSegment:
        return digest.hexdigest(), 0
    with source:
        while data := source.read(READ_CHUNK_BYTES if end is None else min(READ_CHUNK_BYTES, end - size)):
            digest.update(data)
            size += len(data)
            if size == end:
                break
    return digest.hexdigest(), size

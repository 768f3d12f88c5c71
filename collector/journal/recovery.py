"""Repairs a journal directory after the last process was stopped in any way.

Nothing is deleted that might be a record: bytes that are no record are moved into a file beside the segment. This is
done just before the next segment begins, since the disk may be full, and the journal can be read without it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

import structlog

from collector.journal.disk import Disk, write_all
from collector.journal.errors import DamagedJournal
from collector.journal.layout import HEADER_BYTES, LAST_SESSION_NOTE, Kind
from collector.journal.reader import segment_records
from collector.journal.segment_file import SegmentFile
from collector.journal.segments import (
    UNFINISHED_SUFFIXES,
    SegmentSource,
    compressed_path,
    numbers,
    segment_path,
)
from collector.model import Position

_log = structlog.get_logger()

# Segments that are read to find the last session's number; those of older versions do not hold it.
SEGMENTS_SEARCHED_MAX: Final = 3

_COPY_CHUNK_BYTES: Final = 1 << 20


class Recovery(NamedTuple):
    """A torn tail that was cut."""

    segment: int
    bytes_cut: int
    reason: str
    kept: Path
    """Where the cut bytes are now."""


class Prepared(NamedTuple):
    """What was found in a directory."""

    next_segment: int
    end: Position
    """Up to here the directory can be read."""
    remains: Remains | None
    """What has to be seen to before the next segment begins."""
    last_ns: dict[int, int]
    """By segment, when its last record was received, as far as that was seen."""
    last_session: int
    """The highest number of a session so far; 0 where there was none."""


class Remains:
    """The last file of an earlier process. Its repair is tried again until the disk allows it."""

    def __init__(self, disk: Disk, path: Path, number: int, good: int | None, reason: str, now_ns: int) -> None:
        self.recovery: Recovery | None = None
        """What was cut, if anything."""
        self._disk = disk
        self._path = path
        self._number = number
        self._good = good
        self._reason = reason
        self._kept = path.with_name(f"{number:012d}.torn-{now_ns}")
        self._secured = good is None
        self._file: SegmentFile | None = None

    @property
    def suspect(self) -> bool:
        """Whether a sync has failed, so that it is unknown which of its records the disk holds."""
        return self._file is not None and self._file.suspect

    def secure(self) -> None:
        """Return when its records are on the disk: they were written, and the process did not live to sync them.

        Raises OSError.
        """
        if self._secured:
            return
        if self._file is None:
            self._file = SegmentFile(self._disk, self._path, self._number, adopted=True)
        self._file.sync()
        file, self._file = self._file, None
        self._secured = True
        file.close()

    def clear(self) -> None:
        """Cut off bytes that are no record, or move the file away where it has no record. Raises OSError."""
        size = self._path.stat().st_size if self._path.exists() else 0
        if self._good is not None:
            if size > self._good:
                self._cut(self._good, size)
        elif size > HEADER_BYTES:
            self._disk.replace(self._path, self._kept)
            self._disk.sync_directory(self._path.parent)
            self._told(size)
        else:
            # A run that recorded nothing leaves nothing: no record ever had a position in its segment.
            self._disk.unlink(self._path)

    def _cut(self, good: int, size: int) -> None:
        segment = self._disk.open(self._path)
        try:
            self._keep(segment, good)
            self._disk.truncate(segment, good)
            self._disk.sync(segment)
        finally:
            self._disk.close(segment)
        self._told(size - good)

    def _keep(self, segment: int, start: int) -> None:
        self._disk.unlink(self._kept)
        torn = self._disk.create(self._kept)
        try:
            offset = 0
            while block := self._disk.read_at(segment, _COPY_CHUNK_BYTES, start + offset):
                offset += write_all(self._disk, torn, block, offset)
            self._disk.sync(torn)
        finally:
            self._disk.close(torn)
        self._disk.sync_directory(self._path.parent)

    def _told(self, bytes_cut: int) -> None:
        self.recovery = Recovery(self._number, bytes_cut, self._reason, self._kept)
        _log.warning(
            "journal_tail_cut", segment=self._number, bytes_cut=bytes_cut, reason=self._reason, kept=self._kept.name
        )


def prepare(directory: Path, now_ns: int, disk: Disk) -> Prepared:
    """Examine what the last process left, and find the next segment's number. The caller holds the directory's lock."""
    for path in directory.iterdir():
        if path.name.endswith(UNFINISHED_SUFFIXES):
            disk.unlink(path)
    present = numbers(directory)
    if not present:
        # Not 1: a journal that was deleted must not reuse positions that a database has as committed.
        first = max(1, now_ns // 1_000_000_000)
        return Prepared(first, Position(first, 0), None, {}, 0)
    last = present[-1]
    path = segment_path(directory, last)
    if not path.exists() or compressed_path(directory, last).exists():
        return Prepared(last + 1, _end(directory, last), None, {}, _last_session(directory, present))
    found = _scan(directory, last)
    remains = Remains(disk, path, last, found.good, found.reason, now_ns)
    last_session = _last_session(directory, present[:-1], found)
    if found.good is None:
        end = _end(directory, present[-2]) if len(present) > 1 else Position(last, 0)
        return Prepared(last, end, remains, {}, last_session)
    return Prepared(last + 1, Position(last, found.good), remains, {last: found.last_ns}, last_session)


def _end(directory: Path, number: int) -> Position:
    with SegmentSource.find(directory, number) as source:
        return Position(number, source.plain_bytes())


class _Scanned(NamedTuple):
    """The contents of a segment. `good`: where its last record ends; None where it has none."""

    good: int | None
    last_ns: int
    last_session: int
    tells: bool
    """Whether it holds the number of the last session before it."""
    reason: str
    """Why the bytes after the last record are no record."""


def _last_session(directory: Path, earlier: list[int], newest: _Scanned | None = None) -> int:
    """Return the highest session number, searching from the newest segment backwards.

    A segment holds the number of the last session before it near its beginning. Where that is lost, the segment before
    is searched too.
    """
    numbers_left, found, last_session, looked_at = reversed(earlier), newest, 0, 0
    while True:
        if found is not None and found.last_session:
            looked_at += 1
            last_session = max(last_session, found.last_session)
            if found.tells or looked_at == SEGMENTS_SEARCHED_MAX:
                return last_session
        number = next(numbers_left, None)
        if number is None:
            return last_session
        found = _scan(directory, number)


def _scan(directory: Path, number: int) -> _Scanned:
    good = None
    last_ns = last_session = 0
    tells = False
    damages: list[DamagedJournal] = []
    with SegmentSource.find(directory, number) as source:
        for record in segment_records(source, HEADER_BYTES, None, live=True, on_corrupt=damages.append):
            good = record.end.offset
            last_ns = record.received_ns
            last_session = max(last_session, record.session)
            if record.kind is Kind.NOTE:
                # A process also begins with one, under the number of the last session.
                tells = tells or record.payload == LAST_SESSION_NOTE or record.position.offset == HEADER_BYTES
    reason = "the last record is unfinished"
    for damage in damages:
        if good is not None and damage.offset < good:
            _log.error("journal_record_corrupt", segment=number, offset=damage.offset, reason=damage.reason)
        else:
            reason = damage.reason
    return _Scanned(good, last_ns, last_session, tells, reason)

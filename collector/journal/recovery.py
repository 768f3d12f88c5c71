"""Makes a journal directory fit for writing after whatever stopped the last process.

Nothing that might be a record is deleted: bytes that are none are moved into a file beside the segment.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import structlog

from collector.journal.disk import Disk, write_all
from collector.journal.errors import DamagedJournal
from collector.journal.layout import HEADER_BYTES
from collector.journal.reader import segment_records
from collector.journal.segments import (
    UNFINISHED,
    SegmentSource,
    compressed_path,
    numbers,
    segment_path,
)

_log = structlog.get_logger()

_COPY_BYTES = 1 << 20


class Recovery(NamedTuple):
    """A torn tail that was cut."""

    segment: int
    bytes_cut: int
    reason: str
    kept: Path
    """Where the cut bytes are now."""


class Prepared(NamedTuple):
    """A directory ready for writing."""

    next_segment: int
    recovery: Recovery | None
    last_ns: dict[int, int]
    """By segment, when its last record was received, as far as that was seen."""
    last_session: int = 0
    """The highest number of a session in the last segment."""


def prepare(directory: Path, now_ns: int, disk: Disk) -> Prepared:
    """Tidy up after a crash and say which segment comes next. The caller holds the directory's lock."""
    for path in directory.iterdir():
        if path.name.endswith(UNFINISHED):
            disk.unlink(path)
    present = numbers(directory)
    if not present:
        # Not 1: a journal that was wiped must not hand out positions again that a database remembers as committed.
        return Prepared(max(1, now_ns // 1_000_000_000), None, {})
    last = present[-1]
    path = segment_path(directory, last)
    if not path.exists() or compressed_path(directory, last).exists():
        return Prepared(last + 1, None, {})
    good, last_ns, last_session, reason = _scan(directory, last)
    size = path.stat().st_size
    if good is None:
        # A start that recorded nothing leaves nothing behind: its number was never the place of a record.
        if size <= HEADER_BYTES:
            disk.unlink(path)
            return Prepared(last, None, {})
        return Prepared(last, _move_away(disk, path, last, reason, now_ns), {})
    recovery = _cut(disk, path, last, good, reason, now_ns) if size > good else None
    return Prepared(last + 1, recovery, {last: last_ns}, last_session)


def _scan(directory: Path, number: int) -> tuple[int | None, int, int, str]:
    good = None
    last_ns = last_session = 0
    damages: list[DamagedJournal] = []
    with SegmentSource.find(directory, number) as source:
        for record in segment_records(source, HEADER_BYTES, None, live=True, on_corrupt=damages.append):
            good = record.end.offset
            last_ns = record.received_ns
            last_session = max(last_session, record.session)
    reason = "the last record is unfinished"
    for damage in damages:
        if good is not None and damage.offset < good:
            _log.error("journal_record_corrupt", segment=number, offset=damage.offset, reason=damage.reason)
        else:
            reason = damage.reason
    return good, last_ns, last_session, reason


def _move_away(disk: Disk, path: Path, number: int, reason: str, now_ns: int) -> Recovery:
    kept = path.with_name(f"{number:012d}.torn-{now_ns}")
    size = path.stat().st_size
    disk.replace(path, kept)
    disk.sync_directory(path.parent)
    return _told(Recovery(number, size, reason, kept))


def _cut(disk: Disk, path: Path, number: int, good: int, reason: str, now_ns: int) -> Recovery:
    kept = path.with_name(f"{number:012d}.torn-{now_ns}")
    segment = disk.open(path)
    try:
        torn = disk.create(kept)
        try:
            size = 0
            while block := disk.read_at(segment, _COPY_BYTES, good + size):
                size += write_all(disk, torn, block, size)
            disk.sync(torn)
        finally:
            disk.close(torn)
        disk.sync_directory(path.parent)
        disk.truncate(segment, good)
        disk.sync(segment)
    finally:
        disk.close(segment)
    return _told(Recovery(number, size, reason, kept))


def _told(recovery: Recovery) -> Recovery:
    _log.warning(
        "journal_tail_cut",
        segment=recovery.segment,
        bytes_cut=recovery.bytes_cut,
        reason=recovery.reason,
        kept=recovery.kept.name,
    )
    return recovery

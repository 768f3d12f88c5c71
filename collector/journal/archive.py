"""Compresses closed segments, and deletes them when they are old enough.

Nothing here is urgent, and nothing is deleted unchecked: a plain file is deleted only after its compressed copy was
read back from the disk and found equal, and a segment only when all its rows are committed. Segments are deleted when
the settings say so, and earlier if recording needs their space; then `keep_least_bytes` of them are kept.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

import structlog
import zstandard

from collector.journal.budget import Budget
from collector.journal.committed import remember, remembered
from collector.journal.disk import Disk, RealDisk, write_all
from collector.journal.errors import JournalError
from collector.journal.layout import HEADER_BYTES
from collector.journal.options import JournalOptions
from collector.journal.segments import (
    SegmentInfo,
    SegmentSource,
    Summary,
    compressed_path,
    encode_summary,
    segment_path,
    segments,
)
from collector.model import BEGINNING, Position

_log = structlog.get_logger()

_READ_CHUNK_BYTES: Final = 1 << 18
_DAY_NS: Final = 86_400 * 1_000_000_000


class CompressionError(JournalError):
    """A segment's compressed copy did not read back equal; the plain file stays."""


class Interrupted(Exception):  # noqa: N818  not an error
    """The journal is closing; the work is done again after the next start."""


class Archive:
    """Compresses and deletes the closed segments of one directory, in the caller's thread."""

    def __init__(
        self,
        directory: Path,
        options: JournalOptions,
        *,
        now_ns: Callable[[], int],
        last_ns: dict[int, int],
        disk: Disk | None = None,
        budget: Budget | None = None,
    ) -> None:
        self._directory = directory
        self._options = options
        self._disk: Disk = disk or RealDisk()
        self._budget = budget or Budget(directory, options, self._disk)
        self._now_ns = now_ns
        self._last_ns = last_ns
        self._stop = threading.Event()
        self._held_back = False
        self._remembered = remembered(directory)

    def stop(self) -> None:
        """Make `tidy` return soon, from any thread and for good."""
        self._stop.set()

    def tidy(self, active: int, committed: Position) -> int:
        """Delete segments that may be deleted, then compress the others; ``active`` is the segment being written.

        Returns how many segments were deleted.
        """
        deleted = 0
        try:
            deleted = self._retain(active, committed)
            self._remember(committed)
            if self._options.compress:
                self._compress(active)
        except Interrupted:
            pass
        except OSError as error:  # recording goes on; the next round tries again
            _log.error("journal_tidy_failed", error=str(error))
        return deleted

    def make_room(self, active: int) -> bool:
        """Delete segments that are known to be committed, to make room on a full disk; return whether any was deleted.

        Only used before the database has answered.
        """
        try:
            return self._retain(active, BEGINNING) > 0
        except OSError as error:
            _log.error("journal_tidy_failed", error=str(error))
            return False

    def _remember(self, committed: Position) -> None:
        if committed in (BEGINNING, self._remembered) or self._budget.refused:
            return
        with contextlib.suppress(OSError):  # it holds a lower bound, which stays true
            remember(self._disk, self._directory, committed)
            self._remembered = committed

    def _retain(self, active: int, committed: Position) -> int:
        """Delete segments that may be deleted, oldest first; return how many."""
        found = segments(self._directory)
        total = sum(info.bytes for info in found)
        deleted = held_back = 0
        for info, following in itertools.pairwise(found):
            if info.number >= active:
                break
            overdue = self._overdue(following, total)
            if info.number < committed.segment:
                reason = overdue or self._in_the_way(total - info.bytes)
            elif info.number < self._remembered.segment and committed == BEGINNING and self._budget.refused:
                reason = self._in_the_way(total - info.bytes)
            else:
                if overdue is None and not self._budget.pressing:
                    break
                held_back += info.bytes
                total -= info.bytes
                continue
            if reason is None:
                break
            self._delete(info, reason)
            total -= info.bytes
            deleted += 1
        if held_back and not self._held_back:
            _log.warning("retention_held_back", bytes=held_back, committed=committed, why="rows are not committed yet")
        self._held_back = bool(held_back)
        return deleted

    def _overdue(self, following: SegmentInfo, total: int) -> str | None:
        keep_bytes, keep_days = self._options.keep_bytes, self._options.keep_days
        if keep_bytes is not None and total > keep_bytes:
            return "keep_bytes"
        # A segment's last record is at least as old as the next file.
        if keep_days is not None and 0 < following.created_ns < self._now_ns() - keep_days * _DAY_NS:
            return "keep_days"
        return None

    def _in_the_way(self, left: int) -> str | None:
        """Return why a segment should be deleted although it may be kept; `left` bytes of segments remain after it."""
        if left < self._options.keep_least_bytes:
            return None
        if self._budget.over_size():
            return "disk budget"
        if self._budget.lacks_space():
            return "disk full" if self._budget.refused else "disk budget"
        return None

    def _delete(self, info: SegmentInfo, reason: str) -> None:
        free_before = self._budget.look()
        self._disk.unlink(segment_path(self._directory, info.number))
        self._disk.unlink(compressed_path(self._directory, info.number))
        self._last_ns.pop(info.number, None)
        _log.info("segment_deleted", segment=info.number, bytes=info.bytes, reason=reason)
        self._budget.deleted(info.bytes, free_before)

    def _compress(self, active: int) -> None:
        for info in segments(self._directory):
            if info.compressed or info.number >= active:
                continue
            # Deleting is quicker and comes first in the next round, and a copy must not use up the journal's last
            # space.
            if self._budget.pressing or not self._budget.has_room_for(info.bytes):
                return
            try:
                self._compress_one(info)
            except (OSError, zstandard.ZstdError, JournalError) as error:
                _log.warning("segment_compression_failed", segment=info.number, error=str(error))
                if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                    return

    def _compress_one(self, info: SegmentInfo) -> None:
        target = compressed_path(self._directory, info.number)
        unfinished = target.with_name(target.name + ".tmp")
        self._disk.unlink(unfinished)  # left by an attempt that could not clean up either
        try:
            with info.path.open("rb", buffering=0) as plain:
                packed_bytes = self._pack(info, plain, unfinished)
                plain.seek(0)
                self._compare(plain, unfinished, info.number)
            self._disk.replace(unfinished, target)
        except BaseException:
            self._disk.unlink(unfinished)
            raise
        self._disk.sync_directory(self._directory)
        self._disk.unlink(info.path)
        self._last_ns.pop(info.number, None)
        _log.info("segment_compressed", segment=info.number, bytes=info.bytes, packed=packed_bytes)

    def _pack(self, info: SegmentInfo, plain: BinaryIO, target: Path) -> int:
        header = plain.read(HEADER_BYTES).ljust(HEADER_BYTES, b"\0")
        plain.seek(0)
        packed = self._disk.create(target)
        try:
            summary = Summary(header, info.bytes, self._last_ns.get(info.number, 0))
            offset = write_all(self._disk, packed, encode_summary(summary), 0)
            stream = zstandard.ZstdCompressor(level=self._options.level, write_checksum=True).compressobj(info.bytes)
            while block := self._block(plain):
                offset += write_all(self._disk, packed, stream.compress(block), offset)
            offset += write_all(self._disk, packed, stream.flush(), offset)
            self._disk.sync(packed)
        finally:
            self._disk.close(packed)
        return offset

    def _compare(self, plain: BinaryIO, packed: Path, number: int) -> None:
        with SegmentSource.of(packed, number) as source:
            while block := self._block(plain):
                if source.read(len(block)) != block:
                    raise CompressionError(source.damage or "the compressed copy differs from the segment")
            if source.read(1):
                raise CompressionError("the compressed copy is longer than the segment")

    def _block(self, file: BinaryIO) -> bytes:
        if self._stop.is_set():
            raise Interrupted
        return file.read(_READ_CHUNK_BYTES)

"""What becomes of closed segments: they are compressed, kept, and one day deleted.

Nothing here is in a hurry, and nothing is deleted on trust: a plain file goes only when its compressed twin has been
read back from the disk and found equal, and a segment goes only when all its rows are committed.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

import structlog
import zstandard

from collector.journal.budget import Budget
from collector.journal.disk import Disk, RealDisk, write_all
from collector.journal.errors import JournalError
from collector.journal.layout import HEADER_BYTES, Position
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

_log = structlog.get_logger()

_CHUNK_BYTES: Final = 1 << 18
_DAY_NS: Final = 86_400 * 1_000_000_000


class CompressionError(JournalError):
    """A segment's compressed copy did not read back equal; the plain file stays."""


class Interrupted(Exception):  # noqa: N818  not an error
    """The journal is closing; the work is done again after the next start."""


class Archive:
    """Looks after the closed segments of one directory, on a thread of the caller's."""

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

    def stop(self) -> None:
        """Make `tidy` return soon, from any thread and for good."""
        self._stop.set()

    def tidy(self, active: int, committed: Position) -> None:
        """Delete what may go, then compress what is left; ``active`` is the segment being written."""
        try:
            self._retain(active, committed)
            if self._options.compress:
                self._compress(active)
        except Interrupted:
            return
        except OSError as error:  # no reason to stop recording; the next round tries again
            _log.error("journal_tidy_failed", error=str(error))

    def _retain(self, active: int, committed: Position) -> None:
        found = segments(self._directory)
        total = sum(info.bytes for info in found)
        refused = 0
        for info, following in itertools.pairwise(found):
            reason = self._too_much(info, following, total)
            if reason is None or info.number >= active:
                break
            if info.number >= committed.segment:
                refused += info.bytes
                total -= info.bytes
                continue
            self._disk.unlink(segment_path(self._directory, info.number))
            self._disk.unlink(compressed_path(self._directory, info.number))
            self._last_ns.pop(info.number, None)
            total -= info.bytes
            self._budget.deleted(info.bytes)
            _log.info("segment_deleted", segment=info.number, bytes=info.bytes, reason=reason)
        if refused and not self._held_back:
            _log.warning("retention_held_back", bytes=refused, committed=committed, why="rows are not committed yet")
        self._held_back = bool(refused)

    def _too_much(self, info: SegmentInfo, following: SegmentInfo, total: int) -> str | None:
        keep_bytes, keep_days = self._options.keep_bytes, self._options.keep_days
        if keep_bytes is not None and total > keep_bytes:
            return "keep_bytes"
        if self._budget.excess() > 0:
            return "disk budget"
        # A segment's last record is no younger than the file after it.
        if keep_days is not None and 0 < following.created_ns < self._now_ns() - keep_days * _DAY_NS:
            return "keep_days"
        return None

    def _compress(self, active: int) -> None:
        for info in segments(self._directory):
            if info.compressed or info.number >= active:
                continue
            try:
                self._compress_one(info)
            except (OSError, zstandard.ZstdError, JournalError) as error:
                _log.warning("segment_compression_failed", segment=info.number, error=str(error))
            if self._budget.excess() > 0:  # deleting is quicker, and comes first in the next round
                return

    def _compress_one(self, info: SegmentInfo) -> None:
        target = compressed_path(self._directory, info.number)
        unfinished = target.with_name(target.name + ".tmp")
        self._disk.unlink(unfinished)  # of an attempt that could not even be tidied up
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
        return file.read(_CHUNK_BYTES)

"""Writes sealed chunks into segment files, in order, and syncs them.

This runs in a separate thread, so that the event loop never waits for a disk. A segment is begun only after the one
before is completely on the disk, even if an earlier process wrote it: so after a crash only the last file can be
incomplete.
"""

from __future__ import annotations

import threading
from collections import deque
from pathlib import Path

from collector.journal.disk import Disk
from collector.journal.recovery import Remains
from collector.journal.segment_file import SegmentFile
from collector.journal.segments import segment_path
from collector.journal.tail import Chunk
from collector.model import Position


class SegmentWriter:
    """Writes chunks in one thread; its properties may be read from any thread."""

    def __init__(
        self,
        disk: Disk,
        directory: Path,
        segment: int,
        chunks: deque[Chunk],
        *,
        end: Position | None = None,
        remains: Remains | None = None,
    ) -> None:
        self._disk = disk
        self._directory = directory
        self._chunks = chunks
        self._remains = remains
        self._lock = threading.Lock()
        self._file: SegmentFile | None = None
        self._earlier_bytes = 0
        self._written = end or Position(segment, 0)
        self.durable = Position(self._written.segment, 0) if remains else self._written
        """Up to here everything survives a power cut."""
        self.written_bytes = 0
        self.durable_bytes = 0

    def __repr__(self) -> str:
        return f"<SegmentWriter {self._file or 'not begun'} chunks={len(self._chunks)}>"

    @property
    def begun(self) -> bool:
        """Whether anything of this process is on the disk."""
        return self.durable_bytes > 0

    @property
    def written(self) -> Position:
        """Up to here a reader finds everything; after a sync that failed that is less than before."""
        file, remains = self._file, self._remains
        if file is not None:
            return Position(file.number, file.synced) if file.suspect else self._written
        return self.durable if remains is not None and remains.suspect else self._written

    @property
    def suspect(self) -> bool:
        """Whether a sync has failed, so that the data since the last good one has to be written again."""
        return self._file is not None and self._file.suspect

    @property
    def rebuild_bytes(self) -> int:
        """Bytes that have to be written again in addition to the chunks."""
        file = self._file
        if file is not None:
            return file.written if file.suspect else 0
        return self._written.offset if self._remains is not None and self._remains.suspect else 0

    def write(self) -> None:
        """Write all sealed chunks; after an OSError those not written stay queued."""
        with self._lock:
            self._write()

    def write_and_sync(self) -> None:
        """Write all sealed chunks, and return when they are on the disk. After an OSError call it again."""
        with self._lock:
            self._write()
            self._sync()

    def close(self) -> None:
        """Close the file. Call `write_and_sync` first."""
        with self._lock:
            if self._file is not None:
                self._file.close()

    def _write(self) -> None:
        if self._file is not None:
            self._file.mend()
        while self._chunks:
            chunk = self._chunks[0]
            file = self._file
            if file is None or chunk.segment != file.number:
                file = self._begin(chunk.segment)
            file.write(chunk.data)
            self._chunks.popleft()
            self.written_bytes += len(chunk.data)
            self._written = Position(chunk.segment, file.written)

    def _begin(self, segment: int) -> SegmentFile:
        if self._file is not None:
            self._sync()
            self._file.close()
        elif self._remains is not None:
            self._remains.secure()
            self.durable = self._written
            self._remains.clear()
        file = SegmentFile(self._disk, segment_path(self._directory, segment), segment)
        if self._file is not None:
            self._earlier_bytes += self._file.written
        self._file = file
        return file

    def _sync(self) -> None:
        file = self._file
        if file is not None:
            file.sync()
            self.durable = Position(file.number, file.synced)
            self.durable_bytes = self._earlier_bytes + file.synced

"""The side of the journal that waits for disks: sealed chunks go into files, in order, and are forced down.

Runs on a thread of its own so that the event loop never waits for a disk; a lock lets the loop do the same work at
once where it must (`Journal.flush_now`). A segment is begun only after the one before it is wholly on the disk:
after a crash only the last file can be torn.
"""

from __future__ import annotations

import threading
from collections import deque
from pathlib import Path

from collector.journal.disk import Disk
from collector.journal.layout import Position
from collector.journal.segment_file import SegmentFile
from collector.journal.segments import segment_path
from collector.journal.tail import Chunk


class SegmentWriter:
    """Writes chunks; `written` and `durable` may be read from any thread."""

    def __init__(self, disk: Disk, directory: Path, segment: int, chunks: deque[Chunk]) -> None:
        self._disk = disk
        self._directory = directory
        self._chunks = chunks
        self._lock = threading.Lock()
        self._file = SegmentFile(disk, segment_path(directory, segment), segment)
        self._earlier_bytes = 0
        self.written = self.durable = Position(segment, 0)
        self.written_bytes = 0
        self.durable_bytes = 0

    def __repr__(self) -> str:
        return f"<SegmentWriter {self._file!r} chunks={len(self._chunks)}>"

    def write(self) -> None:
        """Write all sealed chunks; on OSError what was not written stays queued."""
        with self._lock:
            self._write()

    def write_and_sync(self) -> None:
        """Write all sealed chunks and return when they are on the disk; on OSError call it again."""
        with self._lock:
            self._write()
            self._sync()

    def close(self) -> None:
        """Close the file. Call `write_and_sync` first."""
        with self._lock:
            self._file.close()

    def _write(self) -> None:
        while self._chunks:
            chunk = self._chunks[0]
            if chunk.segment != self._file.number:
                self._begin(chunk.segment)
            self._file.write(chunk.data)
            self._chunks.popleft()
            self.written_bytes += len(chunk.data)
            self.written = Position(chunk.segment, self._file.written)

    def _begin(self, segment: int) -> None:
        self._sync()
        self._file.close()
        file = SegmentFile(self._disk, segment_path(self._directory, segment), segment)
        self._earlier_bytes += self._file.written
        self._file = file

    def _sync(self) -> None:
        self._file.sync()
        self.durable = Position(self._file.number, self._file.synced)
        self.durable_bytes = self._earlier_bytes + self._file.synced

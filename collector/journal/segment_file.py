"""One segment file that is being written, with its handling of disk failures.

A failed or partial write is cut off and repeated at the same offset. A failed fsync cannot be repeated: the kernel
reports the error once and may then drop the pages as if they had been written, so that a second fsync succeeds without
meaning anything. So everything since the last good fsync is kept in memory, and after a failure the whole file is
written again under the same name. Records keep their positions, and readers keep the old file.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from itertools import count
from pathlib import Path
from typing import Final

import structlog

from collector.journal.disk import Disk, write_all

log = structlog.get_logger()

_COPY_CHUNK_BYTES: Final = 1 << 20


class SegmentFile:
    """A segment open for writing. Not thread-safe; `SegmentWriter` uses it from one thread only.

    `adopted`: the file was written by a process that died before it synced it. All of it counts as not synced, and is
    kept in memory until it is.
    """

    def __init__(self, disk: Disk, path: Path, number: int, *, adopted: bool = False) -> None:
        self.number = number
        self.path = path
        self.written = 0
        self.synced = 0
        self.suspect = False
        """Whether a sync has failed, so that it is unknown what the disk holds of the data since the last good one."""
        self._disk = disk
        self._named = False
        self._unsynced: list[bytearray] = []
        self._fd: int | None = None
        if adopted:
            self._adopt()
        else:
            self._fd = _make(disk, path)

    def __repr__(self) -> str:
        state = "closed" if self._fd is None else "suspect" if self.suspect else "open"
        return f"<SegmentFile {self.number} {state} written={self.written} synced={self.synced}>"

    def write(self, data: bytearray) -> None:
        """Append all of the data, or raise OSError and leave the file as it was."""
        self.mend()
        fd = self._descriptor()
        try:
            write_all(self._disk, fd, data, self.written)
        except OSError:
            # If this fails too, nothing is lost: the next attempt overwrites the same bytes, and no reader
            # goes past what has been reported as written.
            with contextlib.suppress(OSError):
                self._disk.truncate(fd, self.written)
            raise
        self._unsynced.append(data)
        self.written += len(data)

    def sync(self) -> None:
        """Return when everything written is on the disk, or raise OSError and remember to distrust the file."""
        if self.suspect:
            self._rebuild()
            return
        if self._named and self.synced == self.written:
            return
        try:
            self._disk.sync(self._descriptor())
            if not self._named:
                self._disk.sync_directory(self.path.parent)
        except OSError:
            self.suspect = True
            raise
        self._settle()

    def mend(self) -> None:
        """Write the file again if it is suspect; raises OSError."""
        if self.suspect:
            self._rebuild()

    def close(self) -> None:
        """Close the file; data that is not synced is dropped."""
        if self._fd is not None:
            fd, self._fd = self._fd, None
            self._disk.close(fd)

    def _adopt(self) -> None:
        fd = self._disk.open(self.path)
        content = bytearray()
        try:
            while block := self._disk.read_at(fd, _COPY_CHUNK_BYTES, len(content)):
                content += block
        except OSError:
            with contextlib.suppress(OSError):  # the first error is the one to report
                self._disk.close(fd)
            raise
        self._fd = fd
        self._unsynced.append(content)
        self.written = len(content)

    def _settle(self) -> None:
        self._named = True
        self.suspect = False
        self.synced = self.written
        self._unsynced.clear()

    def _rebuild(self) -> None:
        old = self._descriptor()
        path = self.path.with_name(self.path.name + ".rebuilt")
        self._disk.unlink(path)
        new = self._disk.create(path)
        try:
            offset = 0
            while offset < self.synced:
                block = self._read_at(old, min(_COPY_CHUNK_BYTES, self.synced - offset), offset)
                offset += write_all(self._disk, new, block, offset)
            for data in self._unsynced:
                offset += write_all(self._disk, new, data, offset)
            self._disk.sync(new)
            self._disk.replace(path, self.path)
        except OSError:
            with contextlib.suppress(OSError):  # the first error is the one to report
                self._disk.close(new)
            raise
        self._fd = new
        with contextlib.suppress(OSError):  # the old file is not trusted any more
            self._disk.close(old)
        self._disk.sync_directory(self.path.parent)
        self._settle()

    def _read_at(self, fd: int, size: int, offset: int) -> bytes:
        block = self._disk.read_at(fd, size, offset)
        if not block:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(self.path))
        return block

    def _descriptor(self) -> int:
        assert self._fd is not None, f"{self!r} is used after close"
        return self._fd


def _make(disk: Disk, path: Path) -> int:
    try:
        return disk.create(path)
    except FileExistsError:
        # An empty file may be ours, of a creation that was reported as failed. No other file is.
        about = path.lstat()
        if stat.S_ISREG(about.st_mode) and not about.st_size:
            disk.unlink(path)
        else:
            _move_aside(disk, path)
        return disk.create(path)


def _move_aside(disk: Disk, path: Path) -> None:
    """Rename whatever has the segment's name, so that it cannot stop the recording."""
    aside = next(
        candidate
        for number in count(1)
        if not os.path.lexists(candidate := path.with_name(f"{path.name}.not-ours-{number}"))
    )
    disk.replace(path, aside)
    log.warning("journal_place_taken", path=str(path), moved_to=str(aside))

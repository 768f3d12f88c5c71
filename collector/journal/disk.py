"""The few calls to the operating system that writing needs, behind an interface.

Disks fail in ways that cannot be had on request, so the writer gets its disk passed in. Reading, compressing and
deleting use ordinary files: their failures lose nothing.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Protocol

from collector.journal.errors import JournalLocked


class Disk(Protocol):
    """What `SegmentFile` asks of a disk. Every method raises OSError."""

    def create(self, path: Path) -> int:
        """Open a new file for reading and writing; one of that name must not exist."""
        ...

    def write_at(self, fd: int, data: memoryview, offset: int) -> int:
        """Write at an offset and return how many bytes were taken, which may be fewer than given."""
        ...

    def read_at(self, fd: int, size: int, offset: int) -> bytes: ...

    def truncate(self, fd: int, size: int) -> None: ...

    def sync(self, fd: int) -> None:
        """Return when the file's bytes are on the disk."""
        ...

    def replace(self, source: Path, target: Path) -> None: ...

    def sync_directory(self, directory: Path) -> None:
        """Return when the directory's names are on the disk."""
        ...

    def close(self, fd: int) -> None: ...

    def free_bytes(self, directory: Path) -> int:
        """Return how many bytes are free there for this user."""
        ...


class RealDisk:
    """The machine's own."""

    def create(self, path: Path) -> int:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)

    def write_at(self, fd: int, data: memoryview, offset: int) -> int:
        return os.pwrite(fd, data, offset)

    def read_at(self, fd: int, size: int, offset: int) -> bytes:
        return os.pread(fd, size, offset)

    def truncate(self, fd: int, size: int) -> None:
        os.ftruncate(fd, size)

    def sync(self, fd: int) -> None:
        os.fdatasync(fd)

    def replace(self, source: Path, target: Path) -> None:
        source.replace(target)

    def sync_directory(self, directory: Path) -> None:
        sync_directory(directory)

    def close(self, fd: int) -> None:
        os.close(fd)

    def free_bytes(self, directory: Path) -> int:
        found = os.statvfs(directory)
        return found.f_bavail * found.f_frsize


def sync_directory(directory: Path) -> None:
    """Return when the directory's names are on the disk."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class DirectoryLock:
    """The right to write into a directory; the kernel gives it back when the process dies."""

    def __init__(self, directory: Path) -> None:
        path = directory / "lock"
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(self._fd, 100, 0).decode("ascii", "replace").strip()
            os.close(self._fd)
            raise JournalLocked(directory, owner) from None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"process {os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let another process have the directory."""
        os.close(self._fd)

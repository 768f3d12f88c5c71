"""The operating system's calls that write, rename and delete, behind an interface.

Tests need disks that fail, so everything that changes the journal's folder gets its disk as a parameter. Reading uses
ordinary files, since a failure there loses nothing.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from collector.journal.errors import JournalLocked

# File descriptors that are kept open unused, and closed when none are left: the journal must always be able to open its
# next segment.
RESERVED_DESCRIPTORS: Final = 8
_NO_DESCRIPTOR_ERRORS: Final = (errno.EMFILE, errno.ENFILE)


class Disk(Protocol):
    """What the journal asks of a disk. Every method raises OSError."""

    def create(self, path: Path) -> int:
        """Open a new file for reading and writing; no file of that name may exist."""
        ...

    def open(self, path: Path) -> int:
        """Open a file that exists, for reading and writing."""
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

    def unlink(self, path: Path) -> None:
        """Delete a file; it is no error if there is none."""
        ...

    def sync_directory(self, directory: Path) -> None:
        """Return when the directory's names are on the disk."""
        ...

    def close(self, fd: int) -> None: ...

    def free_bytes(self, directory: Path) -> int:
        """Return how many bytes are free there for this user; 0 where no more files can be made."""
        ...

    def release(self) -> None:
        """Close reserved file descriptors; nothing more will be opened."""
        ...


class RealDisk:
    """The machine's own. With a `reserve` a new file is opened though the process has no descriptor left."""

    _wanted = 0
    _reserve: tuple[int, ...] = ()

    def __init__(self, *, reserve: int = 0) -> None:
        self._wanted = reserve
        self._refill()

    def create(self, path: Path) -> int:
        fd = self._opened(lambda: os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        self._refill()
        return fd

    def open(self, path: Path) -> int:
        return self._opened(lambda: os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC))

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

    def unlink(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def sync_directory(self, directory: Path) -> None:
        fd = self._opened(lambda: os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def close(self, fd: int) -> None:
        os.close(fd)

    def free_bytes(self, directory: Path) -> int:
        found = os.statvfs(directory)
        if found.f_files and not found.f_favail:  # some file systems do not count them
            return 0
        return found.f_bavail * found.f_frsize

    def release(self) -> None:
        self._wanted = 0
        while self._reserve:
            self._give_up()

    def _opened(self, work: Callable[[], int]) -> int:
        while True:
            try:
                return work()
            except OSError as error:
                if error.errno not in _NO_DESCRIPTOR_ERRORS or not self._reserve:
                    raise
                self._give_up()  # another thread may take the one that was freed, hence more than one

    def _refill(self) -> None:
        with suppress(OSError):
            while len(self._reserve) < self._wanted:
                self._reserve += (os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC),)

    def _give_up(self) -> None:
        *kept, last = self._reserve
        self._reserve = tuple(kept)
        os.close(last)


def sync_directory(directory: Path) -> None:
    """Return when the directory's names are on the disk."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def new_file(path: Path) -> BinaryIO:
    """Open a file that was not there before: whatever has its name is removed, and no link is followed."""
    path.unlink(missing_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    return os.fdopen(fd, "wb", buffering=0)


def private_folder(path: Path) -> None:
    """Make a folder and its missing parents, accessible to this account only."""
    if not path.parent.exists():
        private_folder(path.parent)
    path.mkdir(0o700, exist_ok=True)


def _strange(directory: Path) -> bool:
    """Whether we are root in a folder of another account, who may have put anything there."""
    return os.geteuid() == 0 and directory.stat().st_uid != 0


def write_all(disk: Disk, fd: int, data: bytes | bytearray, offset: int) -> int:
    """Write all data at an offset and return its size. After an OSError a part may be written."""
    with memoryview(data) as whole:
        done = 0
        while done < len(data):
            taken = disk.write_at(fd, whole[done:], offset + done)
            if taken == 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            done += taken
    return done


class DirectoryLock:
    """The right to write into a directory; the kernel releases it when the process dies."""

    def __init__(self, directory: Path) -> None:
        path = directory / "lock"
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
        about = os.fstat(self._fd)
        if not stat.S_ISREG(about.st_mode) or (_strange(directory) and about.st_nlink > 1):
            os.close(self._fd)
            raise OSError(errno.EPERM, "is no file of this journal's own", str(path))
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(self._fd, 100, 0).decode("ascii", "replace").strip()
            os.close(self._fd)
            raise JournalLocked(directory, owner) from None
        ours = f"process {os.getpid()}\n".encode()
        with suppress(OSError):  # only people read it, and the disk may be full
            os.pwrite(self._fd, ours, 0)
            os.ftruncate(self._fd, len(ours))

    def release(self) -> None:
        """Let another process have the directory. May be called again."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

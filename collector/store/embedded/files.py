"""Files in folders that another account may write to, reached without following what that account may have put there.

A daemon that runs as root keeps its database's files as an ordinary account's. Whoever becomes that account must not be
able to make root write elsewhere: so folders are held open while something is done in them, a name in them is never
followed when it is a link, a new file is a new one, and rights are changed on what is open, not on a name.
"""

from __future__ import annotations

__all__ = ["append", "create", "held", "made", "names", "read", "remove", "write"]

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from collector.store.embedded.account import Account

# Bytes that are read of a text, from its end: the longest is a log, of which the last lines matter.
TEXT_MAX_BYTES: Final = 1 << 16
_PASS_FLAGS: Final = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC  # to go on from; who may only pass through can have it
_FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@contextmanager
def held(folder: Path, *inner: str) -> Iterator[int]:
    """Give a descriptor of a folder within another one; only what is inside may be another account's.

    A link inside is followed only where nobody but ourselves can have made it.
    """
    descriptor = os.open(folder, _PASS_FLAGS)
    try:
        for name in inner:
            below = _inside(descriptor, name, _PASS_FLAGS)
            os.close(descriptor)
            descriptor = below
        yield descriptor
    finally:
        os.close(descriptor)


def _inside(folder: int, name: str, flags: int) -> int:
    about = os.fstat(folder)
    ours = about.st_uid == os.geteuid() and not about.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return os.open(name, flags | (0 if ours else os.O_NOFOLLOW), dir_fd=folder)


def made(folder: int, name: str, account: Account, mode: int = 0o700) -> None:
    """Make a folder where there is none, and have it the account's with these rights, whoever made it."""
    with suppress(FileExistsError):
        os.mkdir(name, mode, dir_fd=folder)
    descriptor = _inside(folder, name, _FOLDER_FLAGS)
    try:
        about = os.fstat(descriptor)
        if account.switch and (about.st_uid, about.st_gid) != (account.uid, account.gid):
            os.fchown(descriptor, account.uid, account.gid)
        if stat.S_IMODE(about.st_mode) != mode and os.geteuid() in (0, about.st_uid):
            os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)


def names(folder: int) -> list[str]:
    """Return what is in a folder, in order."""
    descriptor = os.open(".", _FOLDER_FLAGS, dir_fd=folder)
    try:
        with os.scandir(descriptor) as entries:
            return sorted(entry.name for entry in entries)
    finally:
        os.close(descriptor)


def read(folder: int, name: str, *, last_bytes: int = TEXT_MAX_BYTES) -> str:
    """Return a file's text, of a long one the end. OSError for what is no plain file, such as a link or a pipe."""
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise OSError(errno.EINVAL, "is no plain file", name)
        return os.pread(descriptor, last_bytes, max(0, about.st_size - last_bytes)).decode(errors="replace")
    finally:
        os.close(descriptor)


def create(folder: int, name: str, account: Account) -> int:
    """Return a descriptor of a new file of mode 0600 that belongs to the account; one of that name is removed."""
    remove(folder, name)
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder)
    if account.switch:
        os.fchown(descriptor, account.uid, account.gid)
    return descriptor


def write(folder: int, name: str, text: str, account: Account) -> None:
    """Put a file in place whole: after a crash there is the old one or the new one."""
    beside = f"{name}.new"
    with os.fdopen(create(folder, beside, account), "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, name, src_dir_fd=folder, dst_dir_fd=folder)


def append(folder: int, name: str, text: str, account: Account) -> None:
    """Add to a file of the account's; OSError for any other one, whatever name it was given there."""
    descriptor = os.open(name, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    with os.fdopen(descriptor, "a") as file:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode) or about.st_uid != account.uid or about.st_nlink != 1:
            raise OSError(errno.EPERM, "is not the database account's own file", name)
        file.write(text)


def remove(folder: int, name: str) -> None:
    """Remove a name where there is one; a link's target stays."""
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)

"""The folder of an export: it appears whole, under its own name, or not at all."""

from __future__ import annotations

__all__ = ["Place"]

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from collector.data.errors import ExportError
from collector.data.manifest import MANIFEST, load

READ_ONLY_FILE, READ_ONLY_FOLDER = 0o444, 0o555


class Place:
    """Where an export goes. It is made beside it as `.NAME.partial` and renamed when everything is on the disk.

    What a killed export left there is removed by the next one to the same place; two at a time are refused.
    """

    def __init__(self, wanted: Path, *, replace: bool = False) -> None:
        self.wanted = wanted.absolute()
        self.partial = self.wanted.with_name(f".{self.wanted.name}.partial")
        self._old = self.wanted.with_name(f".{self.wanted.name}.old")
        self._replace = replace

    @contextmanager
    def making(self) -> Iterator[Path]:
        """Give the folder to fill; it is gone after the block unless `finish` was called in it."""
        self._refuse_what_is_there()
        try:
            self.wanted.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ExportError(f"{self.wanted} cannot be made: {error.strerror}") from error
        lock = self.wanted.with_name(f".{self.wanted.name}.lock")
        try:
            with _held(lock):
                _remove(self.partial)
                if self._old.exists() and not self.wanted.exists():
                    self._old.rename(self.wanted)  # we were killed between the two renames of a replacement
                    self._refuse_what_is_there()
                _remove(self._old)
                self.partial.mkdir()
                try:
                    yield self.partial
                finally:
                    _remove(self.partial)
        except OSError as error:
            raise ExportError(f"{error.filename or self.wanted}: {error.strerror or error}") from error

    def finish(self, *, read_only: bool) -> None:
        """Make everything durable and give it its name; `read_only` takes every right to write."""
        for path in sorted(self.partial.rglob("*"), reverse=True):  # what is inside comes before its folder
            if path.is_dir():
                _sync_folder(path)
            if read_only:
                path.chmod(READ_ONLY_FOLDER if path.is_dir() else READ_ONLY_FILE)
        _sync_folder(self.partial)
        if self.wanted.is_dir() and any(self.wanted.iterdir()):
            self.wanted.rename(self._old)
        self.partial.rename(self.wanted)
        if read_only:
            self.wanted.chmod(READ_ONLY_FOLDER)
        _sync_folder(self.wanted.parent)
        _remove(self._old)

    def _refuse_what_is_there(self) -> None:
        if not self.wanted.exists():
            return
        if not self.wanted.is_dir():
            raise ExportError(f"{self.wanted} is a file: name a folder")
        if not any(self.wanted.iterdir()):
            return
        if not (self.wanted / MANIFEST).exists():
            raise ExportError(f"{self.wanted} holds something that is not an export: name another folder")
        if load(self.wanted).get("sealed"):
            raise ExportError(f"{self.wanted} holds a sealed day, which stays as it is: name another folder")
        if not self._replace:
            raise ExportError(f"{self.wanted} holds an export: name another folder, or --replace it")


@contextmanager
def _held(path: Path) -> Iterator[None]:
    # Beside the export may be a folder that others write to: a link of theirs is not followed.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.samefile(f"/proc/self/fd/{file.fileno()}")  # and not one that its last holder has just removed
        except (BlockingIOError, FileNotFoundError):
            raise ExportError(f"another export to {path.name[1 : -len('.lock')]} is at work") from None
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _remove(folder: Path) -> None:
    if folder.is_symlink():
        folder.unlink()
    elif folder.exists():
        for path in (folder, *folder.rglob("*")):
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o755)
        shutil.rmtree(folder)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

"""What the journal's tests share: segments made without a disk thread, and a disk that fails on request."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from collector.journal import Journal, JournalOptions, Kind
from collector.journal.disk import RealDisk
from collector.journal.segments import segment_path
from collector.journal.tail import Tail

Item = tuple[int, Kind, int, bytes]
WriteSegments = Callable[..., Path]
OpenJournal = Callable[..., AbstractAsyncContextManager[Journal]]

NOW_NS = 1_700_000_000_000_000_000


@pytest.fixture
def write_segments(tmp_path: Path) -> WriteSegments:
    """Write records into segment files, as a journal would that was closed."""

    def write(items: Iterable[Item], *, first: int = 1, segment_bytes: int = 1 << 20) -> Path:
        tail = Tail(first, segment_bytes=segment_bytes, now_ns=lambda: NOW_NS)
        for item in items:
            tail.append(*item[:2], *item[2:])
        tail.seal()
        for chunk in tail.sealed:
            with segment_path(tmp_path, chunk.segment).open("ab") as file:
                file.write(chunk.data)
        return tmp_path

    return write


class FaultyDisk(RealDisk):
    """A real disk that fills up, writes in bits, loses pages on a failed sync, and can be held still."""

    def __init__(self) -> None:
        self.free: int | None = None
        self.most: int | None = None
        self.failing_syncs = 0
        self.failing_replaces = 0
        self.failing_creates = 0
        self.failing_directory_syncs = 0
        self.syncs = 0
        self.moving = threading.Event()
        self.moving.set()
        self.touched = threading.Event()
        self._synced: dict[int, int] = {}

    def create(self, path: Path) -> int:
        if self.failing_creates:
            self.failing_creates -= 1
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        fd = super().create(path)
        self._synced[fd] = 0
        return fd

    def open(self, path: Path) -> int:
        fd = super().open(path)
        self._synced[fd] = 0  # for all that is known
        return fd

    def write_at(self, fd: int, data: memoryview, offset: int) -> int:
        self.touched.set()
        assert self.moving.wait(30)
        size = len(data) if self.most is None else min(self.most, len(data))
        if self.free is not None:
            if not self.free:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            size = min(size, self.free)
            self.free -= size
        return super().write_at(fd, data[:size], offset)

    def sync(self, fd: int) -> None:
        self.syncs += 1
        if self.failing_syncs:
            self.failing_syncs -= 1
            lost = os.fstat(fd).st_size - self._synced[fd]
            os.pwrite(fd, bytes(lost), self._synced[fd])
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().sync(fd)
        self._synced[fd] = os.fstat(fd).st_size

    def replace(self, source: Path, target: Path) -> None:
        if self.failing_replaces:
            self.failing_replaces -= 1
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().replace(source, target)

    def sync_directory(self, directory: Path) -> None:
        if self.failing_directory_syncs:
            self.failing_directory_syncs -= 1
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().sync_directory(directory)


@pytest.fixture
def disk() -> FaultyDisk:
    return FaultyDisk()


@pytest.fixture
def open_journal(tmp_path: Path) -> OpenJournal:
    """Open a journal, run it unless told otherwise, and close it."""

    @contextlib.asynccontextmanager
    async def opened(
        options: JournalOptions | None = None,
        *,
        running: bool = True,
        disk: RealDisk | None = None,
        now_ns: Callable[[], int] = lambda: NOW_NS,
    ) -> AsyncIterator[Journal]:
        journal = await Journal.open(
            tmp_path,
            options or JournalOptions(write_interval_s=0.001, sync_interval_s=0.002),
            now_ns=now_ns,
            disk=disk,
            delays=lambda: iter([0.001] * 10_000),
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                task = tasks.create_task(journal.run()) if running else None
                yield journal
                if task:
                    task.cancel()
        finally:
            await journal.close()

    return opened

"""What the journal asks of the system when there is little left."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from collector.journal import Journal, JournalOptions, Kind
from collector.journal.disk import RESERVED_DESCRIPTORS, RealDisk

from .conftest import NOW_NS


@contextmanager
def no_descriptors() -> Iterator[ExitStack]:
    """Take all that are left; whoever closes the stack gives them back."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir("/proc/self/fd")))
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 10, before[1]))
    try:
        with ExitStack() as taken:
            try:
                while True:
                    taken.callback(os.close, os.open(os.devnull, os.O_RDONLY))
            except OSError:
                yield taken
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_reserve_opens_files_when_there_are_no_descriptors_left_and_is_filled_again(tmp_path: Path) -> None:
    before = descriptors()
    disk = RealDisk(reserve=4)
    with no_descriptors() as taken:
        opened = [disk.create(tmp_path / str(number)) for number in range(3)]
        disk.sync_directory(tmp_path)
        opened.append(disk.create(tmp_path / "last"))
        with pytest.raises(OSError, match="Too many open files"):
            disk.create(tmp_path / "one too many")
        taken.close()
        for fd in opened:
            disk.close(fd)
        disk.close(disk.create(tmp_path / "later"))
        assert descriptors() == before + 4
    disk.release()
    assert descriptors() == before


def test_without_a_reserve_the_error_is_told(tmp_path: Path) -> None:
    with no_descriptors(), pytest.raises(OSError, match="Too many open files"):
        RealDisk().create(tmp_path / "x")


async def test_a_journal_begins_its_next_segment_without_a_descriptor_to_spare(tmp_path: Path) -> None:
    before = descriptors()
    journal = await Journal.open(tmp_path, JournalOptions(segment_bytes=1000), now_ns=lambda: NOW_NS)
    await journal.flush()  # its thread is there now
    with no_descriptors():
        for _ in range(RESERVED_DESCRIPTORS):
            journal.append(1, Kind.FRAME, NOW_NS, bytes(900))
            await journal.flush()
        assert journal.fault is None
        assert journal.written == journal.end
    await journal.close()
    assert descriptors() == before

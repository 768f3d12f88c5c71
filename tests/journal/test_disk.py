"""What the journal asks of the system: with little left, and where others may have put something in its way."""

from __future__ import annotations

import os
import resource
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from collector.journal import Journal, JournalOptions, Kind
from collector.journal.disk import RESERVED_DESCRIPTORS, DirectoryLock, RealDisk, new_file, private_folder

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


# -- what others may have put there ------------------------------------------------------------------------------------


def test_a_link_in_the_lock_s_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("kept")
    (tmp_path / "lock").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="symbolic links"):
        DirectoryLock(tmp_path)
    assert (tmp_path / "victim").read_text() == "kept"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root writes into folders of others")
def test_another_name_of_a_file_elsewhere_is_no_lock_in_a_folder_of_another_account(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("kept")
    (tmp_path / "journal").mkdir()
    os.chown(tmp_path / "journal", 12345, 12345)
    os.link(tmp_path / "victim", tmp_path / "journal" / "lock")
    with pytest.raises(OSError, match="own"):
        DirectoryLock(tmp_path / "journal")
    assert (tmp_path / "victim").read_text() == "kept"


def test_a_new_file_takes_the_place_of_a_link(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("kept")
    (tmp_path / "new").symlink_to(tmp_path / "victim")
    with new_file(tmp_path / "new") as file:
        file.write(b"new")
    assert ((tmp_path / "victim").read_text(), (tmp_path / "new").read_text()) == ("kept", "new")
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o600


def test_folders_are_made_for_nobody_else(tmp_path: Path) -> None:
    private_folder(tmp_path / "a" / "b")
    private_folder(tmp_path / "a" / "b")
    assert [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "a", tmp_path / "a" / "b")] == [0o700] * 2

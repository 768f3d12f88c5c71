"""One segment file on a disk that fails."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from collector.journal.segment_file import SegmentFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "000000000001.seg"


@pytest.fixture
def file(path: Path, disk: Any) -> Any:
    file = SegmentFile(disk, path, 1)
    yield file
    file.close()


def test_a_write_taken_in_bits_is_whole(file: SegmentFile, path: Path, disk: Any) -> None:
    disk.most = 3

    file.write(bytearray(b"0123456789"))

    assert path.read_bytes() == b"0123456789"
    assert file.written == 10


def test_a_write_that_fails_half_way_is_cut_off_and_can_be_made_again(file: SegmentFile, path: Path, disk: Any) -> None:
    file.write(bytearray(b"before"))
    disk.free = 4

    with pytest.raises(OSError, match="No space"):
        file.write(bytearray(b"0123456789"))
    assert path.read_bytes() == b"before"
    assert file.written == 6

    disk.free = None
    file.write(bytearray(b"0123456789"))
    assert path.read_bytes() == b"before0123456789"


def test_pages_lost_by_a_failed_sync_are_written_again(file: SegmentFile, path: Path, disk: Any) -> None:
    file.write(bytearray(b"safe,"))
    file.sync()
    file.write(bytearray(b"lost,"))
    disk.failing_syncs = 1
    with pytest.raises(OSError, match="Input/output"):
        file.sync()
    assert path.read_bytes() == b"safe," + bytes(5)
    assert (file.written, file.synced) == (10, 5)

    file.sync()
    file.write(bytearray(b"next"))
    file.sync()

    assert path.read_bytes() == b"safe,lost,next"
    assert file.synced == 14
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_write_after_a_failed_sync_first_makes_good_what_was_lost(file: SegmentFile, path: Path, disk: Any) -> None:
    file.write(bytearray(b"lost,"))
    disk.failing_syncs = 1
    with pytest.raises(OSError, match="Input/output"):
        file.sync()

    file.write(bytearray(b"next"))

    assert path.read_bytes() == b"lost,next"


@pytest.mark.parametrize("fault", ["failing_syncs", "failing_replaces", "failing_creates", "failing_directory_syncs"])
def test_making_good_is_itself_tried_again(file: SegmentFile, path: Path, disk: Any, fault: str) -> None:
    file.write(bytearray(b"safe,"))
    file.sync()
    file.write(bytearray(b"lost,"))
    disk.failing_syncs = 1
    with pytest.raises(OSError, match="Input/output"):
        file.sync()

    setattr(disk, fault, 2)
    for _ in range(2):
        with pytest.raises(OSError, match=r"Input/output|Too many"):
            file.sync()
    file.sync()

    assert path.read_bytes() == b"safe,lost,"
    assert file.synced == 10


def test_a_reader_of_the_old_file_is_not_disturbed(file: SegmentFile, path: Path, disk: Any) -> None:
    file.write(bytearray(b"safe,"))
    file.sync()
    with path.open("rb") as reader:
        file.write(bytearray(b"lost,"))
        disk.failing_syncs = 1
        with pytest.raises(OSError, match="Input/output"):
            file.sync()
        file.sync()

        assert os.pread(reader.fileno(), 5, 0) == b"safe,"


def test_a_sync_without_news_costs_nothing(file: SegmentFile, disk: Any) -> None:
    file.write(bytearray(b"x"))
    file.sync()
    file.sync()

    assert disk.syncs == 1


def test_a_name_that_is_not_on_the_disk_makes_nothing_durable(file: SegmentFile, disk: Any) -> None:
    file.write(bytearray(b"x"))
    disk.failing_directory_syncs = 1

    with pytest.raises(OSError, match="Input/output"):
        file.sync()

    assert file.synced == 0
    file.sync()
    assert file.synced == 1

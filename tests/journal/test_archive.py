"""What becomes of closed segments."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from structlog.testing import capture_logs

from collector.journal import BEGINNING, JournalOptions, Kind, Position, read
from collector.journal.archive import Archive
from collector.journal.disk import RealDisk
from collector.journal.recovery import prepare
from collector.journal.segments import compressed_path, numbers, segment_path

WriteSegments = Callable[..., Path]

DAY_NS = 86_400 * 10**9
NOW_NS = 1_700_000_000_000_000_000  # what `write_segments` gives its files
FEW = [(1, Kind.FRAME, 100 + number, b"frame %d" % number) for number in range(50)]


@pytest.fixture
def directory(write_segments: WriteSegments) -> Path:
    """Segments 1 to 5, of which 5 is being written."""
    for number in (1, 2, 3, 4, 5):
        directory = write_segments(FEW, first=number)
    return directory


def tidy(directory: Path, committed: Position = BEGINNING, *, now_ns: int = NOW_NS, **options: Any) -> list[str]:
    archive = Archive(directory, JournalOptions(**options), now_ns=lambda: now_ns, last_ns={})
    with capture_logs() as logs:
        archive.tidy(5, committed)
    return [log["event"] for log in logs]


def test_closed_segments_are_compressed_and_read_the_same(directory: Path) -> None:
    before = list(read(directory))
    plain_bytes = segment_path(directory, 1).read_bytes()

    tidy(directory)

    assert sorted(path.name for path in directory.iterdir()) == [
        "000000000001.seg.zst",
        "000000000002.seg.zst",
        "000000000003.seg.zst",
        "000000000004.seg.zst",
        "000000000005.seg",
    ]
    assert list(read(directory)) == before
    with compressed_path(directory, 1).open("rb") as file:  # other tools read it too
        stream = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        assert stream.read() == plain_bytes


def test_compression_can_be_left_off(directory: Path) -> None:
    tidy(directory, compress=False)

    assert not list(directory.glob("*.zst"))


class TightDisk(RealDisk):
    """A real disk on which so much is free, and which may refuse to sync."""

    def __init__(self, free: int, number: int | None = None) -> None:
        self.free = free
        self.number = number
        self.made: list[str] = []

    def create(self, path: Path) -> int:
        self.made.append(path.name)
        return super().create(path)

    def sync(self, fd: int) -> None:
        if self.number is not None:
            raise OSError(self.number, os.strerror(self.number))

    def free_bytes(self, directory: Path) -> int:
        return self.free


@pytest.mark.parametrize(("free", "packed"), [(1000, 0), (1672, 4)])
def test_a_copy_does_not_take_the_last_space(directory: Path, free: int, packed: int) -> None:
    archive = Archive(directory, JournalOptions(), now_ns=lambda: NOW_NS, last_ns={}, disk=TightDisk(free))

    archive.tidy(5, BEGINNING)

    assert len(list(directory.glob("*.zst"))) == packed


@pytest.mark.parametrize(("number", "tries"), [(errno.ENOSPC, 1), (errno.EIO, 4)])
def test_a_full_disk_ends_the_round(directory: Path, number: int, tries: int) -> None:
    disk = TightDisk(1 << 30, number)
    archive = Archive(directory, JournalOptions(), now_ns=lambda: NOW_NS, last_ns={}, disk=disk)
    with capture_logs() as logs:
        archive.tidy(5, BEGINNING)

    assert len(disk.made) == tries
    assert [log["event"] for log in logs] == ["segment_compression_failed"] * tries
    assert sorted(path.suffix for path in directory.iterdir()) == [".seg"] * 5


def test_a_reader_in_the_middle_of_a_segment_does_not_notice_its_compression(directory: Path) -> None:
    records = read(directory)
    head = [next(records) for _ in range(60)]

    tidy(directory)

    assert head + list(records) == list(read(directory))
    assert len(head) == 60


@pytest.mark.parametrize("crash", ["before the name", "before the plain file goes"])
def test_a_crash_between_the_steps_of_compression_loses_nothing(directory: Path, crash: str) -> None:
    before = list(read(directory))
    plain = segment_path(directory, 2).read_bytes()
    if crash == "before the name":
        (directory / "000000000002.seg.zst.tmp").write_bytes(b"half")
    else:
        tidy(directory)
        segment_path(directory, 2).write_bytes(plain)
    assert list(read(directory)) == before

    prepare(directory, NOW_NS, RealDisk())
    tidy(directory)

    assert list(read(directory)) == before
    assert numbers(directory) == [1, 2, 3, 4, 5]
    assert not segment_path(directory, 2).exists()
    assert not list(directory.glob("*.tmp"))


def test_a_copy_that_does_not_read_back_equal_never_replaces_the_segment(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = Archive._pack

    def pack_badly(self: Archive, info: Any, plain: Any, target: Path) -> int:
        size = pack(self, info, plain, target)
        with target.open("r+b") as packed:
            packed.seek(-8, 2)
            packed.write(b"\0" * 8)
        return size

    monkeypatch.setattr(Archive, "_pack", pack_badly)

    events = tidy(directory)

    assert events == ["segment_compression_failed"] * 4
    assert sorted(path.suffix for path in directory.iterdir()) == [".seg"] * 5


def test_compression_stops_when_told_and_leaves_no_trace(directory: Path) -> None:
    archive = Archive(directory, JournalOptions(), now_ns=lambda: NOW_NS, last_ns={})
    archive.stop()

    archive.tidy(5, BEGINNING)

    assert sorted(path.suffix for path in directory.iterdir()) == [".seg"] * 5


def test_nothing_is_deleted_unless_asked_for(directory: Path) -> None:
    tidy(directory, Position(5, 100), now_ns=NOW_NS + 10_000 * DAY_NS)

    assert numbers(directory) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("limit", [{"keep_bytes": 0}, {"keep_days": 1}])
def test_nothing_at_or_after_the_committed_position_is_deleted(directory: Path, limit: dict[str, Any]) -> None:
    late = NOW_NS + 2 * DAY_NS

    assert "retention_held_back" in tidy(directory, now_ns=late, **limit)
    assert numbers(directory) == [1, 2, 3, 4, 5]

    tidy(directory, Position(3, 9999), now_ns=late, **limit)
    assert numbers(directory) == [3, 4, 5]

    tidy(directory, Position(5, 9999), now_ns=late, **limit)
    assert numbers(directory) == [5]


def test_no_more_is_deleted_than_the_limit_asks(directory: Path) -> None:
    size = segment_path(directory, 1).stat().st_size

    tidy(directory, Position(5, 100), keep_bytes=3 * size, compress=False)

    assert numbers(directory) == [3, 4, 5]


def test_a_segment_is_kept_for_its_days(directory: Path) -> None:
    tidy(directory, Position(5, 100), keep_days=1, now_ns=NOW_NS + DAY_NS)
    assert numbers(directory) == [1, 2, 3, 4, 5]

    events = tidy(directory, Position(5, 100), keep_days=1, now_ns=NOW_NS + DAY_NS + 1)
    assert numbers(directory) == [5]
    assert events == ["segment_deleted"] * 4


def test_waiting_for_a_commit_is_told_once(directory: Path) -> None:
    archive = Archive(directory, JournalOptions(keep_bytes=0, compress=False), now_ns=lambda: NOW_NS, last_ns={})
    with capture_logs() as logs:
        archive.tidy(5, BEGINNING)
        archive.tidy(5, BEGINNING)

    assert [log["event"] for log in logs] == ["retention_held_back"]


def test_a_directory_that_cannot_be_read_is_no_reason_to_stop_recording(directory: Path) -> None:
    assert tidy(directory / "gone") == ["journal_tidy_failed"]


@pytest.mark.parametrize("days", [-40, -1 / 24, 1 / 24])
def test_a_clock_that_is_set_by_hours_or_back_deletes_nothing(directory: Path, days: float) -> None:
    tidy(directory, Position(5, 0), keep_days=7, compress=False, now_ns=NOW_NS + int(days * DAY_NS))
    assert numbers(directory) == [1, 2, 3, 4, 5]


def test_a_clock_that_leaps_ahead_deletes_no_segment_whose_rows_are_not_committed(directory: Path) -> None:
    tidy(directory, Position(3, 0), keep_days=7, compress=False, now_ns=NOW_NS + 9999 * DAY_NS)
    assert numbers(directory) == [3, 4, 5]

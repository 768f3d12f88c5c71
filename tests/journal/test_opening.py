"""A journal that begins on a disk which does not let it."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from collector.journal import Journal, JournalOptions, Kind, Position, RealDisk, Refusal, read
from collector.journal.committed import remember
from collector.journal.segments import numbers, segment_path

WriteSegments = Callable[..., Path]
OpenJournal = Callable[..., Any]

NOW_NS = 1_700_000_000_000_000_000
DAY_NS = 86_400 * 10**9
FEW = [(1, Kind.FRAME, 100 + number, b"frame %d" % number) for number in range(2000)]
KEPT = JournalOptions(write_interval_s=0.001, sync_interval_s=0.002, compress=False, keep_days=1)


class SizedDisk(RealDisk):
    """A real disk that is full when its folder holds so much."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.refuses: int | None = None

    def free_bytes(self, directory: Path) -> int:
        return max(0, self.size - sum(entry.stat().st_size for entry in directory.iterdir()))

    def write_at(self, fd: int, data: memoryview, offset: int) -> int:
        folder = Path(os.readlink(f"/proc/self/fd/{fd}")).parent
        number = errno.ENOSPC if self.free_bytes(folder) < len(data) else self.refuses
        if number is not None:
            raise OSError(number, os.strerror(number))
        return super().write_at(fd, data, offset)


@pytest.fixture
def directory(write_segments: WriteSegments) -> Path:
    """Segments 1 to 5."""
    for number in (1, 2, 3, 4, 5):
        directory = write_segments(FEW, first=number)
    return directory


def used(directory: Path) -> int:
    return sum(entry.stat().st_size for entry in directory.iterdir())


@pytest.mark.parametrize("days", [0, 3])
async def test_on_a_full_disk_segments_that_were_committed_once_give_way(
    directory: Path, open_journal: OpenJournal, days: int
) -> None:
    remember(RealDisk(), directory, Position(4, 100))
    disk = SizedDisk(used(directory))
    with capture_logs() as logs:
        async with open_journal(KEPT, disk=disk, now_ns=lambda: NOW_NS + days * DAY_NS) as journal:
            assert journal.refusal is None
            assert journal.fault is None
            # As many as are needed, and no more: the database may have another opinion.
            assert numbers(directory) == [2, 3, 4, 5, 6]
            journal.append(1, Kind.FRAME, 1, b"x")
            await journal.sync(journal.end)
    assert [log["reason"] for log in logs if log["event"] == "segment_deleted"] == ["disk full"]


async def test_what_is_overdue_stays_until_the_database_has_answered_where_there_is_space(
    directory: Path, open_journal: OpenJournal
) -> None:
    remember(RealDisk(), directory, Position(4, 100))
    async with open_journal(KEPT, now_ns=lambda: NOW_NS + 3 * DAY_NS) as journal:
        journal.append(1, Kind.FRAME, 1, b"x")
        await journal.sync(journal.end)
        await asyncio.sleep(0.05)
        assert numbers(directory) == [1, 2, 3, 4, 5, 6]


async def test_a_disk_that_stays_full_is_sat_out_and_the_feeds_are_held(
    directory: Path, open_journal: OpenJournal
) -> None:
    disk = SizedDisk(used(directory))
    before = list(read(directory))
    async with open_journal(KEPT, disk=disk) as journal:
        assert journal.refusal == Refusal(
            "disk full", "the disk refuses the journal: No space left on device (free some space on it)"
        )
        assert journal.full
        journal.append(1, Kind.FRAME, 1, b"x")  # an end, or a start, is a few bytes
        waiting = asyncio.create_task(journal.room())
        assert list(journal.read()) == before, "what is there can be read, and committed"
        await journal.sync(before[-1].end)
        assert not waiting.done()

        disk.size += 1000
        await asyncio.wait_for(waiting, 30)

        await journal.sync(journal.end)
        assert [record.payload for record in journal.read(journal.begin)] == [b"x"]
    assert numbers(directory) == [1, 2, 3, 4, 5, 6]


async def test_a_torn_end_on_a_full_disk_is_cut_when_there_is_room(directory: Path, open_journal: OpenJournal) -> None:
    before = list(read(directory))
    with segment_path(directory, 5).open("ab") as file:
        file.write(b"\xff" * 500)
    disk = SizedDisk(used(directory))
    async with open_journal(KEPT, disk=disk) as journal:
        assert journal.refusal is not None
        assert list(journal.read()) == before
        assert journal.distance(Position(5, 0)) == segment_path(directory, 5).stat().st_size - 500 + journal.end.offset

        disk.size += 1000
        await asyncio.wait_for(journal.room(), 30)

        assert journal.recovery is not None
        assert journal.recovery.bytes_cut == 500
        assert list(read(directory)) == before
        assert segment_path(directory, 5).stat().st_size == before[-1].end.offset


@pytest.mark.parametrize(
    ("number", "cause"), [(errno.EDQUOT, "disk fault"), (errno.EIO, "disk fault"), (errno.ENOSPC, "disk full")]
)
async def test_any_fault_that_may_pass_is_sat_out(
    directory: Path, open_journal: OpenJournal, number: int, cause: str
) -> None:
    remember(RealDisk(), directory, Position(5, 100))
    disk = SizedDisk(1 << 40)
    disk.refuses = number
    async with open_journal(KEPT, disk=disk) as journal:
        assert journal.refusal is not None
        assert journal.refusal.cause == cause
        assert numbers(directory)[:5] == [1, 2, 3, 4, 5]
        disk.refuses = None
        await asyncio.wait_for(journal.room(), 30)
        await journal.sync(journal.end)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.EISDIR])
async def test_what_somebody_has_to_put_right_is_told_at_once(tmp_path: Path, number: int) -> None:
    disk = SizedDisk(1 << 40)
    disk.refuses = number
    with pytest.raises(OSError, match=os.strerror(number)):
        await Journal.open(tmp_path, KEPT, now_ns=lambda: NOW_NS, disk=disk)
    disk.refuses = None
    await (await Journal.open(tmp_path, KEPT, now_ns=lambda: NOW_NS, disk=disk)).close()


async def test_what_was_written_before_a_kill_survives_a_power_cut_after_the_start(
    directory: Path, open_journal: OpenJournal, disk: Any
) -> None:
    """The file of the process that was killed is synced, and made anew where that fails."""
    before = list(read(directory))
    disk.failing_syncs = 3
    async with open_journal(KEPT, disk=disk) as journal:
        await asyncio.wait_for(journal.room(), 30)
        await journal.sync(journal.end)
        assert list(journal.read()) == before
        assert disk.failing_syncs == 0

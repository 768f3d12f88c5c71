"""How much of the disk the journal may take, and what happens at the mark."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from collector.journal import JournalOptions, Kind, read
from collector.journal.budget import Budget
from collector.journal.disk import RealDisk
from collector.journal.segments import numbers, segments

OpenJournal = Callable[..., Any]

TIGHT = JournalOptions(
    segment_bytes=1000, write_interval_s=0.001, sync_interval_s=0.002, max_bytes=10_000, compress=False
)


@pytest.fixture(autouse=True)
def measured_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collector.journal.flusher.MEASURE_INTERVAL_SECONDS", 0.01)


class SharedDisk(RealDisk):
    """A real disk of which others take a part."""

    def __init__(self) -> None:
        self.room = 1 << 40
        self.refuses: int | None = None

    def free_bytes(self, directory: Path) -> int:
        return self.room

    def write_at(self, fd: int, data: memoryview, offset: int) -> int:
        if self.refuses is not None:
            raise OSError(self.refuses, os.strerror(self.refuses))
        return super().write_at(fd, data, offset)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  any state may be waited for
            await asyncio.sleep(0.001)


async def fill(journal: Any, size: int) -> None:
    for _ in range(size // 100):
        journal.append(1, Kind.FRAME, 1, bytes(75))
    with contextlib.suppress(OSError):
        await journal.flush()


async def test_at_the_mark_nothing_more_is_taken_until_committed_segments_have_given_way(
    open_journal: OpenJournal, tmp_path: Path
) -> None:
    with capture_logs() as logs:
        async with open_journal(TIGHT) as journal:
            await fill(journal, 8000)
            await asyncio.sleep(0.05)
            assert journal.refusal is None
            refused = asyncio.create_task(journal.refused())
            await fill(journal, 2500)
            cause, reason = await asyncio.wait_for(refused, 30)
            assert cause == "disk full"
            assert "journal.max_gb" in reason
            assert journal.full
            held = len(segments(tmp_path))

            waiting = asyncio.create_task(journal.room())
            await asyncio.sleep(0.1)
            assert not waiting.done()
            assert len(segments(tmp_path)) == held, "nothing that is not committed may go"

            journal.committed = journal.end
            await asyncio.wait_for(waiting, 30)
            assert journal.refusal is None
            await until(lambda: journal.used_bytes <= 9000)
    events = [log["event"] for log in logs if log["event"] in ("journal_disk_budget_reached", "journal_has_room_again")]
    assert events == ["journal_disk_budget_reached", "journal_has_room_again"]


@pytest.mark.slow
async def test_committed_segments_give_way_before_the_mark_is_reached_however_young(
    open_journal: OpenJournal, tmp_path: Path
) -> None:
    with capture_logs() as logs:
        async with open_journal(replace(TIGHT, max_bytes=50_000)) as journal:
            for _ in range(100):
                await fill(journal, 1000)
                await journal.sync(journal.end)
                journal.committed = journal.end
                # A tenth is left for what comes between two looks.
                await until(lambda: journal.used_bytes <= 46_000)
                await asyncio.sleep(0.02)
                assert journal.refusal is None
            assert segments(tmp_path)[0].number > 1
    assert {log["reason"] for log in logs if log["event"] == "segment_deleted"} == {"disk budget"}


async def test_what_others_take_of_the_disk_counts(open_journal: OpenJournal) -> None:
    disk = SharedDisk()
    options = JournalOptions(write_interval_s=0.001, sync_interval_s=0.002, min_free_bytes=1000)
    async with open_journal(options, disk=disk) as journal:
        await fill(journal, 1000)
        disk.room = 999
        cause, reason = await asyncio.wait_for(journal.refused(), 30)
        assert (cause, "journal.min_free_gb" in reason) == ("disk full", True)
        disk.room = 1050  # not yet: the lines would come and go
        await asyncio.sleep(0.1)
        assert journal.refusal is not None
        disk.room = 1250
        await asyncio.wait_for(journal.room(), 30)
        assert journal.free_bytes == 1250


async def test_a_journal_that_begins_over_its_budget_says_so_at_once(open_journal: OpenJournal, tmp_path: Path) -> None:
    async with open_journal(TIGHT) as journal:
        await fill(journal, 11_000)
    async with open_journal(TIGHT, running=False) as journal:
        assert journal.refusal is not None
        assert journal.full


@pytest.mark.parametrize(
    ("number", "cause", "words"),
    [
        (errno.ENOSPC, "disk full", "No space left on device (free some space on it)"),
        (errno.EIO, "disk fault", "Input/output error (see the kernel's log; the disk may have to be replaced)"),
        (errno.EFBIG, "disk fault", "File too large (the limit for the size of a file is reached: set LimitFSIZE"),
        (errno.EDQUOT, "disk fault", "Disk quota exceeded (this account's quota is used up"),
        (errno.ENXIO, "disk fault", "No such device or address"),
    ],
)
async def test_a_disk_that_refuses_is_sat_out_in_memory_and_then_told(
    open_journal: OpenJournal, tmp_path: Path, number: int, cause: str, words: str
) -> None:
    disk = SharedDisk()
    options = JournalOptions(write_interval_s=0.001, sync_interval_s=0.002, buffer_bytes=5000)
    async with open_journal(options, disk=disk) as journal:
        disk.refuses = number
        await fill_in_memory(journal, 3000)
        await until(lambda: journal.fault is not None)
        assert journal.refusal is None
        await fill_in_memory(journal, 3000)
        refusal = await asyncio.wait_for(journal.refused(), 30)
        assert refusal.cause == cause
        assert refusal.reason.startswith(f"the disk refuses the journal: {words}")
        disk.refuses = None
        await asyncio.wait_for(journal.room(), 30)
        await journal.sync(journal.end)
    assert len(list(read(tmp_path))) == 60


async def fill_in_memory(journal: Any, size: int) -> None:
    for _ in range(size // 100):
        journal.append(1, Kind.FRAME, 1, bytes(75))


class CountingDisk(RealDisk):
    """A real disk of a size of its own, on which deleting may be in vain."""

    def __init__(self) -> None:
        self.size = 1 << 40
        self.pinned = False
        """A snapshot keeps what is deleted."""
        self.refuses: int | None = None
        """Whatever is free."""
        self.refused = 0
        self._kept = 0

    def free_bytes(self, directory: Path) -> int:
        return max(0, self.size - self._kept - sum(entry.stat().st_size for entry in directory.iterdir()))

    def write_at(self, fd: int, data: memoryview, offset: int) -> int:
        folder = Path(os.readlink(f"/proc/self/fd/{fd}")).parent
        number = errno.ENOSPC if self.free_bytes(folder) < len(data) else self.refuses
        if number is not None:
            self.refused += 1
            raise OSError(number, os.strerror(number))
        return super().write_at(fd, data, offset)

    def unlink(self, path: Path) -> None:
        if self.pinned and path.exists():
            self._kept += path.stat().st_size
        super().unlink(path)


ARCHIVED = JournalOptions(
    segment_bytes=200_000,
    write_interval_s=0.001,
    sync_interval_s=0.002,
    compress=False,
    keep_days=7,
    keep_bytes=1 << 30,
)


async def archived(journal: Any, tmp_path: Path, count: int) -> list[int]:
    """Fill and commit so many segments; returns their numbers."""
    while len(numbers(tmp_path)) <= count:
        for _ in range(20):
            journal.append(1, Kind.FRAME, 1, bytes(9975))
        await journal.sync(journal.end)
    journal.committed = journal.end
    return numbers(tmp_path)


def full(disk: CountingDisk, tmp_path: Path, free: int = 0) -> None:
    """Let the disk hold what it holds, and so many bytes more."""
    disk.size = free
    disk.size += (1 << 40) - CountingDisk().free_bytes(tmp_path)


async def refuses_again(disk: CountingDisk, times: int = 20) -> None:
    more = disk.refused + times
    await until(lambda: disk.refused >= more)


@pytest.mark.parametrize("number", [errno.EFBIG, errno.EDQUOT, errno.EIO])
async def test_what_is_no_want_of_space_costs_no_segment(
    open_journal: OpenJournal, tmp_path: Path, number: int
) -> None:
    disk = CountingDisk()
    async with open_journal(ARCHIVED, disk=disk) as journal:
        before = await archived(journal, tmp_path, 10)
        disk.refuses = number
        await fill_in_memory(journal, 100)
        await refuses_again(disk)
        assert numbers(tmp_path) == before
        disk.refuses = None
        await journal.sync(journal.end)


async def test_a_full_disk_takes_no_more_segments_than_what_waits_needs(
    open_journal: OpenJournal, tmp_path: Path
) -> None:
    disk = CountingDisk()
    with capture_logs() as logs:
        async with open_journal(ARCHIVED, disk=disk) as journal:
            before = await archived(journal, tmp_path, 10)
            full(disk, tmp_path)
            journal.append(1, Kind.FRAME, 1, bytes(300_000))  # and a little for the file system: two segments
            await journal.sync(journal.end)
            assert numbers(tmp_path)[:-1] == before[2:]
            assert journal.fault is None
    assert [log["reason"] for log in logs if log["event"] == "segment_deleted"] == ["disk full"] * 2


async def test_a_disk_that_refuses_though_there_is_space_costs_no_segment(
    open_journal: OpenJournal, tmp_path: Path
) -> None:
    disk = CountingDisk()
    async with open_journal(ARCHIVED, disk=disk) as journal:
        before = await archived(journal, tmp_path, 10)
        disk.refuses = errno.ENOSPC
        await fill_in_memory(journal, 100)
        await refuses_again(disk)
        assert numbers(tmp_path) == before
        disk.refuses = None
        await journal.sync(journal.end)


async def test_where_deleting_frees_nothing_one_segment_is_the_price_of_knowing(
    open_journal: OpenJournal, tmp_path: Path
) -> None:
    disk = CountingDisk()
    async with open_journal(ARCHIVED, disk=disk) as journal:
        before = await archived(journal, tmp_path, 10)
        full(disk, tmp_path)
        disk.pinned = True
        await fill_in_memory(journal, 100)
        await until(lambda: numbers(tmp_path) != before)
        await refuses_again(disk)
        assert numbers(tmp_path) == before[1:]
        disk.pinned = False
        full(disk, tmp_path, 1 << 20)
        await journal.sync(journal.end)


async def test_a_mark_that_deleting_does_not_help_costs_no_more_either(
    open_journal: OpenJournal, tmp_path: Path
) -> None:
    disk = CountingDisk()
    disk.pinned = True
    async with open_journal(replace(ARCHIVED, min_free_bytes=1 << 20), disk=disk) as journal:
        before = await archived(journal, tmp_path, 10)
        full(disk, tmp_path, (1 << 20) + 50_000)
        await until(lambda: numbers(tmp_path) != before)
        measured = journal.free_bytes
        for _ in range(5):
            full(disk, tmp_path, measured)
            await asyncio.sleep(0.02)
        assert numbers(tmp_path) == before[1:]


async def test_what_is_set_to_be_kept_does_not_give_way(open_journal: OpenJournal, tmp_path: Path) -> None:
    disk = CountingDisk()
    async with open_journal(replace(ARCHIVED, keep_least_bytes=1_500_000), disk=disk) as journal:
        before = await archived(journal, tmp_path, 10)
        full(disk, tmp_path)
        journal.append(1, Kind.FRAME, 1, bytes(1_900_000))
        await until(lambda: numbers(tmp_path)[0] == before[2])
        await refuses_again(disk)
        left = segments(tmp_path)
        assert left[0].number == before[2]
        assert 1_500_000 <= sum(info.bytes for info in left) < 1_700_000
        full(disk, tmp_path, 4 << 20)
        await journal.sync(journal.end)


def test_space_that_is_freed_late_counts(tmp_path: Path) -> None:
    disk = SharedDisk()
    budget = Budget(tmp_path, JournalOptions(segment_bytes=1000), disk)
    disk.room = 1000
    budget.disk_refused(100_000)
    assert budget.lacks_space()
    budget.deleted(8000, budget.look())
    assert not budget.lacks_space(), "it has not helped"
    disk.room = 500
    assert not budget.lacks_space(), "others take more"
    disk.room = 8500
    assert budget.lacks_space(), "it has helped, and is not enough"
    budget.disk_took()
    assert not budget.lacks_space()


def test_what_is_written_between_two_looks_counts(tmp_path: Path) -> None:
    disk = SharedDisk()
    budget = Budget(tmp_path, JournalOptions(segment_bytes=1000, max_bytes=10_000, min_free_bytes=500), disk)
    disk.room = 6000
    budget.measure(100)
    assert not budget.judge(5500)
    assert budget.judge(5700)
    assert "min_free_gb" in str(budget.spent)
    assert not budget.judge(5500)
    assert budget.judge(5475)
    assert budget.spent is None


def test_a_disk_without_a_name_to_give_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = os.statvfs(tmp_path)
    values = {name: getattr(found, name) for name in dir(found) if name.startswith("f_")}
    for files, free, expected in ((1000, 0, 0), (1000, 1, found.f_bavail * found.f_frsize), (0, 0, None)):
        told = SimpleNamespace(**{**values, "f_files": files, "f_favail": free})
        monkeypatch.setattr(os, "statvfs", lambda _, told=told: told)
        assert RealDisk().free_bytes(tmp_path) == (told.f_bavail * told.f_frsize if expected is None else expected)


def test_a_budget_that_could_never_give_way_is_refused() -> None:
    with pytest.raises(ValueError, match="max_bytes must hold 4 segments"):
        JournalOptions(segment_bytes=1000, max_bytes=3999)

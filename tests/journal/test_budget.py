"""How much of the disk the journal may take, and what happens at the mark."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from collector.journal import JournalOptions, Kind, read
from collector.journal.budget import Budget
from collector.journal.disk import RealDisk
from collector.journal.segments import segments

OpenJournal = Callable[..., Any]

TIGHT = JournalOptions(
    segment_bytes=1000, write_interval_s=0.001, sync_interval_s=0.002, max_bytes=10_000, compress=False
)


@pytest.fixture(autouse=True)
def measured_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collector.journal.journal.MEASURE_INTERVAL_S", 0.01)


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


@pytest.mark.parametrize(("number", "cause"), [(errno.ENOSPC, "disk full"), (errno.EIO, "disk fault")])
async def test_a_disk_that_refuses_is_sat_out_in_memory_and_then_told(
    open_journal: OpenJournal, tmp_path: Path, number: int, cause: str
) -> None:
    disk = SharedDisk()
    options = JournalOptions(write_interval_s=0.001, sync_interval_s=0.002, buffer_bytes=5000)
    async with open_journal(options, disk=disk) as journal:
        disk.refuses = number
        await fill_in_memory(journal, 3000)
        await until(lambda: journal.fault is not None)
        assert journal.refusal is None
        await fill_in_memory(journal, 3000)
        assert await asyncio.wait_for(journal.refused(), 30) == (
            cause, f"the disk refuses the journal: {os.strerror(number)}"
        )  # fmt: skip
        disk.refuses = None
        await asyncio.wait_for(journal.room(), 30)
        await journal.sync(journal.end)
    assert len(list(read(tmp_path))) == 60


async def fill_in_memory(journal: Any, size: int) -> None:
    for _ in range(size // 100):
        journal.append(1, Kind.FRAME, 1, bytes(75))


async def test_a_full_disk_takes_committed_segments_though_nothing_limits_them(
    open_journal: OpenJournal, tmp_path: Path
) -> None:
    disk = SharedDisk()
    options = JournalOptions(segment_bytes=1000, write_interval_s=0.001, sync_interval_s=0.002, compress=False)
    async with open_journal(options, disk=disk) as journal:
        await fill(journal, 5000)
        journal.committed = journal.end
        before = len(segments(tmp_path))
        disk.refuses = errno.ENOSPC
        await fill_in_memory(journal, 100)
        await until(lambda: len(segments(tmp_path)) < before)
        disk.refuses = None
        await journal.sync(journal.end)


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


def test_a_budget_that_could_never_give_way_is_refused() -> None:
    with pytest.raises(ValueError, match="max_bytes must hold 4 segments"):
        JournalOptions(segment_bytes=1000, max_bytes=3999)

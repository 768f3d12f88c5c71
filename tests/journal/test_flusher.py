"""What waits for a disk, and for how long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from collector.journal import Journal, JournalOptions, JournalUnwritable, Kind, read
from collector.journal.segments import segment_path

OpenJournal = Callable[..., Any]

NEVER = JournalOptions(write_interval_s=3600)


def fill(journal: Journal, count: int) -> None:
    for number in range(count):
        journal.append(1, Kind.FRAME, number, b"x" * 50)


async def test_a_disk_that_stands_still_holds_the_loop_for_a_moment_only(
    open_journal: OpenJournal, disk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.journal.flusher.BLOCKING_FLUSH_MAX_SECONDS", 0.05)
    async with open_journal(NEVER, disk=disk) as journal:
        fill(journal, 3)
        disk.moving.clear()

        with pytest.raises(JournalUnwritable, match="does not answer"):
            journal.flush_now()

        assert journal.fault is None, "slow is no fault"
        disk.moving.set()
        monkeypatch.undo()
        journal.flush_now()
        assert journal.written == journal.end
        assert len(list(journal.read())) == 3


async def test_a_disk_that_stands_still_holds_the_end_for_a_while_only(
    tmp_path: Path, disk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.journal.flusher.CLOSE_TIMEOUT_SECONDS", 0.05)
    monkeypatch.setattr("collector.journal.journal.CLOSE_TIMEOUT_SECONDS", 0.05)
    journal = await Journal.open(tmp_path, NEVER, now_ns=lambda: 10**18, disk=disk)
    fill(journal, 3)
    disk.moving.clear()
    try:
        with pytest.raises(JournalUnwritable, match=r"225 bytes could not be synced to .* does not answer"):
            await journal.close()
    finally:
        disk.moving.set()
    async with asyncio.timeout(30):  # the thread goes on as soon as the disk does
        while journal.durable < journal.end:  # noqa: ASYNC110  a thread's work has no event
            await asyncio.sleep(0.001)
    assert len(list(read(tmp_path))) == 3


async def test_after_a_failed_sync_nothing_is_read_that_may_be_lost(open_journal: OpenJournal, disk: Any) -> None:
    async with open_journal(NEVER, running=False, disk=disk) as journal:
        fill(journal, 2)
        await journal.sync(journal.end)
        safe = journal.end
        fill(journal, 2)
        await journal.flush()
        assert journal.written == journal.end
        disk.failing_syncs = 1
        with pytest.raises(JournalUnwritable, match="Input/output"):
            await journal.sync(journal.end)

        assert journal.written == safe < journal.end
        assert len(list(journal.read())) == 2

        await journal.flush()  # nothing new was appended, and yet there is something to do
        assert journal.written == journal.end
        assert len(list(journal.read())) == 4


@pytest.mark.parametrize("how", ["flush", "flush_now", "sync"])
async def test_a_segment_that_was_made_though_the_disk_said_no_is_used(
    open_journal: OpenJournal, disk: Any, tmp_path: Path, how: str
) -> None:
    options = JournalOptions(segment_bytes=400, write_interval_s=3600)
    async with open_journal(options, running=False, disk=disk) as journal:
        fill(journal, 20)
        second = segment_path(tmp_path, journal.begin.segment + 1)
        second.touch()
        match how:
            case "flush":
                await journal.flush()
            case "flush_now":
                journal.flush_now()
            case _:
                await journal.sync(journal.end)
        assert len(list(journal.read())) == 20


async def test_a_segment_with_bytes_in_it_is_never_written_over(
    open_journal: OpenJournal, disk: Any, tmp_path: Path
) -> None:
    options = JournalOptions(segment_bytes=400, write_interval_s=3600)
    async with open_journal(options, running=False, disk=disk) as journal:
        fill(journal, 20)
        foreign = segment_path(tmp_path, journal.begin.segment + 1)
        foreign.write_bytes(b"somebody's")
        await journal.flush()
        assert foreign.with_name(f"{foreign.name}.not-ours-1").read_bytes() == b"somebody's"

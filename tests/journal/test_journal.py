"""The journal as the rest of the collector uses it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from collector.journal import (
    BEGINNING,
    Journal,
    JournalClosed,
    JournalLocked,
    JournalOptions,
    JournalUnwritable,
    Kind,
    Position,
    PositionBeyondEnd,
    read,
    segments,
)
from collector.journal.layout import HEADER_BYTES, RECORD_BYTES
from collector.journal.segments import segment_path

OpenJournal = Callable[..., Any]

SMALL = JournalOptions(segment_bytes=400, write_interval_s=0.001, sync_interval_s=0.002, compress=False)
NEVER = JournalOptions(write_interval_s=3600)


def fill(journal: Journal, count: int, size: int = 50) -> None:
    for number in range(count):
        journal.append(1, Kind.FRAME, number, b"%06d" % number + bytes(size - 6))


def numbers_in(records: Any) -> list[int]:
    return [int(record.payload[:6]) for record in records if record.kind is Kind.FRAME]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  files have no events
            await asyncio.sleep(0.001)


async def test_what_stands_in_a_segment_s_place_is_moved_aside(open_journal: OpenJournal, tmp_path: Path) -> None:
    with capture_logs() as logs:
        async with open_journal(SMALL) as journal:
            number = journal.end.segment
            taken = [segment_path(tmp_path, number + ahead) for ahead in (1, 2, 3, 4)]
            taken[0].mkdir()
            (taken[0] / "something").touch()
            taken[1].write_bytes(b"of another program")
            taken[2].symlink_to("nowhere")
            taken[3].touch()
            fill(journal, 40)
            await journal.sync(journal.end)

            assert journal.end.segment > number + 4
            assert numbers_in(read(tmp_path)) == list(range(40))
    asides = [taken[ahead].with_name(f"{taken[ahead].name}.not-ours-1") for ahead in (0, 1, 2)]
    assert [line["moved_to"] for line in logs if line["event"] == "journal_place_taken"] == list(map(str, asides))
    assert (asides[0] / "something").exists()
    assert asides[1].read_bytes() == b"of another program"
    assert asides[2].is_symlink()
    async with open_journal(SMALL) as journal:
        assert numbers_in(read(tmp_path)) == list(range(40))


async def test_what_is_synced_is_on_the_disk(open_journal: OpenJournal, tmp_path: Path) -> None:
    async with open_journal() as journal:
        fill(journal, 10)
        assert journal.buffered == 10 * 75
        assert journal.durable < journal.end

        await journal.sync(journal.end)

        assert journal.written == journal.durable == journal.end
        assert journal.buffered == 0
        assert numbers_in(read(tmp_path)) == list(range(10))


async def test_a_sync_waits_across_segments(open_journal: OpenJournal, tmp_path: Path) -> None:
    async with open_journal(SMALL) as journal:
        fill(journal, 4)
        early = journal.end
        fill(journal, 40)
        assert journal.end.segment > early.segment

        await asyncio.gather(journal.sync(journal.end), journal.sync(early))

        assert journal.durable == journal.end
        assert len(numbers_in(read(tmp_path))) == 44
        assert len(segments(tmp_path)) > 5


async def test_every_segment_can_be_read_on_its_own(open_journal: OpenJournal, tmp_path: Path) -> None:
    async with open_journal(SMALL) as journal:
        journal.append(1, Kind.OPEN, 5, b'{"url": "one"}')
        journal.append(2, Kind.OPEN, 6, b'{"url": "two"}')
        fill(journal, 10)
        journal.append(1, Kind.CLOSE, 7, b"{}")
        fill(journal, 10)
        end = journal.end

    by_segment: dict[int, list[tuple[int, int, bytes]]] = {}
    for record in read(tmp_path):
        carried = by_segment.setdefault(record.position.segment, [])
        if record.kind is Kind.CARRY:
            carried.append((record.session, record.received_ns, record.payload))
    first, second, *_ = by_segment
    assert by_segment[first] == []
    assert by_segment[second] == [(1, 5, b'{"url": "one"}'), (2, 6, b'{"url": "two"}')]
    assert by_segment[end.segment] == [(2, 6, b'{"url": "two"}')]
    assert [r.payload for r in read(tmp_path) if r.kind is Kind.OPEN] == [b'{"url": "one"}', b'{"url": "two"}']


async def test_sessions_of_an_earlier_process_are_not_carried_on(open_journal: OpenJournal, tmp_path: Path) -> None:
    async with open_journal() as journal:
        journal.append(1, Kind.OPEN, 5, b"{}")
    async with open_journal() as journal:
        fill(journal, 1)

    assert [record.kind for record in read(tmp_path)] == [Kind.OPEN, Kind.FRAME]


async def test_positions_go_on_after_a_restart(open_journal: OpenJournal) -> None:
    async with open_journal() as journal:
        fill(journal, 3)
        end = journal.end
    async with open_journal() as journal:
        assert journal.end > end
        assert journal.recovery is None
        fill(journal, 2)
        await journal.flush()
        assert numbers_in(journal.read()) == [0, 1, 2, 0, 1]
        assert numbers_in(journal.read(end)) == [0, 1]


async def test_restarts_that_record_nothing_leave_nothing(open_journal: OpenJournal, tmp_path: Path) -> None:
    async with open_journal() as journal:
        first = journal.end
    async with open_journal() as journal:
        assert journal.end == first

    assert len(segments(tmp_path)) == 1


async def test_a_second_journal_is_refused_until_the_first_is_closed(open_journal: OpenJournal, tmp_path: Path) -> None:
    async with open_journal():
        with pytest.raises(JournalLocked, match=r"in use by process \d+: stop that collector"):
            async with open_journal():
                pass
    async with open_journal():
        pass


async def test_the_live_end_is_read_after_a_flush(open_journal: OpenJournal) -> None:
    async with open_journal(NEVER) as journal:
        fill(journal, 3)
        assert numbers_in(journal.read()) == []

        await journal.flush()

        assert numbers_in(journal.read()) == [0, 1, 2]
        assert journal.durable < journal.written == journal.end


async def test_the_live_end_is_read_at_once_after_flush_now(open_journal: OpenJournal, disk: Any) -> None:
    async with open_journal(NEVER, disk=disk) as journal:
        fill(journal, 3)
        disk.moving.clear()
        disk.touched.clear()
        flush = asyncio.create_task(journal.flush())
        await asyncio.to_thread(disk.touched.wait, 30)
        fill(journal, 2)
        asyncio.get_running_loop().run_in_executor(None, disk.moving.set)

        journal.flush_now()

        assert journal.written == journal.end
        assert numbers_in(journal.read()) == [0, 1, 2, 0, 1]
        await flush
        assert journal.buffered == 0


async def test_feeds_are_held_back_while_the_disk_stands_still(open_journal: OpenJournal, disk: Any) -> None:
    options = JournalOptions(write_interval_s=0.001, sync_interval_s=0.002, buffer_bytes=1000)
    async with open_journal(options, disk=disk) as journal:
        disk.moving.clear()
        fill(journal, 12)
        await journal.room()
        fill(journal, 12)
        waiting = asyncio.create_task(journal.room())
        done, _ = await asyncio.wait([waiting], timeout=0.05)
        assert not done
        assert journal.full

        disk.moving.set()

        await asyncio.wait_for(waiting, 30)
        assert journal.buffered < 1000


async def test_a_full_disk_loses_nothing_and_is_told(open_journal: OpenJournal, disk: Any, tmp_path: Path) -> None:
    options = JournalOptions(write_interval_s=0.001, sync_interval_s=0.002, buffer_bytes=10_000)
    with capture_logs() as logs:
        async with open_journal(options, disk=disk) as journal:
            disk.free = 5000
            fill(journal, 200)
            waiting = asyncio.create_task(journal.room())
            with pytest.raises(JournalUnwritable, match="No space left"):
                await journal.flush()
            assert journal.fault == "No space left on device (free some space on it)"
            assert not waiting.done()
            with pytest.raises(JournalUnwritable, match="free space"):
                journal.flush_now()
            assert "No space" in repr(journal)

            disk.free = None
            await asyncio.wait_for(waiting, 30)
            await journal.sync(journal.end)

            assert journal.fault is None
    assert numbers_in(read(tmp_path)) == list(range(200))
    events = [log["event"] for log in logs if log["event"].startswith("journal_disk")]
    assert events == ["journal_disk_fault", "journal_disk_recovered"]


async def test_records_whose_pages_were_lost_keep_their_place(
    open_journal: OpenJournal, disk: Any, tmp_path: Path
) -> None:
    async with open_journal(SMALL, disk=disk) as journal:
        fill(journal, 3)
        await journal.sync(journal.end)
        disk.failing_syncs = 5
        fill(journal, 30)
        end = journal.end

        await asyncio.wait_for(journal.sync(end), 30)

        assert disk.failing_syncs == 0
        records = list(read(tmp_path))
        assert numbers_in(records) == [0, 1, 2, *range(30)]
        assert records[-1].end == end


async def test_a_sync_without_run_does_the_work_itself(open_journal: OpenJournal, disk: Any) -> None:
    async with open_journal(running=False, disk=disk) as journal:
        fill(journal, 3)
        await journal.sync(journal.end)
        assert journal.durable == journal.end

        fill(journal, 3)
        disk.failing_syncs = 1
        with pytest.raises(JournalUnwritable, match="could not be synced to"):
            await journal.sync(journal.end)


async def test_closing_writes_what_is_left_after_run_was_cancelled(open_journal: OpenJournal, tmp_path: Path) -> None:
    async with open_journal(NEVER) as journal:
        fill(journal, 5)
        waiting = asyncio.create_task(journal.sync(journal.end))
        await asyncio.sleep(0)

    await waiting
    assert numbers_in(read(tmp_path)) == [0, 1, 2, 3, 4]


async def test_cancelling_in_the_middle_of_a_write_loses_nothing(
    open_journal: OpenJournal, disk: Any, tmp_path: Path
) -> None:
    async with open_journal(disk=disk) as journal:
        disk.moving.clear()
        disk.touched.clear()
        fill(journal, 5)
        await asyncio.to_thread(disk.touched.wait, 30)
        asyncio.get_running_loop().call_later(0.01, disk.moving.set)

    assert numbers_in(read(tmp_path)) == [0, 1, 2, 3, 4]


async def test_closing_over_a_disk_that_refuses_says_what_is_lost(tmp_path: Path, disk: Any) -> None:
    journal = await Journal.open(
        tmp_path, JournalOptions(), now_ns=lambda: 1, disk=disk, delays=lambda: iter([0.001] * 9)
    )
    fill(journal, 5)
    disk.free = 0

    with pytest.raises(JournalUnwritable, match="375 bytes could not be synced to"):
        await journal.close()

    disk.free = None
    await (await Journal.open(tmp_path, JournalOptions(), now_ns=lambda: 1)).close()


async def test_a_closed_journal_takes_nothing(open_journal: OpenJournal) -> None:
    async with open_journal() as journal:
        pass
    await journal.close()

    with pytest.raises(JournalClosed):
        journal.append(1, Kind.FRAME, 1, b"")
    assert "closed" in repr(journal)


async def test_a_position_that_never_was_is_refused(open_journal: OpenJournal) -> None:
    async with open_journal() as journal:
        beyond = Position(journal.end.segment, journal.end.offset + 1)
        with pytest.raises(PositionBeyondEnd):
            await journal.sync(beyond)
        with pytest.raises(PositionBeyondEnd, match="reset the stored position"):
            journal.committed = beyond
        assert journal.committed == BEGINNING


async def test_closed_segments_are_compressed_and_deleted_once_committed(
    open_journal: OpenJournal, tmp_path: Path
) -> None:
    options = JournalOptions(segment_bytes=400, write_interval_s=0.001, sync_interval_s=0.002, keep_bytes=1)
    async with open_journal(options) as journal:
        fill(journal, 40)
        await journal.sync(journal.end)
        await until(lambda: all(info.compressed for info in segments(tmp_path)[:-1]))
        assert numbers_in(journal.read()) == list(range(40))

        journal.committed = journal.end
        fill(journal, 8)
        await journal.sync(journal.end)
        await until(lambda: segments(tmp_path)[0].number == journal.committed.segment)


async def test_the_distance_to_a_position_counts_bytes(open_journal: OpenJournal) -> None:
    async with open_journal(SMALL) as journal:
        start = journal.end
        fill(journal, 2)
        assert journal.distance(start) == 2 * 75
        assert journal.distance(journal.end) == 0

        fill(journal, 8)
        assert journal.distance(start) > 2 * 75


async def test_the_distance_counts_short_segments_for_what_they_hold(open_journal: OpenJournal, tmp_path: Path) -> None:
    clock = [10**18]
    options = JournalOptions(write_interval_s=0.001, segment_seconds=60)
    async with open_journal(options, now_ns=lambda: clock[0]) as journal:
        start = journal.end
        for _ in range(3):
            fill(journal, 10)
            first = journal.end.segment
            clock[0] += 61 * 10**9
            while journal.end.segment == first:
                await asyncio.sleep(0.002)
                fill(journal, 1)
        await journal.sync(journal.end)
        held = sum(RECORD_BYTES + len(record.payload) for record in journal.read())
        headers = HEADER_BYTES * (journal.end.segment - start.segment)
        assert journal.distance(start) == held + headers
        await until(lambda: all(info.compressed for info in segments(tmp_path)[:-1]))
    async with open_journal(options, now_ns=lambda: clock[0]) as journal:  # known after a restart, compressed or not
        assert journal.distance(start) == held + headers + journal.end.offset
        gone = Position(start.segment - 5, 17)
        assert journal.distance(gone) == held + headers + journal.end.offset + start.offset


async def test_an_old_segment_gives_way_to_a_new_one(open_journal: OpenJournal) -> None:
    clock = [10**18]
    options = JournalOptions(write_interval_s=0.001, segment_seconds=60, compress=False)
    async with open_journal(options, now_ns=lambda: clock[0]) as journal:
        fill(journal, 1)
        first = journal.end.segment
        clock[0] += 60 * 10**9
        while journal.end.segment == first:
            await asyncio.sleep(0.001)
            fill(journal, 1)


async def test_a_waiter_that_gave_up_disturbs_nobody(open_journal: OpenJournal, disk: Any) -> None:
    async with open_journal(disk=disk) as journal:
        disk.moving.clear()
        fill(journal, 1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await journal.sync(journal.end)
        disk.moving.set()

        await journal.sync(journal.end)


@pytest.mark.parametrize(
    "wrong",
    [{"segment_bytes": 0}, {"segment_bytes": 1 << 30}, {"keep_days": -1}, {"level": 30}, {"write_interval_s": 0}],
)
def test_options_that_make_no_sense_are_refused_by_name(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        JournalOptions(**wrong)  # type: ignore[arg-type]

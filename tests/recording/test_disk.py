"""A disk that ends: nothing more is taken in, what is missed is told, and what can be had again is fetched."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from structlog.testing import capture_logs

from collector.daemon.daemon import Daemon
from collector.journal import Kind, Position
from collector.journal.committed import remember
from collector.journal.disk import RealDisk
from collector.journal.segments import numbers, segment_path
from collector.journal.tail import Tail
from collector.status.snapshot import snapshot
from tests.kit.known import known
from tests.kit.stage import Stage, all_equal, live, stage, until
from tests.soak.servers import filled, small_disk

pytestmark = pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)

TIGHT = "\n[journal]\nsegment_mb = {segment_mb}\nmax_gb = {max_gb}\nbuffer_mb = 1\ncompress = false\n"
GAPS = "select stream, count(*), count(to_time), bool_and(from_time < to_time) from gaps where cause = $1 group by 1"
STEPS = ("journal_disk_budget_reached", "journal_has_room_again")


def configure(on: Stage, **settings: object) -> None:
    on.config.write_text(on.config.read_text() + TIGHT.format(**settings))


def take_away(daemon: Daemon) -> Any:
    """Let the database be gone; returns what brings it back."""
    daemon.intake.queue.most_bytes = 64 << 10
    place = daemon.writer.database._held._dsn
    daemon.writer.database._held._dsn = lambda: "postgresql://nobody@127.0.0.1:1/none"
    daemon.writer.database._held.drop()
    return place


async def recorded_again(on: Stage, daemon: Daemon, cause: str) -> None:
    """The lines are back, and every gap has its end and, where there is history, its repair."""
    await until(lambda: daemon.journal.refusal is None, "room", 60)
    await until(lambda: live(daemon) and daemon.intake.live, "live lines", 60)
    async with asyncio.timeout(60):
        while await on.query(  # noqa: ASYNC110  nobody announces it
            "select from gaps where cause = $1"
            " and (to_time is null or (state = 'open' and stream in ('trades', 'candles')))",
            cause,
        ):
            await asyncio.sleep(0.05)
    assert all_equal(await on.compare(daemon, "trades", "candles"))
    streams = {stream: (gaps, ends, spans) for stream, gaps, ends, spans in await on.query(GAPS, cause)}
    assert {"trades", "candles", "books", "ticks"} <= streams.keys()
    for gaps, ends, spans in streams.values():
        assert (gaps, spans) == (ends, True)
    states = await on.query("select distinct state from gaps where cause = $1 and stream = 'trades'", cause)
    assert states == [("repaired",)]
    await on.counts_add_up()


async def test_when_the_budget_is_used_up_without_a_database_reading_ends_and_the_loss_is_a_gap(
    database: str, tmp_path: Path
) -> None:
    async with stage(database, tmp_path, rate=4000) as on:
        configure(on, segment_mb=1, max_gb=0.012)
        with capture_logs() as logs:
            async with on.daemon() as daemon:
                await until(lambda: live(daemon) and daemon.statistics.total.stored > 1000, "rows")
                back = take_away(daemon)
                await until(lambda: daemon.journal.refusal is not None, "a budget that is used up", 60)
                await until(lambda: not live(daemon), "lines that are ended")
                status = snapshot(daemon.observed)
                assert any("journal.max_gb" in one.reason for one in status.health.not_ready)
                assert known(status.journal).refusal
                assert known(status.journal).used_bytes <= 13 << 20
                held = daemon.journal.end
                await asyncio.sleep(2)
                assert daemon.journal.end == held, "nothing is taken in any more"
                # A budget as small as this leaves no room to catch up beside a market in full swing.
                await on.ledger.pause()
                daemon.writer.database._held._dsn = back
                await recorded_again(on, daemon, "disk full")
                assert not any("max_gb" in one.reason for one in snapshot(daemon.observed).health.not_ready)
    told = [log["event"] for log in logs if log["event"] in STEPS]
    # Once each, or once more where the snapshots of the new lines use up a budget as small as this.
    assert told in ([*STEPS], [*STEPS, *STEPS])


@pytest.mark.parametrize(("number", "cause"), [(errno.ENOSPC, "disk full"), (errno.EIO, "disk fault")])
async def test_when_the_disk_itself_refuses_the_loss_is_a_gap_with_its_cause(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, cause: str
) -> None:
    refusing = False
    write_at = RealDisk.write_at

    def write(self: RealDisk, fd: int, data: memoryview, offset: int) -> int:
        if refusing:
            raise OSError(number, os.strerror(number))
        return write_at(self, fd, data, offset)

    monkeypatch.setattr(RealDisk, "write_at", write)
    async with stage(database, tmp_path, rate=1000) as on:
        configure(on, segment_mb=64, max_gb=1)
        async with on.daemon() as daemon:
            await until(lambda: live(daemon) and daemon.statistics.total.stored > 1000, "rows")
            refusing = True
            await until(lambda: daemon.journal.refusal is not None, "a full memory", 60)
            await until(lambda: not live(daemon), "lines that are ended")
            assert any(os.strerror(number) in one.reason for one in snapshot(daemon.observed).health.not_ready)
            assert daemon.journal.buffered < 2 << 20
            await asyncio.sleep(1)
            await on.ledger.pause()
            refusing = False
            await recorded_again(on, daemon, cause)


async def test_daemon_that_is_killed_on_a_full_disk_leaves_a_gap_from_what_was_last_written(
    database: str, tmp_path: Path
) -> None:
    async with stage(database, tmp_path, rate=1000) as on:
        configure(on, segment_mb=64, max_gb=1)
        # A file that may not grow refuses like a full disk, and needs no disk of its own.
        async with on.process(most_file_bytes=3_000_000) as process:
            said = tmp_path / "daemon.log"
            await until(lambda: b"journal_disk_fault" in said.read_bytes(), "a disk that refuses", 60)
            await asyncio.sleep(1)
            process.kill()
            await process.wait()
        async with on.daemon() as daemon:
            await until(lambda: live(daemon) and daemon.intake.live, "a daemon that has caught up", 60)
            assert all_equal(await on.compare(daemon, "trades", "candles"))
            assert await on.query("select from gaps where cause = 'killed' and stream = 'trades'")
            await on.counts_add_up()


def former_run(on: Stage, disk: Path) -> list[int]:
    """Put the data folder on a small disk, with segments that were committed once; returns their numbers."""
    folder = disk / "data" / "journal"
    folder.mkdir(parents=True)
    on.config.write_text(on.config.read_text().replace(str(on.folder / "data"), str(disk / "data")))
    on.config.write_text(on.config.read_text() + "\n[journal]\nmin_free_gb = 0\ncompress = false\n")
    for number in range(1, 6):
        tail = Tail(number, segment_bytes=1 << 20, now_ns=lambda: 1)
        for _ in range(3000):
            tail.append(1, Kind.NOTE, 1, b"{}" + b" " * 200)
        tail.seal()
        segment_path(folder, number).write_bytes(tail.sealed[0].data)
    (folder / "name").write_text("former\n")
    remember(RealDisk(), folder, Position(5, 0))
    return numbers(folder)


async def test_start_on_a_full_disk_lets_committed_segments_give_way_and_records(database: str, tmp_path: Path) -> None:
    with small_disk(8) as disk:
        async with stage(database, tmp_path) as on:
            before = former_run(on, disk)
            with filled(disk, 0):
                assert shutil.disk_usage(disk).free == 0
                async with on.daemon() as daemon:
                    assert daemon.journal.refusal is None
                    await until(lambda: live(daemon) and daemon.intake.live, "a live daemon", 60)
                    assert all_equal(await on.compare(daemon, "trades", "candles"))
            left = numbers(disk / "data/journal")
            assert before[0] < left[0] < before[-1], "some had to go, and no more than some"


async def test_start_on_a_disk_that_stays_full_holds_the_venues_until_there_is_room(
    database: str, tmp_path: Path
) -> None:
    with small_disk(8) as disk:
        async with stage(database, tmp_path) as on:
            before = former_run(on, disk)
            on.config.write_text(on.config.read_text().replace("min_free_gb", "keep_least_gb = 1\nmin_free_gb"))
            with filled(disk, 0):
                async with on.daemon() as daemon:
                    assert daemon.journal.refusal is not None
                    assert daemon.journal.refusal.cause == "disk full"
                    assert any("No space left" in one.reason for one in snapshot(daemon.observed).health.not_ready)
                    await until(lambda: daemon.recorder.committed is not None, "a database that has answered")
                    assert not live(daemon)
                    assert numbers(disk / "data/journal")[: len(before)] == before
                    (disk / "ballast").write_bytes(b"")
                    await until(lambda: live(daemon) and daemon.intake.live, "a live daemon", 60)
                    assert daemon.journal.fault is None
                    assert all_equal(await on.compare(daemon, "trades", "candles"))


async def test_journal_that_is_gone_leaves_a_gap_since_the_last_commit(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.recording.start.ABANDONED_MIN_SECONDS", 1.0)
    async with stage(database, tmp_path, rate=500) as on:
        async with on.process() as process:
            async with asyncio.timeout(60):
                while not await committed(on):  # noqa: ASYNC110  another process's rows
                    await asyncio.sleep(0.05)
            process.kill()
            await process.wait()
        shutil.rmtree(tmp_path / "data" / "journal")
        async with on.daemon() as daemon:  # which waits until it is certain that nobody has these sessions
            await until(lambda: live(daemon) and daemon.intake.live, "a live daemon", 60)
            await recorded_again(on, daemon, "killed")
        [(reason,)] = await on.query("select distinct reason from gaps where cause = 'killed' and stream = 'trades'")
        assert "is gone" in reason
        open_sessions = await on.query("select count(*) from sessions where closed_at is null")
        assert open_sessions == [(0,)]
        # The journal is a new one, and was committed; a daemon that starts with it finds nothing abandoned.
        gaps = await on.query("select count(*) from gaps where cause = 'killed'")
        async with on.daemon() as daemon:
            await until(lambda: live(daemon) and daemon.intake.live, "a live daemon", 60)
        assert await on.query("select count(*) from gaps where cause = 'killed'") == gaps


async def committed(on: Stage) -> bool:
    """Whether more is in the tables than the first answers, which reach back further than any gap."""
    try:
        [(enough,)] = await on.query("select max(received_at) - min(received_at) > interval '4 seconds' from trades")
    except (OSError, asyncpg.UndefinedTableError):
        return False
    return bool(enough)

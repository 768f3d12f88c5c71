"""The whole daemon between a simulated venue and a real database."""

from __future__ import annotations

import asyncio
import shutil
import signal
import time
from pathlib import Path

import pytest

from collector.demo.demo import settled
from tests.databases import open_folder
from tests.kit.stage import Stage, all_equal, live, stage, until

timescaledb = pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)


async def test_tables_equal_what_was_sent(database: str, tmp_path: Path) -> None:
    async with stage(database, tmp_path) as on, on.daemon() as daemon:
        await until(lambda: live(daemon) and daemon.statistics.total.stored > 8000, "8,000 rows")
        verdicts = await on.compare(daemon)
        assert {verdict.table for verdict in verdicts} == {
            "trades",
            "ticks",
            "books",
            "candles",
            "derivatives",
            "rates",
        }
        assert all_equal(verdicts)
        assert daemon.statistics.total.quarantined == 0
        await on.counts_add_up()


@timescaledb
async def test_ids_that_are_times_lose_no_trade(database: str, tmp_path: Path) -> None:
    async with stage(database, tmp_path, ids="time", rate=1000) as on, on.daemon() as daemon:
        await until(lambda: live(daemon) and daemon.statistics.total.stored > 10000, "10,000 rows")
        assert all_equal(await on.compare(daemon, "trades"))
        live_ids = await on.query("select count(*) from trades where trade_id is null")
        assert live_ids[0][0] > 100


@timescaledb
async def test_sigterm_commits_everything_and_ends_with_status_0(database: str, tmp_path: Path) -> None:
    async with stage(database, tmp_path) as on, on.process() as process:
        await recorded(on, 1000)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
        assert time.monotonic() - began < 10
        [(segment, offset)] = await on.query("select segment, byte_offset from journal_position")
        assert (await on.query("select count(*) from sessions where closed_at is null")) == [(0,)]
        newest = max((tmp_path / "data" / "journal").glob("*.seg*"))
        assert newest.name.startswith(f"{segment:012d}")
        assert newest.stat().st_size == offset
        await on.counts_add_up()


@timescaledb
async def test_killed_daemon_loses_nothing_that_it_had_received(database: str, tmp_path: Path) -> None:
    async with stage(database, tmp_path, rate=1500) as on:
        for _ in range(5):
            async with on.process() as process:
                before = await on.rows("trades")
                await recorded(on, before + 300)
                process.send_signal(signal.SIGKILL)
                await process.wait()
        async with on.daemon() as daemon:
            await until(lambda: live(daemon) and daemon.intake.live, "a daemon that has caught up")
            assert all_equal(await on.compare(daemon, "trades", "candles"))
            await on.counts_add_up()
            assert daemon.statistics.total.quarantined == 0


@timescaledb
async def test_time_without_a_daemon_is_a_gap_with_both_ends(database: str, tmp_path: Path) -> None:
    async with stage(database, tmp_path) as on:
        async with on.process() as process:
            await recorded(on, 300)
            await on.begun()  # what does not flow yet misses its kill as a part of its start
            process.send_signal(signal.SIGKILL)
            await process.wait()
        async with on.daemon() as daemon:
            await until(lambda: live(daemon) and daemon.intake.live, "a live daemon")
            on.venue.fault("cut")
            feed = daemon.workers["fmfw"].worker.connections["fmfw-1"]
            await until(lambda: feed.reconnects == 1 and live(daemon), "another connection")
            await on.ledger.pause()
            await settled(daemon.observed)
            causes = await on.query(
                "select cause, count(*), count(to_time), bool_and(from_time <= to_time) from gaps"
                " where cause <> 'starting' group by 1 order by 1"
            )
        [(covered,)] = await on.query("select count(distinct (symbol, stream)) from v_gaps")
        assert covered > 40
        assert causes == [("disconnect", covered, covered, True), ("killed", covered, covered, True)]
        stopped = await on.query("select count(*), count(to_time) from gaps where cause = 'stopped'")
        assert stopped == [(covered, 0)]


@timescaledb
async def test_database_that_is_away_costs_time_and_no_rows(database: str, tmp_path: Path) -> None:
    async with stage(database, tmp_path, rate=1000, extra="") as on, on.daemon() as daemon:
        await until(lambda: live(daemon) and daemon.statistics.total.stored > 3000, "3,000 rows")
        daemon.intake.queue.most_bytes = 64 << 10  # so that the queue is full at once
        place = daemon.writer.database._held._dsn
        daemon.writer.database._held._dsn = lambda: "postgresql://nobody@127.0.0.1:1/none"
        daemon.writer.database.drop()
        await until(lambda: not daemon.intake.live, "a full queue")
        before = daemon.journal.end
        await asyncio.sleep(1)
        assert daemon.journal.end > before
        assert daemon.intake.queue.bytes < 1 << 20
        daemon.writer.database._held._dsn = place
        await until(lambda: daemon.intake.live, "a journal that has been worked off")
        assert all_equal(await on.compare(daemon))
        await on.counts_add_up()


@timescaledb
async def test_segments_that_end_lose_nothing_and_each_has_its_own_counts(database: str, tmp_path: Path) -> None:
    async with stage(database, tmp_path, rate=2000) as on:
        on.config.write_text(on.config.read_text() + "\n[journal]\nsegment_mb = 1\n")
        async with on.daemon() as daemon:
            first = daemon.journal.end.segment
            await until(lambda: live(daemon) and daemon.journal.end.segment >= first + 4, "four segments", 60)
            assert all_equal(await on.compare(daemon))
        await on.counts_add_up()
        segments = await on.query("select distinct segment from journal_counts order by 1")
        assert len(segments) >= 4


@timescaledb
async def test_second_daemon_on_the_same_folder_is_refused(database: str, tmp_path: Path) -> None:
    async with stage(database, tmp_path) as on, on.daemon() as daemon:
        await until(lambda: live(daemon), "a live daemon")
        async with on.process() as second:
            assert await second.wait() == 1
        said = (tmp_path / "daemon.log").read_text()
        assert "data" in said
        assert "Traceback" not in said


async def recorded(on: Stage, trades: int) -> None:
    """Wait until so many trades are in the table."""
    end = time.monotonic() + 30
    while True:
        try:
            if await on.rows("trades") >= trades:
                return
        except OSError:
            pass
        assert time.monotonic() < end
        await asyncio.sleep(0.05)


@timescaledb
async def test_what_it_keeps_is_nobody_else_s_and_an_exposed_secret_is_told(database: str) -> None:
    place = open_folder()
    try:
        async with stage(database, place) as on, on.process() as process:
            on.config.chmod(0o644)
            await recorded(on, 10)
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
        kept = [place / "data", *(place / "data").rglob("*")]
        assert any(path.name == "name" for path in kept)
        assert {path.stat().st_mode & 0o077 for path in kept} == {0}
        assert '"secrets_readable"' in (place / "daemon.log").read_text()
    finally:
        shutil.rmtree(place)

"""A database that has lost what it had acknowledged: really restored from a copy of an earlier moment."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from structlog.testing import capture_logs

from collector.audit.segments import Segment, audit_segments, committed_segments, load
from collector.daemon.daemon import Daemon
from collector.demo.demo import settled
from collector.journal import Position
from collector.journal.segments import numbers, segment_path
from collector.store.batch import Batch, Committed
from tests.kit.running import PATIENCE_SECONDS
from tests.kit.stage import Stage, all_equal, live, stage, until
from tests.repair.truth import all_settled, everything_is_there, now_us
from tests.soak.proof import quotes_outside_gaps_are_there

if TYPE_CHECKING:
    from tests.databases import DatabaseServer

pytestmark = pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)

SMALL_SEGMENTS = "\n[journal]\nsegment_mb = 1\ncompress = false\n"
FALSE_ALARMS = {"position_past_journal", "journal_lost", "journal_begins_after_position", "journal_name_lost"}


async def sessions_last_that_are_open(on: Stage, daemon: Daemon) -> None:
    """Compare the sessions without an end with those of the parsers; repairs begin and end theirs at any time."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            lasting = {row[0] for row in await on.query("select session_id from sessions where closed_at is null")}
            if lasting == set(daemon.intake.normaliser.sessions):
                return
            await asyncio.sleep(0.1)


@asynccontextmanager
async def small_segments(dsn: str, folder: Path, rate: float = 1000) -> AsyncIterator[Stage]:
    async with stage(dsn, folder, rate=rate) as on:
        on.config.write_text(on.config.read_text() + SMALL_SEGMENTS)
        yield on


def stored(daemon: Daemon) -> int:
    return daemon.statistics.total.stored


async def recorded(daemon: Daemon, rows: int) -> None:
    """Wait until so many more rows are stored and nothing is behind."""
    before = stored(daemon)
    await until(lambda: live(daemon) and daemon.intake.live and stored(daemon) > before + rows, f"{rows} rows more")


async def segments_later(daemon: Daemon, count: int) -> None:
    first = daemon.journal.end.segment
    await until(
        lambda: daemon.recorder.committed is not None and daemon.recorder.committed.segment >= first + count,
        f"{count} segments more",
        60,
    )


def spoil(on: Stage, count: int) -> None:
    """Send frames that nobody understands."""
    for _ in range(count):
        on.venue.fault("garbage", channel="trades", symbol="BTCUSDT")


async def proved(on: Stage, daemon: Daemon, since_us: int, *, spoilt: int) -> None:
    """Compare facts and everything that is kept about them with what it would be without any restore."""
    await on.ledger.pause()
    await settled(daemon.observed)
    await all_settled(on, daemon, 0)
    await settled(daemon.observed)
    await everything_is_there(on, since_us)
    await quotes_outside_gaps_are_there(on)
    assert daemon.intake.unaccounted == 0
    await counted_once(on, daemon)
    assert await on.query("select count(*), sum(items), count(distinct ordinal) from quarantine") == [
        (spoilt, spoilt or None, int(spoilt > 0))
    ]
    # Sessions of this process last; others are over. None was closed for want of knowing it.
    await sessions_last_that_are_open(on, daemon)
    assert await on.query("select 1 from sessions where reason like '%is gone%'") == []
    [(behind,)] = await on.query("select max(now() - until) from (select max(to_time) as until from coverage) c")
    assert behind.total_seconds() < 30


async def counted_once(on: Stage, daemon: Daemon) -> None:
    """Read all of the journal again and compare it with what was counted."""
    [(name,)] = await on.query("select journal from journal_position")
    connection = await asyncpg.connect(on.dsn)
    try:
        ledger = await load(connection, name)
    finally:
        await connection.close()
    assert ledger is not None
    directory = daemon.journal.directory
    wanted = committed_segments(directory, ledger, 0, 1 << 40)
    judged = [one for one in audit_segments(directory, ledger, wanted) if isinstance(one, Segment)]
    assert judged
    assert [one for one in judged if one.verdict != "complete"] == []


async def gaps(on: Stage) -> Counter[str]:
    return Counter(dict(await on.query("select cause, count(*) from gaps group by cause")))


@pytest.mark.parametrize("restored", ["to nothing", "to a former run", "to an earlier moment of this run"])
async def test_what_was_lost_is_written_again_and_counted_once(
    tmp_path: Path, database_server: DatabaseServer, database: str, restored: str
) -> None:
    async with small_segments(database, tmp_path) as on:
        backup = None
        async with on.daemon() as daemon:
            await recorded(daemon, 500)
            since_us = now_us()
            spoil(on, 3)
            await recorded(daemon, 500)
            if restored == "to a former run":
                backup = await database_server.backup(database)
                await recorded(daemon, 500)
        between = await gaps(on)
        async with on.daemon() as daemon:
            await segments_later(daemon, 1)
            if restored == "to an earlier moment of this run":
                backup = await database_server.backup(database)
            await recorded(daemon, 500)
            spoil(on, 4)
            await segments_later(daemon, 1)
            with capture_logs() as logs:
                await database_server.restore(database, backup)
                await until(lambda: "database_went_back" in [entry["event"] for entry in logs], "that it is noticed")
                await until(lambda: daemon.intake.live, "the journal's end", 60)
            assert not FALSE_ALARMS & {entry["event"] for entry in logs}
            await recorded(daemon, 500)
            await proved(on, daemon, since_us, spoilt=7)
            assert await gaps(on) == between


async def test_nothing_is_committed_or_deleted_between_the_notice_and_the_new_start(
    tmp_path: Path, database_server: DatabaseServer, database: str
) -> None:
    async with small_segments(database, tmp_path) as on, on.daemon() as daemon:
        await recorded(daemon, 500)
        since_us = now_us()
        backup = await database_server.backup(database)
        [(segment, offset)] = await on.query("select segment, byte_offset from journal_position")
        await segments_later(daemon, 2)
        noticed, go_on = asyncio.Event(), asyncio.Event()
        held, commit = daemon.writer.stored_place, daemon.writer.commit
        batches: list[Batch] = []

        async def slow() -> Any:
            noticed.set()
            await go_on.wait()
            return await held()

        async def commit_and_tell(batch: Batch) -> Committed:
            batches.append(batch)
            return await commit(batch)

        daemon.writer.stored_place = slow  # type: ignore[method-assign]
        daemon.writer.commit = commit_and_tell  # type: ignore[method-assign]
        await database_server.restore(database, backup)
        await noticed.wait()
        assert not daemon.intake.live
        assert daemon.journal.committed <= Position(segment, offset)
        batches.clear()
        before = daemon.journal.end
        await until(lambda: daemon.journal.distance(before) > 100_000, "more frames")
        assert batches == []
        assert await on.query("select segment, byte_offset from journal_position") == [(segment, offset)]
        go_on.set()
        await until(lambda: daemon.intake.live, "the journal's end", 60)
        await proved(on, daemon, since_us, spoilt=0)


@pytest.mark.parametrize("when", ["while the daemon runs", "while none runs"])
async def test_what_the_journal_no_longer_holds_is_a_gap_and_repaired(
    tmp_path: Path, database_server: DatabaseServer, database: str, when: str
) -> None:
    async with small_segments(database, tmp_path) as on:
        async with on.daemon() as daemon:
            await recorded(daemon, 1000)
            since_us = now_us()
            backup = await database_server.backup(database)
            await segments_later(daemon, 3)
            if when == "while the daemon runs":
                begins = await forget_journal(on, daemon.journal.directory, daemon.journal.end.segment - 1)
                await database_server.restore(database, backup)
                await until(lambda: daemon.intake.live and "fmfw" in daemon.venues.repairers, "a daemon", 60)
                await until(lambda: not daemon.intake.live, "that it is noticed")
                await until(lambda: daemon.intake.live, "the journal's end", 60)
                await told_and_repaired(on, daemon, begins, since_us)
        if when == "while none runs":
            begins = await forget_journal(on, tmp_path / "data" / "journal", numbers(tmp_path / "data" / "journal")[-1])
            await database_server.restore(database, backup)
            async with on.daemon() as daemon:
                await until(lambda: live(daemon) and daemon.intake.live, "a daemon", 60)
                await told_and_repaired(on, daemon, begins, since_us)


async def forget_journal(on: Stage, directory: Path, until_segment: int) -> int:
    """Delete segments as retention does; return the first that stays."""
    for number in numbers(directory):
        if number < until_segment:
            segment_path(directory, number).unlink()
    return until_segment


async def told_and_repaired(on: Stage, daemon: Daemon, begins: int, since_us: int) -> None:
    await recorded(daemon, 200)
    restored = await on.query(
        "select stream, count(*), bool_and(to_time is not null) from gaps where cause = 'database restored' group by 1"
    )
    assert {stream for stream, _, _ in restored} >= {"trades", "ticks", "books", "candles"}
    assert all(ended for *_, ended in restored)
    await all_settled(on, daemon, sum(count for _, count, _ in restored))
    await on.ledger.pause()
    await settled(daemon.observed)
    await all_settled(on, daemon, 1)
    await settled(daemon.observed)
    await everything_is_there(on, since_us)
    assert daemon.intake.unaccounted == 0
    # What cannot be got back lies in a gap: no quote is missing elsewhere.
    [(outside,)] = await on.query(
        "select count(*) from gaps where cause = 'database restored' and stream in ('ticks', 'books')"
        " and state <> 'unrecoverable'"
    )
    assert outside == 0
    await sessions_last_that_are_open(on, daemon)


async def test_line_to_the_database_that_is_cut_is_no_loss(
    tmp_path: Path, database_server: DatabaseServer, database: str
) -> None:
    async with stage(database, tmp_path, rate=300) as on, on.daemon() as daemon:
        await until(lambda: daemon.statistics.total.stored > 300, "some rows")
        administrator = await asyncpg.connect(database_server.superuser(database))
        with capture_logs() as logs:
            for _ in range(5):
                stored = daemon.statistics.total.stored
                await administrator.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity "
                    "where datname = current_database() and pid <> pg_backend_pid()"
                )
                await until(lambda stored=stored: daemon.statistics.total.stored > stored + 50, "rows")  # type: ignore[misc]
        await administrator.close()
        assert "database_went_back" not in [entry["event"] for entry in logs]
        assert all_equal(await on.compare(daemon, "trades", "ticks", "books", "candles"))

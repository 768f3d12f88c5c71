"""Restores and kills in any order, with commits, catching up and other restores under way."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
import structlog

from collector.audit.segments import Segment, audit_segments, committed_segments, load
from collector.proof.replay import replay
from collector.store.writer import Writer

from .conftest import Measured
from .core import Core

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.databases import DatabaseServer

pytestmark = pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)

BACKUPS_KEPT = 5
COMPARED = {
    "trades": "select symbol, time, trade_key, trade_id, price, size, side, received_at from v_trades",
    "quarantine": "select received_at, code, stream, error, items, payload, ordinal"
    " from quarantine join venues using (venue_id)",
    "sessions": "select session_id, worker, opened_at, closed_at, reason, frames from sessions",
    "gaps": "select symbol, stream, from_time, to_time, cause, reason, state from v_gaps",
    "wanted": "select symbol, stream, from_time, to_time from wanted join instruments using (instrument_id)",
}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Thousands of expected troubles would be thousands of lines."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    yield
    structlog.reset_defaults()


async def tables(dsn: str) -> dict[str, list[tuple[Any, ...]]]:
    connection = await asyncpg.connect(dsn)
    try:
        return {
            name: sorted((tuple(row) for row in await connection.fetch(query)), key=repr)
            for name, query in COMPARED.items()
        }
    finally:
        await connection.close()


async def told_by_the_journal(folder: Path, dsn: str) -> dict[str, list[tuple[Any, ...]]]:
    """Make the tables anew, from the beginning, undisturbed."""
    writer = Writer(lambda: dsn, None)
    try:
        done = await replay(folder, writer)
    finally:
        await writer.close()
    assert done.damages == []
    return await tables(dsn)


async def counted(folder: Path, dsn: str) -> int:
    """Every segment's items against what was counted of them; returns how many segments there are."""
    connection = await asyncpg.connect(dsn)
    try:
        name = await connection.fetchval("select journal from journal_position")
        books = await load(connection, name)
        sums = await connection.fetch(
            "select table_name, sum(items) = sum(stored + duplicates + quarantined), sum(stored), sum(quarantined)"
            " from journal_counts group by 1"
        )
        counts = await connection.fetch(
            "select 'trades', count(*) from trades union all select 'frames', sum(items) from quarantine"
        )
        rows = {row[0]: row[1] for row in counts}
    finally:
        await connection.close()
    assert books is not None
    judged = [
        one
        for one in audit_segments(folder, books, committed_segments(folder, books, 0, 1 << 40))
        if isinstance(one, Segment)
    ]
    assert [one for one in judged if one.verdict != "complete"] == []
    for table, adds_up, stored, quarantined in sums:
        assert adds_up, table
        assert (quarantined if table == "frames" else stored) == rows[table], table
    return len(judged)


@pytest.mark.parametrize("rounds", [12, pytest.param(1000, marks=pytest.mark.soak)])
async def test_restores_and_kills_in_any_order_change_nothing(
    database: str, database_server: DatabaseServer, tmp_path: Path, rounds: int, measured: Measured
) -> None:
    random = Random(rounds)
    core = Core(tmp_path, database, random)
    backups: list[str | None] = [None]
    restores = kills = cuts = 0
    await core.start()
    for _ in range(rounds):
        for _ in range(random.randrange(1, 12)):
            core.do_something()
            await asyncio.sleep(random.choice([0, 0, 0.001, 0.01, 0.03]))  # the moment is what is tried
            core.note_durable()
        core.healthy()
        if random.random() < 0.3:
            backups.append(await database_server.backup(database))
            if len(backups) > BACKUPS_KEPT:
                await database_server.forget(backups.pop(random.randrange(1, len(backups))))
        if random.random() < 0.2:
            await core.caught_up()
        dice = random.random()
        if dice < 0.5:
            await database_server.restore(database, random.choice(backups))
            restores += 1
        if dice > 0.4:
            await core.kill()
            kills += 1
            if dice > 0.9:  # while nothing runs
                await database_server.restore(database, random.choice(backups))
                restores += 1
            await core.start()
        elif random.random() < 0.3:
            await database_server.cut(database)
            cuts += 1
    await core.caught_up()
    await core.kill()
    found = await tables(database)
    async with database_server.database() as other:
        truth = await told_by_the_journal(tmp_path, other)
    for name, rows in truth.items():
        assert found[name] == rows, name
    lost = core.durable - {int(row[3]) for row in found["trades"] if row[3] is not None}
    assert lost == set()
    segments = await counted(tmp_path, database)
    assert core.intake.unaccounted == 0
    measured(
        rounds=rounds,
        restores=restores,
        kills=kills,
        cuts=cuts,
        trades=len(found["trades"]),
        segments=segments,
        gaps=len(found["gaps"]),
        quarantined=len(found["quarantine"]),
        lost=len(lost),
    )

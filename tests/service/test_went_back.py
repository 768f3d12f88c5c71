"""A database that has lost what it had acknowledged: restored from a backup, or a replica that was behind."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest
from structlog.testing import capture_logs

from tests.service.stage import all_equal, stage, until

if TYPE_CHECKING:
    from tests.databases import DatabaseServer

pytestmark = pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)

FACTS = "trades, ticks, books, candles, derivatives, rates, trades_1m, trades_5m, trades_1h, trades_1d"


async def go_back(administrator: asyncpg.Connection, segment: int | None) -> None:
    """Make the database what it was when the journal's `segment` began, or before anything, at one blow."""
    async with administrator.transaction():
        await administrator.execute("lock table journal_position in access exclusive mode")
        # More than an earlier moment would lack: what is there already is written once all the same.
        await administrator.execute(f"truncate {FACTS}, journal_counts")
        if segment is None:
            await administrator.execute("delete from journal_position")
        else:
            await administrator.execute("update journal_position set segment = $1, byte_offset = 0", segment)
        await administrator.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where datname = current_database() and pid <> pg_backend_pid()"
        )


@pytest.mark.parametrize("restored", ["to nothing", "to an earlier moment"])
async def test_rows_that_it_lost_are_written_again(
    tmp_path: Path, database_server: DatabaseServer, database: str, restored: str
) -> None:
    async with stage(database, tmp_path, rate=300) as on, on.daemon() as daemon:
        await until(lambda: daemon.statistics.total.stored > 500, "some rows")
        administrator = await asyncpg.connect(database_server.superuser(database))
        try:
            [before] = await administrator.fetch("select * from journal_position")
            stored = daemon.statistics.total.stored
            await until(lambda: daemon.statistics.total.stored > stored + 500, "more rows")
            with capture_logs() as logs:
                while True:
                    try:
                        await go_back(administrator, None if restored == "to nothing" else before["segment"])
                    except asyncpg.DeadlockDetectedError:  # the daemon was quicker
                        continue
                    break
                await until(lambda: "database_went_back" in [entry["event"] for entry in logs], "that it is noticed")
                await until(lambda: daemon.intake.live, "the journal's end", 60)
        finally:
            await administrator.close()
        assert all_equal(await on.compare(daemon, "trades", "ticks", "books", "candles"))
        await on.counts_add_up()


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

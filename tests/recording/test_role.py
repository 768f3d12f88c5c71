"""A daemon with no more than a writer's rights does all of its work, and can destroy nothing."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from collector.store.migrate import migrate
from tests.databases import DatabaseServer
from tests.kit.stage import all_equal, live, stage, until

pytestmark = pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)

DESTROYS = (
    "drop table trades cascade",
    "drop schema public cascade",
    "truncate trades",
    "delete from trades",
    "update trades set price = 0",
    "update ticks set bid = 0",
    "delete from candles",
    "delete from gaps",
    "delete from quarantine",
    "truncate journal_position",
    "alter table trades drop column price",
    "create table mine (x int)",
    "select drop_chunks('trades', now())",
    "alter role current_user superuser",
)


async def test_daemon_with_a_writers_rights_records_repairs_and_audits_and_can_destroy_nothing(
    database: str, database_server: DatabaseServer, tmp_path: Path
) -> None:
    name = f"recorder_{os.getpid()}"
    await migrate(database)
    owner = await asyncpg.connect(database_server.superuser(database))
    try:
        await owner.execute(f"create role {name} login password 'secret' in role collector_writer")
        parts = urlsplit(database)
        dsn = parts._replace(netloc=f"{name}:secret@{parts.netloc.rpartition('@')[2]}").geturl()
        async with stage(dsn, tmp_path) as on:
            async with on.daemon() as daemon:
                await until(lambda: live(daemon) and daemon.statistics.total.stored > 2000, "2,000 rows", 60)
                on.venue.fault("garbage", channel="trades")
                on.venue.fault("cut")
                (feed,) = daemon.workers["fmfw"].worker.connections.values()
                await until(lambda: feed.reconnects == 1 and live(daemon), "another line", 60)
                await until(lambda: daemon.venues.repairers["fmfw"].repaired > 5, "repaired gaps", 60)
                assert all_equal(await on.compare(daemon, "trades", "candles"))
                assert daemon.writer.database.connected
            assert await on.rows("quarantine") > 0
            await on.counts_add_up()
            connection = await asyncpg.connect(dsn)
            try:
                before = await connection.fetchval("select count(*) from trades")
                for statement in DESTROYS:
                    with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.InvalidSchemaNameError)):
                        await connection.execute(statement)
                assert await connection.fetchval("select count(*) from trades") == before
            finally:
                await connection.close()
    finally:
        await owner.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = $1", name)
        await asyncio.sleep(0)
        await owner.execute(f"drop role if exists {name}")
        await owner.close()

"""A database that is not as it should be when the daemon starts: recording goes on, and the tables follow later."""

from __future__ import annotations

import re
import shutil
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import asyncpg
import pytest
from structlog.testing import capture_logs

from collector.config import load
from collector.errors import ConfigError
from collector.status.snapshot import snapshot
from collector.store.embedded import server as embedded
from tests.databases import open_folder
from tests.kit.known import known
from tests.kit.stage import Stage, all_equal, live, stage, until
from tests.soak.servers import standby

if TYPE_CHECKING:
    from tests.databases import DatabaseServer

RESET = "alter database {name} reset"

timescaledb = pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)


async def superuser(server: DatabaseServer, database: str, statement: str) -> None:
    """Run a statement about a database, on another one of the server."""
    connection = await asyncpg.connect(server.server.superuser_dsn)
    try:
        await connection.execute(statement.format(name=urlsplit(database).path.lstrip("/")))
    finally:
        await connection.close()


async def waits_and_then_stores(on: Stage, word: str, cure: Callable[[], Awaitable[object]]) -> None:
    """Start a daemon: it records, tells what is wrong, and stores everything once that is cured."""
    with capture_logs() as logs:
        async with on.daemon() as daemon:
            before = daemon.journal.end
            await until(lambda: live(daemon) and daemon.journal.distance(before) > 20_000, "recorded frames")
            await until(lambda: any(word in str(entry.get("reason")) for entry in logs), f"{word!r} in the log")
            status = snapshot(daemon.observed)
            assert known(status.database).state == "away"
            assert word in known(status.database).reason
            assert status.health.ready
            await cure()
            await until(lambda: daemon.intake.live and daemon.statistics.total.stored > 500, "stored rows", 60)
            assert all_equal(await on.compare(daemon, "trades", "ticks", "books", "candles"))
        await on.counts_add_up()


@timescaledb
@pytest.mark.parametrize("tables", ["that are there", "still to be made"])
async def test_read_only_database(tables: str, database_server: DatabaseServer, tmp_path: Path) -> None:
    async with database_server.database(migrated=tables == "that are there") as database:
        await superuser(database_server, database, "alter database {name} set default_transaction_read_only = on")
        async with stage(database, tmp_path) as on:
            await waits_and_then_stores(
                on, "read-only", lambda: superuser(database_server, database, f"{RESET} default_transaction_read_only")
            )


@timescaledb
async def test_server_that_lacks_a_library(database_server: DatabaseServer, database: str, tmp_path: Path) -> None:
    await superuser(database_server, database, "alter database {name} set session_preload_libraries = 'nosuch'")
    async with stage(database, tmp_path) as on:
        await waits_and_then_stores(
            on,
            "nosuch",
            lambda: superuser(database_server, database, f"{RESET} session_preload_libraries"),
        )


@timescaledb
async def test_migration_that_fails(database_server: DatabaseServer, tmp_path: Path) -> None:
    async with database_server.database(migrated=False) as database:
        connection = await asyncpg.connect(database)
        await connection.execute("create table quarantine ()")
        async with stage(database, tmp_path) as on:
            await waits_and_then_stores(
                on, '"quarantine" already exists', lambda: connection.execute("drop table quarantine")
            )
        await connection.close()


async def test_standby_is_waited_for_until_it_is_promoted(folder: Path, tmp_path: Path) -> None:
    async with standby(folder) as server, stage(server.dsn, tmp_path) as on:
        await waits_and_then_stores(on, "read-only", lambda: server.tell("select pg_promote(true, 30)"))


@timescaledb
async def test_options_of_the_address_that_libpq_knows_do_no_harm(database: str, tmp_path: Path) -> None:
    options = (
        "connect_timeout=5&channel_binding=prefer&gssencmode=disable&keepalives=1&keepalives_idle=30"
        "&keepalives_interval=10&keepalives_count=3&tcp_user_timeout=10000&client_encoding=LATIN1"
        "&fallback_application_name=mine&options=-c%20statement_timeout%3D60000"
    )
    with capture_logs() as logs:
        async with stage(f"{database}&{options}", tmp_path) as on:
            on.dsn = database
            async with on.daemon() as daemon:
                await until(lambda: live(daemon) and daemon.statistics.total.stored > 500, "stored rows")
                names = await on.query(
                    "select distinct application_name from pg_stat_activity where datname = current_database()"
                )
                assert ("mine",) in names
    [told] = [entry["options"] for entry in logs if entry["event"] == "database_options_passed_over"]
    assert told == [
        "channel_binding",
        "client_encoding",
        "gssencmode",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "tcp_user_timeout",
    ]


def test_option_that_cannot_be_kept_is_a_fault_of_the_configuration(tmp_path: Path) -> None:
    file = tmp_path / "collector.toml"
    file.write_text('[database]\ndsn = "postgresql://me:secret@h/d?channel_binding=require&requirepeer=postgres"\n')
    with pytest.raises(ConfigError) as caught:
        load(file, {})
    [fault] = caught.value.faults
    assert fault.key == "database.dsn"
    assert "channel_binding=require, requirepeer=postgres" in str(fault)
    assert "secret" not in str(fault)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the embedded server's account may enter."""
    folder = open_folder()
    yield folder
    shutil.rmtree(folder)


async def test_daemon_without_a_server_to_start_records_and_says_what_to_do(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage("", folder) as on:
        on.config.write_text(re.sub(r"\[database\]\s+dsn = \"\"\n", "", on.config.read_text()))
        with monkeypatch.context() as without:
            without.setattr(embedded, "find", lambda **_: None)
            with capture_logs() as logs:
                async with on.daemon() as daemon:
                    before = daemon.journal.end
                    await until(lambda: live(daemon) and daemon.journal.distance(before) > 20_000, "recorded frames")
                    await until(lambda: any("database install" in str(e.get("reason")) for e in logs), "advice")
                    without.undo()
                    await until(lambda: daemon.intake.live and daemon.statistics.total.stored > 500, "rows", 60)

"""Migrations bring any database to the same state, once, and say what stands in their way."""

from __future__ import annotations

import asyncio
import shutil
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from collector.store import migrate as migrate_module
from collector.store.embedded import EmbeddedServer, Kind, find
from collector.store.embedded.installation import POSTGRES_MIN_MAJOR
from collector.store.errors import (
    DatabaseNewerError,
    DatabaseRefusedError,
    DatabaseUnreachableError,
    MigrationError,
)
from collector.store.locks import MIGRATION_LOCK
from collector.store.migrate import known_steps, migrate, migrations_folder, pending
from collector.store.steps import forward_only
from tests.databases import TIMESCALEDB, installation_for, open_folder
from tests.kit.known import known

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.databases import DatabaseServer

SECRET = "hunter2:/@?#"  # what breaks naive parsing of an address
SECRET_QUOTED = "hunter2%3A%2F%40%3F%23"


@asynccontextmanager
async def session(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


async def tables(dsn: str) -> set[str]:
    async with session(dsn) as connection:
        rows = await connection.fetch("select tablename from pg_tables where schemaname = 'public'")
    return {row["tablename"] for row in rows}


async def test_an_empty_database_gets_every_step_once(empty_database: str) -> None:
    steps = await pending(empty_database)
    said: list[str] = []

    assert steps
    assert await migrate(empty_database, progress=said.append) == steps
    assert said[0] == f"applied {steps[0]}: Market data: tables of facts, the books kept about them, views for people."
    assert len(said) == len(steps)
    assert await pending(empty_database) == []
    assert await migrate(empty_database) == []


async def test_looking_for_pending_steps_changes_nothing(empty_database: str) -> None:
    await pending(empty_database)
    assert await tables(empty_database) == set()


async def test_two_processes_at_once_make_the_tables_once(empty_database: str) -> None:
    program = (
        "import asyncio, sys; from collector.store.migrate import migrate; print(asyncio.run(migrate(sys.argv[1])))"
    )

    async def run() -> str:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            program,
            empty_database,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 0, errors.decode()
        return output.decode().strip()

    steps = await pending(empty_database)
    assert sorted(await asyncio.gather(run(), run())) == sorted([str(steps), "[]"])


async def test_ten_runs_in_one_process_do_not_meet(empty_database: str) -> None:
    steps = await pending(empty_database)
    applied = await asyncio.gather(*(migrate(empty_database) for _ in range(10)))
    assert [step for one in applied for step in one] == steps


async def test_a_step_that_fails_leaves_nothing_behind(empty_database: str) -> None:
    async with session(empty_database) as connection:
        await connection.execute("create view v_quarantine as select 1")  # in the way of one of the last statements
    with pytest.raises(MigrationError, match=r'was rolled back: relation "v_quarantine" already exists'):
        await migrate(empty_database)
    assert await tables(empty_database) == set()

    async with session(empty_database) as connection:
        await connection.execute("drop view v_quarantine")
    assert await migrate(empty_database)


async def test_a_lock_that_is_never_given_back_ends_in_an_error(
    empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate_module, "LOCK_TIMEOUT_SECONDS", 0.05)
    async with session(empty_database) as connection:
        await connection.execute("select pg_advisory_lock($1)", MIGRATION_LOCK)
        with pytest.raises(MigrationError, match="another migration"):
            await migrate(empty_database)


async def test_a_database_of_a_newer_program_is_left_alone(database: str) -> None:
    async with session(database) as connection:
        await connection.execute("update alembic_version set version_num = '9999'")
    for call in (migrate, pending):
        with pytest.raises(DatabaseNewerError, match="at step 9999 and this program knows steps up to 0"):
            await call(database)


def test_the_way_back_is_refused() -> None:
    with pytest.raises(MigrationError, match="forward only"):
        forward_only()


def test_the_steps_form_one_line_in_the_order_of_their_numbers() -> None:
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()))
    steps = list(ScriptDirectory.from_config(config).walk_revisions())[::-1]

    assert [step.revision for step in steps] == known_steps()
    assert [step.down_revision for step in steps] == [None, *known_steps()[:-1]]
    for step in steps:
        assert Path(step.path).with_suffix(".sql").is_file()
        assert step.module.downgrade is forward_only


async def test_a_login_without_rights_is_told_which_one(database_server: DatabaseServer, empty_database: str) -> None:
    async with session(database_server.superuser(empty_database)) as superuser:
        await superuser.execute(f"grant connect on database {empty_database.split('/')[-1].split('?')[0]} to analyst")
        await superuser.execute("alter role analyst set default_transaction_read_only = off")
    try:
        with pytest.raises(DatabaseRefusedError, match=r"analyst@127\.0\.0\.1.*permission denied for schema public"):
            await migrate(database_server.login("analyst", empty_database))
    finally:
        async with session(database_server.superuser(empty_database)) as superuser:
            await superuser.execute("alter role analyst set default_transaction_read_only = on")


@pytest.mark.parametrize("call", [migrate, pending])
async def test_passwords_stay_out_of_errors(
    call: Callable[[str], Awaitable[object]], database_server: DatabaseServer
) -> None:
    hint = database_server.server.describe()
    assert hint is not None
    port = hint.port
    wrong = {
        f"postgresql://collector:{SECRET_QUOTED}@127.0.0.1:{port}/market": "login was refused",
        f"postgresql://collector:{SECRET}@127.0.0.1:{port}/market": "cannot be read",
        f"postgresql://collector:{SECRET_QUOTED}@127.0.0.1:1/market": "nobody answers",
        f"postgresql://collector:{SECRET_QUOTED}@no-such-host.invalid/market": "nobody answers",
        f"mysql://collector:{SECRET_QUOTED}@127.0.0.1/market": "cannot be read",
    }
    for dsn, complaint in wrong.items():
        with pytest.raises((DatabaseRefusedError, DatabaseUnreachableError), match=complaint) as caught:
            await call(dsn)
        told = "".join(map(str, (caught.value, caught.value.__cause__)))
        assert "hunter2" not in told


async def test_a_missing_database_is_named(database_server: DatabaseServer) -> None:
    dsn = database_server.server.superuser_dsn.replace("/postgres?", "/nowhere?")
    with pytest.raises(DatabaseRefusedError, match="/nowhere: there is no such database"):
        await migrate(dsn)


async def test_groups_that_are_made_later_get_their_rights_at_the_next_run(
    database_server: DatabaseServer, database: str
) -> None:
    async with session(database_server.superuser(database)) as superuser:
        await superuser.execute("revoke all on all tables in schema public from collector_reader, collector_writer")
        await migrate(database)
        rights = await superuser.fetchrow(
            "select has_table_privilege('collector_reader', 'v_trades', 'select'), "
            "has_table_privilege('collector_writer', 'trades', 'insert, update'), "
            "has_table_privilege('collector_writer', 'trades', 'delete')"
        )
    assert tuple(known(rights)) == (True, True, False)


async def test_a_login_that_may_only_write_finds_nothing_to_do(database_server: DatabaseServer, database: str) -> None:
    async with session(database_server.superuser(database)) as superuser:
        await superuser.execute("create role narrow login password 'narrow' in role collector_writer")
    try:
        narrow = database.replace(database.split("//")[1].split("@")[0], "narrow:narrow")
        assert await pending(narrow) == []
        assert await migrate(narrow) == []
    finally:
        async with session(database_server.superuser(database)) as superuser:
            await superuser.execute("drop role narrow")


@pytest.mark.parametrize("database_server", [TIMESCALEDB], indirect=True)
async def test_an_extension_in_a_schema_of_its_own_is_found(
    database_server: DatabaseServer, empty_database: str
) -> None:
    async with session(database_server.superuser(empty_database)) as superuser:
        await superuser.execute("create schema elsewhere; create extension timescaledb schema elsewhere")
        await superuser.execute("grant usage on schema elsewhere to public")
    await migrate(empty_database)
    async with session(empty_database) as connection:
        assert await connection.fetchval("select count(*) from timescaledb_information.hypertables") == 8


async def test_plain_tables_go_on_working_when_timescaledb_comes_later() -> None:
    installation = installation_for(TIMESCALEDB)
    folder = open_folder()
    try:
        async with EmbeddedServer(folder, installation._replace(timescaledb=False), throwaway=True).running() as dsn:
            said: list[str] = []
            await migrate(dsn, progress=said.append)
            assert len(said) == len(known_steps())
        for _ in range(2):  # the second time the extension is there when the server starts
            async with EmbeddedServer(folder, installation, throwaway=True).running() as dsn:
                async with session(dsn) as connection:
                    await connection.execute("create extension if not exists timescaledb")
                assert await migrate(dsn) == []
                async with session(dsn) as connection:
                    await connection.execute("insert into venues (code) values (gen_random_uuid()::text)")
                    assert await connection.fetchval("select count(*) from timescaledb_information.hypertables") == 0
    finally:
        await asyncio.to_thread(shutil.rmtree, folder)


async def test_the_oldest_supported_server_takes_every_step() -> None:
    installation = find(kind=Kind.SYSTEM, major=POSTGRES_MIN_MAJOR)
    if installation is None:
        pytest.skip(f"no PostgreSQL {POSTGRES_MIN_MAJOR} on this machine")
    folder = open_folder()
    try:
        async with EmbeddedServer(folder, installation, throwaway=True).running() as dsn:
            assert await migrate(dsn)
            assert await pending(dsn) == []
    finally:
        await asyncio.to_thread(shutil.rmtree, folder)

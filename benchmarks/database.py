"""Servers that can tell when a row was committed, and the questions put to them.

The figures are the database's own: it is asked how many rows it holds and when the transaction of each was committed
(`track_commit_timestamp`), which no recorder can embellish. Progress is asked of statistics that cost nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import asyncpg

from collector.store.embedded import EmbeddedServer

_COMMITTED = """
select count(*) as rows, (extract(epoch from max(pg_xact_commit_timestamp(xmin))) * 1000000000)::bigint as last_ns
from trades
"""
_LAGS = """
select count(*) as rows, percentile_cont(array[0.5, 0.99, 1.0]) within group (order by lag) as lags
from (
  select extract(epoch from pg_xact_commit_timestamp(xmin) - received_at)::float8 as lag
  from {table} where received_at between to_timestamp($1) and to_timestamp($2)
) as one
"""
_VERSIONS = """
select current_setting('server_version') as postgres,
       (select default_version from pg_available_extensions where name = 'timescaledb') as timescaledb
"""


class Committed(NamedTuple):
    """Rows in `trades`, and when the last of them was committed."""

    rows: int
    last_ns: int | None


class Lags(NamedTuple):
    """Seconds from receipt to commit over all rows of some tables."""

    rows: int
    p50: float
    p99: float
    most: float


@asynccontextmanager
async def server(data_dir: Path) -> AsyncIterator[EmbeddedServer]:
    """An embedded server, durable as the collector's own, that remembers when it committed what."""
    embedded = EmbeddedServer(data_dir)
    await embedded.start()
    try:
        await _remember_commits(embedded)
        await embedded.stop()
        await embedded.start()  # the setting is read at the start only
        yield embedded
    finally:
        await embedded.stop()


async def prepare(data_dir: Path) -> str:
    """Make the server files that a collector will find in its `data_dir`; returns what versions they are for."""
    embedded = EmbeddedServer(data_dir)
    await embedded.start()
    try:
        await _remember_commits(embedded)
        return await versions(embedded.superuser_dsn)
    finally:
        await embedded.stop()


async def _remember_commits(embedded: EmbeddedServer) -> None:
    connection = await asyncpg.connect(embedded.superuser_dsn)
    try:
        await connection.execute("alter system set track_commit_timestamp = on")
    finally:
        await connection.close()


async def versions(dsn: str) -> str:
    """Name the server."""
    connection = await asyncpg.connect(dsn)
    try:
        row = await connection.fetchrow(_VERSIONS)
    finally:
        await connection.close()
    assert row is not None
    with_timescaledb = f", TimescaleDB {row['timescaledb']}" if row["timescaledb"] else ""
    return f"PostgreSQL {row['postgres']}{with_timescaledb}"


class Observer:
    """Asks one database, on a connection of its own."""

    def __init__(self, connection: asyncpg.Connection, progress: str, dsn: str, server_pid: int) -> None:
        self._connection = connection
        self._progress = progress
        self.dsn = dsn
        self.server_pid = server_pid

    @classmethod
    @asynccontextmanager
    async def of(cls, data_dir: Path, progress: str) -> AsyncIterator[Observer]:
        """Look at the embedded server in `data_dir`, whoever runs it; `progress` is a cheap query for a row count."""
        server = EmbeddedServer(data_dir)
        dsn = server.known_dsn
        pid = int((server.cluster.data / "postmaster.pid").read_text().split()[0])
        connection = await asyncpg.connect(dsn)
        try:
            yield cls(connection, progress, dsn, pid)
        finally:
            await connection.close()

    async def progress(self) -> int:
        """About how many rows are there."""
        value: int = await self._connection.fetchval(self._progress)
        return value

    async def committed(self) -> Committed:
        """Exactly how many, and when the last came."""
        row = await self._connection.fetchrow(_COMMITTED)
        assert row is not None
        return Committed(row["rows"], row["last_ns"])

    async def lags(self, table: str, since: float, until: float) -> Lags:
        """The lags of the rows received between two times (seconds since 1970)."""
        row = await self._connection.fetchrow(_LAGS.format(table=table), since, until)
        assert row is not None
        return Lags(row["rows"], *(row["lags"] or (0.0, 0.0, 0.0)))

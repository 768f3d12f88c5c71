"""A connection for some questions, and one that is held: made when needed, cut after a failure."""

from __future__ import annotations

import asyncpg
import pytest

from collector.store.connection import HeldConnection, connected
from collector.store.errors import DatabaseError

NOBODY = "postgresql://nobody@127.0.0.1:1/none"

pytestmark = pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)


async def test_connection_is_closed_after_the_block_and_cut_after_a_failure(database: str) -> None:
    async with connected(database) as first:
        assert await first.fetchval("select 1") == 1
    assert first.is_closed()
    with pytest.raises(asyncpg.UndefinedTableError):
        async with connected(database) as second:
            await second.execute("select * from nowhere")
    assert second.is_closed()


async def test_database_that_is_not_there_is_told_in_our_errors(database: str) -> None:
    with pytest.raises(DatabaseError, match=r"127\.0\.0\.1:1"):
        async with connected(NOBODY):
            raise AssertionError("not reached")


async def test_held_connection_is_made_once_prepared_and_made_anew_when_it_is_gone(database: str) -> None:
    prepared = []

    async def prepare(connection: asyncpg.Connection) -> None:
        prepared.append(await connection.fetchval("select pg_backend_pid()"))

    held = HeldConnection(lambda: database, prepare)
    assert not held.is_open
    first = await held.get()
    assert await held.get() is first
    held.drop()
    assert first.is_closed()
    assert await held.get() is not first
    (await held.get()).terminate()
    await held.get()
    assert len(set(prepared)) == 3
    await held.close()
    assert not held.is_open


async def test_connection_whose_preparation_fails_is_not_kept(database: str) -> None:
    failures = [ValueError("a bug")]

    async def prepare(_: asyncpg.Connection) -> None:
        if failures:
            raise failures.pop()

    held = HeldConnection(lambda: database, prepare)
    with pytest.raises(ValueError, match="a bug"):
        await held.get()
    stood = held.is_open
    assert not stood
    await held.get()
    assert held.is_open
    held.drop()


async def test_address_is_asked_for_each_time(database: str) -> None:
    addresses = [database, NOBODY]
    held = HeldConnection(lambda: addresses.pop())
    with pytest.raises((OSError, DatabaseError)):
        await held.get()
    await held.get()
    assert addresses == []
    held.drop()

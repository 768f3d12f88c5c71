"""Questions of people: read only, in turn, ended when they take too long."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import asyncpg
import pytest

from collector.store import reading
from collector.store.errors import DatabaseBusyError, DatabaseUnreachableError
from collector.store.reading import Reader


async def test_rows_are_returned_and_nothing_can_be_written(database: str) -> None:
    reader = Reader(lambda: database)
    assert [row["n"] for row in await reader.rows("select generate_series(1, $1::int) as n", 3)] == [1, 2, 3]
    with pytest.raises(DatabaseUnreachableError, match="read-only transaction"):
        await reader.rows("insert into venues (code) values ('x') returning 1")
    reader.close()


async def test_question_that_takes_too_long_is_ended_by_the_server_and_the_next_is_answered(database: str) -> None:
    reader = Reader(lambda: database, seconds=0.2)
    with pytest.raises(DatabaseBusyError, match=r"longer than 0\.2 s"):
        await reader.rows("select pg_sleep(60)")
    assert await reader.rows("select 1")
    reader.close()


async def test_questions_wait_in_turn_and_too_many_are_sent_away(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "WAITING_QUERIES_MAX", 2)
    reader = Reader(lambda: database)
    first, second = (asyncio.ensure_future(reader.rows("select pg_sleep(0.2)")) for _ in range(2))
    await asyncio.sleep(0)
    with pytest.raises(DatabaseBusyError, match="try again later"):
        await reader.rows("select 1")
    await asyncio.gather(first, second)
    assert await reader.rows("select 1")
    reader.close()


async def test_line_that_was_cut_is_made_anew(database: str) -> None:
    reader = Reader(lambda: database)
    [row] = await reader.rows("select pg_backend_pid() as pid")
    other = await asyncpg.connect(database)
    await other.execute("select pg_terminate_backend($1)", row["pid"])
    await other.close()
    with suppress(DatabaseUnreachableError):  # where the cut was not noticed yet
        await reader.rows("select 1")
    [row_after] = await reader.rows("select pg_backend_pid() as pid")
    assert row_after["pid"] != row["pid"]
    reader.close()


async def test_database_that_is_away_is_told_as_that() -> None:
    with pytest.raises(DatabaseUnreachableError, match="nobody answers"):
        await Reader(lambda: "postgresql://nobody@127.0.0.1:1/none").rows("select 1")

"""Work on the database is done again until it succeeds, and the reason for the delay is visible."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from collector.store.errors import DatabaseUnreachableError, DatabaseWentBackError
from collector.store.retrying import Reach, RetryingConnection

NOBODY = "postgresql://collector@127.0.0.1:1/none"


async def no_preparation(_: Any) -> None:
    pass


async def test_absent_database_is_waited_for_and_the_reason_is_visible() -> None:
    waits: list[float] = []
    tried = asyncio.Event()

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 8:
            tried.set()
        await asyncio.sleep(0)

    connection = RetryingConnection(lambda: NOBODY, no_preparation, sleep=sleep)
    with capture_logs() as logs:
        async with asyncio.timeout(10):
            work = asyncio.ensure_future(connection.run(lambda line: line.fetchval("select 1")))
            await tried.wait()
        assert connection.reach is Reach.AWAY, "before the work is ended"
        assert "nobody answers" in connection.reason
        assert not connection.connected
        work.cancel()
        await asyncio.wait([work])
    assert waits[5] > waits[0]
    assert max(waits) <= 15
    assert [entry["event"] for entry in logs] == ["database_away"]
    await connection.close()


@pytest.mark.parametrize("database_server", ["postgres"], indirect=True)
async def test_work_is_begun_again_on_a_new_connection_until_it_succeeds(database: str) -> None:
    prepared: list[object] = []
    failures = [ConnectionResetError("cut"), DatabaseUnreachableError("restarting")]

    async def prepare(line: object) -> None:
        prepared.append(line)

    async def work(line: Any) -> int:
        if failures:
            raise failures.pop()
        number: int = await line.fetchval("select 1")
        return number

    connection = RetryingConnection(lambda: database, prepare, longest_wait_seconds=0.01)
    try:
        assert await connection.run(work) == 1
        assert connection.connected
        assert connection.reason == ""
        assert await connection.run(work) == 1
        assert len(prepared) == 3
    finally:
        await connection.close()


@pytest.mark.parametrize("database_server", ["postgres"], indirect=True)
async def test_what_trying_again_cannot_cure_is_raised_and_the_connection_is_given_up(database: str) -> None:
    connection = RetryingConnection(lambda: database, no_preparation, longest_wait_seconds=0.01)
    used: list[object] = []

    async def fail(line: object) -> None:
        used.append(line)
        raise error

    for error in (ZeroDivisionError("a bug"), DatabaseWentBackError((1, 0), (2, 0))):  # type: ignore[arg-type]
        with pytest.raises(type(error)):
            await connection.run(fail)
    assert len({id(line) for line in used}) == 2
    await connection.close()


@pytest.mark.parametrize("database_server", ["postgres"], indirect=True)
async def test_cancelled_work_leaves_no_connection_that_is_half_used(database: str) -> None:
    connection = RetryingConnection(lambda: database, no_preparation)
    begun = asyncio.Event()

    async def wait(line: Any) -> None:
        begun.set()
        await line.execute("select pg_sleep(60)")

    task = asyncio.ensure_future(connection.run(wait))
    await begun.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert await connection.run(lambda line: line.fetchval("select 2")) == 2
    await connection.close()

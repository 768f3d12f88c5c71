"""The right to move a journal's position, and what a writer does that has lost it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest

from collector.model import content_key
from collector.store import place
from collector.store.errors import (
    DatabaseWentBackError,
    JournalNameGoneError,
    JournalNameInUseError,
)
from collector.store.writer import Writer
from tests.kit.stage import until

from .test_writer import T, batch, rows_of, trade

pytestmark = pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)


@dataclass
class Run:
    """One run of a collector's data folder."""

    token: str
    former: frozenset[str] = frozenset()
    name: str = "j"

    @property
    def place(self) -> str:
        return f"host:{self.token}"


@asynccontextmanager
async def writing(dsn: str, run: Run) -> AsyncIterator[Writer]:
    writer = Writer(lambda: dsn, run, longest_wait_seconds=0.2)
    try:
        yield writer
    finally:
        await writer.close()


async def told(writer: Writer, word: str) -> None:
    await until(lambda: word in writer.database.reason, f"{word!r} in the writer's state")


async def change(dsn: str, statement: str, *parameters: Any) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement, *parameters)
    finally:
        await connection.close()


async def test_second_collector_of_one_name_waits_and_gives_up_once_the_first_is_seen_to_live(database: str) -> None:
    async with writing(database, Run("original")) as original, writing(database, Run("copy")) as copy:
        await original.commit(batch(trade(1), offset=100))
        refused = asyncio.create_task(copy.commit(batch(trade(2), offset=999)))
        await told(copy, "host:original")
        await original.commit(batch(trade(3), offset=200))
        with pytest.raises(JournalNameInUseError, match=r"host:original.*copy"):
            await refused
    assert await rows_of(database, "select trade_key from trades order by 1") == [(1,), (3,)]
    assert await rows_of(database, "select byte_offset, owner, place from journal_position") == [
        (200, "original", "host:original")
    ]


async def test_a_sign_of_life_without_a_commit_is_enough(database: str) -> None:
    async with writing(database, Run("original")) as original, writing(database, Run("copy")) as copy:
        await original.commit(batch(trade(1), offset=100))
        refused = asyncio.create_task(copy.stored_place())
        await told(copy, "host:original")
        await original.give_sign_of_life(T * 1000)
        with pytest.raises(JournalNameInUseError):
            await refused


async def test_next_run_of_the_same_folder_goes_on_at_once(database: str) -> None:
    async with writing(database, Run("first")) as first:
        await first.commit(batch(trade(1), offset=100))
    async with writing(database, Run("second", frozenset({"first"}))) as second, asyncio.timeout(5):
        held = await second.stored_place()
        assert held is not None
        assert held.position == (1, 100)
        await second.commit(batch(trade(2), offset=200))
    assert await rows_of(database, "select byte_offset, owner from journal_position") == [(200, "second")]


async def test_silent_stranger_has_taken_the_name(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with writing(database, Run("stranger")) as stranger:
        await stranger.commit(batch(trade(1), offset=100))
    async with writing(database, Run("ours", frozenset({"former"}))) as ours:
        waiting = asyncio.create_task(ours.stored_place())
        await told(ours, "host:stranger")  # which may come back: nobody knows yet that it is gone
        monkeypatch.setattr(place, "OWNER_SILENT_MAX_SECONDS", 0.1)
        with pytest.raises(JournalNameGoneError, match="host:stranger"):
            await waiting


async def test_lock_of_our_own_dead_connection_is_taken_from_it(database: str) -> None:
    async with writing(database, Run("ours")) as ours:
        await ours.commit(batch(trade(1), offset=100))
        ours.database.drop()
        half_open = await asyncpg.connect(database)
        key = content_key("journal j")
        async with asyncio.timeout(10):
            while not await half_open.fetchval("select pg_try_advisory_lock($1)", key):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await ours.commit(batch(trade(2), offset=200))
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
            await half_open.fetchval("select 1")
    assert await rows_of(database, "select byte_offset from journal_position") == [(200,)]


async def test_position_that_somebody_else_moved_lets_nothing_in(database: str) -> None:
    async with writing(database, Run("ours")) as ours:
        await ours.commit(batch(trade(1), offset=100))
        await change(database, "update journal_position set owner = 'theirs', place = 'there:x', byte_offset = 500")
        committing = asyncio.create_task(ours.commit(batch(trade(2), offset=200)))
        await told(ours, "there:x")
        assert await rows_of(database, "select trade_key from trades") == [(1,)]
        # Whoever had the right already records on and waits: it is for a person to say which of the two ends.
        await change(database, "update journal_position set alive_at = now()")
        await asyncio.sleep(0.5)
        assert not committing.done()
        committing.cancel()


@pytest.mark.parametrize("lost", ["update journal_position set byte_offset = 50", "delete from journal_position"])
async def test_tables_that_were_restored_under_a_living_connection_are_noticed(database: str, lost: str) -> None:
    async with writing(database, Run("ours")) as ours:
        await ours.commit(batch(trade(1), offset=100))
        await change(database, lost)
        with pytest.raises(DatabaseWentBackError) as caught:
            await ours.commit(batch(trade(2), offset=200))
        assert caught.value.position == ((1, 50) if "update" in lost else None)
        with pytest.raises(AssertionError):
            assert await rows_of(database, "select trade_key from trades") == [(1,), (2,)]
        await ours.commit(batch(trade(1), trade(2), offset=200))
    assert await rows_of(database, "select trade_key from trades order by 1") == [(1,), (2,)]

"""Old rows go when they may, and what is told of them stays true."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from collector.store.errors import DatabaseError
from collector.store.retention import Retention, Rule
from tests.store.test_rollups import NEVER, roll

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.databases import DatabaseServer

NOW = datetime(2026, 6, 30, 12, tzinfo=UTC)
NOW_US = int(NOW.timestamp()) * 1_000_000
DAY = timedelta(days=1)
KEEP = 30 * DAY
STAGE = f"""
insert into venues (code) values ('fmfw');
insert into instruments (venue_id, symbol) values (1, 'BTCUSDT'), (1, 'ETHUSDT');
insert into sessions (session_id, venue_id, worker, opened_at, details) values (1, 1, 'w', '{NOW - 60 * DAY}',
  '{{"subscriptions": [["c", "trades", ["BTCUSDT", "ETHUSDT"]], ["c", "books", ["BTCUSDT"]]]}}');
insert into journal_position (journal, segment, byte_offset, updated_at) values ('j', 1, 0, '{NOW}');
insert into trades select '{NOW}'::timestamptz - n * interval '6 hours', i, n, null, 100 + n, 2, 1, now()
from generate_series(0, 239) n, generate_series(1, 2) i;
insert into rates select '{NOW}'::timestamptz - n * interval '1 day', 1, 'BTC', n, now() from generate_series(0, 59) n;
"""


@asynccontextmanager
async def staged(dsn: str, *, rolled: bool = True) -> AsyncIterator[asyncpg.Connection]:
    """Two months of trades and rates, rolled up."""
    on = await asyncpg.connect(dsn)
    try:
        await on.execute(STAGE)
        if rolled:
            await roll(dsn, NEVER)
        yield on
    finally:
        await on.close()


async def apply(dsn: str, *rules: Rule, keep_backfills: bool = True, days: float = 7) -> dict[str, int]:
    rules = rules or (Rule("trades", None, KEEP), Rule("rates", None, KEEP))
    repaired_for = timedelta(days=days)
    return await Retention(lambda: dsn, rules, keep_backfills=keep_backfills, repaired_for=repaired_for).apply(NOW_US)


async def rows(on: asyncpg.Connection, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await on.fetch(query, *parameters)]


async def oldest(on: asyncpg.Connection, table: str = "trades", where: str = "true") -> timedelta:
    """How old the oldest row is."""
    earliest: datetime = await on.fetchval(f"select min(time) from {table} where {where}")
    return NOW - earliest


async def test_what_is_too_old_goes_and_the_rest_stays(database: str) -> None:
    async with staged(database) as on:
        before = await rows(on, "select count(*) from trades where time >= $1", NOW - KEEP)
        gone = await apply(database)
        assert gone["trades"] > 0
        assert gone["rates"] > 0
        assert KEEP - DAY <= await oldest(on) <= KEEP + DAY  # chunks of a day
        assert KEEP - DAY <= await oldest(on, "rates") <= KEEP + 8 * DAY
        assert await rows(on, "select count(*) from trades where time >= $1", NOW - KEEP) == before
        assert await apply(database) == {"trades": 0, "rates": 0}


async def test_tables_without_a_rule_are_left_alone(database: str) -> None:
    async with staged(database) as on:
        assert await apply(database, Rule("trades", None, None), Rule("rates", timedelta(days=9), None)) == {}
        assert await rows(on, "select count(*) from trades") == [(480,)]


async def test_coverage_does_not_claim_what_was_deleted(database: str) -> None:
    async with staged(database) as on:
        await apply(database)
        spans = await rows(
            on,
            "select state, from_time, to_time from coverage where symbol = 'BTCUSDT' and stream = 'trades' order by 2",
        )
        books = await rows(on, "select distinct state from coverage where stream = 'books'")
        oldest_row = NOW - await oldest(on)
    assert [state for state, *_ in spans] == ["expired", "covered"]
    assert (spans[0][1], spans[1][2]) == (NOW - 60 * DAY, NOW)
    assert spans[1][1] <= oldest_row
    assert books == [("covered",)]


async def test_bars_stay_when_their_trades_are_gone(database: str) -> None:
    asked = "select * from ohlcv('fmfw', 'BTCUSDT', '1 day', $1, $2)"
    async with staged(database) as on:
        bars = await rows(on, asked, NOW - 60 * DAY, NOW)
        await apply(database)
        assert await rows(on, asked, NOW - 60 * DAY, NOW) == bars
        assert len(bars) > 58
        # A trade that comes late, of a minute whose others are gone, must not put them out of the bar.
        moment = await on.fetchval("select min(time) from trades_1m")
        await on.execute("insert into trades values ($1, 1, -1, null, 5, 5, 1, now())", moment)
        await on.execute("insert into trades_touched values (1, $1)", moment)
        await roll(database, NEVER)
        assert await rows(on, asked, NOW - 60 * DAY, NOW) == bars


async def test_trades_that_are_not_rolled_up_yet_stay(database: str) -> None:
    async with staged(database, rolled=False) as on:
        assert (await apply(database))["trades"] == 0
        assert await oldest(on) > 59 * DAY
        await roll(database, NEVER)
        await on.execute("insert into trades_touched values (1, $1)", NOW - 40 * DAY)
        await apply(database)
        assert 40 * DAY <= await oldest(on) <= 41 * DAY
        await roll(database, NEVER)
        await apply(database)
        assert await oldest(on) <= KEEP + DAY


async def test_nothing_goes_while_a_gap_in_it_is_to_be_repaired(database: str) -> None:
    async with staged(database) as on:
        await on.execute(
            "insert into gaps (instrument_id, stream, from_time, to_time, cause) values "
            "(1, 'trades', $1, $2, 'disconnect'), (1, 'books', $3, $2, 'disconnect'), "
            "(1, 'trades', $3, null, 'lasts'), "
            "(1, 'trades', $4, $5, 'too old to be repaired')",
            NOW - 50 * DAY,
            NOW - 2 * DAY,
            NOW - 59 * DAY,
            NOW - 58 * DAY,
            NOW - 57 * DAY,
        )
        await apply(database)
        assert 50 * DAY <= await oldest(on) <= 51 * DAY
        assert await oldest(on, "rates") <= KEEP + 8 * DAY
        await on.execute("update gaps set state = 'repaired' where cause = 'disconnect'")
        await apply(database)
        assert await oldest(on) <= KEEP + DAY


@pytest.mark.parametrize("keep_backfills", [True, False])
async def test_a_backfill_of_old_data_is_kept_unless_told(database: str, *, keep_backfills: bool) -> None:
    async with staged(database) as on:
        for table, when in (("backfills_begun", NOW - 3 * DAY), ("backfills", NOW - 3 * DAY)):
            start = NOW - (50 if table == "backfills" else 45) * DAY
            detail = "'', " if table == "backfills" else ""
            await on.execute(
                f"insert into {table} values (1, 'trades', {detail}$1, $2, $3)", start, start + 2 * DAY, when
            )
        # Fetched when it was young: it grows old like everything else.
        await on.execute(
            "insert into backfills values (1, 'trades', '', $1, $2, $3)", NOW - 55 * DAY, NOW - 53 * DAY, NOW - 52 * DAY
        )
        for _ in range(2):
            await apply(database, keep_backfills=keep_backfills)
        kept = await rows(on, "select instrument_id, count(*) from trades where time < $1 group by 1", NOW - KEEP - DAY)
        states = await rows(
            on,
            "select state, count(*) from coverage where symbol = 'BTCUSDT' and stream = 'trades' group by 1 order by 1",
        )
    assert kept == ([(1, 16)] if keep_backfills else [])
    assert states == ([("covered", 3), ("expired", 3)] if keep_backfills else [("covered", 1), ("expired", 1)])


@pytest.mark.parametrize("database_server", ["postgres"], indirect=True)
async def test_rows_without_chunks_go_a_few_at_a_time(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collector.store.retention.DELETED_ROWS_MAX", 7)
    async with staged(database) as on:
        assert (await apply(database))["trades"] == 2 * 119
        assert await oldest(on) == KEEP


async def test_one_process_at_a_time_deletes(database: str) -> None:
    async with staged(database) as on:
        await on.execute("select pg_advisory_lock(7303014201563187043)")
        assert await apply(database) == {}
        await on.execute("select pg_advisory_unlock(7303014201563187043)")
        assert (await apply(database))["trades"] > 0


async def test_a_login_that_may_not_delete_is_told_so(database_server: DatabaseServer, database: str) -> None:
    async with staged(database):
        owner = await asyncpg.connect(database_server.superuser(database))
        try:
            await owner.execute("create role scribe login password 'x' in role collector_writer")
            host = database.rpartition("@")[2]
            with pytest.raises(DatabaseError, match="log in as the owner"):
                await apply(f"postgresql://scribe:x@{host}")
            assert await owner.fetchval("select count(*) from trades") == 480
        finally:
            await owner.execute("drop role scribe")
            await owner.close()


async def test_only_tables_of_facts_can_expire(database: str) -> None:
    async with staged(database) as on:
        for name in ("gaps", "trades_1m", "trades; drop table trades"):
            with pytest.raises(asyncpg.InvalidParameterValueError, match="no table of facts"):
                await on.fetchval("select expire($1, now(), 10)", name)
        assert await on.fetchval("select max(price) from trades") > Decimal(100)

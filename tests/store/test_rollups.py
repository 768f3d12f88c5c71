"""Rollups equal what the trades themselves give, whatever came late, twice, at once or in between."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from decimal import Decimal
from random import Random
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from collector.model import Instrument, Position, Records, Trade
from collector.store.batch import Batch
from collector.store.migrate import migrate
from collector.store.rollups import Rollups
from collector.store.writer import Writer
from tests.kit.known import known

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.databases import DatabaseServer

BTC, ETH = Instrument("fmfw", "BTCUSDT"), Instrument("fmfw", "ETHUSDT")
DAY = 1_704_067_200_000_000  # 2024-01-01
MINUTE = 60_000_000
# A clock by which every minute is over.
NEVER = 4_000_000_000_000_000

FRESH = """
select instrument_id, bar_opening($1::interval, time), (array_agg(price order by time, trade_key))[1], max(price),
       min(price), (array_agg(price order by time desc, trade_key desc))[1], sum(size), sum(price * size), count(*)
from trades group by 1, 2 order by 1, 2
"""
KEPT = (
    "select instrument_id, time, open, high, low, close, volume, quote_volume, trades from {} "
    "order by instrument_id, time"
)
LEVELS = {"trades_1m": "1 minute", "trades_5m": "5 minutes", "trades_1h": "1 hour", "trades_1d": "1 day"}


def trade(key: int, time_us: int, price: str = "100.10", instrument: Instrument = BTC) -> Trade:
    return Trade(instrument, time_us, key, None, price, "0.500", 1, time_us + 5)


def many(count: int, seed: int, *, first_us: int = DAY, span_us: int = 3 * 86_400_000_000) -> list[Trade]:
    """Trades all over some days, some of them at the same time."""
    random = Random(seed)
    return [
        trade(
            seed * 1_000_000 + number,
            first_us + random.randrange(span_us // 1_000_000) * 1_000_000,
            f"{random.randrange(10**40)}.{random.randrange(10**20):020}",
            random.choice((BTC, ETH)),
        )
        for number in range(count)
    ]


def batch(trades: list[Trade]) -> Batch:
    records = Records()
    records.trades += trades
    records.items = len(trades)
    return Batch(records, Position(1, 1), 0)


@asynccontextmanager
async def session(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(dsn, server_settings={"timezone": "America/New_York"})
    try:
        yield connection
    finally:
        await connection.close()


async def store(dsn: str, *batches: list[Trade]) -> None:
    writer = Writer(lambda: dsn, None)
    try:
        for one in batches:
            await writer.commit(batch(one))
    finally:
        await writer.close()


async def roll(dsn: str, now_us: int = NEVER) -> int:
    rollups = Rollups(lambda: dsn)
    try:
        return await rollups.catch_up(now_us)
    finally:
        rollups.close()


async def rows(dsn: str, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    async with session(dsn) as on:
        return [tuple(row) for row in await on.fetch(query, *parameters)]


async def all_rolled_up(dsn: str) -> int:
    """Check every level against the trades; returns how many bars of a minute there are."""
    async with session(dsn) as on:
        for table, period in LEVELS.items():
            fresh = await on.fetch(FRESH.replace("$1", f"'{period}'"))
            kept = await on.fetch(KEPT.format(table))
            assert [tuple(map(str, row)) for row in kept] == [tuple(map(str, row)) for row in fresh], table
        return int(await on.fetchval("select count(*) from trades_1m"))


async def bars_equal(dsn: str, since: str = "2023-12-31Z", until: str = "2024-01-09Z") -> int:
    """Check `ohlcv` of both instruments against the trades, at any state of the rollups; returns their number."""
    seen = 0
    for number, symbol in await rows(dsn, "select instrument_id, symbol from instruments"):
        for period in ("20 s", "1 min", "7 min", "15 min", "1 hour", "1 day", "7 days", "1 month"):
            asked = (number, symbol)
            of_span = f"from trades where time >= '{since}' and time < '{until}'"
            wanted = await rows(
                dsn,
                f"select x.* from ({FRESH.replace('$1', repr(period)).replace('from trades', of_span)}) x "
                "where instrument_id = $1",
                number,
            )
            found = await rows(
                dsn,
                "select time, open, high, low, close, volume, quote_volume, trades "
                f"from ohlcv('fmfw', $1, '{period}', '{since}', '{until}')",
                symbol,
            )
            assert [tuple(map(str, row)) for row in found] == [tuple(map(str, row[1:])) for row in wanted], (
                asked,
                period,
            )
            seen += len(found)
    return seen


async def test_minutes_are_rolled_up_once_they_are_over(database: str) -> None:
    await store(database, [trade(1, DAY), trade(2, DAY + MINUTE, "7")])
    assert await roll(database, DAY + MINUTE + 1_999_999) == 0  # the grace is not over
    assert await roll(database, DAY + MINUTE + 2_000_000) == 1
    assert await rows(database, "select open, trades from trades_1m") == [(Decimal("100.10"), 1)]
    assert await rows(database, "select count(*), min(minute) = max(minute) from trades_touched") == [(1, True)]
    assert await bars_equal(database) > 0
    assert await roll(database) == 1
    assert await all_rolled_up(database) == 2


async def test_rollups_equal_the_trades_after_late_ones_and_ones_that_came_twice(database: str) -> None:
    first, late = many(400, 1), many(100, 2)
    await store(database, first[:200], first[100:])
    await roll(database)
    assert await bars_equal(database) > 100
    await store(database, late, first)
    assert await bars_equal(database) > 100  # late ones count at once
    await roll(database)
    assert await rows(database, "select count(*) from trades_touched") == [(0,)]
    assert await all_rolled_up(database) > 300
    assert await bars_equal(database, "2024-01-01 10:10:10.5Z", "2024-01-02 13:03Z") > 100


async def test_what_says_nothing_new_leaves_no_note(database: str) -> None:
    await store(database, many(50, 1))
    await roll(database)
    await store(database, many(50, 1))
    assert await rows(database, "select count(*) from trades_touched") == [(0,)]


async def test_trades_from_before_notes_were_taken_are_built_a_day_at_a_time(database: str) -> None:
    await store(database, many(300, 1))
    async with session(database) as on:
        await on.execute("delete from trades_touched; delete from rollup_progress")
    assert await bars_equal(database) > 100
    await store(database, [trade(1, DAY + 5)])
    assert await roll(database) > 250
    assert await all_rolled_up(database) > 250
    assert await rows(database, "select distinct built_until::text from rollup_progress") == [("infinity",)]
    assert await bars_equal(database) > 100


async def test_a_transaction_that_commits_after_a_pass_is_not_missed(database: str) -> None:
    await store(database, [trade(1, DAY)])
    await roll(database)
    async with session(database) as slow:
        transaction = slow.transaction()
        await transaction.start()
        await slow.execute(
            "insert into trades select time, 1, 99, null, 5, 5, 1, received_at from trades; "
            "insert into trades_touched select 1, date_bin('1 minute', time, '2001-01-01Z') from trades"
        )
        await store(database, [trade(3, DAY + 2, "9")])
        await roll(database)  # began after the slow one, and is through before it
        assert await rows(database, "select trades from trades_1m") == [(2,)]
        await transaction.commit()
    assert await bars_equal(database) > 0
    await roll(database)
    assert await rows(database, "select trades from trades_1d") == [(3,)]
    assert await all_rolled_up(database) == 1


async def test_writers_and_passes_at_once_end_with_the_trades(database: str) -> None:
    async def write(seed: int) -> None:
        trades = many(600, seed, span_us=7_200_000_000)
        await store(database, *[trades[at : at + 40] for at in range(0, 600, 40)])

    async def keep() -> None:
        for _ in range(12):
            await roll(database)

    await store(database, [trade(1, DAY)], [trade(1, DAY, instrument=ETH)])
    async with asyncio.TaskGroup() as group:
        for seed in (1, 2, 3):
            group.create_task(write(seed))
        for _ in range(2):
            group.create_task(keep())
        for _ in range(3):
            group.create_task(bars_equal_in_one_statement(database))
    await roll(database)
    assert await all_rolled_up(database) > 100
    assert await bars_equal(database) > 100


async def bars_equal_in_one_statement(dsn: str) -> None:
    """Whatever others do meanwhile: one statement sees trades, notes and rollups of one moment."""
    async with session(dsn) as on:
        for _ in range(20):
            row = await on.fetchrow(
                "with bitcoins as (select size from v_trades where symbol = 'BTCUSDT') "
                "select (select count(*) from bitcoins), (select sum(size) from bitcoins), "
                "(select row (sum(trades), sum(volume))::text "
                "from ohlcv('fmfw', 'BTCUSDT', '1 hour', '2024-01-01Z', '2024-01-09Z'))"
            )
            counted, summed, kept = known(row)
            assert kept == f"({counted},{summed})"


async def test_a_pass_leaves_the_work_to_another_that_is_at_it(database: str) -> None:
    await store(database, [trade(1, DAY)])
    async with session(database) as other:
        await other.execute("begin; select pg_advisory_xact_lock(7303014201563187042)")
        assert await roll(database) == 0
        await other.execute("rollback")
    assert await roll(database) == 1


async def test_more_notes_than_a_pass_takes_are_taken_by_several(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.store.rollups.NOTES_PER_PASS_MAX", 7)
    await store(database, many(100, 1))
    assert await roll(database) > 90
    assert await rows(database, "select count(*) from trades_touched") == [(0,)]
    await all_rolled_up(database)


async def test_a_login_that_only_writes_can_keep_the_rollups(database_server: DatabaseServer, database: str) -> None:
    await store(database, many(30, 1))
    async with session(database_server.superuser(database)) as on:
        await on.execute("create role keeper login password 'x' in role collector_writer")
        try:
            dsn = database_server.login("analyst", database)
            host = dsn.rpartition("@")[2]
            assert await roll(f"postgresql://keeper:x@{host}") > 20
        finally:
            await on.execute("drop role keeper")
    assert await all_rolled_up(database) > 20


async def test_last_prices_know_of_trades_that_are_not_rolled_up(database: str) -> None:
    await store(database, [trade(1, DAY), trade(2, DAY + 9 * MINUTE, "7", ETH)])
    before = await rows(database, "select symbol, price from last_prices()")
    await roll(database)
    await store(database, [trade(3, DAY + 3 * MINUTE, "8")])
    after = await rows(database, "select symbol, price from last_prices()")
    assert [symbol for symbol, _ in before] == ["BTCUSDT", "ETHUSDT"]
    assert after == [("BTCUSDT", 8), ("ETHUSDT", 7)]


async def test_vwap_of_rollups_is_that_of_the_trades(database: str) -> None:
    await store(database, many(300, 1))
    asked = "select vwap('fmfw', 'BTCUSDT', '2024-01-01 03:03:03Z', '2024-01-03 15:07Z')"
    before = await rows(database, asked)
    await roll(database)
    assert await rows(database, asked) == before
    assert before[0][0] is not None


@pytest.mark.skipif("TEST_COMMUNITY_DSN" not in os.environ, reason="needs TimescaleDB's Community edition")
async def test_the_community_edition_keeps_the_same_numbers_by_itself() -> None:
    """`TEST_COMMUNITY_DSN` is an empty database of an owner, on a server with licence `timescale`."""
    dsn = os.environ["TEST_COMMUNITY_DSN"]
    await migrate(dsn)
    await store(dsn, many(400, 1), many(100, 2))
    assert await rows(dsn, "select instrument_id from rollup_progress") == [(0,)]
    assert await rows(dsn, "select count(*) from trades_touched") == [(0,)]
    assert await bars_equal(dsn) > 100
    async with session(dsn) as on:
        for level in LEVELS:
            await on.execute(f"call refresh_continuous_aggregate('kept_{level}', null, null)")
    await store(dsn, many(50, 3))
    assert await roll(dsn) == 0
    async with session(dsn) as on:
        for level in LEVELS:
            await on.execute(f"call refresh_continuous_aggregate('kept_{level}', null, null)")
    await all_rolled_up(dsn)
    assert await bars_equal(dsn) > 100

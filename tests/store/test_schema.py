"""The tables keep what others rely on: names, keys, views and rights."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import asyncpg
import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.databases import DatabaseServer

CONTRACT = {
    "venues": "venue_id code",
    "instruments": (
        "instrument_id venue_id symbol base quote kind price_step size_step status updated_at details name expiry"
    ),
    "instrument_versions": (
        "instrument_id valid_from valid_to base quote kind price_step size_step status name expiry details"
    ),
    "trades": "time instrument_id trade_key trade_id price size side received_at",
    "ticks": "time instrument_id tick_key bid bid_size ask ask_size last last_size volume received_at",
    "books": "time instrument_id seq snapshot bid_prices bid_sizes ask_prices ask_sizes received_at",
    "candles": "time instrument_id period series open high low close volume quote_volume trades closed received_at",
    "derivatives": (
        "time instrument_id mark_price index_price funding_rate next_funding_time indicative_funding_rate "
        "premium_index avg_premium_index interest_rate open_interest settlement_price expiry received_at"
    ),
    "rates": "time venue_id name value received_at",
    "news": "time venue_id news_key source title link received_at",
    "sessions": "session_id venue_id worker url opened_at closed_at reason frames items details",
    "gaps": (
        "gap_id instrument_id stream from_time to_time from_seq to_seq cause reason state found_at filled_at "
        "filled_rows"
    ),
    "quarantine": (
        "quarantine_id received_at venue_id stream kind error items payload segment byte_offset resolved_at "
        "discarded_reason"
    ),
    "journal_position": "journal segment byte_offset updated_at",
    "journal_counts": "journal segment table_name items stored duplicates quarantined",
}
FACTS = ("trades", "ticks", "books", "candles", "derivatives", "rates", "news")
VIEWS = ("trades", "ticks", "books", "candles", "derivatives", "rates", "news", "gaps", "sessions", "quarantine")
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)

EXAMPLES = f"""
insert into venues (code) values ('fmfw');
insert into instruments (venue_id, symbol) values (1, 'BTCUSDT');
insert into trades values ('{NOON}', 1, 7, '7', 100.10, 2, 1, '{NOON}'),
                          ('{NOON}', 1, 8, null, 100.20, 1, -1, '{NOON}'),
                          ('{NOON}', 1, 9, null, 100.30, 1, null, '{NOON}');
insert into ticks values ('{NOON}', 1, 1, 100, 1, 102, 1, 101, 1, 5, '{NOON}');
insert into books values ('{NOON}', 1, 5, true, '{{99,98}}', '{{1,2}}', '{{101}}', '{{3}}', '{NOON}');
insert into candles values ('{NOON}', 1, 60, 'trade', 1, 2, 1, 2, 5, 9, 3, true, '{NOON}'),
                           ('{NOON}', 1, 2592000, 'trade', 1, 2, 1, 2, 5, 9, 3, false, '{NOON}');
insert into derivatives (time, instrument_id, mark_price, received_at) values ('{NOON}', 1, 101, '{NOON}');
insert into rates values ('{NOON}', 1, 'BTC/USDT', 101, '{NOON}');
insert into news values ('{NOON}', 1, 7, 'ru', 'Something happened', null, '{NOON}');
insert into sessions (session_id, venue_id, worker, opened_at, closed_at) values
  (1, 1, 'fmfw-0', '{NOON}', '{NOON + timedelta(minutes=2)}');
insert into gaps (instrument_id, stream, from_time, cause) values (1, 'trades', '{NOON}', 'disconnect');
insert into quarantine (venue_id, error, payload) values (1, 'not JSON', '\\x7b00ff'), (null, 'nonsense', 'x');
insert into journal_position (journal, segment, byte_offset) values ('main', 1, 0);
"""


@asynccontextmanager
async def session(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def acting_as(group: str, server: DatabaseServer, dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A session with the rights of a group, and no others."""
    async with session(server.superuser(dsn)) as connection:
        await connection.execute(f"set session authorization {group}")
        yield connection


async def test_the_tables_have_the_columns_that_others_rely_on(database: str) -> None:
    async with session(database) as connection:
        rows = await connection.fetch(
            "select table_name, array_agg(column_name::text) as columns from information_schema.columns "
            "where table_schema = 'public' group by table_name"
        )
    found = {row["table_name"]: set(row["columns"]) for row in rows}
    missing = {table: set(columns.split()) - found.get(table, set()) for table, columns in CONTRACT.items()}
    assert not {table: columns for table, columns in missing.items() if columns}


async def test_every_time_is_a_moment_and_every_amount_keeps_its_digits(database: str) -> None:
    async with session(database) as connection:
        odd = await connection.fetch(
            "select table_name, column_name, data_type from information_schema.columns where table_schema = 'public' "
            "and (data_type in ('timestamp without time zone', 'double precision', 'real', 'money') "
            "or data_type = 'numeric' and numeric_precision is not null)"
        )
    assert not odd


async def test_every_table_view_and_column_says_what_it_holds(database: str) -> None:
    async with session(database) as connection:
        silent = await connection.fetch(
            "select c.relname, a.attname from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum >= 0 "
            "where c.relnamespace = 'public'::regnamespace and c.relname <> 'alembic_version' "
            "and c.relkind = 'r' and not a.attisdropped and col_description(c.oid, a.attnum) is null "
            "union select c.relname, null from pg_class c "
            "where c.relnamespace = 'public'::regnamespace and c.relname <> 'alembic_version' "
            "and c.relkind in ('r', 'v') and obj_description(c.oid) is null"
        )
    assert not silent


@pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)
async def test_the_facts_are_hypertables_where_timescaledb_is(database: str) -> None:
    async with session(database) as connection:
        rows = await connection.fetch(
            "select hypertable_name::text as name, time_interval from timescaledb_information.dimensions"
        )
    chunks = {row["name"]: row["time_interval"] for row in rows}
    assert set(chunks) == {*FACTS, "audits"}
    assert (chunks["trades"], chunks["ticks"], chunks["books"], chunks["candles"]) == (
        timedelta(days=1),
        timedelta(days=1),
        timedelta(hours=6),
        timedelta(days=90),
    )


@pytest.mark.parametrize(
    ("table", "conflict"),
    [
        ("trades", "(instrument_id, time, trade_key)"),
        ("ticks", "(instrument_id, time, tick_key)"),
        ("books", "(instrument_id, time, seq, snapshot)"),
        ("candles", "(instrument_id, series, period, time)"),
        ("derivatives", "(instrument_id, time)"),
        ("rates", "(venue_id, name, time)"),
        ("news", "(venue_id, time, news_key)"),
    ],
)
async def test_a_fact_written_twice_is_one_row(database: str, table: str, conflict: str) -> None:
    async with session(database) as connection:
        await connection.execute(EXAMPLES)
        again = f"insert into {table} select * from {table} on conflict "
        assert await connection.execute(again + f"{conflict} do nothing") == "INSERT 0 0"
        assert await connection.execute(again + "do nothing") == "INSERT 0 0"
        with pytest.raises(asyncpg.UniqueViolationError):
            await connection.execute(f"insert into {table} select * from {table}")


async def test_a_price_comes_back_digit_for_digit(database: str) -> None:
    digits = "1234567890123456789012345678901234567890.12345678901234567890123456789000"
    async with session(database) as connection:
        await connection.execute(EXAMPLES)
        await connection.execute(f"update trades set price = {digits}")
        assert await connection.fetchval("select price::text from trades limit 1") == digits
        assert await connection.fetchval("select price from v_trades limit 1") == Decimal(digits)


async def test_counts_that_do_not_add_up_are_refused(database: str) -> None:
    async with session(database) as connection:
        insert = "insert into journal_counts values ('main', 1, 'trades', $1, $2, $3, $4)"
        with pytest.raises(asyncpg.CheckViolationError, match="nothing_is_lost"):
            await connection.execute(insert, 10, 7, 1, 1)
        await connection.execute(insert, 10, 7, 2, 1)


async def test_views_show_symbols_instead_of_numbers(database: str) -> None:
    async with session(database) as connection:
        await connection.execute(EXAMPLES)
        for name in VIEWS:
            row = await connection.fetchrow(f"select * from v_{name} order by 1 limit 1")
            assert row is not None, name
            first, second, *_ = row.items()
            assert first == ("venue", "fmfw")
            if name not in {"rates", "news", "sessions", "quarantine"}:
                assert second == ("symbol", "BTCUSDT")


async def test_views_translate_codes_for_people(database: str) -> None:
    async with session(database) as connection:
        await connection.execute(EXAMPLES)
        trades = await connection.fetch("select side, side_text from v_trades order by trade_key")
        candles = await connection.fetch("select interval::text from v_candles order by period")
        session_length = await connection.fetchval("select duration from v_sessions")
        quarantined = await connection.fetch("select venue, text from v_quarantine order by quarantine_id")

    assert [tuple(row) for row in trades] == [(1, "buy"), (-1, "sell"), (None, None)]
    assert [row["interval"] for row in candles] == ["00:01:00", "1 mon"]
    assert session_length == timedelta(minutes=2)
    assert [tuple(row) for row in quarantined] == [("fmfw", r"{\000\377"), (None, "x")]


async def test_readers_read_everything_and_change_nothing(database_server: DatabaseServer, database: str) -> None:
    async with session(database) as owner:
        await owner.execute(EXAMPLES)
        await owner.execute("create table later (x int)")
    async with acting_as("collector_reader", database_server, database) as reader:
        for name in [*CONTRACT, *(f"v_{view}" for view in VIEWS), "later"]:
            await reader.fetch(f"select * from {name}")
        for forbidden in (
            "insert into venues (code) values ('x')",
            "insert into trades select * from trades",
            "update trades set price = 0",
            "delete from trades",
            "truncate trades",
            "drop table trades",
            "create table mine (x int)",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await reader.execute(forbidden)


async def test_the_writer_adds_and_corrects_but_cannot_destroy(database_server: DatabaseServer, database: str) -> None:
    async with acting_as("collector_writer", database_server, database) as writer:
        await writer.execute(EXAMPLES)
        await writer.execute("update candles set close = 3")
        await writer.execute("insert into trades select time + interval '9 days', 1, 1, null, 1, 1, 1, time from ticks")
        assert await writer.fetchval("select count(*) from trades") == 4
        for table in CONTRACT:
            for forbidden in (f"delete from {table}", f"truncate {table} cascade", f"drop table {table} cascade"):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await writer.execute(forbidden)
        for table in ("trades", "ticks", "books", "derivatives", "rates", "news"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await writer.execute(f"update {table} set received_at = now()")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await writer.execute("update alembic_version set version_num = 'x'")


async def test_the_analyst_logs_in_with_the_password_from_its_file(
    database_server: DatabaseServer, database: str
) -> None:
    async with session(database) as owner:
        await owner.execute(EXAMPLES)
    async with session(database_server.login("analyst", database)) as analyst:
        assert await analyst.fetchval("select count(*) from v_trades where symbol = 'BTCUSDT'") == 3
        await analyst.execute("set default_transaction_read_only = off")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await analyst.execute("update trades set price = 0")

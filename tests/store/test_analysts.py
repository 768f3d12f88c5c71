"""What the functions for analysts say, against answers worked out by hand."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from collector.model import Instrument, InstrumentSpec, Position, Records
from collector.store.batch import Batch
from collector.store.writer import Writer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.databases import DatabaseServer

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
SUBSCRIBED = (
    '{"subscriptions": [["c", "trades", ["BTCUSDT"]], ["c", "ticks", ["BTCUSDT"]], ["c", "books", ["BTCUSDT"]]]'
)
STAGE = f"""
insert into venues (code) values ('fmfw');
insert into instruments (venue_id, symbol, base, quote, kind) values (1, 'BTCUSDT', 'BTC', 'USDT', 'spot');
insert into sessions (session_id, venue_id, worker, opened_at, details)
values (1, 1, 'fmfw-1', '{NOON - timedelta(days=1)}', '{SUBSCRIBED}, "book_numbering": "successive"}}');
insert into journal_position (journal, segment, byte_offset, updated_at)
values ('j', 1, 0, '{NOON + timedelta(days=1)}');
"""
S = timedelta(seconds=1)


@asynccontextmanager
async def staged(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """An instrument that has been recorded from the day before `NOON` to the day after it."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(STAGE)
        yield connection
    finally:
        await connection.close()


async def rows(on: asyncpg.Connection, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await on.fetch(query, *parameters)]


async def trade(on: asyncpg.Connection, seconds: float, price: str, size: str = "1", key: int | None = None) -> None:
    at = NOON + seconds * S
    number = key if key is not None else int(seconds * 1000)
    await on.execute(
        "insert into trades values ($1, 1, $2, null, $3::text::numeric, $4::text::numeric, 1, $1)",
        at,
        number,
        price,
        size,
    )


async def tick(on: asyncpg.Connection, seconds: float, bid: str | None, ask: str | None) -> None:
    at = NOON + seconds * S
    await on.execute(
        "insert into ticks (time, instrument_id, tick_key, bid, ask, received_at) values "
        "($1, 1, $2, $3::text::numeric, $4::text::numeric, $1)",
        at,
        int(seconds * 1000),
        bid,
        ask,
    )


async def book(
    on: asyncpg.Connection, seconds: float, seq: int, bids: str, asks: str, *, snapshot: bool = False
) -> None:
    """A row of books; sides are written `price:size price:size`."""
    at = NOON + seconds * S
    sides = [[Decimal(level.split(":")[part]) for level in side.split()] for side in (bids, asks) for part in (0, 1)]
    await on.execute("insert into books values ($1, 1, $2, $3, $4, $5, $6, $7, $1)", at, seq, snapshot, *sides)


async def gap(
    on: asyncpg.Connection, stream: str, start: float, end: float | None, state: str = "unrecoverable"
) -> None:
    await on.execute(
        "insert into gaps (instrument_id, stream, from_time, to_time, cause, state) values (1, $1, $2, $3, 'x', $4)",
        stream,
        NOON + start * S,
        None if end is None else NOON + end * S,
        state,
    )


BARS = "select * from ohlcv('fmfw', 'BTCUSDT', $1, $2, $3)"


async def test_bars_are_made_of_the_trades_in_their_order(database: str) -> None:
    long = "123456789012345678901234567890.123456789012345678901234567890"
    async with staged(database) as on:
        await trade(on, 1, "10", "2", key=5)
        await trade(on, 0, "11", "1", key=9)
        await trade(on, 0, "12", "1", key=-9)  # of equal times the lower key is the first
        await trade(on, 59.999, "9", "1")
        await trade(on, 60, long)
        found = await rows(on, BARS, timedelta(minutes=1), NOON, NOON + timedelta(hours=1))
    assert found == [
        (NOON, 12, 12, 9, 9, 5, 52, 4, False, False),
        (NOON + 60 * S, *[Decimal(long)] * 4, 1, Decimal(long), 1, False, False),
    ]
    assert str(found[1][1]) == long


async def test_a_bar_tells_when_something_of_it_is_missing(database: str) -> None:
    async with staged(database) as on:
        for minute in range(6):
            await trade(on, minute * 60 + 30, "10")
        await gap(on, "trades", 70, 80)
        await gap(on, "trades", 130, 140, state="repaired")
        await gap(on, "trades", 190, 200, state="open")
        await gap(on, "ticks", 0, 400)
        await gap(on, "trades", 310, None, state="open")
        found = await rows(on, BARS, timedelta(minutes=1), NOON, NOON + timedelta(hours=1))
    assert [row[-2] for row in found] == [False, True, False, True, False, True]


async def test_time_before_recording_began_is_missing_unless_it_was_backfilled(database: str) -> None:
    async with staged(database) as on:
        for hours in (-50, -49, -25, -23):
            await trade(on, hours * 3600 + 60, "10")
        await on.execute(
            "insert into backfills values (1, 'trades', '', $1, $2), (1, 'trades', '', $2, $3)",
            NOON - timedelta(hours=50),
            NOON - timedelta(hours=49, minutes=30),
            NOON - timedelta(hours=49),
        )
        found = await rows(on, BARS, timedelta(hours=1), NOON - timedelta(days=9), NOON)
    assert [row[-2] for row in found] == [False, True, True, False]


async def test_a_bar_that_the_span_cuts_or_that_is_not_over_is_partial(database: str) -> None:
    async with staged(database) as on:
        for hours in (0, 1, 2, 24):
            await trade(on, hours * 3600 + 600, "10")
        inner = await rows(on, BARS, timedelta(hours=1), NOON + timedelta(minutes=5), NOON + timedelta(minutes=150))
        whole = await rows(on, BARS, timedelta(hours=1), NOON, NOON + timedelta(days=9))
    assert [(row[0], row[-1]) for row in inner] == [
        (NOON, True),
        (NOON + timedelta(hours=1), False),
        (NOON + timedelta(hours=2), True),
    ]
    assert [row[-1] for row in whole] == [False, False, False, True]  # the last is after what the tables know


@pytest.mark.parametrize(
    ("period", "openings"),
    [
        ("7 days", ["2025-12-29", "2026-03-02", "2026-03-09"]),
        ("1 month", ["2025-12-01", "2026-03-01"]),
        ("3 months", ["2025-10-01", "2026-01-01"]),
        ("1 year", ["2025-01-01", "2026-01-01"]),
        ("1 day", ["2025-12-31", "2026-03-08", "2026-03-10"]),
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
async def test_long_bars_open_where_the_calendar_says_in_utc(
    database: str, period: str, openings: list[str], zone: str
) -> None:
    async with staged(database) as on:
        await on.execute(f"set timezone = '{zone}'")  # where a day of March 2026 has 23 hours
        for moment in ("2025-12-31 23:59:59.999999Z", "2026-03-08 06:00Z", "2026-03-10 00:00Z"):
            await on.execute(f"insert into trades values ('{moment}', 1, 1, null, 1, 1, 1, '{moment}')")
        found = await on.fetch(
            f"select to_char(time at time zone 'UTC', 'YYYY-MM-DD') from ohlcv('fmfw', 'BTCUSDT', '{period}', "
            "'2025-01-01Z', '2026-12-01Z')"
        )
        filled = await on.fetchval(
            "select count(*) from ohlcv('fmfw', 'BTCUSDT', '1 day', '2026-03-01Z', '2026-03-11Z', fill => true)"
        )
    assert [row[0] for row in found] == openings
    assert filled == 10


async def test_bars_without_trades_are_there_for_those_who_ask(database: str) -> None:
    async with staged(database) as on:
        await trade(on, 30, "10")
        await gap(on, "trades", 130, 140)
        found = await rows(
            on,
            "select time, close, volume, trades, gap from ohlcv('fmfw', 'BTCUSDT', '1 min', $1, $2, true)",
            NOON,
            NOON + 200 * S,
        )
    assert found == [
        (NOON, 10, 1, 1, False),
        (NOON + 60 * S, None, 0, 0, False),
        (NOON + 120 * S, None, 0, 0, True),
        (NOON + 180 * S, None, 0, 0, False),
    ]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("ohlcv('fmfw', 'NONE', '1 hour', now(), now())", "no instrument NONE at the venue fmfw"),
        ("ohlcv('fmfw', 'BTCUSDT', '0 s', now(), now())", "longer than nothing"),
        ("ohlcv('fmfw', 'BTCUSDT', '1 month 1 day', now(), now())", "mixes months with days"),
        ("book_at('none', 'BTCUSDT', now())", "no instrument BTCUSDT at the venue none"),
        ("spread_series('fmfw', 'BTCUSDT', '-1 s', now(), now())", "longer than nothing"),
    ],
)
async def test_a_wrong_argument_is_named(database: str, call: str, said: str) -> None:
    async with staged(database) as on:
        with pytest.raises(asyncpg.InvalidParameterValueError, match=said):
            await on.fetch(f"select * from {call}")


async def test_vwap_weighs_prices_by_size(database: str) -> None:
    async with staged(database) as on:
        await trade(on, 1, "10", "1")
        await trade(on, 2, "20", "3")
        await trade(on, 3, "99", "3")
        vwap = "select vwap('fmfw', 'BTCUSDT', $1, $2)"
        assert await on.fetchval(vwap, NOON, NOON + 3 * S) == Decimal("17.5")
        assert await on.fetchval(vwap, NOON - 9 * S, NOON) is None


async def test_the_last_price_is_that_of_the_last_trade(database: str) -> None:
    async with staged(database) as on:
        await on.execute("insert into instruments (venue_id, symbol) values (1, 'QUIET')")
        await trade(on, 5, "12", key=1)
        await trade(on, 5, "11", "7", key=2)
        await trade(on, 1, "10")
        assert await rows(on, "select * from last_prices()") == [
            ("fmfw", "BTCUSDT", "BTC/USDT", NOON + 5 * S, 11, 7, 1)
        ]


async def test_trades_are_joined_with_the_quote_that_stood_then(database: str) -> None:
    async with staged(database) as on:
        await tick(on, 0, "9", "11")
        await tick(on, 2, "10", "11")
        await tick(on, 3, None, None)  # a ticker's last price is no quote
        for seconds in (-1, 1, 2, 9):
            await trade(on, seconds, "10")
        found = await rows(
            on,
            "select time, price, bid, ask, mid, quoted_at from trades_with_quotes('fmfw', 'BTCUSDT', $1, $2)",
            NOON - 1 * S,
            NOON + 10 * S,
        )
    assert found == [
        (NOON - S, 10, None, None, None, None),
        (NOON + S, 10, 9, 11, 10, NOON),
        (NOON + 2 * S, 10, 10, 11, Decimal("10.5"), NOON + 2 * S),
        (NOON + 9 * S, 10, 10, 11, Decimal("10.5"), NOON + 2 * S),
    ]


async def test_the_spread_is_told_step_by_step(database: str) -> None:
    async with staged(database) as on:
        await tick(on, 1, "9", "11")
        await tick(on, 121, "10", "10.5")
        await gap(on, "ticks", 59, 61)
        found = await rows(
            on,
            "select time, bid, ask, spread, mid, relative_spread, quoted_at, gap "
            "from spread_series('fmfw', 'BTCUSDT', '1 min', $1, $2)",
            NOON,
            NOON + 240 * S,
        )
    first, second = NOON + S, NOON + 121 * S
    assert found[:2] == [
        (NOON + 60 * S, 9, 11, 2, 10, Decimal("0.2"), first, True),
        (NOON + 120 * S, 9, 11, 2, 10, Decimal("0.2"), first, False),
    ]
    [(at, bid, ask, spread, mid, relative, quoted, lost)] = found[2:]
    assert (at, bid, ask, spread, mid) == (
        NOON + 180 * S,
        10,
        Decimal("10.5"),
        Decimal("0.5"),
        Decimal("10.25"),
    )
    assert (quoted, lost) == (second, False)
    assert abs(relative - Decimal("0.5") / Decimal("10.25")) < Decimal("1e-15")


BOOK = (
    "select level, bid_price, bid_size, ask_price, ask_size, as_of, age, covered "
    "from book_at('fmfw', 'BTCUSDT', $1, $2)"
)


async def test_a_book_is_rebuilt_from_its_snapshot_and_the_changes_after_it(database: str) -> None:
    async with staged(database) as on:
        await book(on, -9, 1, "50:1", "60:1", snapshot=True)
        await book(on, 0, 10, "10:1 9:2 8:3", "11:1 12:2", snapshot=True)
        await book(on, 0, 10, "10:7", "")  # says what the snapshot said, and came before it
        await book(on, 1, 11, "10:0 9.5:4", "")
        await book(on, 2, 12, "9.5:5", "11:0 11.50:9")
        await book(on, 3, 13, "", "12:0 11.5:0")
        at_two = await rows(on, BOOK, NOON + 2.5 * S, 2)
        at_three = await rows(on, BOOK, NOON + 10 * S, 10)
        earlier = await rows(on, BOOK, NOON - S, 10)
        nothing = await rows(on, BOOK, NOON - 3600 * S, 10)
    known = (NOON + 2 * S, timedelta(seconds=0.5), True)
    assert at_two == [
        (1, Decimal("9.5"), 5, Decimal("11.5"), 9, *known),
        (2, 9, 2, 12, 2, *known),
    ]
    assert [row[:5] for row in at_three] == [
        (1, Decimal("9.5"), 5, None, None),
        (2, 9, 2, None, None),
        (3, 8, 3, None, None),
    ]
    assert at_three[0][5:] == (NOON + 3 * S, 7 * S, True)
    assert [row[:5] for row in earlier] == [(1, 50, 1, 60, 1)]
    assert nothing == []


async def test_a_book_ends_where_a_number_is_missing(database: str) -> None:
    async with staged(database) as on:
        await book(on, 0, 10, "10:1", "11:1", snapshot=True)
        await book(on, 1, 11, "10:2", "")
        await book(on, 3, 13, "10:9", "")
        before = await rows(on, BOOK, NOON + 2 * S, 1)
        after = await rows(on, BOOK, NOON + 4 * S, 1)
        await on.execute('update sessions set details = details || \'{"book_numbering": "rising"}\'')
        jumping = await rows(on, BOOK, NOON + 4 * S, 1)
    assert before == [(1, 10, 2, 11, 1, NOON + S, S, True)]
    assert after == [(1, 10, 2, 11, 1, NOON + S, 3 * S, False)]
    assert jumping == [(1, 10, 9, 11, 1, NOON + 3 * S, S, True)]


async def test_a_book_ends_where_a_gap_begins_and_begins_anew_with_a_snapshot(database: str) -> None:
    async with staged(database) as on:
        await book(on, 0, 10, "10:1", "11:1", snapshot=True)
        await book(on, 5, 11, "10:2", "")
        await gap(on, "books", 3, 20)
        await gap(on, "trades", 0, 99)
        inside = await rows(on, BOOK, NOON + 10 * S, 1)
        after = await rows(on, BOOK, NOON + 30 * S, 1)
        # Nothing had changed: the snapshot that ended the gap is as old as its last change.
        await on.execute(
            "insert into books values ($1, 1, 12, true, '{10}', '{3}', '{11}', '{1}', $2)", NOON + 2 * S, NOON + 20 * S
        )
        anew = await rows(on, BOOK, NOON + 30 * S, 1)
    assert inside == [(1, 10, 1, 11, 1, NOON, 10 * S, False)]
    assert after == [(1, 10, 1, 11, 1, NOON, 30 * S, False)]
    assert anew == [(1, 10, 3, 11, 1, NOON + 2 * S, 28 * S, True)]


async def test_a_book_of_a_time_that_is_not_in_the_tables_yet_is_not_covered(database: str) -> None:
    async with staged(database) as on:
        await book(on, 0, 10, "10:1", "11:1", snapshot=True)
        assert (await rows(on, BOOK, NOON + timedelta(days=2), 1))[0][-1] is False
        await on.execute("delete from sessions")
        assert (await rows(on, BOOK, NOON, 1))[0][-1] is False


async def test_books_of_a_venue_that_numbers_nothing_follow_each_other_in_time(database: str) -> None:
    async with staged(database) as on:
        await on.execute("update sessions set details = details - 'book_numbering'")
        await book(on, 0, 999, "10:1", "11:1", snapshot=True)
        await book(on, 1, 7, "10:2", "")
        await book(on, 2, 3, "10:3", "")
        assert (await rows(on, BOOK, NOON + 9 * S, 1))[0][:3] == (1, 10, 3)


async def test_readers_can_ask_everything_whatever_their_search_path(
    database_server: DatabaseServer, database: str
) -> None:
    async with staged(database) as on:
        await trade(on, 0, "10")
        await tick(on, 0, "9", "11")
        await book(on, 0, 10, "10:1", "11:1", snapshot=True)
    reader = await asyncpg.connect(database_server.superuser(database))
    try:
        await reader.execute("set session authorization collector_reader; set search_path = pg_catalog")
        for call in (
            "ohlcv('fmfw', 'BTCUSDT', '1 hour', '2026-03-01', '2026-04-01')",
            "book_at('fmfw', 'BTCUSDT', '2026-03-10 12:00Z')",
            "spread_series('fmfw', 'BTCUSDT', '1 hour', '2026-03-10 12:00Z', '2026-03-10 14:00Z')",
            "vwap('fmfw', 'BTCUSDT', '2026-03-01', '2026-04-01')",
            "last_prices()",
            "trades_with_quotes('fmfw', 'BTCUSDT', '2026-03-01', '2026-04-01')",
            "instrument_at('fmfw', 'BTCUSDT', now())",
        ):
            found = await reader.fetch(f"select * from public.{call}")
            assert found or call.startswith("instrument_at"), call
    finally:
        await reader.close()


async def test_every_function_says_what_it_gives(database: str) -> None:
    async with staged(database) as on:
        silent = await on.fetch(
            "select p.proname from pg_proc p where p.pronamespace = 'public'::regnamespace "
            "and obj_description(p.oid) is null and not exists "
            "(select from pg_depend d where d.objid = p.oid and d.deptype = 'e')"
        )
    assert not silent


# -- instruments -----------------------------------------------------------------------------------------------------

T = 1_700_000_000_000_000


def spec(at: int, price_step: str = "0.01", symbol: str = "BTCUSDT", **other: Any) -> InstrumentSpec:
    said: dict[str, Any] = {
        "base": "BTC",
        "quote": "USDT",
        "kind": "spot",
        "size_step": "0.001",
        "status": "working",
        "details": "{}",
    } | other
    return InstrumentSpec(Instrument("fmfw", symbol), price_step=price_step, received_us=T + at, **said)


async def tell(dsn: str, *specs: InstrumentSpec) -> None:
    writer = Writer(lambda: dsn, "j")
    try:
        for one in specs:
            records = Records()
            records.instruments.append(one)
            await writer.commit(Batch(records, Position(1, 1), 0))
    finally:
        await writer.close()


VERSIONS = (
    "select (extract(epoch from valid_from) * 1000000)::bigint - 1700000000000000, "
    "(extract(epoch from valid_to) * 1000000)::bigint - 1700000000000000, price_step "
    "from instrument_versions order by valid_from"
)


async def test_each_change_is_a_version_and_telling_again_changes_nothing(database: str) -> None:
    story = [spec(0), spec(10), spec(20, "0.1"), spec(30, "0.10"), spec(40), spec(50, "1")]
    await tell(database, *story)
    on = await asyncpg.connect(database)
    try:
        once = await rows(on, VERSIONS)
        newest = await rows(on, "select price_step, updated_at from instruments")
        await tell(database, *story, *reversed(story))
        assert await rows(on, VERSIONS) == once
        assert await rows(on, "select price_step, updated_at from instruments") == newest
        step = "select price_step from instrument_at('fmfw', 'BTCUSDT', timestamptz 'epoch' + $1 * interval '1 us')"
        steps = [await on.fetchval(step, T + at) for at in (-1, 0, 19, 20, 45, 1000)]
    finally:
        await on.close()
    assert once == [(0, 20, Decimal("0.01")), (20, 40, Decimal("0.1")), (40, 50, Decimal("0.01")), (50, None, 1)]
    assert newest[0][0] == 1
    assert steps == [None, Decimal("0.01"), Decimal("0.01"), Decimal("0.1"), Decimal("0.01"), 1]


async def test_versions_told_in_any_order_come_to_the_same(database: str) -> None:
    await tell(database, spec(50, "1"), spec(0), spec(20, "0.1"), spec(30, "0.1"), spec(40), spec(10))
    await tell(database, spec(0), spec(10), spec(20, "0.1"), spec(30, "0.1"), spec(40), spec(50, "1"))
    on = await asyncpg.connect(database)
    try:
        assert await rows(on, VERSIONS) == [
            (0, 20, Decimal("0.01")),
            (20, 40, Decimal("0.1")),
            (40, 50, Decimal("0.01")),
            (50, None, 1),
        ]
        assert await on.fetchval("select price_step from instruments") == 1
    finally:
        await on.close()


async def test_what_was_said_nobody_knows_when_is_no_version_and_hides_nothing(database: str) -> None:
    await tell(database, spec(-T, "5"), spec(0), spec(-T, "5"))
    on = await asyncpg.connect(database)
    try:
        assert await rows(on, VERSIONS) == [(0, None, Decimal("0.01"))]
        assert await on.fetchval("select price_step from instruments") == Decimal("0.01")
    finally:
        await on.close()


async def test_a_changed_expiry_status_name_or_detail_is_a_version(database: str) -> None:
    await tell(
        database,
        spec(0),
        spec(1, status="suspended"),
        spec(2, expiry_us=T + 9),
        spec(3, name="Bitcoin"),
        spec(4, details='{"a": 1}'),
        spec(5, size_step="1"),
    )
    on = await asyncpg.connect(database)
    try:
        assert await on.fetchval("select count(*) from v_instrument_versions where venue = 'fmfw'") == 6
    finally:
        await on.close()


async def test_prices_off_the_tick_that_was_valid_then_are_flagged_and_not_altered(database: str) -> None:
    await tell(database, spec(0, "0.5"), spec(60_000_000, "0.1"))
    on = await asyncpg.connect(database)
    try:
        await on.execute(
            "insert into trades select timestamptz 'epoch' + t * interval '1 us', 1, t, null, p, s, 1, now() "
            "from (values ($1::bigint - 1, 10.3, 1), ($1, 10.3, 1), ($1 + 60000000, 10.3, 0.0005)) v (t, p, s)",
            T,
        )
        found = await rows(on, "select price, price_step, off_tick, off_lot from v_trades_checked order by time")
    finally:
        await on.close()
    assert found == [
        (Decimal("10.3"), None, None, None),
        (Decimal("10.3"), Decimal("0.5"), True, False),
        (Decimal("10.3"), Decimal("0.1"), False, True),
    ]


async def test_common_names_are_the_same_at_all_venues_and_no_two_alike_at_one(database: str) -> None:
    listed = [
        ("a", "BTCUSDT", "BTC", "USDT", "spot", None, "BTC/USDT"),
        ("a", "BTCUSDT_BQX", "BTC", "USDT", "spot", None, "BTC/USDT~BTCUSDT_BQX"),
        ("a", "BTCUSDT_PERP", "BTC", "USDT", "perpetual", None, "BTC/USDT:PERP"),
        ("a", "BTC-1225", "BTC", "USDT", "future", "2026-12-25 08:00Z", "BTC/USDT:2026-12-25"),
        ("a", "BTC-0326", "BTC", "USDT", "future", "2027-03-26 08:00Z", "BTC/USDT:2027-03-26"),
        ("a", "BTC-X", "BTC", "USDT", "future", None, "BTC/USDT:FUTURE"),
        ("b", "btc_usdt", "BTC", "USDT", "spot", None, "BTC/USDT"),
        ("b", "EURUSD", "EUR", "USD", "forex", None, "EUR/USD"),
        ("b", "EURUSD.m", "EUR", "USD", "forex", None, "EUR/USD~EURUSD.m"),
        ("b", "EUR/USD", None, None, "symbol", None, "~EUR/USD"),
        ("b", "EUR/USD~EURUSD.m", None, None, None, None, "~EUR/USD~EURUSD.m"),
        ("b", "XAU", None, "USD", "cfd", None, "XAU"),
        ("b", "ODD", "A/B", "USD", "cfd", None, "ODD"),
    ]
    on = await asyncpg.connect(database)
    try:
        await on.execute("insert into venues (code) values ('a'), ('b')")
        for venue, symbol, base, quote, kind, expiry, _ in reversed(listed):
            await on.execute(
                "insert into instruments (venue_id, symbol, base, quote, kind, expiry) "
                "values ($1, $2, $3, $4, $5, $6::text::timestamptz)",
                "ab".index(venue) + 1,
                symbol,
                base,
                quote,
                kind,
                expiry,
            )
        found = await rows(on, "select venue, symbol, common_name from v_instruments")
    finally:
        await on.close()
    assert sorted(found) == sorted((row[0], row[1], row[-1]) for row in listed)
    assert len({(venue, name) for venue, _, name in found}) == len(listed)

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from collector.model import (
    Book,
    Candle,
    Derivative,
    Gap,
    Instrument,
    InstrumentSpec,
    News,
    Position,
    Quarantined,
    Rate,
    Records,
    Session,
    Tick,
    Trade,
)
from collector.store.batch import Batch, TableCount
from collector.store.writer import Writer

BTC = Instrument("fmfw", "BTCUSDT")
ETH = Instrument("fmfw", "ETHUSDT")
T = 1_700_000_000_123_456


def trade(key: int, *, price: str = "100.10", instrument: Instrument = BTC, time_us: int = T) -> Trade:
    return Trade(instrument, time_us, key, str(key), price, "0.500", 1, T + 5)


def candle(close: str, *, received_us: int = T, closed: bool = False) -> Candle:
    return Candle(BTC, T - T % 60_000_000, 60, "trade", "1", "9", "0.5", close, "7", "8", None, closed, received_us)


def records(*rows: Any) -> Records:
    made = Records()
    lists: dict[type, list[Any]] = {
        Trade: made.trades,
        Tick: made.ticks,
        Book: made.books,
        Candle: made.candles,
        Rate: made.rates,
        Derivative: made.derivatives,
        Gap: made.gaps,
        Session: made.sessions,
        Quarantined: made.quarantine,
        InstrumentSpec: made.instruments,
        News: made.news,
    }
    for row in rows:
        lists[type(row)].append(row)
    made.items = made.rows + sum(bad.items for bad in made.quarantine)
    return made


def batch(*rows: Any, segment: int = 1, offset: int = 100) -> Batch:
    return Batch(records(*rows), Position(segment, offset), 0)


@asynccontextmanager
async def writing(
    dsn: str, *, journal: str | None = "j", sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> AsyncIterator[Writer]:
    writer = Writer(lambda: dsn, journal, sleep=sleep)
    try:
        yield writer
    finally:
        await writer.close()


async def rows_of(dsn: str, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(dsn)
    try:
        return [tuple(row) for row in await connection.fetch(query, *parameters)]
    finally:
        await connection.close()


async def test_every_kind_of_record_arrives_with_its_own_digits(database: str) -> None:
    long = "123456789012345678901234567890.123456789012345678901234567890"
    async with writing(database) as writer:
        await writer.commit(
            batch(
                trade(1, price=long),
                Tick(BTC, T, -5, "1.10", None, "1.20", "3", None, None, "0", T),
                Book(BTC, T, 7, True, "1.0,0.9", "2,3", "", "", T),
                candle("1.50"),
                Derivative(BTC, T, "1", "2", "-0.0001", T, None, None, None, None, "5", None, None, T),
                Rate("fmfw", T, "BTC/USDT", "3.30", T),
                News("finam", T, -7, "ru", 'Он сказал: "да", \\ {нет}', None, T),
            )
        )
    assert await rows_of(database, "select price, size, side, trade_id, time = received_at from trades") == [
        (Decimal(long), Decimal("0.500"), 1, "1", False)
    ]
    assert await rows_of(database, "select extract(epoch from time) from trades") == [(Decimal("1700000000.123456"),)]
    assert await rows_of(database, "select bid::text, bid_size, volume::text, tick_key from ticks") == [
        ("1.10", None, "0", -5)
    ]
    assert await rows_of(database, "select bid_prices::text, ask_prices::text, snapshot from books") == [
        ("{1.0,0.9}", "{}", True)
    ]
    assert await rows_of(database, "select close::text, closed from candles") == [("1.50", False)]
    assert await rows_of(database, "select funding_rate, next_funding_time is null, expiry from derivatives") == [
        (Decimal("-0.0001"), False, None)
    ]
    assert await rows_of(database, "select name, value::text from v_rates") == [("BTC/USDT", "3.30")]
    assert await rows_of(database, "select venue, news_key, source, title, link from v_news") == [
        ("finam", -7, "ru", 'Он сказал: "да", \\ {нет}', None)
    ]


async def test_headline_told_again_is_one_row_and_a_refused_one_is_quarantined_with_its_venue(database: str) -> None:
    first, second = News("finam", T, 1, "ru", "first", "https://a/1", T), News("finam", T, 2, "ru", "second", None, T)
    impossible = first._replace(time_us=2**63)
    async with writing(database) as writer:
        committed = await writer.commit(batch(first, second, first._replace(title="edited"), impossible))
    assert committed.counts["news"] == TableCount(4, 2, 1, 1)
    assert await rows_of(database, "select title from v_news order by news_key") == [("first",), ("second",)]
    assert await rows_of(database, "select venue, stream from v_quarantine") == [("finam", "news")]


async def test_writing_twice_changes_nothing_and_is_counted(database: str) -> None:
    async with writing(database) as writer:
        first = await writer.commit(batch(trade(1), trade(2), trade(2)))
        again = await writer.commit(batch(trade(1), trade(2), trade(3)))
    assert first.counts["trades"] == TableCount(3, 2, 1, 0)
    assert again.counts["trades"] == TableCount(3, 1, 2, 0)
    assert await rows_of(database, "select items, stored, duplicates, quarantined from journal_counts") == [
        (6, 3, 3, 0)
    ]


async def test_growing_candle_is_one_row_and_an_older_state_never_wins(database: str) -> None:
    async with writing(database) as writer:
        grown = await writer.commit(batch(candle("1"), candle("2", received_us=T + 1)))
        equal = await writer.commit(batch(candle("2", received_us=T + 2)))
        older = await writer.commit(batch(candle("1")))
        final = await writer.commit(batch(candle("3", received_us=T + 3, closed=True)))
    assert grown.counts["candles"] == TableCount(2, 1, 1, 0)
    assert equal.counts["candles"] == TableCount(1, 0, 1, 0)
    assert older.counts["candles"] == TableCount(1, 0, 1, 0)
    assert final.counts["candles"] == TableCount(1, 1, 0, 0)
    assert await rows_of(database, "select close, closed from candles") == [(3, True)]


async def test_closed_candle_is_never_opened_again(database: str) -> None:
    async with writing(database) as writer:
        await writer.commit(batch(candle("1", closed=True)))
        again = await writer.commit(batch(candle("1", received_us=T + 1)))
        corrected = await writer.commit(batch(candle("2", received_us=T + 2)))
    assert again.counts["candles"] == TableCount(1, 0, 1, 0)
    assert corrected.counts["candles"] == TableCount(1, 1, 0, 0)
    assert await rows_of(database, "select close, closed from candles") == [(2, True)]


async def test_position_moves_with_the_rows(database: str) -> None:
    async with writing(database) as writer:
        assert await writer.position() is None
        await writer.commit(batch(trade(1), segment=4, offset=1234))
        assert await writer.position() == (4, 1234)


async def test_one_bad_row_is_quarantined_and_its_batch_is_stored(database: str) -> None:
    bad = trade(50)._replace(side=9)  # the table's own check refuses it
    async with writing(database) as writer:
        outcome = await writer.commit(batch(*[trade(n) for n in range(100)], bad, trade(200, instrument=ETH)))
        after = await writer.commit(batch(trade(300)))
    assert outcome.counts["trades"] == TableCount(102, 101, 0, 1)
    assert after.counts["trades"].stored == 1
    [(kind, error, text)] = await rows_of(database, "select kind, error, text from v_quarantine")
    assert kind == "row"
    assert "the database refused the row" in error
    assert '"side":9' in text


async def test_what_the_parser_quarantined_is_kept_with_its_bytes(database: str) -> None:
    bad = Quarantined("fmfw", "ticks", "bid: 'x' is no decimal", b'{"a":"\xff\x00"}', 2, T)
    lost = Quarantined("fmfw", None, "not JSON", b"\x00garbage", 1, T)
    async with writing(database) as writer:
        outcome = await writer.commit(batch(bad, lost))
    assert outcome.counts == {"ticks": TableCount(2, 0, 0, 2), "frames": TableCount(1, 0, 0, 1)}
    assert await rows_of(database, "select payload from quarantine order by quarantine_id") == [
        (bad.payload,),
        (lost.payload,),
    ]


async def test_replay_does_not_quarantine_again_and_leaves_the_position(database: str) -> None:
    bad = Quarantined("fmfw", "ticks", "bad", b"frame", 1, T)
    async with writing(database) as writer:
        await writer.commit(batch(bad, trade(1)))
    async with writing(database, journal=None) as writer:
        await writer.commit(batch(bad, trade(1), segment=9, offset=9))
    assert await rows_of(database, "select count(*) from quarantine") == [(1,)]
    assert await rows_of(database, "select segment from journal_position") == [(1,)]
    assert await rows_of(database, "select sum(items) from journal_counts") == [(2,)]


async def test_sessions_gaps_and_specs_are_kept(database: str) -> None:
    opened = Session(T, "fmfw", "fmfw-1", "ws://x", T, None, None, 0)
    spec = InstrumentSpec(BTC, "BTC", "USDT", "spot", "0.01", "0.00001", "working", '{"type":"spot"}', T)
    gap = Gap(BTC, "books", T, None, 5, 9, "sequence lost")
    async with writing(database) as writer:
        await writer.commit(batch(opened, spec, gap))
        await writer.commit(batch(opened._replace(closed_us=T + 9, reason="cut", frames=7), gap._replace(to_us=T + 3)))
    assert await rows_of(database, "select worker, reason, frames, closed_at is null from sessions") == [
        ("fmfw-1", "cut", 7, False)
    ]
    assert await rows_of(database, "select base, quote, price_step, status, details->>'type' from instruments") == [
        ("BTC", "USDT", Decimal("0.01"), "working", "spot")
    ]
    assert await rows_of(database, "select from_seq, to_seq, cause, to_time is null from gaps") == [
        (5, 9, "sequence lost", False)
    ]


async def test_database_that_ends_the_connection_is_written_to_again(database: str) -> None:
    async with writing(database) as writer:
        await writer.commit(batch(trade(1)))
        await rows_of(
            database,
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()",
        )
        outcome = await writer.commit(batch(trade(1), trade(2)))
    assert outcome.counts["trades"] == TableCount(2, 1, 1, 0)
    assert writer.database.connected


async def test_many_batches_in_a_row_use_one_connection(database: str) -> None:
    async with writing(database) as writer:
        for number in range(20):
            await writer.commit(batch(trade(number), offset=number))
        connections = await rows_of(
            database, "select count(*) from pg_stat_activity where datname = current_database()"
        )
    assert connections == [(2,)]  # the writer's and this query's own


async def test_looking_a_venue_up_uses_no_number_up(database: str) -> None:
    for number in range(5):
        async with writing(database) as writer:
            await writer.commit(batch(trade(number)))
    async with writing(database) as writer:
        await writer.commit(batch(trade(9, instrument=Instrument("other", "X")), trade(9, instrument=ETH)))
    assert await rows_of(database, "select venue_id from venues order by 1") == [(1,), (2,)]
    assert await rows_of(database, "select instrument_id from instruments order by 1") == [(1,), (2,), (3,)]


@pytest.mark.parametrize(
    ("told", "refused"),
    [
        (Session(1, "fmfw", "w", "u", T, T + 1, "bye\0", 3), 0),
        (Gap(BTC, "trades", T, None, None, None, "disconnect", "bye\0"), 0),
        (Gap(BTC, "trades", T, None, 2**64 - 1, None, "sequence lost"), 1),
        (InstrumentSpec(BTC, "BTC", "USDT", "spot", "1", "1", "working", '{"a":"\\u0000"}', T), 1),
        (InstrumentSpec(BTC, "BTC", "USDT", "spot", "1,2", "1", "working", "{}", T), 1),
        (InstrumentSpec(BTC, "\ud800", "USDT", "spot", "1", "1", "working", "{}", T), 1),
    ],
)
async def test_what_is_refused_beside_the_data_goes_to_quarantine_and_holds_nothing_up(
    database: str, told: Any, refused: int
) -> None:
    async with writing(database) as writer, asyncio.timeout(10):
        committed = await writer.commit(batch(trade(1), told))
    assert committed.counts == {"trades": TableCount(1, 1, 0, 0)}
    assert await rows_of(database, "select kind, items from quarantine") == [("row", 0)] * refused


@pytest.mark.parametrize("symbol", ["A\0B", "\ud800", "A" * 10_000])
async def test_rows_of_an_instrument_that_can_have_no_number_are_quarantined(database: str, symbol: str) -> None:
    strange = Instrument("fmfw", symbol)
    async with writing(database) as writer, asyncio.timeout(10):
        committed = await writer.commit(
            batch(trade(1), trade(2, instrument=strange), Gap(strange, "trades", T, None, None, None, "killed"))
        )
    assert committed.counts["trades"] == TableCount(2, 1, 0, 1)
    assert await rows_of(database, "select stream, items from quarantine order by 1") == [("gaps", 0), ("trades", 1)]
    assert await rows_of(
        database, "select items, stored, quarantined from journal_counts where table_name='trades'"
    ) == [(2, 1, 1)]


@asynccontextmanager
async def commits_unanswered(dsn: str) -> AsyncIterator[str]:
    """A way to the server on which the first commit arrives and its answer does not."""
    cut = False

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, requests: bool) -> None:
        nonlocal cut
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
            if requests and b"COMMIT;" in data and b"BEGIN" not in data and not cut:
                cut = True
                raise ConnectionResetError

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = urlsplit(dsn)
        server_reader, server_writer = await asyncio.open_connection(there.hostname, there.port)
        try:
            with contextlib.suppress(ExceptionGroup):
                async with asyncio.TaskGroup() as group:
                    group.create_task(forward(reader, server_writer, requests=True))
                    group.create_task(forward(server_reader, writer, requests=False))
        finally:
            writer.transport.abort()
            server_writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    parts = urlsplit(dsn)
    async with server:
        yield parts._replace(netloc=parts.netloc.rpartition(":")[0] + f":{port}").geturl()
    assert cut


async def test_a_commit_whose_answer_was_lost_is_counted_and_quarantined_once(database: str) -> None:
    async with commits_unanswered(database) as way, writing(way) as writer:
        committed = await writer.commit(batch(trade(1), Quarantined("fmfw", "ticks", "odd", b"{}", 3, T)))
        later = await writer.commit(batch(trade(1), offset=200))
    assert committed.counts == {"trades": TableCount(1, 1, 0, 0), "ticks": TableCount(3, 0, 0, 3)}
    assert later.counts == {"trades": TableCount(1, 0, 1, 0)}
    assert await rows_of(database, "select count(*) from quarantine") == [(1,)]
    assert await rows_of(database, "select table_name, items from journal_counts order by 1") == [
        ("ticks", 3),
        ("trades", 2),
    ]

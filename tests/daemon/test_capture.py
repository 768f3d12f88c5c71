"""Twelve seconds of the venue's real traffic, over a real socket into a real database, and every row of it checked."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from collector.config import load
from collector.demo.demo import settled
from tests.kit import capture
from tests.kit.rebuilt import change
from tests.kit.running import running

pytestmark = [
    pytest.mark.skipif(not capture.SOCKET.exists(), reason="no capture here; FMFW_CAPTURES names its folder"),
    pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True),
]


async def test_real_traffic_is_stored_to_the_last_digit(database: str, tmp_path: Path) -> None:
    await record(database, tmp_path)
    connection = await asyncpg.connect(database)
    try:
        assert await connection.fetchval("select count(*) from quarantine") == 0
        assert await connection.fetchval("select count(*) from gaps where cause = 'sequence lost'") == 0
        await trades_are_those_of_the_capture(connection)
        await candles_are_those_of_the_capture(connection)
        await ticks_are_those_of_the_capture(connection)
        await books_are_those_of_the_capture(connection)
        await counts_are_those_of_the_capture(connection)
    finally:
        await connection.close()


async def record(dsn: str, folder: Path) -> None:
    async with capture.captured() as venue:
        config = folder / "collector.toml"
        config.write_text(
            f"""
            data_dir = "{folder / "data"}"
            [database]
            dsn = "{dsn}"
            [http]
            listen = "127.0.0.1:0"
            [venues.fmfw]
            symbols = {capture.symbols()}
            ticks = "ticker/1s"
            snapshot = 0
            rest_url = "{venue.rest_url}"
            ws_url = "{venue.ws_url}"
            """
        )
        async with running(load(config, {})) as daemon:
            async with asyncio.timeout(30):
                await venue.sent.wait()
            await settled(daemon.observed)
            (feed,) = daemon.workers["fmfw"].worker.connections.values()
            assert feed.frames == len(list(capture.frames())) + len(capture.CHANNELS)


async def trades_are_those_of_the_capture(connection: asyncpg.Connection) -> None:
    rows = await connection.fetch("select symbol, time, price::text, size::text, side_text, trade_id from v_trades")
    sent = [
        (symbol, moment(one["t"]), one["p"], one["q"], one["s"], None if one["i"] == one["t"] else str(one["i"]))
        for _, symbol, one in capture.items("trades")
    ]
    assert Counter(map(tuple, rows)) == Counter(sent)
    assert sent


async def candles_are_those_of_the_capture(connection: asyncpg.Connection) -> None:
    rows = await connection.fetch(
        "select symbol, time, open::text, high::text, low::text, close::text, volume::text, quote_volume::text,"
        " period::text, series from v_candles"
    )
    sent = {
        (symbol, one["t"]): (symbol, moment(one["t"]), *(one[key] for key in "ohlcvq"), "60", "trade")
        for _, symbol, one in capture.items("candles/M1")
    }
    assert Counter(map(tuple, rows)) == Counter(sent.values())
    assert sent


async def ticks_are_those_of_the_capture(connection: asyncpg.Connection) -> None:
    rows = await connection.fetch(
        "select symbol, time, bid::text, bid_size::text, ask::text, ask_size::text, last::text, volume::text"
        " from v_ticks"
    )
    sent = {
        (symbol, moment(one["t"]), *(one[key] for key in "bBaAcv")) for _, symbol, one in capture.items("ticker/1s")
    }
    assert Counter(map(tuple, rows)) == Counter(sent)
    assert len(sent) > 30


async def books_are_those_of_the_capture(connection: asyncpg.Connection) -> None:
    rows = await connection.fetch(
        "select symbol, seq, snapshot, time, ask_prices::text[], ask_sizes::text[], bid_prices::text[],"
        " bid_sizes::text[] from v_books order by symbol, seq"
    )
    sent = [
        (symbol, one["s"], kind == "snapshot", moment(one["t"]), *columns(one["a"]), *columns(one["b"]))
        for kind, symbol, one in capture.items("orderbook/full")
    ]
    assert [tuple(row) for row in rows] == sorted(sent, key=lambda row: row[:2])
    books: dict[str, tuple[int, dict[Any, Any], dict[Any, Any]]] = {}
    for symbol, seq, snapshot, _, ask_prices, ask_sizes, bid_prices, bid_sizes in rows:
        _, asks, bids = (0, {}, {}) if snapshot else books[symbol]
        change(asks, zip(ask_prices, ask_sizes, strict=True))
        change(bids, zip(bid_prices, bid_sizes, strict=True))
        books[symbol] = seq, asks, bids
    assert books == capture.books()
    assert len(books) == 10
    assert all(max(bids) < min(asks) for _, asks, bids in books.values())


async def counts_are_those_of_the_capture(connection: asyncpg.Connection) -> None:
    rows = await connection.fetch("select table_name, items, stored, duplicates, quarantined from journal_counts")
    counts = {row["table_name"]: tuple(row)[1:] for row in rows}
    for table, channel in (("trades", "trades"), ("ticks", "ticker/1s"), ("books", "orderbook/full")):
        sent = len(list(capture.items(channel)))
        stored = await connection.fetchval(f"select count(*) from {table}")
        assert counts[table] == (sent, stored, sent - stored, 0)
    items, stored, duplicates, quarantined = counts["candles"]
    assert items == stored + duplicates
    assert items >= len(list(capture.items("candles/M1")))
    assert quarantined == 0


def moment(milliseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)


def columns(levels: list[list[str]]) -> tuple[list[str], list[str]]:
    return [price for price, _ in levels], [size for _, size in levels]

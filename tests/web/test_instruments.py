"""One instrument over HTTP, from a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from collector.recording.database import DatabaseState
from collector.web import instruments
from tests.kit.market import Market, market
from tests.kit.watched import RunningClock, serving, watched


@pytest.fixture
async def tables(database: str) -> AsyncIterator[Market]:
    async with market(database) as one:
        yield one


@pytest.fixture
async def client(tmp_path: Path, database: str) -> AsyncIterator[aiohttp.ClientSession]:
    async with watched(tmp_path, RunningClock()) as daemon:
        daemon.database.dsn = lambda: database  # type: ignore[method-assign]
        async with serving(daemon) as address, aiohttp.ClientSession(address) as session:
            yield session


async def get(client: aiohttp.ClientSession, path: str, status: int = 200, **query: Any) -> Any:
    query = {"venue": "fake", "symbol": "A"} | query
    async with client.get(path, params={key: str(value) for key, value in query.items() if value != ""}) as answer:
        told = await answer.json()
        assert answer.status == status, told
        return told


async def test_instrument_is_told_with_its_periods_and_gaps(tables: Market, client: aiohttp.ClientSession) -> None:
    await tables.candles("A", 2)
    await tables.candles("A", 2, period=3600)
    await tables.gap("A", 600, 300, "repaired")
    await tables.gap("A", 60, None)
    await tables.gap("A", 30 * 3600, 29 * 3600)
    told = await get(client, "/api/instrument")
    assert told["periods"] == [60, 3600]
    assert (told["base"], told["quote"], told["price_step"], told["size_step"]) == ("A", "B", "0.010", "0.001")
    assert [(gap["state"], gap["to_time"] is None) for gap in told["gaps"]] == [("open", True), ("repaired", False)]


async def test_newest_candles_come_oldest_first_with_every_digit(tables: Market, client: aiohttp.ClientSession) -> None:
    await tables.candles("A", 5, price="0.1234567890123456789")
    told = await get(client, "/api/instrument/candles", limit=3)
    assert [row[5] for row in told["candles"]] == ["2", "1", "0"]
    assert told["candles"][0][1] == "0.1234567890123456789"
    assert [row[0] for row in told["candles"]] == sorted(row[0] for row in told["candles"])


async def test_spread_is_binned_up_to_the_newest_tick(tables: Market, client: aiohttp.ClientSession) -> None:
    await tables.ticks("A", 1200)
    told = await get(client, "/api/instrument/spread", seconds=600)
    assert told["bin_seconds"] == 1
    assert len(told["spread"]) == 600
    assert told["complete"]
    assert told["spread"][-1][1:] == ["100.10", "100.11", "0.01", "0.01"]
    told = await get(client, "/api/instrument/spread", seconds=1080)
    assert told["bin_seconds"] == 3
    assert {row[4] for row in told["spread"][1:-1]} <= {"0.03", "0.04", "0.05"}


async def test_spread_of_too_many_ticks_says_that_it_is_not_complete(
    tables: Market, client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instruments, "TICKS_MAX", 100)
    await tables.ticks("A", 200)
    told = await get(client, "/api/instrument/spread")
    assert not told["complete"]
    assert sum(1 for _ in told["spread"]) <= 100


async def test_book_is_the_snapshot_with_all_changes_since(tables: Market, client: aiohttp.ClientSession) -> None:
    await tables.book("A", 1, [("1.00", "9")], [("7.0", "9")], snapshot=True, ago=60)
    await tables.book("A", 5, [("2.00", "1"), ("1.90", "2")], [("3.0", "4"), ("3.1", "5")], snapshot=True, ago=30)
    await tables.book("A", 6, [("2.00", "0"), ("1.95", "7")], [], snapshot=False, ago=20)
    await tables.book("A", 7, [], [("3.0", "0.50"), ("3.2", "1")], snapshot=False, ago=20)
    told = await get(client, "/api/instrument/book")
    assert told["bids"] == [["1.95", "7"], ["1.90", "2"]]
    assert told["asks"] == [["3.0", "0.50"], ["3.1", "5"], ["3.2", "1"]]
    assert told["whole"]
    told = await get(client, "/api/instrument/book", levels=1)
    assert (told["bids"], told["asks"]) == ([["1.95", "7"]], [["3.0", "0.50"]])


async def test_book_whose_snapshot_is_too_far_back_is_not_told_as_whole(
    tables: Market, client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instruments, "BOOK_MESSAGES_MAX", 2)
    await tables.book("A", 1, [("2.0", "1")], [("3.0", "1")], snapshot=True, ago=30)
    for seq in (2, 3, 4):
        await tables.book("A", seq, [(f"1.{seq}", "1")], [], snapshot=False, ago=30 - seq)
    told = await get(client, "/api/instrument/book")
    assert not told["whole"]
    assert told["bids"] == [["1.4", "1"], ["1.3", "1"]]


async def test_instrument_without_data_has_empty_answers(tables: Market, client: aiohttp.ClientSession) -> None:
    await tables.instrument("A")
    assert (await get(client, "/api/instrument"))["periods"] == []
    assert (await get(client, "/api/instrument/candles"))["candles"] == []
    assert (await get(client, "/api/instrument/spread"))["spread"] == []
    book = await get(client, "/api/instrument/book")
    assert (book["time"], book["bids"], book["asks"]) == (None, [], [])


@pytest.mark.parametrize("path", ["", "/candles", "/spread", "/book"])
async def test_unknown_instrument_is_not_found(tables: Market, client: aiohttp.ClientSession, path: str) -> None:
    await tables.instrument("A")
    told = await get(client, f"/api/instrument{path}", 404, symbol="'; drop table trades; --")
    assert "drop table" in told["error"]
    assert await get(client, "/api/instrument")


async def test_all_that_is_wrong_with_a_request_is_named_at_once(client: aiohttp.ClientSession) -> None:
    told = await get(
        client, "/api/instrument/candles", 400, venue="", symbol="x" * 201, period="0", limit="1e3", zzz="1"
    )
    assert [fault["parameter"] for fault in told["faults"]] == ["venue", "symbol", "period", "limit", "zzz"]
    assert told["faults"][3]["remedy"] == "a whole number from 1 to 1000"


@pytest.mark.parametrize("limit", ["-1", "1001", "٣", "1.0", " 5", "99999999999999999999", "0x10"])
async def test_only_plain_numbers_within_bounds_are_taken(client: aiohttp.ClientSession, limit: str) -> None:
    told = await get(client, "/api/instrument/candles", 400, limit=limit)
    assert [fault["parameter"] for fault in told["faults"]] == ["limit"]


async def test_answer_is_kept_for_a_moment_and_only_so_many(
    tables: Market, client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instruments, "ANSWER_MAX_AGE_SECONDS", 3600.0)
    monkeypatch.setattr(instruments, "ANSWERS_KEPT_MAX", 2)
    await tables.candles("A", 1)
    assert len((await get(client, "/api/instrument/candles"))["candles"]) == 1
    await tables.candles("B", 1)
    await tables.ticks("A", 1)
    await get(client, "/api/instrument/candles", limit=7)
    await get(client, "/api/instrument/candles", limit=8)
    monkeypatch.setattr(instruments, "CANDLES_MAX", 0)  # what is kept needs no checking, what is asked anew does
    assert await get(client, "/api/instrument/candles", limit=8)
    await get(client, "/api/instrument/candles", 400)


async def test_database_that_is_away_is_an_answer_with_the_reason(tmp_path: Path) -> None:
    async with (
        watched(tmp_path, RunningClock()) as daemon,
        serving(daemon) as address,
        aiohttp.ClientSession(address) as client,
    ):
        assert "nobody answers" in (await get(client, "/api/instrument", 503))["error"]
        daemon.database.state = DatabaseState.STARTING
        assert "is starting" in (await get(client, "/api/instrument", 503))["error"]

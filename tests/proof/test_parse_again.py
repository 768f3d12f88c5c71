"""Entries of the quarantine parsed again: in the state of then, counted once, and honest where that cannot be."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest

from collector import venues
from collector.clock import SystemClock
from collector.journal import Journal, JournalOptions, Kind, read
from collector.model import Records
from collector.normalise.apply import apply
from collector.normalise.normaliser import Normaliser
from collector.proof.parse_again import Outcome, parse_again
from collector.store.batch import Batch
from collector.store.quarantine import Choice, discard, waiting, whole
from collector.store.resolver import Resolver
from collector.store.writer import Writer
from collector.venues.fmfw.parser import FmfwParser
from collector.venues.kit.ordinals import trade_key

pytestmark = pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)

T = time.time_ns() // 1_000_000 - 50
RECEIVED_NS = (T + 50) * 1_000_000
HEADER = {"venue": "fmfw", "adapter": "fmfw", "worker": "fmfw-1", "url": "ws://made/ws", "symbols": ["BTCUSDT"]}
SESSION = RECEIVED_NS // 1000 - 10
OPTIONS = JournalOptions(segment_bytes=4096, compress=False)


def trades(*prices: str) -> bytes:
    items = [{"t": T, "i": T, "p": price, "q": "2.0", "s": "buy"} for price in prices]
    return orjson.dumps({"ch": "trades", "update": {"BTCUSDT": items}})


@asynccontextmanager
async def journal(folder: Path) -> AsyncIterator[Journal]:
    made = await Journal.open(folder / "journal", OPTIONS, now_ns=SystemClock().now_ns)
    made.append(SESSION, Kind.OPEN, RECEIVED_NS, orjson.dumps(HEADER))
    yield made
    await made.flush()
    await made.close()


async def record(folder: Path, dsn: str, frames: Sequence[bytes]) -> None:
    """Journal frames, each in a segment of its own, and write what today's parser makes of them."""
    async with journal(folder) as made:
        for number, frame in enumerate(frames):
            here = made.end.segment
            made.append(SESSION, Kind.FRAME, RECEIVED_NS + number * 1000, frame)
            while made.end.segment == here:
                made.append(SESSION, Kind.BEAT, RECEIVED_NS + number * 1000 + 1, b"")
    normaliser, writer = Normaliser(venues.find), Writer(lambda: dsn, "made")
    try:
        for one in read(folder / "journal"):
            out = Records()
            apply(one, normaliser, out)
            await writer.commit(Batch(out, one.end, one.received_ns))
    finally:
        await writer.close()


async def again(folder: Path, dsn: str, choice: Choice | None = None) -> list[Outcome]:
    async def payload(number: int) -> bytes:
        return (await whole(dsn, number))[1]

    resolver = Resolver(lambda: dsn)
    try:
        return await parse_again(folder, await waiting(dsn, choice or Choice()), payload, resolver)
    finally:
        await resolver.close()


async def ask(dsn: str, query: str) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(dsn)
    try:
        return [tuple(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()


COUNTS = (
    "select table_name, sum(items)::int, sum(stored)::int, sum(duplicates)::int, sum(quarantined)::int"
    " from journal_counts group by 1 order by 1"
)


def key(ordinal: int, price: str = "100.5") -> int:
    return trade_key(f"{T * 1000}|{price}|2|1", ordinal)


def spoil(monkeypatch: pytest.MonkeyPatch, *bad: bytes) -> None:
    frame = FmfwParser.frame

    def fails(self: FmfwParser, payload: bytes, received_ns: int, out: Any) -> Any:
        if payload in bad:
            raise RuntimeError("a bug of ours")
        return frame(self, payload, received_ns, out)

    monkeypatch.setattr(FmfwParser, "frame", fails)


async def test_later_equal_trades_get_the_numbers_that_they_have_now(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = [trades("1"), trades("100.50", "7"), trades("100.50"), trades("100.50", "8")]
    with monkeypatch.context() as broken:
        spoil(broken, frames[1])
        await record(tmp_path, database, frames)
    numbered = "select trade_key from trades where price = 100.50 order by 1"
    assert await ask(database, numbered) == sorted([(key(0),), (key(1),)])
    [outcome] = await again(tmp_path, database)
    assert (outcome.result, outcome.rows, outcome.new) == ("stored", {"trades": 2}, 2)
    assert await ask(database, numbered) == sorted([(key(0),), (key(1),), (key(2),)])
    assert await ask(database, "select count(*) from trades") == [(6,)]
    assert await ask(database, COUNTS) == [("frames", 0, 0, 0, 0), ("trades", 6, 6, 0, 0)]
    assert await again(tmp_path, database) == []


async def test_bad_items_of_a_good_frame_are_counted_once(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = trades("1", "2", "3").replace(b'"p":"2","q":"2.0"', b'"p":"2","q":"two"')
    await record(tmp_path, database, [frame])
    assert await ask(database, COUNTS) == [("trades", 3, 2, 0, 1)]
    [outcome] = await again(tmp_path, database)
    assert (outcome.result, outcome.rows, outcome.new) == ("fails", {"trades": 2}, 0)
    assert await ask(database, COUNTS) == [("trades", 3, 2, 0, 1)]

    right = FmfwParser.frame
    monkeypatch.setattr(
        FmfwParser,
        "frame",
        lambda self, payload, at, out: right(self, payload.replace(b'"two"', b'"2.0"'), at, out),
    )
    [outcome] = await again(tmp_path, database)
    assert (outcome.result, outcome.rows, outcome.new) == ("stored", {"trades": 3}, 1)
    assert await ask(database, COUNTS) == [("trades", 3, 3, 0, 0)]


async def test_row_that_the_database_refused_is_written_again(database: str, tmp_path: Path) -> None:
    await ask(database, "alter table trades add constraint cheap check (price < 50)")
    await record(tmp_path, database, [trades("1", "100.50")])
    assert await ask(database, COUNTS) == [("trades", 2, 1, 0, 1)]
    [outcome] = await again(tmp_path, database)
    assert outcome.result == "fails"
    assert "the database refused the row" in str(outcome.error)
    assert await ask(database, "select count(*) from quarantine") == [(1,)]

    await ask(database, "alter table trades drop constraint cheap")
    [outcome] = await again(tmp_path, database)
    assert (outcome.result, outcome.rows, outcome.new) == ("stored", {"trades": 1}, 1)
    assert await ask(database, COUNTS) == [("trades", 2, 2, 0, 0)]
    assert await ask(database, "select price::text from trades order by price") == [("1",), ("100.50",)]


async def test_frame_whose_row_is_refused_now_leaves_that_row_waiting(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = trades("1", "100.50")
    with monkeypatch.context() as broken:
        spoil(broken, frame)
        await record(tmp_path, database, [frame])
    await ask(database, "alter table trades add constraint cheap check (price < 50)")
    [outcome] = await again(tmp_path, database)
    assert outcome.result == "fails"
    assert "the database refused the row" in str(outcome.error)
    assert await ask(database, COUNTS) == [("frames", 0, 0, 0, 0), ("trades", 2, 1, 0, 1)]
    states = "select kind, state from v_quarantine order by 1"
    assert await ask(database, states) == [("frame", "resolved"), ("row", "waiting")]
    await ask(database, "alter table trades drop constraint cheap")
    assert [one.result for one in await again(tmp_path, database)] == ["stored"]
    assert await ask(database, COUNTS) == [("frames", 0, 0, 0, 0), ("trades", 2, 2, 0, 0)]


async def test_frame_that_the_journal_lost_is_parsed_alone_where_one_session_can_have_received_it(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = [trades("1"), trades("2"), trades("3")]
    with monkeypatch.context() as broken:
        spoil(broken, frames[0])
        await record(tmp_path, database, frames)
    first, *_ = sorted((tmp_path / "journal").glob("*.seg"))
    first.unlink()
    [outcome] = await again(tmp_path, database)
    assert (outcome.result, outcome.rows, outcome.new) == ("stored", {"trades": 1}, 1)

    for path in (tmp_path / "journal").glob("*.seg"):
        path.unlink()
    await ask(database, "update quarantine set resolved_at = null")
    [outcome] = await again(tmp_path, database)
    assert outcome.result == "impossible"
    assert "the journal no longer holds it" in str(outcome.error)


async def test_entry_that_was_set_aside_meanwhile_stays_so(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = trades("1")
    with monkeypatch.context() as broken:
        spoil(broken, frame)
        await record(tmp_path, database, [frame])
    entries = await waiting(database, Choice())
    assert await discard(database, Choice(), "not wanted") == 1
    resolver = Resolver(lambda: database)

    async def nothing(_: int) -> bytes:
        raise AssertionError

    try:
        [outcome] = await parse_again(tmp_path, entries, nothing, resolver)
    finally:
        await resolver.close()
    assert outcome.result == "settled"
    assert await ask(database, "select count(*) from trades") == [(0,)]
    assert await ask(database, COUNTS) == [("frames", 1, 0, 0, 1)]

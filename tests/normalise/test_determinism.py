"""The same frames give the same rows: live, after a crash, in a replay, and in a replay of a part."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import orjson
import pytest

from collector import venues
from collector.clock import SystemClock
from collector.journal import Journal, JournalOptions, Kind, Position, read
from collector.model import Candle, Instrument, Records
from collector.normalise.apply import apply
from collector.normalise.entries import Answer, Started, encode_note
from collector.normalise.normaliser import Normaliser
from collector.proof.replay import replay
from collector.recording.changes import TableChanges
from collector.recording.intake import JournalledIntake
from collector.recording.recorder import Recorder
from collector.recording.statistics import Statistics
from collector.store.batch import Batch
from collector.store.writer import Writer
from collector.venues.kit.ordinals import COUNTED, trade_key
from collector.venues.rest import RestAnswer, RestCall
from tests.databases import DatabaseServer
from tests.kit.headers import session_header
from tests.kit.running import PATIENCE_SECONDS
from tests.kit.stage import Stage, live, stage, until

pytestmark = pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)

LEFT_OUT = [
    *("instrument_id", "venue_id", "gap_id", "quarantine_id"),  # numbers that each database gives
    *("found_at", "first_seen", "segment", "byte_offset", "journal"),  # when, with which batch, by whom it was written
    *("tries", "trouble", "tried_at", "filled_to"),  # how a repair got on; what came of it is journalled
]
OF_INSTRUMENT = ("trades", "ticks", "books", "candles", "derivatives", "gaps")
OF_VENUE = ("rates", "sessions", "quarantine", "instruments")
NAMED = "(to_jsonb(t) - $1::text[])::text"
OUR_OWN = ("journal_position", "journal_counts")
Content = dict[str, list[str]]


async def content(dsn: str) -> Content:
    """Every row of every table as text, with symbols instead of numbers."""
    connection = await asyncpg.connect(dsn)
    try:
        found: Content = {}
        for table in OF_INSTRUMENT:
            found[table] = await column(
                connection,
                f"select v.code || ' ' || i.symbol || ' ' || {NAMED} from {table} t"
                " join instruments i using (instrument_id) join venues v on v.venue_id = i.venue_id order by 1",
                LEFT_OUT,
            )
        for table in OF_VENUE:
            found[table] = await column(
                connection,
                f"select v.code || ' ' || {NAMED} from {table} t join venues v using (venue_id) order by 1",
                LEFT_OUT,
            )
        return found
    finally:
        await connection.close()


async def column(connection: asyncpg.Connection, query: str, *parameters: object) -> list[str]:
    return [row[0] for row in await connection.fetch(query, *parameters)]


async def own_content(dsn: str) -> list[str]:
    connection = await asyncpg.connect(dsn)
    try:
        return [
            row for table in OUR_OWN for row in await column(connection, f"select t::text from {table} t order by 1")
        ]
    finally:
        await connection.close()


def differences(one: Content, other: Content) -> dict[str, list[str]]:
    """What is in one and not in the other, a few of each table."""
    return {table: sorted(set(one[table]) ^ set(other[table]))[:6] for table in one if one[table] != other[table]}


async def replayed(journal: Path, dsn: str, start: Position | None = None) -> None:
    writer = Writer(lambda: dsn, None)
    try:
        done = await replay(journal, writer, start=start)
        assert done.damages == []
        assert done.frames > 0
    finally:
        await writer.close()


async def record(on: Stage) -> None:
    """Fill a journal and its tables: three runs, one killed, one always behind; cut lines, lost numbers, bad frames."""
    on.config.write_text(on.config.read_text() + "\n[journal]\nsegment_mb = 1\n")
    await run(on)
    async with on.process() as process:
        before = await on.rows("trades")
        end = time.monotonic() + PATIENCE_SECONDS
        while await on.rows("trades") < before + 300:
            assert time.monotonic() < end
            await asyncio.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        await process.wait()
    on.venue.hub.time_ids = False
    await run(on, queue_bytes=2000)


async def run(on: Stage, queue_bytes: int | None = None) -> None:
    """One run; with a tiny queue it falls behind and catches up all the time."""
    async with on.daemon() as daemon:
        if queue_bytes is not None:
            await until(lambda: daemon.intake.live, "the former run's rest committed")
            daemon.intake.queue.most_bytes = queue_bytes
            await until(lambda: not daemon.intake.live, "a full queue")
        await until(lambda: live(daemon) and daemon.statistics.total.stored > 2000, "2,000 rows")
        for fault in ("garbage", "nan_price", "long_numbers", "unknown_symbol"):
            on.venue.fault(fault, channel="trades")
        on.venue.fault("skip_sequence", symbol="BTCUSDT")
        on.venue.fault("repeat_trades", count=5)
        on.venue.fault("cut")
        (feed,) = daemon.workers["fmfw"].worker.connections.values()
        await until(lambda: feed.reconnects == 1 and feed.state == "live", "a new line")
        on.venue.fault("skip_sequence", symbol="ETHBTC")
        stored = daemon.statistics.total.stored
        await until(lambda: daemon.statistics.total.stored > stored + 1000, "1,000 rows more")


async def test_replay_gives_the_rows_of_the_live_run(
    database: str, database_server: DatabaseServer, tmp_path: Path
) -> None:
    async with stage(database, tmp_path, rate=800, ids="time") as on:
        await record(on)
        await on.counts_add_up()
    journal = tmp_path / "data" / "journal"
    before, own = await content(database), await own_content(database)
    assert all(before[table] for table in (*OF_INSTRUMENT, *OF_VENUE))
    async with database_server.database() as second:
        await replayed(journal, second)
        assert differences(before, await content(second)) == {}
        await replayed(journal, second)
        assert differences(before, await content(second)) == {}
        assert await own_content(second) == []
    places = [record.position for record in read(journal) if record.kind is Kind.FRAME]
    assert len({place.segment for place in places}) > 3
    for start in (None, places[len(places) // 3], places[2 * len(places) // 3]):
        await replayed(journal, database, start)
        assert differences(before, await content(database)) == {}
        assert await own_content(database) == own


BITCOIN = Instrument("fmfw", "BTCUSDT")
BAR = Candle(BITCOIN, 1_633_806_840_000_000, 60, "trade", "1", "2", "3", "4", "5", None, None, True, 1_000_000)


@pytest.mark.parametrize(
    "states",
    [
        pytest.param(
            [
                BAR._replace(close="7", closed=False),
                BAR._replace(received_us=2_000_000),
                BAR._replace(received_us=3_000_000),
                BAR._replace(received_us=4_000_000),
            ],
            id="the same again",
        ),
        pytest.param(
            [BAR._replace(received_us=2_000_000), BAR._replace(received_us=3_000_000, closed=False)], id="open again"
        ),
        pytest.param(
            [BAR._replace(received_us=2_000_000), BAR._replace(received_us=1_999_999, close="6", closed=False)],
            id="received earlier",
        ),
        pytest.param(
            [BAR._replace(received_us=2_000_000), BAR._replace(received_us=3_000_000, close="4.0")], id="other digits"
        ),
    ],
)
async def test_bar_that_is_told_again_is_the_same_row_wherever_the_batches_were_cut(
    database: str, database_server: DatabaseServer, states: list[Candle]
) -> None:
    async with database_server.database() as second:
        await commit(database, states)
        for state in states:
            await commit(second, [state])
        assert differences(await content(database), await content(second)) == {}
        (row,) = (await content(second))["candles"]
        assert "1970-01-01T00:00:02" in row
        assert '"closed": true' in row


async def commit(dsn: str, states: list[Candle]) -> None:
    writer, out = Writer(lambda: dsn, None), Records()
    out.candles += states
    out.items = len(states)
    try:
        await writer.commit(Batch(out, Position(1, 1), 1))
    finally:
        await writer.close()


# -- a made journal: two equal trades, and a crash between them ------------------------------------------------------

T = 1_633_806_840_123
HEADER = {"venue": "fmfw", "adapter": "fmfw", "worker": "fmfw-1", "url": "ws://made/ws", "symbols": ["BTCUSDT"]}
TRADE = {"t": T, "i": T, "p": "100.50", "q": "2.0", "s": "buy"}
FRAME = orjson.dumps({"ch": "trades", "update": {"BTCUSDT": [TRADE]}})
RECEIVED_NS = (T + 50) * 1_000_000
SESSION = 77
SMALL = JournalOptions(segment_bytes=4096, compress=False)


def new_normaliser() -> Normaliser:
    return Normaliser(venues.find)


@asynccontextmanager
async def made(folder: Path) -> AsyncIterator[Journal]:
    journal = await Journal.open(folder / "journal", SMALL, now_ns=SystemClock().now_ns)
    journal.append(0, Kind.NOTE, RECEIVED_NS, encode_note(Started()))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(journal.run())
        yield journal
        await journal.flush()
        running.cancel()
    await journal.close()


@pytest.mark.parametrize("roll", [False, True], ids=["one segment", "two segments"])
@pytest.mark.parametrize("forward", [True, False], ids=["recovered", "replayed"])
async def test_second_of_two_equal_trades_keeps_its_ordinal_when_reading_begins_between_them(
    database: str, tmp_path: Path, roll: bool, forward: bool
) -> None:
    async with made(tmp_path) as journal:
        journal.append(SESSION, Kind.OPEN, RECEIVED_NS, orjson.dumps(HEADER))
        journal.append(SESSION, Kind.FRAME, RECEIVED_NS, FRAME)
        between = journal.end
        while roll and journal.end.segment == between.segment:
            journal.append(SESSION, Kind.BEAT, RECEIVED_NS, b"")
        journal.append(SESSION, Kind.FRAME, RECEIVED_NS + 1, FRAME)
    writer = Writer(lambda: database, "made")
    try:
        await writer.commit(Batch(first_rows(tmp_path, between), between, RECEIVED_NS))
        assert await keys(database) == [key(0)]
        if forward:
            await recover(tmp_path, writer)
        else:
            start = next(place for place in frames(tmp_path) if place >= between)
            await replayed(tmp_path / "journal", database, start)
        assert await keys(database) == sorted([key(0), key(1)])
    finally:
        await writer.close()


async def test_page_in_the_middle_of_a_paging_has_its_keys_wherever_reading_begins(
    database: str, tmp_path: Path
) -> None:
    content = f"{T * 1000}|100.5|2|1"
    item = {"timestamp": T, "price": "100.50", "qty": "2.0", "side": "buy"}
    places = []
    async with made(tmp_path) as journal:
        intake = JournalledIntake(journal, new_normaliser(), SystemClock(), batch_rows=1000, queue_bytes=1 << 20)
        session = intake.open(session_header({**HEADER, "symbols": None}))
        for number in range(3):
            places.append(journal.end)
            call = RestCall("rest:trades", "", {"by": "id"}, notes={COUNTED: orjson.dumps({content: number}).decode()})
            body = orjson.dumps({"BTCUSDT": [{"id": 1000 + number, **item}]})
            session.rest(call, RestAnswer(200, {}, body, RECEIVED_NS + number))
            while journal.end.segment < places[-1].segment + 2:  # beyond what a reader looks back at
                session.beat(RECEIVED_NS)
    requests = [Answer.decode(record.payload)[0] for record in read(tmp_path / "journal") if record.kind is Kind.REST]
    assert [request["params"]["by"] for request in requests] == ["id"] * 3
    await replayed(tmp_path / "journal", database, places[2])
    assert await keys(database) == [key(2)]
    await replayed(tmp_path / "journal", database, places[1])
    assert await keys(database) == sorted([key(1), key(2)])


def first_rows(folder: Path, end: Position) -> Records:
    out, of = Records(), new_normaliser()
    for record in read(folder / "journal", None, end):
        apply(record, of, out)
    assert len(out.trades) == 1
    return out


def frames(folder: Path) -> list[Position]:
    return [record.position for record in read(folder / "journal") if record.kind is Kind.FRAME]


async def recover(folder: Path, writer: Writer) -> None:
    """What a daemon does after a kill, without its feeds."""
    clock = SystemClock()
    async with made(folder) as journal:
        intake = JournalledIntake(journal, new_normaliser(), clock, batch_rows=1000, queue_bytes=1 << 20)
        recorder = Recorder(
            journal,
            intake,
            writer,
            new_normaliser,
            Statistics(),
            TableChanges(),
            clock,
            batch_rows=1000,
            flush_seconds=0.05,
            rename=lambda: None,
        )
        async with asyncio.TaskGroup() as group, asyncio.timeout(20):
            task = group.create_task(recorder.run())
            await until(lambda: intake.live and intake.settled, "a journal worked off", 10)
            recorder.drain()
            await task
        assert recorder.damages == 0


async def keys(dsn: str) -> list[int]:
    connection = await asyncpg.connect(dsn)
    try:
        return [row[0] for row in await connection.fetch("select trade_key from trades order by 1")]
    finally:
        await connection.close()


def key(ordinal: int) -> int:
    return trade_key(f"{T * 1000}|100.5|2|1", ordinal)

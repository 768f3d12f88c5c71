"""The whole daemon between the simulated FMex and a real database."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from collector import simulator
from collector.backoff import Backoff
from collector.daemon.daemon import Daemon
from collector.feed import rest as rest_module
from collector.feed.connection import ConnectionFeed
from tests.kit.stage import Stage, all_equal, live, until

pytestmark = pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)

TABLES = {"trades", "ticks", "books", "candles", "derivatives", "rates"}


class FmexStage(Stage):
    """One simulated FMex and a folder; daemons are started on it one after another."""

    name = "fmex"

    def __init__(self, venue: Any, folder: Path, dsn: str, http: aiohttp.ClientSession, extra: str) -> None:
        super().__init__(venue, folder, dsn, http, "")
        self.config.write_text(
            f"""
            data_dir = "{folder / "data"}"
            [database]
            dsn = "{dsn}"
            [http]
            listen = "127.0.0.1:0"
            {venue.config}
            messages_per_second = 50
            indexes_seconds = 2
            {extra}
            """
        )


@asynccontextmanager
async def fmex(
    dsn: str, folder: Path, *, rate: float = 200.0, extra: str = "", **settings: object
) -> AsyncIterator[FmexStage]:
    """Serve a simulated FMex; `settings` are its own switches, `extra` more lines of `[venues.fmex]`."""
    async with (
        simulator.serve(["fmex"], seed=7, rate=rate, settings={"fmex": settings}) as running,
        aiohttp.ClientSession() as http,
    ):
        yield FmexStage(running["fmex"], folder, dsn, http, extra)


async def test_tables_equal_what_was_sent(database: str, tmp_path: Path) -> None:
    extra = 'candles = ["1m", "1h", "1d", "1mo"]'
    async with fmex(database, tmp_path, extra=extra) as on, on.daemon() as daemon:
        await until(lambda: live(daemon) and daemon.statistics.total.stored > 1500, "1,500 rows")
        verdicts = await on.compare(daemon)
        assert {verdict.table for verdict in verdicts} == TABLES
        assert all_equal(verdicts)
        assert daemon.statistics.total.quarantined == 0
        await on.counts_add_up()


async def recording(daemon: Daemon, rows: int = 300) -> None:
    """Wait until every subscription is proved and so many more rows are stored."""
    before = daemon.statistics.total.stored
    await until(
        lambda: live(daemon) and proved(daemon) and daemon.statistics.total.stored >= before + rows,
        f"live and {rows} rows",
    )


def socket_of(daemon: Daemon) -> ConnectionFeed:
    found = daemon.workers["fmex"].worker.connections["fmex-1"]
    assert isinstance(found, ConnectionFeed)
    return found


def proved(daemon: Daemon) -> bool:
    living = socket_of(daemon).living
    return living is not None and living.conversation.proved


async def gaps(on: FmexStage) -> list[tuple[str, str, str, bool]]:
    rows = await on.query(
        "select distinct symbol, stream, cause, to_time is not null from gaps join instruments using (instrument_id)"
        " where cause <> 'starting'"
        " order by 1, 2, 3, 4"
    )
    return [tuple(row) for row in rows]


async def books_connect(on: FmexStage, symbol: str = "btcusd_p") -> None:
    """Make the book from the rows, as an analyst would, and compare it with the venue's."""
    rows = await on.query(
        "select snapshot, ask_prices, ask_sizes, bid_prices, bid_sizes from v_books"
        " where venue = 'fmex' and symbol = $1 order by received_at, seq, snapshot desc",
        symbol,
    )
    asks: dict[Decimal, Decimal] = {}
    bids: dict[Decimal, Decimal] = {}
    for snapshot, *sides in rows:
        if snapshot:
            asks, bids = {}, {}
        for side, prices, sizes in ((asks, sides[0], sides[1]), (bids, sides[2], sides[3])):
            for price, size in zip(prices, sizes, strict=True):
                if size:
                    side[price] = size
                else:
                    side.pop(price, None)
    truth = (await on.ledger.ask("ledger", symbol=symbol))["books"]["l150"]
    assert asks == {Decimal(price): Decimal(size) for price, size in truth["asks"]}
    assert bids == {Decimal(price): Decimal(size) for price, size in truth["bids"]}


async def test_books_made_from_the_rows_equal_the_venues(database: str, tmp_path: Path) -> None:
    async with fmex(database, tmp_path) as on, on.daemon() as daemon:
        await recording(daemon)
        on.venue.fault("whole_in_the_middle")
        on.venue.fault("zero_in_whole")
        await recording(daemon)
        assert all_equal(await on.compare(daemon, "books"))
        await books_connect(on)


@pytest.mark.parametrize("fault", ["skip_delta", "broken_pre_seq", "crossed_delta"])
async def test_a_book_that_broke_is_taken_anew_it_alone(database: str, tmp_path: Path, fault: str) -> None:
    async with fmex(database, tmp_path) as on, on.daemon() as daemon:
        await recording(daemon)
        on.venue.fault(fault, symbol="btcusd_p")
        await until(lambda: not proved(daemon), "a book that is taken anew")
        await recording(daemon)
        verdicts = await on.compare(daemon)
        [books] = [one for one in verdicts if one.table == "books"]
        assert books.surplus == 0
        assert all_equal([one for one in verdicts if one.table != "books"])
        cause = "book crossed" if fault == "crossed_delta" else "sequence lost"
        assert await gaps(on) == [("btcusd_p", "books", cause, True)]
        assert socket_of(daemon).reconnects == 0
        await books_connect(on)
        await books_connect(on, "ethusd_p")
        await on.counts_add_up()


async def test_old_changes_and_repeated_trades_change_nothing(database: str, tmp_path: Path) -> None:
    async with fmex(database, tmp_path) as on, on.daemon() as daemon:
        await recording(daemon)
        on.venue.fault("old_delta", count=3)
        on.venue.fault("repeat_trade", count=20)
        await recording(daemon)
        assert all_equal(await on.compare(daemon))
        assert await gaps(on) == []
        await on.counts_add_up()


async def test_trades_and_bars_of_an_outage_come_with_the_next_connection(database: str, tmp_path: Path) -> None:
    async with fmex(database, tmp_path) as on, on.daemon() as daemon:
        await recording(daemon)
        on.venue.fault("refuse_connections", count=2)
        on.venue.fault("cut")
        await until(lambda: socket_of(daemon).reconnects >= 3, "three tries")
        await recording(daemon)
        verdicts = await on.compare(daemon)
        # Quotes that had come and were not read yet are lost with the line: they lie in its gap.
        assert all_equal([verdict for verdict in verdicts if verdict.table in ("trades", "candles")])
        assert [verdict for verdict in verdicts if verdict.surplus] == []
        market = on.venue.markets["btcusd_p"]
        [(stored,)] = await on.query("select count(*) from v_trades where symbol = 'btcusd_p'")
        assert stored == market.end - min(on.venue.ledger.trades["btcusd_p"])
        found = await gaps(on)
        assert {gap[1:3] for gap in found} == {
            (stream, "disconnect") for stream in ("trades", "ticks", "books", "candles")
        }
        assert all(ended for *_, ended in found)


async def test_an_outage_that_nothing_bridges_is_repaired_from_history(database: str, tmp_path: Path) -> None:
    extra = "snapshot = 0\nhistory_page = 50"
    async with fmex(database, tmp_path, extra=extra, rate=300) as on, on.daemon() as daemon:
        await recording(daemon)
        on.venue.fault("refuse_connections", count=2)
        on.venue.fault("cut")
        await until(lambda: socket_of(daemon).reconnects >= 3, "three tries")
        await recording(daemon)
        states = "select distinct stream, state from gaps where cause <> 'starting' order by 1"
        expected = [
            ("books", "unrecoverable"),
            ("candles", "repaired"),
            ("ticks", "unrecoverable"),
            ("trades", "repaired"),
        ]
        end = time.monotonic() + 20
        while await on.query(states) != expected:
            assert time.monotonic() < end, await on.query(states)
            await asyncio.sleep(0.1)
        assert all_equal(await on.compare(daemon, "trades", "candles"))
        market = on.venue.markets["btcusd_p"]
        [(stored,)] = await on.query("select count(*) from v_trades where symbol = 'btcusd_p'")
        assert stored == market.end - min(on.venue.ledger.trades["btcusd_p"])


async def test_a_line_that_falls_silent_is_made_anew(database: str, tmp_path: Path) -> None:
    extra = "ping_seconds = 1\npong_seconds = 2"
    async with fmex(database, tmp_path, extra=extra) as on, on.daemon() as daemon:
        await recording(daemon)
        on.venue.fault("silence")
        await until(lambda: socket_of(daemon).reconnects == 1, "a new connection")
        await recording(daemon)
        verdicts = await on.compare(daemon)
        # What was being written into the silent line is the venue's word only; trades and bars were asked for again.
        assert all_equal([one for one in verdicts if one.table in ("trades", "candles")])
        reasons = await on.query("select reason from sessions where worker = 'fmex-1' and closed_at is not null")
        assert reasons == [("a ping was not answered within 2 s",)]


async def test_bad_frames_are_quarantined_and_nothing_else_is_touched(database: str, tmp_path: Path) -> None:
    frames = (
        "garbage",
        "truncated",
        "wrong_types",
        "unknown_type",
        "nan_price",
        "negative_amount",
        "year_9999",
        "unknown_symbol",
        "odd_list",
    )
    async with fmex(database, tmp_path) as on, on.daemon() as daemon:
        await recording(daemon)
        for fault in frames:
            assert on.venue.fault(fault)["hit"] == 1
        await recording(daemon)
        assert all_equal(await on.compare(daemon))
        assert await on.rows("quarantine") == len(frames)
        assert await gaps(on) == []
        await on.counts_add_up()


async def test_a_topic_that_is_refused_is_told_once_and_the_rest_goes_on(database: str, tmp_path: Path) -> None:
    async with fmex(database, tmp_path) as on:
        on.venue.fault("refuse_topic", symbol="ethusd_p")
        with capture_logs() as logs:
            async with on.daemon() as daemon:
                await recording(daemon)
                states = {(status.symbol, str(status.state)) for status in socket_of(daemon).statuses()}
                assert ("ethusd_p", "refused") in states
                assert ("ethusd_p", "flowing") not in states
                assert ("btcusd_p", "refused") not in states
                assert all_equal(await on.compare(daemon))
        told = Counter(
            (entry["channel"], entry["symbol"]) for entry in logs if entry["event"] == "subscription_refused"
        )
        assert told
        assert set(told.values()) == {1}


async def test_a_rate_limit_is_waited_out(database: str, tmp_path: Path) -> None:
    async with fmex(database, tmp_path) as on:
        on.venue.fault("429", count=2)
        async with on.daemon() as daemon:
            await recording(daemon)
            assert all_equal(await on.compare(daemon))
        assert on.venue.window.refused == 0


async def test_late_answers_and_the_case_of_the_request_are_fine(database: str, tmp_path: Path) -> None:
    async with fmex(database, tmp_path, case="echo", topics="command") as on:
        on.venue.fault("late_answers", count=30, delay=0.3)
        async with on.daemon() as daemon:
            await recording(daemon)
            assert all_equal(await on.compare(daemon))
            assert daemon.statistics.total.quarantined == 0


async def test_trades_whose_ids_change_are_one_row_each(database: str, tmp_path: Path) -> None:
    async with fmex(database, tmp_path, rate=500) as on, on.daemon() as daemon:
        await recording(daemon, 1000)
        on.venue.fault("changed_id")
        on.venue.fault("cut")
        await until(lambda: socket_of(daemon).reconnects == 1, "a new connection")
        await recording(daemon)
        assert all_equal(await on.compare(daemon, "trades"))


@pytest.mark.parametrize("setting", ['books = "L20"', 'books = "L150"', 'books = "delta/L20"'])
async def test_books_of_every_kind_equal_what_was_sent(database: str, tmp_path: Path, setting: str) -> None:
    extra = f'{setting}\nindex_topics = [".btcusd_spot"]'
    async with fmex(database, tmp_path, extra=extra) as on, on.daemon() as daemon:
        await recording(daemon)
        verdicts = await on.compare(daemon)
        assert {verdict.table for verdict in verdicts} == TABLES
        assert all_equal(verdicts)


@pytest.mark.parametrize(
    ("gone", "reason"),
    [
        ('rest_url = "http://127.0.0.1:1"', "cannot be reached"),
        ("404", "HTTP status 404 with a body that is no answer of the venue's; is rest_url right?"),
        ("html", "HTTP status 200 with a body that is no answer of the venue's; is rest_url right?"),
        ("530", "HTTP status 530 with a body that is no answer of the venue's; is rest_url right?"),
    ],
)
async def test_a_closed_venue_is_one_warning_and_a_red_light(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: str, reason: str
) -> None:
    monkeypatch.setattr(rest_module, "ATTEMPTS_MAX", 2)
    async with fmex(database, tmp_path) as on:
        if gone.startswith("rest_url"):
            text = on.config.read_text()
            on.config.write_text(text.replace(f'rest_url = "{on.venue.address["rest_url"]}"', gone))
        elif gone == "html":
            on.venue.fault("html")
        else:
            on.venue.fault("5xx", status=int(gone))
        with capture_logs() as logs:
            async with on.daemon() as daemon:
                worker = daemon.workers["fmex"].worker
                worker._backoff = Backoff(Random(1), first=0.05, longest=0.05)
                await until(lambda: reason in worker.reason, "a worker that has found it closed")
                await asyncio.sleep(2.5 if gone not in ("404", "html") else 0.2)  # several tries more
                assert reason in worker.reason
                async with aiohttp.ClientSession() as http, http.get(f"{daemon.http_address}/readyz") as light:
                    assert light.status == 503
                    assert reason in await light.text()
        told = [entry for entry in logs if entry["log_level"] == "warning"]
        assert [entry["event"] for entry in told] == ["discovery_failed"]
        assert reason in told[0]["reason"]
        assert sum(entry["log_level"] == "info" and entry["event"] == "rest_failed" for entry in logs) == 1

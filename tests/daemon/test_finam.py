"""The whole daemon between a simulated Finam and a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from collector import simulator
from collector.check import Finding, check
from collector.config import load
from collector.daemon.daemon import Daemon
from collector.demo.compare import Ledger
from collector.venues.finam import conversation
from tests.kit.stage import Stage, all_equal, live, until

pytestmark = pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)

UNEXPECTED = "cause not in ('starting', 'stopped', 'killed')"
QUICK = "rest_per_minute = 3000\nshortest_seconds = 0.05\n"


class FinamStage(Stage):
    """One simulated Finam, with the configuration that it writes itself."""

    name = "finam"

    def __init__(self, venue: Any, folder: Path, dsn: str, http: aiohttp.ClientSession, extra: str) -> None:
        self.venue = venue
        self.folder = folder
        self.dsn = dsn
        self.ledger = Ledger(http, venue.address["rest_url"])
        self.config = folder / "collector.toml"
        head = f'data_dir = "{folder / "data"}"\n[database]\ndsn = "{dsn}"\n[http]\nlisten = "127.0.0.1:0"\n'
        self.config.write_text(head + venue.config + extra)


@asynccontextmanager
async def stage(
    dsn: str, folder: Path, *, rate: float = 200.0, extra: str = QUICK, symbols: int | None = None, **settings: object
) -> AsyncIterator[FinamStage]:
    """Serve a simulated Finam with a generous quota; `extra`: more lines of `[venues.finam]`."""
    async with (
        simulator.serve(
            ["finam"], seed=5, rate=rate, symbols=symbols, settings={"finam": {"quota": 100_000, **settings}}
        ) as running,
        aiohttp.ClientSession() as http,
    ):
        yield FinamStage(running["finam"], folder, dsn, http, extra)


def ready(daemon: Daemon, rows: int) -> bool:
    return live(daemon) and daemon.statistics.total.stored > rows


@pytest.mark.parametrize("transport", ["poll", "stream"])
async def test_tables_equal_what_was_answered_and_sent(database: str, tmp_path: Path, transport: str) -> None:
    extra = QUICK + f'transport = "{transport}"'
    # Lists so long that a poll which comes late on a busy machine misses nothing.
    async with stage(database, tmp_path, extra=extra, trades_kept=500) as on, on.daemon() as daemon:
        await until(lambda: ready(daemon, 3000), "3,000 rows")
        verdicts = await on.compare(daemon)
        assert {verdict.table for verdict in verdicts} == {"trades", "ticks", "books", "candles"}
        assert all_equal(verdicts)
        assert daemon.statistics.total.quarantined == 0
        assert await on.query(f"select count(*) from gaps where {UNEXPECTED}") == [(0,)]


async def test_every_trade_of_the_market_is_stored(database: str, tmp_path: Path) -> None:
    # Lists so long that a poll which comes late on a busy machine misses nothing.
    async with stage(database, tmp_path, history_events=0, trades_kept=5000) as on, on.daemon() as daemon:
        await until(lambda: ready(daemon, 2000), "2,000 rows")
        on.venue.pause()
        truth = sum(len(market.trades) for market in on.venue.exchange.markets.values())
        await until(lambda: sum(map(len, on.venue.ledger.trades.values())) == truth, "a last poll of each symbol")
        assert all_equal(await on.compare(daemon, "trades"))
        assert await on.rows("trades") == truth


async def test_instruments_tell_steps_rights_and_hours(database: str, tmp_path: Path) -> None:
    async with stage(database, tmp_path) as on, on.daemon() as daemon:
        wanted = "select count(*) from instruments where details ? 'params' and details ? 'schedule'"
        await until(lambda: ready(daemon, 500), "rows")
        for _ in range(200):
            if await on.query(wanted) == [(8,)]:
                break
            await on.ledger.ask("state")
        [row] = await on.query(
            "select kind, price_step::text, size_step::text, quote, details ->> 'delay_minutes', "
            "details -> 'exchange' ->> 'mic', details -> 'params' ? 'account_id' "
            "from instruments where symbol = 'UNAC@MISX'"
        )
        assert row == ("equity", "0.0001", "1000.0", "RUB", "0", "MISX", False)
        delayed = await on.query("select symbol from instruments where (details ->> 'delay_minutes')::int > 0")
        assert delayed == [("AAPL@XNGS",)]
        shown = [
            status
            for one in daemon.workers.values()
            for feed in one.worker.connections.values()
            for status in feed.statuses()
            if status.symbol == "AAPL@XNGS"
        ]
        assert all("delayed by 15 min" in status.reason for status in shown)


async def test_burst_beyond_the_list_is_a_gap_and_other_symbols_lose_nothing(database: str, tmp_path: Path) -> None:
    async with stage(database, tmp_path, rate=40) as on, on.daemon() as daemon:
        await until(lambda: ready(daemon, 800), "rows")
        await on.ledger.tell("faults", {"fault": "burst", "symbol": "GAZP@MISX", "count": 200})
        while not await on.query("select 1 from gaps where cause = 'latest trades did not reach back'"):
            await on.ledger.ask("state")
        assert all_equal(await on.compare(daemon))
        lost = await on.query(
            "select distinct i.symbol from gaps join instruments i using (instrument_id) "
            "where cause = 'latest trades did not reach back'"
        )
        assert lost == [("GAZP@MISX",)]


async def test_secrets_and_tokens_are_neither_in_the_journal_nor_in_the_tables(database: str, tmp_path: Path) -> None:
    async with stage(database, tmp_path, extra=QUICK + 'transport = "stream"') as on, on.daemon() as daemon:
        await until(lambda: ready(daemon, 500), "rows")
        assert all_equal(await on.compare(daemon))
        told = repr(daemon.config) + "".join(
            repr(feed.plan) + repr(feed) for one in daemon.workers.values() for feed in one.worker.connections.values()
        )
    written = b"".join(path.read_bytes() for path in (tmp_path / "data" / "journal").glob("*.seg"))
    assert b"SBER@MISX" in written
    for secret in ("tapi_sk_", "tapi_ak_"):
        assert secret.encode() not in written
        assert secret not in told
        assert await on.query("select count(*) from sessions where url like $1", f"%{secret}%") == [(0,)]


async def test_check_tells_what_period_each_symbol_gets(database: str, tmp_path: Path) -> None:
    async with stage(database, tmp_path, extra='priorities = { "SBER@MISX" = 3 }', symbols=3) as on:
        findings = await checked(on)
    plan = [finding.text for finding in findings if finding.subject == "venues.finam.plan"]
    assert any("trades every 1 s: SBER@MISX" in text for text in plan), plan
    assert any("books every 1.67 s: GAZP@MISX, SiZ6@RTSX" in text for text in plan), plan
    assert any("1m every 60.0 s" in text for text in plan), plan


async def test_wrong_secret_is_one_clear_line(database: str, tmp_path: Path) -> None:
    async with stage(database, tmp_path) as on:
        on.config.write_text(on.config.read_text().replace("tapi_sk_simulated", "tapi_sk_other"))
        [finding] = [one for one in await checked(on) if one.subject == "venues.finam.secret"]
    assert finding.verdict == "failure"
    assert "finam: the secret is not accepted (secret is not valid); correct secret in [venues.finam]" in finding.text
    assert "tapi_sk_other" not in finding.text


async def checked(on: FinamStage) -> list[Finding]:
    return [finding async for finding in check(load(on.config, {}))]


# -- faults ---------------------------------------------------------------------------------------------------------

POLLED: list[dict[str, Any]] = [
    {"fault": "expire"},
    {"fault": "401", "count": 5},
    {"fault": "429", "method": "LatestTrades", "count": 3},
    {"fault": "5xx", "count": 6},
    {"fault": "envoy", "count": 3},
    {"fault": "garbage", "method": "OrderBook"},
    {"fault": "hang_up", "count": 3},
    {"fault": "empty_bars", "count": 4},
    {"fault": "crossed_book", "count": 2},
    {"fault": "403", "symbol": "GAZP@MISX", "method": "OrderBook", "count": 1},
    {"fault": "404", "symbol": "GAZP@MISX", "count": 1},
]


async def test_polling_survives_every_fault_and_nothing_else_is_disturbed(database: str, tmp_path: Path) -> None:
    async with stage(database, tmp_path, rate=25) as on, on.daemon() as daemon:
        await until(lambda: ready(daemon, 800), "rows")
        for fault in POLLED:
            before = daemon.statistics.total.stored
            await on.ledger.tell("faults", fault)
            await until(lambda: daemon.statistics.total.stored > before + 40, f"rows after {fault}")  # noqa: B023
        [feed] = daemon.workers["finam"].worker.connections.values()

        def refused() -> list[str]:
            return [one.symbol for one in feed.statuses() if one.state == "refused"]

        await until(lambda: len(refused()) == 2, "two refusals")
        verdicts = await on.compare(daemon)
        assert all_equal(verdicts)
        await on.counts_add_up()
        assert await on.query("select error ~ 'OrderBook' from quarantine") == [(True,)]
        # A method that was out of order for long told so; what has a past lost nothing.
        gaps = await on.query(f"select distinct stream, cause from gaps where {UNEXPECTED}")
        assert set(gaps) <= {("ticks", "not answered in time"), ("books", "not answered in time")}
        assert set(refused()) == {"GAZP@MISX"}


async def test_socket_that_is_cut_is_back_and_its_hole_is_a_gap_with_the_trades_fetched(
    database: str, tmp_path: Path
) -> None:
    async with stage(database, tmp_path, rate=60, extra=QUICK + 'transport = "stream"') as on, on.daemon() as daemon:
        await until(lambda: ready(daemon, 1000), "rows")
        for fault in ("cut", "ws_error", "ws_garbage", "repeat_trade"):
            before = daemon.statistics.total.stored
            await on.ledger.tell("faults", {"fault": fault})
            await until(lambda: ready(daemon, before + 100), f"rows after {fault}")  # noqa: B023
        feed = daemon.workers["finam"].worker.connections["finam-1"]
        assert feed.reconnects == 2
        # What the venue sends behind the error that ends the line is lost with it: a gap of what has no past.
        assert all_equal(await on.compare(daemon, "trades", "candles"))
        others = await on.compare(daemon, "ticks", "books")
        assert all(verdict.surplus == 0 and verdict.missing < 50 for verdict in others), others
        quarantined = await on.query("select stream, count(*) from quarantine group by 1")
        assert sum(count for _, count in quarantined) == 1
        [(gaps,)] = await on.query("select count(*) from gaps where cause = 'disconnect' and stream = 'trades'")
        assert gaps >= 8


async def test_book_that_lost_a_change_is_taken_anew_once_it_crosses(database: str, tmp_path: Path) -> None:
    async with stage(database, tmp_path, rate=100, extra=QUICK + 'transport = "stream"') as on, on.daemon() as daemon:
        await until(lambda: ready(daemon, 500), "rows")
        await on.ledger.tell("faults", {"fault": "lose_book", "symbol": "SBER@MISX", "count": 400})
        while not await on.query("select 1 from gaps where cause = 'book crossed' and to_time is not null"):
            await on.ledger.ask("state")
        lost = await on.query(
            "select distinct i.symbol from gaps join instruments i using (instrument_id) where cause = 'book crossed'"
        )
        assert lost == [("SBER@MISX",)]
        assert all_equal(await on.compare(daemon))


async def test_frozen_socket_is_given_up_and_made_anew(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "NO_DATA_TIMEOUT_SECONDS", 2.0)
    async with stage(database, tmp_path, rate=60, extra=QUICK + 'transport = "stream"') as on, on.daemon() as daemon:
        await until(lambda: ready(daemon, 500), "rows")
        await on.ledger.tell("faults", {"fault": "freeze"})
        feed = daemon.workers["finam"].worker.connections["finam-1"]
        await until(lambda: feed.reconnects == 1 and live(daemon), "a new connection")
        before = daemon.statistics.total.stored
        await until(lambda: daemon.statistics.total.stored > before + 100, "rows again")


async def test_news_table_equals_the_headlines_answered_and_nothing_else_is_touched(
    database: str, tmp_path: Path
) -> None:
    async with stage(database, tmp_path, news=True) as on, on.daemon() as daemon:
        await until(lambda: ready(daemon, 500) and len(on.venue.ledger.news) > 31, "rows, and two answers of a feed")
        verdicts = await on.compare(daemon)
        assert {verdict.table for verdict in verdicts} == {"trades", "ticks", "books", "candles", "news"}
        assert all_equal(verdicts)
        assert daemon.statistics.total.quarantined == 0
        assert await on.query("select distinct source from v_news order by 1") == [("ru",), ("us",)]
        assert await on.query("select count(*) from v_news where source = 'ru' and title ~ '[А-я]'") != [(0,)]
        assert await on.query("select count(*) from gaps where stream = 'news'") == [(0,)]
        assert await on.query("select count(*) from instruments where symbol in ('ru', 'us')") == [(0,)]


async def test_feeds_of_news_that_fail_leave_the_market_data_alone(database: str, tmp_path: Path) -> None:
    async with stage(database, tmp_path, news=True) as on:
        await on.ledger.tell("faults", {"fault": "5xx", "method": "news", "count": 1000})
        async with on.daemon() as daemon:
            await until(lambda: daemon.statistics.total.stored > 1000, "rows")
            feeds = {feed.plan.name: feed.state for feed in daemon.workers["finam"].worker.connections.values()}
            assert feeds == {"finam-poll": "live", "finam-news": "subscribing"}
            assert all_equal(await on.compare(daemon, "trades", "ticks", "books", "candles"))
            assert await on.rows("news") == 0

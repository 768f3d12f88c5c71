"""Lines that are cut while the market goes on: what the daemon gets back by itself."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from pathlib import Path

import pytest

from collector.daemon.daemon import Daemon
from collector.demo.demo import settled
from tests.kit.stage import Stage, live, stage, until
from tests.repair.truth import all_settled, everything_is_there, now_us, unsettled

pytestmark = pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)

SECONDS_TO_REPAIR = 5.0
# Leaves the repair as the only way to what a cut line has cost.
NO_SNAPSHOTS = "snapshot = 0"


async def recording(daemon: Daemon, rows: int = 500) -> int:
    """Wait until everything flows; returns a time since when it does."""
    await until(lambda: live(daemon) and daemon.statistics.total.stored > rows, f"{rows} rows")
    return now_us()


async def cut(on: Stage, daemon: Daemon, seconds: float) -> None:
    """Cut the line, keep it away, and wait until it is back."""
    feed = daemon.workers["fmfw"].worker.connections["fmfw-1"]
    before = feed.reconnects
    on.venue.fault("refuse_connections", seconds=seconds)
    on.venue.fault("cut")
    await until(lambda: feed.reconnects > before and not live(daemon), "a cut line")
    await until(lambda: live(daemon), "the line back")


async def test_cut_line_costs_no_trade_and_no_candle(database: str, tmp_path: Path) -> None:
    async with stage(database, tmp_path, rate=500, extra=NO_SNAPSHOTS) as on:
        async with on.daemon() as daemon:
            since_us = await recording(daemon)
            await cut(on, daemon, 2)
            symbols = len(on.venue.exchange.markets)
            await all_settled(on, daemon, 4 * symbols)
            await on.ledger.pause()
            await settled(daemon.observed)
            await everything_is_there(on, since_us)
            await on.counts_add_up()
        states = await on.query(
            "select stream, state, count(*), bool_and(trouble is null), max(filled_rows) > 0"
            " from gaps where cause = 'disconnect' group by 1, 2 order by 1"
        )
        assert states == [
            ("books", "unrecoverable", symbols, True, None),
            ("candles", "repaired", symbols, True, True),
            ("derivatives", "unrecoverable", 2, True, False),
            ("ticks", "unrecoverable", symbols, True, None),
            ("trades", "repaired", symbols, True, True),
        ]
        [(slowest,)] = await on.query(
            "select extract(epoch from max(filled_at - to_time)) from gaps where cause = 'disconnect'"
        )
        assert slowest < SECONDS_TO_REPAIR
        wrong = await on.query(
            "select symbol, filled_rows, came from v_gaps g cross join lateral (select count(*) as came from v_trades t"
            " where t.symbol = g.symbol and t.time between from_time and to_time"
            " and t.received_at > to_time + interval '900 ms') x"
            " where stream = 'trades' and cause = 'disconnect' and filled_rows <> came"
        )
        assert wrong == []


REPAIRED_AND_ALL_CLOSED = (
    "select from gaps where state = 'repaired' and cause = 'killed' and filled_rows > 0"
    " and not exists (select from gaps where to_time is null)"
)


async def test_daemon_killed_in_the_middle_of_a_repair_goes_on_with_it(database: str, tmp_path: Path) -> None:
    async with stage(database, tmp_path, rate=500, extra=NO_SNAPSHOTS) as on:
        plain = on.config.read_text()
        async with on.process() as process:
            await eventually(on, "select from trades limit 1 offset 300", "300 trades")
            await on.begun()  # so that the kill is a gap of every stream
            since_us = now_us()
            process.send_signal(signal.SIGKILL)
            await process.wait()
        on.config.write_text(plain.replace(NO_SNAPSHOTS, f"{NO_SNAPSHOTS}\nrest_per_second = 4"))
        async with on.process() as process:
            await eventually(on, REPAIRED_AND_ALL_CLOSED, "a repaired gap")
            process.send_signal(signal.SIGKILL)
            await process.wait()
        assert await unsettled(on) > 5
        on.config.write_text(plain)
        async with on.daemon() as daemon:
            await until(lambda: live(daemon) and daemon.intake.live, "a live daemon")
            await all_settled(on, daemon, 30)
            await on.ledger.pause()
            await settled(daemon.observed)
            await everything_is_there(on, since_us)
            await on.counts_add_up()
        [(repaired, kills)] = await on.query(
            "select count(*), count(distinct to_time) from gaps where state = 'repaired' and cause = 'killed'"
            " and stream = 'trades'"
        )
        assert repaired == 2 * len(on.venue.exchange.markets)
        assert kills > 1


async def test_venue_that_fails_for_a_while_is_asked_until_it_answers(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.feed.rest.ATTEMPTS_MAX", 1)
    async with stage(database, tmp_path, rate=500, extra=NO_SNAPSHOTS) as on, on.daemon() as daemon:
        since_us = await recording(daemon)
        on.venue.fault("5xx", seconds=3)
        on.venue.fault("429", channel="rest", seconds=4)
        await cut(on, daemon, 0.5)
        await all_settled(on, daemon, 2 * len(on.venue.exchange.markets))
        await on.ledger.pause()
        await settled(daemon.observed)
        await everything_is_there(on, since_us)
        [(tried, troubled)] = await on.query(
            "select count(*) filter (where tries > 0), count(trouble) from gaps where cause = 'disconnect'"
        )
        assert tried > 0
        assert troubled == 0


async def test_line_that_is_cut_again_and_again_costs_nothing(database: str, tmp_path: Path) -> None:
    async with stage(database, tmp_path, rate=1000, ids="time", extra=NO_SNAPSHOTS) as on, on.daemon() as daemon:
        since_us = await recording(daemon)
        for _ in range(4):
            await cut(on, daemon, 0.2)
        await all_settled(on, daemon, 4 * len(on.venue.exchange.markets))
        await on.ledger.pause()
        await settled(daemon.observed)
        await everything_is_there(on, since_us)
        await on.counts_add_up()


async def test_coverage_tells_what_is_covered_repaired_and_lost_without_a_hole(database: str, tmp_path: Path) -> None:
    async with stage(database, tmp_path, extra=NO_SNAPSHOTS) as on, on.daemon() as daemon:
        await recording(daemon)
        await cut(on, daemon, 0.2)
        await all_settled(on, daemon, 2 * len(on.venue.exchange.markets))
        spans = await on.query(
            "select stream, array_agg(state order by from_time),"
            " bool_and(from_time = before or before is null), min(duration) > interval '0' from ("
            "  select *, lag(to_time) over (partition by stream order by from_time) as before"
            "  from coverage where symbol = 'BTCUSDT') x group by 1 order by 1"
        )
        assert spans == [
            ("books", ["lost", "covered", "lost", "covered"], True, True),
            ("candles", ["repaired", "covered", "repaired", "covered"], True, True),
            ("ticks", ["lost", "covered", "lost", "covered"], True, True),
            ("trades", ["repaired", "covered", "repaired", "covered"], True, True),
        ]
        on.venue.fault("5xx")
        on.venue.fault("refuse_connections")
        on.venue.fault("cut")
        await eventually(on, "select from coverage where symbol = 'BTCUSDT' and state = 'missing'", "a missing span")


async def eventually(on: Stage, query: str, what: str) -> None:
    """Wait until a query finds something; the tables may not be there yet."""
    end = time.monotonic() + 30
    while True:
        with contextlib.suppress(OSError):
            if await on.query(query):
                return
        assert time.monotonic() < end, f"not within 30 s: {what}"
        await asyncio.sleep(0.05)

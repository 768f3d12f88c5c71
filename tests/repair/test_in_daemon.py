"""Lines that are cut while the market goes on: what the daemon gets back by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from collector.service.daemon import Daemon
from collector.service.demo import settled
from tests.repair.truth import all_settled, everything_is_there, now_us
from tests.service.stage import Stage, live, stage, until

pytestmark = pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)

SECONDS_TO_REPAIR = 5.0


def ask_for_no_snapshots(on: Stage) -> None:
    """Leave the repair as the only way to what a cut line has cost."""
    on.config.write_text(on.config.read_text().replace("streams = [", "snapshot = 0\nstreams = [", 1))


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
    async with stage(database, tmp_path, rate=500) as on:
        ask_for_no_snapshots(on)
        async with on.daemon() as daemon:
            since_us = await recording(daemon)
            await cut(on, daemon, 2)
            symbols = len(on.venue.exchange.markets)
            await all_settled(on, daemon, 4 * symbols)
            await on.ledger.pause()
            await settled(daemon)
            await everything_is_there(on, since_us)
            await on.counts_add_up()
        states = await on.query(
            "select stream, state, count(*), bool_and(trouble is null), max(filled_rows) > 0"
            " from gaps where cause = 'disconnect' group by 1, 2 order by 1"
        )
        assert states == [
            ("books", "unrecoverable", symbols, True, None), ("candles", "repaired", symbols, True, True),
            ("derivatives", "unrecoverable", 2, True, False), ("rates", "unrecoverable", 2, True, None),
            ("ticks", "unrecoverable", symbols, True, None), ("trades", "repaired", symbols, True, True),
        ]  # fmt: skip
        [(slowest,)] = await on.query("select extract(epoch from max(filled_at - to_time)) from gaps")
        assert slowest < SECONDS_TO_REPAIR
        wrong = await on.query(
            "select symbol, filled_rows, came from v_gaps g cross join lateral (select count(*) as came from v_trades t"
            " where t.symbol = g.symbol and t.time between from_time and to_time and t.received_at > to_time) x"
            " where stream = 'trades' and cause = 'disconnect' and filled_rows <> came"
        )
        assert wrong == []

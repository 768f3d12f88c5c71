"""Rollups beside a live daemon: killed, cut off, repaired, backfilled, and rolled up all the while."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from collector.demo.demo import settled
from tests.kit.stage import Stage, live, stage, until
from tests.repair.test_in_daemon import eventually
from tests.repair.truth import all_settled
from tests.store.test_rollups import NEVER, all_rolled_up, roll

NO_SNAPSHOTS = "snapshot = 0"


@contextlib.asynccontextmanager
async def rolling_up(dsn: str) -> AsyncIterator[None]:
    """Roll minutes up that are not even over, again and again, so that everything that is stored comes late."""

    async def keep() -> None:
        while True:
            await roll(dsn, NEVER)

    task = asyncio.create_task(keep())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def backfill(on: Stage, hours: int) -> None:
    """Fetch the past in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "collector.cli", "backfill", "fmfw", "BTCUSDT", "ETHUSDT"),
        *("--stream", "trades", "--from", (datetime.now(UTC) - timedelta(hours=hours)).isoformat()),
        *("--config", str(on.config)),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    assert process.returncode == 0, said.decode()


async def test_rollups_are_the_trades_after_kills_cuts_repairs_and_backfills(database: str, tmp_path: Path) -> None:
    async with stage(database, tmp_path, rate=300, extra=NO_SNAPSHOTS) as on:
        async with on.process() as process:
            await eventually(on, "select from trades limit 1 offset 200", "200 trades")
            process.send_signal(signal.SIGKILL)
            await process.wait()
        async with on.daemon() as daemon, rolling_up(database):
            await until(lambda: live(daemon) and daemon.intake.live, "a live daemon")
            feed = daemon.workers["fmfw"].worker.connections["fmfw-1"]
            before = feed.reconnects
            on.venue.fault("cut")
            await until(lambda: feed.reconnects > before, "a cut line")
            await backfill(on, hours=2)
            await until(lambda: live(daemon), "the line back")
            await all_settled(on, daemon, 1)
            await on.ledger.pause()
            await settled(daemon.observed)
            assert daemon.upkeep.trouble == ""
        await roll(database, NEVER)
        [(backfilled,)] = await on.query("select count(*) from backfills")
        assert backfilled > 0
        assert await on.rows("trades_touched") == 0
        assert await all_rolled_up(database) > 60


@pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)
async def test_the_daemon_rolls_minutes_up_by_itself(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.daemon.upkeep.ROLLUP_INTERVAL_SECONDS", 0.2)
    async with stage(database, tmp_path, rate=100) as on, on.daemon() as daemon:
        # Subscribing brings a thousand past trades, of minutes that are long over.
        await eventually(on, "select from trades_1h limit 1", "an hour")
        assert daemon.upkeep.trouble == ""

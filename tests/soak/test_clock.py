"""Clocks that are set back and forward, and the hours at which calendars turn."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest

from collector import simulator
from collector.clock import SystemClock
from collector.daemon.daemon import Daemon
from tests.daemon.test_metaapi import MetaapiStage
from tests.kit.stage import Stage, all_equal, live, stage, until

pytestmark = pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)

RATE = 300.0
# So long before the hour in question recording begins, by a clock that then leaps to shortly before it.
LEAD_SECONDS = 900
BEFORE_SECONDS = 4
AFTER_SECONDS = 4


class TurnedClock(SystemClock):
    """The machine's clock, moved by `offset_ns`."""

    def __init__(self, offset_ns: int = 0) -> None:
        self.offset_ns = offset_ns

    @classmethod
    def ahead_of(cls, moment: datetime) -> TurnedClock:
        """A clock that comes to this moment in a while."""
        clock = cls()
        clock.leap(moment, LEAD_SECONDS)
        return clock

    def leap(self, moment: datetime, ahead_seconds: int) -> None:
        """Show so many seconds before a moment, now."""
        self.offset_ns = int((moment.timestamp() - ahead_seconds) * 1e9) - time.time_ns()

    def now_ns(self) -> int:
        return time.time_ns() + self.offset_ns

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(self.now_ns() / 1e9, UTC)


async def rows(daemon: Daemon, count: int) -> None:
    before = daemon.statistics.total.stored
    await until(lambda: live(daemon) and daemon.statistics.total.stored > before + count, f"{count} rows", 120)


async def passed(clock: TurnedClock, daemon: Daemon, moment: datetime) -> None:
    """Record until a few seconds after a moment."""
    await rows(daemon, 300)
    assert clock.now < moment, "recording began too late"
    clock.leap(moment, BEFORE_SECONDS)
    await until(lambda: (clock.now - moment).total_seconds() > AFTER_SECONDS, f"{moment} to be over", 60)
    await rows(daemon, 300)


async def nothing_is_lost(on: Stage, daemon: Daemon) -> None:
    assert all_equal(await on.compare(daemon))
    assert await on.query("select cause, count(*) from gaps where cause <> 'starting' group by 1") == []
    assert daemon.statistics.total.quarantined == 0
    await on.counts_add_up()


@pytest.mark.parametrize("seconds", [-90, -7200])
async def test_own_clock_set_back_and_right_again(database: str, tmp_path: Path, seconds: int) -> None:
    clock = TurnedClock()
    async with stage(database, tmp_path, rate=RATE) as on, on.daemon(clock) as daemon:
        await rows(daemon, 1000)
        # Bars that end while our clock is behind are closed by the clock later, and here it stands right too soon.
        await until(lambda: clock.now.second < 45, "a minute with room in it", 60)
        clock.offset_ns = seconds * 1_000_000_000
        await rows(daemon, 1000)
        clock.offset_ns = 0
        await rows(daemon, 1000)
        await nothing_is_lost(on, daemon)


@pytest.mark.parametrize(
    "moment",
    [datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 11, 18, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)],
    ids=["month", "day", "year"],
)
async def test_midnight_and_the_ends_of_months_and_years(database: str, tmp_path: Path, moment: datetime) -> None:
    clock = TurnedClock.ahead_of(moment)
    extra = 'candles = ["1m", "1h", "1d", "1w", "1mo"]'
    async with (
        stage(database, tmp_path, rate=RATE, extra=extra, clock_ns=clock.now_ns) as on,
        on.daemon(clock) as daemon,
    ):
        await passed(clock, daemon, moment)
        await nothing_is_lost(on, daemon)
        begun = await on.query(
            "select distinct period from v_candles where symbol = 'BTCUSDT' and time = $1 order by 1", moment
        )
        assert [row[0] for row in begun][:3] == [60, 3600, 86400]
        [(before, after)] = await on.query(
            "select count(*) filter (where time < $1), count(*) filter (where time >= $1) from v_trades", moment
        )
        assert min(before, after) > 50


@asynccontextmanager
async def brokers(dsn: str, folder: Path, clock: TurnedClock) -> AsyncIterator[MetaapiStage]:
    """Two simulated brokers, in London and in New York."""
    quick = {"ping_interval": 5.0, "ping_timeout": 0.5, "status_every": 3.0}
    async with (
        simulator.serve(["metaapi"], seed=5, rate=RATE, clock_ns=clock.now_ns, settings={"metaapi": quick}) as running,
        aiohttp.ClientSession() as http,
    ):
        yield MetaapiStage(running["metaapi"], folder, dsn, http, "")


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param(datetime(2026, 3, 8, 7, tzinfo=UTC), id="spring in New York"),
        pytest.param(datetime(2026, 11, 1, 6, tzinfo=UTC), id="autumn in New York"),
        pytest.param(datetime(2026, 3, 29, 1, tzinfo=UTC), id="spring in London", marks=pytest.mark.soak),
        pytest.param(datetime(2026, 10, 25, 1, tzinfo=UTC), id="autumn in London", marks=pytest.mark.soak),
    ],
)
async def test_summer_time_at_brokers(database: str, tmp_path: Path, moment: datetime) -> None:
    clock = TurnedClock.ahead_of(moment)
    async with brokers(database, tmp_path, clock) as on, on.daemon(clock) as daemon:
        await passed(clock, daemon, moment)
        assert all_equal(await on.compare(daemon))
        assert await on.query("select cause, count(*) from gaps where cause <> 'starting' group by 1") == []
        assert daemon.statistics.total.quarantined == 0
        [(before, after)] = await on.query(
            "select count(*) filter (where time < $1), count(*) filter (where time >= $1) from v_ticks", moment
        )
        assert min(before, after) > 50

"""A daemon that finds out by itself what a venue left out, on minutes that last ten seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from collector.daemon.daemon import Daemon
from collector.demo.demo import settled
from collector.status.audit import audit_facts
from collector.status.snapshot import snapshot
from tests.kit.stage import Stage, live, stage, until
from tests.repair.truth import everything_is_there, stored_trades, traded

pytestmark = pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)

PACE = 6
PATIENCE_SECONDS = 60.0
# Leaves the repair as the only way to what was lost; and commits as seldom as usual.
SEVERAL_MINUTES = "snapshot = 0\n[writer]\nflush_ms = 600"


class QuickClock:
    """Days that pass several times as fast; waiting is as much shorter."""

    def __init__(self, *, behind_seconds: int = 0, pace: int = PACE) -> None:
        self._began = time.time_ns()
        self._start = self._began - behind_seconds * 10**9
        self._pace = pace

    def now_ns(self) -> int:
        return self._start + (time.time_ns() - self._began) * self._pace

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self._pace)


async def test_trades_that_a_living_line_left_out_are_found_repaired_and_told(database: str, tmp_path: Path) -> None:
    clock = QuickClock()
    async with (
        stage(database, tmp_path, rate=150, extra=SEVERAL_MINUTES, clock_ns=clock.now_ns) as on,
        on.daemon(clock) as daemon,
    ):
        await first_minutes(on, daemon)
        since_us = clock.now_ns() // 1000
        on.venue.fault("lose_trades", symbol="BTCUSDT", count=3)
        auditor = daemon.auditing.auditor
        assert auditor is not None
        alarms = auditor.alarms
        await until(lambda: bool(alarms.open or alarms.settled), "an alarm", PATIENCE_SECONDS)
        await until(lambda: bool(alarms.settled) and not alarms.open, "the alarm's end", PATIENCE_SECONDS)
        await on.ledger.pause()
        await settled(daemon.observed)
        await everything_is_there(on, since_us)
        status = snapshot(daemon.observed)

        assert status.audit is not None
        assert {(one.symbol, one.state) for one in status.audit.alarms} == {("BTCUSDT", "repaired")}
        gaps = await on.query("select symbol, stream, state, filled_rows > 0 from v_gaps where cause = 'silent loss'")
        assert set(gaps) == {("BTCUSDT", "trades", "repaired", True)}
        verdicts = await on.query("select distinct verdict, repaired from v_audits where gap_cause = 'silent loss'")
        assert verdicts == [("complete", True)]
        assert await on.query("select 1 from audits where verdict = 'unexplained'") == []
        assert status.audit.complete > len(on.venue.exchange.markets)
        unjudged = {(one.venue, one.stream): one for one in status.audit.unjudged}
        assert {("fmfw", "ticks"), ("fmfw", "books")} <= set(unjudged)
        assert ("fmfw", "trades") not in unjudged
        assert unjudged["fmfw", "ticks"].instruments == len(on.venue.exchange.markets)
        assert "BTCUSDT" in unjudged["fmfw", "ticks"].symbols


async def first_minutes(on: Stage, daemon: Daemon) -> None:
    """Wait until minutes are audited; those of a whole recording are complete."""
    await until(lambda: live(daemon), "a live daemon")
    await until(lambda: audited(daemon)("complete") > 0, "an audited minute", PATIENCE_SECONDS)


def audited(daemon: Daemon) -> Callable[[str], Any]:
    facts = audit_facts(daemon.auditing)
    assert facts is not None
    return lambda name: getattr(facts, name)


async def minutes_of_first_instrument(
    on: Stage, *, later_than: datetime | None = None
) -> tuple[datetime, datetime, int]:
    """Wait until one instrument has an audited minute later than that; return its first and last, and how many it has.

    Each instrument's minute is stored once its candle is closed, so that one may be later than another.
    """
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            [(first, last, count)] = await on.query(
                "select min(time), max(time), count(*) from audits where instrument_id = 1"
            )
            if count and (later_than is None or last > later_than):
                return first, last, count
            await asyncio.sleep(0.1)


async def test_quiet_market_and_an_ordinary_cut_raise_no_alarm_and_a_restart_goes_on(
    database: str, tmp_path: Path
) -> None:
    clock = QuickClock()
    async with stage(database, tmp_path, rate=60, extra=SEVERAL_MINUTES, clock_ns=clock.now_ns) as on:
        async with on.daemon(clock) as daemon:
            await until(lambda: live(daemon), "a live daemon")
            on.venue.fault("cut")
            await until(lambda: audited(daemon)("complete") > 0, "an audited minute", PATIENCE_SECONDS)
            await on.ledger.pause()
            before = audited(daemon)("last_minute")
            await until(lambda: audited(daemon)("last_minute") > before, "quiet minutes", PATIENCE_SECONDS)
            began, stopped, _ = await minutes_of_first_instrument(on)
        await on.ledger.resume()
        async with on.daemon(clock) as daemon:
            await until(lambda: audited(daemon)("complete") > 0, "an audited minute", PATIENCE_SECONDS)
            await until(lambda: not daemon.venues.repairers["fmfw"].waiting, "the stop repaired", PATIENCE_SECONDS)
            auditor = daemon.auditing.auditor
            assert auditor is not None
            assert not auditor.alarms.open
            assert not auditor.alarms.settled
            first, last, count = await minutes_of_first_instrument(on, later_than=stopped)
        assert (first, count) == (began, (last - first) // timedelta(minutes=1) + 1)
        assert await on.query("select 1 from gaps where cause = 'silent loss'") == []
        assert await on.query("select distinct verdict from audits where verdict <> 'explained'") == [("complete",)]


async def test_venue_that_falls_silent_altogether_on_a_living_line_is_asked(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.audit.auditor.ACTIVE_MINUTES_MIN", 1)
    clock = QuickClock()
    async with (
        stage(database, tmp_path, rate=150, extra=SEVERAL_MINUTES, clock_ns=clock.now_ns) as on,
        on.daemon(clock) as daemon,
    ):
        await until(lambda: live(daemon), "a live daemon")
        await until(lambda: audited(daemon)("complete") > 0, "an audited minute", PATIENCE_SECONDS)
        auditor = daemon.auditing.auditor
        assert auditor is not None
        feed = daemon.workers["fmfw"].worker.connections["fmfw-1"]
        before = feed.reconnects
        since_us = clock.now_ns() // 1000
        on.venue.fault("fall_silent", symbol="BTCUSDT", seconds=25)
        await until(lambda: bool(auditor.alarms.open or auditor.alarms.settled), "an alarm", PATIENCE_SECONDS)
        await until(lambda: bool(auditor.alarms.settled) and not auditor.alarms.open, "its end", PATIENCE_SECONDS)
        assert feed.reconnects == before
        assert {alarm.symbol for alarm in auditor.alarms.settled} == {"BTCUSDT"}
        minute = auditor.alarms.settled[0].time
        wanted = traded(on, "BTCUSDT", since_us)
        of_minute = [row for row in wanted if 0 <= row[0] - int(minute.timestamp()) * 1_000_000 < 60_000_000]
        stored = await stored_trades(on, "BTCUSDT", int(minute.timestamp()) * 1_000_000)
        assert of_minute
        assert set(of_minute) <= set(stored)
        assert auditor.alarms.settled[0].state == "repaired"

"""What a configuration asks for is missed from the moment that it asks, whatever the venue says."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from collector.demo.demo import settled
from tests.kit.running import PATIENCE_SECONDS
from tests.kit.stage import Stage, live, stage, until

pytestmark = pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)

STREAMS = ("books", "candles", "ticks", "trades")


def ask_for(on: Stage, *symbols: str) -> None:
    named = ", ".join(f'"{symbol}"' for symbol in symbols)
    on.config.write_text(on.config.read_text().replace('symbols = ["*"]', f"symbols = [{named}]"))


async def coverage(on: Stage, symbol: str, stream: str) -> list[tuple[Any, ...]]:
    return await on.query(
        "select state, extract(epoch from duration)::float8 from coverage where symbol = $1 and stream = $2"
        " order by from_time",
        symbol,
        stream,
    )


async def asked(on: Stage) -> list[tuple[Any, ...]]:
    """Open gaps, once there are some."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            gaps = await on.query("select symbol, stream, cause, state from v_gaps where to_time is null order by 1, 2")
            if gaps:
                return gaps
            await asyncio.sleep(0.05)


async def test_venue_that_is_away_at_the_first_start_is_missed_until_it_flows(database: str, tmp_path: Path) -> None:
    async with stage(database, tmp_path, rate=300) as on:
        ask_for(on, "BTCUSDT", "ETHUSDT")
        on.venue.fault("5xx", seconds=600)
        with capture_logs() as logs:
            async with on.daemon() as daemon:
                await until(lambda: "discovery_failed" in [entry["event"] for entry in logs], "a venue that is away")
                # What may not exist of a symbol is not missed before the venue has told what the symbol is.
                assert await asked(on) == [
                    (symbol, stream, "starting", "open") for symbol in ("BTCUSDT", "ETHUSDT") for stream in STREAMS
                ]
                assert {state for state, _ in await coverage(on, "BTCUSDT", "books")} <= {"missing"}
                on.venue.faults.clear()
                await until(lambda: live(daemon) and daemon.statistics.total.stored > 300, "rows")
                await on.begun()
                await on.ledger.pause()
                await settled(daemon.observed)
                for symbol in ("BTCUSDT", "ETHUSDT"):
                    [(lost, seconds), (covered, _)] = await coverage(on, symbol, "books")
                    assert (lost, covered) == ("lost", "covered")
                    assert seconds > 0.5
                    assert [state for state, _ in await coverage(on, symbol, "trades")] == ["repaired", "covered"]


async def test_symbol_that_the_venue_does_not_have_is_missed_until_it_is_asked_for_no_more(
    database: str, tmp_path: Path
) -> None:
    async with stage(database, tmp_path, rate=300) as on:
        ask_for(on, "BTCUSDT", "NOSUCH")
        async with on.daemon() as daemon:
            await until(lambda: live(daemon) and daemon.statistics.total.stored > 300, "rows")
            await on.begun(without="NOSUCH")
            assert await asked(on) == [("NOSUCH", stream, "starting", "open") for stream in STREAMS]
        on.config.write_text(on.config.read_text().replace(', "NOSUCH"', ""))
        async with on.daemon() as daemon:
            await until(lambda: live(daemon) and daemon.intake.live, "a live daemon")
            await on.ledger.pause()
            await settled(daemon.observed)
            assert await on.query("select from v_gaps where to_time is null") == []
            assert await on.query(
                "select count(*), bool_and(to_time is not null) from wanted w join instruments i"
                " using (instrument_id) where symbol = 'NOSUCH'"
            ) == [(4, True)]


async def test_first_minute_of_a_recording_is_audited(database: str, tmp_path: Path) -> None:
    async with stage(database, tmp_path, rate=300) as on:
        ask_for(on, "BTCUSDT")
        on.config.write_text(on.config.read_text() + "\n[audit]\ndelay_seconds = 1\n")
        async with on.daemon() as daemon:
            await until(lambda: live(daemon), "a live daemon")
            [(first,)] = await on.query("select min(from_time) from wanted where stream = 'trades'") or [(None,)]
            auditor = daemon.auditing.auditor
            assert auditor is not None
            await until(lambda: sum(auditor.counts.values()) > 0, "an audited minute", PATIENCE_SECONDS + 70)
            [(minute, verdict)] = await on.query("select time, verdict from audits order by time limit 1")
            assert first is None or minute == first
            assert verdict == "complete"

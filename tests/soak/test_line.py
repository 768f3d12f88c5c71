"""The line to the venue is cut, half-open, slow, in disorder; the venue answers with errors for a while."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import pytest

from tests.kit.stage import Stage, stage
from tests.repair.truth import now_us

from .conftest import Measured
from .proof import Span, proved
from .proxy import Proxy, disorder, proxy
from .recording import Recording, Status, recording

pytestmark = pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)

# The bar: from the line's return until trades are repaired, for a gap of a minute.
SECONDS_TO_REPAIR = 5.0


@asynccontextmanager
async def on_a_line(
    dsn: str, folder: Path, rate: float, *, extra: str = "snapshot = 0"
) -> AsyncIterator[tuple[Stage, Proxy, Recording, int]]:
    """A daemon that reaches its venue by way of a proxy; the last value is since when everything has to be there."""
    async with stage(dsn, folder, rate=rate, extra=extra) as on:
        port = urlsplit(on.venue.address["ws_url"]).port
        assert port is not None
        async with proxy(port) as line:
            on.config.write_text(on.config.read_text().replace(f":{port}/", f":{line.port}/"))
            async with recording(on) as daemon:
                await daemon.flows(1000)
                since_us = now_us()
                await daemon.flows(500)
                yield on, line, daemon, since_us


def reconnects(status: Status) -> int:
    return sum(one["reconnects"] for venue in status["venues"] for one in venue["connections"])


async def slowest_repair(on: Stage) -> float:
    """Seconds from the line's return until the last gap of trades was repaired."""
    [(seconds,)] = await on.query(
        "select extract(epoch from max(filled_at - to_time)) from gaps where stream = 'trades' and state = 'repaired'"
    )
    return float(seconds)


@pytest.mark.parametrize("seconds", [2, pytest.param(60, marks=pytest.mark.soak)])
async def test_cut_line_that_stays_away(
    database: str, tmp_path: Path, seconds: int, measured: Measured, rate: float
) -> None:
    async with on_a_line(database, tmp_path, rate) as (on, line, daemon, since_us):
        cut_us = now_us()
        line.hold()
        line.cut()
        await asyncio.sleep(seconds)  # the time is what is tried
        line.release()
        line.cut()
        await daemon.until(lambda status: reconnects(status) > 0, "a lost line")
        await daemon.flows()
        back_us = now_us()
        lost = await proved(on, daemon, since_us, [Span(cut_us, back_us)])
        repair = await slowest_repair(on)
        measured(
            seconds_away=(back_us - cut_us) / 1e6,
            trades_repaired_after_seconds=repair,
            trades=await on.rows("trades"),
            quotes_and_books_in_gaps=lost,
        )
        assert await on.query("select sum(filled_rows) > 0 from gaps where stream = 'trades'") == [(True,)]
        if seconds >= 60:
            assert repair < SECONDS_TO_REPAIR


@pytest.mark.soak  # the short form is a line that freezes, in tests/daemon/test_faults.py
async def test_half_open_line(database: str, tmp_path: Path, measured: Measured, rate: float) -> None:
    async with on_a_line(database, tmp_path, rate) as (on, line, daemon, since_us):
        silent_us = now_us()
        line.hold()
        status = await daemon.until(lambda status: reconnects(status) > 0, "a line that is given up", 120)
        given_up = now_us() - silent_us
        [reason] = [one["reason"] for venue in status["venues"] for one in venue["connections"]]
        assert "nothing was heard" in reason
        line.release()
        line.cut()  # what was under way on the old line is lost with it
        await daemon.flows()
        lost = await proved(on, daemon, since_us, [Span(silent_us, now_us())])
        measured(given_up_after_seconds=given_up / 1e6, quotes_and_books_in_gaps=lost)
        assert lost > 0


@pytest.mark.parametrize("seconds", [3, pytest.param(60, marks=pytest.mark.soak)])
async def test_slow_line(database: str, tmp_path: Path, seconds: int, measured: Measured, rate: float) -> None:
    async with on_a_line(database, tmp_path, rate, extra="") as (on, line, daemon, since_us):
        line.bytes_per_second = 100_000  # a tenth of what there is to say
        await asyncio.sleep(seconds)
        line.bytes_per_second = None
        assert await proved(on, daemon, since_us) == 0
        assert reconnects(await daemon.flows(0)) == 0
        measured(memory_mb=daemon.memory_mb("VmHWM"))


async def test_messages_twice_and_in_disorder(database: str, tmp_path: Path, measured: Measured, rate: float) -> None:
    async with on_a_line(database, tmp_path, rate, extra="") as (on, line, daemon, since_us):
        # Not the candles: FMFW gives a bar no number, so the last one said is the one that counts.
        line.alter = disorder(Random(5), b'"ch":"trades"', b'"ch":"orderbook/top/100ms"')
        await daemon.flows(20_000)
        line.alter = None
        assert await proved(on, daemon, since_us) == 0
        [(duplicates,)] = await on.query("select sum(duplicates) from journal_counts where table_name = 'trades'")
        assert duplicates > 20
        measured(duplicate_trades=int(duplicates))


async def test_books_in_disorder_are_renewed(database: str, tmp_path: Path, rate: float) -> None:
    async with on_a_line(database, tmp_path, rate, extra="") as (on, line, daemon, since_us):
        began_us = now_us()
        line.alter = disorder(Random(6), b'"ch":"orderbook/full"')
        await daemon.flows(5_000)
        line.alter = None
        await daemon.flows(2_000)
        await proved(on, daemon, since_us, [Span(began_us, now_us())])
        assert await on.query("select count(*) > 0 from gaps where cause = 'sequence lost'") == [(True,)]


@pytest.mark.parametrize("seconds", [4, pytest.param(180, marks=pytest.mark.soak)])
async def test_venue_that_answers_with_errors(
    database: str, tmp_path: Path, seconds: int, measured: Measured, rate: float
) -> None:
    async with stage(database, tmp_path, rate=rate, extra="snapshot = 0") as on, recording(on) as daemon:
        await daemon.flows(1000)
        since_us = now_us()
        await daemon.flows(500)
        on.venue.fault("5xx", seconds=float(seconds))
        on.venue.fault("refuse_connections", seconds=float(seconds))
        on.venue.fault("cut")
        fell_us, began = now_us(), time.monotonic()
        await daemon.until(lambda status: reconnects(status) > 0, "a lost line")
        await daemon.until(lambda status: not on.venue.faults.listing() and all_back(status), "a line", seconds + 120)
        back_us, away = now_us(), time.monotonic() - began
        lost = await proved(on, daemon, since_us, [Span(fell_us, back_us)])
        measured(
            seconds_away=away, trades_repaired_after_seconds=await slowest_repair(on), quotes_and_books_in_gaps=lost
        )
        assert away >= seconds


def all_back(status: Status) -> bool:
    return all(one["state"] == "live" for venue in status["venues"] for one in venue["connections"])

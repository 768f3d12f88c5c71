"""Backfills of a simulated venue's past: whole, ended in the middle, done twice."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest

from collector import venues
from collector.clock import SystemClock
from collector.config import load
from collector.errors import CollectorError
from collector.feed.network import AiohttpNetwork
from collector.proof.replay import replay
from collector.repair.job import Job
from collector.store.writer import Writer
from tests.kit.stage import Stage, live, stage, until
from tests.repair.truth import bars, now_us, stored_bars, stored_trades, traded

pytestmark = pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)

HOUR_US = 3_600_000_000
BOTH = ["trades", "candles"]


@asynccontextmanager
async def job(on: Stage, **changed: Any) -> AsyncIterator[Job]:
    settings = load(on.config, {}).venues["fmfw"].settings.model_copy(update=changed)
    async with (
        AiohttpNetwork.open() as network,
        Job(
            venues.find("fmfw").begin("fmfw", settings),
            rate_share=1.0,
            dsn=on.dsn,
            network=network,
            clock=SystemClock(),
            random=Random(1),
        ) as one,
    ):
        yield one


def an_hour(on: Stage) -> tuple[int, int]:
    until_us = now_us() // 60_000_000 * 60_000_000 - 5 * 60_000_000
    return until_us - HOUR_US, until_us


async def equal(on: Stage, span: tuple[int, int]) -> int:
    """Compare the tables with the venue's past; returns how many trades that was. A last page may hold later ones."""
    compared = 0
    for symbol in on.venue.exchange.markets:
        wanted = traded(on, symbol, span[0], span[1] - 1)
        assert [row for row in await stored_trades(on, symbol, 0) if row[0] < span[1]] == wanted, symbol
        assert await stored_bars(on, symbol, 0) == bars(on, symbol, span[0], span[1] - 1), symbol
        compared += len(wanted)
    return compared


async def everything(on: Stage) -> list[tuple[Any, ...]]:
    """Every row, what tells one writing from another too."""
    return await on.query(
        "select 'trades', time::text, instrument_id, trade_key::text, received_at, xmin::text from trades union all"
        " select 'candles', time::text, instrument_id, closed::text, received_at, xmin::text from candles"
    )


async def test_hour_of_everything_equals_what_the_venue_traded(database: str, tmp_path: Path) -> None:
    async with stage(database, tmp_path, history_events=60_000) as on, job(on) as one:
        span = an_hour(on)
        estimates = await one.plan(await one.listed(), BOTH, span, again=False)
        assert {estimate.left for estimate in estimates} <= {1, 2}
        outcome = await one.run(tmp_path / "backfill")
        assert await equal(on, span) > 10_000
        assert outcome.refused == {}
        assert outcome.tables["trades"]["stored"] == await on.rows("trades")
        assert outcome.answers >= sum(estimate.calls for estimate in estimates)
        assert await on.query("select closed, count(*) > 0 from candles group by 1") == [(True, True)]


async def test_folder_that_cannot_be_used_is_told_in_one_line(database: str, tmp_path: Path) -> None:
    (tmp_path / "backfill").touch()
    async with stage(database, tmp_path, running=False) as on, job(on) as made:
        await made.plan(await made.listed(), ["trades"], an_hour(on), again=False)
        with pytest.raises(CollectorError, match=r"answers cannot be kept in .*/backfill.* \(Not a directory\)"):
            await made.run(tmp_path / "backfill")


async def test_second_run_finds_nothing_to_do_and_a_forced_one_changes_nothing(database: str, tmp_path: Path) -> None:
    async with stage(database, tmp_path, running=False) as on, job(on) as one:
        span = an_hour(on)
        symbols = await one.listed()
        await one.plan(symbols, BOTH, span, again=False)
        await one.run(tmp_path / "backfill")
        before = await everything(on)
        assert sum(estimate.left for estimate in await one.plan(symbols, BOTH, span, again=False)) == 0
        await one.plan(symbols, BOTH, span, again=True)
        outcome = await one.run(tmp_path / "backfill")
        assert outcome.tables["trades"]["stored"] == outcome.tables["candles"]["stored"] == 0
        assert await everything(on) == before
        [longer] = await one.plan(["BTCUSDT"], ["trades"], (span[0] - 60_000_000, span[1]), again=False)
        assert 1 <= longer.left <= longer.pieces


async def test_minutes_that_were_fetched_are_no_hours(database: str, tmp_path: Path) -> None:
    async with stage(database, tmp_path) as on:
        span = an_hour(on)
        async with job(on) as one:
            await one.listed()
            await one.plan(["BTCUSDT"], ["candles"], span, again=False)
            await one.run(tmp_path / "backfill")
        async with job(on, candles=("1m", "1h")) as other:
            await other.listed()
            [estimate] = await other.plan(["BTCUSDT"], ["candles"], span, again=False)
            assert estimate.left == estimate.pieces > 0
            assert estimate.calls == 2 * estimate.left


async def test_trouble_of_the_venue_is_waited_out_and_a_refusal_takes_no_other_symbol_with_it(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.feed.rest.ATTEMPTS_MAX", 1)
    async with stage(database, tmp_path) as on, job(on) as one:
        span = an_hour(on)
        symbols = await one.listed()
        await one.plan(symbols, BOTH, span, again=False)
        del on.venue.exchange.markets["EOSUSDT"]
        on.venue.fault("5xx", count=5)
        told: list[str] = []
        outcome = await one.run(tmp_path / "backfill", lambda now: told.append(now.trouble))
        assert any("503" in trouble for trouble in told)
        assert set(outcome.refused) == {"EOSUSDT trades", "EOSUSDT candles"}
        await equal(on, span)


async def test_answers_are_kept_so_that_a_replay_makes_the_same_rows(database: str, tmp_path: Path) -> None:
    async with stage(database, tmp_path) as on, job(on) as one:
        span = an_hour(on)
        await one.plan(await one.listed(), BOTH, span, again=False)
        outcome = await one.run(tmp_path / "backfill")
        before = [row[:-1] for row in await everything(on)]
        await on.query("truncate trades, candles")
        writer = Writer(lambda: database, None)
        await replay(Path(outcome.journal), writer)
        await writer.close()
        assert sorted(row[:-1] for row in await everything(on)) == sorted(before)


async def test_backfill_beside_a_running_daemon_makes_no_duplicates_and_closes_old_gaps(
    database: str, tmp_path: Path
) -> None:
    async with stage(database, tmp_path, ids="time", rate=500) as on:
        on.config.write_text(on.config.read_text() + "\n[repair]\nenabled = false\n")
        async with on.daemon() as daemon:
            began_us = now_us()
            await until(lambda: live(daemon) and daemon.statistics.total.stored > 500, "500 rows")
            feed = daemon.workers["fmfw"].worker.connections["fmfw-1"]
            on.venue.fault("cut")
            await until(lambda: feed.reconnects == 1 and live(daemon), "the line back")
            before = daemon.statistics.total.stored
            await until(lambda: daemon.statistics.total.stored > before + 200, "200 rows more")
            async with job(on) as one:
                await one.plan(await one.listed(), BOTH, (began_us - HOUR_US, now_us()), again=False)
                outcome = await one.run(tmp_path / "backfill")
            await on.ledger.pause()
            await until(lambda: daemon.intake.settled, "everything committed")
            for symbol in on.venue.exchange.markets:
                assert await stored_trades(on, symbol, began_us) == traded(on, symbol, began_us)
        states = await on.query("select stream, state, count(*) from gaps where cause = 'disconnect' group by 1, 2")
        symbols = len(on.venue.exchange.markets)
        assert outcome.gaps == 4 * symbols  # those of the start, too
        assert {("trades", "repaired", symbols), ("candles", "repaired", symbols)} <= set(states)
        assert ("books", "open", symbols) in states


async def test_killed_backfill_goes_on_where_it_was(database: str, tmp_path: Path) -> None:
    async with stage(database, tmp_path, history_events=30_000) as on:
        # So slow that it can be killed in the middle.
        on.config.write_text(on.config.read_text() + "rest_per_second = 10\n")
        span = an_hour(on)
        times = [f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(us // 1_000_000))}" for us in span]
        command = [
            sys.executable,
            "-m",
            "collector.cli",
            "backfill",
            "fmfw",
            "*",
            "--from",
            times[0],
            "--to",
            times[1],
            "--json",
            "--config",
            str(on.config),
        ]
        first = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        done = 0
        while not done:
            [(done,)] = await on.query("select count(*) from backfills")
            assert first.returncode is None
            await asyncio.sleep(0.02)
        first.send_signal(signal.SIGKILL)
        await first.wait()
        [(done,)] = await on.query("select count(*) from backfills")
        second = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        out, _ = await second.communicate()
        assert second.returncode == 0
        told = orjson.loads(out)
        pieces, left = (sum(one[name] for one in told["estimates"]) for name in ("pieces", "left"))
        assert left == pieces - done < pieces
        assert await equal(on, span) > 5000

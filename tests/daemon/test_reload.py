"""A configuration that changes while the daemon records: what comes, what goes, and what notices nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from collector.config import load
from collector.daemon.daemon import Daemon
from collector.demo.demo import settled
from tests.kit.running import PATIENCE_SECONDS, running
from tests.kit.stage import Stage, all_equal, live, stage, until

pytestmark = pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)


def choose(on: Stage, symbols: str) -> None:
    """Write other symbols into the configuration."""
    on.config.write_text(re.sub(r"symbols = .*", f"symbols = {symbols}", on.config.read_text()))


@asynccontextmanager
async def rereading(on: Stage) -> AsyncIterator[Daemon]:
    """A daemon that was started from the stage's file and can read it again."""
    async with running(load(on.config, {}), reread=lambda: load(on.config, {})) as daemon:
        await until(lambda: "fmfw" in daemon.workers and live(daemon), "a live venue")
        yield daemon


async def reload(daemon: Daemon) -> None:
    before = daemon.reloading.facts().tried
    daemon.requests.reload.set()
    await until(lambda: daemon.reloading.facts().tried != before, "an answer")


@pytest.mark.parametrize(
    ("listed", "others", "rate"),
    [
        pytest.param(None, ["BTCUSDT", "ETHUSDT"], 400, id="two"),
        pytest.param(220, ["SIM*"], 2000, marks=pytest.mark.soak, id="two hundred"),
    ],
)
async def test_symbol_that_comes_costs_the_others_no_record(
    tmp_path: Path, database: str, listed: int | None, others: list[str], rate: float
) -> None:
    async with stage(database, tmp_path, rate=rate, symbols=listed) as on:
        choose(on, json.dumps(others))
        async with rereading(on) as daemon:
            worker = daemon.workers["fmfw"].worker
            old = dict(worker.connections)
            await until(lambda: daemon.statistics.total.stored > 500, "some records")
            choose(on, json.dumps([*others, "BTCUSDT_PERP"]))
            await reload(daemon)
            await until(lambda: worker.connections != old, "a new plan")
            await until(lambda: not worker.leaving and live(daemon), "the old line's end", 60)

            assert all_equal(await on.compare(daemon, "trades", "ticks", "books", "candles"))
            assert await on.query("select symbol, stream from v_gaps where cause <> 'starting'") == []
            [(rows,)] = await on.query("select count(*) from v_books where symbol = 'BTCUSDT_PERP'")
            assert rows > 0
            await on.counts_add_up()


async def test_fault_refuses_the_whole_and_the_daemon_goes_on(tmp_path: Path, database: str) -> None:
    async with stage(database, tmp_path, rate=100) as on, rereading(on) as daemon:
        feed = daemon.workers["fmfw"].worker.connections["fmfw-1"]
        whole = on.config.read_text()
        choose(on, '["BTCUSDT"]\nnonsense = 1\nbooks = "D7/3ms"')
        with capture_logs() as logs:
            await reload(daemon)
        [refused] = [entry for entry in logs if entry["event"] == "reload_refused"]
        assert len(refused["faults"]) == 2
        assert daemon.reloading.facts().refused == tuple(refused["faults"])
        assert "nonsense" in refused["faults"][0] + refused["faults"][1]
        stored = daemon.statistics.total.stored
        await until(lambda: daemon.statistics.total.stored > stored + 100, "more records")
        assert daemon.workers["fmfw"].worker.connections["fmfw-1"] is feed

        on.config.write_text(whole)
        await reload(daemon)
        assert daemon.reloading.facts().refused == ()


async def test_venues_come_and_go(tmp_path: Path, database: str) -> None:
    async with stage(database, tmp_path, rate=100) as on, rereading(on) as daemon:
        first = daemon.workers["fmfw"].worker.connections["fmfw-1"]
        whole = on.config.read_text()
        section = whole[whole.index("[venues.fmfw]") :]
        sister = section.replace("[venues.fmfw]", '[venues.sister]\nadapter = "fmfw"')
        on.config.write_text(f"{whole}\n{sister}")
        await reload(daemon)
        await until(lambda: "sister" in daemon.workers and live(daemon), "the new venue")
        await until(lambda: any(name.venue == "sister" for name in daemon.statistics.last_trade), "its trades")
        assert "sister" in daemon.venues.repairers

        on.config.write_text(whole)
        await reload(daemon)
        await until(lambda: "sister" not in daemon.workers, "its end")
        assert "sister" not in daemon.venues.repairers
        assert daemon.workers["fmfw"].worker.connections["fmfw-1"] is first
        await on.ledger.pause()
        await settled(daemon.observed)
        # What nobody asks for any more is no gap, and is told with both ends.
        assert await on.query("select from gaps where to_time is null") == []
        asked = await on.query(
            "select distinct code, to_time is null from wanted join instruments using (instrument_id)"
            " join venues using (venue_id) order by 1"
        )
        assert asked == [("fmfw", True), ("sister", False)]


async def test_what_only_a_start_applies_is_told(tmp_path: Path, database: str) -> None:
    async with stage(database, tmp_path, rate=50) as on, rereading(on) as daemon:
        feed = daemon.workers["fmfw"].worker.connections["fmfw-1"]
        on.config.write_text(on.config.read_text() + "\n[writer]\nflush_ms = 77\n[log]\nlevel = 'debug'\n")
        await reload(daemon)
        told = daemon.reloading.facts()
        assert told.needs_restart == ("writer", "log")
        assert (told.refused, told.reloads) == ((), 1)
        assert daemon.config.writer.flush_ms != 77
        assert daemon.workers["fmfw"].worker.connections["fmfw-1"] is feed


async def test_command_tells_what_came_of_it(tmp_path: Path, database: str) -> None:
    async with stage(database, tmp_path, rate=50) as on:
        [port] = free_ports(1)
        on.config.write_text(on.config.read_text().replace("127.0.0.1:0", f"127.0.0.1:{port}"))
        assert (await command(on, "reload"))[0] == 1  # nobody runs
        async with on.process():
            await answers(port)
            status, said = await command(on, "reload")
            assert status == 0
            assert said.startswith(f"applied: {on.config}")

            other = tmp_path / "other.toml"  # what the command reads is whole, what the daemon reads is not
            other.write_text(on.config.read_text())
            choose(on, '["BTCUSDT"]\nnonsense = 1')
            on.config, broken = other, on.config
            status, said = await command(on, "reload")
            assert status == 2
            assert said.startswith("refused: venues.fmfw.nonsense")
            on.config = broken
            status, said = await command(on, "reload")
            assert status == 2
            assert "venues.fmfw.nonsense" in said


async def command(on: Stage, *arguments: str) -> tuple[int, str]:
    """Run the command line with the stage's configuration; returns its exit status and what it said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "collector.cli",
        *arguments,
        "--config",
        str(on.config),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(PATIENCE_SECONDS):
        said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def answers(port: int) -> None:
    """Wait until somebody listens there."""
    async with asyncio.timeout(2 * PATIENCE_SECONDS):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.1)
            else:
                writer.close()
                return


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on at the moment."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]

"""The database is stopped, killed, emptied of connections, closed to writers, out of disk: it costs time and no row."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import asyncpg
import pytest

from tests.kit.stage import Stage, stage
from tests.repair.truth import now_us

from .conftest import Measured
from .proof import proved
from .recording import Recording, Status, recording
from .servers import OwnServer, filled, own_server, small_disk

# The bar for the daemon's memory, whatever the database does.
MEMORY_MB = 300
# Events of the simulated market which make 5,000 frames a second.
LONG_RATE = 3100.0


@asynccontextmanager
async def flowing(server: OwnServer, folder: Path, rate: float) -> AsyncIterator[tuple[Stage, Recording, int]]:
    """A daemon that records into the server; the last value is since when everything has to be there."""
    async with stage(server.dsn, folder, rate=rate) as on, recording(on) as daemon:
        await daemon.flows(2000)
        yield on, daemon, now_us()


def away(status: Status) -> bool:
    return bool(status["database"]["state"] == "away")


def backlog(status: Status) -> int:
    return int(status["journal"]["backlog_bytes"] or 0)


def frames(status: Status) -> int:
    return sum(one["frames"] for venue in status["venues"] for one in venue["connections"])


async def worked_off(daemon: Recording) -> None:
    """Wait until no more than a second's worth waits."""
    await daemon.until(
        lambda status: status["database"]["state"] == "connected" and backlog(status) < 2 << 20,
        "a journal that has been worked off",
        600,
    )


async def test_stop_of_five_seconds(tmp_path: Path, measured: Measured, rate: float) -> None:
    async with own_server() as server, flowing(server, tmp_path, rate) as (on, daemon, since_us):
        await server.stop()
        await daemon.until(away, "a database that is away")
        before = await daemon.until(lambda _: True, "a status")
        await asyncio.sleep(5)  # the time is what is tried
        after = await daemon.until(away, "a database that is still away")
        assert backlog(after) > backlog(before)
        await server.start()
        await worked_off(daemon)
        assert await proved(on, daemon, since_us) == 0
        memory = daemon.memory_mb("VmHWM")
        assert memory < MEMORY_MB
        measured(backlog_mb=backlog(after) / 1e6, memory_mb=memory)


@pytest.mark.soak
@pytest.mark.parametrize("minutes", [1, 10])
async def test_stop_of_minutes(tmp_path: Path, minutes: int, measured: Measured) -> None:
    async with own_server(durable=True) as server, flowing(server, tmp_path, LONG_RATE) as (on, daemon, since_us):
        await server.stop()
        first, began = await daemon.until(away, "a database that is away"), time.monotonic()
        memory = []
        while time.monotonic() - began < minutes * 60:
            await asyncio.sleep(1)
            memory.append(daemon.memory_mb())
        last, waited = await daemon.until(away, "a database that is still away"), time.monotonic() - began
        live_frames = (frames(last) - frames(first)) / waited
        live_bytes = (backlog(last) - backlog(first)) / waited
        await server.start()
        last, began = await daemon.until(lambda status: not away(status), "a database that is there"), time.monotonic()
        while backlog(status := await daemon.until(lambda _: True, "a status")) > 2 << 20:
            memory.append(daemon.memory_mb())
            assert time.monotonic() - began < 900, status["journal"]
            await asyncio.sleep(0.5)
        seconds = time.monotonic() - began
        # What comes meanwhile has to be worked off as well.
        times = (backlog(last) + live_bytes * seconds) / seconds / live_bytes
        measured(
            frames_per_second=live_frames,
            backlog_mb=backlog(last) / 1e6,
            worked_off_seconds=seconds,
            times_the_live_rate=times,
            memory_mb=max(memory),
            memory_at_start_mb=memory[0],
        )
        assert await proved(on, daemon, since_us) == 0
        peak = daemon.memory_mb("VmHWM")
        measured(peak_memory_mb=peak, books=await on.rows("books"), trades=await on.rows("trades"))
        assert peak < MEMORY_MB
        assert times >= 5


@pytest.mark.parametrize("kills", [2, pytest.param(30, marks=pytest.mark.soak)])
async def test_kills_at_any_moment(tmp_path: Path, kills: int, measured: Measured, rate: float) -> None:
    random = Random(kills)
    async with own_server() as server, flowing(server, tmp_path, rate) as (on, daemon, since_us):
        for _ in range(kills):
            server.kill()
            await server.ended()
            await daemon.until(away, "a database that is away")
            await server.start()
            await worked_off(daemon)
            await asyncio.sleep(random.uniform(0, 0.3))  # somewhere between two commits, or in one
        assert await proved(on, daemon, since_us) == 0
        measured(kills=kills, trades=await on.rows("trades"))


@pytest.mark.parametrize(
    "step",
    [
        "a commit is sent",
        *(pytest.param(step, marks=pytest.mark.soak) for step in ("before a commit", "after a commit")),
    ],
)
async def test_kill_around_a_commit(tmp_path: Path, step: str, rate: float) -> None:
    async with (
        own_server() as server,
        stage(server.dsn, tmp_path, rate=rate) as on,
        recording(on, step, 40, server.pid) as daemon,
    ):
        await daemon.flows(500)
        since_us = now_us()
        await server.ended()
        await daemon.until(away, "a database that is away")
        await server.start()
        assert await proved(on, daemon, since_us) == 0


async def test_every_connection_ended_again_and_again(tmp_path: Path, rate: float) -> None:
    async with own_server() as server, flowing(server, tmp_path, rate) as (on, daemon, since_us):
        cut, end = 0, time.monotonic() + 60
        # One that is idle is made anew without a word; some have to be cut at their work.
        while cut < 8 or not daemon.log("database_away"):
            assert time.monotonic() < end, f"{cut} connections in a minute"
            cut += await server.cut_all()
            await asyncio.sleep(0.1)  # about once a commit
        await worked_off(daemon)
        assert await proved(on, daemon, since_us) == 0


async def test_closed_to_writers(tmp_path: Path, rate: float) -> None:
    async with own_server() as server, flowing(server, tmp_path, rate) as (on, daemon, since_us):
        await server.tell("alter system set default_transaction_read_only = on", "select pg_reload_conf()")
        status = await daemon.until(away, "a database that takes nothing")
        assert "read-only" in str([one["reason"] for one in status["health"]["warnings"]])
        await asyncio.sleep(2)
        connection = await asyncpg.connect(server.dsn, server_settings={"default_transaction_read_only": "off"})
        try:
            assert await connection.fetchval("select count(*) from quarantine") == 0
        finally:
            await connection.close()
        await server.tell("alter system reset default_transaction_read_only", "select pg_reload_conf()")
        await worked_off(daemon)
        assert await proved(on, daemon, since_us) == 0


async def test_disk_that_is_full(tmp_path: Path, measured: Measured, rate: float) -> None:
    with small_disk(600) as disk:
        async with own_server(disk) as server, flowing(server, tmp_path, rate) as (on, daemon, since_us):
            with filled(disk, 4 << 20):
                status = await daemon.until(away, "a database that takes nothing", 120)
                await asyncio.sleep(2)
            measured(reason=status["health"]["warnings"][0]["reason"])
            if not await _answers(server):
                await server.ended()  # where the log of writes finds no room the server gives up, and recovers
                await server.start()
            await worked_off(daemon)
            assert await proved(on, daemon, since_us) == 0


async def _answers(server: OwnServer) -> bool:
    try:
        await (await asyncpg.connect(server.dsn)).close()
    except (OSError, asyncpg.PostgresError):
        return False
    return True

"""From socket to table as fast as it goes: frames of trades, the time until the last row is committed."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import orjson

from benchmarks import recorders
from benchmarks.database import Observer
from benchmarks.processes import START_SECONDS, Program, ProgramError, cpu_seconds, program
from benchmarks.recorders import Recorder
from benchmarks.venue import names

POLL_SECONDS = 0.2
SETTLE_SECONDS = 1.0
STALL_SECONDS = 10.0
# No new row for so long, and less than that much processor time used meanwhile: nothing more will come.
IDLE_CPU_SECONDS = 1.0
LONGEST_SECONDS = 600.0

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Burst:
    """What became of the rows sent. CPU is in microseconds of processor time a row stored, by program."""

    recorder: str
    database: str
    trades_in_frame: int
    sent: int
    stored: int
    seconds: float
    rows_per_second: float
    sending_seconds: float | None
    cpu_us: float
    server_cpu_us: float
    venue_cpu_us: float
    peak_memory_mb: float


async def measure(
    folder: Path, recorder: str, *, frames: int, symbols: int, trades: int, progress: Progress = lambda _: None
) -> Burst:
    """Send all frames to one recorder (`collector` or `cryptofeed`) and wait for their rows."""
    async with AsyncExitStack() as stack:
        venue = await stack.enter_async_context(
            program(
                "venue",
                sys.executable,
                "-m",
                "benchmarks.venue",
                "--frames",
                str(frames),
                "--symbols",
                str(symbols),
                "--trades",
                str(trades),
                log=folder / "venue.log",
            )
        )
        addresses = await venue.first_line()
        running = await stack.enter_async_context(_recorder(recorder, folder, addresses, symbols))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        await _subscribed(http, addresses["control_url"], running.program)
        return await _send(http, addresses["control_url"], venue, running, frames * trades, trades, progress)


@asynccontextmanager
async def _recorder(name: str, folder: Path, addresses: Mapping[str, str], symbols: int) -> AsyncIterator[Recorder]:
    if name == "collector":
        async with recorders.collector(folder, recorders.trades_only(addresses)) as running:
            yield running
    else:
        normal = [f"{symbol.removesuffix('USDT')}-USDT" for symbol in names(symbols)]
        async with recorders.cryptofeed(folder, addresses, normal) as running:
            yield running


async def _subscribed(http: aiohttp.ClientSession, control_url: str, recorder: Program) -> None:
    async with asyncio.timeout(START_SECONDS):
        while not (await _state(http, control_url))["waiting"]:
            recorder.check()
            await asyncio.sleep(POLL_SECONDS)
    await asyncio.sleep(SETTLE_SECONDS)


async def _state(http: aiohttp.ClientSession, control_url: str) -> dict[str, int | None]:
    async with http.get(f"{control_url}/state") as response:
        state: dict[str, int | None] = orjson.loads(await response.read())
    return state


async def _send(
    http: aiohttp.ClientSession,
    control_url: str,
    venue: Program,
    running: Recorder,
    rows: int,
    trades: int,
    progress: Progress,
) -> Burst:
    observer = running.observer

    def cpu() -> tuple[float, float, float]:
        server = cpu_seconds(observer.server_pid, children=True)
        return running.program.cpu_seconds, server, venue.cpu_seconds

    before = cpu()
    async with http.post(f"{control_url}/go") as response:
        response.raise_for_status()
    await _arrive(observer, running.program, rows, progress)
    used = [after - first for after, first in zip(cpu(), before, strict=True)]
    committed = await observer.committed()
    state = await _state(http, control_url)
    began_ns, ended_ns = state["began_ns"], state["ended_ns"]
    if committed.last_ns is None or began_ns is None:
        raise ProgramError(f"{running.name} stored nothing")
    seconds = (committed.last_ns - began_ns) / 1e9
    by_row = [round(one / committed.rows * 1e6, 2) for one in used]
    return Burst(
        recorder=running.name,
        database=running.versions,
        trades_in_frame=trades,
        sent=rows,
        stored=committed.rows,
        seconds=round(seconds, 3),
        rows_per_second=round(committed.rows / seconds),
        sending_seconds=None if ended_ns is None else round((ended_ns - began_ns) / 1e9, 3),
        cpu_us=by_row[0],
        server_cpu_us=by_row[1],
        venue_cpu_us=by_row[2],
        peak_memory_mb=round(running.program.memory_mb("VmHWM"), 1),
    )


async def _arrive(observer: Observer, recorder: Program, rows: int, progress: Progress) -> None:
    """Wait for all rows, or until neither rows come nor anybody works on them: one statement may be a minute long."""
    began = since = time.monotonic()
    last, used = 0, 0.0
    while last < rows and time.monotonic() - since < STALL_SECONDS and time.monotonic() - began < LONGEST_SECONDS:
        await asyncio.sleep(POLL_SECONDS)
        there = await observer.progress()
        working = recorder.cpu_seconds + cpu_seconds(observer.server_pid, children=True)
        if there > last or working > used + IDLE_CPU_SECONDS:
            last, used, since = there, working, time.monotonic()
        progress(there)

"""A steady load over minutes: is every record stored, how soon, and does memory stay flat?

The venue is the simulator, whose ledger says what was sent; it is compared with the tables item by item. Its mix of
trades, candles, books and tops of book is recorded with every default.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks import recorders
from benchmarks.database import Lags
from benchmarks.processes import ProgramError, program
from benchmarks.recorders import Recorder
from collector.demo.compare import Ledger, verify

CALIBRATION_EVENTS = 500.0
CALIBRATION_SECONDS = 4.0
CALIBRATIONS = 2
WARM_UP_SECONDS = 5.0
SAMPLE_SECONDS = 0.5
SETTLE_SECONDS = 30.0
# Whose rows are never changed after their commit. A candle's row is, by every trade.
TABLES = ("trades", "ticks", "books")

Progress = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Steady:
    """Lags are seconds from receipt to commit: `lags` of every row, by the database; `batch_*` of each batch's oldest
    frame, by the daemon's own histogram. Memory is the daemon's, in MiB, with `memory_mb` sampled over the time.
    """

    frames_per_second: float
    wanted_per_second: float
    seconds: float
    frames: int
    sent: int
    stored: int
    missing: int
    surplus: int
    lags: dict[str, Lags]
    batch_p50: float
    batch_p99: float
    cpu_share: float
    memory_start_mb: float
    memory_end_mb: float
    memory_peak_mb: float
    memory_mb: list[float] = field(repr=False)


async def measure(
    folder: Path, *, frames_per_second: float, seconds: float, progress: Progress = lambda _: None
) -> Steady:
    """Record the simulator at this pace for so long, then compare."""
    section = folder / "venue.toml"
    async with program(
        "simulator",
        sys.executable,
        "-m",
        "collector.simulator",
        "--venues",
        "fmfw",
        "--rate",
        str(CALIBRATION_EVENTS),
        "--write-config",
        section,
        log=folder / "venue.log",
    ) as venue:
        addresses = (await venue.first_line())["fmfw"]
        timeout = aiohttp.ClientTimeout(total=120)
        async with (
            recorders.collector(folder, section.read_text()) as running,
            aiohttp.ClientSession(timeout=timeout) as http,
        ):
            ledger = Ledger(http, addresses["rest_url"])
            await _set_pace(http, running, ledger, frames_per_second)
            return await _record(http, running, ledger, frames_per_second, seconds, progress)


async def _set_pace(http: aiohttp.ClientSession, running: Recorder, ledger: Ledger, wanted: float) -> None:
    """Ask for as many of the market's events as make this many frames: the mix decides how many those are."""
    rate = CALIBRATION_EVENTS
    for _ in range(CALIBRATIONS):
        await asyncio.sleep(CALIBRATION_SECONDS / 2)
        before, since = await _frames(http, running), time.monotonic()
        await asyncio.sleep(CALIBRATION_SECONDS)
        frames = await _frames(http, running) - before
        if not frames:
            raise ProgramError("the simulated venue sends nothing")
        rate *= wanted * (time.monotonic() - since) / frames
        await ledger.tell("rate", {"rate": rate})


async def _record(
    http: aiohttp.ClientSession,
    running: Recorder,
    ledger: Ledger,
    wanted: float,
    seconds: float,
    progress: Progress,
) -> Steady:
    await asyncio.sleep(WARM_UP_SECONDS)
    frames, cpu, since = await _frames(http, running), running.program.cpu_seconds, time.time()
    memory = [running.program.memory_mb()]
    while (passed := time.time() - since) < seconds:
        progress(passed)
        await asyncio.sleep(SAMPLE_SECONDS)
        memory.append(running.program.memory_mb())
    until = time.time()
    frames, cpu = await _frames(http, running) - frames, running.program.cpu_seconds - cpu
    await ledger.pause()
    status = await _settled(http, running)
    peak = running.program.memory_mb("VmHWM")
    verdicts = await verify(running.observer.dsn, "fmfw", ledger)
    lag = status["lag"]
    return Steady(
        frames_per_second=round(frames / (until - since), 1),
        wanted_per_second=wanted,
        seconds=round(until - since, 1),
        frames=frames,
        sent=sum(one.sent for one in verdicts),
        stored=sum(one.stored for one in verdicts),
        missing=sum(one.missing for one in verdicts),
        surplus=sum(one.surplus for one in verdicts),
        lags={table: await running.observer.lags(table, since, until) for table in TABLES},
        batch_p50=lag["p50_seconds"],
        batch_p99=lag["p99_seconds"],
        cpu_share=round(cpu / (until - since), 3),
        memory_start_mb=round(memory[0], 1),
        memory_end_mb=round(memory[-1], 1),
        memory_peak_mb=round(peak, 1),
        memory_mb=[round(one, 1) for one in memory],
    )


async def _frames(http: aiohttp.ClientSession, running: Recorder) -> int:
    assert running.status_url is not None
    status = await recorders.status(http, running.status_url)
    return sum(one["frames"] for venue in status["venues"] for one in venue["connections"])


async def _settled(http: aiohttp.ClientSession, running: Recorder) -> Any:
    """Wait until nothing new comes and all is committed."""
    assert running.status_url is not None
    async with asyncio.timeout(SETTLE_SECONDS):
        last = -1
        while True:
            status = await recorders.status(http, running.status_url)
            frames = sum(one["frames"] for venue in status["venues"] for one in venue["connections"])
            if frames == last and not status["journal"]["backlog_bytes"]:
                return status
            last = frames
            await asyncio.sleep(1.0)

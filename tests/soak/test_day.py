"""A day of fifty instruments as fast as it goes: all of it is stored, and memory stays flat."""

from __future__ import annotations

import asyncio
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from benchmarks import recorders
from benchmarks.processes import program
from tests.databases import TIMESCALEDB, installation_for

from .conftest import Measured

SYMBOLS = 50
MEMORY_MB = 300
# Allowed between the first and the last third: buffers fill up, and the allocator keeps what it once had.
GROWTH_MB = 60
SAMPLE_SECONDS = 0.2


@pytest.fixture
def folder() -> Iterator[Path]:
    """On the disk, where the database's account can go."""
    installation_for(TIMESCALEDB)
    made = Path(tempfile.mkdtemp(prefix="collector-test-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.mark.parametrize("trades", [60_000, pytest.param(1_000_000, marks=pytest.mark.soak)])
async def test_a_day_at_full_speed(folder: Path, trades: int, measured: Measured) -> None:
    venue_command = (
        sys.executable,
        "-m",
        "benchmarks.venue",
        "--frames",
        str(trades),
        "--symbols",
        str(SYMBOLS),
        "--trades",
        "1",
    )
    async with program("venue", *venue_command, log=folder / "venue.log") as venue:
        addresses = await venue.first_line()
        async with (
            recorders.collector(folder, recorders.trades_only(addresses)) as daemon,
            aiohttp.ClientSession() as http,
        ):
            control = addresses["control_url"]
            await asyncio.sleep(1)
            async with http.post(f"{control}/go") as response:
                response.raise_for_status()
            began, memory = time.monotonic(), [daemon.program.memory_mb()]
            while await daemon.observer.progress() < trades:
                assert time.monotonic() - began < 600
                await asyncio.sleep(SAMPLE_SECONDS)
                memory.append(daemon.program.memory_mb())
            seconds = time.monotonic() - began
            stored = (await daemon.observer.committed()).rows
            peak = daemon.program.memory_mb("VmHWM")
    third = max(1, len(memory) // 3)
    first, last = statistics.median(memory[:third]), statistics.median(memory[-third:])
    measured(
        trades=stored,
        seconds=seconds,
        rows_per_second=round(stored / seconds),
        memory_mb_first_third=first,
        memory_mb_last_third=last,
        peak_memory_mb=peak,
    )
    assert stored == trades
    assert peak < MEMORY_MB
    if trades > 500_000:  # a short run is all start
        assert last - first < GROWTH_MB

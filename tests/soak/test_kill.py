"""The daemon is killed: at any moment, and at each step at which something could be half done."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path
from random import Random

import pytest

from tests.kit.stage import Stage, stage
from tests.repair.truth import now_us

from .conftest import Measured
from .launcher import STEPS
from .proof import Span, proved
from .recording import recording

pytestmark = pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)

# The repair alone can bring back what a kill has cost, and segments end all the time.
SETTINGS = "snapshot = 0\n[journal]\nsegment_mb = 1"
STEP_SECONDS = 60.0


async def first_run(on: Stage) -> tuple[int, Span]:
    """Record for a moment; returns since when everything has to be there, and the time of the kill."""
    async with recording(on) as daemon:
        await daemon.flows(1000)
        since_us = now_us()
        await daemon.flows(1000)
        daemon.process.kill()
        await daemon.process.wait()
    return since_us, Span(now_us(), now_us())


@pytest.mark.parametrize("kills", [3, pytest.param(100, marks=pytest.mark.soak)])
async def test_kills_at_any_moment_lose_nothing(
    database: str, tmp_path: Path, kills: int, measured: Measured, rate: float
) -> None:
    random = Random(kills)
    async with stage(database, tmp_path, rate=rate, extra=SETTINGS) as on:
        since_us, first = await first_run(on)
        troubles, began = [first], time.monotonic()
        for _ in range(kills):
            async with recording(on) as daemon:
                await asyncio.sleep(random.uniform(0.3, 3.0))  # the moment is what is tried
                daemon.process.kill()
                assert await daemon.process.wait() == -signal.SIGKILL
            troubles.append(Span(now_us(), now_us()))
        seconds = time.monotonic() - began
        async with recording(on) as daemon:
            began = time.monotonic()
            lost = await proved(on, daemon, since_us, troubles, seconds=60 + 10 * kills)
            proving = time.monotonic() - began
        trades = await on.rows("trades")
        gaps = await on.query("select count(*) from gaps where cause = 'killed'")
        assert gaps[0][0] > 0
        measured(
            kills=kills,
            seconds=seconds,
            repair_and_comparison_seconds=proving,
            trades=trades,
            gaps=gaps[0][0],
            quotes_and_books_in_gaps=lost,
        )


async def killed_at(on: Stage, step: str, call: int) -> Span:
    """Run a daemon that kills itself; fails where it lives on."""
    async with recording(on, step, call, 0) as daemon:
        try:
            async with asyncio.timeout(STEP_SECONDS):
                assert await daemon.process.wait() == -signal.SIGKILL, step
        except TimeoutError:
            raise AssertionError(f"the step was not reached in {STEP_SECONDS} s: {step}") from None
    return Span(now_us(), now_us())


async def test_kill_at_every_step_loses_nothing(database: str, tmp_path: Path, measured: Measured, rate: float) -> None:
    async with stage(database, tmp_path, rate=rate, extra=SETTINGS) as on:
        since_us, first = await first_run(on)
        troubles = [first, *[await killed_at(on, name, step.call) for name, step in STEPS.items()]]
        async with recording(on) as daemon:
            lost = await proved(on, daemon, since_us, troubles)
        measured(kills=len(STEPS), trades=await on.rows("trades"), quotes_and_books_in_gaps=lost)


@pytest.mark.soak
@pytest.mark.parametrize("step", STEPS)
async def test_kills_at_one_step_again_and_again_lose_nothing(
    database: str, tmp_path: Path, step: str, measured: Measured, rate: float
) -> None:
    random = Random(step)
    async with stage(database, tmp_path, rate=rate, extra=SETTINGS) as on:
        since_us, first = await first_run(on)
        calls = [random.randrange(1, 3 * STEPS[step].call + 1) for _ in range(8)]
        troubles = [first, *[await killed_at(on, step, call) for call in calls]]
        async with recording(on) as daemon:
            lost = await proved(on, daemon, since_us, troubles)
        measured(calls=calls, trades=await on.rows("trades"), quotes_and_books_in_gaps=lost)

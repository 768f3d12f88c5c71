"""Who waits for repairs waits until nothing is repaired, and never longer than a bound."""

from __future__ import annotations

import asyncio

from collector.repair.line import Line
from collector.repair.stretches import Stretch
from tests.repair.fakes import gap

PATIENCE_SECONDS = 30.0


async def test_line_is_idle_once_what_waits_is_done() -> None:
    line = Line()
    await line.is_idle(PATIENCE_SECONDS)  # at once: nothing was ever put in

    line.put(Stretch((gap(1),)))
    waiting = asyncio.create_task(line.is_idle(PATIENCE_SECONDS))
    stretch = await line.take(trades=True)
    await asyncio.sleep(0)
    assert not waiting.done()
    with line.busy():
        line.done(stretch)
        await asyncio.sleep(0)
        assert not waiting.done()
    await waiting
    assert line.idle


async def test_wait_for_an_idle_line_has_an_end() -> None:
    line = Line()
    line.put(Stretch((gap(1),)))
    await line.is_idle(0.01)
    assert not line.idle

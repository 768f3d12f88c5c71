"""The daemon's eye on the machine's clock."""

from __future__ import annotations

import asyncio

from structlog.testing import capture_logs

from collector.daemon.clock_watch import watch_clock
from tests.feed.fakes import FakeClock


class SetClock(FakeClock):
    """A clock whose wall time can be set."""

    def __init__(self) -> None:
        super().__init__()
        self.wall = 1_700_000_000.0

    def now_ns(self) -> int:
        return int((self.wall + self.now) * 1e9)


async def test_a_clock_that_is_set_is_journalled_both_ways_and_one_that_drifts_is_not() -> None:
    clock, steps = SetClock(), list[int]()
    with capture_logs() as logs:
        watching = asyncio.ensure_future(watch_clock(clock, steps.append))
        for by in (0.0, 0.01, -3600.0, 0.0, -0.01, 3600.0, 0.0):
            clock.wall += by
            before = clock.now
            async with asyncio.timeout(5):
                while clock.now < before + 2:  # noqa: ASYNC110  time passes with each of its looks
                    await asyncio.sleep(0)
        watching.cancel()
    assert [round(step / 1e9) for step in steps] == [-3600, 3600]
    assert [log["event"] for log in logs] == ["clock_was_set"] * 2

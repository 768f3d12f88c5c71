"""A part that fails is told, counted and started again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random

import pytest
from structlog.testing import capture_logs

from collector.errors import CollectorError
from collector.feed.pauses import STEADY_SECONDS
from collector.supervise.parts import RESTART_PAUSE_MAX_SECONDS, Part
from tests.feed.fakes import FakeClock


class Work:
    """Fails as it is told to, one time after the other, and then runs on."""

    def __init__(self, clock: FakeClock, *failures: Exception, lasts: float = 0.0) -> None:
        self.starts: list[float] = []
        self.steady = asyncio.Event()
        self._clock = clock
        self._failures = list(failures)
        self._lasts = lasts

    async def __call__(self) -> None:
        self.starts.append(self._clock.now)
        if self._failures:
            await self._clock.sleep(self._lasts)
            raise self._failures.pop(0)
        self.steady.set()
        await asyncio.Event().wait()


async def until_steady(work: Work, clock: FakeClock, look: Callable[[Part], None] | None = None) -> Part:
    part = Part("page", work, clock, Random(1))
    task = asyncio.ensure_future(part.run())
    await asyncio.wait_for(work.steady.wait(), 30)
    if look is not None:
        look(part)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    return part


async def test_a_bug_is_told_each_time_and_counted_and_the_part_is_started_again() -> None:
    clock = FakeClock()
    with capture_logs() as logs:
        part = await until_steady(Work(clock, ValueError("x"), ExceptionGroup("g", [KeyError("y")])), clock)
    assert part.failures == 2
    assert [(one["event"], one["log_level"], one["reason"]) for one in logs] == [
        ("part_failed", "error", "ValueError: x"),
        ("part_failed", "error", "KeyError: 'y'"),
    ]


async def test_what_only_has_to_be_waited_for_is_told_once_and_is_no_crash() -> None:
    clock = FakeClock()
    troubles: list[str] = []
    work = Work(clock, *[CollectorError("the port is taken")] * 5, CollectorError("another trouble"))
    part = Part("page", work, clock, Random(1))
    part.when_troubled = lambda: troubles.append(part.trouble)
    with capture_logs() as logs:
        task = asyncio.ensure_future(part.run())
        await asyncio.wait_for(work.steady.wait(), 30)
        task.cancel()
        await asyncio.wait([task])
    assert part.failures == 0
    assert [(one["event"], one["reason"]) for one in logs] == [
        ("part_waits", "the port is taken"),
        ("part_waits", "another trouble"),
    ]
    assert troubles == ["the port is taken", "another trouble"]


async def test_pauses_grow_up_to_a_bound_and_begin_anew_after_a_steady_run() -> None:
    clock = FakeClock()
    work = Work(clock, *[ValueError("x")] * 20)
    with capture_logs():  # tracebacks are shown at length, which takes its time
        await until_steady(work, clock)
    pauses = [later - earlier for earlier, later in zip(work.starts, work.starts[1:], strict=False)]
    assert max(pauses) <= RESTART_PAUSE_MAX_SECONDS
    assert pauses[0] < 1 < max(pauses[-5:])

    clock = FakeClock()
    work = Work(clock, *[ValueError("x")] * 20, lasts=STEADY_SECONDS)
    with capture_logs():
        await until_steady(work, clock)
    pauses = [later - earlier - STEADY_SECONDS for earlier, later in zip(work.starts, work.starts[1:], strict=False)]
    assert max(pauses) < 1


async def test_trouble_is_told_until_the_part_has_run_for_a_while_or_says_that_it_is_well() -> None:
    clock = FakeClock()

    def look(part: Part) -> None:
        assert part.trouble == "ValueError: x"
        clock.now += STEADY_SECONDS + 1
        assert part.trouble == ""

    await until_steady(Work(clock, ValueError("x")), clock, look)

    def well(part: Part) -> None:
        part.well()
        assert part.trouble == ""

    await until_steady(Work(clock, ValueError("x")), clock, well)


async def test_work_that_is_done_is_not_done_again() -> None:
    part = Part("database server", lambda: asyncio.sleep(0), FakeClock(), Random(1))
    await part.run()
    assert (part.failures, part.trouble) == (0, "")


async def test_nothing_but_exceptions_is_held_back() -> None:
    async def leave() -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        await Part("page", leave, FakeClock(), Random(1)).run()

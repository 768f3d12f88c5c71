"""How soon lines come back: by themselves, beside others that live, and once their venue is there again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from random import Random
from typing import Any

import pytest

from collector.backoff import BACKOFF_MAX_SECONDS
from collector.feed.connection import ConnectionState
from collector.feed.network import LineError, Loss, MovedError
from collector.feed.pauses import (
    PAUSE_AFTER_LIVE_MAX_SECONDS,
    PAUSE_BESIDE_LIVE_MAX_SECONDS,
    WAKE_SPREAD_SECONDS,
    Pauses,
)
from collector.feed.worker import UNDISCOVERED_PAUSE_MAX_SECONDS, VenueWorker
from collector.venues.plan import Plan

from .fakes import FakeIntake, FakeLine, FakeNetwork, FakeVenue, LivingLine, OrderlyClock, connection_plan

NAMES = [f"fake-{number}" for number in range(1, 6)]


class Venue(FakeNetwork):
    """A venue whose lines come and go as a test says; `tries` holds when each was asked for."""

    def __init__(self, clock: OrderlyClock) -> None:
        super().__init__()
        self._clock = clock
        self.away: dict[str, LineError] = {}
        self.held: dict[str, LivingLine] = {}
        self.tries: dict[str, list[float]] = {name: [] for name in NAMES}
        self.rest_is_away = False
        self.asked: list[float] = []

    async def connect(self, url: str, **_: Any) -> FakeLine:
        name = url.rpartition("/")[2]
        self.tries[name].append(self._clock.now)
        if name in self.away:
            raise self.away[name]
        self.held[name] = LivingLine()
        return self.held[name]

    async def request(self, *_: Any, **__: Any) -> Any:
        self.asked.append(self._clock.now)
        return (503 if self.rest_is_away else 200), {}, b""

    def leave(self, *names: str, error: LineError | None = None) -> None:
        for name in names:
            self.away[name] = error or LineError("nobody answers", kind=Loss.UNREACHABLE)
            self.held[name].cut()
            self.tries[name].clear()

    def pauses(self, name: str) -> list[float]:
        tries = self.tries[name]
        return [later - sooner for sooner, later in pairwise(tries)]


class Scene:
    """A worker with five lines at a venue."""

    def __init__(self) -> None:
        self.clock = OrderlyClock()
        self.venue = Venue(self.clock)
        plans = [replace(connection_plan(name), url=f"ws://fake/{name}") for name in NAMES]
        self.worker = VenueWorker(
            FakeVenue(plans=[Plan(tuple(plans))]),
            network=self.venue,
            intake=FakeIntake(),
            clock=self.clock,
            random=Random(3),
            refresh_seconds=1e9,
        )

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not condition():  # noqa: ASYNC110  any state may be waited for
                await asyncio.sleep(0)

    async def after(self, seconds: float) -> None:
        end = self.clock.now + seconds
        await self.until(lambda: self.clock.now >= end)

    def live(self, *names: str) -> bool:
        feeds = self.worker.connections
        return set(names) <= feeds.keys() and all(feeds[name].state is ConnectionState.LIVE for name in names)


@asynccontextmanager
async def scene() -> AsyncIterator[Scene]:
    on = Scene()
    task = asyncio.ensure_future(on.worker.run())
    try:
        yield on
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()


async def test_sleep_ends_with_its_time_with_an_event_or_soon_after_a_line_has_come_to_life() -> None:
    clock = OrderlyClock()
    pauses, event = Pauses(clock, Random(1)), asyncio.Event()
    began = clock.now
    await pauses.sleep(7)
    assert clock.now == began + 7

    asyncio.get_running_loop().call_soon(event.set)
    await pauses.sleep(7, event)
    assert clock.now == began + 7

    asyncio.get_running_loop().call_soon(pauses.came, "a line")
    await pauses.sleep(1_000)
    assert began + 7 < clock.now <= began + 7 + WAKE_SPREAD_SECONDS

    began = clock.now
    asyncio.get_running_loop().call_soon(pauses.came, "another line")
    await pauses.sleep(0.001)
    assert clock.now <= began + 0.001


async def test_line_that_is_live_already_wakes_nobody_again() -> None:
    clock = OrderlyClock()
    pauses, began = Pauses(clock, Random(1)), clock.now
    pauses.came("a line")
    asyncio.get_running_loop().call_soon(pauses.came, "a line")
    await pauses.sleep(100)
    assert clock.now == began + 100


async def test_line_that_was_proved_is_back_at_once_however_long_its_venue_was_away_before() -> None:
    async with scene() as on:
        await on.until(lambda: on.live(*NAMES))
        on.venue.leave(*NAMES)
        await on.after(600)
        assert max(on.venue.pauses("fake-1")) > PAUSE_BESIDE_LIVE_MAX_SECONDS
        on.venue.away.clear()
        await on.until(lambda: on.live(*NAMES))
        await on.after(3)
        cut = on.clock.now
        on.venue.held["fake-1"].cut()
        await on.until(lambda: on.worker.connections["fake-1"].state is not ConnectionState.LIVE)
        await on.until(lambda: on.live("fake-1"))
        assert on.venue.tries["fake-1"][-1] - cut <= 1.0


async def test_line_that_is_proved_and_cut_again_and_again_is_made_every_few_seconds() -> None:
    async with scene() as on:
        await on.until(lambda: on.live(*NAMES))
        on.venue.tries["fake-1"].clear()
        began = on.clock.now
        while on.clock.now < began + 600:
            on.venue.held["fake-1"].cut()
            await on.until(lambda: not on.live("fake-1"))
            await on.until(lambda: on.live("fake-1"))
        pauses = on.venue.pauses("fake-1")
        assert pauses[0] < 3
        assert all(pause <= PAUSE_AFTER_LIVE_MAX_SECONDS + 3 for pause in pauses)
        assert 100 < len(pauses) < 300
        # Once it has lived for a while, it is back at once again.
        await on.after(70)
        cut = on.clock.now
        on.venue.held["fake-1"].cut()
        await on.until(lambda: not on.live("fake-1"))
        await on.until(lambda: on.live("fake-1"))
        assert on.venue.tries["fake-1"][-1] - cut <= 1.5


async def test_line_is_tried_every_few_seconds_while_others_live() -> None:
    async with scene() as on:
        await on.until(lambda: on.live(*NAMES))
        on.venue.leave("fake-1")
        await on.after(300)
        assert max(on.venue.pauses("fake-1")) <= PAUSE_BESIDE_LIVE_MAX_SECONDS
        assert len(on.venue.pauses("fake-1")) > 60


async def test_venue_that_is_away_is_asked_once_a_minute_at_the_most_by_each_line() -> None:
    async with scene() as on:
        await on.until(lambda: on.live(*NAMES))
        on.venue.leave(*NAMES)
        await on.after(1200)
        for name in NAMES:
            late = on.venue.pauses(name)[8:]
            assert all(12 <= pause <= BACKOFF_MAX_SECONDS for pause in late)
            assert late


async def test_line_that_comes_back_brings_all_the_others_with_it() -> None:
    async with scene() as on:
        await on.until(lambda: on.live(*NAMES))
        on.venue.leave(*NAMES)
        await on.after(900)
        on.venue.away.clear()
        await on.until(lambda: any(on.live(name) for name in NAMES))
        back = on.clock.now
        await on.until(lambda: on.live(*NAMES))
        assert on.clock.now <= back + WAKE_SPREAD_SECONDS + 2
        tries = [tries[-1] for tries in on.venue.tries.values() if tries[-1] > back - 1]
        assert len(set(tries)) == len(tries)


@pytest.mark.parametrize("status", [401, 403, 429, 308])
async def test_line_that_is_not_wanted_is_not_tried_sooner_because_others_live(status: int) -> None:
    refusal = LineError("go away", status=status, kind=Loss.REFUSED)
    if status == 308:
        refusal = MovedError("ws://fake", status, "ws://other")
    async with scene() as on:
        await on.until(lambda: on.live(*NAMES))
        on.venue.leave("fake-1", error=refusal)
        await on.after(1200)
        assert max(on.venue.pauses("fake-1")) > (300 if status == 401 else 30)
        # Nor because one comes back.
        tries = len(on.venue.tries["fake-1"])
        on.venue.held["fake-2"].cut()
        await on.until(lambda: not on.live("fake-2"))
        await on.until(lambda: on.live("fake-2"))
        await on.after(WAKE_SPREAD_SECONDS)
        assert len(on.venue.tries["fake-1"]) <= tries + 1


async def test_first_discovery_is_tried_every_few_seconds_and_a_later_one_when_a_line_comes_back() -> None:
    on = Scene()
    on.venue.rest_is_away = True
    task = asyncio.ensure_future(on.worker.run())
    await on.after(600)
    gaps = [later - sooner for sooner, later in pairwise(on.venue.asked)]
    assert max(gaps) <= UNDISCOVERED_PAUSE_MAX_SECONDS
    on.venue.rest_is_away = False
    await on.until(lambda: on.live(*NAMES))

    on.venue.rest_is_away = True
    on.venue.leave(*NAMES)
    on.worker.look_again()
    await on.after(900)
    on.venue.away.clear()
    await on.until(lambda: any(on.live(name) for name in NAMES))
    back, asked = on.clock.now, len(on.venue.asked)
    await on.until(lambda: len(on.venue.asked) > asked)
    assert on.clock.now <= back + 16 + WAKE_SPREAD_SECONDS  # a round of tries is finished first
    task.cancel()
    await asyncio.wait([task])

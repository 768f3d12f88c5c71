from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from random import Random
from typing import Any

from structlog.testing import capture_logs

from collector.feed.connection import ConnectionState
from collector.feed.worker import SETTLED_SECONDS, VenueWorker, WorkerState
from collector.venues.plan import Plan, Problem

from .fakes import Answer, FakeClock, FakeIntake, FakeLine, FakeNetwork, FakeVenue, connection_plan, plan

OK: Answer = (200, {}, b"")


@asynccontextmanager
async def working(
    *plans: Plan, answers: int = 10, first: tuple[Answer, ...] = (), lines: int = 10
) -> AsyncIterator[VenueWorker]:
    network = FakeNetwork(*[FakeLine() for _ in range(lines)], answers=[*first, *[OK] * answers])
    worker = VenueWorker(
        FakeVenue(plans=list(plans)),
        network=network,
        intake=FakeIntake(),
        clock=FakeClock(),
        random=Random(1),
        refresh_seconds=1,
    )
    task = asyncio.ensure_future(worker.run())
    try:
        yield worker
    finally:
        task.cancel()
        await asyncio.wait([task])


async def acknowledge(feed: Any) -> None:
    """Let the venue prove a connection's subscriptions."""
    await until(lambda: feed.living is not None)
    feed.living.conversation.proved = True


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  any state of the feed may be waited for
            await asyncio.sleep(0)


async def test_every_planned_connection_is_held() -> None:
    async with working(plan(connection_plan("fake-1"), connection_plan("fake-2"))) as worker:
        await until(lambda: len(worker.connections) == 2)
        assert worker.state is WorkerState.RUNNING


async def test_discovery_that_fails_is_visible_and_tried_again() -> None:
    async with working(plan(connection_plan()), first=((400, {}, b""),) * 3, answers=1) as worker:
        await until(lambda: worker.state is WorkerState.WAITING)
        assert "status 400" in worker.reason
        await until(lambda: worker.state is WorkerState.RUNNING)


async def test_reason_of_a_failure_is_shown_while_discovery_is_tried_again() -> None:
    reasons: list[str] = []

    class Watched(VenueWorker):
        def _become(self, state: WorkerState, reason: str = "") -> None:
            super()._become(state, reason)
            if state is WorkerState.DISCOVERING:
                reasons.append(reason)

    network = FakeNetwork(answers=[(400, {}, b"")] * 2)
    worker = Watched(FakeVenue(plans=[]), network=network, intake=FakeIntake(), clock=FakeClock(), random=Random(1))
    task = asyncio.ensure_future(worker.run())
    await until(lambda: len(reasons) >= 2)
    task.cancel()
    await asyncio.wait([task])
    assert reasons[0] == ""
    assert "status 400" in reasons[1]


async def test_refused_symbol_is_reported_once() -> None:
    problem = Problem("NOSUCH", "the venue has no such symbol")
    with capture_logs() as logs:
        async with working(plan(connection_plan(), problems=[problem]), answers=5) as worker:
            await until(lambda: not worker._network.answers)  # type: ignore[attr-defined]
            assert worker.problems == (problem,)
    assert [entry["symbol"] for entry in logs if entry["event"] == "symbol_refused"] == ["NOSUCH"]


async def test_change_of_the_plan_leaves_the_other_connections_alone() -> None:
    before = plan(connection_plan("fake-1", "A"), connection_plan("fake-2", "B"), connection_plan("fake-3", "C"))
    after = plan(connection_plan("fake-1", "A"), connection_plan("fake-2", "B", "D"))
    async with working(before, after) as worker:
        await until(lambda: len(worker.connections) == 3)
        kept, changed = worker.connections["fake-1"], worker.connections["fake-2"]
        await until(lambda: worker.connections.get("fake-2") not in {changed, None})
        assert set(worker.connections) == {"fake-1", "fake-2"}
        assert worker.connections["fake-1"] is kept


async def test_plan_that_asks_for_it_is_made_again_sooner() -> None:
    before = replace(plan(connection_plan("fake-1")), look_again_seconds=0.25)
    after = plan(connection_plan("fake-2"))
    async with working(before, after) as worker:
        worker._refresh_seconds = 3600
        began = worker._clock.monotonic()
        await until(lambda: "fake-2" in worker.connections)
        assert worker._clock.monotonic() - began < 100


async def test_connection_is_replaced_by_one_that_is_live_already() -> None:
    before, after = plan(connection_plan("fake-1", "A")), plan(connection_plan("fake-1", "A", "B"))
    async with working(before, after) as worker:
        await until(lambda: "fake-1" in worker.connections)
        old = worker.connections["fake-1"]
        await acknowledge(old)
        await until(lambda: old.state is ConnectionState.LIVE)
        await until(lambda: worker.leaving == {"fake-1": old})
        new = worker.connections["fake-1"]
        assert old.state is ConnectionState.LIVE
        began = worker._clock.monotonic()
        await acknowledge(new)
        await until(lambda: not worker.leaving)
        assert (old.state, new.state) == (ConnectionState.STOPPED, ConnectionState.LIVE)
        assert worker._clock.monotonic() - began >= SETTLED_SECONDS


async def test_old_connection_ends_even_if_the_new_one_never_comes_to_life() -> None:
    before, after = plan(connection_plan("fake-1", "A")), plan(connection_plan("fake-1", "A", "B"))
    with capture_logs() as logs:
        async with working(before, after) as worker:
            await until(lambda: "fake-1" in worker.connections)
            old = worker.connections["fake-1"]
            await acknowledge(old)
            await until(lambda: worker.leaving == {"fake-1": old})
            await until(lambda: not worker.leaving)
            assert old.state is ConnectionState.STOPPED
            assert worker.connections["fake-1"].state is ConnectionState.SUBSCRIBING
    assert "connections_replaced_early" in [entry["event"] for entry in logs]


async def test_connection_that_left_the_plan_records_until_the_others_have_taken_over() -> None:
    before = plan(connection_plan("fake-1", "A"), connection_plan("fake-2", "B"))
    after = plan(connection_plan("fake-1", "A", "B"))
    async with working(before, after) as worker:
        await until(lambda: len(worker.connections) == 2)
        old = worker.connections["fake-2"]
        for feed in worker.connections.values():
            await acknowledge(feed)
        await until(lambda: set(worker.leaving) == {"fake-1", "fake-2"})
        assert set(worker.connections) == {"fake-1"}
        assert old.state is ConnectionState.LIVE
        await acknowledge(worker.connections["fake-1"])
        await until(lambda: old.state is ConnectionState.STOPPED)


async def test_other_settings_are_applied_at_once() -> None:
    async with working(plan(connection_plan("fake-1"))) as worker:
        worker._refresh_seconds = 1e9
        await until(lambda: "fake-1" in worker.connections)
        asked = len(worker._network.requests)  # type: ignore[attr-defined]
        worker.venue.apply("others")
        worker.look_again()
        await until(lambda: len(worker._network.requests) > asked)  # type: ignore[attr-defined]


async def test_worker_that_is_run_again_makes_its_connections_anew() -> None:
    async with working(plan(connection_plan("fake-1"))) as worker:
        await until(lambda: "fake-1" in worker.connections)
        first = worker.connections["fake-1"]
    task = asyncio.ensure_future(worker.run())
    try:
        await until(lambda: worker.connections.get("fake-1") not in {first, None})
    finally:
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled()

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random

import pytest
from aiohttp import WSMsgType
from aiolimiter import AsyncLimiter
from structlog.testing import capture_logs

from collector.feed.connection import ConnectionFeed, ConnectionState
from collector.feed.network import LineError, Loss, MovedError

from .fakes import LIMITS, FakeClock, FakeIntake, FakeLine, FakeNetwork, FakeVenue, connection_plan


class Stage:
    """A connection feed with everything around it."""

    def __init__(self, *lines: FakeLine | LineError, give_up_after: float | None = None) -> None:
        self.clock = FakeClock()
        self.network = FakeNetwork(*lines)
        self.intake = FakeIntake()
        self.adapter = FakeVenue(give_up_after=give_up_after)
        self.feed = ConnectionFeed(
            connection_plan(),
            self.adapter,
            LIMITS,
            network=self.network,
            intake=self.intake,
            sending=AsyncLimiter(1000, 1),
            clock=self.clock,
            random=Random(1),
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Stage]:
        task = asyncio.ensure_future(self.feed.run())
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled() or task.exception() is None

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():  # noqa: ASYNC110  any state of the feed may be waited for
                await asyncio.sleep(0)


async def test_frames_reach_the_session_in_their_order() -> None:
    async with Stage(FakeLine(b"one", b"two", b"three")).running() as stage:
        await stage.until(lambda: stage.feed.frames == 3)
        assert stage.intake.sessions[0].frames == [b"one", b"two", b"three"]
        assert stage.feed.bytes == 11


async def test_flood_of_frames_leaves_others_their_turn() -> None:
    async with Stage(FakeLine(*[b"frame"] * 1000)).running() as stage:
        await stage.until(lambda: stage.feed.frames > 0)
        assert stage.feed.frames < 1000
        await stage.until(lambda: stage.feed.frames == 1000)


async def test_connection_is_live_once_its_subscriptions_are_proved() -> None:
    line = FakeLine()
    async with Stage(line).running() as stage:
        await stage.until(lambda: line.sent == [b"subscribe"])
        assert stage.feed.state is ConnectionState.SUBSCRIBING
        line.inbox.put_nowait(b"ack")
        await stage.until(lambda: stage.feed.state is ConnectionState.LIVE)


async def test_cut_line_is_made_again_and_the_reason_is_kept_with_the_session() -> None:
    async with Stage(FakeLine(b"one", LineError("the line was cut")), FakeLine(b"two")).running() as stage:
        await stage.until(lambda: stage.feed.frames == 2)
        first, second = stage.intake.sessions
        assert first.closed == "the line was cut"
        assert second.closed is None
        assert stage.feed.reconnects == 1
        assert stage.feed.losses == {Loss.CUT: 1}


async def test_venue_that_cannot_be_reached_is_tried_for_ever() -> None:
    refusals = [LineError("nobody answers", kind=Loss.UNREACHABLE) for _ in range(50)]
    async with Stage(*refusals, FakeLine(b"at last")).running() as stage:
        await stage.until(lambda: stage.feed.frames == 1)
        assert stage.network.connects == 51
        assert stage.feed.losses == {Loss.UNREACHABLE: 50}


async def test_line_that_is_pointed_elsewhere_tells_where_and_what_to_do() -> None:
    moved = MovedError("wss://fake/ws?token=secret", 301, "https://other/ws?token=secret")
    with capture_logs() as logs:
        async with Stage(moved, FakeLine(b"one")).running() as stage:
            await stage.until(lambda: stage.feed.frames == 1)
    [told] = [entry["reason"] for entry in logs if entry["event"] == "connection_lost"]
    assert "wss://fake/ws answered 301 and points to https://other/ws;" in told
    assert "set it in [venues.fake]" in told
    assert stage.feed.losses == {Loss.REFUSED: 1}


async def test_silent_line_is_given_up_although_it_is_open() -> None:
    async with Stage(FakeLine(b"one"), FakeLine()).running() as stage:
        await stage.until(lambda: len(stage.intake.sessions) == 2)
        assert "nothing was heard for" in str(stage.intake.sessions[0].closed)
        assert stage.feed.losses == {Loss.SILENT: 1}


async def test_pongs_alone_keep_a_quiet_market_connected() -> None:
    line = FakeLine()
    async with Stage(line).running() as stage:
        for _ in range(20):  # each about a ping apart
            pings = line.pings
            await stage.until(lambda pings=pings: line.pings > pings)  # type: ignore[misc]
            line.inbox.put_nowait(WSMsgType.PONG)
        assert stage.clock.now > 1_000 + 5 * LIMITS.silence_seconds
        assert len(stage.intake.sessions) == 1
        assert stage.intake.sessions[0].beats > 10


async def test_pings_of_the_venue_are_answered() -> None:
    line = FakeLine(WSMsgType.PING)
    async with Stage(line).running() as stage:
        await stage.until(lambda: line.pongs == [b"probe"])


async def test_conversation_may_give_the_connection_up() -> None:
    async with Stage(FakeLine(), FakeLine(), give_up_after=5).running() as stage:
        await stage.until(lambda: len(stage.intake.sessions) == 2)
        assert stage.intake.sessions[0].closed == "no data came"
        assert stage.feed.losses == {Loss.GIVEN_UP: 1}


async def test_reading_pauses_while_the_journal_has_no_room() -> None:
    line = FakeLine(b"x")
    async with Stage(line).running() as stage:
        await stage.until(lambda: stage.feed.frames == 1)
        stage.intake.full = True
        for _ in range(199):
            line.inbox.put_nowait(b"x")
        await stage.until(lambda: stage.intake.waited_for_room == 1)
        assert stage.feed.frames == 64
        stage.intake.roomy.set()
        await stage.until(lambda: stage.feed.frames == 200)


async def test_line_that_ended_without_room_is_not_made_again_before_there_is_some_and_is_watched_then() -> None:
    line = FakeLine(b"x")
    async with Stage(line, FakeLine(), FakeLine(), give_up_after=100).running() as stage:
        await stage.until(lambda: stage.feed.frames == 1)
        stage.intake.full = True
        for _ in range(63):
            line.inbox.put_nowait(b"x")
        await stage.until(lambda: stage.intake.waited_for_room == 2)
        assert stage.intake.sessions[0].closed == "no data came"
        assert stage.network.connects == 1
        stage.intake.roomy.set()
        await stage.until(lambda: len(stage.intake.sessions) == 3)
        assert "nothing was heard for" in str(stage.intake.sessions[1].closed)


async def test_line_is_ended_with_its_cause_when_nothing_can_be_recorded_and_made_again_when_it_can() -> None:
    line = FakeLine(b"x")
    async with Stage(line, FakeLine(b"y")).running() as stage:
        await stage.until(lambda: stage.feed.frames == 1)
        refusal, stage.intake.refusal = stage.intake.refusal, asyncio.Future()
        stage.intake.full = True
        refusal.set_result(("disk full", "the budget is used up"))
        await stage.until(lambda: stage.intake.waited_for_room == 1)
        session = stage.intake.sessions[0]
        assert (session.closed, session.cause) == ("the budget is used up", "disk full")
        assert line.closed
        assert stage.network.connects == 1
        stage.intake.roomy.set()
        await stage.until(lambda: stage.feed.frames == 2)
        assert stage.intake.sessions[1].closed is None


async def test_line_that_nobody_reads_is_not_known_to_live() -> None:
    line = FakeLine(b"x")
    async with Stage(line).running() as stage:
        await stage.until(lambda: stage.feed.frames == 1)
        stage.intake.full = True
        for _ in range(63):
            line.inbox.put_nowait(b"x")
        await stage.until(lambda: stage.intake.waited_for_room == 1)
        beats, began = stage.intake.sessions[0].beats, stage.clock.now
        await stage.until(lambda: stage.clock.now > began + LIMITS.ping_seconds)
        assert stage.intake.sessions[0].beats == beats


async def test_line_that_is_read_too_slowly_is_told_until_all_of_it_was_read() -> None:
    line = FakeLine(b"x")
    async with Stage(line).running() as stage:
        await stage.until(lambda: stage.feed.frames == 1)
        stage.intake.full = True
        for _ in range(63):
            line.inbox.put_nowait(b"x")
        await stage.until(lambda: stage.intake.waited_for_room == 1)
        held_ns = stage.clock.now_ns()
        session = stage.intake.sessions[0]
        await stage.until(lambda: len(session.lags) > 2)
        assert {read_to_ns is not None and abs(read_to_ns - held_ns) <= 2e9 for read_to_ns in session.lags} == {True}
        stage.intake.roomy.set()
        await stage.until(lambda: session.lags[-1] is None)
        told = len(session.lags)
        now = stage.clock.now
        await stage.until(lambda: stage.clock.now > now + 10)
        assert len(session.lags) == told


async def test_flood_that_is_read_as_it_comes_is_not_behind() -> None:
    line = FakeLine()
    async with Stage(line).running() as stage:
        for _ in range(20):
            for _ in range(200):
                line.inbox.put_nowait(b"x")
            now = stage.clock.now
            await stage.until(lambda now=now: stage.clock.now > now + 1)  # type: ignore[misc]
        assert stage.feed.frames == 4000
        assert stage.intake.sessions[0].lags == []


@pytest.mark.parametrize("size", [110, 125, 64, 65, 200])
async def test_bursts_that_are_read_to_their_end_are_not_behind_when_the_line_is_cut(size: int) -> None:
    line = FakeLine()
    async with Stage(line, FakeLine()).running() as stage:
        for number in range(1, 31):
            for _ in range(size):
                line.inbox.put_nowait(b"x")
            now = stage.clock.now
            await stage.until(lambda now=now: stage.clock.now >= now + 1)  # type: ignore[misc]
            assert stage.feed.frames == number * size
        for _ in range(size):
            line.inbox.put_nowait(b"x")
        line.inbox.put_nowait(LineError("cut"))
        await stage.until(lambda: stage.intake.sessions[0].closed is not None)
        assert stage.feed.frames == 31 * size
        assert stage.intake.sessions[0].lags == []


async def test_line_is_behind_while_the_system_holds_more_than_can_be_taken_at_one_go() -> None:
    line = FakeLine(b"x")
    async with Stage(line, FakeLine()).running() as stage:
        await stage.until(lambda: stage.feed.frames == 1 and stage.clock.now > 1_010)
        line.unread_bytes = 1_000_000
        held = stage.clock.now
        session = stage.intake.sessions[0]
        while stage.clock.now < held + 20:
            line.inbox.put_nowait(b"x")
            await asyncio.sleep(0)
        assert all(read_to_ns is not None and abs(read_to_ns / 1e9 - held) <= 2 for read_to_ns in session.lags)
        line.inbox.put_nowait(LineError("cut"))
        await stage.until(lambda: session.closed is not None)
        assert session.lags[-1] is not None
        assert abs(session.lags[-1] / 1e9 - held) <= 2


async def test_cancelling_closes_the_session_and_the_line() -> None:
    line = FakeLine(b"one")
    async with Stage(line).running() as stage:
        await stage.until(lambda: stage.feed.frames == 1)
    assert stage.intake.sessions[0].closed == "stopped"
    assert line.closed


async def test_address_in_the_session_has_neither_token_nor_password() -> None:
    async with Stage(FakeLine(b"one")).running() as stage:
        await stage.until(lambda: stage.feed.frames == 1)
        assert stage.intake.sessions[0].header.url == "ws://fake/ws"


async def test_refused_token_is_not_tried_again_in_a_hurry() -> None:
    async with Stage(LineError("401", status=401), FakeLine(b"one")).running() as stage:
        began = stage.clock.monotonic()
        await stage.until(lambda: stage.feed.frames == 1)
        assert stage.clock.monotonic() - began >= 300

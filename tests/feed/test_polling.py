from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from random import Random

from structlog.testing import capture_logs

from collector.errors import VenueError
from collector.feed.connection import ConnectionState
from collector.feed.polling import PollFeed
from collector.feed.rest import RestClient
from collector.venues.events import Event, SubscriptionState, SubscriptionStatus
from collector.venues.plan import PollPlan
from collector.venues.rest import RestAnswer, RestCall
from tests.kit.headers import session_header

from .fakes import LIMITS, Answer, FakeClock, FakeIntake, FakeNetwork, FakeVenue

OK: Answer = (200, {}, b"[]")


class Script:
    """A polling that asks for one thing a second and remembers what came of it."""

    def __init__(self) -> None:
        self.answers: list[str] = []
        self.failures: list[str] = []
        self.proved = False
        self.shown: list[SubscriptionStatus] = []
        self._next: dict[str, float] = {}

    def next(self, lane: str, now: float, now_ns: int) -> RestCall | float:
        due = self._next.get(lane, now)
        if now < due:
            return due - now
        self._next[lane] = now + 1.0
        return RestCall(lane, f"http://fake/{lane}", record=lane != "login")

    def answered(self, lane: str, call: RestCall, answer: RestAnswer, events: Sequence[Event], now: float) -> None:
        self.answers.append(lane)
        self.proved = True

    def failed(self, lane: str, call: RestCall, error: VenueError, now: float) -> None:
        self.failures.append(str(error))
        self.proved = False

    def statuses(self) -> Sequence[SubscriptionStatus]:
        return self.shown


class PollVenue(FakeVenue):
    script = Script()

    def polling(self, *_: object) -> Script:
        return self.script


@asynccontextmanager
async def polled(
    *answers: tuple[int, Mapping[str, str], bytes], lanes: tuple[str, ...] = ("quotes",)
) -> AsyncIterator[tuple[PollFeed, Script, FakeIntake]]:
    venue, clock, intake = PollVenue(), FakeClock(), FakeIntake()
    venue.script = Script()
    rest = RestClient(venue, LIMITS, FakeNetwork(answers=answers), clock, intake.open(session_header({})))
    plan = PollPlan("fake-poll", (), session_header({"venue": "fake"}), lanes)
    feed = PollFeed(plan, venue, rest=rest, intake=intake, clock=clock, random=Random(1))
    task = asyncio.ensure_future(feed.run())
    try:
        yield feed, venue.script, intake
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  any state of the feed may be waited for
            await asyncio.sleep(0)


async def test_answers_are_journalled_in_the_polls_own_session() -> None:
    async with polled(OK, OK) as (feed, script, intake):
        await until(lambda: len(script.answers) == 2)
        assert len(intake.sessions[1].answers) == 2
        assert feed.frames == 2
        assert feed.state is ConnectionState.LIVE


async def test_logins_are_not_journalled() -> None:
    async with polled(OK, lanes=("login",)) as (_, script, intake):
        await until(lambda: script.answers == ["login"])
        assert intake.sessions[1].answers == []


async def test_failure_is_told_once_and_the_lane_goes_on() -> None:
    with capture_logs() as logs:
        async with polled((500, {}, b""), (500, {}, b""), OK) as (feed, script, _):
            await until(lambda: len(script.answers) == 1)
            assert len(script.failures) == 2
            assert feed.state is ConnectionState.LIVE
    told = [entry["log_level"] for entry in logs if entry["event"] == "poll_failed"]
    assert told == ["warning", "debug"]


async def test_lane_without_answers_is_no_living_session() -> None:
    async with polled(*[(500, {}, b"")] * 30, OK) as (_, script, intake):
        await until(lambda: len(script.failures) >= 25)
        assert intake.sessions[1].beats == 0
        await until(lambda: intake.sessions[1].beats == 1)
        assert script.answers


async def test_refused_subscription_is_told_once() -> None:
    with capture_logs() as logs:
        async with polled((404, {}, b""), (404, {}, b""), OK) as (_, script, _intake):
            script.shown = [SubscriptionStatus("quotes", "ticks", "A", SubscriptionState.REFUSED, 0.0, "unknown")]
            await until(lambda: len(script.answers) == 1)
    told = [entry for entry in logs if entry["event"] == "subscription_refused"]
    assert [(entry["symbol"], entry["reason"]) for entry in told] == [("A", "unknown")]


async def test_lane_that_gets_no_answer_does_not_hold_up_another() -> None:
    async with polled(OK, OK, OK, lanes=("quotes", "trades")) as (_, script, _intake):
        await until(lambda: len(script.answers) == 3)
        assert set(script.answers) == {"quotes", "trades"}


async def test_stopping_closes_the_session() -> None:
    async with polled(OK) as (_, script, intake):
        await until(lambda: len(script.answers) == 1)
    assert intake.sessions[1].closed == "stopped"


async def test_polling_ends_with_its_cause_when_nothing_can_be_recorded_and_begins_again_when_it_can() -> None:
    async with polled(*[OK] * 1000) as (feed, script, intake):
        await until(lambda: len(script.answers) == 1)
        refusal, intake.refusal = intake.refusal, asyncio.Future()
        intake.full = True
        refusal.set_result(("disk full", "the budget is used up"))
        await until(lambda: intake.waited_for_room > 0 and intake.sessions[-1].closed is not None)
        assert (intake.sessions[-1].closed, intake.sessions[-1].cause) == ("the budget is used up", "disk full")
        assert (feed.state, feed.reason) == (ConnectionState.CONNECTING, "the budget is used up")
        asked, opened = len(script.answers), len(intake.sessions)
        intake.roomy.set()
        await until(lambda: len(script.answers) > asked)
        assert len(intake.sessions) == opened + 1
        assert feed.state is ConnectionState.LIVE

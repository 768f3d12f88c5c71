"""Bugs of an adapter, wherever it is called: one line or call each, and never the venue's other lines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import pytest
from structlog.testing import capture_logs

from collector.errors import VenueError
from collector.feed.connection import ConnectionState
from collector.feed.failures import AdapterError, AdapterFailures, Place
from collector.feed.intake import NotStrippedError
from collector.feed.network import LineError, Loss
from collector.feed.polling import PollFeed
from collector.feed.rest import RestClient
from collector.feed.worker import VenueWorker, WorkerState
from collector.venues.events import Event, SubscriptionState, SubscriptionStatus
from collector.venues.header import SessionHeader
from collector.venues.plan import Plan, PollPlan, Subscription
from collector.venues.rest import Discovery, RestAnswer, RestCall
from collector.venues.roles import Parser
from tests.kit.headers import session_header

from .buggy import BAD, BuggyVenue, Bugs, EndlessNetwork, ParsingIntake
from .fakes import (
    LIMITS,
    Answer,
    FakeIntake,
    FakeLine,
    FakeNetwork,
    FakeSession,
    FakeVenue,
    OrderlyClock,
    connection_plan,
)

OK: Answer = (200, {}, b"")


@asynccontextmanager
async def working(place: Place, **more: Any) -> AsyncIterator[VenueWorker]:
    plan = Plan((connection_plan(BAD), connection_plan("fake-2")))
    venue = BuggyVenue(plans=[plan], bugs=Bugs(place), **more)
    worker = VenueWorker(
        venue,
        network=EndlessNetwork(answers=[OK] * 3),
        intake=ParsingIntake(venue),
        clock=OrderlyClock(),
        random=Random(1),
        refresh_seconds=1e9,
    )
    task = asyncio.ensure_future(worker.run())
    try:
        yield worker
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  any state of the feed may be waited for
            await asyncio.sleep(0)


ENDING = [
    Place.ADDRESS,
    Place.STRIP,
    Place.PARSER,
    Place.CONVERSATION,
    Place.OPENED,
    Place.HANDLE,
    Place.TICK,
]


@pytest.mark.parametrize("place", ENDING)
async def test_bug_costs_its_line_alone_which_is_tried_again_later_and_later(place: Place) -> None:
    with capture_logs() as logs:
        async with working(place) as worker:
            intake: Any = worker._intake
            await until(lambda: "fake-2" in worker.connections)
            bad, good = worker.connections[BAD], worker.connections["fake-2"]
            await until(lambda: good.state is ConnectionState.LIVE)
            began = worker._clock.monotonic()
            await until(lambda: bad.reconnects == 12)
            assert good.state is ConnectionState.LIVE
            assert (good.reconnects, len(intake.of("fake-2"))) == (0, 1)
            assert bad.losses == {Loss.FAILED: bad.reconnects}
            assert f"a bug, in {place}: KeyError: 'bug" in bad.reason or place is Place.STRIP
            assert all(session.closed is None or "a bug" in session.closed for session in intake.of(BAD))
            # With a line that lives beside it: a few seconds each, after the first ones.
            assert worker._clock.monotonic() - began > 12
            assert worker.failures.counts == {place: bad.reconnects}
            assert worker.state is WorkerState.RUNNING
    told = [entry for entry in logs if entry["event"] == "adapter_failed" and entry["log_level"] == "error"]
    assert [(entry["venue"], entry["place"], entry["at"]) for entry in told] == [("fake", place, BAD)]
    assert told[0]["where"].startswith("buggy.py:")
    assert told[0].get("exc_info") is (None if place is Place.STRIP else True)


@pytest.mark.parametrize("place", [Place.PROVED, Place.STATUSES])
async def test_bug_of_a_look_costs_no_line_and_is_no_knowledge(place: Place) -> None:
    with capture_logs() as logs:
        async with working(place) as worker:
            await until(lambda: "fake-2" in worker.connections)
            bad, good = worker.connections[BAD], worker.connections["fake-2"]
            await until(lambda: good.state is ConnectionState.LIVE)
            now = worker._clock.monotonic()
            await until(lambda: worker._clock.monotonic() > now + 5)
            shown = [[status.state for status in feed.statuses()] for feed in (bad, good)]
            assert (bad.reconnects, good.reconnects) == (0, 0)
            assert worker.failures.counts[place] > 0
            if place is Place.PROVED:
                assert bad.state is ConnectionState.SUBSCRIBING
                assert shown == [[SubscriptionState.FLOWING], [SubscriptionState.FLOWING]]
            else:
                assert bad.state is ConnectionState.LIVE
                assert shown == [[SubscriptionState.WAITING], [SubscriptionState.FLOWING]]
                assert "a bug" in bad.statuses()[0].reason
    levels = [entry["log_level"] for entry in logs if entry["event"] == "adapter_failed"]
    assert levels[0] == "error"
    assert set(levels[1:]) <= {"debug"}


async def test_message_that_cannot_be_stripped_is_noted_without_its_text_and_the_line_goes_on() -> None:
    class Secretive(FakeSession):
        def frame(self, payload: bytes, received_ns: int) -> Sequence[Event]:
            if payload == b"balance":
                raise NotStrippedError from ValueError("balance 1000000")
            return super().frame(payload, received_ns)

    class Intake(FakeIntake):
        def open(self, header: SessionHeader, *, strip: Any = None) -> FakeSession:
            self.sessions.append(Secretive(header))
            return self.sessions[-1]

    with capture_logs() as logs:
        line = FakeLine(b"one", b"balance", b"two", b"balance")
        adapter = FakeVenue(plans=[Plan((connection_plan(),))])
        worker = VenueWorker(
            adapter,
            network=FakeNetwork(line, answers=[OK]),
            intake=Intake(),
            clock=OrderlyClock(),
            random=Random(1),
        )
        task = asyncio.ensure_future(worker.run())
        await until(lambda: worker.failures.counts[Place.STRIP] == 2)
        task.cancel()
        await asyncio.wait([task])
    assert worker._intake.sessions[1].frames == [b"one", b"two"]  # type: ignore[attr-defined]
    assert "1000000" not in str(logs)
    [told] = [entry for entry in logs if entry["event"] == "adapter_failed" and entry["log_level"] == "error"]
    assert (told["reason"], told["place"], "exc_info" in told) == ("a bug, in strip: ValueError", Place.STRIP, False)


# -- polls ------------------------------------------------------------------------------------------------------------


class Polling:
    """Asks once a second."""

    def __init__(self, bugs: Bugs) -> None:
        self._bugs = bugs
        self._due = 0.0

    def next(self, lane: str, now: float, now_ns: int) -> RestCall | float:
        self._bugs.meet(Place.NEXT, BAD)
        if now < self._due:
            return self._due - now
        self._due = now + 1
        return RestCall("quotes", "http://fake/quotes")

    def answered(self, lane: str, call: RestCall, answer: RestAnswer, events: Sequence[Event], now: float) -> None:
        self._bugs.meet(Place.ANSWERED, BAD)

    def failed(self, lane: str, call: RestCall, error: VenueError, now: float) -> None:
        self._bugs.meet(Place.FAILED, BAD)

    @property
    def proved(self) -> bool:
        self._bugs.meet(Place.PROVED, BAD)
        return True

    def statuses(self) -> Sequence[SubscriptionStatus]:
        self._bugs.meet(Place.STATUSES, BAD)
        return ()


class PolledVenue(FakeVenue):
    def __init__(self, *, bugs: Bugs) -> None:
        super().__init__()
        self.bugs = bugs

    def parser(self, header: SessionHeader) -> Parser:
        self.bugs.meet(Place.PARSER, header.worker)
        return super().parser(header)

    def polling(self, *_: object) -> Polling:
        self.bugs.meet(Place.POLLING, BAD)
        return Polling(self.bugs)


@asynccontextmanager
async def polled(place: Place, *answers: Answer) -> AsyncIterator[tuple[PollFeed, Any]]:
    venue, clock = PolledVenue(bugs=Bugs(place)), OrderlyClock()
    intake, failures = ParsingIntake(venue), AdapterFailures("fake")
    rest = RestClient(venue, LIMITS, FakeNetwork(answers=answers), clock, FakeSession(session_header({})))
    plan = PollPlan(BAD, (Subscription("quotes", "ticks", ("A",)),), session_header({"venue": "fake"}), ("quotes",))
    feed = PollFeed(plan, venue, rest=rest, intake=intake, clock=clock, random=Random(1), failures=failures)
    task = asyncio.ensure_future(feed.run())
    try:
        yield feed, intake
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()


@pytest.mark.parametrize("place", [Place.PARSER, Place.POLLING, Place.NEXT, Place.ANSWERED, Place.FAILED])
async def test_bug_of_a_polling_costs_its_line_alone_which_is_tried_again_later_and_later(place: Place) -> None:
    answer = (500, {}, b"") if place is Place.FAILED else OK
    with capture_logs() as logs:
        async with polled(place, *[answer] * 100) as (feed, intake):
            began = feed._clock.monotonic()
            await until(lambda: feed.reconnects == 8)
            assert feed.losses == {Loss.FAILED: 8}
            assert feed._failures.counts == {place: 8}
            assert feed._clock.monotonic() - began > 20
            await until(lambda: feed.state is ConnectionState.WAITING)
            assert f"a bug, in {place}: KeyError" in feed.reason
            assert all(session.closed and "a bug" in session.closed for session in intake.sessions)
    told = [entry for entry in logs if entry["event"] == "adapter_failed"]
    assert [entry["log_level"] for entry in told[:3]] == ["error", "debug", "debug"]


@pytest.mark.parametrize("place", [Place.PROVED, Place.STATUSES])
async def test_bug_of_a_look_at_a_polling_costs_no_call(place: Place) -> None:
    async with polled(place, *[OK, (500, {}, b"")] * 10) as (feed, _):
        await until(lambda: feed.frames == 5)
        assert len(feed.statuses()) == (1 if place is Place.STATUSES else 0)
        assert (feed.reconnects, feed._failures.counts[place] > 0) == (0, True)
        assert (feed.state is ConnectionState.LIVE) == (place is Place.STATUSES)


# -- calls ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("begun", [False, True])
async def test_bug_of_a_discovery_is_a_failed_discovery_and_costs_no_line(late: bool, begun: bool) -> None:
    class Undiscovered(BuggyVenue):
        broken = not late

        def discover(self) -> Discovery:
            if self.broken and not begun:
                raise KeyError("bug")
            return self._discover()

        def _discover(self) -> Discovery:
            plan = yield from super().discover()
            if self.broken:
                raise KeyError("bug")
            return plan

    venue = Undiscovered(plans=[Plan((connection_plan(),))], bugs=Bugs(Place.LINE))
    worker = VenueWorker(
        venue,
        network=EndlessNetwork(answers=[OK] * 100),
        intake=ParsingIntake(venue),
        clock=OrderlyClock(),
        random=Random(1),
        refresh_seconds=30,
    )
    with capture_logs() as logs:
        task = asyncio.ensure_future(worker.run())
        if late:
            await until(lambda: [one.state for one in worker.connections.values()] == [ConnectionState.LIVE])
            venue.broken = True
        await until(lambda: worker.failures.counts[Place.DISCOVER] > 3)
        assert not task.done()
        states = [(one.state, one.reconnects) for one in worker.connections.values()]
        assert states == ([(ConnectionState.LIVE, 0)] if late else [])
        assert late or "a bug, in discover: KeyError" in worker.reason
        venue.broken = False
        asked = venue.plans
        await until(lambda: bool(worker.connections) and worker.state is WorkerState.RUNNING and worker._told == "")
        assert asked == venue.plans
        task.cancel()
        await asyncio.wait([task])
    told = [entry["log_level"] for entry in logs if entry["event"] == "adapter_failed"]
    assert told[:2] == ["error", "debug"]
    assert [entry["event"] for entry in logs if entry["log_level"] == "warning"] == ["discovery_failed"]


async def test_bug_in_the_judgement_of_an_answer_costs_that_call_and_is_not_repeated_at_once() -> None:
    class Adapter(FakeVenue):
        def failure(self, call: RestCall, answer: RestAnswer) -> VenueError | None:
            if answer.body == b"odd":
                raise IndexError("bug")
            return None

    network = FakeNetwork(answers=[(200, {}, b"odd"), OK])
    rest = RestClient(Adapter(), LIMITS, network, OrderlyClock(), FakeSession(session_header({})))
    with pytest.raises(AdapterError, match="fake: a bug, in failure: IndexError: bug") as failed:
        await rest.fetch(RestCall("trades", "http://fake/trades"))
    assert not failed.value.permanent
    assert isinstance(failed.value.__cause__, IndexError)
    assert len(network.requests) == 1
    assert rest.use.failed == 1
    assert rest.failures.counts == {Place.FAILURE: 1}
    await rest.fetch(RestCall("trades", "http://fake/trades"))


async def test_bug_in_a_generator_of_calls_comes_out_as_the_venues_failure() -> None:
    def steps() -> Any:
        yield RestCall("trades", "http://fake/trades")
        raise ZeroDivisionError("bug")

    rest = RestClient(FakeVenue(), LIMITS, FakeNetwork(answers=[OK]), OrderlyClock(), FakeSession(session_header({})))
    with pytest.raises(AdapterError, match="a bug, in history: ZeroDivisionError: bug"):
        await rest.drive(steps())
    assert rest.failures.counts == {Place.HISTORY: 1}


# -- what is told -----------------------------------------------------------------------------------------------------


def test_same_bug_is_told_once_however_its_text_changes_and_another_one_again() -> None:
    failures = AdapterFailures("fake")

    def fail(text: str, *, elsewhere: bool = False) -> None:
        if elsewhere:
            raise ValueError(text)
        raise ValueError(text)

    with capture_logs() as logs:
        for text, elsewhere in [("a", False), ("b", False), ("c", True), ("d", True)]:
            with pytest.raises(AdapterError), failures.calling(Place.TICK, at="fake-1"):
                fail(text, elsewhere=elsewhere)
    assert [entry["log_level"] for entry in logs] == ["error", "debug", "error", "debug"]
    assert failures.counts == {Place.TICK: 4}


def test_what_is_no_bug_comes_out_as_it_is() -> None:
    failures = AdapterFailures("fake")
    with pytest.raises(LineError, match="given up"), failures.calling(Place.TICK, LineError):
        raise LineError("given up")
    with pytest.raises(asyncio.CancelledError), failures.calling(Place.TICK):
        raise asyncio.CancelledError
    assert not failures.counts

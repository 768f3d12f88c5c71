"""What is fetched for the audit, in which calls, and what a venue's refusals cost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import ClassVar

import pytest

from collector.audit.fetching import CandleFetcher, FetchOptions, Lack
from collector.audit.minutes import MINUTE
from collector.errors import VenueError
from collector.feed.rest import RestClient
from collector.model import Instrument
from collector.venues.audit import MinuteCalls
from collector.venues.rest import History, RestAnswer, RestCall
from tests.feed.fakes import LIMITS, FakeAdapter, FakeClock, FakeIntake, FakeSession, FakeVenue
from tests.kit.headers import session_header
from tests.repair.fakes import Endless

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
FAR = datetime(2100, 1, 1, tzinfo=UTC)
DELAY = 15.0

# Symbols, and the first and the last minute asked for, counted from noon.
Asked = tuple[str, int, int]


class MinuteAdapter(FakeAdapter):
    minute_calls: ClassVar[MinuteCalls] = MinuteCalls(instruments=3, bars=30)


class MinuteVenue(FakeVenue):
    """Tells minutes of three instruments at once; `asked` holds what was asked of it, `refused` what it has not."""

    protocol: ClassVar[type[FakeAdapter]] = MinuteAdapter

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Asked] = []
        self.refused: dict[str, VenueError] = {}

    def minutes(self, instruments: Sequence[Instrument], from_us: int, to_us: int) -> History:
        noon_us = int(NOON.timestamp()) * 1_000_000
        symbols = [instrument.symbol for instrument in instruments]
        minutes = ((time_us - noon_us) // 60_000_000 for time_us in (from_us, to_us))
        self.asked.append(("".join(symbols), *minutes))  # type: ignore[arg-type]
        yield RestCall("candles", "http://fake")
        for symbol in symbols:
            if symbol in self.refused:
                raise self.refused[symbol]

    def failure(self, call: RestCall, answer: RestAnswer) -> VenueError | None:
        return None


class Scene:
    """A fetcher at ten minutes past noon, with everything around it."""

    def __init__(self) -> None:
        self.venue = MinuteVenue()
        self.clock = FakeClock()
        self.clock.now = NOON.timestamp() + 600 + DELAY + 1
        self.intake = FakeIntake()
        self.rest: RestClient | None = RestClient(
            self.venue, LIMITS, Endless(), self.clock, FakeSession(session_header({}))
        )
        self.events: list[str] = []
        self.fetcher = CandleFetcher(
            self.venue,
            FetchOptions(calls_per_minute=60_000, delay_seconds=DELAY),
            rest=lambda: self.rest,
            intake=self.intake,
            committed=self._committed,
            behind=self._behind,
            wake=lambda: self.events.append("wake"),
            clock=self.clock,
            random=Random(1),
        )

    async def _committed(self) -> None:
        self.events.append("committed")

    async def _behind(self) -> None:
        self.events.append("behind repairs")

    def want(self, *symbols: str, since: int = 8, until: datetime = FAR) -> None:
        """Want candles of these, numbered from 1, since some minutes past noon."""
        self.fetcher.want(
            Lack(number, Instrument("fake", symbol), NOON + since * MINUTE, until)
            for number, symbol in enumerate(symbols, start=1)
        )

    async def run(self, until: Callable[[], bool]) -> None:
        task = asyncio.ensure_future(self.fetcher.run())
        try:
            async with asyncio.timeout(5):
                while not until():  # noqa: ASYNC110  nobody announces a state
                    await asyncio.sleep(0)
        finally:
            task.cancel()
            await asyncio.wait([task])

    def all_there(self) -> bool:
        return not self.fetcher.behind_minutes and bool(self.venue.asked)

    def fetched(self, number: int = 1) -> tuple[int, int] | None:
        """The minutes after noon of which all is known."""
        found = self.fetcher.fetched(number)
        return None if found is None else tuple((time - NOON) // MINUTE for time in found)  # type: ignore[return-value]


def refusal(code: str = "2001") -> VenueError:
    return VenueError("fake", "has no such thing", code=code, permanent=True)


async def test_minutes_that_are_due_come_for_several_at_once_and_a_minute_before_them() -> None:
    scene = Scene()
    scene.want("A", "B", "C", "D")
    await scene.run(scene.all_there)
    assert scene.venue.asked[:2] == [("ABC", 7, 9), ("D", 7, 9)]
    assert scene.fetched(1) == scene.fetched(4) == (8, 9)  # the last one waits for its neighbour
    [session] = scene.intake.sessions
    assert session.header.worker == "fake-audit"
    assert session.closed


async def test_call_waits_for_repairs_and_what_came_is_in_the_tables_before_it_counts() -> None:
    scene = Scene()
    scene.want("A")
    await scene.run(scene.all_there)
    assert scene.events[:3] == ["behind repairs", "committed", "wake"]


async def test_next_minute_is_asked_for_when_it_is_due() -> None:
    scene = Scene()
    scene.want("A")
    await scene.run(lambda: len(scene.venue.asked) > 2)
    assert scene.venue.asked[:3] == [("A", 7, 9), ("A", 9, 10), ("A", 10, 11)]


async def test_longer_past_comes_for_fewer_at_once_and_in_pieces() -> None:
    scene = Scene()
    scene.clock.now += 3000  # it is an hour past noon
    scene.want("A", "B", since=8)
    await scene.run(scene.all_there)
    assert scene.venue.asked == [("A", 7, 36), ("B", 7, 36), ("A", 36, 59), ("B", 36, 59)]
    assert scene.fetched(1) == scene.fetched(2) == (8, 59)


async def test_refused_instrument_costs_the_others_nothing_and_is_asked_for_again_in_an_hour() -> None:
    scene = Scene()
    scene.venue.refused["B"] = refusal()
    scene.want("A", "B", "C")
    await scene.run(lambda: scene.fetcher.refused == 1 and scene.all_there())
    assert scene.venue.asked[:5] == [("ABC", 7, 9), ("A", 7, 9), ("BC", 7, 9), ("B", 7, 9), ("C", 7, 9)]
    assert (scene.fetched(1), scene.fetched(2), scene.fetched(3)) == ((8, 9), (8, 8), (8, 9))
    assert "has no such thing" in scene.fetcher.trouble
    [(symbol, reason)] = scene.fetcher.refusals
    assert (symbol, "has no such thing" in reason) == ("B", True)
    asked = len(scene.venue.asked)
    scene.venue.refused.clear()
    scene.clock.now += 3600
    await scene.run(lambda: not scene.fetcher.refused and scene.all_there())
    assert "B" in "".join(symbols for symbols, *_ in scene.venue.asked[asked:])
    assert scene.fetcher.trouble == ""


async def test_refusal_of_us_is_not_looked_into_symbol_by_symbol() -> None:
    scene = Scene()
    scene.venue.refused["A"] = refusal("403")
    scene.want("A", "B", "C")
    await scene.run(lambda: len(scene.venue.asked) > 2)
    assert {symbols for symbols, *_ in scene.venue.asked} == {"ABC"}
    assert scene.fetcher.refused == 0
    assert "has no such thing" in scene.fetcher.trouble


async def test_past_that_the_venue_does_not_have_is_given_up_and_the_present_asked_for() -> None:
    scene = Scene()
    scene.clock.now += 3000
    scene.venue.refused["A"] = refusal()
    scene.want("A", since=8)

    def given_up() -> bool:
        if scene.fetched() != (8, 8):
            scene.venue.refused.clear()
        return scene.all_there()

    await scene.run(given_up)
    assert scene.venue.asked[:2] == [("A", 7, 36), ("A", 58, 59)]
    assert scene.fetched() == (59, 59)


async def test_past_before_candles_were_recorded_is_given_up_where_it_is_refused() -> None:
    scene = Scene()
    scene.venue.refused["A"] = refusal()
    scene.want("A", since=5, until=NOON + 8 * MINUTE)
    await scene.run(scene.all_there)
    assert scene.fetcher.refused == 0
    assert scene.fetched() == (8, 8)


async def test_failure_that_passes_is_told_and_tried_again() -> None:
    scene = Scene()
    scene.venue.refused["A"] = VenueError("fake", "is away")
    scene.want("A")
    await scene.run(lambda: len(scene.venue.asked) > 1)
    assert "is away" in scene.fetcher.trouble
    scene.venue.refused.clear()
    await scene.run(scene.all_there)
    assert scene.fetcher.trouble == ""


async def test_one_minute_is_fetched_once_more_with_its_neighbours() -> None:
    scene = Scene()
    scene.want("A")
    await scene.run(scene.all_there)
    scene.fetcher.look_again(1, NOON + 3 * MINUTE)
    scene.fetcher.look_again(7, NOON)  # nobody's
    scene.events.clear()
    await scene.run(lambda: scene.events.count("committed") > 1)
    assert scene.venue.asked.count(("A", 2, 4)) == 1


async def test_what_is_wanted_no_more_is_forgotten_and_what_stays_is_kept() -> None:
    scene = Scene()
    scene.want("A", "B")
    await scene.run(scene.all_there)
    scene.want("A", since=9)
    assert scene.fetched(1) == (8, 9)
    assert scene.fetched(2) is None
    scene.fetcher.start_over()
    assert scene.fetched(1) == (9, 9)


async def test_other_settings_begin_another_session() -> None:
    scene = Scene()
    scene.want("A")
    await scene.run(scene.all_there)
    task = asyncio.ensure_future(scene.fetcher.run())
    scene.clock.now += 60
    scene.fetcher.look_again(1, NOON)
    while len(scene.intake.sessions) < 2:  # noqa: ASYNC110  nobody announces a session
        await asyncio.sleep(0)
    scene.venue.apply("others")
    scene.fetcher.settings_changed()
    assert scene.intake.sessions[1].closed
    task.cancel()
    await asyncio.wait([task])


async def test_worker_that_does_not_run_yet_is_awaited() -> None:
    scene = Scene()
    rest, scene.rest = scene.rest, None
    scene.want("A")
    began = scene.clock.now
    await scene.run(lambda: scene.clock.now > began + 3)
    assert scene.venue.asked == []
    assert scene.fetcher.trouble == ""
    scene.rest = rest
    await scene.run(scene.all_there)


@pytest.mark.parametrize(("minutes", "count"), [(1, 3), (10, 3), (11, 2), (31, 1)])
def test_no_more_bars_are_asked_for_than_one_answer_holds(minutes: int, count: int) -> None:
    assert MinuteAdapter.minute_calls.at_once(minutes) == count


async def test_delay_is_kept() -> None:
    scene = Scene()
    scene.clock.now = (NOON + timedelta(minutes=10, seconds=DELAY - 1)).timestamp()
    scene.want("A", since=9)
    assert scene.fetcher.behind_minutes == 0

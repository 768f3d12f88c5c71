"""What is asked of a venue: named, meant by patterns, left out by a list, dropped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from collector.feed.wanting import DELISTED_SECONDS, Wanting
from collector.venues.plan import ConnectionPlan, Plan, PollPlan, Subscription
from tests.kit.headers import session_header

from .fakes import FakeClock, FakeIntake, FakeVenue

Told = tuple[dict[str, list[str]], bool]


class Named(FakeVenue):
    """Its settings are the names, by stream."""

    def named(self) -> Mapping[str, Sequence[str]]:
        return self.settings  # type: ignore[no-any-return]


def plan(**streams: tuple[str, ...]) -> Plan:
    wanted = tuple(Subscription(stream, stream, symbols) for stream, symbols in streams.items())
    return Plan(connections=(ConnectionPlan("v-1", "ws://v", wanted, session_header({})),))


@pytest.fixture
async def intake() -> FakeIntake:
    return FakeIntake()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def venue() -> Named:
    return Named(name="v")


@pytest.fixture
async def wanting(venue: Named, intake: FakeIntake, clock: FakeClock) -> Wanting:
    return Wanting(venue, intake, clock)


def told(intake: FakeIntake) -> list[Told]:
    """What was told since the last look, by stream."""
    found = []
    for _, spans, whole in intake.asked:
        by_stream: dict[str, list[str]] = {}
        for _, stream, symbols in spans:
            by_stream.setdefault(stream, []).extend(symbols)
        found.append(({stream: sorted(symbols) for stream, symbols in by_stream.items()}, whole))
    intake.asked.clear()
    return found


def configure(wanting: Wanting, named: Mapping[str, Sequence[str]]) -> None:
    """Take a configuration that names these."""
    wanting._venue.apply(named)
    wanting.configured()


async def test_names_are_asked_for_before_the_venue_answers(wanting: Wanting, intake: FakeIntake) -> None:
    configure(wanting, {"trades": ["A"], "rates": ["X"], "news": ["Y"]})
    assert told(intake) == [({"trades": ["A"]}, False)]


async def test_what_patterns_mean_is_asked_for_since_the_start(
    wanting: Wanting, intake: FakeIntake, clock: FakeClock
) -> None:
    configure(wanting, {})
    began_ns = clock.now_ns()
    clock.now += 40
    wanting.planned(plan(trades=("A", "B")))
    [_, (_, spans, whole)] = intake.asked
    assert spans == [(began_ns, "trades", ["A", "B"])]
    assert whole


async def test_polls_are_asked_for_and_what_belongs_to_the_venue_is_not(wanting: Wanting, intake: FakeIntake) -> None:
    configure(wanting, {})
    told(intake)
    poll = PollPlan(
        "v-poll", (Subscription("s", "derivatives", ("A",)), Subscription("r", "rates", ("*",))), session_header({})
    )
    wanting.planned(Plan(polls=(poll,)))
    assert told(intake) == [({"derivatives": ["A"]}, True)]


async def test_name_that_the_list_lacks_stays_asked_for(wanting: Wanting, intake: FakeIntake) -> None:
    named = {"trades": ["A", "NOSUCH"]}
    configure(wanting, named)
    wanting.planned(plan(trades=("A",)))
    assert told(intake)[-1] == ({"trades": ["A", "NOSUCH"]}, True)


async def test_stream_that_a_listed_symbol_turns_out_not_to_have_is_dropped(
    wanting: Wanting, intake: FakeIntake
) -> None:
    named = {"trades": ["A"], "derivatives": ["A"]}
    configure(wanting, named)
    wanting.planned(plan(trades=("A",)))
    assert told(intake)[-1] == ({"trades": ["A"]}, True)


async def test_one_list_that_leaves_a_symbol_out_drops_nothing_and_one_much_later_does(
    wanting: Wanting, intake: FakeIntake, clock: FakeClock
) -> None:
    configure(wanting, {})
    wanting.planned(plan(trades=("A", "B")))
    told(intake)
    for seconds in (60, 60, DELISTED_SECONDS - 121):
        wanting.planned(plan(trades=("A",)))
        clock.now += seconds
    assert told(intake) == []
    clock.now += 2
    wanting.planned(plan(trades=("A",)))
    assert told(intake) == [({"trades": ["A"]}, True)]


async def test_symbol_that_is_back_in_the_list_is_left_out_anew_the_next_time(
    wanting: Wanting, intake: FakeIntake, clock: FakeClock
) -> None:
    configure(wanting, {})
    for symbols in (("A", "B"), ("A",), ("A", "B"), ("A",)):
        wanting.planned(plan(trades=symbols))
        clock.now += DELISTED_SECONDS - 1
    told(intake)
    wanting.planned(plan(trades=("A",)))
    assert told(intake) == []


async def test_named_symbol_keeps_all_its_streams_while_the_list_leaves_it_out(
    wanting: Wanting, intake: FakeIntake, clock: FakeClock
) -> None:
    named = {"ticks": ["A"]}
    configure(wanting, named)
    wanting.planned(plan(ticks=("A",), books=("A",)))
    told(intake)
    for _ in range(3):
        clock.now += DELISTED_SECONDS
        wanting.planned(plan())
    assert told(intake) == []


async def test_other_settings_drop_at_once_what_they_do_not_mean(
    wanting: Wanting, intake: FakeIntake, clock: FakeClock
) -> None:
    configure(wanting, {"trades": ["A", "B"]})
    wanting.planned(plan(trades=("A", "B")))
    clock.now += 5
    configure(wanting, {"trades": ["A", "C"]})
    told(intake)
    wanting.planned(plan(trades=("A", "C")))
    assert told(intake) == [({"trades": ["A", "C"]}, True)]


async def test_what_changed_nothing_is_not_told_again(wanting: Wanting, intake: FakeIntake) -> None:
    configure(wanting, {})
    wanting.planned(plan(trades=("A",)))
    told(intake)
    wanting.planned(plan(trades=("A",)))
    assert told(intake) == []
    wanting.tell_again()
    assert told(intake) == [({"trades": ["A"]}, True)]


async def test_venue_that_is_configured_no_more_is_asked_for_nothing(wanting: Wanting, intake: FakeIntake) -> None:
    configure(wanting, {"trades": ["A"]})
    told(intake)
    wanting.nothing()
    assert told(intake) == [({}, True)]

"""The last 24 hours as the tables tell them, on a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from collector.status.facts import StreamDayFacts
from collector.store.reading import Reader
from collector.web.day import STRIP_BINS, LastDay
from tests.feed.fakes import FakeClock
from tests.kit.market import NOW, Market, market

HOUR = 3600.0
QUARTER = 900.0


@pytest.fixture
async def tables(database: str) -> AsyncIterator[Market]:
    async with market(database) as one:
        yield one


@pytest.fixture
async def day(database: str) -> AsyncIterator[LastDay]:
    clock = FakeClock()
    clock.now = NOW.timestamp()
    reader = Reader(lambda: database)
    yield LastDay(reader, clock)
    reader.close()


async def streams(day: LastDay) -> dict[str, StreamDayFacts]:
    await day.refresh()
    assert day.facts.state == "known", day.facts.reason
    return {f"{one.symbol} {one.stream}": one for one in day.facts.streams}


async def test_stream_without_gaps_is_covered_from_its_first_session_on(tables: Market, day: LastDay) -> None:
    await tables.session("OLD")
    await tables.session("NEW", since=6 * HOUR - 1)
    told = await streams(day)
    assert told["OLD trades"] == StreamDayFacts("fake", "OLD", "trades", "c" * STRIP_BINS, 1.0, 0)
    assert told["NEW trades"].strip == "-" * 72 + "c" * 24
    assert told["NEW trades"].covered_share == 1.0


async def test_strip_shows_the_worst_of_each_quarter_and_the_share_counts_seconds(tables: Market, day: LastDay) -> None:
    await tables.session("A")
    await tables.gap("A", 20 * HOUR, 20 * HOUR - 10, "repaired")
    await tables.gap("A", 10 * HOUR, 10 * HOUR - 864, "unrecoverable")
    await tables.gap("A", 10 * HOUR, 10 * HOUR - 2, "repaired", cause="sequence")
    await tables.gap("A", 864, None, "open")
    told = (await streams(day))["A trades"]
    assert told.strip[16] == "r"
    assert told.strip[56] == "l"
    assert told.strip[-1] == "m"
    assert told.strip.count("c") == STRIP_BINS - 3
    assert told.gaps == 4
    assert told.covered_share == pytest.approx(0.98, abs=0.00001)


async def test_overlapping_gaps_are_counted_once_and_a_gap_of_no_time_takes_nothing(
    tables: Market, day: LastDay
) -> None:
    await tables.session("A")
    for cause in ("disconnect", "sequence"):
        await tables.gap("A", 5 * HOUR, 5 * HOUR - 8640, "open", cause=cause)
    await tables.gap("A", HOUR, HOUR, "unrecoverable")
    assert (await streams(day))["A trades"].covered_share == pytest.approx(0.9, abs=0.00001)


async def test_gap_longer_than_the_day_fills_it_and_the_share_is_never_negative(tables: Market, day: LastDay) -> None:
    await tables.session("A", since=100 * HOUR, until=99 * HOUR)
    await tables.session("A", since=10)
    await tables.gap("A", 99 * HOUR, 10, "unrecoverable")
    told = (await streams(day))["A trades"]
    assert set(told.strip[:-1]) == {"l"}
    assert told.covered_share == 0.000115  # the ten seconds since


async def test_smallest_loss_is_not_rounded_away(tables: Market, day: LastDay) -> None:
    await tables.session("A")
    await tables.gap("A", HOUR, HOUR - 0.02, "unrecoverable")
    assert (await streams(day))["A trades"].covered_share < 1


async def test_newest_of_quarantine_are_told_without_their_bytes_and_all_are_counted(
    tables: Market, day: LastDay
) -> None:
    for number in range(12):
        await tables.quarantine(f"error {number} <b>" + "x" * 1000)
    await day.refresh()
    quarantine = day.facts.quarantine
    assert quarantine.waiting == 12
    assert len(quarantine.newest) == 8
    assert len(quarantine.newest[0].error) == 500
    assert b"payload" not in day.body


async def test_answer_is_kept_for_half_a_minute_and_for_seconds_when_gaps_have_changed(
    tables: Market, day: LastDay
) -> None:
    await tables.session("A")
    await streams(day)
    await tables.gap("A", HOUR, HOUR - 60)
    clock = day._clock
    assert isinstance(clock, FakeClock)
    clock.now += 29
    assert (await streams(day))["A trades"].gaps == 0
    day.changed()
    assert (await streams(day))["A trades"].gaps == 1
    number = day.number
    day.changed()
    await day.refresh()
    assert day.number == number
    clock.now += 4
    await day.refresh()
    assert day.number == number + 1


async def test_database_that_answers_slowly_is_asked_less_often(tables: Market, day: LastDay) -> None:
    await tables.session("A")
    clock, rows = day._clock, day._reader.rows
    assert isinstance(clock, FakeClock)

    async def slowly(statement: str, *parameters: object) -> list[object]:
        clock.now += 1
        return [*await rows(statement, *parameters)]

    day._reader.rows = slowly  # type: ignore[method-assign, assignment]
    await streams(day)
    day.changed()
    clock.now += 39
    assert not day.due
    clock.now += 1
    assert day.due


async def test_database_that_goes_away_leaves_the_last_answer_and_says_why(
    tables: Market, day: LastDay, database: str
) -> None:
    await tables.session("A")
    before = await streams(day)
    day._reader._held._dsn = lambda: "postgresql://nobody@127.0.0.1:1/none"
    day._reader.close()
    clock = day._clock
    assert isinstance(clock, FakeClock)
    clock.now += 31
    await day.refresh()
    assert day.facts.state == "away"
    assert "nobody answers" in day.facts.reason
    assert {one.symbol for one in day.facts.streams} == {one.symbol for one in before.values()}
    day._reader._held._dsn = lambda: database
    clock.now += 5
    assert (await streams(day))["A trades"].strip == "c" * STRIP_BINS

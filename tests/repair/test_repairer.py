"""What a repairer does with each gap, and with each kind of failure."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from collector.errors import VenueError
from collector.model import Instrument
from collector.repair.line import Line
from collector.repair.repairer import MARGIN_US, PIECE_MAX_US
from collector.repair.stretches import Stretch
from collector.store.errors import DatabaseUnreachableError
from collector.venues.rest import RestAnswer, RestCall
from tests.kit.stage import until
from tests.repair.fakes import HOUR_US, Scene, gap


async def test_gap_is_closed_only_after_what_was_fetched_is_committed() -> None:
    scene = Scene(gap(1, from_us=10 * HOUR_US))
    await scene.run()
    assert scene.venue.asked == [("A", "trades", 10 * HOUR_US - MARGIN_US, 10 * HOUR_US + 10_000_000 + MARGIN_US)]
    assert scene.table.events[-4:] == [("begin", 1), ("committed",), ("repaired", 1, None), ("committed",)]
    assert [(one.state, one.rows) for one in scene.intake.outcomes] == [("repaired", 5)]
    assert (scene.repairer.repaired, scene.repairer.lost, scene.repairer.rows, scene.repairer.waiting) == (1, 0, 5, 0)


async def test_answers_go_to_one_session_that_ends_with_the_work() -> None:
    scene = Scene(*(gap(number, from_us=number * HOUR_US) for number in range(1, 30)))
    scene.clock.now = 40 * 3600.0
    await scene.run()
    (session,) = scene.intake.sessions
    assert len(session.answers) == 29
    assert session.closed == "nothing left to repair"
    assert (session.header.worker, session.header.subscriptions) == ("fake-repair", ())


async def test_stream_without_a_past_is_given_up_and_one_with_a_part_of_it_is_fetched_first() -> None:
    scene = Scene(gap(1, "ticks"), gap(2, "derivatives"))
    await scene.run()
    assert scene.told()[0] == ("hopeless", 1)
    (state, number, reason) = scene.told()[-1]
    assert (state, number) == ("lost", 2)
    assert "only a part" in reason
    assert [asked[1] for asked in scene.venue.asked] == ["derivatives"]
    assert scene.repairer.lost == 2


async def test_trades_come_first_and_the_short_before_the_long(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(
        gap(1, "candles"),
        gap(2, seconds=300),
        gap(3, from_us=HOUR_US, seconds=1),
        gap(4, "candles", from_us=HOUR_US, seconds=2),
    )
    monkeypatch.setattr(scene.repairer, "_work", _nothing)  # the line alone is looked at
    task = asyncio.ensure_future(scene.repairer.run())
    await until(lambda: scene.repairer.waiting == 4, "four in the line")
    waiting = scene.repairer._line
    line = [(await waiting.take(trades=trades)).gaps[0].gap_id for trades in (True, True, False, False)]
    task.cancel()
    await asyncio.wait([task])
    assert line == [3, 2, 4, 1]


async def _nothing(_: asyncio.TaskGroup, *, trades: bool) -> None:
    await asyncio.Event().wait()


async def test_long_gap_is_filled_in_pieces_and_goes_on_where_it_was() -> None:
    scene = Scene(gap(1, seconds=2.5 * 3600)._replace(done_us=PIECE_MAX_US))
    scene.clock.now = 9_100.0
    await scene.run()
    assert [asked[2:] for asked in scene.venue.asked] == [
        (PIECE_MAX_US - MARGIN_US, 2 * PIECE_MAX_US + MARGIN_US),
        (2 * PIECE_MAX_US - MARGIN_US, 2 * PIECE_MAX_US + PIECE_MAX_US // 2 + MARGIN_US),
    ]
    assert scene.told() == [("progress", 1, 2 * PIECE_MAX_US), ("repaired", 1, None)]


async def test_venue_that_fails_is_asked_again_and_the_reason_is_noted() -> None:
    scene = Scene(gap(1), gap(2, from_us=HOUR_US))
    scene.venue.errors = [VenueError("fake", "status 503") for _ in range(5)]
    scene.clock.now = 1e6
    await scene.run()
    put_off = [event for event in scene.told() if event[0] == "put off"]
    assert len(put_off) == 5
    assert "status 503" in put_off[0][2]
    assert sorted(event[1] for event in scene.told() if event[0] == "repaired") == [1, 2]
    assert scene.repairer.trouble == ""


async def test_what_the_venue_refuses_for_good_is_lost_with_its_reason() -> None:
    scene = Scene(gap(1))
    scene.venue.errors = [VenueError("fake", "no such symbol", code="2001", permanent=True)]
    await scene.run()
    assert scene.told()[-1] == ("lost", 1, "no such symbol")


async def test_gaps_side_by_side_are_asked_for_together_and_closed_one_by_one() -> None:
    scene = Scene(*(gap(number, from_us=number * 15_000_000) for number in (3, 1, 2)), gap(4, from_us=HOUR_US))
    scene.clock.now = 5000.0
    await scene.run()
    assert scene.venue.asked == [
        ("A", "trades", HOUR_US - MARGIN_US, HOUR_US + 10_000_000 + MARGIN_US),
        ("A", "trades", 15_000_000 - MARGIN_US, 55_000_000 + MARGIN_US),
    ]
    assert [one.from_us for one in scene.intake.outcomes if one.from_us < HOUR_US] == [
        15_000_000,
        30_000_000,
        45_000_000,
    ]
    assert (scene.repairer.repaired, scene.repairer.rows, scene.repairer.waiting) == (4, 20, 0)


async def test_gaps_side_by_side_are_put_off_together() -> None:
    scene = Scene(gap(1), gap(2, from_us=12_000_000))
    scene.venue.errors = [VenueError("fake", "status 503")]
    await scene.run()
    assert [event[:2] for event in scene.told()] == [
        ("begin", 1),
        ("begin", 2),
        ("put off", 1),
        ("put off", 2),
        ("begin", 1),
        ("begin", 2),
        ("repaired", 1),
        ("repaired", 2),
    ]
    assert len(scene.venue.asked) == 2


async def test_of_gaps_side_by_side_only_the_one_that_is_refused_is_lost() -> None:
    scene = Scene(gap(1), gap(2, from_us=12_000_000))
    too_old = [VenueError("fake", "older than ten days", code="10", permanent=True) for _ in range(2)]
    scene.venue.errors = too_old  # of both together, and of the first by itself
    await scene.run()
    assert sorted(event[:2] for event in scene.told() if event[0] != "begin") == [("lost", 1), ("repaired", 2)]


@pytest.mark.parametrize("code", ["401", "403", "404"])
async def test_what_a_person_can_put_right_costs_no_gap(code: str) -> None:
    scene = Scene(gap(1))
    scene.venue.errors = [VenueError("fake", "is the token right?", code=code, permanent=True)]
    await scene.run()
    assert [event[0] for event in scene.told()] == ["begin", "put off", "begin", "repaired"]


async def test_old_gaps_are_left_to_people() -> None:
    scene = Scene(gap(1, from_us=999_000_000 - 86_400_000_000), gap(2, from_us=900_000_000), max_age_seconds=3600)
    task = asyncio.ensure_future(scene.repairer.run())
    await until(lambda: scene.repairer.repaired == 1, "the young one repaired")
    task.cancel()
    await asyncio.wait([task])
    assert list(scene.table.gaps) == [1]


async def test_gap_that_has_just_ended_is_left_alone_for_a_moment() -> None:
    scene = Scene(gap(1, from_us=990_000_000))  # it ends at the clock's 1,000 s
    await scene.run()
    assert scene.clock.now >= 1001.0


async def test_end_of_a_minute_that_has_just_ended_is_asked_for_again() -> None:
    scene = Scene(gap(1, from_us=940_000_000, seconds=60))  # it ends at the clock's 1,000 s
    await scene.run()
    begin, end = 940_000_000 - MARGIN_US, 1_000_000_000 + MARGIN_US
    assert [asked[2:] for asked in scene.venue.asked] == [(begin, end), (end - 2 * MARGIN_US - 1_000_000, end)]
    assert scene.clock.now >= 1001.0
    assert scene.repairer.repaired == 1


async def test_slow_answer_does_not_stand_for_the_end_that_was_asked_for_too_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene = Scene(gap(1, from_us=940_000_000, seconds=60))
    fetch = scene.repairer._fetch

    async def slowly(instrument: Instrument, stream: str, from_us: int, to_us: int) -> None:
        await fetch(instrument, stream, from_us, to_us)
        scene.clock.now += 5.0

    monkeypatch.setattr(scene.repairer, "_fetch", slowly)
    await scene.run()
    assert len(scene.venue.asked) == 2


async def test_what_only_a_person_can_help_is_asked_for_ever_more_seldom() -> None:
    scene = Scene(gap(1))
    scene.venue.errors = [VenueError("fake", "no such thing", code="404", permanent=True) for _ in range(30)]
    await scene.run()
    assert scene.clock.now > 4 * 3600


async def test_candles_wait_for_trades_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collector.repair.line.TRADES_FIRST_MAX_SECONDS", 0.2)
    line = Line()
    trades, candles = (Stretch((gap(number, stream),)) for number, stream in ((1, "trades"), (2, "candles")))
    line.put(trades)
    line.put(candles)
    assert await line.take(trades=True) == trades
    assert await line.take(trades=False) == candles
    began = asyncio.get_running_loop().time()
    await line.trades_are_through()
    assert asyncio.get_running_loop().time() - began >= 0.15
    line.put(Stretch((gap(3),)))
    began = asyncio.get_running_loop().time()
    await line.trades_are_through()  # the time was up: it is not waited for again
    assert asyncio.get_running_loop().time() - began < 0.15
    line.done(await line.take(trades=True))
    line.done(trades)
    await line.trades_are_through()
    line.done(candles)
    assert line.idle


async def test_database_that_is_away_is_waited_for() -> None:
    scene = Scene(gap(1))
    scene.table.errors = [DatabaseUnreachableError("nobody answers") for _ in range(3)]
    await scene.run()
    assert scene.told()[-1] == ("repaired", 1, None)


async def test_bug_ends_neither_the_repairer_nor_what_holds_it() -> None:
    scene = Scene(gap(1))
    scene.table.errors = [ZeroDivisionError("a bug")]
    await scene.run()
    assert scene.repairer.repaired == 1


@pytest.mark.parametrize("called", ["history", "paging", "whole_past", "history_header", "failure"])
async def test_bug_of_the_adapter_puts_its_gap_off_and_no_other(called: str) -> None:
    scene = Scene(gap(1), gap(2, "candles"), gap(3, from_us=HOUR_US))
    venue, left = scene.venue, 3

    def fails(stream: str = "trades") -> None:
        nonlocal left
        if stream == "trades" and left:
            left -= 1
            raise ZeroDivisionError("a bug")

    class Buggy(type(venue)):  # type: ignore[misc]
        def history(self, instrument: Instrument, stream: str, *span: int) -> Any:
            if called == "history":
                fails(stream)
            return self._history(instrument, stream, *span)

        def _history(self, *asked: Any) -> Any:
            yield from super().history(*asked)
            if called == "paging":
                fails(asked[1])

        def whole_past(self, instrument: Instrument, stream: str) -> bool:
            if called == "whole_past":
                fails(stream)
            return bool(super().whole_past(instrument, stream))

        def history_header(self) -> Any:
            if called == "history_header":
                fails()
            return {}

        def failure(self, call: RestCall, answer: RestAnswer) -> VenueError | None:
            if called == "failure":
                fails(call.channel)
            return None

    venue.__class__ = Buggy
    with capture_logs() as logs:
        await scene.run()
    put_off = [event for event in scene.told() if event[0] == "put off"]
    place = "failure" if called == "failure" else "history"
    assert len(put_off) >= 3
    assert {event[2] for event in put_off} == {f"fake: a bug, in {place}: ZeroDivisionError: a bug"}
    assert (scene.repairer.repaired, scene.repairer.lost) == (3, 0)
    assert scene.rest is not None
    assert scene.rest.failures.counts == {place: 3}
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == ["adapter_failed"]


async def test_worker_that_does_not_run_yet_is_waited_for() -> None:
    scene = Scene(gap(1))
    rest, scene.rest = scene.rest, None
    task = asyncio.ensure_future(scene.repairer.run())
    put_off = ("put off", 1, "fake: its worker does not run yet")
    await until(lambda: put_off in scene.table.events, "put off")
    scene.rest = rest
    await scene.table.settled()
    task.cancel()
    await asyncio.wait([task])
    assert scene.repairer.repaired == 1


async def test_full_journal_holds_repairs_back() -> None:
    scene = Scene(gap(1))
    scene.intake.full = True
    task = asyncio.ensure_future(scene.repairer.run())
    await until(lambda: scene.intake.waited_for_room == 1, "a repair that waits")
    assert scene.intake.sessions[0].answers == []
    scene.intake.roomy.set()
    await scene.table.settled()
    task.cancel()
    await asyncio.wait([task])
    assert len(scene.intake.sessions[0].answers) == 1


async def test_end_of_the_daemon_ends_the_session() -> None:
    scene = Scene(gap(1))
    waiting = asyncio.Event()

    async def never() -> None:
        if scene.table.events:
            waiting.set()
            await asyncio.Event().wait()

    scene.repairer._committed = never
    task = asyncio.ensure_future(scene.repairer.run())
    async with asyncio.timeout(5):
        await waiting.wait()
    task.cancel()
    await asyncio.wait([task])
    assert scene.intake.sessions[0].closed is not None
    assert list(scene.table.gaps) == [1]

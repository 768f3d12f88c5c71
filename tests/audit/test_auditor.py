"""When a minute is judged: of what is asked for in turn, and of what has no candles before they are fetched."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from collector.audit.auditor import AuditOptions, Auditor
from collector.audit.minutes import MINUTE
from collector.audit.subjects import Piece, Subject, Terms
from collector.venues.audit import CandleSums
from collector.venues.finam import FinamSettings
from tests.feed.fakes import FakeClock

SUMS = CandleSums(volume=True)
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
FAR = datetime(2100, 1, 1, tzinfo=UTC)


class Fetched:
    """What a fetcher has fetched of each instrument."""

    def __init__(self, piece: Piece | None) -> None:
        self.piece = piece

    def fetched(self, _number: int) -> Piece | None:
        return self.piece


def auditor(now: datetime, subjects: Sequence[Subject], fetched: Piece | None = None) -> Auditor:
    clock = FakeClock()
    clock.now_ns = lambda: int(now.timestamp() * 1e9)  # type: ignore[method-assign]
    nobody: Any = None
    fetchers: Any = {"streamed": Fetched(fetched)}
    made = Auditor(
        {"polled": Terms(SUMS, polled_per_minute=180.0), "streamed": Terms(SUMS)},
        AuditOptions(15.0, 24.0),
        dsn=str,
        committed=nobody,
        wake=nobody,
        look_up=nobody,
        fetchers=fetchers,
        clock=clock,
    )
    made._subjects = list(subjects)
    return made


@pytest.mark.parametrize(
    ("count", "minute"),
    [(1, 8), (50, 8), (200, 7), (5000, 5)],  # a minute, two turns of 67 s, four minutes at the most
)
def test_minute_of_a_polled_venue_waits_until_all_were_asked(count: int, minute: int) -> None:
    now = datetime(2026, 11, 21, 18, 10, 14, tzinfo=UTC)
    polled = [Subject(number, "polled", f"S{number}", SUMS, (), "") for number in range(count)]
    assert auditor(now, polled)._asked() == {"polled": datetime(2026, 11, 21, 18, minute, tzinfo=UTC)}


def at(minute: int) -> datetime:
    return NOON + minute * MINUTE


@pytest.mark.parametrize(
    ("pieces", "lacking", "fetched", "due"),
    [
        ([(0, None)], [], None, (0, 10)),  # recorded: nothing is awaited
        ([], [(0, None)], None, (0, 0)),  # nothing is there yet
        ([], [(0, None)], (0, 0), (0, 0)),
        ([], [(0, None)], (0, 7), (0, 7)),
        ([], [(0, None)], (0, 20), (0, 10)),
        ([], [(0, None)], (5, 7), (0, 7)),  # what lies before is given up
        ([(4, None)], [(0, 4)], (0, 2), (0, 2)),  # recorded since the fourth minute
        ([(4, None)], [(0, 4)], (0, 4), (0, 10)),
        ([(4, None)], [(0, 4)], (4, 4), (0, 10)),  # the venue has none of before
        ([(0, 4)], [(4, None)], None, (0, 4)),  # recorded until the fourth minute
        ([(0, 4)], [(4, None)], (4, 6), (0, 6)),
    ],
)
def test_minute_without_a_candle_waits_until_it_was_fetched(
    pieces: list[tuple[int, int | None]],
    lacking: list[tuple[int, int | None]],
    fetched: tuple[int, int] | None,
    due: tuple[int, int],
) -> None:
    def made(spans: list[tuple[int, int | None]]) -> tuple[Piece, ...]:
        return tuple((at(since), FAR if until is None else at(until)) for since, until in spans)

    one = Subject(1, "streamed", "A", SUMS, made(pieces), "", made(lacking))
    known = None if fetched is None else (at(fetched[0]), at(fetched[1]))
    found = auditor(at(10), [one], known)._due_of(one, at(-60), at(9), {})
    assert found == (at(due[0]), at(due[1]))


def test_only_what_is_recorded_last_goes_on() -> None:
    from collector.audit.auditor import _still_open

    recorded = Subject(1, "v", "A", SUMS, ((at(0), at(4)),), "")
    assert _still_open(recorded, at(6)).pieces == ((at(0), FAR),)
    assert _still_open(recorded, at(8)).pieces == ((at(0), at(4)),)
    then_not = recorded._replace(lacking=((at(4), at(6)),))
    assert _still_open(then_not, at(6))[4:] == (((at(0), at(4)),), "", ((at(4), FAR),))
    and_again = then_not._replace(pieces=((at(0), at(4)), (at(6), at(7))))
    assert _still_open(and_again, at(7) + timedelta(seconds=5)).pieces[-1] == (at(6), FAR)
    assert _still_open(and_again, at(7)).lacking == ((at(4), at(6)),)


def test_finam_is_polled_and_streamed() -> None:
    settings = {"secret": "x", "symbols": ["SBER@MISX"]}
    assert FinamSettings(**settings).polled_per_minute == 180
    assert FinamSettings(**settings, transport="stream").polled_per_minute == 0

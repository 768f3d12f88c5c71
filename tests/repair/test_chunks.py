"""How a backfill is cut: on one grid, without holes, and nothing twice."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from collector.model import Instrument
from collector.repair.chunks import CHUNK_MIN_US, Chunk, calls, cut, detail, undone
from collector.venues.adapter import VenueSettings
from tests.repair.fakes import A, PastVenue

MINUTES = cast(VenueSettings, SimpleNamespace(periods_of=lambda _: ("1m", "1h"), converted=("EUR",)))
VENUE = PastVenue(settings=MINUTES)
TIMES = st.integers(0, 40 * CHUNK_MIN_US)


@given(TIMES, TIMES, st.sampled_from(["trades", "candles"]))
def test_pieces_follow_each_other_from_end_to_end(one: int, other: int, stream: str) -> None:
    span = min(one, other), max(one, other)
    chunks = cut(VENUE, [A], [stream], span)
    ends = [span[0], *(chunk.until_us for chunk in chunks)]
    assert [chunk.from_us for chunk in chunks] == ends[:-1]
    assert ends[-1] == span[1]


@given(TIMES, TIMES)
def test_overlapping_backfills_share_their_whole_pieces(one: int, other: int) -> None:
    end = 50 * CHUNK_MIN_US
    first = set(cut(VENUE, [A], ["trades"], (one, end)))
    second = set(cut(VENUE, [A], ["trades"], (other, end)))
    assert len(first ^ second) <= abs(one - other) // CHUNK_MIN_US + 3


def test_neighbours_are_of_different_instruments_and_the_oldest_come_first() -> None:
    chunks = cut(VENUE, [A, Instrument("fake", "B")], ["trades"], (0, 2 * CHUNK_MIN_US))
    assert [(chunk.instrument.symbol, chunk.from_us) for chunk in chunks] == [
        ("A", 0),
        ("B", 0),
        ("A", CHUNK_MIN_US),
        ("B", CHUNK_MIN_US),
    ]


def test_piece_is_done_when_one_span_holds_all_of_it() -> None:
    chunk = Chunk(A, "trades", 100, 200)
    assert undone([chunk], {("A", "trades"): [(100, 200)]}) == []
    assert undone([chunk], {("A", "trades"): [(50, 300)]}) == []
    assert undone([chunk], {("A", "trades"): [(50, 150), (150, 300)], ("A", "candles"): [(0, 300)]}) == [chunk]


def test_calls_go_by_periods_and_by_the_pace_of_trades() -> None:
    hours = Chunk(A, "candles", 0, 100 * 3_600_000_000)
    assert calls(VENUE, hours, 0.0) == 6 + 1  # 6,000 minutes and 100 hours, 1,000 an answer
    trades = Chunk(A, "trades", 0, 1_000_000_000)
    assert [calls(VENUE, trades, rate) for rate in (0.0, 1.0, 2.5)] == [1, 1, 3]


def test_what_is_fetched_of_candles_is_part_of_what_was_done() -> None:
    assert (detail(MINUTES, "candles", "A"), detail(MINUTES, "trades", "A")) == ("1m,1h,converted:EUR", "")

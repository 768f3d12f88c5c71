"""Which gaps are fetched together."""

from __future__ import annotations

from collector.model import Instrument
from collector.repair.stretches import stretches
from tests.repair.fakes import gap


def joined(*gaps: object) -> list[list[int]]:
    found = stretches(gaps, apart_us=10_000_000, longest_us=100_000_000)  # type: ignore[arg-type]
    return [[one.gap_id for one in stretch.gaps] for stretch in found]


def test_no_gap_no_stretch() -> None:
    assert joined() == []


def test_neighbours_are_joined_up_to_the_distance() -> None:
    assert joined(gap(2, from_us=20_000_000), gap(1), gap(3, from_us=40_000_001)) == [[1, 2], [3]]


def test_overlapping_and_enclosed_gaps_are_joined() -> None:
    inner = gap(2, from_us=5_000_000, seconds=1)
    assert joined(gap(1, seconds=50), inner, gap(3, from_us=55_000_000)) == [[1, 2, 3]]


def test_end_is_that_of_the_longest() -> None:
    (stretch,) = stretches([gap(1, seconds=50), gap(2, from_us=5_000_000)], apart_us=0, longest_us=100_000_000)
    assert (stretch.done_us, stretch.to_us) == (0, 50_000_000)


def test_a_stretch_stops_at_its_greatest_length() -> None:
    gaps = [gap(number, from_us=number * 20_000_000, seconds=20) for number in range(12)]
    assert joined(*gaps) == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [10, 11]]


def test_a_gap_that_is_too_long_or_partly_filled_stays_alone() -> None:
    half_done = gap(3, from_us=300_000_000)._replace(done_us=302_000_000)
    assert joined(gap(1, seconds=290), gap(2, from_us=291_000_000), half_done, gap(4, from_us=310_000_000)) == [
        [1],
        [2],
        [3],
        [4],
    ]


def test_other_streams_and_instruments_are_asked_for_by_themselves() -> None:
    other = gap(3)._replace(instrument=Instrument("fake", "B"))
    assert joined(gap(1), gap(2, "candles"), other) == [[2], [1], [3]]

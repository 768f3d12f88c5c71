"""Books: rows that connect, losses told once, and no level twice."""

from __future__ import annotations

import pytest

from collector.model import Book, Gap
from collector.venues.events import SequenceLost, SnapshotTaken
from collector.venues.fmex.ladder import Ladder
from tests.venues.fmex.reading import BTC, Reading, T, change, whole

DELTA = "depth-delta.L20"
TAKEN = SnapshotTaken(DELTA, "btcusd_p")


def test_a_whole_book_is_a_snapshot_with_the_venues_digits() -> None:
    reading = Reading()
    events = reading.frame(whole(9, "7865,1002.0,7864.5,1E2", "7865.5,3"), at_ms=T + 1)
    assert reading.out.books == [
        Book(BTC, T * 1000, 9, True, "7865,7864.5", "1002.0,100", "7865.5", "3", (T + 1) * 1000)
    ]
    assert events == (TAKEN,)


def test_whole_books_of_another_level_than_the_changes_are_rows_and_no_events() -> None:
    reading = Reading()
    assert not reading.frame(whole(9, level="l150"))
    assert not reading.frame(whole(8, level="L150"))
    assert [row.seq for row in reading.out.books] == [9, 8]


def test_zero_levels_of_a_whole_book_are_dropped() -> None:
    reading = Reading()
    reading.frame(whole(1, "5,0.0,4,1,3,0E-18", "6,0"))
    assert reading.out.books[0][4:8] == ("4", "1", "", "")


def test_changes_follow_by_the_number_before_whatever_the_jump() -> None:
    reading = Reading()
    reading.frame(whole(100))
    reading.frame(change(111, 100, "7139,4"))
    reading.frame(change(5000, 111, "", "7140.5,0,7141,2"))
    assert [(row.seq, row.snapshot) for row in reading.out.books] == [(100, True), (111, False), (5000, False)]
    assert reading.out.books[2].ask_sizes == "0,2"
    assert reading.events == [TAKEN]


def test_a_change_that_does_not_follow_is_told_once_and_not_stored() -> None:
    reading = Reading()
    reading.frame(whole(100, ts=T))
    assert reading.frame(change(120, 110, "7139,4")) == (SequenceLost(DELTA, "btcusd_p", 100, 110),)
    assert not reading.frame(change(130, 120, "7139,4"))
    assert [row.seq for row in reading.out.books] == [100]
    assert reading.out.gaps == [Gap(BTC, "books", T * 1000, None, 100, 120, "sequence lost")]
    assert [bad.items for bad in reading.out.quarantine] == [1, 1]


def test_a_new_whole_book_ends_the_gap_and_goes_on() -> None:
    reading = Reading()
    reading.frame(whole(100, ts=T))
    reading.frame(change(120, 110))
    assert reading.frame(whole(200, ts=T + 50)) == (TAKEN,)
    reading.frame(change(210, 200, ts=T + 60))
    opened, closed = reading.out.gaps
    assert closed == opened._replace(to_us=(T + 50) * 1000, to_seq=200)
    assert [row.seq for row in reading.out.books] == [100, 200, 210]


def test_a_whole_book_in_the_middle_replaces_the_book() -> None:
    reading = Reading()
    reading.frame(whole(100))
    reading.frame(change(105, 100))
    reading.frame(whole(103))
    reading.frame(change(110, 103))
    assert not reading.out.quarantine
    assert [row.seq for row in reading.out.books] == [100, 105, 103, 110]


def test_an_old_change_is_a_repetition_and_loses_nothing() -> None:
    reading = Reading()
    reading.frame(whole(100))
    reading.frame(change(105, 100, "7139,4"))
    reading.frame(change(105, 100, "7139,4"))
    reading.frame(change(107, 105))
    assert [row.seq for row in reading.out.books] == [100, 105, 105, 107]
    assert reading.events == [TAKEN]
    assert not reading.out.gaps


def test_a_change_before_any_whole_book_is_not_stored_and_no_loss() -> None:
    reading = Reading()
    assert not reading.frame(change(105, 100))
    assert not reading.out.gaps
    assert reading.errors == ["a change without a whole book before it"]
    reading.frame(whole(200))
    reading.frame(change(201, 200))
    assert [row.seq for row in reading.out.books] == [200, 201]


def test_a_book_that_crosses_is_a_loss() -> None:
    reading = Reading()
    reading.frame(whole(100, "7140,5", "7140.5,7"))
    assert reading.frame(change(103, 100, "7142,1")) == (SequenceLost(DELTA, "btcusd_p", 100, 103),)
    assert reading.out.gaps[0].cause == "book crossed"
    reading.frame(change(104, 103))
    assert len(reading.out.quarantine) == 1


def test_a_level_is_known_by_its_value_and_not_by_its_digits() -> None:
    reading = Reading()
    reading.frame(whole(100, "7140,5", "7865,7"))
    reading.frame(change(101, 100, "", "7865.0,0,7866,1"))
    assert not reading.frame(change(102, 101, "7865.5,3"))


def test_levels_beyond_the_depth_are_not_trusted() -> None:
    ladder = Ladder(2)
    ladder.begin("5,4,3", "6,7,8")
    # 3 and 8 are forgotten: when the best two of a side go, nothing is left to cross with.
    assert ladder.change("5,4", "0,0", "6,7", "0,0")
    assert ladder.change("9", "1", "", "")


def test_books_of_two_symbols_do_not_touch_each_other() -> None:
    reading = Reading()
    reading.frame(whole(100))
    reading.frame(whole(7).replace("btcusd_p", "ethusd_p"))
    reading.frame(change(8, 7).replace("btcusd_p", "ethusd_p"))
    reading.frame(change(120, 110))
    assert not reading.frame(change(9, 8).replace("btcusd_p", "ethusd_p"))


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("7140,5,7139.5,6", "7140,5,7139.5", "bids:"),
        ("7140,5,7139.5,6", "7140,-5", "bids:"),
        ("7140,5,7139.5,6", "NaN,5", "bids:"),
        ("7140,5,7139.5,6", "[7140,5]", "bids:"),
        ("7140,5,7139.5,6", '"1,2",5', "bids:"),
        ('"asks":[7140.5,7]', '"asks":null', "asks:"),
        ('"seq":100', '"seq":-1', "seq:"),
        ('"seq":100', '"seq":9223372036854775808', "seq:"),
        (f'"ts":{T}', '"ts":7', "ts:"),
    ],
)
def test_what_is_wrong_with_a_book_is_told(old: str, new: str, reason: str) -> None:
    reading = Reading()
    reading.frame(whole(100).replace(old, new))
    assert not reading.out.books
    assert reading.errors[0].startswith(reason)


def test_a_change_without_the_number_before_it_cannot_be_placed() -> None:
    reading = Reading()
    reading.frame(whole(100))
    reading.frame(change(105, "null"))
    assert reading.errors[0].startswith("pre_seq:")
    assert not reading.frame(change(105, 100))

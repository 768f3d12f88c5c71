"""Order books and their sequence."""

from __future__ import annotations

from typing import Any

import pytest

from collector.model import Book, Gap
from collector.venues.events import SequenceLost, SnapshotTaken
from collector.venues.fmfw.books import OLD_UPDATES_ALLOWED
from tests.venues.fmfw.reading import BTC, Reading, T

FULL = "orderbook/full"


def book(s: int, t: int = T, a: Any = (("2", "1"),), b: Any = (("1", "1"),)) -> dict[str, Any]:
    return {"t": t, "s": s, "a": [list(level) for level in a], "b": [list(level) for level in b]}


def snapshot(reading: Reading, s: int, t: int = T) -> list[Any]:
    return list(reading.send(FULL, "snapshot", {"BTCUSDT": book(s, t)}))


def update(reading: Reading, s: int, t: int = T) -> list[Any]:
    return list(reading.send(FULL, "update", {"BTCUSDT": book(s, t)}))


def test_a_snapshot_and_its_updates_become_rows_of_joined_levels() -> None:
    reading = Reading()
    content = {"BTCUSDT": book(7, a=[("2.0", "9.00"), ("3", "1")], b=[])}
    reading.send(FULL, "snapshot", content, at_ms=T)
    reading.send(FULL, "update", {"BTCUSDT": book(8, a=[], b=[("1.5", "0")])}, at_ms=T + 1)
    assert reading.out.books == [
        Book(BTC, T * 1000, 7, True, "", "", "2.0,3", "9.00,1", T * 1000),
        Book(BTC, T * 1000, 8, False, "1.5", "0", "", "", (T + 1) * 1000),
    ]
    assert reading.events == [SnapshotTaken(FULL, "BTCUSDT")]


def test_zero_levels_of_a_snapshot_are_dropped_and_those_of_an_update_kept() -> None:
    reading = Reading()
    zeros = [("2", "0"), ("3", "0.5"), ("4", "0.000")]
    reading.send(FULL, "snapshot", {"BTCUSDT": book(7, a=zeros, b=[("1", "0")])})
    reading.send(FULL, "update", {"BTCUSDT": book(8, a=zeros)})
    assert (reading.out.books[0].ask_prices, reading.out.books[0].bid_prices) == ("3", "")
    assert reading.out.books[1].ask_sizes == "0,0.5,0.000"


def test_a_loss_is_told_once_and_a_gap_stays_open_until_the_next_snapshot() -> None:
    reading = Reading()
    snapshot(reading, 7, t=T)
    update(reading, 8, t=T + 10)
    assert update(reading, 10, t=T + 20) == [SequenceLost(FULL, "BTCUSDT", 9, 10)]
    assert update(reading, 13, t=T + 30) == []
    opened = Gap(BTC, "books", (T + 10) * 1000, None, 8, 10, "sequence lost")
    assert reading.out.gaps == [opened]
    assert snapshot(reading, 20, t=T + 40) == [SnapshotTaken(FULL, "BTCUSDT")]
    assert reading.out.gaps == [opened, opened._replace(to_us=(T + 40) * 1000, to_seq=20)]
    assert [row.seq for row in reading.out.books] == [7, 8, 10, 13, 20]
    assert update(reading, 21) == []


def test_a_second_loss_opens_a_gap_of_its_own() -> None:
    reading = Reading()
    for s in (7, 9):
        (snapshot if s == 7 else update)(reading, s)
    snapshot(reading, 20, t=T + 40)
    update(reading, 22, t=T + 50)
    assert [(gap.from_seq, gap.to_us is None) for gap in reading.out.gaps] == [(7, True), (7, False), (20, True)]


def test_a_gap_never_ends_before_it_begins() -> None:
    reading = Reading()
    snapshot(reading, 7, t=T + 100)
    update(reading, 9, t=T + 200)
    snapshot(reading, 10, t=T - 5000)
    assert reading.out.gaps[-1].to_us == reading.out.gaps[-1].from_us == (T + 100) * 1000


def test_a_repeated_update_is_a_row_without_an_event() -> None:
    reading = Reading()
    snapshot(reading, 7)
    for s in (8, 8, 7, 9):
        assert update(reading, s) == []
    assert len(reading.out.books) == 5
    assert not reading.out.gaps


def test_a_count_begun_anew_without_snapshot_is_a_loss_after_some_updates() -> None:
    reading = Reading()
    snapshot(reading, 1000)
    events = [event for s in range(1, OLD_UPDATES_ALLOWED + 5) for event in update(reading, s)]
    assert events == [SequenceLost(FULL, "BTCUSDT", 1001, OLD_UPDATES_ALLOWED)]


def test_a_snapshot_with_a_lower_number_is_taken() -> None:
    reading = Reading()
    snapshot(reading, 1000)
    snapshot(reading, 5)
    assert update(reading, 6) == []


def test_an_update_before_any_snapshot_is_a_row_and_no_loss() -> None:
    reading = Reading()
    assert update(reading, 50) == []
    snapshot(reading, 60)
    assert update(reading, 61) == []
    assert len(reading.out.books) == 3


def test_a_bad_update_breaks_the_sequence_so_that_the_book_is_taken_anew() -> None:
    reading = Reading()
    snapshot(reading, 7)
    reading.send(FULL, "update", {"BTCUSDT": book(8, a=[("NaN", "1")])})
    assert update(reading, 9) == [SequenceLost(FULL, "BTCUSDT", 8, 9)]


def test_one_symbols_loss_leaves_the_others_alone() -> None:
    reading = Reading()
    reading.send(FULL, "snapshot", {"BTCUSDT": book(7), "ETHBTC": book(70)})
    events = reading.send(FULL, "update", {"BTCUSDT": book(9), "ETHBTC": book(71)})
    assert list(events) == [SequenceLost(FULL, "BTCUSDT", 8, 9)]


@pytest.mark.parametrize("channel", ["orderbook/D5/100ms", "orderbook/D10/500ms/batch", "orderbook/D20/1000ms"])
def test_partial_books_are_snapshots_that_may_skip_numbers(channel: str) -> None:
    reading = Reading()
    for s in (5, 9, 9, 3):
        assert not reading.send(channel, "data", {"BTCUSDT": book(s), "ETHBTC": book(s)})
    assert [row.snapshot for row in reading.out.books] == [True] * 8
    assert not reading.out.gaps


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"a": [["1,2", "3"]]}, "a: ['1,2', '3'] is not a level of price and size"),
        ({"a": [["1", "2"], ["3"]]}, "a: ['3'] is not a level"),
        ({"a": [["1", "2", "3"]]}, "a: ['1', '2', '3'] is not a level"),
        ({"a": ["12", "34"]}, "a: '12' is not a level"),
        ({"b": [["1", "-2"]]}, "b: ['1', '-2'] is not a level"),
        ({"b": [["1", 2]]}, "b: ['1', 2] is not a level"),
        ({"b": [[]]}, "b: [] is not a level"),
        ({"b": None}, "b: None is not a list of levels"),
        ({"b": {"1": "2"}}, "b: {'1': '2'} is not a list of levels"),
        ({"s": -1}, "s: -1 is not a sequence number"),
        ({"s": 2**63}, "s: 9223372036854775808 is not a sequence number"),
        ({"s": "5"}, "s: '5' is not a sequence number"),
        ({"t": 1}, "t: 1 is not a time"),
    ],
)
def test_a_bad_book_goes_to_quarantine(change: dict[str, Any], reason: str) -> None:
    reading = Reading()
    reading.send(FULL, "snapshot", {"BTCUSDT": book(5) | change})
    reading.send("orderbook/D5/100ms", "data", {"BTCUSDT": book(5) | change})
    assert len(reading.errors) == 2
    assert all(error.startswith(reason) for error in reading.errors)
    assert not reading.out.books


def test_a_fork_follows_its_own_sequence() -> None:
    reading = Reading()
    snapshot(reading, 7)
    copy = reading.fork()
    assert update(copy, 9)
    assert update(reading, 8) == []
    assert update(reading, 9) == []

"""Books rebuilt from rows: what a chain proves, and what breaks it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from collector.audit.books import BookRow, Outcome, Rebuilder
from collector.venues.audit import BookRows

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
NUMBERED, LINKED, WHOLE = BookRows.NUMBERED, BookRows.LINKED, BookRows.WHOLE


def row(seq: int, bids: str = "", asks: str = "", *, snapshot: bool = False, at: float | None = None) -> BookRow:
    """A row from texts such as `100=2 99=0`."""
    (bid_prices, bid_sizes), (ask_prices, ask_sizes) = map(levels, (bids, asks))
    received_at = NOON + timedelta(seconds=seq if at is None else at)
    return BookRow(received_at, seq, snapshot, bid_prices, bid_sizes, ask_prices, ask_sizes)


def levels(text: str) -> tuple[list[Decimal], list[Decimal]]:
    pairs = [pair.split("=") for pair in text.split()]
    return [Decimal(price) for price, _ in pairs], [Decimal(size) for _, size in pairs]


def rebuilt(*rows: BookRow, kind: BookRows = NUMBERED, gaps: tuple[tuple[datetime, datetime], ...] = ()) -> Outcome:
    rebuilder = Rebuilder(kind, gaps)
    for one in rows:
        rebuilder.take(one)
    return rebuilder.outcome()


BEGIN = row(1, "100=2 99=1", "101=3", snapshot=True)


def test_snapshot_that_the_chain_has_reached_is_compared_and_equal() -> None:
    found = rebuilt(BEGIN, row(2, "100=0 98=4"), row(3, asks="101=5"), row(3, "99=1.0 98=4", "101=5", snapshot=True))
    assert found == Outcome("complete", 4, 2, 1, 0, 0, 0, None)


def test_first_difference_is_told_with_price_and_both_sizes() -> None:
    found = rebuilt(BEGIN, row(2, "100=7"), row(2, "100=5 99=1", "101=4", snapshot=True))
    assert (found.verdict, found.divergences) == ("unexplained", 1)
    assert found.first == "at 2, 2026-11-21 12:00:02.000000: bid 100 has 7 as rebuilt, 5 in the snapshot"


def test_level_that_only_one_of_them_has_is_a_difference() -> None:
    found = rebuilt(BEGIN, row(2, "97=1"), row(2, "100=2 99=1", "101=3", snapshot=True))
    assert "bid 97 has 1 as rebuilt, nothing in the snapshot" in str(found.first)


def test_snapshot_further_on_than_the_chain_begins_anew_and_is_not_compared() -> None:
    found = rebuilt(BEGIN, row(2, "100=7"), row(9, "50=1", snapshot=True), row(10, "50=2"))
    assert (found.verdict, found.compared, found.breaks) == ("complete", 0, 0)


def test_missing_change_is_found_by_its_number() -> None:
    found = rebuilt(BEGIN, row(2, "100=7"), row(5, "100=8"), row(6, "100=9"))
    assert (found.verdict, found.breaks, found.explained) == ("unexplained", 1, 0)
    assert "2 changes after 2 are missing, and no gap explains that" in str(found.first)


def test_missing_change_of_which_a_gap_tells_is_explained() -> None:
    gap = (NOON + timedelta(seconds=20), NOON + timedelta(seconds=30))
    found = rebuilt(BEGIN, row(2), row(31), row(32), gaps=(gap,))
    assert (found.verdict, found.breaks, found.explained) == ("explained", 1, 1)
    later = (NOON + timedelta(seconds=200), NOON + timedelta(seconds=300))
    assert rebuilt(BEGIN, row(2), row(31), gaps=(later,)).verdict == "unexplained"


def test_chain_is_watched_from_the_first_change_even_without_a_snapshot() -> None:
    assert rebuilt(row(7), row(8), row(9)).verdict == "complete"
    assert rebuilt(row(7), row(8), row(10)).breaks == 1


def test_book_behind_a_break_is_not_compared() -> None:
    found = rebuilt(BEGIN, row(3, "100=7"), row(3, "100=5", snapshot=True))
    assert (found.compared, found.divergences, found.breaks) == (0, 0, 1)


def test_line_that_is_behind_another_one_breaks_nothing() -> None:
    found = rebuilt(
        BEGIN,
        row(2, "100=7"),
        row(3, "100=8"),
        row(4, "100=9"),
        row(2, "100=7 99=1", "101=3", snapshot=True, at=4.1),  # a second line's; its 3 and 4 are rows already
        row(5, "99=4"),
        row(5, "100=9 99=4", "101=3", snapshot=True, at=6),
    )
    assert (found.verdict, found.compared, found.breaks) == ("complete", 1, 0)


@pytest.mark.parametrize(("best", "verdict"), [("100=7", "complete"), ("100=6", "unexplained")])
def test_linked_changes_have_any_numbers_and_only_the_best_levels_count(best: str, verdict: str) -> None:
    found = rebuilt(BEGIN, row(40, "100=7"), row(41), row(41, best, "101=3", snapshot=True), kind=LINKED)
    assert (found.verdict, found.compared) == (verdict, 1)


def test_whole_books_and_chains_without_a_snapshot_prove_nothing_and_say_so() -> None:
    assert rebuilt(BEGIN, row(9, snapshot=True), kind=WHOLE).verdict == "not comparable"
    assert rebuilt(BEGIN, row(9), kind=LINKED).verdict == "not comparable"

"""How long is waited before asking again, and how many losses of a book are too many."""

from __future__ import annotations

from random import Random

from collector.venues.kit.losses import LOSS_WINDOW_SECONDS, Losses, backoff


def test_backoff_grows_from_a_second_to_a_minute() -> None:
    random = Random(3)
    waits = [backoff(attempt, random) for attempt in range(1, 40)]
    assert all(1 <= wait <= 60 for wait in waits)
    assert waits[0] < 2 < waits[3]
    assert waits[-1] == 60


def test_losses_of_a_book_are_counted_within_the_window() -> None:
    losses = Losses()
    assert [losses.note("books", "X", now) for now in (0.0, 1.0, 2.0)] == [1, 2, 3]
    assert losses.note("books", "Y", 2.0) == 1
    assert losses.note("books", "X", LOSS_WINDOW_SECONDS + 1.5) == 2

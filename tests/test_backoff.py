"""Delays between tries."""

from __future__ import annotations

from random import Random

from collector.backoff import Backoff, retry_seconds


def test_backoff_grows_is_jittered_and_capped_and_can_be_reset() -> None:
    backoff = Backoff(Random(7), first=0.5, longest=60)
    delays = [backoff.next() for _ in range(200)]
    assert delays[0] <= 0.5
    assert all(0.1 <= delay <= 60 for delay in delays)
    assert max(delays[20:]) > 30
    assert len(set(delays)) > 190
    assert backoff.next(5) <= 5
    assert max(backoff.next() for _ in range(50)) > 30
    backoff.reset()
    assert backoff.next() <= 0.5


def test_a_delay_lies_within_its_spread_and_the_cap_is_spread_as_well() -> None:
    random = Random(1)
    delays = [
        [retry_seconds(attempt, random, first=2, longest=10, spread=(1, 1.5)) for _ in range(50)]
        for attempt in (1, 2, 9)
    ]
    assert all(2 <= delay <= 3 for delay in delays[0])
    assert all(4 <= delay <= 6 for delay in delays[1])
    assert all(10 <= delay <= 15 for delay in delays[2])
    assert len(set(delays[2])) > 40


def test_thousands_of_tries_are_no_harder_than_a_few() -> None:
    assert 12 <= retry_seconds(5000, Random(1), first=0.5) <= 60


def test_the_longest_delay_may_change_under_way() -> None:
    backoff = Backoff(Random(7), longest=2)
    for _ in range(8):
        assert backoff.next() <= 2
    backoff.longest = 3600
    assert backoff.next() > 10

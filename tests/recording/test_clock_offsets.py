from __future__ import annotations

from collector.recording.clock_offsets import ClockOffsets

MINUTE_US = 60_000_000
START_US = 1_700_000_040_000_000  # a full minute


def test_the_least_difference_of_a_minute_counts() -> None:
    clocks = ClockOffsets()
    for late_us in (250_000, 40_000, 9_000_000):
        clocks.note("fmfw", START_US - late_us, START_US)
    assert clocks.seconds("fmfw", START_US * 1000) == 0.04


def test_a_venue_whose_clock_is_ahead_shows_below_zero() -> None:
    clocks = ClockOffsets()
    clocks.note("fmfw", START_US + 500_000, START_US)
    assert clocks.seconds("fmfw", START_US * 1000) == -0.5


def test_the_minute_before_counts_and_older_ones_do_not() -> None:
    clocks = ClockOffsets()
    clocks.note("fmfw", START_US - 10_000, START_US)
    clocks.note("fmfw", START_US + MINUTE_US - 70_000, START_US + MINUTE_US)
    assert clocks.seconds("fmfw", (START_US + MINUTE_US) * 1000) == 0.01
    assert clocks.seconds("fmfw", (START_US + 2 * MINUTE_US) * 1000) == 0.07
    assert clocks.seconds("fmfw", (START_US + 3 * MINUTE_US) * 1000) is None


def test_venues_are_kept_apart() -> None:
    clocks = ClockOffsets()
    clocks.note("fmfw", START_US - 10_000, START_US)
    assert clocks.seconds("finam", START_US * 1000) is None

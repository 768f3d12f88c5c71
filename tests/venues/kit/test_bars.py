"""The open bar of each series: when it is closed, and what a change of it is worth afterwards."""

from __future__ import annotations

import pytest

from collector.model import Candle, Instrument, Records
from collector.venues.kit.bars import OpenBars, month_end_us
from collector.venues.kit.session import NEVER_US

MINUTE_US = 60_000_000
# 2024-05-06 07:08:00 UTC.
T = 1_714_979_280_000_000
GRACE_US = 5_000_000


def state(minute: int, close: str, after_us: int) -> Candle:
    """A bar as told so long after T."""
    instrument = Instrument("v", "X")
    at_us = T + minute * MINUTE_US
    return Candle(instrument, at_us, 60, "trade", "1", "9", "1", close, None, None, None, False, T + after_us)


class Told:
    """Open bars with what was written of them."""

    def __init__(self) -> None:
        self.bars = OpenBars(lambda start_us, period: start_us + period * 1_000_000, GRACE_US)
        self.out = Records()

    def take(self, minute: int, close: str, after_us: int) -> None:
        self.bars.take("X", state(minute, close, after_us), self.out)

    @property
    def rows(self) -> list[tuple[str, bool]]:
        assert self.out.items == len(self.out.candles)
        return [(candle.close, candle.closed) for candle in self.out.candles]


def test_a_later_bar_closes_the_one_before_it_which_is_written_once_more() -> None:
    told = Told()
    told.take(0, "5", 1)
    told.take(0, "6", 2)
    told.take(1, "7", MINUTE_US + 1)
    assert told.rows == [("5", False), ("6", False), ("6", True), ("7", False)]


def test_the_clock_closes_a_bar_once_its_grace_is_over() -> None:
    told = Told()
    told.take(0, "5", 1)
    due_us = T + MINUTE_US + GRACE_US
    assert told.bars.due_us == due_us
    assert told.bars.close_due(due_us - 1, told.out) == due_us
    assert told.bars.close_due(due_us, told.out) == told.bars.due_us == NEVER_US
    assert told.rows == [("5", False), ("5", True)]
    told.take(0, "6", MINUTE_US + GRACE_US + 1)
    assert told.rows[2:] == [("6", True)]


def test_an_older_bar_is_closed_and_leaves_the_newest_alone() -> None:
    told = Told()
    told.take(1, "7", MINUTE_US + 1)
    told.take(0, "5", MINUTE_US + 2)
    newest = told.bars.newest("X")
    assert told.rows == [("7", False), ("5", True)]
    assert newest is not None
    assert newest.close == "7"


def test_a_forgotten_bar_is_never_called_final() -> None:
    told = Told()
    told.take(0, "5", 1)
    told.bars.forget()
    assert told.bars.close_due(T + 10 * MINUTE_US, told.out) == NEVER_US
    assert told.rows == [("5", False)]


def test_a_fork_has_bars_of_its_own() -> None:
    told = Told()
    told.take(0, "5", 1)
    fork, out = told.bars.fork(), Records()
    fork.close_due(T + 10 * MINUTE_US, out)
    assert len(out.candles) == 1
    told.take(0, "6", 2)
    assert told.rows == [("5", False), ("6", False)]


@pytest.mark.parametrize(("shift_us", "end_us"), [(0, 1_709_251_200_000_000), (28_800_000_000, 1_709_222_400_000_000)])
def test_a_month_ends_by_the_venues_calendar(shift_us: int, end_us: int) -> None:
    february_us = 1_706_745_600_000_000 - shift_us
    assert month_end_us(february_us, shift_us) == end_us

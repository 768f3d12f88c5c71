from random import Random

import pytest

from collector.simulator.fmfw.text import parse_time
from collector.simulator.fmfw.trading.candles import PERIODS, Bar, Series, fold, period_end, period_start
from collector.simulator.kit import bars


@pytest.mark.parametrize(
    ("period", "start"),
    [
        ("M1", "2024-04-14T12:18:00Z"),
        ("M30", "2024-04-14T12:00:00Z"),
        ("H4", "2024-04-14T12:00:00Z"),
        ("D1", "2024-04-14T00:00:00Z"),
        ("D7", "2024-04-08T00:00:00Z"),
        ("1M", "2024-04-01T00:00:00Z"),
    ],
)
def test_bars_open_on_the_calendar(period: str, start: str) -> None:
    assert period_start(period, parse_time("2024-04-14T12:18:40.426Z")) == parse_time(start)


@pytest.mark.parametrize("period", PERIODS)
def test_a_bar_ends_where_the_next_one_opens(period: str) -> None:
    start = period_start(period, parse_time("2024-02-27T10:00:00Z"))
    end = period_end(period, start)
    assert period_start(period, end - 1) == start
    assert period_start(period, end) == end


def values(bar: Bar) -> tuple[int, ...]:
    return tuple(getattr(bar, name) for name in bars.Bar.__slots__)


@pytest.mark.parametrize("period", PERIODS)
def test_every_period_is_the_sum_of_its_trades_live_and_folded(period: str) -> None:
    random = Random(3)
    series = Series()
    time_ms = parse_time("2024-01-31T20:00:00Z")
    trades: list[tuple[int, int, int]] = []
    for number in range(2000):
        time_ms += random.choice((0, 0, 17, 4_000, 250_000))
        trade = time_ms, random.randint(90, 110), random.randint(1, 9)
        trades.append(trade)
        series.add(*trade)
        if number == 100:
            series.current(period)
    expected: dict[int, Bar] = {}
    for at, price, size in trades:
        start = period_start(period, at)
        expected.setdefault(start, Bar(start, price)).add(price, size)
    assert [values(bar) for bar in series.bars(period)] == [values(bar) for bar in expected.values()]
    live = series.current(period)
    assert live is not None
    assert values(live) == values(list(expected.values())[-1])


def test_bars_without_trades_do_not_exist() -> None:
    series = Series()
    series.add(0, 5, 1)
    series.add(10 * 60_000, 6, 1)
    assert [bar.start for bar in series.bars("M1")] == [0, 600_000]
    assert [bar.start for bar in series.bars("M5")] == [0, 600_000]


def test_both_ends_of_a_range_are_included() -> None:
    series = Series()
    for minute in range(20):
        series.add(minute * 60_000, 5, 1)
    assert [bar.start // 60_000 for bar in series.bars("M1", 3 * 60_000, 5 * 60_000)] == [3, 4, 5]
    assert [bar.start // 60_000 for bar in series.bars("M5", 5 * 60_000, 10 * 60_000)] == [5, 10]
    assert series.bars("M5", 5 * 60_000 + 1, 9 * 60_000) == []
    assert [bar.count for bar in series.bars("M5", 5 * 60_000, 5 * 60_000)] == [5]


def test_folding_leaves_the_minutes_alone() -> None:
    series = Series()
    series.add(0, 5, 1)
    series.add(60_000, 7, 1)
    fold(series.minutes, "H1")
    assert series.minutes[0].count == 1


def test_the_close_before_a_time_is_that_of_the_last_minute_before() -> None:
    series = Series()
    assert series.close_before(100) is None
    series.add(60_000, 5, 1)
    series.add(61_000, 8, 1)
    assert series.close_before(60_000) == 5
    assert series.close_before(120_000) == 8

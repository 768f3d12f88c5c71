"""Candles, and when they are closed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from collector.model import PERIODS, Candle
from collector.venues.kit.bars import end_us
from tests.venues.fmfw.reading import BTC, Reading, T

M1 = "candles/M1"
MINUTE = 60_000


def bar(t: int = T, c: str = "5", v: str | None = "1", **more: Any) -> dict[str, Any]:
    return {"t": t, "o": "4", "c": c, "h": "6", "l": "3", "v": v, "q": "2", **more}


def told(reading: Reading) -> list[tuple[int, str, bool]]:
    """Opening minute, close and whether closed, of each row."""
    return [((row.time_us // 1000 - T) // MINUTE, row.close, row.closed) for row in reading.out.candles]


def test_a_candle_has_all_its_values() -> None:
    reading = Reading()
    reading.send(M1, "update", {"BTCUSDT": [bar()]}, at_ms=T + 5)
    assert reading.out.candles == [
        Candle(BTC, T * 1000, 60, "trade", "4", "6", "3", "5", "1", "2", None, False, (T + 5) * 1000)
    ]


@pytest.mark.parametrize(
    ("code", "period"),
    [
        ("M1", "1m"),
        ("M3", "3m"),
        ("M5", "5m"),
        ("M15", "15m"),
        ("M30", "30m"),
        ("H1", "1h"),
        ("H4", "4h"),
        ("D1", "1d"),
        ("D7", "1w"),
        ("1M", "1mo"),
    ],
)
def test_every_period_of_the_venue_is_known(code: str, period: str) -> None:
    reading = Reading()
    reading.send(f"candles/{code}", "update", {"BTCUSDT": [bar()]})
    assert reading.out.candles[0].period == PERIODS[period]


def test_a_bar_is_closed_when_a_later_one_arrives() -> None:
    reading = Reading()
    for t, c in ((T, "5"), (T, "7"), (T + MINUTE, "8")):
        reading.send(M1, "update", {"BTCUSDT": [bar(t, c)]})
    assert told(reading) == [(0, "5", False), (0, "7", False), (0, "7", True), (1, "8", False)]
    assert reading.out.items == 4


def test_a_bar_is_closed_by_the_clock_after_its_grace_and_only_once() -> None:
    reading = Reading(candle_grace_us=5_000_000)
    reading.send(M1, "update", {"BTCUSDT": [bar()]})
    reading.beat(T + MINUTE + 4999)
    assert told(reading) == [(0, "5", False)]
    reading.beat(T + MINUTE + 5000)
    reading.beat(T + MINUTE + 9000)
    assert told(reading) == [(0, "5", False), (0, "5", True)]
    reading.send(M1, "update", {"BTCUSDT": [bar(T + MINUTE)]})
    assert told(reading)[2:] == [(1, "5", False)]


def test_any_frame_lets_the_clock_close_bars() -> None:
    reading = Reading()
    reading.send(M1, "update", {"BTCUSDT": [bar()], "ETHBTC": [bar()]})
    reading.message({"result": {"ch": M1, "subscriptions": []}, "id": 1}, at_ms=T + MINUTE + 5000)
    assert told(reading)[2:] == [(0, "5", True)] * 2


def test_bars_of_several_periods_are_each_closed_in_their_time() -> None:
    reading = Reading()
    reading.send("candles/H1", "update", {"BTCUSDT": [bar()]})
    reading.send(M1, "update", {"BTCUSDT": [bar()]})
    reading.beat(T + MINUTE + 5000)
    assert [(row.period, row.closed) for row in reading.out.candles[2:]] == [(60, True)]
    reading.beat(T + 60 * MINUTE + 5000)
    assert [(row.period, row.closed) for row in reading.out.candles[3:]] == [(3600, True)]


def test_a_change_of_a_closed_bar_is_told_closed() -> None:
    reading = Reading()
    reading.send(M1, "update", {"BTCUSDT": [bar()]})
    reading.beat(T + MINUTE + 5000)
    reading.send(M1, "update", {"BTCUSDT": [bar(c="7")]})
    reading.send(M1, "update", {"BTCUSDT": [bar(T + MINUTE)]})
    reading.send(M1, "update", {"BTCUSDT": [bar(c="8")]})
    assert told(reading)[2:] == [(0, "7", True), (1, "5", False), (0, "8", True)]


def test_all_bars_of_a_snapshot_but_the_last_are_closed() -> None:
    reading = Reading()
    bars = [bar(T + n * MINUTE, str(n)) for n in range(3)]
    reading.send(M1, "snapshot", {"BTCUSDT": bars}, at_ms=T + 2 * MINUTE)
    assert told(reading) == [(0, "0", True), (1, "1", True), (2, "2", False)]


def test_the_last_bar_of_a_snapshot_is_closed_when_its_time_is_over() -> None:
    reading = Reading()
    reading.send(M1, "snapshot", {"BTCUSDT": [bar()]}, at_ms=T + 500 * MINUTE)
    assert told(reading) == [(0, "5", True)]


def test_what_a_snapshot_says_of_the_former_bar_is_final_and_not_what_we_held() -> None:
    reading = Reading()
    reading.send(M1, "update", {"BTCUSDT": [bar(c="5")]})
    reading.send(M1, "snapshot", {"BTCUSDT": [bar(c="9"), bar(T + MINUTE, "1")]})
    assert told(reading) == [(0, "5", False), (0, "9", True), (1, "1", False)]


def test_a_bar_from_the_far_future_closes_nothing() -> None:
    reading = Reading()
    for kind, bars in (("update", [bar()]), ("update", [bar(T + 2000 * MINUTE)]), ("snapshot", [bar(), bar(T * 2)])):
        reading.send(M1, kind, {"BTCUSDT": bars}, at_ms=T + 10)
    reading.send(M1, "update", {"BTCUSDT": [bar(c="9")]}, at_ms=T + 20)
    assert len(reading.out.candles) == 5
    assert not any(row.closed for row in reading.out.candles)


def test_a_fork_closes_bars_of_its_own() -> None:
    reading = Reading()
    reading.send(M1, "update", {"BTCUSDT": [bar()]})
    copy = reading.fork()
    copy.beat(T + MINUTE + 5000)
    reading.beat(T + MINUTE + 5000)
    assert told(copy) == [(0, "5", True)]
    assert told(reading)[1:] == [(0, "5", True)]


@pytest.mark.parametrize(
    ("content", "series"),
    [({"ETHBTC": [bar()]}, "converted:USDT"), ({"ETHBTC": {"BTCUSDT": [bar()]}}, "converted:USDT")],
)
def test_converted_candles_are_a_series_of_their_own_nested_once_or_twice(content: Any, series: str) -> None:
    reading = Reading()
    reading.send("converted/candles/M1", "update", content, target_currency="USDT")
    assert [(row.instrument.symbol, row.series) for row in reading.out.candles] == [("ETHBTC", series)]


def test_two_targets_of_converted_candles_close_apart() -> None:
    reading = Reading()
    for t, target in ((T, "USDT"), (T, "EUR"), (T + MINUTE, "USDT")):
        reading.send("converted/candles/M1", "update", {"ETHBTC": [bar(t)]}, target_currency=target)
    assert [row.series for row in reading.out.candles if row.closed] == ["converted:USDT"]


def test_converted_candles_without_target_are_quarantined() -> None:
    reading = Reading()
    reading.send("converted/candles/M1", "update", {"ETHBTC": [bar()]})
    assert reading.errors == ["target_currency: None is not a currency"]


def test_a_month_ends_with_the_calendar_and_a_week_after_seven_days() -> None:
    def us(year: int, month: int, day: int) -> int:
        return int(datetime(year, month, day, tzinfo=UTC).timestamp()) * 1_000_000

    assert end_us(us(2024, 2, 1), PERIODS["1mo"]) == us(2024, 3, 1)
    assert end_us(us(2024, 12, 1), PERIODS["1mo"]) == us(2025, 1, 1)
    assert end_us(us(2024, 2, 29), PERIODS["1w"]) == us(2024, 3, 7)


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (bar(c="Infinity"), "c: 'Infinity' is not"),
        (bar() | {"h": None}, "h: missing"),
        (bar(v="-1"), "v: '-1' is not"),
        (bar(t=T * 1000), "t: 1633806840000000 is not a time"),
        ([], "[] is not an object"),
    ],
)
def test_a_bad_candle_goes_to_quarantine(item: Any, reason: str) -> None:
    reading = Reading()
    reading.send(M1, "update", {"BTCUSDT": [item, bar()]})
    assert reading.errors[0].startswith(reason)
    assert told(reading) == [(0, "5", False)]


def test_a_candle_may_lack_volumes() -> None:
    reading = Reading()
    item = bar(v=None)
    del item["q"]
    reading.send(M1, "update", {"BTCUSDT": [item]})
    assert (reading.out.candles[0].volume, reading.out.candles[0].quote_volume) == (None, None)

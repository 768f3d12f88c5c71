"""Candles: volumes in the right columns, older states that change nothing, and bars closed when they are final."""

from __future__ import annotations

import pytest

from collector.model import PERIODS, Candle
from collector.venues.fmex.candles import end_us
from collector.venues.fmex.happenings import BarBegan
from tests.venues.fmex.reading import BTC, Reading, T, bar

S = T // 1000
M1 = "candle.m1.btcusd_p"


def states(reading: Reading) -> list[tuple[int, str, bool]]:
    return [(row.time_us // 1_000_000 - S, row.close, row.closed) for row in reading.out.candles]


def test_volume_is_in_contracts_and_quote_volume_in_btc() -> None:
    reading = Reading()
    reading.frame(bar(kind=M1), at_ms=T + 1)
    assert reading.out.candles == [
        Candle(
            BTC, T * 1000, 60, "trade", "5", "9.0", "5", "7", "1500", "0.123456789012345678", 1, False, (T + 1) * 1000
        )
    ]


def test_a_later_bar_closes_the_one_before() -> None:
    reading = Reading()
    reading.frame(bar(S, 1, "6", kind=M1), at_ms=T + 1000)
    reading.frame(bar(S, 2, "7", kind=M1), at_ms=T + 2000)
    reading.frame(bar(S + 60, 3, "8", kind=M1), at_ms=T + 60_500)
    assert states(reading) == [(0, "6", False), (0, "7", False), (0, "7", True), (60, "8", False)]


def test_an_older_state_is_not_stored_over_a_newer_one() -> None:
    reading = Reading()
    reading.frame(bar(S, 5, "7", kind=M1))
    reading.frame(bar(S, 4, "6", kind=M1))
    reading.frame(bar(S, 5, "8", kind=M1))
    assert states(reading) == [(0, "7", False), (0, "7", False), (0, "8", False)]


def test_the_clock_closes_a_bar_that_nothing_follows() -> None:
    reading = Reading(candle_grace_us=5_000_000)
    reading.frame(bar(S, 1, kind=M1), at_ms=T + 1)
    reading.beat(T + 64_999)
    assert states(reading) == [(0, "7", False)]
    reading.beat(T + 65_000)
    reading.beat(T + 70_000)
    assert states(reading) == [(0, "7", False), (0, "7", True)]


def test_it_is_the_venues_clock_that_closes() -> None:
    reading = Reading(candle_grace_us=0)
    reading.frame(f'{{"type":"hello","ts":{T - 10_000}}}', at_ms=T)
    reading.frame(bar(S, 1, kind=M1), at_ms=T + 10_001)
    reading.beat(T + 60_000)
    assert states(reading) == [(0, "7", False)]
    reading.beat(T + 70_000)
    assert states(reading)[-1] == (0, "7", True)


def test_a_bar_that_comes_late_is_closed_at_once() -> None:
    reading = Reading()
    reading.frame(bar(S, 1, kind=M1), at_ms=T + 100_000)
    assert states(reading) == [(0, "7", True)]


def test_a_late_word_on_a_former_bar_is_final_and_closes_nothing_else() -> None:
    reading = Reading()
    reading.frame(bar(S, 1, "6", kind=M1), at_ms=T + 1)
    reading.frame(bar(S + 60, 3, "8", kind=M1), at_ms=T + 60_001)
    reading.frame(bar(S, 2, "7", kind=M1), at_ms=T + 60_002)
    assert states(reading)[2:] == [(60, "8", False), (0, "7", True)]


def test_an_answer_tells_all_but_its_newest_bar_for_the_last_time() -> None:
    reading = Reading()
    reading.frame(bar(S, 1, "6", kind=M1), at_ms=T + 1)
    answer = f'{{"id":"candle.M1.btcusd_p#4","data":[{bar(S - 60, 1, "4")},{bar(S, 7, "7")},{bar(S + 60, 9, "8")}]}}'
    reading.frame(answer, at_ms=T + 60_001)
    reading.frame(bar(S + 60, 10, "9", kind=M1), at_ms=T + 60_002)
    assert states(reading) == [
        (0, "6", False),
        (-60, "4", True),
        (0, "7", True),
        (60, "8", False),
        (60, "9", False),
    ]


def test_an_answer_corrects_a_bar_that_was_closed() -> None:
    reading = Reading()
    reading.frame(bar(S, 1, "6", kind=M1), at_ms=T + 1)
    reading.frame(bar(S + 60, 3, "8", kind=M1), at_ms=T + 60_001)
    reading.frame(f'{{"id":"candle.M1.btcusd_p#4","data":[{bar(S + 60, 4, "9")},{bar(S, 2, "7")}]}}', at_ms=T + 62_000)
    assert states(reading)[-2:] == [(0, "7", True), (60, "9", False)]


def test_an_answer_without_the_running_bar_closes_it_all_the_same() -> None:
    reading = Reading()
    reading.frame(bar(S, 1, "6", kind=M1), at_ms=T + 1)
    reading.frame(f'{{"id":"candle.M1.btcusd_p#4","data":[{bar(S + 60, 4, "9")}]}}', at_ms=T + 60_001)
    assert states(reading) == [(0, "6", False), (0, "6", True), (60, "9", False)]


def test_a_bar_of_the_far_future_closes_nothing() -> None:
    reading = Reading()
    reading.frame(bar(S, 1, "6", kind=M1), at_ms=T + 1)
    reading.frame(bar(S + 10**8, 2, "7", kind=M1), at_ms=T + 2)
    reading.frame(bar(S, 3, "8", kind=M1), at_ms=T + 3)
    assert [closed for _, _, closed in states(reading)] == [False, False, False]


def test_bars_without_trades_are_bars() -> None:
    reading = Reading()
    reading.frame(bar(count=0, kind=M1))
    assert reading.out.candles[0].trades == 0


def test_rest_lists_come_newest_first_and_only_the_newest_is_open() -> None:
    reading = Reading(None)
    reading.rest("candles/M1/btcusd_p", f"[{bar(S + 60)},{bar(S)}]", at_ms=T + 61_000)
    assert states(reading) == [(0, "7", True), (60, "7", False)]
    reading.rest("candles/M1/btcusd_p", f"[{bar(S + 60)}]", at_ms=T + 130_000)
    assert states(reading)[-1] == (60, "7", True)


def test_months_begin_at_midnight_in_china() -> None:
    september = 1_535_731_200_000_000  # 2018-08-31T16:00Z, one month after the bar that was recorded
    assert end_us(1_533_052_800_000_000, PERIODS["1mo"]) == september
    december = 1_575_129_600_000_000  # 2019-11-30T16:00Z
    assert end_us(december, PERIODS["1mo"]) == december + 31 * 86_400_000_000


def test_a_month_that_begins_elsewhere_is_not_closed_early() -> None:
    november = 1_572_566_400_000_000  # 2019-11-01T00:00Z
    assert end_us(november, PERIODS["1mo"]) == november + 30 * 86_400_000_000
    third = november + 2 * 86_400_000_000
    assert end_us(third, PERIODS["1mo"]) == third + 31 * 86_400_000_000


def test_an_indexs_bars_can_be_below_zero_and_are_a_series_of_their_own() -> None:
    reading = Reading(("btcusd_p", ".btcusdpi"))
    reading.frame(f'{{"type":"candle.m1..btcusdpi","id":{S},"open":-5.5E-5,"close":-1E-5,"high":0,"low":-6E-5}}')
    (row,) = reading.out.candles
    assert (row.instrument.symbol, row.series, row.open, row.volume) == (".btcusdpi", "index", "-0.000055", None)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (f'"id":{S}', f'"id":{T}', "id:"),
        ('"open":5', '"open":-5', "open:"),
        ('"close":7', '"close":null', "close:"),
        ('"base_vol":1.5E+3', '"base_vol":"many"', "base_vol:"),
        ('"count":1', '"count":1.5', "count:"),
        ('"count":1', '"count":3000000000', "count:"),
        ('"seq":1', '"seq":-1', "seq:"),
    ],
)
def test_what_is_wrong_with_a_bar_is_told(old: str, new: str, reason: str) -> None:
    reading = Reading()
    reading.frame(bar(kind=M1).replace(old, new))
    assert not reading.out.candles
    assert reading.errors[0].startswith(reason)


def test_a_bar_is_told_to_have_begun_when_it_is_newer_than_one_before_it() -> None:
    reading = Reading()
    began = [BarBegan("candle.M1", "btcusd_p")]
    assert not reading.frame(bar(S, 1, kind=M1))
    assert not reading.frame(bar(S, 2, kind=M1))
    assert list(reading.frame(bar(S + 60, 3, kind=M1))) == began
    assert not reading.frame(bar(S, 4, kind=M1))
    assert list(reading.frame(f'{{"id":"candle.M1.btcusd_p#4","data":[{bar(S)},{bar(S + 120)}]}}'))[1:] == began


def test_a_first_list_of_bars_tells_of_none_that_began() -> None:
    answer = f'{{"id":"candle.M1.btcusd_p#4","data":[{bar(S - 60)},{bar(S)},{bar(S + 60)}]}}'
    assert len(Reading().frame(answer)) == 1

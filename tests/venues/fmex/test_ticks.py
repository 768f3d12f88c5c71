"""The ticker's eleven numbers as a row, with a time that is the venue's as far as it can be known."""

from __future__ import annotations

import pytest

from tests.venues.fmex.reading import BTC, Reading, T, ticker


def test_places_of_the_ticker_are_the_columns() -> None:
    reading = Reading()
    reading.frame(ticker(ts=f',"ts":{T}'))
    (row,) = reading.out.ticks
    assert (row.instrument, row.time_us) == (BTC, T * 1000)
    assert (row.last, row.last_size, row.bid, row.bid_size, row.ask, row.ask_size) == (
        "7140.5",
        "12.0",
        "7140",
        "5",
        "7140.5",
        "6.0",
    )
    assert row.volume == "68239.0"


def test_a_ticker_without_time_gets_the_venues_time_as_its_greeting_told_it() -> None:
    reading = Reading()
    reading.frame(f'{{"type":"hello","ts":{T + 300}}}', at_ms=T)
    reading.frame(ticker(), at_ms=T + 10)
    assert reading.out.ticks[0].time_us == (T + 310) * 1000


def test_an_answered_ping_tells_the_venues_time_anew() -> None:
    reading = Reading()
    reading.frame(f'{{"type":"hello","ts":{T + 300}}}', at_ms=T)
    reading.frame(f'{{"id":"ping#1","type":"ping","ts":{T + 1400},"gap":5}}', at_ms=T + 1000)
    reading.frame(ticker(), at_ms=T + 1010)
    assert reading.out.ticks[0].time_us == (T + 1410) * 1000


@pytest.mark.parametrize("ts", ["253388592000000", "1", "null", '"soon"', "-5", str(T + 7_200_000)])
def test_a_greeting_with_an_impossible_time_tells_nothing(ts: str) -> None:
    reading = Reading()
    reading.frame(f'{{"type":"hello","ts":{ts}}}', at_ms=T)
    reading.frame(ticker(), at_ms=T + 10)
    assert reading.out.ticks[0].time_us == (T + 10) * 1000


def test_the_same_state_under_another_number_is_a_row_of_its_own() -> None:
    reading = Reading()
    for seq in (3, 4, 4):
        reading.frame(ticker(seq, ts=f',"ts":{T}'))
    assert len({row.tick_key for row in reading.out.ticks}) == 2


def test_digits_of_another_form_make_no_other_row() -> None:
    reading = Reading()
    reading.frame(ticker(last="7140.5", ts=f',"ts":{T}'))
    reading.frame(ticker(last="7.14050E3", ts=f',"ts":{T}'))
    assert len({row.tick_key for row in reading.out.ticks}) == 1


def test_a_place_may_be_null() -> None:
    reading = Reading()
    reading.frame(ticker(last="null"))
    assert reading.out.ticks[0].last is None


@pytest.mark.parametrize(
    "text",
    [
        '{"type":"ticker.btcusd_p","seq":1,"ticker":[1,2,3]}',
        '{"type":"ticker.btcusd_p","seq":1,"ticker":null}',
        '{"type":"ticker.btcusd_p","seq":1}',
        ticker(last="NaN"),
        ticker(last="-1"),
        ticker(last="[]"),
        ticker(ts=',"ts":"soon"'),
    ],
)
def test_what_is_no_ticker_goes_to_quarantine(text: str) -> None:
    reading = Reading()
    reading.frame(text)
    assert not reading.out.ticks
    assert reading.out.quarantine[0].stream == "ticks"

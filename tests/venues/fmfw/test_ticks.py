"""Ticks from the top of the book and the tickers."""

from __future__ import annotations

from typing import Any

import pytest

from collector.model import Tick
from tests.venues.fmfw.reading import BTC, Reading, T

TOP = {"t": T, "a": "11", "A": "3", "b": "10", "B": "2"}
TICKER = TOP | {"o": "9", "c": "10.5", "h": "12", "l": "8", "v": "77", "q": "800", "p": "-1", "P": "-9.5", "L": 5}
MINI = {"t": T, "o": "9", "c": "10.5", "h": "12", "l": "8", "v": "77", "q": "800"}


def read(channel: str, *items: Any) -> Reading:
    reading = Reading()
    for item in items:
        reading.send(channel, "data", {"BTCUSDT": item})
    return reading


def values(tick: Tick) -> tuple[str | None, ...]:
    return (tick.bid, tick.bid_size, tick.ask, tick.ask_size, tick.last, tick.last_size, tick.volume)


@pytest.mark.parametrize("batch", ["", "/batch"])
@pytest.mark.parametrize(
    ("channel", "item", "expected"),
    [
        ("orderbook/top/100ms", TOP, ("10", "2", "11", "3", None, None, None)),
        ("orderbook/top/1000ms", TOP, ("10", "2", "11", "3", None, None, None)),
        ("ticker/1s", TICKER, ("10", "2", "11", "3", "10.5", None, "77")),
        ("ticker/price/3s", MINI, (None, None, None, None, "10.5", None, "77")),
    ],
)
def test_each_ticker_fills_the_columns_it_tells(channel: str, batch: str, item: Any, expected: Any) -> None:
    tick = read(channel + batch, item).out.ticks[0]
    assert values(tick) == expected
    assert (tick.instrument, tick.time_us) == (BTC, T * 1000)


def test_a_batch_holds_many_symbols() -> None:
    reading = Reading()
    reading.send("orderbook/top/100ms/batch", "data", {"BTCUSDT": TOP, "ETHBTC": TOP, "XRPBTC": TOP})
    assert [tick.instrument.symbol for tick in reading.out.ticks] == ["BTCUSDT", "ETHBTC"]
    assert reading.errors == ["symbol: 'XRPBTC' is not one of this session"]


@pytest.mark.parametrize("gone", [{"a": None, "A": None}, {"b": None}, {"c": None, "v": None}])
def test_null_and_missing_values_are_stored_as_not_told(gone: dict[str, None]) -> None:
    missing = {name: value for name, value in TICKER.items() if name not in gone}
    first, second = read("ticker/1s", TICKER | gone, missing).out.ticks
    assert values(first) == values(second)
    assert None in values(first)[:5] + values(first)[6:]
    assert first.tick_key == second.tick_key


def test_the_key_is_made_of_the_values_and_not_of_when_they_came() -> None:
    first, again, other = read("orderbook/top/100ms", TOP, TOP, TOP | {"A": "4"}).out.ticks
    assert first.received_us != again.received_us
    assert first.tick_key == again.tick_key != other.tick_key


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"a": "NaN"}, "a: 'NaN' is not"),
        ({"a": "None"}, "a: 'None' is not"),
        ({"b": 10}, "b: 10 is not"),
        ({"b": "1|2", "B": "3"}, "b: '1|2' is not"),
        ({"t": None}, "t: missing"),
        ({"t": "x"}, "t: 'x' is not a time"),
        ({"v": "-77"}, "v: '-77' is not"),
    ],
)
def test_a_bad_tick_goes_to_quarantine(change: dict[str, Any], reason: str) -> None:
    reading = read("ticker/1s", TICKER | change, [], None, "text")
    assert reading.errors[0].startswith(reason)
    assert len(reading.errors) == 4
    assert not reading.out.ticks

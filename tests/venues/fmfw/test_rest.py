"""Every public REST path, in both its forms."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from collector.model import Rate
from collector.venues.events import Refused
from tests.venues.fmfw.reading import BTC, PERP, Reading, T

ISO = "2021-10-09T19:14:00.123Z"
ISO_US = T * 1000 + 123_000

TRADE = {"id": 5, "price": "10", "qty": "1", "side": "sell", "timestamp": ISO}
BOOK = {"timestamp": "2021-10-09T19:14:00.123456789Z", "ask": [["2", "1"], ["3", "0"]], "bid": [["1", "4"]]}
CANDLE = {"timestamp": ISO, "open": "1", "close": "2", "min": "0.5", "max": "3", "volume": "7", "volume_quote": "8"}
BARE_CANDLE = {name: CANDLE[name] for name in ("timestamp", "open", "close", "min", "max")}
TICKER = {
    "ask": "2",
    "bid": None,
    "last": "1.5",
    "low": "1",
    "high": "3",
    "open": None,
    "volume": "7",
    "volume_quote": "8",
    "timestamp": ISO,
}
INFO = {
    "contract_type": "perpetual",
    "mark_price": "1",
    "index_price": "2",
    "open_interest": "3",
    "timestamp": ISO,
    "funding_rate": "-0.1",
    "next_funding_time": ISO,
    "premium_index": "-5",
}
FUNDING = {
    "timestamp": ISO,
    "funding_rate": "-0.1",
    "avg_premium_index": "0.2",
    "next_funding_time": ISO,
    "interest_rate": "0.3",
}
SPEC = {
    "type": "spot",
    "base_currency": "BTC",
    "quote_currency": "USDT",
    "tick_size": "0.1",
    "quantity_increment": "0.01",
}


@pytest.mark.parametrize(
    ("path", "content", "table"),
    [
        ("trades", [TRADE], "trades"),
        ("orderbook", BOOK, "books"),
        ("candles", [CANDLE], "candles"),
        ("ticker", TICKER, "ticks"),
        ("price/ticker", {"price": "5", "timestamp": ISO}, "ticks"),
        ("futures/info", INFO, "derivatives"),
        ("futures/history/funding", [FUNDING], "derivatives"),
        ("futures/candles/mark_price", [BARE_CANDLE], "candles"),
        ("symbol", SPEC, "instruments"),
    ],
)
def test_an_answer_is_read_keyed_by_symbol_and_bare(path: str, content: Any, table: str) -> None:
    keyed, by_params, by_path, keyed_though_named = (Reading(None) for _ in range(4))
    keyed.rest(path, {"BTCUSDT": content}, at_ms=T)
    by_params.rest(path, content, {"symbol": "BTCUSDT"}, at_ms=T)
    by_path.rest(f"{path}/BTCUSDT", content, at_ms=T)
    keyed_though_named.rest(path, {"BTCUSDT": content}, {"symbol": "BTCUSDT"}, at_ms=T)
    rows = getattr(keyed.out, table)
    assert len(rows) == 1
    assert rows[0].instrument == BTC
    assert rows == getattr(by_params.out, table) == getattr(by_path.out, table)
    assert rows == getattr(keyed_though_named.out, table)


def test_times_are_iso_of_any_precision_or_milliseconds() -> None:
    reading = Reading()
    for time in (ISO, "2021-10-09T19:14:00Z", "2021-10-09T19:14:00.123456789Z", T, str(T)):
        reading.rest("price/ticker", {"BTCUSDT": {"price": "5", "timestamp": time}})
    assert [tick.time_us - T * 1000 for tick in reading.out.ticks] == [123_000, 0, 123_456, 0, 0]


@pytest.mark.parametrize("time", ["9999-01-01T00:00:00Z", "2021-13-09T19:14:00Z", "yesterday", None, 1.5, 10**18, ""])
def test_a_time_that_is_none_is_a_fault(time: Any) -> None:
    reading = Reading()
    reading.rest("trades", {"BTCUSDT": [TRADE | {"timestamp": time}]})
    reading.rest("orderbook", {"BTCUSDT": BOOK | {"timestamp": time}})
    assert [error.partition(":")[0] for error in reading.errors] == ["timestamp"] * 2


def test_a_rest_book_is_a_snapshot_without_number_or_zero_levels() -> None:
    reading = Reading()
    assert not reading.rest("orderbook", {"BTCUSDT": BOOK})
    book = reading.out.books[0]
    assert (book.seq, book.snapshot, book.ask_prices, book.bid_sizes) == (0, True, "2", "4")
    assert book.time_us == T * 1000 + 123_456


def test_all_bars_but_the_newest_are_closed_and_that_one_by_the_clock() -> None:
    bars = [CANDLE | {"timestamp": f"2021-10-09T19:{minute}:00.000Z"} for minute in (16, 15, 14)]
    early, late = Reading(), Reading()
    early.rest("candles", {"BTCUSDT": bars}, {"period": "M1"}, at_ms=T + 125_000)
    late.rest("candles", {"BTCUSDT": bars}, {"period": "M1"}, at_ms=T + 185_000)
    assert [bar.closed for bar in early.out.candles] == [True, True, False]
    assert [bar.closed for bar in late.out.candles] == [True, True, True]
    assert {bar.period for bar in late.out.candles} == {60}


@pytest.mark.parametrize(
    ("path", "series"),
    [
        ("mark_price", "mark"),
        ("index_price", "index"),
        ("premium_index", "premium"),
        ("open_interest", "open_interest"),
    ],
)
def test_candles_of_futures_are_series_without_volume(path: str, series: str) -> None:
    reading = Reading()
    reading.rest(f"futures/candles/{path}", {"BTCUSDT_PERP": [BARE_CANDLE]}, {"period": "H1"})
    candle = reading.out.candles[0]
    assert (candle.instrument, candle.series, candle.period, candle.volume) == (PERP, series, 3600, None)


def test_only_a_premium_may_be_negative() -> None:
    reading = Reading()
    bar = BARE_CANDLE | {"min": "-0.5"}
    reading.rest("futures/candles/premium_index", {"BTCUSDT_PERP": [bar]})
    reading.rest("futures/candles/mark_price", {"BTCUSDT_PERP": [bar]})
    assert [candle.low for candle in reading.out.candles] == ["-0.5"]
    assert reading.errors[0].startswith("min: '-0.5'")


def test_converted_candles_are_read_keyed_and_bare() -> None:
    reading = Reading()
    reading.rest("converted/candles", {"target_currency": "USDT", "data": {"ETHBTC": [CANDLE]}}, {"period": "M1"})
    reading.rest("converted/candles/ETHBTC", {"target_currency": "EUR", "data": [CANDLE]}, {"period": "M1"})
    assert [candle.series for candle in reading.out.candles] == ["converted:USDT", "converted:EUR"]


def test_price_rates_and_their_history_are_rates() -> None:
    reading = Reading()
    reading.rest("price/rate", {"BTC": {"currency": "USDT", "price": "57000", "timestamp": ISO}}, at_ms=T)
    history = [{"timestamp": ISO, "open": "1", "close": "2", "min": "1", "max": "3"}]
    reading.rest("price/history", {"ETH": {"currency": "BTC", "history": history * 2}}, at_ms=T)
    assert reading.out.rates == [
        Rate("fmfw", ISO_US, "BTC/USDT", "57000", T * 1000),
        *[Rate("fmfw", ISO_US, "ETH/BTC", "2", T * 1000)] * 2,
    ]


def test_currencies_and_symbols_are_no_items() -> None:
    reading = Reading(None)
    reading.rest("currency", {"BTC": {"full_name": "Bitcoin", "networks": [{"payout_fee": 1.5}]}})
    reading.rest("symbol", {"BTCUSDT": SPEC, "ETHBTC": SPEC})
    assert (reading.out.items, len(reading.out.instruments), reading.errors) == (0, 2, [])


def test_an_error_is_an_event() -> None:
    body = {"error": {"code": 2001, "message": "No such symbol", "description": "ABC"}, "path": "/x"}
    assert Reading().rest("trades", body) == (Refused(None, "2001", "No such symbol: ABC", True),)


def test_a_bad_answer_is_quarantined_with_the_request_that_it_answers() -> None:
    reading = Reading()
    reading.rest("trades", {"BTCUSDT": [TRADE, TRADE | {"price": "NaN"}]}, {"by": "id"})
    request, _, body = reading.out.quarantine[0].payload.partition(b"\n")
    assert orjson.loads(request) == {"channel": "rest:trades", "params": {"by": "id"}}
    assert orjson.loads(body)["BTCUSDT"][0] == TRADE
    assert len(reading.out.trades) == 1


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("trades", [TRADE]),
        ("trades", {"BTCUSDT": TRADE}),
        ("trades", 5),
        ("trades", {"XRP": [TRADE]}),
        ("orderbook", {"BTCUSDT": {**BOOK, "ask": [["1"]]}}),
        ("orderbook", {"BTCUSDT": []}),
        ("candles", {"BTCUSDT": {}}),
        ("candles", {"BTCUSDT": [{}]}),
        ("candles", None),
        ("converted/candles", []),
        ("converted/candles", {"target_currency": "USDT"}),
        ("price/rate", {"BTC": {}}),
        ("price/rate", {"BTC": {"currency": "USDT"}}),
        ("price/rate", "x"),
        ("price/history", {"BTC": {"currency": "USDT", "history": 5}}),
        ("price/history", {"BTC": {"currency": "USDT", "history": [{}]}}),
        ("futures/info", {"BTCUSDT_PERP": 7}),
        ("futures/history/funding", {"BTCUSDT_PERP": [None]}),
        ("ticker", {"BTCUSDT": {"timestamp": ISO, "last": 1.5}}),
        ("symbol", {"A B": SPEC}),
        ("symbol", {"BTCUSDT": {"tick_size": 0.1}}),
        ("currency", []),
        ("nonsense", {}),
        ("", {}),
    ],
)
def test_what_is_not_understood_is_quarantined(path: str, content: Any) -> None:
    reading = Reading()
    reading.rest(path, content)
    assert len(reading.out.quarantine) == 1
    assert reading.out.rows == 0


def test_a_period_that_the_venue_does_not_have_is_quarantined() -> None:
    reading = Reading()
    reading.rest("candles", {"BTCUSDT": [CANDLE]}, {"period": "M7"})
    assert reading.errors == ["period: 'M7' is not one of the venue's"]

"""Paging through the past, against a venue of a few lists."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import orjson
import pytest

from collector.errors import VenueError
from collector.model import Instrument, Records
from collector.venues.fmfw import ADAPTER, FmfwSettings
from collector.venues.fmfw.history import PAGE, iso
from collector.venues.rest import RestAnswer, RestCall
from tests.kit.headers import session_header
from tests.venues.fmfw.reading import BTC, ETH, T

FROM_US = T * 1000
Venue = Callable[[RestCall], Any]


def us(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1_000_000)


def drive(
    venue: Venue, stream: str, to_us: int, from_us: int = FROM_US, **settings: Any
) -> tuple[list[RestCall], Records]:
    history = ADAPTER.begin("fmfw", FmfwSettings(symbols="*", **settings)).history(BTC, stream, from_us, to_us)
    parser, out = ADAPTER.parser(session_header({"venue": "fmfw"})), Records()
    calls: list[RestCall] = []
    try:
        call = next(history)
        while len(calls) < 100:
            calls.append(call)
            body = orjson.dumps(venue(call))
            parser.rest(call.channel, call.told, body, 2 * 10**18, out)
            call = history.send(RestAnswer(200, {}, body, 2 * 10**18))
    except StopIteration:
        return calls, out
    raise AssertionError("the history does not end")


def trades(times: list[int], numbered: bool = True) -> Venue:
    items = [
        {"price": "1", "qty": "1", "side": "buy", "timestamp": iso(t)} | ({"id": 1000 + n} if numbered else {})
        for n, t in enumerate(times)
    ]

    def answer(call: RestCall) -> Any:
        assert call.params["sort"] == "ASC"
        if call.params["by"] == "id":
            found = [item for item in items if item["id"] >= int(call.params["from"])]  # type: ignore[operator]
        else:
            first, last = call.params["from"], call.params["till"]
            found = [item for item in items if us(first) <= us(str(item["timestamp"])) <= us(last)]
        return {call.params["symbols"]: found[: int(call.params["limit"])]}

    return answer


def test_each_page_of_trades_begins_with_the_first_of_a_millisecond() -> None:
    times = [FROM_US + n // 3 * 1000 for n in range(2500)]
    calls, out = drive(trades(times), "trades", FROM_US + 10**9)
    assert [us(call.params["from"]) - FROM_US for call in calls] == [0, 333_000, 666_000]
    assert [call.notes for call in calls] == [{"counted": "{}"}] * 3
    assert len({(row.time_us, row.trade_key) for row in out.trades}) == 2500


def test_millisecond_that_fills_pages_is_paged_by_id_and_what_was_counted_of_it_is_told() -> None:
    times = [FROM_US] * 700 + [FROM_US + 1000] * 2500 + [FROM_US + 2000] * 3
    calls, out = drive(trades(times), "trades", FROM_US + 10**9)
    assert [call.params["by"] for call in calls] == ["timestamp", "timestamp", "id", "id"]
    said = f"{FROM_US + 1000}|1|1|1"
    assert [orjson.loads(call.notes["counted"]) for call in calls] == [{}, {}, {said: 1000}, {said: 2000}]
    assert not any("counted" in call.params for call in calls)
    assert len({(row.time_us, row.trade_key) for row in out.trades}) == len(times)


def test_trade_that_a_page_lists_twice_is_one() -> None:
    def answer(call: RestCall) -> Any:
        return {"BTCUSDT": [{"id": 7, "price": "1", "qty": "1", "side": "buy", "timestamp": iso(FROM_US)}] * 2}

    _, out = drive(answer, "trades", FROM_US + 1000)
    assert len({row.trade_key for row in out.trades}) == 1


def test_trades_without_ids_page_by_time() -> None:
    times = [FROM_US + n // 3 * 1000 for n in range(2500)]
    calls, out = drive(trades(times, numbered=False), "trades", FROM_US + 10**9)
    assert {call.params["by"] for call in calls} == {"timestamp"}
    assert len({(row.time_us, row.trade_key) for row in out.trades}) == 2500


def test_trades_stop_at_the_end_of_the_span() -> None:
    calls, out = drive(trades([FROM_US + n * 1000 for n in range(5000)]), "trades", FROM_US + 1_500_000)
    assert len(calls) == 2
    assert max(row.time_us for row in out.trades) >= FROM_US + 1_500_000


def test_an_empty_past_is_one_call() -> None:
    assert len(drive(trades([]), "trades", FROM_US + 1000)[0]) == 1
    assert len(drive(lambda call: {}, "trades", FROM_US + 1000)[0]) == 1


def test_a_millisecond_that_fills_a_page_without_ids_is_told() -> None:
    with pytest.raises(VenueError, match="do not go on"):
        drive(trades([FROM_US] * (PAGE + 1), numbered=False), "trades", FROM_US + 1000)


def candles(call: RestCall) -> Any:
    step = {"M1": 60, "H1": 3600}[call.params["period"]]
    first, last = us(call.params["from"]) // 1_000_000, us(call.params["till"]) // 1_000_000
    start = -(-first // step) * step
    bars = [
        {"timestamp": iso(t * 1_000_000), "open": "1", "close": "1", "min": "1", "max": "1"}
        for t in range(start, last + 1, step)
        if t // step % 2 == 0
    ][:PAGE]
    keyed = {call.params["symbols"]: bars}
    target = call.params.get("target_currency")
    return keyed if target is None else {"target_currency": target, "data": keyed}


def test_candles_page_by_time_over_bars_that_do_not_exist() -> None:
    minutes = 4500
    calls, out = drive(candles, "candles", FROM_US + minutes * 60_000_000)
    assert len(calls) == 3
    assert len({row.time_us for row in out.candles}) == len(out.candles) == minutes // 2 + 1


def test_candles_begin_with_the_bar_that_holds_the_start() -> None:
    calls, _ = drive(candles, "candles", FROM_US + 10**9, from_us=FROM_US + 59_999_999)
    assert us(calls[0].params["from"]) == FROM_US


def test_every_period_and_every_conversion_is_paged() -> None:
    calls, out = drive(candles, "candles", FROM_US + 10**10, candles="1m,1h", converted="EUR")
    assert [(call.channel, call.params["period"]) for call in calls] == [
        ("rest:candles", "M1"),
        ("rest:converted/candles", "M1"),
        ("rest:candles", "H1"),
        ("rest:converted/candles", "H1"),
    ]
    assert {(row.series, row.period) for row in out.candles} == {
        ("trade", 60),
        ("converted:EUR", 60),
        ("trade", 3600),
        ("converted:EUR", 3600),
    }


def test_fundings_are_the_past_of_derivatives() -> None:
    def answer(call: RestCall) -> Any:
        first = us(call.params["from"])
        return {"BTCUSDT": [{"timestamp": iso(first), "funding_rate": "0.1"}] * (PAGE if first == FROM_US else 1)}

    calls, out = drive(answer, "derivatives", FROM_US + 10**9)
    assert [call.channel for call in calls] == ["rest:futures/history/funding"] * 2
    assert out.derivatives[-1].time_us == FROM_US + 1000


@pytest.mark.parametrize("stream", ["books", "ticks", "rates"])
def test_a_stream_without_past_is_told(stream: str) -> None:
    with pytest.raises(VenueError, match=f"keeps no past of {stream}") as error:
        drive(candles, stream, FROM_US + 1)
    assert error.value.permanent


@pytest.mark.parametrize("content", [[], {"BTCUSDT": 5}, {"BTCUSDT": [5]}, "x", None, {"BTCUSDT": [{}] * PAGE}])
def test_a_page_that_is_none_is_an_error(content: Any) -> None:
    for stream in ("trades", "candles"):
        with pytest.raises(VenueError):
            drive(lambda call: content, stream, FROM_US + 10**12)


def test_times_are_written_in_milliseconds() -> None:
    assert iso(FROM_US + 7_999) == "2021-10-09T19:14:00.007Z"


def joint(*instruments: Instrument, minutes: int) -> tuple[list[RestCall], Records]:
    to_us = FROM_US + (minutes - 1) * 60_000_000
    asked = ADAPTER.begin("fmfw", FmfwSettings(symbols="*", candles="1h")).minutes(instruments, FROM_US, to_us)
    parser, out, calls = ADAPTER.parser(session_header({"venue": "fmfw"})), Records(), []
    try:
        call = next(asked)
        while True:
            calls.append(call)
            symbols = call.params["symbols"].split(",")
            told = {
                symbol: candles(replace(call, params={**call.params, "symbols": symbol}))[symbol] for symbol in symbols
            }
            body = orjson.dumps(told)
            parser.rest(call.channel, call.told, body, 2 * 10**18, out)
            call = asked.send(RestAnswer(200, {}, body, 2 * 10**18))
    except StopIteration:
        return calls, out


def test_minutes_of_many_instruments_are_one_call_whatever_periods_are_recorded() -> None:
    instruments = [Instrument("fmfw", f"S{number}") for number in range(100)]
    calls, out = joint(*instruments, minutes=10)
    assert [(call.params["period"], call.params["symbols"].count(",")) for call in calls] == [("M1", 99)]
    assert {row.instrument for row in out.candles} == set(instruments)
    assert {(row.period, row.series, row.closed) for row in out.candles} == {(60, "trade", True)}
    assert max(row.time_us for row in out.candles) == FROM_US + 8 * 60_000_000  # the last of which there is a bar


def test_minutes_of_one_instrument_are_paged() -> None:
    calls, out = joint(BTC, minutes=4500)
    assert len(calls) == 3
    assert len({row.time_us for row in out.candles}) == 2250


def test_no_call_asks_for_more_bars_than_one_answer_holds() -> None:
    calls = ADAPTER.minute_calls
    assert [calls.at_once(minutes) for minutes in (1, 10, 11, 400, 600, 5000)] == [100, 100, 90, 2, 1, 1]


def test_answer_that_is_not_keyed_by_symbol_is_an_error() -> None:
    asked = ADAPTER.begin("fmfw", FmfwSettings(symbols="*")).minutes([BTC, ETH], FROM_US, FROM_US)
    next(asked)
    with pytest.raises(VenueError, match="not keyed by symbol"):
        asked.send(RestAnswer(200, {}, b"[]", 0))

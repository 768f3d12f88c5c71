"""Packets to rows: quotes, ticks, deals, candles, books, clocks, and whatever else may come."""

from __future__ import annotations

import copy
import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.model import DECIMAL, Rate
from collector.venues.events import Acknowledged, Refused
from collector.venues.metaapi.happenings import LimitReached
from collector.venues.metaapi.parser import MetaapiParser
from collector.venues.metaapi.requests import request_id, target_of
from collector.venues.metaapi.values import decimal, time_us
from tests.kit.headers import session_header

from .reading import ACCOUNT, EURUSD, HEADER, Reading, T, candle, price, tick, times


def test_quote_is_a_tick_row_with_the_venues_own_digits() -> None:
    reading = Reading()
    reading.prices(prices=[price("1.07120", "1e-05")])
    [row] = reading.out.ticks
    assert (row.instrument, row.time_us, row.bid, row.ask) == (EURUSD, T * 1000, "1.07120", "0.00001")
    assert (row.bid_size, row.last, row.volume) == (None, None, None)
    assert reading.out.trades == []


def test_the_same_quote_told_twice_is_one_row_and_equal_ticks_are_several() -> None:
    reading = Reading()
    reading.prices(prices=[price(), price("1.07120", "1.0713")], ticks=[tick(), tick(), tick()])
    quotes, ticks = reading.out.ticks[:2], reading.out.ticks[2:]
    assert len({row.tick_key for row in quotes}) == 1
    assert len({row.tick_key for row in ticks}) == 3


def test_tick_that_says_what_a_quote_says_is_the_same_row() -> None:
    reading = Reading()
    reading.prices(prices=[price("1.0", "2")], ticks=[tick(more='"bid":1,"ask":2.00')])
    assert len({row.tick_key for row in reading.out.ticks}) == 1


@pytest.mark.parametrize(
    ("more", "trades"),
    [
        ('"bid":1,"ask":2', 0),
        ('"bid":1,"ask":2,"last":0,"volume":0', 0),
        ('"bid":1,"ask":2,"last":1.5,"volume":0', 0),
        ('"last":1.5,"volume":3,"side":"sell"', 1),
        ('"bid":1,"ask":2,"last":1.50,"volume":3', 1),
    ],
)
def test_only_a_tick_with_a_last_price_and_a_volume_is_a_trade(more: str, trades: int) -> None:
    reading = Reading()
    reading.prices(ticks=[tick(more=more, symbol="SBER")])
    assert len(reading.out.trades) == trades
    assert len(reading.out.ticks) == 1
    assert reading.errors == []


def test_trade_has_price_size_and_side_of_its_tick() -> None:
    reading = Reading()
    reading.prices(ticks=[tick(more='"bid":1,"ask":2,"last":1.50,"volume":3,"side":"sell"')])
    [trade] = reading.out.trades
    assert (trade.price, trade.size, trade.side, trade.trade_id) == ("1.50", "3", -1, None)


def test_ticks_of_history_have_the_keys_of_live_ones_over_all_pages() -> None:
    live, past = Reading(), Reading()
    ticks = [tick(more='"bid":1,"ask":2,"last":1.5,"volume":3,"side":"buy"') for _ in range(5)]
    live.prices(ticks=ticks)
    for offset in (0, 2, 4):
        page = f"[{','.join(ticks[offset : offset + 2])}]".encode()
        for channel in ("history/ticks/EURUSD", "history/trades/EURUSD"):
            past.parser.rest(channel, {"offset": str(offset)}, page, T * 10**6, past.out)
    assert {row.tick_key for row in past.out.ticks} == {row.tick_key for row in live.out.ticks}
    assert {row.trade_key for row in past.out.trades} == {row.trade_key for row in live.out.trades}
    assert len(past.out.trades) == 5
    again = Reading()
    again.parser = past.parser
    again.parser.rest("history/trades/EURUSD", {"offset": "0"}, f"[{ticks[0]}]".encode(), T * 10**6, again.out)
    assert again.out.trades[0].trade_key == past.out.trades[0].trade_key


def test_brokers_clock_is_kept_when_it_changes() -> None:
    reading = Reading()
    reading.prices(prices=[price(), price(at_ms=T + 5)])
    reading.prices(prices=[price(at_ms=T + 3_600_000)])
    summer = f'{{"symbol":"EURUSD","bid":1,"ask":2,{times(T + 3_700_000)}}}'.replace(" 11:", " 12:")
    reading.prices(prices=[summer])
    assert reading.out.rates == [
        Rate("metaapi", T * 1000, "broker_offset_seconds:demo", "10800", (T + 1) * 1000),
        Rate("metaapi", (T + 3_700_000) * 1000, "broker_offset_seconds:demo", "14400", (T + 3) * 1000),
    ]


def test_book_is_sorted_and_whole() -> None:
    entries = (
        '{"type":"BOOK_TYPE_SELL","price":10.5,"volume":5},{"type":"BOOK_TYPE_BUY","price":9.9,"volume":3},'
        '{"type":"BOOK_TYPE_SELL","price":10.10,"volume":1.0},{"type":"BOOK_TYPE_BUY","price":10,"volume":4},'
        '{"type":"BOOK_TYPE_BUY_MARKET","price":0,"volume":9}'
    )
    reading = Reading()
    reading.prices(books=[f'{{"symbol":"SBER",{times(T)},"book":[{entries}]}}'] * 2, stamp=77)
    first, second = reading.out.books
    assert first.snapshot
    assert (first.ask_prices, first.ask_sizes) == ("10.10,10.5", "1.0,5")
    assert (first.bid_prices, first.bid_sizes) == ("10,9.9", "4,3")
    assert (first.seq, second.seq) == (77_000, 77_001)


def test_candle_is_closed_by_a_later_one_or_by_the_clock() -> None:
    reading = Reading()
    reading.prices(candles=[candle(T, "1.5")])
    reading.prices(candles=[candle(T, "1.6")], at_ms=T + 30_000)
    reading.prices(candles=[candle(T + 60_000, "1.7")], at_ms=T + 60_500)
    assert [(row.close, row.closed) for row in reading.out.candles] == [
        ("1.5", False),
        ("1.6", False),
        ("1.6", True),
        ("1.7", False),
    ]
    assert (reading.out.candles[0].trades, reading.out.candles[0].volume) == (12, "0")
    reading.beat(T + 124_000)
    assert not reading.out.candles[-1].closed
    reading.beat(T + 125_000)
    assert reading.out.candles[-1].closed


def test_no_bar_is_called_final_that_may_have_grown_unseen() -> None:
    for trouble in ("disconnected", "broker", "start", "hole"):
        reading = Reading(reorder_us=0)
        reading.start()
        reading.prices(candles=[candle(T)])
        if trouble == "disconnected":
            reading.news("disconnected")
        elif trouble == "broker":
            reading.news("status", ',"connected":false')
        elif trouble == "start":
            reading.start()
        else:
            reading.number += 1
            reading.prices(ticks=[])
        reading.beat(T + 90_000)
        reading.prices(candles=[candle(T + 120_000)], at_ms=T + 120_001)
        assert not any(row.closed for row in reading.out.candles), trouble


def test_symbol_account_or_instance_that_was_not_asked_for_is_nothing_of_ours() -> None:
    reading = Reading()
    reading.prices(prices=[price(symbol="GBPUSD")])
    reading.prices(prices=[price()], account="another")
    reading.prices(prices=[price()], instance=1)
    assert not reading.out
    assert reading.parser.last_seen["demo/quotes"] == {}


def test_streams_that_are_not_wanted_make_no_rows() -> None:
    account = {**HEADER["accounts"][ACCOUNT], "streams": ["trades"], "kinds": ["ticks"], "tick_rows": False}
    reading = Reading(accounts={ACCOUNT: account})
    deal = tick(more='"bid":1,"ask":2,"last":1.5,"volume":3')
    reading.prices(prices=[price()], ticks=[deal], candles=[candle()])
    assert (len(reading.out.trades), len(reading.out.ticks), len(reading.out.candles)) == (1, 0, 0)


def test_specification_of_a_recorded_symbol_is_stored_with_its_own_text() -> None:
    spec = (
        '{"symbol":"EURUSD","tickSize":1e-05,"volumeStep":0.010,"baseCurrency":"EUR","profitCurrency":"USD",'
        '"priceCalculationMode":"SYMBOL_CALC_MODE_FOREX","description":"a, [b] {c}"}'
    )
    reading = Reading()
    reading.packet("specifications", f',"specifications":[{{"symbol":"X"}}, {spec}]')
    [row] = reading.out.instruments
    assert (row.base, row.quote, row.kind, row.price_step, row.size_step) == ("EUR", "USD", "forex", "0.00001", "0.010")
    assert row.details == spec


def test_answer_to_a_symbols_request_acknowledges_its_channels() -> None:
    from random import Random

    identity = request_id(Random(1), 1)
    assert len(identity) == 32
    assert target_of(identity) == 1
    reading = Reading()
    events = reading.raw(f'42["response",{{"type":"response","requestId":"{identity}"}}]'.encode())
    acknowledged = {event.channel: event.symbols for event in events if isinstance(event, Acknowledged)}
    assert acknowledged["demo/ticks"] == {"SBER"}
    assert set(acknowledged) == {
        "demo/quotes",
        "demo/ticks",
        "demo/trades",
        "demo/marketDepth",
        "demo/candles/1m",
        "demo/candles/1mn",
    }
    assert target_of(request_id(Random(1))) is None
    assert target_of("no such form") is None


def test_refusal_tells_how_long_to_wait_with_a_cap_for_broken_clocks() -> None:
    reading = Reading()
    for again, seconds in (("2024-05-06T07:08:10.000Z", 10.0), ("2054-05-06T07:08:10.000Z", 600.0)):
        body = {
            "requestId": "r",
            "error": "TooManyRequestsError",
            "message": "m",
            "metadata": {"recommendedRetryTime": again, "type": "L"},
        }
        limited, refused = reading.raw(b'42["processingError",' + orjson.dumps(body) + b"]", at_ms=T)
        assert limited == LimitReached("r", seconds, "L", new_client_id=False)
        assert isinstance(refused, Refused)
        assert not refused.permanent


@pytest.mark.parametrize(
    "item",
    [
        price().replace("1.0712", '"NaN"'),
        price().replace("1.0712", "NaN"),
        price().replace("2024", "9999"),
        "17",
        price().replace("07:08", "07:61"),
        "null",
        '{"bid":1}',
        price().replace("1.0712", "[1]"),
    ],
)
def test_bad_item_is_quarantined_and_its_neighbours_are_stored(item: str) -> None:
    reading = Reading()
    reading.prices(prices=[price("1"), item, price("3")])
    assert [row.bid for row in reading.out.ticks] == ["1", "3"]
    assert len(reading.out.quarantine) == 1


@pytest.mark.parametrize("side", ['"up"', "7", "[]", '{"buy":1}'])
def test_tick_whose_side_is_none_is_quarantined_and_its_neighbours_are_stored(side: str) -> None:
    reading = Reading()
    reading.prices(ticks=[tick(), tick(more=f'"bid":1,"ask":2,"side":{side}'), tick(T + 1)])
    assert len(reading.out.ticks) == 2
    [error] = reading.errors
    assert "neither buy nor sell" in error


@pytest.mark.parametrize("payload", [b"", b"x", b"42", b'42["prices"]', b"\xff\xfe", b'42["synchronization",17]', b"9"])
def test_frame_that_is_no_packet_is_quarantined(payload: bytes) -> None:
    reading = Reading(stripped=False)
    reading.raw(payload)
    assert len(reading.errors) == 1


def test_fork_goes_on_as_the_original_would() -> None:
    reading = Reading()
    reading.start()
    reading.prices(prices=[price()], ticks=[tick()], candles=[candle()])
    other = Reading()
    other.parser, other.number, other.stamp, other.now_ms = reading.parser.fork(), reading.number, reading.stamp, T + 50
    reading.now_ms = T + 50
    reading.out = type(reading.out)()
    for one in (reading, other):
        one.number += 1
        one.prices(ticks=[tick()], candles=[candle(T + 60_000)], at_ms=T + 60_001)
        one.news("disconnected", at_ms=T + 70_000)
        one.beat(T + 90_000)
    for name in ("ticks", "candles", "gaps", "rates"):
        assert getattr(reading.out, name) == getattr(other.out, name)
    assert reading.parser.last_seen == other.parser.last_seen


@given(st.from_regex(r"-?(0|[1-9][0-9]{0,8})(\.[0-9]{1,8})?([eE][+-]?[0-9]{1,2})?", fullmatch=True))
def test_every_json_number_becomes_the_same_plain_decimal(text: str) -> None:
    from decimal import Decimal

    found = decimal(text)
    assert found is not None
    assert DECIMAL.fullmatch(found)
    assert Decimal(found) == Decimal(text)


def test_times_have_up_to_nanoseconds_and_no_impossible_parts() -> None:
    assert time_us("2024-05-06T07:08:09.010Z") == 1_714_979_289_010_000
    assert time_us("2024-05-06 07:08:09.010") == 1_714_979_289_010_000
    assert time_us("2024-05-06T07:08:09Z") == 1_714_979_289_000_000
    assert time_us("2024-05-06T07:08:09.123456789Z") == 1_714_979_289_123_456
    for wrong in (
        "2024-02-30T00:00:00Z",
        "2024-05-06T24:00:00Z",
        "2024-05-06T07:08:61Z",
        "1999-01-01T00:00:00Z",
        5,
        None,
    ):
        assert time_us(wrong) is None


EXAMPLES: list[dict[str, Any]] = [
    {
        "type": "prices",
        "prices": [json.loads(price())],
        "ticks": [json.loads(tick())],
        "candles": [json.loads(candle())],
        "books": [
            {
                "symbol": "SBER",
                "time": "2024-05-06T07:08:09.010Z",
                "brokerTime": "2024-05-06 10:08:09.010",
                "book": [{"type": "BOOK_TYPE_BUY", "price": 1.5, "volume": 2}],
            }
        ],
    },
    {"type": "status", "connected": True},
    {"type": "status", "connected": False},
    {"type": "authenticated", "replicas": 1},
    {"type": "disconnected"},
    {"type": "synchronizationStarted"},
    {"type": "specifications", "specifications": [{"symbol": "EURUSD", "tickSize": 0.1}]},
    {
        "type": "downgradeSubscription",
        "symbol": "EURUSD",
        "updates": [{"type": "quotes", "intervalInMilliseconds": 5}],
        "unsubscriptions": [{"type": "candles", "timeframe": "1m"}],
    },
    {"type": "dealSynchronizationFinished", "synchronizationId": "s"},
]
anything = st.recursive(
    st.none()
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
    | st.integers(-(2**63), 2**64 - 1)
    | st.sampled_from(["NaN", "EURUSD", "1m", "buy", 1e300, -0.0, "9" * 30]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["symbol", "time", "bid"]), inner),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, child in inner for place in places(child, (*path, key)))]


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    packet: dict[str, Any] = copy.deepcopy(draw(st.sampled_from(EXAMPLES)))
    packet |= {"accountId": ACCOUNT, "instanceIndex": 0, "host": "h"}
    packet |= {"sequenceNumber": draw(st.integers(0, 9)), "sequenceTimestamp": draw(st.integers(T, T + 9))}
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.sampled_from([one for one in places(packet) if one]))
        target: Any = packet
        for key in place[:-1]:
            target = target[key]
        if draw(st.booleans()):
            target[place[-1]] = draw(anything)
        else:
            del target[place[-1]]
    return packet


@pytest.mark.slow
@settings(max_examples=500, deadline=None)
@given(st.lists(mutated(), min_size=1, max_size=6), st.booleans())
def test_no_packet_raises_and_every_item_is_counted_once(packets: list[dict[str, Any]], stripped: bool) -> None:
    reading = Reading(stripped=stripped)
    for packet in packets:
        reading.raw(b'42["synchronization",' + json.dumps(packet).encode() + b"]")
    reading.parser.fork()
    reading.beat(T + 10**7)
    for row in reading.out.ticks:
        assert row.bid is None or DECIMAL.fullmatch(row.bid)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["history/ticks/X", "history/trades/X/Y", "history/candles/bid/5/X", "other", "history/x/y"]),
    st.lists(anything | st.sampled_from([json.loads(tick()), json.loads(candle())]), max_size=4) | anything,
)
def test_no_page_of_history_raises_and_every_item_is_counted_once(channel: str, content: Any) -> None:
    reading = Reading()
    for told in ({"offset": "0"}, {"offset": "0", "counted": '{"1|2|3||":2}'}):
        reading.parser.rest(channel, told, json.dumps(content).encode(), T * 10**6, reading.out)
        reading._balanced()


def test_parser_of_a_rest_session_needs_no_accounts() -> None:
    parser = MetaapiParser(session_header({"venue": "metaapi", "adapter": "metaapi", "symbols": None}))
    reading = Reading()
    parser.rest("history/candles/bid/0/demo:EURUSD", {}, f"[{candle()}]".encode(), (T + 10**6) * 10**6, reading.out)
    [row] = reading.out.candles
    assert (row.instrument.symbol, row.closed, row.series) == ("demo:EURUSD", True, "bid")


def test_bars_of_the_hour_that_the_broker_has_twice_are_two(monkeypatch: pytest.MonkeyPatch) -> None:
    autumn = 1_729_983_600_000  # 2024-10-26T23:00Z, an hour before the broker's clock goes from +3 to +2
    reading = Reading()
    reading.start(at_ms=autumn)
    for hour, offset in enumerate((3, 2, 2)):
        monkeypatch.setattr("tests.venues.metaapi.reading.OFFSET", offset * 3_600_000)
        at_ms = autumn + hour * 3_600_000
        reading.prices(candles=[candle(at_ms)], ticks=[tick(at_ms)], at_ms=at_ms + 5)
    opened = [row.time_us // 1000 for row in reading.out.candles if not row.closed]
    assert opened == [autumn, autumn + 3_600_000, autumn + 7_200_000]
    assert len({row.time_us for row in reading.out.ticks}) == 3
    assert [row.value for row in reading.out.rates] == ["10800", "7200"]
    assert reading.errors == []

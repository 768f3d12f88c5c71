"""The parser as a whole: unknown and broken input, answers to requests, forks, and any bytes at all."""

from __future__ import annotations

import copy
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.model import DECIMAL, UNSIGNED, Records
from collector.venues.events import Acknowledged, Refused
from collector.venues.fmfw.parser import FmfwParser
from collector.venues.fmfw.values import joined
from tests.kit.headers import session_header
from tests.venues.fmfw.reading import Reading, T

FRAMES: list[dict[str, Any]] = [
    {"ch": "trades", "update": {"BTCUSDT": [{"t": T, "i": T, "p": "1", "q": "2", "s": "buy"}]}},
    {"ch": "trades", "snapshot": {"BTCUSDT": [{"t": T, "i": 7, "p": "1", "q": "2.0", "s": "sell"}] * 3}},
    {"ch": "candles/M1", "update": {"BTCUSDT": [{"t": T, "o": "1", "c": "1", "h": "1", "l": "1", "v": "1", "q": "1"}]}},
    {
        "ch": "converted/candles/1M",
        "target_currency": "EUR",
        "snapshot": {"ETHBTC": {"BTCUSDT": [{"t": T, "o": "1", "c": "1", "h": "1", "l": "1", "v": "1", "q": "1"}]}},
    },
    {"ch": "orderbook/full", "snapshot": {"BTCUSDT": {"t": T, "s": 1, "a": [["2", "1"], ["3", "0"]], "b": []}}},
    {"ch": "orderbook/full", "update": {"BTCUSDT": {"t": T, "s": 3, "a": [], "b": [["1", "1"]]}}},
    {"ch": "orderbook/D5/100ms", "data": {"BTCUSDT": {"t": T, "s": 1, "a": [["2", "1"]], "b": [["1", "1"]]}}},
    {"ch": "orderbook/top/100ms", "data": {"BTCUSDT": {"t": T, "a": "2", "A": "1", "b": "1", "B": "1"}}},
    {"ch": "ticker/price/1s/batch", "data": {"BTCUSDT": {"t": T, "c": "2", "v": None}, "ETHBTC": {"t": T}}},
    {"ch": "price/rate/1s", "target_currency": "USDT", "data": {"BTC": {"t": T, "r": "5"}}},
    {"ch": "futures/info", "data": {"BTCUSDT_PERP": {"t": T, "m": "1", "T": T, "p": "-1"}}},
    {"result": {"ch": "trades", "subscriptions": ["BTCUSDT"]}, "id": 1},
    {"error": {"code": 2001, "message": "No such symbol", "description": "XXX"}, "id": 2},
]

RESTS: list[tuple[str, Any]] = [
    ("trades", {"BTCUSDT": [{"id": 1, "price": "1", "qty": "1", "side": "buy", "timestamp": T}]}),
    ("candles", {"BTCUSDT": [{"timestamp": T, "open": "1", "close": "1", "min": "1", "max": "1"}]}),
    ("converted/candles", {"target_currency": "X", "data": {"BTCUSDT": []}}),
    ("orderbook", {"BTCUSDT": {"timestamp": T, "ask": [["1", "2"]], "bid": []}}),
    ("ticker", {"BTCUSDT": {"timestamp": T, "last": "1"}}),
    ("price/rate", {"BTC": {"currency": "USDT", "price": "5", "timestamp": T}}),
    ("price/history", {"BTC": {"currency": "USDT", "history": [{"close": "5", "timestamp": T}]}}),
    ("futures/info", {"BTCUSDT_PERP": {"timestamp": T, "mark_price": "1"}}),
    ("symbol", {"BTCUSDT": {"type": "spot", "tick_size": "1"}}),
]

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
    | st.integers(-(2**63), 2**64 - 1)
    | st.sampled_from([T, "1", "NaN", "-1", "1,2", "BTCUSDT", "9" * 30]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from("tpqsiabABcv") | st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    return [path, *(place for key, child in inner for place in places(child, (*path, key)))]


@st.composite
def mutated(draw: st.DrawFn, examples: list[Any]) -> Any:
    message = copy.deepcopy(draw(st.sampled_from(examples)))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.sampled_from(places(message)))
        new = draw(anything)
        if not place:
            return new if draw(st.booleans()) else message
        target = message
        for key in place[:-1]:
            target = target[key]
        match draw(st.sampled_from(["change", "delete", "rename"])):
            case "delete":
                del target[place[-1]]
            case "rename" if isinstance(target, dict):
                target[draw(st.sampled_from(["update", "data", "ch", "error", "result", "x"]))] = target.pop(place[-1])
            case _:
                target[place[-1]] = new
    return message


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.lists(mutated(FRAMES), min_size=1, max_size=5), st.booleans())
def test_no_message_raises_and_every_item_is_counted_once(messages: list[Any], named: bool) -> None:
    reading = Reading() if named else Reading(None)
    for message in messages:
        reading.message(message)
    reading.beat(T + 10**9)


@settings(max_examples=200, deadline=None)
@given(mutated([{"path": path, "content": content} for path, content in RESTS]))
def test_no_rest_answer_raises_and_every_item_is_counted_once(answer: Any) -> None:
    reading = Reading(None)
    if isinstance(answer, dict) and isinstance(answer.get("path"), str):
        for told in ({}, {"counted": '{"1|2|3|1":2}'}):
            reading.rest(answer["path"], answer.get("content"), told)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(FRAMES), st.data())
def test_no_truncated_or_scrambled_frame_raises(message: dict[str, Any], data: st.DataObject) -> None:
    payload = bytearray(orjson.dumps(message))
    cut = data.draw(st.integers(0, len(payload)))
    payload[cut : cut + data.draw(st.integers(0, 5))] = data.draw(st.binary(max_size=5))
    Reading().raw(bytes(payload))
    Reading().raw(bytes(payload[:cut]))


@given(st.text(st.sampled_from("0123456789.-|eE_ \n٣"), max_size=12))
def test_the_joined_pattern_agrees_with_the_models(text: str) -> None:
    match = joined(1)(text)
    assert (match is not None) == (UNSIGNED.fullmatch(text) is not None)
    assert match is None or DECIMAL.fullmatch(text)


@pytest.mark.parametrize("message", FRAMES)
def test_the_examples_are_good(message: dict[str, Any]) -> None:
    reading = Reading()
    reading.message(message)
    assert reading.errors == []
    assert reading.out.items or reading.events


@pytest.mark.parametrize(("path", "content"), RESTS)
def test_the_rest_examples_are_good(path: str, content: Any) -> None:
    reading = Reading(None)
    reading.rest(path, content)
    assert reading.errors == []


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff\xfe",
        b"{",
        b"[]",
        b"5",
        b"null",
        b'"ch"',
        b"{}",
        b'{"ch":"trades"}',
        b'{"ch":null}',
        b'{"ch":[]}',
        b'{"ch":"nonsense","data":{}}',
        b'{"ch":"candles/M7","update":{}}',
        b'{"ch":"orderbook/D7/100ms","data":{}}',
        b'{"ch":"trades","data":{}}',
        b'{"ch":"trades","update":[]}',
        b'{"ch":"ticker/1s","update":{}}',
        b'{"ch":"trades","update":null}',
        b"[" * 5000,
        b'{"ch":"trades","update":' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"ch":"trades","update":{"BTCUSDT":[{"p":' + b"[" * 900 + b"]" * 900 + b"}]}}",
    ],
)
def test_what_is_no_message_of_the_venue_is_one_quarantined_item(payload: bytes) -> None:
    reading = Reading()
    assert not reading.raw(payload)
    assert reading.out.items == 1
    assert reading.out.quarantine[0].payload == payload


def test_a_frame_with_many_bad_items_is_quarantined_once_and_counted_whole() -> None:
    reading = Reading()
    reading.send("trades", "update", {"BTCUSDT": [{"p": "bad"}] * 500})
    assert len(reading.out.quarantine) == 1
    assert reading.out.quarantine[0].items == reading.out.items == 500


def test_an_acknowledgement_is_an_event_with_the_whole_set() -> None:
    events = Reading().message({"result": {"ch": "trades", "subscriptions": ["B", "A"]}, "id": 7})
    assert events == (Acknowledged(7, "trades", frozenset("AB")),)


@pytest.mark.parametrize(
    ("code", "permanent"),
    [(2001, True), (2002, True), (10001, True), ("2001", True), (429, False), (500, False), (504, False), (1, False)],
)
def test_a_refusal_says_whether_it_lasts(code: Any, permanent: bool) -> None:
    message = {"error": {"code": code, "message": "Bad", "description": "why"}, "id": 3}
    assert Reading().message(message) == (Refused(3, str(code), "Bad: why", permanent),)


@pytest.mark.parametrize(
    "message",
    [
        {"result": True, "id": 1},
        {"result": {}, "id": 1},
        {"result": {"ch": "trades", "subscriptions": None}},
        {"result": None},
        {"result": {"ch": ["x"], "subscriptions": []}},
        {"result": [], "id": {}},
    ],
)
def test_an_answer_of_unexpected_shape_is_nothing(message: dict[str, Any]) -> None:
    reading = Reading()
    assert not reading.message(message)
    assert not reading.out


@pytest.mark.parametrize("error", [None, "text", [], {}, {"code": None, "message": 5}])
def test_an_error_of_unexpected_shape_is_a_refusal_all_the_same(error: Any) -> None:
    (event,) = Reading().message({"error": error, "id": [1]})
    assert isinstance(event, Refused)
    assert event.request_id is None
    assert not event.permanent


def test_the_last_sight_of_a_symbol_is_that_of_its_last_good_item() -> None:
    reading = Reading()
    good = {"t": T, "a": "2", "A": "1", "b": "1", "B": "1"}
    reading.send("orderbook/top/100ms", "data", {"BTCUSDT": good}, at_ms=T)
    reading.send("orderbook/top/100ms", "data", {"BTCUSDT": good | {"a": "x"}}, at_ms=T + 1)
    assert reading.parser.last_seen == {"orderbook/top/100ms": {"BTCUSDT": T * 1_000_000}}


def test_a_fork_reads_on_like_the_original_and_shares_nothing_with_it() -> None:
    reading = Reading()
    for message in FRAMES:
        reading.message(message)
    first, second = reading.parser.fork(), reading.parser.fork()
    seen = {channel: symbols.copy() for channel, symbols in reading.parser.last_seen.items()}
    results = []
    for parser in (first, second):
        out = Records()
        for n, message in enumerate(FRAMES):
            parser.frame(orjson.dumps(message), (T + 100 + n) * 1_000_000, out)
        parser.beat((T + 10**9) * 1_000_000, out)
        results.append({name: getattr(out, name) for name in Records.__slots__})
    assert results[0] == results[1]
    assert reading.parser.last_seen == seen


def test_the_same_frames_give_the_same_records() -> None:
    outs = []
    for _ in range(2):
        reading = Reading()
        for message in FRAMES * 2:
            reading.message(message)
        reading.beat(T + 10**9)
        outs.append({name: getattr(reading.out, name) for name in Records.__slots__})
    assert outs[0] == outs[1]


def test_a_header_needs_only_the_venue() -> None:
    parser = FmfwParser.begin(session_header({"venue": "hitbtc"}))
    out = Records()
    parser.frame(orjson.dumps(FRAMES[0]), T * 1_000_000, out)
    assert out.trades[0].instrument == ("hitbtc", "BTCUSDT")

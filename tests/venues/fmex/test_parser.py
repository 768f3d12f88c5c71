"""The parser as a whole: unknown and broken input, words about the conversation, forks, and any bytes at all."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.model import DECIMAL, UNSIGNED, Records
from collector.venues.events import Acknowledged, Refused
from collector.venues.fmex.parser import FmexParser
from tests.kit.headers import session_header
from tests.venues.fmex.reading import Reading, T, bar, change, ticker, trade, whole

FRAMES = [
    f'{{"type":"hello","ts":{T}}}',
    '{"id":"c1","type":"topics","topics":["trade.btcusd_p","depth-delta.l20.btcusd_p","candle.m1.btcusd_p"]}',
    trade(kind="btcusd_p"),
    trade(2, kind="btcusd_p"),
    ticker(),
    ticker(ts=f',"ts":{T}'),
    whole(100),
    change(120, 100, "7139,4", "7141,0E-18"),
    change(130, 125),
    whole(140, level="l150"),
    bar(kind="candle.m1.btcusd_p"),
    bar(T // 1000 + 60, kind="candle.m1.btcusd_p"),
    f'{{"id":"trade.btcusd_p#1","ts":{T},"data":[{trade(3)},{trade(2)}]}}',
    f'{{"id":"candle.MN.btcusd_p#2","data":[{bar()},{bar(T // 1000 - 60)}]}}',
    f'{{"type":"index..btcusd_spot","index":[{T},7758.57]}}',
    f'{{"id":"ping#1","type":"ping","ts":{T},"gap":-3}}',
    '{"id":"c2","status":41002,"msg":"invalid sub topic, x"}',
]
SYMBOL = (
    '[{"name":"btcusd_p","start_at_epoch":1,"end_at_epoch":5000000000000,"type":"perpetual","inverse":true,'
    '"margin_currency":"btc","minimum_price_increment":0.5}]'
)
RESTS = [
    ("trades/btcusd_p", f"[{trade(3)},{trade(2)}]"),
    ("candles/M1/btcusd_p", f"[{bar()},{bar(T // 1000 - 60)}]"),
    ("depth/L150/btcusd_p", whole(7)),
    ("ticker/btcusd_p", ticker()),
    ("all-tickers", f'{{"type":"all-tickers","ts":{T},"tickers":[{{"symbol":"BTCUSD_P",{ticker()[1:]}]}}'),
    ("indexes", f'{{".btcusd_spot":[{T},7758.57],".btcusdfair":[{T},7758.0]}}'),
    ("indexes/.btcusd_spot", f"[[{T},7758.57]]"),
    ("fex", f'{{"usdcny":[{T},7.03]}}'),
    ("symbols", SYMBOL),
    ("currencies", '["btc"]'),
    ("index-symbols", '[".btcusd_spot"]'),
    ("server-time", str(T)),
]

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.floats()
    | st.text(max_size=5)
    | st.integers(-(2**70), 2**70)
    | st.sampled_from([T, T // 1000, "1", "NaN", "1,2", "btcusd_p", 0.5, 1e-300, "\ud800", "\0"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["id", "ts", "type", "seq", "pre_seq", "data", "status", "price", "topics"])
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    return [path, *(place for key, one in inner for place in places(one, (*path, key)))]


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = changed(value[path[0]], path[1:], new)
    return copy


@st.composite
def mutated(draw: st.DrawFn, text: str) -> bytes:
    value = json.loads(text)
    for _ in range(draw(st.integers(1, 3))):
        value = changed(value, draw(st.sampled_from(places(value))), draw(anything))
    payload = json.dumps(value).encode()
    cut = draw(st.none() | st.integers(0, len(payload)))
    return payload if cut is None else payload[:cut]


def checked(out: Records) -> None:
    """Every row can be written: numbers are plain decimals, lists are as long as each other."""
    assert out.items == out.rows + sum(bad.items for bad in out.quarantine)
    for trade_ in out.trades:
        assert UNSIGNED.fullmatch(trade_.price)
        assert UNSIGNED.fullmatch(trade_.size)
    for tick in out.ticks:
        assert all(value is None or UNSIGNED.fullmatch(value) for value in tick[3:10])
    for book in out.books:
        for prices, sizes in (book[4:6], book[6:8]):
            values = prices.split(",") + sizes.split(",") if prices or sizes else []
            assert prices.count(",") == sizes.count(",")
            assert all(map(UNSIGNED.fullmatch, values))
    for candle in out.candles:
        assert all(value is None or DECIMAL.fullmatch(value) for value in candle[4:10])
    assert all(DECIMAL.fullmatch(rate.value) for rate in out.rates)
    for bad in out.quarantine:
        bad.error.encode()
        assert len(bad.error) < 500


@pytest.mark.slow
@settings(max_examples=600, deadline=None)
@given(st.sampled_from(FRAMES).flatmap(mutated), st.booleans())
def test_no_frame_makes_it_raise_or_miscount(payload: bytes, any_symbol: bool) -> None:
    reading = Reading(None if any_symbol else ("btcusd_p", ".btcusd_spot"))
    for text in FRAMES[:8]:
        reading.frame(text)
    reading.raw(payload)
    reading.beat(T + 10**7)
    checked(reading.out)


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(RESTS).flatmap(lambda one: st.tuples(st.just(one[0]), mutated(f'{{"status":0,"data":{one[1]}}}')))
)
def test_no_answer_makes_it_raise_or_miscount(answer: tuple[str, bytes]) -> None:
    reading = Reading(None, streams=["rates", "derivatives"])
    for told in ({}, {"counted": '{"1|2|3|1":2}'}):
        reading.rest_raw(*answer, told)
    checked(reading.out)
    for spec in reading.out.instruments:
        spec.details.encode()


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_quarantined(payload: bytes) -> None:
    reading = Reading()
    reading.raw(payload)
    reading.rest_raw("trades/btcusd_p", payload)
    reading.rest_raw("statistics", payload)
    checked(reading.out)


@pytest.mark.parametrize(("path", "data"), RESTS, ids=[path for path, _ in RESTS])
def test_every_public_answer_is_understood(path: str, data: str) -> None:
    reading = Reading(None)
    reading.rest(path, data)
    assert not reading.out.quarantine


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("trades/btcusd_p", b"<html>"),
        ("trades/btcusd_p", b"[]"),
        ("trades/btcusd_p", b'{"status":0}'),
        ("trades", b'{"data":[]}'),
        ("candles/M2/btcusd_p", b'{"data":[]}'),
        ("candles/M1", b'{"data":[]}'),
        ("depth/L7/btcusd_p", b'{"data":{"ts":1575100020000,"seq":1,"bids":[],"asks":[]}}'),
        ("weather", b'{"data":[]}'),
        ("symbols", b'{"data":{}}'),
        ("symbols", b'{"data":[{"name":null}]}'),
        ("server-time", b'{"data":"soon"}'),
        ("currencies", b'{"data":{}}'),
        ("all-tickers", b'{"data":[]}'),
        ("all-tickers", b'{"data":{"ts":1575100020000,"tickers":[7]}}'),
        ("ticker/btcusd_p", b'{"data":7}'),
    ],
)
def test_a_bad_answer_is_quarantined_with_its_request(path: str, body: bytes) -> None:
    reading = Reading(None)
    reading.rest_raw(path, body, {"limit": "5"})
    (bad,) = reading.out.quarantine
    request, _, rest = bad.payload.partition(b"\n")
    assert json.loads(request) == {"channel": f"rest:{path}", "params": {"limit": "5"}}
    assert rest == body


def test_what_is_subscribed_is_an_event_for_each_channel_and_one_for_all() -> None:
    events = Reading().frame('{"id":"c1","type":"topics","topics":["depth.l20.BTCUSD_P","ticker.a","ticker.b","odd"]}')
    assert list(events) == [
        Acknowledged("c1", "depth.L20", frozenset({"btcusd_p"})),
        Acknowledged("c1", "ticker", frozenset("ab")),
        Acknowledged("c1", "topics", frozenset({"depth.l20.btcusd_p", "ticker.a", "ticker.b", "odd"})),
    ]


@pytest.mark.parametrize(
    ("text", "event"),
    [
        ('{"id":"c2","status":41002,"msg":"invalid sub topic"}', Refused("c2", "41002", "invalid sub topic", True)),
        ('{"status":40003,"msg":"invalid period"}', Refused(None, "40003", "invalid period", True)),
        ('{"id":null,"status":500,"msg":null}', Refused(None, "500", "no reason given", False)),
        ('{"id":"c2","type":"ticker.btcusd_p","status":"error"}', Refused("c2", "error", "no reason given", False)),
    ],
)
def test_an_error_is_known_by_its_status(text: str, event: Refused) -> None:
    assert Reading().frame(text) == (event,)


@pytest.mark.parametrize(
    "text",
    [
        '{"type":"weather.btcusd_p"}',
        '{"type":7}',
        '{"type":{}}',
        "[]",
        "7",
        "{}",
        '{"type":"topics"}',
        '{"type":"topics","topics":[[]]}',
        '{"id":"trade.x#1","data":[]}',
        '{"id":"depth.l20.btcusd_p#1","data":[]}',
    ],
)
def test_what_nobody_knows_goes_to_quarantine(text: str) -> None:
    reading = Reading()
    assert not reading.frame(text)
    assert len(reading.out.quarantine) == 1


def test_a_fork_reads_on_like_the_original_and_shares_nothing_with_it() -> None:
    reading = Reading(("btcusd_p", ".btcusd_spot"))
    for text in FRAMES:
        reading.frame(text)
    first, second = reading.parser.fork(), reading.parser.fork()
    seen = {channel: symbols.copy() for channel, symbols in reading.parser.last_seen.items()}
    results = []
    for parser in (first, second):
        out = Records()
        for n, text in enumerate(FRAMES):
            parser.frame(text.encode(), (T + 100 + n) * 1_000_000, out)
        parser.beat((T + 10**9) * 1_000_000, out)
        results.append({name: getattr(out, name) for name in Records.__slots__})
    assert results[0] == results[1]
    assert reading.parser.last_seen == seen


def test_a_fork_goes_on_with_a_chain_a_bar_and_pages_where_the_original_was() -> None:
    reading = Reading(None)
    reading.frame(whole(100))
    reading.frame(bar(T // 1000, 5, kind="candle.m1.btcusd_p"))
    reading.rest("trades/btcusd_p", f"[{trade(8)}]")
    fork, out = reading.parser.fork(), Records()
    now_ns = (T + 9) * 1_000_000
    assert not fork.frame(change(110, 100).encode(), now_ns, out)
    fork.frame(bar(T // 1000, 4, "6", kind="candle.m1.btcusd_p").encode(), now_ns, out)
    fork.rest("rest:trades/btcusd_p", {"before": "8"}, f'{{"data":[{trade(7)}]}}'.encode(), now_ns, out)
    assert (out.books[0].seq, out.candles[0].close) == (110, "7")
    assert out.trades[0].trade_key != reading.out.trades[0].trade_key


def test_a_header_needs_only_the_venue() -> None:
    parser, out = FmexParser.begin(session_header({"venue": "testnet"})), Records()
    parser.frame(trade(kind="btcusd_p").encode(), T * 1_000_000, out)
    assert out.trades[0].instrument == ("testnet", "btcusd_p")

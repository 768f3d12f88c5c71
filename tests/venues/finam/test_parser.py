"""The parser: REST answers and socket messages to rows, and what becomes of anything else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.model import DECIMAL, Records
from collector.venues.events import Acknowledged, Event, Refused, SequenceLost, SnapshotTaken
from collector.venues.finam import FinamParser
from collector.venues.finam.happenings import AnswerRead
from tests.kit.headers import session_header

SYMBOL = "SBER@MISX"
RECEIVED_NS = 1_795_164_200_000_000_000  # 2026-11-20 08:43:20 UTC
STAMP, TIME_US = "2026-11-20T08:43:04.573168Z", 1_795_164_184_573_168


def begin(*symbols: str) -> FinamParser:
    return FinamParser.begin(session_header({"venue": "finam", "adapter": "finam", "symbols": symbols or [SYMBOL]}))


def rest(parser: FinamParser, channel: str, content: Any, **params: str) -> tuple[Records, list[Event]]:
    out = Records()
    body = content if isinstance(content, bytes) else orjson.dumps(content)
    events = list(parser.rest(channel, params, body, RECEIVED_NS, out))
    assert out.items == out.rows + sum(bad.items for bad in out.quarantine)
    return out, events


def frame(parser: FinamParser, kind: str, payload: Any, key: str = SYMBOL) -> tuple[Records, list[Event]]:
    out = Records()
    message = {"type": "DATA", "subscription_type": kind, "subscription_key": key, "timestamp": 1, "payload": payload}
    events = list(parser.frame(orjson.dumps(message), RECEIVED_NS, out))
    assert out.items == out.rows + sum(bad.items for bad in out.quarantine)
    return out, events


def boxed(**values: str) -> dict[str, Any]:
    return {name: {"value": value} for name, value in values.items()}


QUOTE = {
    "symbol": SYMBOL,
    "timestamp": STAMP,
    "is_data_snapshot": False,
    **boxed(ask="285.32", ask_size="120", bid="285.31", bid_size="44", last="285.31", last_size="3", volume="2.78E7"),
}
TRADE = {
    "trade_id": "13579246801",
    "mpid": "",
    "timestamp": STAMP,
    "side": "SIDE_BUY",
    "is_data_snapshot": False,
    **boxed(price="285.31", size="3.0"),
}
ROWS = [
    {"action": "ACTION_ADD", "mpid": "", "timestamp": STAMP, **boxed(price="285.33", sell_size="7.0")},
    {"action": "ACTION_ADD", "mpid": "", "timestamp": STAMP, **boxed(price="285.32", sell_size="120.0")},
    {"action": "ACTION_ADD", "mpid": "", "timestamp": STAMP, **boxed(price="285.31", buy_size="44.0")},
]


def trade(number: int, **changed: Any) -> dict[str, Any]:
    return {**TRADE, "trade_id": str(number), "timestamp": f"2026-11-20T08:43:{number % 60:02d}Z", **changed}


def bar(minute: int, close: str = "285.5") -> dict[str, Any]:
    return {
        "timestamp": f"2026-11-20T08:{minute:02d}:00Z",
        **boxed(open="285.0", high="286.0", low="284.5", close=close, volume="1.2E3"),
    }


# -- quotes ---------------------------------------------------------------------------------------------------------


def test_quote_becomes_a_tick_with_the_venues_digits() -> None:
    out, events = rest(begin(), f"LastQuote/{SYMBOL}", {"symbol": SYMBOL, "quote": QUOTE})
    [tick] = out.ticks
    assert tick[1:2] + tick[3:10] == (TIME_US, "285.31", "44", "285.32", "120", "285.31", "3", "27800000")
    assert events == [AnswerRead(1, 1), Acknowledged(None, "LastQuote", frozenset({SYMBOL}))]


def test_empty_side_is_null_and_so_is_its_size() -> None:
    quote = QUOTE | boxed(ask="0", ask_size="0", bid="0.00", bid_size="0")
    [tick] = rest(begin(), f"LastQuote/{SYMBOL}", {"quote": quote})[0].ticks
    assert (tick.bid, tick.bid_size, tick.ask, tick.ask_size, tick.last) == (None, None, None, None, "285.31")


def test_quote_that_says_nothing_new_is_no_item() -> None:
    parser = begin()
    rest(parser, f"LastQuote/{SYMBOL}", {"quote": QUOTE})
    out, _ = rest(parser, f"LastQuote/{SYMBOL}", {"quote": QUOTE})
    assert (out.items, out.ticks) == (0, [])
    [tick] = rest(parser, f"LastQuote/{SYMBOL}", {"quote": QUOTE | boxed(bid_size="45")})[0].ticks
    assert tick.time_us == TIME_US


def test_quote_without_a_time_is_never_given_ours() -> None:
    quote = {name: value for name, value in QUOTE.items() if name != "timestamp"}
    out, _ = rest(begin(), f"LastQuote/{SYMBOL}", {"quote": quote})
    assert (len(out.ticks), len(out.quarantine)) == (0, 1)
    assert "timestamp" in out.quarantine[0].error


def test_quote_of_what_nobody_trades_is_no_item() -> None:
    out, _ = rest(begin(), f"LastQuote/{SYMBOL}", {"symbol": SYMBOL, "quote": {"symbol": SYMBOL}})
    assert not out


def test_socket_quote_is_laid_over_what_was_known_until_a_snapshot() -> None:
    parser = begin()
    frame(parser, "QUOTES", {"quote": [QUOTE | {"is_data_snapshot": True}]})
    change = {"symbol": SYMBOL, "timestamp": "2026-11-20T08:43:05Z", **boxed(bid="285.30")}
    [tick] = frame(parser, "QUOTES", {"quote": [change]})[0].ticks
    assert (tick.bid, tick.bid_size, tick.ask, tick.volume) == ("285.30", "44", "285.32", "27800000")
    snapshot = change | {"is_data_snapshot": True, "timestamp": "2026-11-20T08:43:06Z"}
    [tick] = frame(parser, "QUOTES", {"quote": [snapshot]})[0].ticks
    assert (tick.bid, tick.ask, tick.volume) == ("285.30", None, None)


# -- books ----------------------------------------------------------------------------------------------------------


def test_book_is_sorted_by_side_whatever_its_order() -> None:
    books = [
        rest(begin(), f"OrderBook/{SYMBOL}", {"orderbook": {"rows": rows}})[0].books[0] for rows in (ROWS, ROWS[::-1])
    ]
    assert books[0] == books[1]
    assert (books[0].bid_prices, books[0].bid_sizes) == ("285.31", "44.0")
    assert (books[0].ask_prices, books[0].ask_sizes) == ("285.32,285.33", "120.0,7.0")
    assert books[0].time_us == TIME_US
    assert books[0].snapshot


def test_equal_books_of_one_time_are_one_row_and_different_ones_are_two() -> None:
    parser = begin()
    first = rest(parser, f"OrderBook/{SYMBOL}", {"orderbook": {"rows": ROWS}})[0].books[0]
    assert rest(parser, f"OrderBook/{SYMBOL}", {"orderbook": {"rows": ROWS}})[0].items == 0
    [other] = rest(parser, f"OrderBook/{SYMBOL}", {"orderbook": {"rows": ROWS[1:]}})[0].books
    assert other.time_us == first.time_us
    assert other.seq != first.seq
    short = json.loads(json.dumps(ROWS).replace('"44.0"', '"44"'))
    assert rest(begin(), f"OrderBook/{SYMBOL}", {"orderbook": {"rows": short}})[0].books[0].seq == first.seq


def test_rows_that_remove_or_are_empty_are_left_out_of_a_whole_book() -> None:
    gone = {**ROWS[0], "action": "ACTION_REMOVE"}
    none = {**ROWS[1], "sell_size": {"value": "0.0"}}
    [book] = rest(begin(), f"OrderBook/{SYMBOL}", {"orderbook": {"rows": [gone, none, ROWS[2]]}})[0].books
    assert (book.ask_prices, book.bid_prices) == ("", "285.31")


def test_participants_of_one_price_are_summed_up() -> None:
    rows = [{**ROWS[2], "mpid": "A"}, {**ROWS[2], "mpid": "B", "buy_size": {"value": "1.5"}}]
    [book] = rest(begin(), f"OrderBook/{SYMBOL}", {"orderbook": {"rows": rows}})[0].books
    assert (book.bid_prices, book.bid_sizes) == ("285.31", "45.5")


def test_empty_book_is_an_answer_and_no_item() -> None:
    parser = begin()
    out, events = rest(parser, f"OrderBook/{SYMBOL}", {"orderbook": {"rows": []}})
    assert out.items == 0
    assert events
    assert AnswerRead(0, 0) in events


def test_socket_book_changes_follow_a_snapshot_and_removals_without_size_hit_both_sides() -> None:
    parser = begin()
    _, events = frame(parser, "ORDER_BOOK", {"order_book": [{"symbol": SYMBOL, "rows": ROWS}]})
    assert SnapshotTaken("ORDER_BOOK", SYMBOL) in events
    removal = {"action": "ACTION_REMOVE", "timestamp": "2026-11-20T08:43:05Z", **boxed(price="285.33")}
    [change] = frame(parser, "ORDER_BOOK", {"order_book": [{"symbol": SYMBOL, "rows": [removal]}]})[0].books
    assert not change.snapshot
    assert (change.bid_prices, change.bid_sizes) == (change.ask_prices, change.ask_sizes) == ("285.33", "0")
    held = parser.books.levels(SYMBOL)
    assert held is not None
    assert held[2] == {"285.32": "120.0"}


def test_socket_book_that_crosses_is_a_loss_until_the_next_snapshot() -> None:
    parser = begin()
    frame(parser, "ORDER_BOOK", {"order_book": [{"symbol": SYMBOL, "rows": ROWS}]})
    crossing = {"action": "ACTION_ADD", "timestamp": "2026-11-20T08:43:05Z", **boxed(price="285.40", buy_size="1")}
    out, events = frame(parser, "ORDER_BOOK", {"order_book": [{"symbol": SYMBOL, "rows": [crossing]}]})
    assert SequenceLost("ORDER_BOOK", SYMBOL, 0, 0) in events
    assert [gap.to_us for gap in out.gaps] == [None]
    snapshot = {"symbol": SYMBOL, "rows": ROWS, "is_data_snapshot": True}
    out, events = frame(parser, "ORDER_BOOK", {"order_book": [snapshot]})
    assert [gap.to_us is not None for gap in out.gaps] == [True]
    assert SnapshotTaken("ORDER_BOOK", SYMBOL) in events


# -- trades ---------------------------------------------------------------------------------------------------------


def test_trades_already_seen_are_no_items_again() -> None:
    parser = begin()
    out, _ = rest(parser, f"LatestTrades/{SYMBOL}", {"trades": [trade(3), trade(2), trade(1)]})
    assert [one.trade_id for one in out.trades] == ["1", "2", "3"]
    out, _ = rest(parser, f"LatestTrades/{SYMBOL}", {"trades": [trade(4), trade(3), trade(2)]})
    assert [one.trade_id for one in out.trades] == ["4"]
    assert out.gaps == []


def test_first_list_tells_how_far_it_reaches_back_and_covers_from_there() -> None:
    parser = begin()
    _, events = rest(parser, f"LatestTrades/{SYMBOL}", {"trades": [trade(3), trade(2), trade(1)]})
    assert events[1:] == [Acknowledged(None, "LatestTrades", frozenset({SYMBOL}), 1_795_164_181_000_000)]
    _, events = rest(parser, f"LatestTrades/{SYMBOL}", {"trades": [trade(4), trade(3)]})
    assert events[1:] == [Acknowledged(None, "LatestTrades", frozenset({SYMBOL}), 1_795_164_183_000_000)]
    _, events = rest(begin(), f"LatestTrades/{SYMBOL}", {"trades": []})
    assert events[1:] == [Acknowledged(None, "LatestTrades", frozenset({SYMBOL}), RECEIVED_NS // 1000)]


def test_delayed_list_reaches_back_by_so_much_less() -> None:
    delays = {"MISX": {"delay_minutes": 15}}
    parser = FinamParser.begin(
        session_header({"venue": "finam", "adapter": "finam", "symbols": [SYMBOL], "delays": delays})
    )
    _, events = rest(parser, f"LatestTrades/{SYMBOL}", {"trades": [trade(1)]})
    assert events[1:] == [Acknowledged(None, "LatestTrades", frozenset({SYMBOL}), 1_795_164_181_000_000 + 900_000_000)]


def test_list_that_does_not_reach_back_is_a_gap_from_the_newest_known_to_its_oldest() -> None:
    parser = begin()
    rest(parser, f"LatestTrades/{SYMBOL}", {"trades": [trade(3), trade(2), trade(1)]})
    out, _ = rest(parser, f"LatestTrades/{SYMBOL}", {"trades": [trade(9), trade(8), trade(7)]})
    [gap] = out.gaps
    assert (gap.from_seq, gap.to_seq) == (3, 7)
    assert gap.to_us is not None
    assert gap.to_us - gap.from_us == 4_000_000
    assert len(out.trades) == 3


def test_list_shorter_than_it_has_been_is_whole_and_no_gap() -> None:
    parser = begin()
    rest(parser, f"LatestTrades/{SYMBOL}", {"trades": [trade(3), trade(2), trade(1)]})
    out, _ = rest(parser, f"LatestTrades/{SYMBOL}", {"trades": [trade(9), trade(8)]})
    assert out.gaps == []


def test_trade_that_comes_late_is_taken_by_its_key() -> None:
    parser = begin()
    rest(parser, f"LatestTrades/{SYMBOL}", {"trades": [trade(30), trade(28)]})
    out, _ = rest(parser, f"LatestTrades/{SYMBOL}", {"trades": [trade(30), trade(29)]})
    assert [one.trade_id for one in out.trades] == ["29"]


def test_list_read_as_history_is_told_whole_and_concludes_nothing() -> None:
    parser = begin()
    rest(parser, f"LatestTrades/{SYMBOL}", {"trades": [trade(2), trade(1)]})
    out, _ = rest(parser, f"LatestTrades/{SYMBOL}/history", {"trades": [trade(2), trade(1)]})
    assert (len(out.trades), out.gaps) == (2, [])


def test_trades_without_ids_are_told_apart_by_their_number_and_known_again() -> None:
    parser = begin()
    same = trade(5, trade_id="")
    out, _ = rest(parser, f"LatestTrades/{SYMBOL}", {"trades": [same, same]})
    assert len({one.trade_key for one in out.trades}) == 2
    assert [one.trade_id for one in out.trades] == [None, None]
    assert rest(parser, f"LatestTrades/{SYMBOL}", {"trades": [same, same]})[0].items == 0


def test_same_trade_has_one_key_by_rest_and_on_the_socket_and_repeats_are_nothing() -> None:
    parser = begin()
    [one] = rest(begin(), f"LatestTrades/{SYMBOL}", {"trades": [TRADE]})[0].trades
    [other] = frame(parser, "INSTRUMENT_TRADES", orjson.dumps({"symbol": SYMBOL, "trades": [TRADE]}).decode())[0].trades
    assert one[:7] == other[:7]
    again = {**TRADE, "is_data_snapshot": True}
    assert frame(parser, "INSTRUMENT_TRADES", {"symbol": SYMBOL, "trades": [again]})[0].items == 0


def test_sides_and_strange_ids() -> None:
    trades = [trade(1, side="SIDE_SELL"), trade(2, side="SIDE_UNSPECIFIED"), trade(3, trade_id="NQ-0001-A")]
    out, _ = rest(begin(), f"LatestTrades/{SYMBOL}", {"trades": trades})
    assert [(one.trade_id, one.side) for one in out.trades] == [("1", -1), ("2", None), ("NQ-0001-A", 1)]


# -- bars -----------------------------------------------------------------------------------------------------------

FRAME = "TIME_FRAME_M1"


def bars(parser: FinamParser, *given_bars: Any, until: str, mode: str = "") -> Records:
    params = {"timeframe": FRAME, "interval.end_time": until}
    return rest(parser, f"Bars/{SYMBOL}/{FRAME}{mode}", {"symbol": SYMBOL, "bars": list(given_bars)}, **params)[0]


def test_bar_is_final_only_when_asked_for_long_enough_after_its_end() -> None:
    early = bars(begin(), bar(41), bar(42), until="2026-11-20T08:43:04Z")
    assert [one.closed for one in early.candles] == [True, False]
    late = bars(begin(), bar(41), bar(42), until="2026-11-20T08:43:05Z")
    assert [one.closed for one in late.candles] == [True, True]
    assert late.candles[0].volume == "1200"


def test_question_for_the_future_makes_no_bar_final() -> None:
    [one] = bars(begin(), bar(43), until="2026-11-21T00:00:00Z", mode="/history").candles
    assert not one.closed


def test_bar_that_did_not_change_is_no_item_and_a_changed_or_final_one_is() -> None:
    parser = begin()
    bars(parser, bar(42), until="2026-11-20T08:43:00Z")
    assert bars(parser, bar(42), until="2026-11-20T08:43:00Z").items == 0
    assert bars(parser, bar(42, "285.9"), until="2026-11-20T08:43:00Z").items == 1
    [one] = bars(parser, bar(42, "285.9"), until="2026-11-20T08:43:06Z").candles
    assert one.closed
    assert bars(parser, bar(42, "285.9"), until="2026-11-20T08:43:06Z", mode="/history").items == 1


def test_later_bar_on_the_socket_closes_the_one_before_it() -> None:
    parser = begin()
    key = f"{SYMBOL}:{FRAME}"
    frame(parser, "BARS", {"symbol": SYMBOL, "bars": [bar(42)]}, key)
    frame(parser, "BARS", {"symbol": SYMBOL, "bars": [bar(42, "285.7")]}, key)
    out, _ = frame(parser, "BARS", {"symbol": SYMBOL, "bars": [bar(43)]}, key)
    assert [(one.close, one.closed) for one in out.candles] == [("285.7", True), ("285.5", False)]


# -- the rest -------------------------------------------------------------------------------------------------------


def test_answers_about_an_instrument_become_one_specification() -> None:
    parser = FinamParser.begin(
        session_header({"venue": "finam", "symbols": [SYMBOL], "delays": {"MISX": {"delay_minutes": 15}}})
    )
    asset = {
        "ticker": "SBER",
        "mic": "MISX",
        "type": "EQUITIES",
        "decimals": 2,
        "min_step": "5",
        "quote_currency": "RUB",
        **boxed(lot_size="10.0"),
    }
    rest(parser, "Exchanges", {"exchanges": [{"mic": "MISX", "name": "MOEX"}]})
    rest(parser, f"GetAssetParams/{SYMBOL}", {"account_id": "1", "is_tradable": True})
    [spec] = rest(parser, f"GetAsset/{SYMBOL}", asset)[0].instruments
    assert spec[1:7] == ("SBER", "RUB", "equity", "0.05", "10.0", "tradable")
    details = orjson.loads(spec.details)
    assert details["exchange"]["name"] == "MOEX"
    assert details["delay_minutes"] == 15
    assert "account_id" not in details["params"]


def test_an_answer_that_is_refused_spoils_none_of_those_after_it() -> None:
    parser = begin()
    refused, _ = rest(parser, f"GetAsset/{SYMBOL}", {"min_step": "5", "decimals": -1})
    assert [bad.error for bad in refused.quarantine] == [f"GetAsset/{SYMBOL}: decimals: -1 is not between 0 and 30"]

    assert not rest(parser, f"GetAssetParams/{SYMBOL}", {"is_tradable": True})[0].quarantine
    [spec] = rest(parser, f"GetAsset/{SYMBOL}", {"min_step": "5", "decimals": 2})[0].instruments
    assert (spec.price_step, spec.status) == ("0.05", "tradable")
    refused, _ = rest(parser, f"GetAsset/{SYMBOL}", {"min_step": "5", "decimals": 31})
    assert refused.quarantine
    [spec] = rest(parser, f"GetAssetParams/{SYMBOL}", {"is_tradable": False})[0].instruments
    assert (spec.price_step, spec.status) == ("0.05", "not tradable")


@pytest.mark.parametrize(
    ("step", "places", "shown"),
    [("1", 2, "0.01"), ("100", 6, "0.0001"), ("1", 0, "1"), ("10", 1, "1"), ("0", 2, None), (None, 2, None)],
)
def test_price_step(step: str | None, places: int, shown: str | None) -> None:
    [spec] = rest(begin(), f"GetAsset/{SYMBOL}", {"min_step": step, "decimals": places})[0].instruments
    assert spec.price_step == shown


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"{", "unexpected"),
        (b"[]", "not an object"),
        (b'{"symbol":"GAZP@MISX","trades":[]}', "GAZP"),
        (b'{"trades":{}}', "not a list"),
        (b'{"trades":[5]}', "not an object"),
    ],
)
def test_answer_that_is_not_understood_goes_to_quarantine_with_its_request(body: bytes, why: str) -> None:
    out, _ = rest(begin(), f"LatestTrades/{SYMBOL}", body)
    [bad] = out.quarantine
    assert why in bad.error
    assert bad.payload.split(b"\n", 1)[1] == body
    assert bad.payload.startswith(b'{"channel":"LatestTrades/SBER@MISX"')


def test_bad_items_cost_only_themselves() -> None:
    items = [trade(1), trade(2, price={"value": "NaN"}), trade(3, timestamp=None), trade(4, size={"value": "-1"})]
    out, _ = rest(begin(), f"LatestTrades/{SYMBOL}", {"trades": items})
    assert [one.trade_id for one in out.trades] == ["1"]
    assert out.quarantine[0].items == 3


@pytest.mark.parametrize(
    ("code", "kind", "expected"),
    [(16, "UNAUTHENTICATED", "UNAUTHENTICATED"), (16, "", "UNAUTHENTICATED"), (5, "NOT_FOUND", "NOT_FOUND")],
)
def test_errors_of_the_socket_are_refusals(code: int, kind: str, expected: str) -> None:
    message = {"type": "ERROR", "error_info": {"code": code, "type": kind, "message": "no"}}
    [event] = begin().frame(orjson.dumps(message), RECEIVED_NS, Records())
    assert isinstance(event, Refused)
    assert event.code == expected


def test_forked_parser_goes_on_by_itself() -> None:
    parser = begin()
    rest(parser, f"LatestTrades/{SYMBOL}", {"trades": [trade(2), trade(1)]})
    copy = parser.fork()
    rest(parser, f"LatestTrades/{SYMBOL}", {"trades": [trade(3), trade(2)]})
    assert len(rest(copy, f"LatestTrades/{SYMBOL}", {"trades": [trade(3), trade(2)]})[0].trades) == 1


CALLS: Mapping[str, Any] = {
    f"LastQuote/{SYMBOL}": {"symbol": SYMBOL, "quote": QUOTE},
    f"OrderBook/{SYMBOL}": {"symbol": SYMBOL, "orderbook": {"rows": ROWS}},
    f"LatestTrades/{SYMBOL}": {"symbol": SYMBOL, "trades": [trade(2), trade(1)]},
    f"Bars/{SYMBOL}/{FRAME}": {"symbol": SYMBOL, "bars": [bar(41), bar(42)]},
    f"GetAsset/{SYMBOL}": {"min_step": "1", "decimals": 2, "lot_size": {"value": "1.0"}},
    f"Schedule/{SYMBOL}": {"symbol": SYMBOL, "sessions": []},
    "Exchanges": {"exchanges": [{"mic": "MISX"}]},
    f"Nonsense/{SYMBOL}": {},
}
FRAMES = [
    {"type": "DATA", "subscription_type": kind, "subscription_key": f"{SYMBOL}:{FRAME}", "payload": payload}
    for kind, payload in (
        ("QUOTES", {"quote": [QUOTE]}),
        ("ORDER_BOOK", {"order_book": [{"symbol": SYMBOL, "rows": ROWS}]}),
        ("INSTRUMENT_TRADES", {"symbol": SYMBOL, "trades": [TRADE]}),
        ("BARS", {"symbol": SYMBOL, "bars": [bar(42)]}),
    )
]
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=5),
    st.sampled_from(["1E9999", "-0", "1e-5", "0x10", "SBER@MISX", "9999-01-01T00:00:00Z", "1_0", "+5", "٣"]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


def paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [at] if at else []
    if isinstance(value, dict):
        for name, one in value.items():
            found += paths(one, (*at, name))
    elif isinstance(value, list):
        for place, one in enumerate(value):
            found += paths(one, (*at, place))
    return found


def mutated(content: Any, data: st.DataObject) -> Any:
    content = json.loads(json.dumps(content))
    for _ in range(data.draw(st.integers(1, 3))):
        places = paths(content)
        if not places:
            break
        *way, last = data.draw(st.sampled_from(places))
        held = content
        for step in way:
            held = held[step]
        if isinstance(held, dict) and data.draw(st.booleans()):
            del held[last]
        else:
            held[last] = data.draw(JUNK)
    return content


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_answer_and_no_message_makes_the_parser_raise_or_miscount(data: st.DataObject) -> None:
    parser = begin()
    for _ in range(4):
        out = Records()
        if data.draw(st.booleans()):
            channel = data.draw(st.sampled_from(sorted(CALLS)))
            body = json.dumps(mutated(CALLS[channel], data)).encode()
            parser.rest(channel, {"interval.end_time": STAMP}, body, RECEIVED_NS, out)
        else:
            message = mutated(data.draw(st.sampled_from(FRAMES)), data)
            parser.frame(json.dumps(message).encode(), RECEIVED_NS, out)
        assert out.items == out.rows + sum(bad.items for bad in out.quarantine)
        told: list[str | None] = [value for row in out.trades for value in (row.price, row.size)]
        told += [value for tick in out.ticks for value in tick[3:10]]
        told += [value for candle in out.candles for value in candle[4:9]]
        told += [value for book in out.books for side in book[4:8] for value in side.split(",") if side]
        assert all(value is None or DECIMAL.fullmatch(value) for value in told)
        parser = parser.fork() if data.draw(st.booleans()) else parser

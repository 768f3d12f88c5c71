"""The plan: which connections, which subscriptions on each."""

from __future__ import annotations

from itertools import chain
from typing import Any

import orjson
import pytest

from collector.errors import VenueError
from collector.venues.fmfw import ADAPTER, FmfwSettings
from collector.venues.plan import Plan, Subscription
from collector.venues.rest import RestAnswer
from tests.kit.known import known

LISTED = {f"S{n:03d}USDT": {"type": "spot", "base_currency": f"S{n}", "quote_currency": "USDT"} for n in range(120)} | {
    "BTCUSDT_PERP": {"type": "futures", "underlying": "BTC", "quote_currency": "USDT"}
}


def plan(listed: Any = LISTED, **settings: Any) -> Plan:
    discovery = ADAPTER.begin(
        "hitbtc", FmfwSettings(**{"symbols": "*", "rest_url": "http://venue/api/3"} | settings)
    ).discover()
    call = next(discovery)
    assert (call.channel, call.url) == ("rest:symbol", "http://venue/api/3/public/symbol")
    body = listed if isinstance(listed, bytes) else orjson.dumps(listed)
    with pytest.raises(StopIteration) as stopped:
        discovery.send(RestAnswer(200, {}, body, 7_000))
    result = stopped.value.value
    assert isinstance(result, Plan)
    return result


def test_symbols_are_dealt_out_evenly_with_all_their_streams_together() -> None:
    result = plan()
    assert [connection.name for connection in result.connections] == ["hitbtc-1", "hitbtc-2", "hitbtc-3"]
    held = [known(connection.header.symbols) for connection in result.connections]
    assert sorted(map(len, held)) == [40, 40, 41]
    assert sorted(chain(*held)) == sorted(LISTED)
    for connection, symbols in zip(result.connections, held, strict=True):
        assert all(subscription.symbols == tuple(symbols) for subscription in connection.subscriptions)


def test_connections_hold_more_symbols_rather_than_be_too_many() -> None:
    result = plan(symbols_per_connection=2, connections=3)
    assert len(result.connections) == 3
    assert sum(len(known(connection.header.symbols)) for connection in result.connections) == 121


def test_the_header_holds_all_that_the_parser_needs() -> None:
    header = (
        plan(symbols="S000USDT", grace_seconds=2.5, ws_url="ws://venue/ws").connections[0].session_header("ws://venue")
    )
    told = orjson.loads(orjson.dumps(header.to_json()))
    assert {"trades", "ticks", "books", "candles"} <= {stream for _, stream, _ in told.pop("subscriptions")}
    assert told == {
        "venue": "hitbtc",
        "adapter": "fmfw",
        "worker": "hitbtc-1",
        "url": "ws://venue",
        "symbols": ["S000USDT"],
        "candle_grace_us": 2_500_000,
        "book_numbering": "successive",
    }
    assert ADAPTER.parser(header).last_seen == {}


def test_streams_become_channels_by_the_settings() -> None:
    def channels(**settings: Any) -> list[str]:
        (connection,) = plan(symbols="BTCUSDT_PERP", **settings).connections
        return [subscription.channel for subscription in connection.subscriptions]

    assert channels() == ["trades", "orderbook/full", "orderbook/top/100ms", "candles/M1"]
    assert channels(streams="books,ticks", books="D10/500ms", ticks="ticker/price/3s", batch=True) == [
        "orderbook/D10/500ms/batch",
        "ticker/price/3s/batch",
    ]
    assert channels(streams="books", batch=True) == ["orderbook/full"]
    assert channels(streams="candles", candles="1h,1mo", converted="USDT,EUR") == [
        "candles/H1",
        "converted/candles/H1",
        "converted/candles/H1",
        "candles/1M",
        "converted/candles/1M",
        "converted/candles/1M",
    ]
    assert channels(streams="derivatives,rates", rates="1s") == ["futures/info", "price/rate/1s"]


def test_the_past_is_asked_for_where_the_venue_gives_it() -> None:
    subscriptions = plan(symbols="S000USDT", snapshot=7, converted="EUR").connections[0].subscriptions
    assert [(s.channel, dict(s.params), s.prompt) for s in subscriptions] == [
        ("trades", {"limit": 7}, False),
        ("orderbook/full", {}, True),
        ("orderbook/top/100ms", {}, True),
        ("candles/M1", {"limit": 7}, False),
        ("converted/candles/M1", {"target_currency": "EUR", "limit": 7}, False),
    ]
    assert plan(symbols="S000USDT", snapshot=0).connections[0].subscriptions[0].params == {}


def test_the_state_of_futures_is_asked_for_futures_only() -> None:
    result = plan(streams="derivatives")
    subscriptions = [s for connection in result.connections for s in connection.subscriptions]
    assert [s.symbols for s in subscriptions] == [("BTCUSDT_PERP",)]
    assert len(result.connections) == 1


def test_derivatives_without_futures_are_told() -> None:
    assert [problem.subject for problem in plan(symbols="S0*", streams="trades,derivatives").problems] == [
        "derivatives"
    ]


def test_rates_are_on_the_first_connection_alone_and_need_no_symbols() -> None:
    rates = Subscription("price/rate/3s", "rates", ("BTC", "ETH"), {"target_currency": "EUR"})
    settings: dict[str, Any] = {"streams": "rates", "rate_currencies": "BTC,ETH", "rate_target": "EUR"}
    for symbols in ("*", ""):
        (connection,) = plan(symbols=symbols, **settings).connections
        assert connection.subscriptions == (rates,)
        assert connection.name == "hitbtc-1"


def test_nothing_that_matches_is_no_connection_but_a_problem() -> None:
    result = plan(symbols="NOSUCH*")
    assert result.connections == ()
    assert [problem.subject for problem in result.problems] == ["NOSUCH*"]
    assert len(result.instruments) == 121


def test_a_symbol_that_is_not_understood_is_left_out_and_told() -> None:
    result = plan({"BTCUSDT": {"type": "spot"}, "BAD": {"tick_size": 5}})
    assert [problem.subject for problem in result.problems] == ["BAD"]
    assert result.connections[0].header.symbols == ("BTCUSDT",)


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"", b"5"])
def test_a_list_that_is_none_is_an_error_that_can_pass(body: bytes) -> None:
    discovery = ADAPTER.begin("fmfw", FmfwSettings(symbols="*")).discover()
    next(discovery)
    with pytest.raises(VenueError, match="is rest_url right") as error:
        discovery.send(RestAnswer(200, {}, body, 0))
    assert not error.value.permanent

"""What is connected to and polled for which settings."""

from __future__ import annotations

from typing import Any

import pytest

from collector.errors import VenueError
from collector.venues.fmex import ADAPTER
from collector.venues.fmex.discovery import discover, spread
from collector.venues.fmex.settings import FmexSettings
from collector.venues.plan import Plan
from collector.venues.rest import RestAnswer
from tests.venues.fmex.reading import T

LISTED = b'{"status":0,"data":[{"name":"btcusd_p","margin_currency":"btc","inverse":true},{"name":"ethusd_p"}]}'


def plan(body: bytes = LISTED, **settings: Any) -> Plan:
    generator = discover("fmex", FmexSettings(**settings))
    call = next(generator)
    assert (call.channel, call.url) == ("rest:symbols", "https://api.fmex.com/v2/public/contracts/symbols")
    with pytest.raises(StopIteration) as done:
        generator.send(RestAnswer(200, {}, body, T * 1_000_000))
    result: Plan = done.value.value
    return result


def channels(found: Plan) -> dict[str, tuple[str, ...]]:
    return {one.channel: one.symbols for line in found.lines for one in line.subscriptions}


def test_streams_map_to_the_venues_channels() -> None:
    found = plan(symbols=("*",), candles=("1m", "1mo"))
    both = ("btcusd_p", "ethusd_p")
    assert channels(found) == {
        "trade": both,
        "depth-delta.L150": both,
        "ticker": both,
        "candle.M1": both,
        "candle.MN": both,
    }
    (connection,) = found.connections
    assert connection.header.own["delta_level"] == "L150"
    assert connection.header.symbols == tuple(both)
    assert not found.polls
    assert len(found.instruments) == 2


def test_whole_books_need_no_chain() -> None:
    found = plan(books="L20", streams=("books",))
    assert channels(found) == {"depth.L20": ("btcusd_p",)}
    assert "delta_level" not in found.connections[0].header.own


def test_states_and_rates_are_polled() -> None:
    found = plan(streams=("derivatives", "rates"))
    assert not found.connections
    assert channels(found) == {"states": ("btcusd_p",), "indexes": ("*",), "fex": ("*",)}
    assert found.polls[0].header.own["streams"] == ["derivatives", "rates", "rates"]


def test_index_topics_are_subscribed_on_the_first_connection() -> None:
    found = plan(streams=("rates",), index_topics=(".BTCUSD_SPOT",))
    assert channels(found)["index"] == (".btcusd_spot",)
    assert found.connections[0].header.symbols == (".btcusd_spot",)


def test_many_topics_are_spread_over_connections() -> None:
    settings = FmexSettings(topics_per_connection=8, connections=3)
    symbols = [f"s{number}" for number in range(6)]
    assert spread(symbols, settings) == [["s0", "s3"], ["s1", "s4"], ["s2", "s5"]]
    assert len(spread(symbols * 10, settings)) == 3
    assert spread([], settings) == [()]


def test_a_symbol_that_is_not_there_is_told_and_the_rest_goes_on() -> None:
    found = plan(symbols=("btcusd_p", "nosuch_p"))
    assert [problem.subject for problem in found.problems] == ["nosuch_p"]
    assert channels(found)["trade"] == ("btcusd_p",)


def test_a_list_that_is_none_asks_whether_the_address_is_right() -> None:
    generator = discover("fmex", FmexSettings())
    next(generator)
    with pytest.raises(VenueError, match="is rest_url right") as failed:
        generator.send(RestAnswer(200, {}, b'{"data":7}', 0))
    assert failed.value.permanent


def test_the_same_list_gives_the_same_plan() -> None:
    assert plan(streams=("trades", "rates")) == plan(streams=("trades", "rates"))


def test_limits_stay_below_the_venues_and_its_history_is_told() -> None:
    limits = ADAPTER.begin("v", FmexSettings()).limits()
    assert limits.rest_per_second * 11 < 100
    assert ADAPTER.historic == {"trades", "candles"}

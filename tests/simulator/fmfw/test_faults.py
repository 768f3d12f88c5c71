"""Every fault, seen by a client that was subscribed when it struck."""

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest
import websockets

from collector.simulator.fmfw.faults import KINDS
from collector.simulator.fmfw.faults import faults as fmfw_faults
from collector.simulator.fmfw.venue import FmfwVenue
from collector.simulator.kit.faults import FaultError
from tests.simulator.conftest import Connect, Eventually, RestClient, SocketClient

BAD_FRAMES = ("wrong_types", "nan_price", "long_numbers", "negative_size", "year_9999")


@pytest.fixture
async def book(client: SocketClient) -> Any:
    """A client that is subscribed to one full book."""
    await client.ask("subscribe", "orderbook/full", symbols=["BTCUSDT"])
    await client.receive()
    return client


async def updates(venue: FmfwVenue, client: SocketClient, symbol: Any = "BTCUSDT", events: Any = 100) -> Any:
    """Make events and give the payloads of the symbol that arrived."""
    venue.step(events)
    return [message["update"][symbol] for message in await client.drain() if symbol in message.get("update", ())]


async def test_a_skipped_sequence_leaves_a_hole_and_the_book_goes_on(
    venue: FmfwVenue, rest: RestClient, book: Any
) -> None:
    before = venue.exchange.markets["BTCUSDT"].sequence
    assert (await rest.post("/_sim/faults", fault="skip_sequence", symbol="BTCUSDT", count=2))[0] == 200
    numbers = [update["s"] for update in await updates(venue, book)]
    assert numbers[0] == before + 3
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    rows = (await rest.get("/_sim/ledger", stream="books", symbol="BTCUSDT"))["rows"]
    assert [row[0] for row in rows] == [before, *numbers]


async def test_a_repeated_update_comes_twice_and_counts_once(venue: FmfwVenue, rest: RestClient, book: Any) -> None:
    venue.fault("repeat_update")
    sent = await updates(venue, book)
    assert sent[0] == sent[1] != sent[2]
    counts = (await rest.get("/_sim/ledger", summary=1))["sent"]["orderbook/full"]["BTCUSDT"]
    assert counts["items"] == counts["distinct"] + 1 == len(sent) + 1


async def test_a_zero_level_is_in_the_snapshot_and_not_in_the_book(
    venue: FmfwVenue, client: SocketClient, rest: RestClient
) -> None:
    venue.fault("zero_level_in_snapshot", symbol="ETHBTC")
    await client.ask("subscribe", "orderbook/full", symbols=["ETHBTC"])
    asks = (await client.receive())["snapshot"]["ETHBTC"]["a"]
    zeros = [level for level in asks if not Decimal(level[1])]
    assert len(zeros) == 1
    current = (await rest.get("/_sim/ledger", stream="books", symbol="ETHBTC"))["current"]
    assert [level for level in asks if level not in zeros] == current["a"]


async def test_an_unknown_level_is_removed(venue: FmfwVenue, book: Any) -> None:
    known = dict(book.messages[-1]["snapshot"]["BTCUSDT"]["a"])
    venue.fault("remove_unknown_level", symbol="BTCUSDT")
    first = (await updates(venue, book))[0]
    price, size = first["a"][-1]
    assert size == "0"
    assert price not in known


async def test_repeated_trades_come_twice(venue: FmfwVenue, client: SocketClient) -> None:
    await client.ask("subscribe", "trades", symbols=["BTCUSDT"])
    venue.fault("repeat_trades")
    sent = await updates(venue, client, events=200)
    assert sent[0] == sent[1] != sent[2]


@pytest.mark.parametrize("channel", ["ticker/1s", "orderbook/top/100ms/batch"])
async def test_tickers_lose_their_prices(venue: FmfwVenue, client: SocketClient, channel: Any) -> None:
    venue.fault("null_fields", symbol="BTCUSDT", channel=channel)
    await client.ask("subscribe", channel, symbols=["BTCUSDT"])
    state = (await client.receive())["data"]["BTCUSDT"]
    assert {state[key] for key in "aAbB"} == {None}
    venue.step(200)
    venue.close_periods()
    assert None not in (await client.receive())["data"]["BTCUSDT"].values()


async def test_tickers_of_rest_lose_their_prices(venue: FmfwVenue, rest: RestClient) -> None:
    venue.fault("null_fields", symbol="BTCUSDT", channel="rest", count=2)
    assert (await rest.get("ticker/BTCUSDT"))["last"] is None
    both = await rest.get("ticker", symbols="BTCUSDT,ETHBTC")
    assert (both["BTCUSDT"]["ask"], both["ETHBTC"]["ask"] is None) == (None, False)
    assert (await rest.get("ticker/BTCUSDT"))["last"] is not None


async def test_unknown_fields_are_everywhere_and_change_nothing_else(
    venue: FmfwVenue, client: SocketClient, rest: RestClient
) -> None:
    venue.fault("unknown_fields", symbol="BTCUSDT")
    for channel in ("trades", "orderbook/full", "candles/M1"):
        await client.ask("subscribe", channel, symbols=["BTCUSDT"])
    venue.step(100)
    messages = [message for message in await client.drain() if "ch" in message]
    assert all("zz_unknown" in message for message in messages)
    trades = [trade for message in messages if message["ch"] == "trades" for trade in message["update"]["BTCUSDT"]]
    assert trades
    assert all("zz_unknown" in trade for trade in trades)
    rows = await rest.get("/_sim/ledger", stream="trades", symbol="BTCUSDT")
    assert [trade["i"] for trade in trades] == [row[0] for row in rows["rows"][rows["live_from_index"] :]]


async def test_requests_are_refused_with_429(client: SocketClient, rest: RestClient) -> None:
    await rest.post("/_sim/faults", fault="429", channel="rest", count=1)
    assert (await rest.ask("symbol"))[0] == 429
    assert (await rest.ask("symbol"))[0] == 200
    await rest.post("/_sim/faults", fault="429", channel="socket", count=1)
    assert (await client.ask("subscribe", "trades", symbols=["BTCUSDT"]))["error"]["code"] == 429
    assert "result" in await client.ask("subscribe", "trades", symbols=["BTCUSDT"])


@pytest.mark.parametrize("status", [500, 503, 504])
async def test_rest_is_out_of_service_until_the_fault_is_cleared(rest: RestClient, status: Any) -> None:
    await rest.post("/_sim/faults", fault="5xx", status=status)
    for _ in range(3):
        got, answer = await rest.ask("symbol")
        assert (got, answer["error"]["code"]) == (status, status)
    assert await rest.delete("/_sim/faults") == {"cleared": 1}
    assert (await rest.ask("symbol"))[0] == 200


async def test_a_refused_symbol_takes_its_request_with_it(venue: FmfwVenue, client: SocketClient) -> None:
    venue.fault("refuse_symbol", symbol="ETHBTC")
    answer = await client.ask("subscribe", "trades", symbols=["BTCUSDT", "ETHBTC"])
    assert answer["error"]["code"] == 2001
    assert "ETHBTC" in answer["error"]["message"]
    answer = await client.ask("subscribe", "trades", symbols=["BTCUSDT"])
    assert answer["result"]["subscriptions"] == ["BTCUSDT"]


async def test_late_acks_come_after_data_of_other_channels(venue: FmfwVenue, book: Any) -> None:
    venue.fault("late_acks", channel="trades", delay=0.15)
    await book.send(method="subscribe", ch="trades", params={"symbols": ["BTCUSDT"], "limit": 1}, id="late")
    venue.step(50)
    while book.messages[-1].get("id") != "late":
        await book.receive()
    kinds = [message.get("ch") or "ack" for message in book.messages[2:]]
    assert kinds[0] == "orderbook/full"
    assert kinds[-1] == "ack"
    assert set(kinds[:-1]) == {"orderbook/full"}
    assert "snapshot" in await book.receive()


async def test_reordered_acks_come_last_first_and_before_their_data(venue: FmfwVenue, client: SocketClient) -> None:
    venue.fault("reordered_acks", count=3)
    channels = ["trades", "candles/M1", "orderbook/full"]
    for number, channel in enumerate(channels):
        await client.send(method="subscribe", ch=channel, params={"symbols": ["BTCUSDT"], "limit": 2}, id=number)
    while len(client.messages) < 6:
        await client.receive()
    assert [message["id"] for message in client.messages if "id" in message] == [2, 1, 0]
    order = [message["result"]["ch"] if "result" in message else message["ch"] for message in client.messages]
    assert order == [channel for channel in reversed(channels) for _ in range(2)]


async def test_a_cut_ends_the_connection_without_a_close_frame(
    venue: FmfwVenue, connect: Connect, rest: RestClient
) -> None:
    one, other = await connect(), await connect()
    await one.ask("subscribe", "trades", symbols=["BTCUSDT"])
    _, answer = await rest.post("/_sim/faults", fault="cut", channel="trades")
    assert answer["hit"] == 1
    with pytest.raises(websockets.ConnectionClosedError) as caught:
        await one.receive()
    assert caught.value.rcvd is None
    assert venue.closed == {"cut": 1}
    await other.ask("subscriptions", "trades")


@pytest.mark.parametrize("settings", [{"ping_every": 0.02}])
async def test_a_frozen_connection_is_open_and_silent_pings_too(
    venue: FmfwVenue, book: Any, eventually: Eventually
) -> None:
    venue.fault("freeze", seconds=0.3)
    lost_from = venue.exchange.markets["BTCUSDT"].sequence + 1
    counted = venue.ledger.totals()["frames"]
    venue.step(100)
    assert venue.ledger.totals()["frames"] == counted
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.15):
            await (await book.socket.ping())
    await eventually(lambda: not any(connection.frozen for connection in venue.connections))
    sent = await updates(venue, book)
    assert sent[0]["s"] > lost_from


async def test_a_frozen_connection_does_not_answer_a_close(
    venue: FmfwVenue, client: SocketClient, eventually: Eventually
) -> None:
    venue.fault("freeze")
    client.socket.close_timeout = 0.2
    await client.socket.close()
    assert client.socket.protocol.close_rcvd is None
    await eventually(lambda: not venue.connections)


async def test_new_sockets_are_refused_while_the_old_ones_stay(
    venue: FmfwVenue, client: SocketClient, connect: Connect
) -> None:
    venue.fault("refuse_connections", count=1, status=504)
    with pytest.raises(websockets.InvalidStatus, match="504"):
        await connect()
    await connect()
    await client.ask("subscriptions", "trades")


@pytest.mark.slow
async def test_a_huge_snapshot_is_megabytes_and_the_book_goes_on_from_it(
    venue: FmfwVenue, book: Any, rest: RestClient
) -> None:
    venue.fault("huge_snapshot", symbol="BTCUSDT")
    text = await book.socket.recv()
    assert len(text) > 2_000_000
    snapshot = json.loads(text)["snapshot"]["BTCUSDT"]
    sent = await updates(venue, book)
    assert sent[0]["s"] == snapshot["s"] + 1
    status, whole = await rest.ask("orderbook/BTCUSDT", depth=0)
    assert (status, len(whole["ask"]) > 60_000) == (200, True)


async def test_garbage_is_not_json_and_is_counted_as_injected(
    venue: FmfwVenue, client: SocketClient, rest: RestClient
) -> None:
    await client.ask("subscribe", "trades", symbols=["BTCUSDT"])
    for fault in ("garbage", "truncated"):
        _, answer = await rest.post("/_sim/faults", fault=fault, count=2)
        assert answer["hit"] == 2
        for _ in range(2):
            with pytest.raises(ValueError, match=r"Expecting|Unterminated|delimiter"):
                json.loads(await client.socket.recv())
    ledger = await rest.get("/_sim/ledger", stream="injected")
    assert [row[:5] for row in ledger["rows"]] == [
        [fault, "trades", "BTCUSDT", 1, 1] for fault in ("garbage", "garbage", "truncated", "truncated")
    ]
    totals = (await rest.get("/_sim/ledger", summary=1))["totals"]
    assert (totals["injected_frames"], totals["injected_items"], totals["frames"]) == (4, 4, 0)


@pytest.mark.parametrize("channel", ["trades", "candles/M1", "ticker/1s", "ticker/price/1s", "orderbook/top/100ms"])
@pytest.mark.parametrize("fault", BAD_FRAMES)
async def test_a_bad_frame_is_like_a_good_one_but_for_one_thing(
    venue: FmfwVenue, client: SocketClient, fault: Any, channel: Any
) -> None:
    def item_of(message: Any) -> Any:
        ((_, item),) = message[next(key for key in ("update", "data") if key in message)].items()
        return item[0] if isinstance(item, list) else item

    await client.ask("subscribe", channel, symbols=["BTCUSDT"])
    while not venue.exchange.step(venue.now_ms()).trades:
        pass
    venue.step(100)
    venue.close_periods()
    good = [message for message in await client.drain() if "snapshot" not in message][-1]
    venue.fault(fault, channel=channel, symbol="BTCUSDT")
    bad = await client.receive()
    assert list(bad) == list(good)
    assert bad["ch"] == good["ch"]
    assert set(item_of(bad)) == set(item_of(good))
    spoilt = {
        "wrong_types": lambda value: not isinstance(value, str | int),
        "nan_price": lambda value: value == "NaN",
        "long_numbers": lambda value: len(str(value)) >= 30,
        "negative_size": lambda value: str(value).startswith("-"),
        "year_9999": lambda value: isinstance(value, int) and value > 253_000_000_000_000,
    }[fault]
    assert any(map(spoilt, item_of(bad).values()))
    assert not any(map(spoilt, item_of(good).values())) or fault == "negative_size"


async def test_unknown_channels_and_symbols_are_sent(venue: FmfwVenue, client: SocketClient) -> None:
    await client.ask("subscribe", "trades", symbols=["BTCUSDT"])
    venue.fault("unknown_channel")
    venue.fault("unknown_symbol")
    channel, symbol = await client.receive(), await client.receive()
    assert channel["ch"] == "weather/1s"
    assert list(symbol["update"]) == ["NOSUCHUSDT"]


async def test_a_fault_that_makes_no_sense_is_refused_with_a_reason(rest: RestClient) -> None:
    for body, reason in (
        ({"fault": "earthquake"}, "no fault is called"),
        ({}, "say which"),
        ({"fault": "skip_sequence", "symbol": "NOSUCH"}, "no symbol is called"),
        ({"fault": "nan_price", "channel": "weather"}, "no channel is called"),
        ({"fault": "late_acks", "delay": "long"}, "delay of late_acks must be a number"),
        ({"fault": "skip_sequence", "count": 0}, "count of skip_sequence must be"),
        ({"fault": "skip_sequence", "count": 1.5}, "count of skip_sequence must be"),
        ({"fault": "cut", "seconds": True}, "seconds of cut must be"),
        ({"fault": "nan_price", "channel": ["trades"]}, "no channel is called"),
        ({"fault": "nan_price", "channel": "rest"}, "a channel of the socket"),
        ({"fault": "nan_price", "channel": "orderbook/full"}, "no bad frames are made"),
    ):
        status, answer = await rest.post("/_sim/faults", **body)
        assert status == 400
        assert reason in answer["error"]
    assert (await rest.get("/_sim/faults"))["armed"] == []


async def test_faults_are_listed_with_what_they_mean(venue: FmfwVenue, rest: RestClient) -> None:
    venue.fault("skip_sequence", symbol="BTCUSDT", count=3)
    listing = await rest.get("/_sim/faults")
    assert set(listing["known"]) == set(KINDS)
    assert [(one["fault"], one["symbol"], one["left"]) for one in listing["armed"]] == [("skip_sequence", "BTCUSDT", 3)]


def test_an_armed_fault_ends_by_count_or_by_time() -> None:
    now = 100.0
    faults = fmfw_faults(lambda: now)
    faults.ask("skip_sequence", symbol="A", count=2)
    faults.ask("5xx", seconds=5)
    assert faults.take("skip_sequence", "B") is None
    assert [faults.take("skip_sequence", "A") is not None for _ in range(3)] == [True, True, False]
    assert faults.take("5xx") is not None
    now = 105.0
    assert faults.take("5xx") is None
    assert faults.listing() == []
    with pytest.raises(FaultError):
        faults.ask("earthquake")

"""The socket as an independent client sees it."""

import asyncio
from typing import Any

import aiohttp
import pytest
import websockets

from collector.simulator.fmfw.venue import FmfwVenue
from tests.kit.known import known
from tests.simulator.conftest import Connect, Eventually, RestClient, SocketClient


async def test_nothing_is_sent_before_a_request(client: SocketClient) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await client.receive()


async def test_an_acknowledgement_lists_the_whole_set_in_an_order_of_its_own(client: SocketClient) -> None:
    symbols = ["BTCUSDT", "ETHBTC", "EOSUSDT", "NEOBTC", "BTCUSDT_PERP"]
    first = await client.ask("subscribe", "trades", symbols=symbols[:2])
    assert set(first) == {"result", "id"}
    second = await client.ask("subscribe", "trades", symbols=symbols[2:])
    assert set(first["result"]["subscriptions"]) == set(symbols[:2])
    assert sorted(second["result"]["subscriptions"]) == sorted(symbols)
    assert second["result"]["subscriptions"] != symbols
    assert set(second["result"]) == {"ch", "subscriptions"}


async def test_unsubscribe_answers_with_what_is_left_and_ends_the_data(venue: FmfwVenue, client: SocketClient) -> None:
    await client.ask("subscribe", "orderbook/full", symbols=["BTCUSDT", "ETHBTC"])
    answer = await client.ask("unsubscribe", "orderbook/full", symbols=["BTCUSDT"])
    assert answer["result"]["subscriptions"] == ["ETHBTC"]
    venue.step(300)
    updated = {symbol for message in await client.drain() for symbol in message.get("update", ())}
    assert updated == {"ETHBTC"}
    assert (await client.ask("subscriptions", "orderbook/full"))["result"]["subscriptions"] == ["ETHBTC"]


async def test_a_request_without_id_is_done_and_not_answered(venue: FmfwVenue, client: SocketClient) -> None:
    await client.send(method="subscribe", ch="trades", params={"symbols": ["BTCUSDT"]})
    answer = await client.ask("subscriptions", "trades")
    assert answer["result"]["subscriptions"] == ["BTCUSDT"]
    assert client.messages == [answer]


@pytest.mark.parametrize("request_id", [0, 7, "seven"])
async def test_an_id_comes_back_as_it_was_sent(client: SocketClient, request_id: Any) -> None:
    await client.send(method="subscriptions", ch="trades", id=request_id)
    assert (await client.receive())["id"] == request_id


@pytest.mark.parametrize(
    ("method", "ch", "params", "code"),
    [
        ("subscribe", "trades", {"symbols": ["BTCUSDT", "NOSUCH"]}, 2001),
        ("subscribe", "trades", {"symbols": ["*"]}, 2001),
        ("subscribe", "candles/M1", {"symbols": ["*"]}, 2001),
        ("subscribe", "orderbook/full", {"symbols": ["*"]}, 2001),
        ("subscribe", "futures/info", {"symbols": ["BTCUSDT"]}, 2001),
        ("subscribe", "price/rate/1s", {"currencies": ["NOSUCH"], "target_currency": "USDT"}, 2002),
        ("subscribe", "price/rate/1s", {"currencies": ["BTC"], "target_currency": "NOSUCH"}, 2002),
        ("subscribe", "converted/candles/M1", {"symbols": ["BTCUSDT"]}, 10001),
        ("subscribe", "trades", {}, 10001),
        ("subscribe", "trades", {"symbols": []}, 10001),
        ("subscribe", "trades", {"symbols": [5]}, 10001),
        ("subscribe", "trades", {"symbols": ["BTCUSDT"], "limit": 1001}, 10001),
        ("subscribe", "trades", {"symbols": ["BTCUSDT"], "limit": "5"}, 10001),
        ("subscribe", "weather", {"symbols": ["BTCUSDT"]}, 10001),
        ("login", "trades", {}, 404),
    ],
)
async def test_a_bad_request_is_refused_whole_and_without_a_channel(
    client: SocketClient, method: Any, ch: Any, params: Any, code: Any
) -> None:
    answer = await client.ask(method, ch, **params)
    assert set(answer) == {"error", "id"}
    assert answer["error"]["code"] == code
    assert answer["error"]["message"]
    assert (await client.ask("subscriptions", "trades"))["result"]["subscriptions"] == []


@pytest.mark.parametrize("text", ["not json", "[]", '"text"', "{}"])
async def test_a_message_that_is_no_request_gets_an_error(client: SocketClient, text: Any) -> None:
    await client.socket.send(text)
    assert "error" in await client.receive()


async def test_keys_that_the_venue_does_not_know_are_ignored(client: SocketClient) -> None:
    await client.send(method="subscribe", ch="trades", params={"symbols": ["BTCUSDT"]}, limit=100, id=3)
    assert (await client.receive())["result"]["subscriptions"] == ["BTCUSDT"]


async def test_snapshots_come_only_when_asked_for(venue: FmfwVenue, client: SocketClient) -> None:
    for channel in ("trades", "candles/M1"):
        await client.ask("subscribe", channel, symbols=["BTCUSDT"])
    await client.ask("subscribe", "orderbook/full", symbols=["BTCUSDT"])
    before = await client.drain()
    assert [(message["ch"], "snapshot" in message) for message in before] == [("orderbook/full", True)]


async def test_a_trades_snapshot_has_the_last_ones_oldest_first(venue: FmfwVenue, client: SocketClient) -> None:
    await client.ask("subscribe", "trades", symbols=["BTCUSDT"], limit=1000)
    trades = (await client.receive())["snapshot"]["BTCUSDT"]
    log = venue.exchange.markets["BTCUSDT"].trades
    assert len(trades) == min(1000, log.end)
    assert [trade["i"] for trade in trades] == [log[index].id for index in range(log.end - len(trades), log.end)]


async def test_a_candles_snapshot_has_the_last_bars_ascending(venue: FmfwVenue, client: SocketClient) -> None:
    await client.ask("subscribe", "candles/M5", symbols=["BTCUSDT"], limit=6)
    bars = (await client.receive())["snapshot"]["BTCUSDT"]
    assert [bar["t"] for bar in bars] == [bar.start for bar in venue.exchange.markets["BTCUSDT"].series.bars("M5")][-6:]


@pytest.mark.parametrize("settings", [{"ids": "time"}])
async def test_socket_ids_can_equal_the_time_while_rest_has_real_ones(
    venue: FmfwVenue, client: SocketClient, rest: RestClient
) -> None:
    await client.ask("subscribe", "trades", symbols=["BTCUSDT"], limit=5)
    sent = (await client.receive())["snapshot"]["BTCUSDT"]
    listed = await rest.get("trades/BTCUSDT", limit=5)
    assert all(trade["i"] == trade["t"] for trade in sent)
    assert all(trade["id"] < 10**10 for trade in listed)
    await rest.post("/_sim/ids", ids="real")
    await client.ask("subscribe", "trades", symbols=["BTCUSDT"], limit=5)
    sent = (await client.receive())["snapshot"]["BTCUSDT"]
    assert [trade["i"] for trade in sent] == [trade["id"] for trade in reversed(listed)]


@pytest.mark.parametrize("settings", [{"ack_delay": (0.05, 0.06)}])
async def test_acknowledgements_can_always_take_their_time(venue: FmfwVenue, client: SocketClient) -> None:
    await client.send(method="subscribe", ch="orderbook/full", params={"symbols": ["BTCUSDT"]}, id=1)
    venue.step(50)
    assert "result" in await client.receive()
    assert "snapshot" in await client.receive()


@pytest.mark.parametrize("settings", [{"socket_limit": 20}])
async def test_the_limit_is_shared_by_all_sockets_of_an_address(connect: Connect) -> None:
    one, two = await connect(), await connect()
    answers = []
    for number in range(15):
        for client in (one, two):
            await client.send(method="subscriptions", ch="trades", id=number)
    for client in (one, two):
        answers += [await client.receive() for _ in range(15)]
    refused = [answer for answer in answers if "error" in answer]
    assert len(refused) == 10
    assert all(answer["error"]["code"] == 429 and "id" in answer for answer in refused)


@pytest.mark.parametrize("settings", [{"most_connections": 2}])
async def test_an_address_has_only_so_many_connections(
    venue: FmfwVenue, connect: Connect, eventually: Eventually
) -> None:
    first = await connect()
    await connect()
    with pytest.raises(websockets.InvalidStatus, match="429"):
        await connect()
    await first.socket.close()
    await eventually(lambda: venue.connections_of("127.0.0.1") == 1)
    await connect()


@pytest.mark.parametrize("settings", [{"ping_every": 0.05, "pong_timeout": 0.05}])
async def test_pings_come_and_a_client_that_answers_stays(venue: FmfwVenue, client: SocketClient) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(venue.address["ws_url"], autoping=False) as deaf:
        assert (await deaf.receive(timeout=5)).type == aiohttp.WSMsgType.PING
        while (await deaf.receive(timeout=5)).type == aiohttp.WSMsgType.PING:
            pass
        assert deaf.closed
    assert venue.closed == {"no_pong": 1}
    await client.ask("subscriptions", "trades")


async def test_a_ping_of_the_client_is_answered(client: SocketClient) -> None:
    async with asyncio.timeout(5):
        await (await client.socket.ping(b"hello"))


@pytest.mark.parametrize("settings", [{"buffer_limit": 100_000}])
async def test_a_client_that_does_not_read_is_disconnected(venue: FmfwVenue) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(venue.address["ws_url"], timeout=aiohttp.ClientWSTimeout(ws_close=0.1)) as lazy,
    ):
        await lazy.send_json(
            {"method": "subscribe", "ch": "orderbook/full", "params": {"symbols": ["BTCUSDT"]}, "id": 1}
        )
        await lazy.receive(timeout=5)
        known(known(lazy._conn).transport).pause_reading()
        async with asyncio.timeout(10):
            while venue.connections:
                venue.fault("huge_snapshot", symbol="BTCUSDT", levels=1000)
                await asyncio.sleep(0)
    assert venue.closed == {"slow": 1}


async def test_a_closed_socket_leaves_nothing_behind(
    venue: FmfwVenue, connect: Connect, eventually: Eventually
) -> None:
    client = await connect()
    await client.ask("subscribe", "trades", symbols=["BTCUSDT"])
    await client.socket.close()
    await eventually(lambda: not venue.connections)
    assert all(not topic.subscribers for topic in venue.hub.topics.values())
    assert venue.closed == {"client": 1}


@pytest.mark.parametrize("settings", [{"running": True}])
async def test_the_market_moves_by_itself_until_it_is_paused(
    venue: FmfwVenue, client: SocketClient, rest: RestClient
) -> None:
    await rest.post("/_sim/rate", rate=2000)
    await client.ask("subscribe", "orderbook/full", symbols=["BTCUSDT"])
    for _ in range(50):
        await client.receive()
    status, state = await rest.post("/_sim/market", running=False)
    assert (status, state["running"], state["rate"]) == (200, False, 2000)
    events = state["events"]
    await client.drain()
    assert (await rest.get("/_sim/state"))["events"] == events
    await rest.post("/_sim/market", running=True)
    await client.until(lambda message: "update" in message)

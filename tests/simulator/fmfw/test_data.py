"""What the socket sends agrees: with itself, with REST, with the ledger, and in shape with the real venue."""

import asyncio
import json
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from collector.simulator.fmfw.text import levels_checksum
from collector.simulator.fmfw.venue import FmfwVenue
from tests.simulator.conftest import RestClient, SocketClient

CAPTURE = Path(__file__).parents[4] / "shared" / "captures" / "fmfw-2021-10-09-socket.ndjson"
AT_ONCE = ("trades", "candles/M1", "candles/H1", "orderbook/full")


def compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


@pytest.mark.slow
async def test_everything_that_is_sent_agrees(venue: FmfwVenue, client: SocketClient, rest: RestClient) -> None:
    symbols = list(venue.exchange.markets)
    for channel in AT_ONCE:
        await client.ask("subscribe", channel, symbols=symbols)
    for _ in range(20):
        venue.step(200)
        await asyncio.sleep(0)
    venue.pause()
    messages = [message for message in client.messages if "ch" in message] + await client.drain()

    trades: defaultdict[str, list[Any]] = defaultdict(list)
    bars: defaultdict[tuple[str, str], dict[str, Any]] = defaultdict(dict)
    books: dict[str, dict[str, dict[str, str]]] = {}
    sequences: dict[str, int] = {}
    for message in messages:
        for symbol, items in (message.get("snapshot") or message["update"]).items():
            match message["ch"]:
                case "trades":
                    trades[symbol] += items
                case "orderbook/full":
                    if "snapshot" in message:
                        books[symbol] = {"a": dict(items["a"]), "b": dict(items["b"])}
                        assert all(Decimal(size) for side in "ab" for _, size in items[side])
                    else:
                        assert items["s"] == sequences[symbol] + 1
                        for side in "ab":
                            for price, size in items[side]:
                                if size == "0":
                                    del books[symbol][side][price]
                                else:
                                    books[symbol][side][price] = size
                        assert max(map(Decimal, books[symbol]["b"])) < min(map(Decimal, books[symbol]["a"]))
                    sequences[symbol] = items["s"]
                case channel:
                    for bar in items:
                        bars[channel, symbol][bar["t"]] = bar

    for symbol in symbols:
        rows = await rest.get("/_sim/ledger", stream="trades", symbol=symbol)
        live = rows["rows"][rows["live_from_index"] :]
        assert [[t["i"], t["t"], t["p"], t["q"], t["s"]] for t in trades[symbol]] == live
        if live:
            assert rows["sent"] == [[rows["live_from_index"], rows["total"]]]
        listed = (
            await rest.get(f"trades/{symbol}", sort="ASC", limit=1000, by="id", **{"from": live[0][0]}) if live else []
        )
        assert [[int(t["id"]), t["price"], t["qty"], t["side"]] for t in listed] == [
            [row[0], row[2], row[3], row[4]] for row in live[:1000]
        ]
        for period in ("M1", "H1"):
            ledger = await rest.get("/_sim/ledger", stream="candles", symbol=symbol, period=period)
            by_start = {row[0]: row for row in ledger["rows"]}
            for start, bar in bars[f"candles/{period}", symbol].items():
                assert [bar[key] for key in "tochlvq"] == by_start[start][:7]
                assert json.loads(ledger["sent"][str(start)]) == bar
        book = (await rest.get("/_sim/ledger", stream="books", symbol=symbol))["current"]
        assert dict(book["a"]) == books[symbol]["a"]
        assert dict(book["b"]) == books[symbol]["b"]
        assert book["s"] == sequences[symbol]
    assert sum(map(len, trades.values())) > 1000


async def test_candles_are_the_sums_of_the_trades(venue: FmfwVenue, client: SocketClient) -> None:
    await client.ask("subscribe", "candles/M1", symbols=["ETHBTC"], limit=1)
    await client.ask("subscribe", "trades", symbols=["ETHBTC"])
    venue.step(2000)
    last, volume, value = None, Decimal(0), Decimal(0)
    checked = 0
    for message in [*client.messages, *await client.drain()]:
        if message.get("ch") == "trades":
            for trade in message["update"]["ETHBTC"]:
                volume += Decimal(trade["q"])
                value += Decimal(trade["q"]) * Decimal(trade["p"])
        elif message.get("ch") == "candles/M1":
            (bar,) = (message.get("snapshot") or message["update"])["ETHBTC"]
            if last is not None and last["t"] == bar["t"]:
                assert Decimal(bar["v"]) - Decimal(last["v"]) == volume
                assert Decimal(bar["q"]) - Decimal(last["q"]) == value
                checked += 1
            last, volume, value = bar, Decimal(0), Decimal(0)
    assert checked > 10


async def test_a_trade_is_followed_by_its_candle_and_its_book_update(venue: FmfwVenue, client: SocketClient) -> None:
    for channel in ("orderbook/full", "candles/M1", "trades"):
        await client.ask("subscribe", channel, symbols=["BTCUSDT"])
    await client.drain()
    venue.step(300)
    messages = await client.drain()
    positions = [number for number, message in enumerate(messages) if message["ch"] == "trades"]
    assert positions
    for number in positions:
        group = messages[number : number + 3]
        assert [message["ch"] for message in group] == ["trades", "candles/M1", "orderbook/full"]
        assert group[0]["update"]["BTCUSDT"][0]["t"] == group[2]["update"]["BTCUSDT"]["t"]


async def test_a_converted_candle_equals_its_rest_twin(
    venue: FmfwVenue, client: SocketClient, rest: RestClient
) -> None:
    ack = await client.ask("subscribe", "converted/candles/M1", symbols=["ETHBTC"], target_currency="USDT", limit=3)
    assert ack["result"]["target_currency"] == "USDT"
    venue.step(500)
    venue.pause()
    messages = await client.drain()
    assert all(message["target_currency"] == "USDT" for message in messages)
    sent = {bar["t"]: bar for message in messages for bar in (message.get("snapshot") or message["update"])["ETHBTC"]}
    answer = await rest.get("converted/candles/ETHBTC", target_currency="USDT", period="M1", limit=len(sent))
    assert [[bar["open"], bar["volume_quote"]] for bar in reversed(answer["data"])] == [
        [bar["o"], bar["q"]] for bar in sent.values()
    ]
    plain = await rest.get("candles/ETHBTC", period="M1", limit=1)
    btc = await rest.get("candles/BTCUSDT", period="M1", limit=10)
    before = next(bar["close"] for bar in btc if bar["timestamp"] < plain[0]["timestamp"])
    assert Decimal(answer["data"][0]["close"]) == Decimal(plain[0]["close"]) * Decimal(before)


DATA_CHANNELS = [
    ("ticker/1s", "taAbBochlvqpPL"),
    ("ticker/price/3s", "tochlvq"),
    ("orderbook/top/100ms", "taAbB"),
    ("orderbook/D5/100ms", "tsab"),
]


@pytest.mark.parametrize(("channel", "keys"), DATA_CHANNELS)
async def test_a_data_channel_sends_the_last_state_and_then_what_changed(
    venue: FmfwVenue, client: SocketClient, rest: RestClient, channel: Any, keys: Any
) -> None:
    await client.ask("subscribe", channel, symbols=["*"])
    first = await client.drain()
    assert [set(message) for message in first] == [{"ch", "data"}] * 12
    assert {symbol for message in first for symbol in message["data"]} == set(venue.exchange.markets)
    venue.close_periods()
    assert await client.drain() == []
    while not (event := venue.exchange.step(venue.now_ms())).trades:
        pass
    venue.close_periods()
    changed = await client.drain()
    assert event.market.symbol in {symbol for message in changed for symbol in message["data"]}
    for message in changed:
        ((symbol, state),) = message["data"].items()
        assert set(state) == set(keys)
        if channel == "orderbook/D5/100ms":
            rows = (await rest.get("/_sim/ledger", stream="books", channel=channel, symbol=symbol))["rows"]
            assert rows[-1] == [state["s"], state["t"], 1, levels_checksum(compact(state["a"]), compact(state["b"]))]
            assert len(state["a"]) == len(state["b"]) == 5
        else:
            rows = (await rest.get("/_sim/ledger", stream="ticks", channel=channel, symbol=symbol))["rows"]
            assert json.loads(rows[-1]) == state


async def test_the_first_state_is_a_fresh_one_when_nobody_listened(
    venue: FmfwVenue, client: SocketClient, rest: RestClient
) -> None:
    await client.ask("subscribe", "ticker/1s", symbols=["BTCUSDT"])
    old = (await client.receive())["data"]["BTCUSDT"]
    await client.ask("unsubscribe", "ticker/1s", symbols=["BTCUSDT"])
    venue.step(300)
    await client.ask("subscribe", "ticker/1s", symbols=["BTCUSDT"])
    new = (await client.receive())["data"]["BTCUSDT"]
    assert new["L"] > old["L"]
    assert new["c"] == (await rest.get("ticker/BTCUSDT"))["last"]


@pytest.mark.parametrize(("channel", "keys"), DATA_CHANNELS)
async def test_a_batch_channel_joins_the_symbols_of_a_period(
    venue: FmfwVenue, client: SocketClient, channel: Any, keys: Any
) -> None:
    await client.ask("subscribe", f"{channel}/batch", symbols=["BTCUSDT", "ETHBTC"])
    (first,) = await client.drain()
    assert set(first["data"]) == {"BTCUSDT", "ETHBTC"}
    venue.step(300)
    venue.close_periods()
    (message,) = await client.drain()
    assert set(message["data"]) == {"BTCUSDT", "ETHBTC"}
    assert set(message["data"]["BTCUSDT"]) == set(keys)


async def test_the_ticker_sums_up_what_was_traded(venue: FmfwVenue, client: SocketClient, rest: RestClient) -> None:
    venue.step(1000)
    await client.ask("subscribe", "ticker/1s", symbols=["BTCUSDT"])
    ticker = (await client.receive())["data"]["BTCUSDT"]
    rows = (await rest.get("/_sim/ledger", stream="trades", symbol="BTCUSDT"))["rows"]
    prices = [Decimal(row[2]) for row in rows]
    assert ticker["L"] == rows[-1][0]
    assert (ticker["o"], ticker["c"]) == (rows[0][2], rows[-1][2])
    assert (Decimal(ticker["h"]), Decimal(ticker["l"])) == (max(prices), min(prices))
    assert Decimal(ticker["v"]) == sum(Decimal(row[3]) for row in rows)
    assert Decimal(ticker["q"]) == sum(Decimal(row[2]) * Decimal(row[3]) for row in rows)
    assert Decimal(ticker["p"]) == Decimal(ticker["c"]) - Decimal(ticker["o"])
    assert float(ticker["P"]) == pytest.approx(float(ticker["p"]) / float(ticker["o"]) * 100)
    on_rest = await rest.get("ticker/BTCUSDT")
    assert [on_rest[name] for name in ("ask", "bid", "last", "open", "high", "low", "volume", "volume_quote")] == [
        ticker[key] for key in "abcohlvq"
    ]


async def test_price_rates_name_their_target(venue: FmfwVenue, client: SocketClient, rest: RestClient) -> None:
    ack = await client.ask("subscribe", "price/rate/1s", currencies=["ETH", "USDT"], target_currency="BTC")
    assert ack["result"]["target_currency"] == "BTC"
    messages = [await client.receive(), await client.receive()]
    assert [(message["ch"], message["target_currency"]) for message in messages] == [("price/rate/1s", "BTC")] * 2
    sent = {currency: rate["r"] for message in messages for currency, rate in message["data"].items()}
    answer = await rest.get("price/rate", to="BTC", **{"from": "ETH,USDT"})
    assert {currency: rate["price"] for currency, rate in answer.items()} == sent
    assert (await client.ask("subscriptions", "price/rate/1s"))["result"]["target_currency"] == "BTC"


async def test_futures_info_tells_each_kind_its_own(venue: FmfwVenue, client: SocketClient, rest: RestClient) -> None:
    await client.ask("subscribe", "futures/info", symbols=["*"])
    infos: dict[str, Any] = {}
    for _ in range(2):
        infos |= (await client.receive())["data"]
    assert set(infos["BTCUSDT_PERP"]) == set("ctmiopPrRIT")
    assert set(infos["ETH-1225"]) == set("ctmiose")
    assert infos["BTCUSDT_PERP"]["m"] == (await rest.get("futures/info/BTCUSDT_PERP"))["mark_price"]
    rows = (await rest.get("/_sim/ledger", stream="derivatives", symbol="BTCUSDT_PERP"))["rows"]
    assert json.loads(rows[-1]) == infos["BTCUSDT_PERP"]


@pytest.mark.skipif(not CAPTURE.exists(), reason="the captured traffic is not here")
async def test_messages_have_the_shapes_of_the_real_venue(venue: FmfwVenue, client: SocketClient) -> None:
    """Compares keys, their order and the types of values, by channel and kind of message."""

    def shape(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: shape(one) for key, one in value.items()}
        if isinstance(value, list):
            return [shape(value[0])] if value else []
        return type(value).__name__

    def shapes(messages: Any) -> Any:
        found: dict[tuple[Any, ...], str] = {}
        for message in messages:
            if "ch" in message:
                kind = next(key for key in ("snapshot", "update", "data") if key in message)
                for item in message[kind].values():
                    if isinstance(item, list) or all(item.get(side, True) for side in "ab"):
                        found.setdefault((message["ch"], kind, tuple(message)), json.dumps(shape(item)))
        return found

    frames = [json.loads(line) for line in CAPTURE.read_text().splitlines()]
    real = shapes(json.loads(frame["text"]) for frame in frames if frame["dir"] == "in")
    for channel in ("ticker/1s", "trades", "orderbook/full", "candles/M1"):
        await client.ask("subscribe", channel, symbols=["BTCUSDT"])
    venue.step(500)
    venue.close_periods()
    await client.drain()
    simulated = shapes(client.messages)
    assert simulated == real

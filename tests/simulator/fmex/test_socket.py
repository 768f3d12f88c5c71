"""The socket, as a client over `websockets` sees it: greeting, pings, topics, requests, books and faults."""

import asyncio
import json
import time
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
import websockets

from collector.simulator.fmex import FmexVenue

from .conftest import Connect, RestClient, SocketClient

DELTA = "depth-delta.L20.btcusd_p"


async def test_the_venue_speaks_first(connect: Connect) -> None:
    client = await connect()
    hello = await client.receive()
    assert hello["type"] == "hello"
    assert abs(hello["ts"] - time.time() * 1000) < 5000


async def test_a_ping_is_answered_with_the_difference_of_the_clocks(client: SocketClient) -> None:
    sent = int(time.time() * 1000) - 70_000
    answer = await client.ask("ping", sent)
    assert answer["type"] == "ping"
    assert answer["gap"] == answer["ts"] - sent
    assert answer["gap"] >= 70_000


async def test_a_ping_in_seconds_is_accepted_with_a_huge_gap(client: SocketClient) -> None:
    assert (await client.ask("ping", int(time.time())))["gap"] > 10**12


async def test_topics_are_listed_in_lower_case_all_of_the_connection(client: SocketClient) -> None:
    await client.ask("sub", "ticker.BTCUSD_P")
    answer = await client.ask("sub", "depth.L150.btcusd_p", "candle.MN.btcusd_p")
    assert answer["topics"] == ["ticker.btcusd_p", "depth.l150.btcusd_p", "candle.mn.btcusd_p"]
    assert (await client.ask("unsub", "ticker.btcusd_p"))["topics"] == ["depth.l150.btcusd_p", "candle.mn.btcusd_p"]
    assert (await client.ask("sub"))["topics"] == ["depth.l150.btcusd_p", "candle.mn.btcusd_p"]


@pytest.mark.parametrize("settings", [{"topics": "command"}])
async def test_a_switch_lists_the_topics_of_the_command_only(client: SocketClient) -> None:
    await client.ask("sub", "ticker.btcusd_p")
    assert (await client.ask("sub", "trade.btcusd_p"))["topics"] == ["trade.btcusd_p"]


async def test_one_wrong_topic_refuses_the_whole_command_without_a_type(client: SocketClient) -> None:
    answer = await client.ask("sub", "ticker.btcusd_p", "ticker.nosuch_p")
    assert answer == {"id": answer["id"], "status": 41002, "msg": "invalid sub topic, ticker.nosuch_p"}
    assert (await client.ask("sub"))["topics"] == []


async def test_more_than_twenty_topics_are_refused(client: SocketClient) -> None:
    assert (await client.ask("sub", *["ticker.btcusd_p"] * 21))["status"] == 41002


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"cmd":"fly"}',
        '{"cmd":"sub","args":7}',
        '{"cmd":"req","args":[]}',
        '{"cmd":"req","args":["ticker.btcusd_p",5]}',
        '{"cmd":"req","args":["trade.btcusd_p",0]}',
    ],
)
async def test_nonsense_is_refused_and_the_line_lives_on(client: SocketClient, text: str) -> None:
    await client.socket.send(text)
    assert (await client.receive())["status"] >= 40_000
    assert (await client.ask("ping", 1))["type"] == "ping"


async def test_each_trade_is_a_message_with_raw_numbers(venue: FmexVenue, client: SocketClient) -> None:
    await client.ask("sub", "trade.btcusd_p")
    before = venue.markets["btcusd_p"].end
    venue.step(200)
    told = [one for one in await client.drain() if one.get("type") == "trade.btcusd_p"]
    assert len(told) == venue.markets["btcusd_p"].end - before > 10
    assert all(set(one) == {"type", "id", "ts", "side", "price", "amount"} for one in told)
    assert [one["id"] for one in told] == sorted(one["id"] for one in told)


async def test_a_ticker_has_eleven_places_and_agrees_with_the_trades(venue: FmexVenue, client: SocketClient) -> None:
    await client.ask("sub", "ticker.btcusd_p")
    venue.step(50)
    venue.close_periods()
    said = await client.of_type("ticker.btcusd_p")
    market = venue.markets["btcusd_p"]
    assert len(said["ticker"]) == 11
    assert said["ticker"][0] * 2 == market.trades[-1].price
    assert said["ticker"][2] < said["ticker"][4]
    assert "ts" in said


@pytest.mark.parametrize("settings", [{"ticker_ts": False}])
async def test_a_switch_takes_the_time_out_of_tickers(venue: FmexVenue, client: SocketClient) -> None:
    await client.ask("sub", "ticker.btcusd_p")
    venue.step(50)
    venue.close_periods()
    assert "ts" not in await client.of_type("ticker.btcusd_p")
    assert not venue.ledger.ticks


def levels(flat: list[Any]) -> list[tuple[Decimal, Decimal]]:
    return list(zip(map(Decimal, map(str, flat[::2])), map(Decimal, map(str, flat[1::2])), strict=True))


async def test_changes_follow_the_whole_book_and_each_other(venue: FmexVenue, client: SocketClient) -> None:
    await client.send("sub", DELTA, id="x")
    whole = await client.of_type("depth.l20.btcusd_p")
    bids, asks = dict(levels(whole["bids"])), dict(levels(whole["asks"]))
    assert [len(bids), len(asks)] == [20, 20]
    last = whole["seq"]
    for _ in range(30):
        venue.step(5)
        venue.close_periods()
        for change in [one for one in await client.drain() if one.get("type") == "depth-delta.l20.btcusd_p"]:
            assert change["pre_seq"] == last < change["seq"]
            last = change["seq"]
            for side, name in ((bids, "bids"), (asks, "asks")):
                side.update(levels(change[name]))
                for price in [price for price, size in side.items() if not size]:
                    del side[price]
    view = venue.depth.views["l20", "btcusd_p"]
    assert bids == {Decimal(price) / 2: size for price, size in view.bids}
    assert asks == {Decimal(price) / 2: size for price, size in view.asks}
    assert last == view.seq > whole["seq"] + 30  # numbers jump


async def test_a_second_listener_begins_where_the_first_one_is(venue: FmexVenue, connect: Connect) -> None:
    first, second = await connect(), await connect()
    await first.send("sub", DELTA, id="x")
    await first.of_type("depth.l20.btcusd_p")
    venue.step(5)
    await second.send("sub", DELTA, id="x")
    whole = await second.of_type("depth.l20.btcusd_p")
    venue.step(5)
    venue.close_periods()
    follow = [await one.of_type("depth-delta.l20.btcusd_p") for one in (second,)]
    assert follow[0]["pre_seq"] == whole["seq"]
    changes = [one for one in await first.drain() if one.get("type") == "depth-delta.l20.btcusd_p"]
    assert changes[-1]["pre_seq"] == whole["seq"]


async def test_bars_are_told_again_and_again_with_growing_numbers(venue: FmexVenue, client: SocketClient) -> None:
    await client.ask("sub", "candle.M1.btcusd_p")
    told = []
    for _ in range(5):
        venue.step(40)
        venue.close_periods()
        told += [one for one in await client.drain() if one.get("type") == "candle.m1.btcusd_p"]
    assert len(told) >= 5
    assert all(earlier["seq"] <= later["seq"] for earlier, later in pairwise(told))
    assert set(told[0]) == {"type", "id", "seq", "open", "close", "high", "low", "count", "base_vol", "quote_vol"}


async def test_requests_give_trades_newest_first_and_bars_oldest_first_without_a_type(client: SocketClient) -> None:
    trades = await client.ask("req", "trade.btcusd_p", 30)
    assert set(trades) == {"id", "ts", "data"}
    ids = [one["id"] for one in trades["data"]]
    assert len(ids) == 30
    assert ids == sorted(ids, reverse=True)
    bars = await client.ask("req", "candle.M1.btcusd_p", 10)
    assert set(bars) == {"id", "data"}
    starts = [one["id"] for one in bars["data"]]
    assert starts == list(range(starts[0], starts[0] + 600, 60))
    earlier = await client.ask("req", "candle.M1.btcusd_p", 10, starts[0])
    assert earlier["data"][-1]["id"] == starts[0] - 60


async def test_index_topics_have_two_dots(venue: FmexVenue, client: SocketClient) -> None:
    await client.ask("sub", "index..btcusd_spot")
    venue.close_periods()
    said = await client.of_type("index..btcusd_spot")
    assert len(said["index"]) == 2


async def test_a_switch_echoes_the_case_of_the_subscription(
    client: SocketClient, venue: FmexVenue, rest: RestClient
) -> None:
    assert (await rest.post("/_sim/case", case="echo"))[0] == 200
    await client.send("sub", "depth-delta.L20.BTCUSD_P", "trade.BTCUSD_P", id="x")
    await client.of_type("depth.L20.BTCUSD_P")
    venue.step(30)
    venue.close_periods()
    kinds = {one.get("type") for one in await client.drain()}
    assert {"depth-delta.L20.BTCUSD_P", "trade.BTCUSD_P"} <= kinds


@pytest.mark.parametrize("settings", [{"ping_timeout": 0.2}])
async def test_who_never_pings_is_cut(client: SocketClient, venue: FmexVenue) -> None:
    await client.closed()
    assert venue.closed == {"no_ping": 1}


@pytest.mark.parametrize("settings", [{"ping_timeout": 0.4}])
async def test_who_pings_is_not_cut(client: SocketClient, venue: FmexVenue) -> None:
    for _ in range(5):
        await asyncio.sleep(0.15)
        await client.ask("ping", 1)
    assert not venue.closed


async def test_websocket_pings_are_answered(client: SocketClient) -> None:
    async with asyncio.timeout(5):
        await (await client.socket.ping())


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        ("skip_delta", "a hole"),
        ("broken_pre_seq", "a hole"),
        ("old_delta", "an old one"),
        ("crossed_delta", "crossed"),
    ],
)
async def test_books_break_on_request(venue: FmexVenue, client: SocketClient, fault: str, seen: str) -> None:
    await client.send("sub", DELTA, id="x")
    whole = await client.of_type("depth.l20.btcusd_p")
    last, found = whole["seq"], set()
    for number in range(4):
        if number == 1:
            venue.fault(fault, symbol="btcusd_p")
        venue.step(5)
        venue.close_periods()
        for change in [one for one in await client.drain() if one.get("type") == "depth-delta.l20.btcusd_p"]:
            if change["seq"] <= last:
                found.add("an old one")
            elif change["pre_seq"] != last:
                found.add("a hole")
            if change["bids"] and change["bids"][0] > max(whole["asks"][:2]) and not change["asks"]:
                found.add("crossed")
            last = max(last, change["seq"])
    assert seen in found


async def test_a_book_may_begin_with_a_change_hold_zeros_or_lack_its_whole(venue: FmexVenue, connect: Connect) -> None:
    venue.fault("delta_before_whole")
    venue.fault("zero_in_whole")
    client = await connect()
    await client.send("sub", DELTA, id="x")
    first = await client.until(lambda one: one.get("type", "").startswith("depth"))
    assert first["type"] == "depth-delta.l20.btcusd_p"
    whole = await client.of_type("depth.l20.btcusd_p")
    assert whole["bids"][-1] == 0
    venue.fault("no_whole", count=1)
    other = await connect()
    await other.ask("sub", DELTA)
    assert not [one for one in await other.drain() if one.get("type") == "depth.l20.btcusd_p"]
    assert venue.fault("whole_in_the_middle")["hit"] == 2
    await other.of_type("depth.l20.btcusd_p")


async def test_answers_fail_on_request(venue: FmexVenue, client: SocketClient) -> None:
    venue.fault("refuse_topic", symbol="btcusd_p", count=1)
    assert (await client.ask("sub", "trade.btcusd_p"))["status"] == 41002
    venue.fault("refuse_commands", count=1)
    assert (await client.ask("sub", "trade.btcusd_p"))["status"] == 50000
    venue.fault("null_id")
    await client.send("req", "trade.btcusd_p", 1, id="x")
    assert (await client.receive())["id"] is None
    venue.fault("no_answer", channel="ping", count=1)
    await client.send("ping", 1, id="lost")
    assert (await client.ask("ping", 1))["id"] != "lost"
    venue.fault("late_answers", channel="sub", delay=0.05, count=1)
    await client.send("sub", "ticker.btcusd_p", id="late")
    assert (await client.ask("ping", 1))["type"] == "ping"
    assert (await client.until(lambda one: one.get("id") == "late"))["topics"] == ["ticker.btcusd_p"]


async def test_a_silent_line_answers_nothing_until_it_is_over(venue: FmexVenue, client: SocketClient) -> None:
    venue.fault("silence", seconds=0.2)
    await client.send("ping", 1, id="unheard")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await client.socket.recv()
    await asyncio.sleep(0.2)
    assert (await client.ask("ping", 1))["id"] != "unheard"


async def test_a_cut_line_ends_without_a_close_frame(venue: FmexVenue, client: SocketClient) -> None:
    assert venue.fault("cut")["hit"] == 1
    with pytest.raises(websockets.ConnectionClosedError) as ended:
        await client.socket.recv()
    assert ended.value.rcvd is None


async def test_new_sockets_may_be_refused_or_not_greeted(venue: FmexVenue, connect: Connect) -> None:
    venue.fault("refuse_connections", count=1)
    with pytest.raises(websockets.InvalidStatus, match="503"):
        await connect()
    venue.fault("no_hello", count=1)
    client = await connect()
    assert (await client.ask("ping", 1))["type"] == "ping"


@pytest.mark.parametrize(
    "fault",
    [
        "garbage",
        "truncated",
        "wrong_types",
        "unknown_type",
        "nan_price",
        "long_numbers",
        "negative_amount",
        "year_9999",
        "unknown_symbol",
        "odd_list",
    ],
)
async def test_bad_frames_are_sent_on_request_and_counted(venue: FmexVenue, client: SocketClient, fault: str) -> None:
    await client.ask("sub", "trade.btcusd_p")
    assert venue.fault(fault)["hit"] == 1
    text = await client.socket.recv()
    assert venue.ledger.injected == {fault: 1}
    if fault not in ("garbage", "truncated"):
        json.loads(text)

"""The REST paths as an independent client sees them."""

import json
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from collector.simulator.fmfw.text import iso_time
from collector.simulator.fmfw.venue import FmfwVenue
from tests.simulator.conftest import RestClient

SYMBOL_CAPTURE = Path(__file__).parents[4] / "shared" / "captures" / "fmfw-2021-10-09-symbol.json"
PER_SYMBOL = ("symbol", "ticker", "price/ticker", "trades", "orderbook", "candles")
FUTURES = ("info", "candles/index_price", "candles/mark_price", "candles/premium_index", "candles/open_interest")


@pytest.mark.parametrize("path", PER_SYMBOL)
async def test_a_path_answers_for_all_for_some_and_for_one(venue: FmfwVenue, rest: RestClient, path: Any) -> None:
    everything = await rest.get(path)
    assert list(everything) == list(venue.exchange.markets)
    assert list(await rest.get(path, symbols="ETHBTC,BTCUSDT")) == ["ETHBTC", "BTCUSDT"]
    one = await rest.get(f"{path}/ETHBTC")
    assert type(one) is type(everything["ETHBTC"])
    if path not in ("trades", "candles", "orderbook"):
        assert one == everything["ETHBTC"]


@pytest.mark.parametrize("path", [f"futures/{one}" for one in FUTURES] + ["futures/history/funding"])
async def test_futures_paths_know_futures_alone(rest: RestClient, path: Any) -> None:
    assert list(await rest.get(path)) == ["BTCUSDT_PERP", "ETH-1225"]
    status, answer = await rest.ask(f"{path}/BTCUSDT")
    assert (status, answer["error"]["code"]) == (400, 2001)
    one = await rest.get(f"{path}/BTCUSDT_PERP")
    if path == "futures/history/funding":
        assert list(one) == ["BTCUSDT_PERP"]
        assert set(one["BTCUSDT_PERP"][0]) == {
            "timestamp",
            "funding_rate",
            "avg_premium_index",
            "next_funding_time",
            "interest_rate",
        }
    elif path == "futures/info":
        assert one["contract_type"] == "perpetual"
    else:
        assert set(one[0]) == {"timestamp", "open", "close", "min", "max"}


@pytest.mark.parametrize("path", [*PER_SYMBOL, "futures/info", "converted/candles"])
async def test_an_unknown_symbol_is_error_2001(rest: RestClient, path: Any) -> None:
    for asked, query in ((f"{path}/NOSUCH", {}), (path, {"symbols": "BTCUSDT,NOSUCH"})):
        status, answer = await rest.ask(asked, target_currency="BTC", **query)
        assert (status, answer["error"]["code"]) == (400, 2001)
        assert {"timestamp", "path", "requestId"} < set(answer)


@pytest.mark.parametrize(
    ("path", "query", "status", "code"),
    [
        ("currency/NOSUCH", {}, 400, 2002),
        ("price/rate", {"to": "NOSUCH"}, 400, 2002),
        ("price/rate", {}, 400, 10001),
        ("converted/candles", {}, 400, 10001),
        ("trades/BTCUSDT", {"limit": 0}, 400, 10001),
        ("trades/BTCUSDT", {"limit": 1001}, 400, 10001),
        ("trades/BTCUSDT", {"limit": "many"}, 400, 10001),
        ("trades/BTCUSDT", {"offset": 100001}, 400, 10001),
        ("trades/BTCUSDT", {"sort": "UP"}, 400, 10001),
        ("trades/BTCUSDT", {"by": "price"}, 400, 10001),
        ("trades/BTCUSDT", {"from": "yesterday"}, 400, 10001),
        ("candles/BTCUSDT", {"period": "M2"}, 400, 10001),
        ("candles/BTCUSDT", {"from": "9999999999999999999"}, 400, 10001),
        ("candles/BTCUSDT", {"till": -1, "period": "1M"}, 400, 10001),
        ("orderbook/BTCUSDT", {"depth": -1}, 400, 10001),
        ("orderbook/BTCUSDT", {"volume": "NaN"}, 400, 10001),
        ("weather", {}, 404, 404),
        ("trades/BTCUSDT/more", {}, 404, 404),
        ("/api/3/spot/balance", {}, 404, 404),
    ],
)
async def test_a_bad_request_has_status_and_code(
    rest: RestClient, path: Any, query: Any, status: Any, code: Any
) -> None:
    got, answer = await rest.ask(path, **query)
    assert (got, answer["error"]["code"]) == (status, code)
    assert answer["error"]["message"]


async def test_limits_have_the_documented_defaults(rest: RestClient) -> None:
    assert len((await rest.get("trades"))["BTCUSDT"]) == 10
    assert len(await rest.get("trades/BTCUSDT")) == 100
    assert len((await rest.get("candles", period="M1"))["BTCUSDT"]) == 10
    assert len(await rest.get("candles/BTCUSDT", period="M1")) == 100
    assert len((await rest.get("orderbook"))["BTCUSDT"]["ask"]) == 10
    assert len((await rest.get("orderbook/BTCUSDT"))["ask"]) == 100


async def test_candles_without_a_period_are_half_hours(rest: RestClient) -> None:
    bars = await rest.get("candles/BTCUSDT")
    assert bars == await rest.get("candles/BTCUSDT", period="M30")
    assert {bar["timestamp"][14:] for bar in bars} <= {"00:00.000Z", "30:00.000Z"}


async def test_lists_are_newest_first_unless_asked_otherwise(rest: RestClient) -> None:
    for path in ("trades/ETHBTC", "candles/ETHBTC"):
        newest = await rest.get(path, period="M1", limit=1000)
        assert newest == list(reversed(await rest.get(path, period="M1", limit=1000, sort="ASC")))
        times = [item["timestamp"] for item in newest]
        assert times == sorted(times, reverse=True)


async def test_trades_can_be_paged_by_id_from_the_first_to_the_last(venue: FmfwVenue, rest: RestClient) -> None:
    log = venue.exchange.markets["BTCUSDT"].trades
    expected = [log[index].id for index in range(log.end)]
    found, start = [], expected[0]
    while page := await rest.get("trades/BTCUSDT", by="id", sort="ASC", limit=100, **{"from": start}):
        found += [trade["id"] for trade in page]
        start = found[-1] + 1
        venue.step(3)
    assert found[: len(expected)] == expected
    assert len(set(found)) == len(found)


async def test_trades_can_be_paged_by_offset(venue: FmfwVenue, rest: RestClient) -> None:
    whole = await rest.get("trades/BTCUSDT", limit=1000)
    parts = [await rest.get("trades/BTCUSDT", limit=100, offset=offset) for offset in range(0, 500, 100)]
    assert [trade for part in parts for trade in part] == whole[:500]
    ascending = await rest.get("trades/BTCUSDT", limit=10, offset=5, sort="ASC")
    assert ascending == (await rest.get("trades/BTCUSDT", limit=15, sort="ASC"))[5:]
    assert await rest.get("trades/BTCUSDT", offset=100_000) == []


@pytest.mark.parametrize("form", ["iso", "ms"])
async def test_both_ends_of_a_time_range_are_included(venue: FmfwVenue, rest: RestClient, form: Any) -> None:
    log = venue.exchange.markets["BTCUSDT"].trades
    first, last = log[10].time_ms, log[20].time_ms

    def written(time_ms: int) -> object:
        return iso_time(time_ms) if form == "iso" else time_ms

    trades = await rest.get("trades/BTCUSDT", sort="ASC", till=written(last), **{"from": written(first)})
    low, high = log.range_by_time(first, last)
    assert [trade["id"] for trade in trades] == [log[index].id for index in range(low, high)]
    bars = await rest.get("candles/BTCUSDT", period="M1", sort="ASC", limit=1000)
    some = await rest.get(
        "candles/BTCUSDT", period="M1", sort="ASC", till=bars[9]["timestamp"], **{"from": bars[3]["timestamp"]}
    )
    assert some == bars[3:10]


async def test_longer_candles_are_the_sums_of_shorter_ones(venue: FmfwVenue, rest: RestClient) -> None:
    venue.step(500)
    minutes = await rest.get("candles/ETHBTC", period="M1", sort="ASC", limit=1000)
    for period in ("M3", "M15", "H1", "D1", "D7", "1M"):
        bars = await rest.get("candles/ETHBTC", period=period, sort="ASC", limit=1000)
        for key in ("volume", "volume_quote"):
            assert sum(Decimal(bar[key]) for bar in bars) == sum(Decimal(bar[key]) for bar in minutes)
        assert (bars[0]["open"], bars[-1]["close"]) == (minutes[0]["open"], minutes[-1]["close"])
        assert max(Decimal(bar["max"]) for bar in bars) == max(Decimal(bar["max"]) for bar in minutes)


async def test_an_order_book_has_the_depth_or_the_volume_asked_for(venue: FmfwVenue, rest: RestClient) -> None:
    market = venue.exchange.markets["EOSUSDT"]
    whole = await rest.get("orderbook/EOSUSDT", depth=0)
    assert (len(whole["ask"]), len(whole["bid"])) == (len(market.asks), len(market.bids))
    assert await rest.get("orderbook/EOSUSDT", depth=3) == {
        "timestamp": whole["timestamp"],
        "ask": whole["ask"][:3],
        "bid": whole["bid"][:3],
    }
    assert len(whole["timestamp"]) == len("2024-04-14T12:18:03.857366871Z")
    asks = [Decimal(price) for price, _ in whole["ask"]]
    bids = [Decimal(price) for price, _ in whole["bid"]]
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert bids[0] < asks[0]
    deep = (await rest.get("orderbook/EOSUSDT", volume="500", depth=1))["ask"]
    assert sum(Decimal(size) for _, size in deep) >= 500 > sum(Decimal(size) for _, size in deep[:-1])


async def test_rates_follow_the_markets(rest: RestClient) -> None:
    prices = await rest.get("price/ticker")
    rates = await rest.get("price/rate", to="USDT")
    assert Decimal(rates["BTC"]["price"]) == Decimal(prices["BTCUSDT"]["price"])
    through = Decimal(prices["NEOBTC"]["price"]) * Decimal(prices["BTCUSDT"]["price"])
    assert Decimal(rates["NEO"]["price"]) == pytest.approx(through)
    back = await rest.get("price/rate", to="BTC", **{"from": "USDT"})
    assert Decimal(back["USDT"]["price"]) * Decimal(prices["BTCUSDT"]["price"]) == pytest.approx(1)


async def test_price_history_follows_the_candles(rest: RestClient) -> None:
    bars = await rest.get("candles/BTCUSDT", period="M5", limit=4)
    history = await rest.get("price/history", to="USDT", period="M5", limit=4, **{"from": "BTC"})
    assert [item["close"] for item in history["BTC"]["history"]] == [bar["close"] for bar in bars]
    back = await rest.get("price/history", to="BTC", period="M5", **{"from": "USDT"})
    (item,) = back["USDT"]["history"]
    assert Decimal(item["min"]) * Decimal(bars[0]["max"]) == pytest.approx(1)


async def test_fundings_are_eight_hours_apart(rest: RestClient) -> None:
    page = (await rest.get("futures/history/funding/BTCUSDT_PERP", limit=20, offset=2))["BTCUSDT_PERP"]
    assert len(page) == 20
    assert {item["timestamp"][11:] for item in page} == {"00:00:00.000Z", "08:00:00.000Z", "16:00:00.000Z"}
    assert all(older["next_funding_time"] == newer["timestamp"] for newer, older in pairwise(page))


@pytest.mark.parametrize("settings", [{"rest_limit": 80}])
async def test_more_than_the_limit_in_a_second_is_429(rest: RestClient) -> None:
    answers = [await rest.ask("symbol/BTCUSDT") for _ in range(90)]
    refused = [answer for status, answer in answers if status == 429]
    assert 1 <= len(refused) <= 10
    assert refused[0]["error"]["code"] == 429


async def test_currencies_are_listed(venue: FmfwVenue, rest: RestClient) -> None:
    assert set(await rest.get("currency")) == set(venue.rates.currencies)
    assert list(await rest.get("currency", currencies="BTC,ETH")) == ["BTC", "ETH"]
    assert (await rest.get("currency/BTC"))["networks"][0]["code"] == "BTC"


@pytest.mark.skipif(not SYMBOL_CAPTURE.exists(), reason="the captured answer is not here")
async def test_a_listing_has_every_field_of_the_real_one(rest: RestClient) -> None:
    real = json.loads(SYMBOL_CAPTURE.read_text())
    listed = await rest.get("symbol")
    for kind in ("spot", "futures"):
        for margin in (True, False):
            fields = [set(one) for one in real.values() if (one["type"], "margin_trading" in one) == (kind, margin)]
            ours = [set(one) for one in listed.values() if (one["type"], "margin_trading" in one) == (kind, margin)]
            if fields and ours:
                assert fields[0] <= ours[0]

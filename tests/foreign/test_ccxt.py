"""ccxt's own classes for this venue and its sister, with nothing but their addresses changed."""

import json
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import pytest

from collector import simulator
from collector.simulator.fmfw import FmfwVenue, extracts

pytestmark = [pytest.mark.foreign, pytest.mark.timeout(1200)]


@pytest.fixture
async def venue() -> AsyncIterator[FmfwVenue]:
    async with simulator.serve(("fmfw",), seed=11, rate=200, settings={"fmfw": {"history_events": 6000}}) as running:
        yield running["fmfw"]


def rows(venue: FmfwVenue, stream: str, symbol: str, **asked: str) -> list[Any]:
    chosen: list[Any] = extracts.extract(venue, {"stream": stream, "symbol": symbol, **asked})["rows"]
    return chosen


def bars(venue: FmfwVenue, symbol: str, period: str) -> list[list[float]]:
    """Give the true bars in ccxt's order: time, open, high, low, close, volume."""
    return [
        [row[0], *(float(row[column]) for column in (1, 3, 4, 2, 5))]
        for row in rows(venue, "candles", symbol, period=period)
    ]


def levels(side: list[list[str]]) -> list[list[float]]:
    return [[float(price), float(size)] for price, size in side]


async def test_fmfwio_reads_the_whole_public_rest_api(venue: FmfwVenue, ccxt: Any) -> None:
    venue.pause()
    symbols = {"BTC/USDT": "BTCUSDT", "ETH/BTC": "ETHBTC", "MATIC/USDT": "MATICUSD", "BTC/USDT:USDT": "BTCUSDT_PERP"}
    async with ccxt.drive("drive_ccxt_rest.py", venue.address["rest_url"], *symbols) as process:
        answers = await ccxt.result(process)

    assert sorted(answers["markets"].values()) == sorted(venue.exchange.markets)
    assert {"BTC", "USDT", "BCH"} <= set(answers["currencies"])
    assert {answers["markets"][symbol] for symbol in answers["tickers"]} == set(venue.exchange.markets)
    for unified, symbol in symbols.items():
        got = answers["symbols"][unified]
        truth = rows(venue, "trades", symbol)
        trades = [
            [trade["info"]["id"], trade["timestamp"], trade["price"], trade["amount"], trade["side"]]
            for trade in got["trades"]
        ]
        expected = [[row[0], row[1], float(row[2]), float(row[3]), row[4]] for row in truth[-1000:]]
        assert [[int(trade[0]), *trade[1:]] for trade in trades] == expected
        assert got["candles"] == bars(venue, symbol, "M1")
        assert got["hours"] == bars(venue, symbol, "H1")
        book = extracts.extract(venue, {"stream": "books", "symbol": symbol})["current"]
        assert got["book"]["asks"] == levels(book["a"])
        assert got["book"]["bids"] == levels(book["b"])
        assert got["ticker"]["last"] == float(truth[-1][2])
        assert got["ticker"]["bid"] == float(book["b"][0][0])
        assert got["ticker"]["baseVolume"] == pytest.approx(sum(float(row[3]) for row in truth))
    fundings = venue.exchange.contracts["BTCUSDT_PERP"].fundings[-10:]
    assert [one["timestamp"] for one in answers["fundings"]] == [one.time_ms for one in fundings]
    assert answers["errors"] == ["BadSymbol"]


async def test_pro_hitbtc_follows_every_trade_candle_and_book_change(venue: FmfwVenue, ccxt: Any) -> None:
    urls = venue.address["rest_url"], venue.address["ws_url"]
    async with ccxt.drive("drive_ccxt_pro.py", *urls, "BTC/USDT") as process:
        await ccxt.ready(process)
        venue.pause()
        held = await ccxt.result(process)

    truth = rows(venue, "trades", "BTCUSDT")
    trades = [[one["i"], one["t"], one["p"], one["q"], one["s"]] for one in held["trades"]]
    first = next(position for position, row in enumerate(truth) if row[0] == trades[0][0])
    assert len(trades) >= 30
    assert trades == truth[first:]

    expected = {bar[0]: bar for bar in bars(venue, "BTCUSDT", "M1")}
    assert held["candles"]
    assert held["candles"][-1] == expected[held["candles"][-1][0]]

    book = extracts.extract(venue, {"stream": "books", "symbol": "BTCUSDT"})["current"]
    assert held["book"] == {"s": book["s"], "a": levels(book["a"]), "b": levels(book["b"])}

    last = json.loads(rows(venue, "ticks", "BTCUSDT", channel="ticker/1s")[-1])
    assert held["ticker"]["last"] == float(last["c"])
    assert held["ticker"]["bid"] == float(last["b"])
    assert datetime.fromisoformat(held["ticker"]["datetime"]).timestamp() * 1000 == pytest.approx(last["t"])

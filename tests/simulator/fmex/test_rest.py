"""REST and the control doors, as a plain aiohttp client sees them."""

import re
from typing import Any

import pytest

from collector.simulator.fmex import FmexVenue

from .conftest import Connect, RestClient


async def test_every_public_path_answers(rest: RestClient) -> None:
    assert await rest.get("public/server-time") > 1.6e12
    assert [one["name"] for one in await rest.get("public/contracts/symbols")] == ["btcusd_p", "ethusd_p"]
    assert await rest.get("public/contracts/currencies") == ["btc"]
    assert ".btcusd_spot" in await rest.get("public/indexes/symbols")
    assert len((await rest.get("market/ticker/BTCUSD_P"))["ticker"]) == 11
    tickers = await rest.get("market/all-tickers")
    assert (tickers["type"], len(tickers["tickers"])) == ("all-tickers", 2)
    assert (await rest.get("market/indexes"))[".btcusdfair"][1] > 0
    assert len(await rest.get("market/indexes/.btcusd_spot")) == 20
    assert "usdcny" in await rest.get("market/fex")
    assert "BTCUSD_P" in await rest.get("/api/contracts/web/v3/public/statistics")


async def test_rest_tickers_have_no_time(rest: RestClient) -> None:
    assert "ts" not in await rest.get("market/ticker/btcusd_p")
    assert "ts" in await rest.get("market/all-tickers")


@pytest.mark.parametrize(("level", "count"), [("L20", 20), ("L150", 150), ("l20", 20)])
async def test_books_are_flat_best_first_and_typed_in_lower_case(rest: RestClient, level: str, count: int) -> None:
    book = await rest.get(f"market/depth/{level}/btcusd_p")
    assert book["type"] == f"depth.{level.lower()}.btcusd_p"
    bids, asks = book["bids"][::2], book["asks"][::2]
    assert len(bids) == len(asks) == count
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert bids[0] < asks[0]


async def test_numbers_of_one_answer_have_mixed_forms(rest: RestClient) -> None:
    _, body = await rest.ask("market/depth/L150/btcusd_p")
    for form in (r"[\[,]\d+,", r"[\[,]\d+\.0,", r"\.5,", r"\.0{18}", r"E\d"):
        assert re.search(form, body), form
    _, body = await rest.ask("market/indexes")
    assert re.search(r"-?\d\.\d+E-\d", body)


async def test_trades_page_backwards_newest_first_with_an_exclusive_before(rest: RestClient) -> None:
    first = await rest.get("market/trades/btcusd_p")
    assert len(first) == 20
    ids = [one["id"] for one in first]
    assert ids == sorted(ids, reverse=True)
    second = await rest.get("market/trades/btcusd_p", limit=5, before=ids[-1])
    assert len(second) == 5
    assert second[0]["id"] < ids[-1]
    overlap = await rest.get("market/trades/btcusd_p", limit=2, before=ids[0] + 1)
    assert [one["id"] for one in overlap] == ids[:2]


async def test_bars_page_backwards_newest_first_in_seconds(rest: RestClient) -> None:
    first = await rest.get("market/candles/M1/btcusd_p")
    starts = [one["id"] for one in first]
    assert starts == list(range(starts[0], starts[0] - 1200, -60))
    second = await rest.get("market/candles/M1/btcusd_p", limit=2, before=starts[-1])
    assert [one["id"] for one in second] == [starts[-1] - 60, starts[-1] - 120]
    newest = await rest.get("market/candles/M1/btcusd_p", limit=1, before=starts[0] * 1000)
    assert newest[0]["id"] == starts[0]


async def test_there_are_bars_without_trades(rest: RestClient) -> None:
    empty = [one for one in await rest.get("market/candles/M1/btcusd_p", limit=200) if not one["count"]]
    assert len(empty) > 10
    assert all(one["base_vol"] == one["quote_vol"] == 0 and one["open"] == one["close"] for one in empty)


async def test_volumes_are_contracts_and_btc(rest: RestClient) -> None:
    bars = [one for one in await rest.get("market/candles/H1/btcusd_p") if one["count"]]
    assert bars
    for bar in bars:
        assert bar["low"] <= bar["base_vol"] / bar["quote_vol"] <= bar["high"]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("market/ticker/nosuch", 400, 40003),
        ("market/depth/L100/btcusd_p", 400, 40003),
        ("market/candles/M2/btcusd_p", 400, 40003),
        ("market/trades/btcusd_p?limit=x", 400, 40003),
        ("market/weather", 404, 40400),
        ("/elsewhere", 404, 40400),
    ],
)
async def test_errors_are_the_venues_own(rest: RestClient, path: str, status: int, code: int) -> None:
    got, body = await rest.ask(path)
    assert got == status
    assert f'"status":{code}' in body


@pytest.mark.parametrize("settings", [{"rest_limit": 100}])
async def test_a_hundred_calls_in_ten_seconds_are_served(rest: RestClient, venue: FmexVenue) -> None:
    statuses = [(await rest.ask("public/server-time"))[0] for _ in range(103)]
    assert statuses == [200] * 100 + [429] * 3
    assert venue.window.refused == 3
    assert (await rest.ask("/_sim/state"))[0] == 200


async def test_fresh_trades_change_their_ids_on_request(rest: RestClient, venue: FmexVenue) -> None:
    before = await rest.get("market/trades/btcusd_p", limit=3)
    venue.fault("changed_id")
    again = await rest.get("market/trades/btcusd_p", limit=3)
    assert [one["id"] for one in again] != [one["id"] for one in before]
    assert [(one["ts"], one["price"]) for one in again] == [(one["ts"], one["price"]) for one in before]


async def test_outages_have_pages_of_html(rest: RestClient, venue: FmexVenue) -> None:
    venue.fault("5xx", count=1, status=530)
    assert await rest.ask("public/server-time") == (530, "<html><body><h1>This domain is parked.</h1></body></html>")
    venue.fault("html", count=1)
    assert (await rest.ask("public/server-time"))[0] == 200
    venue.fault("429", count=1)
    assert (await rest.ask("public/server-time"))[0] == 429


async def test_the_doors_tell_and_change_how_it_stands(rest: RestClient, venue: FmexVenue) -> None:
    assert (await rest.post("/_sim/rate", rate=7))[1]["rate"] == 7
    assert (await rest.post("/_sim/market", running=True))[1]["running"] is True
    assert (await rest.post("/_sim/market", running=False))[1]["running"] is False
    assert (await rest.post("/_sim/rate", rate=-1))[0] == 400
    assert (await rest.post("/_sim/case", case="odd"))[0] == 400
    assert (await rest.post("/_sim/faults", fault="earthquake"))[0] == 400
    assert (await rest.post("/_sim/faults", fault="cut", symbol="nosuch_p"))[0] == 400
    status, armed = await rest.post("/_sim/faults", fault="skip_delta", symbol="btcusd_p", count=3)
    assert (status, armed["left"]) == (200, 3)
    assert venue.faults.clear() == 1


async def test_what_is_expected_is_what_was_told(rest: RestClient, venue: FmexVenue, connect: Connect) -> None:
    client = await connect()
    await client.ask("sub", "trade.btcusd_p", "ticker.btcusd_p", "depth.L20.btcusd_p", "candle.M1.btcusd_p")
    venue.step(100)
    venue.close_periods()
    told = await client.drain()
    overview: dict[str, Any] = await rest.get("/_sim/expected")
    assert overview["symbols"] == ["", "btcusd_p", "ethusd_p"]
    rows = await rest.get("/_sim/expected", symbol="btcusd_p")
    counts = {kind: sum(one.get("type", "").startswith(kind) for one in told) for kind in ("trade", "ticker", "depth")}
    assert len(rows["trades"]) == counts["trade"]
    assert len(rows["ticks"]) == counts["ticker"] == 1
    assert len(rows["books"]) == counts["depth"] == 1
    assert await rest.get("/_sim/expected", symbol="ethusd_p") == {}
    assert (await rest.ask("/_sim/expected", symbol="nosuch_p"))[0] == 400
    assert len((await rest.get("/_sim/ledger", symbol="btcusd_p"))["books"]["l150"]["bids"]) == 0
    assert (await rest.get("/_sim/ledger"))["rows"]["trades"]["btcusd_p"] == counts["trade"]


async def test_a_paused_market_gives_the_same_indexes_for_ever(rest: RestClient, venue: FmexVenue) -> None:
    venue.resume()
    await rest.get("market/indexes")
    venue.pause()
    first = await rest.get("market/indexes")
    assert await rest.get("market/indexes") == first
    assert len((await rest.get("/_sim/expected", symbol=""))["rates"]) <= 2 * len(first)

"""The simulated venue from outside: sessions, quotas, lists, faults, the socket."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from collector import simulator
from collector.simulator.finam import FinamVenue
from collector.simulator.finam.text import decimal, large, plain, timestamp

SYMBOL = "SBER@MISX"


class Client:
    """A client with a session of its own."""

    def __init__(self, venue: FinamVenue, http: aiohttp.ClientSession) -> None:
        self.venue = venue
        self.http = http
        self.token = ""

    async def log_in(self) -> None:
        answer = await self.post("/sessions", {"secret": self.venue.address["secret"]})
        self.token = answer[1]["token"]

    async def post(self, path: str, body: Any, **headers: str) -> tuple[int, Any]:
        async with self.http.post(self.venue.address["rest_url"] + path, json=body, headers=headers) as answer:
            return answer.status, await answer.json()

    async def get(self, path: str, **query: str) -> tuple[int, Any]:
        url = self.venue.address["rest_url"] + path
        async with self.http.get(url, params=query, headers={"Authorization": self.token}) as answer:
            return answer.status, await answer.json(content_type=None)


@pytest.fixture
def settings() -> dict[str, Any]:
    return {}


@pytest.fixture
async def client(settings: dict[str, Any]) -> AsyncIterator[Client]:
    async with (
        simulator.serve(("finam",), seed=2, settings={"finam": {"running": False, **settings}}) as running,
        aiohttp.ClientSession() as http,
    ):
        made = Client(running["finam"], http)
        await made.log_in()
        yield made


async def test_session_calls_with_an_authorization_are_refused(client: Client) -> None:
    body = {"secret": client.venue.address["secret"]}
    assert (await client.post("/sessions", body, Authorization=client.token))[0] == 400
    assert (await client.post("/sessions", {"secret": "wrong"}))[0] == 401


async def test_tokens_are_taken_bare_and_as_bearer_until_they_expire(client: Client) -> None:
    assert (await client.get("/assets/clock"))[0] == 200
    client.token = f"Bearer {client.token}"
    assert (await client.get("/assets/clock"))[0] == 200
    client.venue.fault("expire")
    assert await client.get("/assets/clock") == (
        401,
        {"code": 16, "message": "token is invalid or expired", "details": []},
    )


@pytest.mark.parametrize("settings", [{"quota": 3}])
async def test_each_method_has_a_quota_of_its_own(client: Client) -> None:
    statuses = [(await client.get(f"/instruments/{SYMBOL}/orderbook"))[0] for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
    assert (await client.get(f"/instruments/{SYMBOL}/quotes/latest"))[0] == 200
    _, usage = await client.get("/usage")
    assert {one["name"]: one["remaining"] for one in usage["quotas"]}["OrderBook"] == "0"


@pytest.mark.parametrize("settings", [{"trades_kept": 5}])
async def test_list_of_the_latest_trades_is_capped_and_newest_first(client: Client) -> None:
    client.venue.fault("burst", symbol=SYMBOL, count=20)
    _, answer = await client.get(f"/instruments/{SYMBOL}/trades/latest")
    ids = [int(trade["trade_id"]) for trade in answer["trades"]]
    assert len(ids) == 5
    assert ids == sorted(ids, reverse=True)
    assert len(client.venue.ledger.trades[SYMBOL]) == 5


async def test_sizes_of_trades_bars_and_quote_are_one_sum(client: Client) -> None:
    client.venue.step(500, symbol=SYMBOL, trade_share=0.5)
    market = client.venue.exchange.markets[SYMBOL]
    assert sum(trade.size for trade in market.trades) == sum(bar.volume for bar in market.series.minutes)
    today = [trade for trade in market.trades if trade.time_us >= market.day_us]
    assert sum(trade.size for trade in today) == market.volume
    assert market.best_bid is not None
    assert market.best_ask is not None
    assert market.best_bid < market.best_ask


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/instruments/SBER/orderbook", 400, 3),
        ("/instruments/NO@MISX/orderbook", 404, 5),
        ("/nothing", 404, 5),
        (f"/instruments/{SYMBOL}/bars", 400, 3),
        (f"/assets/{SYMBOL}", 400, 3),
    ],
)
async def test_refusals(client: Client, path: str, status: int, code: int) -> None:
    got, body = await client.get(path)
    assert (got, body["code"]) == (status, code)


@pytest.mark.parametrize("settings", [{"range_error": "400"}, {"range_error": "empty"}])
async def test_too_long_a_range_fails_or_is_empty(client: Client, settings: dict[str, Any]) -> None:
    query = {
        "timeframe": "TIME_FRAME_M1",
        "interval.start_time": "2026-01-01T00:00:00Z",
        "interval.end_time": "2026-12-01T00:00:00Z",
    }
    got, body = await client.get(f"/instruments/{SYMBOL}/bars", **query)
    assert (got, body.get("bars")) == ((400, None) if settings["range_error"] == "400" else (200, []))


@pytest.mark.parametrize(("fault", "status"), [("5xx", 503), ("429", 429), ("envoy", 500), ("401", 401), ("403", 403)])
async def test_faults_strike_the_method_that_they_are_for(client: Client, fault: str, status: int) -> None:
    client.venue.fault(fault, method="OrderBook", count=1)
    url = client.venue.address["rest_url"] + f"/instruments/{SYMBOL}/orderbook"
    assert (await client.get(f"/instruments/{SYMBOL}/quotes/latest"))[0] == 200
    async with client.http.get(url, headers={"Authorization": client.token}) as answer:
        assert answer.status == status
    assert (await client.get(f"/instruments/{SYMBOL}/orderbook"))[0] == 200


async def test_day_that_is_over_answers_nothing_until_it_goes_on(client: Client) -> None:
    client.venue.pause(hold=True)
    asked = asyncio.ensure_future(client.get(f"/instruments/{SYMBOL}/orderbook"))
    assert (await client.get("/assets/clock"))[0] == 200
    assert not asked.done()
    client.venue.resume()
    assert (await asked)[0] == 200


async def receive(socket: aiohttp.ClientWebSocketResponse) -> Any:
    return json.loads((await socket.receive(timeout=5)).data)


@pytest.mark.parametrize("settings", [{}, {"payload_as_object": True}])
async def test_socket_greets_and_begins_each_subscription_with_a_snapshot(
    client: Client, settings: dict[str, Any]
) -> None:
    async with client.http.ws_connect(client.venue.address["ws_url"]) as socket:
        assert (await receive(socket))["event_info"]["event"] == "HANDSHAKE_SUCCESS"
        await socket.send_json(
            {"action": "SUBSCRIBE", "type": "ORDER_BOOK", "data": {"symbol": SYMBOL}, "token": client.token}
        )
        message = await receive(socket)
        assert isinstance(message["payload"], dict) == bool(settings)
        payload = message["payload"] if settings else json.loads(message["payload"])
        assert payload["order_book"][0]["is_data_snapshot"] is True
        client.venue.step(5, symbol=SYMBOL, trade_share=0.0)
        await receive(socket)
        assert len(client.venue.ledger.books[SYMBOL]) == 2


@pytest.mark.parametrize(
    ("request_text", "kind"),
    [
        ("nonsense", "INVALID_REQUEST"),
        ('{"action":"SUBSCRIBE","type":"QUOTES","data":{},"token":"no"}', "UNAUTHENTICATED"),
    ],
)
async def test_socket_refuses_what_it_must(client: Client, request_text: str, kind: str) -> None:
    async with client.http.ws_connect(client.venue.address["ws_url"]) as socket:
        await receive(socket)
        await socket.send_str(request_text)
        assert (await receive(socket))["error_info"]["type"] == kind


async def test_unknown_setting_and_fault_are_refused_by_name(client: Client) -> None:
    with pytest.raises(ValueError, match="quotta"):
        async with simulator.serve(("finam",), settings={"finam": {"quotta": 1}}):
            pass
    with pytest.raises(ValueError, match="no fault is called"):
        client.venue.fault("earthquake")


def test_decimals_and_times_are_written_as_the_venue_does() -> None:
    assert [decimal(28531, 2), decimal(100, 2), decimal(5, 6), decimal(-12, 1)] == ["285.31", "1.0", "0.000005", "-1.2"]
    assert [large(27_800_000), large(9_999_999)] == ["2.78E7", "9999999.0"]
    assert [plain("2.78E7"), plain("6.8042089E8"), plain("1.0E7")] == ["27800000", "680420890", "10000000"]
    assert timestamp(1_795_164_184_000_000) == "2026-11-20T08:43:04Z"
    assert timestamp(1_795_164_184_500_000) == "2026-11-20T08:43:04.500Z"

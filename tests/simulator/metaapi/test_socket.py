"""The simulated socket from outside: both ways to open it, its pings, and its faults as a client sees them."""

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector import simulator
from collector.simulator.metaapi import MetaapiVenue
from collector.simulator.metaapi.engine import decode_payload, encode_payload

SWITCHES = {"running": False, "history_events": 200, "status_every": 0.2}


@pytest.fixture
async def venue() -> AsyncIterator[MetaapiVenue]:
    async with simulator.serve(("metaapi",), seed=2, rate=0, settings={"metaapi": SWITCHES}) as running:
        yield running["metaapi"]


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        yield session


def query(venue: MetaapiVenue, transport: str, **more: str) -> dict[str, str]:
    return {"auth-token": venue.settings.token, "protocol": "3", "EIO": "3", "transport": transport, **more}


def url(venue: MetaapiVenue, path: str = "/ws/") -> str:
    return venue.address["url"] + path


class Client:
    """A bare client on a direct WebSocket."""

    def __init__(self, socket: Any, venue: MetaapiVenue, account: str = "demo") -> None:
        self.socket = socket
        self.account = venue.accounts[account].id
        self.number = 0

    async def ask(self, kind: str, **more: Any) -> None:
        self.number += 1
        body = {"type": kind, "accountId": self.account, "requestId": f"r{self.number}", "instanceIndex": 0, **more}
        await self.socket.send_str(f'42["request",{json.dumps(body)}]')

    async def next(self, *kinds: str) -> dict[str, Any]:
        """The next packet or answer of these kinds; `error` for refusals."""
        while True:
            text = (await self.socket.receive(timeout=5)).data
            if not text.startswith("42"):
                continue
            name, content = json.loads(text[2:])
            packet: dict[str, Any] = json.loads(content) if isinstance(content, str) else content
            kind = "error" if name == "processingError" else packet["type"]
            if kind in kinds:
                return packet

    async def synchronise(self) -> None:
        await self.ask("subscribe", sessionId="s")
        await self.next("authenticated")
        await self.ask("synchronize", host="h")
        await self.next("dealSynchronizationFinished")


@pytest.fixture
async def client(venue: MetaapiVenue, http: aiohttp.ClientSession) -> AsyncIterator[Client]:
    async with http.ws_connect(url(venue), params=query(venue, "websocket")) as socket:
        assert (await socket.receive_str()).startswith("0{")
        assert await socket.receive_str() == "40"
        yield Client(socket, venue)


async def test_polling_session_moves_to_a_socket_and_loses_no_packet(
    venue: MetaapiVenue, http: aiohttp.ClientSession
) -> None:
    async with http.get(url(venue), params=query(venue, "polling")) as response:
        opening, connected = decode_payload(await response.read())
    sid = json.loads(opening[1:])["sid"]
    assert connected == "40"
    request = {"type": "subscribe", "accountId": venue.accounts["demo"].id, "requestId": "r", "sessionId": "s"}
    body = encode_payload([f'42["request",{json.dumps(request)}]'])
    async with http.post(url(venue), params=query(venue, "polling", sid=sid), data=body) as response:
        assert await response.text() == "ok"
    async with http.ws_connect(url(venue), params=query(venue, "websocket", sid=sid)) as socket:
        await socket.send_str("2probe")
        assert await socket.receive_str() == "3probe"
        await socket.send_str("5")
        texts = [await socket.receive_str() for _ in range(2)]
    assert '"response"' in texts[0]
    assert '"authenticated"' in texts[1]


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=20), max_size=10))
def test_payloads_read_back_in_both_forms(packets: list[str]) -> None:
    assert decode_payload(encode_payload(packets).encode()) == packets
    binary = b""
    for packet in packets:
        raw = packet.encode()
        binary += b"\x00" + bytes(int(digit) for digit in str(len(raw))) + b"\xff" + raw
    assert decode_payload(binary) == packets


async def test_pings_are_answered_and_a_wrong_token_is_refused(
    venue: MetaapiVenue, client: Client, http: aiohttp.ClientSession
) -> None:
    await client.socket.send_str("2x")
    assert await client.socket.receive_str() == "3x"
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await http.ws_connect(url(venue), params=query(venue, "websocket") | {"auth-token": "another"})
    assert caught.value.status == 401


async def test_numbers_grow_by_one_over_all_types_and_live_packets_carry_no_synchronisation(
    venue: MetaapiVenue, client: Client
) -> None:
    await client.ask("subscribe", sessionId="s")
    await client.next("authenticated")
    await client.ask("synchronize", host="h")
    numbers, stamps = [], []
    while True:
        packet = await client.next(
            "synchronizationStarted",
            "accountInformation",
            "specifications",
            "positions",
            "orders",
            "orderSynchronizationFinished",
            "dealSynchronizationFinished",
        )
        assert packet["synchronizationId"] == "r2"
        numbers.append(packet["sequenceNumber"])
        stamps.append(packet["sequenceTimestamp"])
        if packet["type"] == "dealSynchronizationFinished":
            break
    await client.ask("subscribeToMarketData", symbol="EURUSD", subscriptions=[{"type": "quotes"}])
    packet = await client.next("prices")
    assert "synchronizationId" not in packet
    assert [*numbers, packet["sequenceNumber"]] == list(range(len(numbers) + 1))
    assert [*stamps, packet["sequenceTimestamp"]] == sorted({*stamps, packet["sequenceTimestamp"]})


async def test_lost_repeated_and_late_packets(venue: MetaapiVenue, client: Client) -> None:
    await client.synchronise()
    await client.ask("subscribeToMarketData", symbol="EURUSD", subscriptions=[{"type": "ticks"}])
    last = (await client.next("prices"))["sequenceNumber"]

    async def numbers(fault: str, count: int) -> list[int]:
        nonlocal last
        venue.fault(fault)
        quoted = venue.accounts["demo"].broker.quoted["EURUSD"]
        for _ in range(3):
            venue._publish(venue.brokers[0], quoted, quoted.step(venue.now_ms()))
            venue._run_streams(0.0)
        found = [(await client.next("prices"))["sequenceNumber"] - last for _ in range(count)]
        last += max(found)
        return found

    assert await numbers("skip", 2) == [2, 3]
    assert await numbers("duplicate", 4) == [1, 1, 2, 3]
    assert await numbers("reorder", 3) == [2, 1, 3]


async def test_refusals_of_the_socket(venue: MetaapiVenue, client: Client) -> None:
    await client.ask("synchronize", host="h")
    assert (await client.next("error"))["error"] == "NotAuthenticatedError"
    await client.synchronise()
    await client.ask("subscribeToMarketData", symbol="NOSUCH")
    assert (await client.next("error"))["details"][0]["parameter"] == "symbol"
    venue.fault("429", seconds=5)
    await client.ask("getSymbols", application="RPC")
    assert "recommendedRetryTime" in (await client.next("error"))["metadata"]
    venue.fault("as_text")
    await client.ask("getSymbols", application="RPC")
    assert "EURUSD" in (await client.next("response"))["symbols"]


async def test_every_request_is_answered_on_an_instance_that_does_not_run(client: Client) -> None:
    await client.ask("subscribe", sessionId="s", instanceIndex=1)
    assert (await client.next("response", "authenticated"))["type"] == "response"


async def test_unknown_fault_and_setting_are_refused(venue: MetaapiVenue, http: aiohttp.ClientSession) -> None:
    async with http.post(url(venue, "/_sim/faults"), data=b'{"fault":"earthquake"}') as response:
        assert response.status == 400
    with pytest.raises(ValueError, match="no such settings"):
        async with simulator.serve(("metaapi",), settings={"metaapi": {"colour": 1}}):
            pass

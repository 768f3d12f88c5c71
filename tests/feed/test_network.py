"""The real network over real sockets: no redirect is followed, and no answer or message is read beyond its bound."""

from __future__ import annotations

import asyncio
import contextlib
import re
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from aiohttp import WSMsgType

from collector import simulator
from collector.check import Verdict
from collector.check.venues import look_at_venue
from collector.clock import SystemClock
from collector.config import load
from collector.errors import VenueError
from collector.feed.network import AiohttpNetwork, Line, Loss, MovedError, pointed_to
from collector.feed.rest import RestClient
from collector.feed.worker import VenueWorker
from collector.model import Instrument
from collector.venues.adapter import Adapter, Venue
from collector.venues.header import SessionHeader
from tests.kit.headers import session_header

from .doors import Door, door, handshake, raw
from .fakes import FakeIntake, FakeSession

MIB = 1 << 20
REDIRECTS = (301, 302, 303, 307, 308)


async def ask(network: AiohttpNetwork, url: str, **more: Any) -> tuple[int, Mapping[str, str], bytes]:
    call: dict[str, Any] = {"params": {}, "headers": {}, "body": None, "max_answer_bytes": MIB}
    return await network.request("GET", url, **{**call, **more})


async def connect(network: AiohttpNetwork, url: str, headers: Mapping[str, str] | None = None) -> Line:
    return await network.connect(url.replace("http://", "ws://"), headers=headers or {}, max_message_bytes=MIB)


@pytest.mark.parametrize("status", [*REDIRECTS, 300, 305, 399])
@pytest.mark.parametrize("asking", [ask, connect])
async def test_redirect_is_refused_and_names_the_new_address_alone(status: int, asking: Any) -> None:
    async with door() as here, door() as elsewhere, AiohttpNetwork.open() as network:
        here.status = status
        here.headers = {"Location": elsewhere.url.replace("://", "://user:pass@") + "/new?token=secret#part"}
        with pytest.raises(MovedError) as refused:
            await asking(network, f"{here.url}/old?token=secret", headers={"Authorization": "secret"})
        assert elsewhere.asked == []
        assert len(here.asked) == 1
        assert (refused.value.status, refused.value.kind) == (status, Loss.REFUSED)
        assert f"/old answered {status} and points to {elsewhere.url}/new;" in str(refused.value)
        assert not {"secret", "pass", "part"} & set(str(refused.value).replace("/", " ").split())
        assert "set it in [venues.fmfw]" in refused.value.advice("fmfw")


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("/new", "https://venue/new"),
        ("new?token=secret", "https://venue/api/new"),
        ("//other/new", "https://other/new"),
        ("http://venue/api", "http://venue/api"),
        ("http://[::1", ""),
        ("http://a:99999/", ""),
        ("", ""),
        (None, ""),
        ("javascript:alert(1)", ""),
        ("/[red]\x1b[2J", "https://venue/%5Bred%5D%1B%5B2J"),
        ("/" + "a" * 100_000, "https://venue/" + "a" * 286),
    ],
)
def test_address_that_a_redirect_names_is_fit_for_a_log(location: str | None, shown: str) -> None:
    assert pointed_to("https://venue/api/old", location) == shown


async def test_redirect_to_nowhere_is_refused_as_well() -> None:
    async with door() as here, AiohttpNetwork.open() as network:
        here.status = 302
        with pytest.raises(MovedError, match="names no other address") as refused:
            await ask(network, here.url)
        assert "are the addresses in [venues.fmfw] right?" in refused.value.advice("fmfw")


async def test_answer_that_nothing_has_changed_is_no_redirect() -> None:
    async with door() as here, AiohttpNetwork.open() as network:
        here.status = 304
        assert (await ask(network, here.url))[0] == 304


# -- every kind of call of every venue --------------------------------------------------------------------------------


class Diverting:
    """Before each call and handshake, sends the same to a server that answers with a redirect."""

    def __init__(self, network: AiohttpNetwork, here: Door, elsewhere: Door) -> None:
        self._network = network
        self._here = here
        other = elsewhere.url
        self._ways = [
            (status, location)
            for location in (f"{other}/new", other.replace("http://", "//") + "/new", "http://[::1")
            for status in REDIRECTS
        ]
        self.paths: set[str] = set()

    def has_met(self, *paths: str) -> bool:
        """Whether a call of each of these forms was made."""
        return all(any(re.fullmatch(wanted, path) for path in self.paths) for wanted in paths)

    def _turn(self) -> None:
        way = self._ways.pop(0)
        self._ways.append(way)
        self._here.status, self._here.headers = way[0], {"Location": way[1]}

    def _diverted(self, url: str) -> str:
        return self._here.url + "/" + url.split("/", 3)[3]

    async def request(self, method: str, url: str, **call: Any) -> tuple[int, Mapping[str, str], bytes]:
        self._turn()
        with pytest.raises(MovedError):
            await self._network.request(method, self._diverted(url), **call)
        self.paths.add(f"{method} {url.split('/', 3)[3].partition('?')[0]}")
        return await self._network.request(method, url, **call)

    async def connect(self, url: str, **call: Any) -> Line:
        self._turn()
        with pytest.raises(MovedError):
            await self._network.connect(self._diverted(url).replace("http://", "ws://"), **call)
        self.paths.add("socket")
        return await self._network.connect(url, **call)


class ParsingIntake(FakeIntake):
    """Its sessions have the parsers of a venue."""

    def __init__(self, adapter: Adapter[Any]) -> None:
        super().__init__()
        self._adapter = adapter

    def open(self, header: SessionHeader, *, strip: Any = None) -> FakeSession:
        session = super().open(header)
        session.parser = self._adapter.parser(header)
        return session


SECRETS = {"metaapi": "simulated-token-of-nobody", "finam": "tapi_sk_simulated"}
MORE = {
    "metaapi": "rest_per_second = 50\n",
    "finam": 'transport = "stream"\nstreams = ["trades", "ticks", "books", "candles", "news"]\n'
    'news = {{ ru = "{0}/analysis/conews/rsspoint/" }}\nshortest_seconds = 0.05\nrest_per_minute = 6000\n',
}
CALLS = {
    "fmfw": ("GET api/3/public/symbol", "GET api/3/public/trades", "GET api/3/public/candles", "socket"),
    "fmex": (
        "GET v2/public/contracts/symbols",
        "GET v2/market/(fex|indexes)",
        "GET v2/market/trades/.*",
        "GET v2/market/candles/.*",
        "GET api/contracts/.*/statistics",
        "socket",
    ),
    "metaapi": (
        "GET users/current/servers/mt-client-api",
        "GET users/current/accounts/[^/]*",
        "GET users/current/accounts/[^/]*/symbols",
        "GET users/current/accounts/.*/ticks",
        "GET users/current/accounts/.*/candles",
        "socket",
    ),
    "finam": (
        "POST v1/sessions",
        "POST v1/sessions/details",
        "GET v1/assets/.*",
        "GET v1/instruments/.*/bars",
        "GET v1/instruments/.*/orderbook",
        "GET v1/instruments/.*/trades/latest",
        "GET analysis/conews/rsspoint/",
        "socket",
    ),
}


@pytest.mark.parametrize("venue", ["fmfw", "fmex", "metaapi", "finam"])
async def test_no_call_of_a_venue_goes_where_a_redirect_points(venue: str, tmp_path: Path) -> None:
    async with (
        simulator.serve([venue], settings={"finam": {"quota": 100_000}}, rate=100) as running,
        door() as here,
        door() as elsewhere,
        AiohttpNetwork.open() as network,
    ):
        file = tmp_path / "collector.toml"
        more = MORE.get(venue, "").format(running[venue].address.get("news_url"))
        file.write_text(running.config().replace(f"[venues.{venue}]\n", f"[venues.{venue}]\n{more}"))
        section = load(file, {}).venues[venue]
        spoken, diverting = section.begin(), Diverting(network, here, elsewhere)
        await ask_for_the_past(spoken, diverting)
        worker = VenueWorker(
            spoken,
            network=diverting,
            intake=ParsingIntake(spoken.adapter),
            clock=SystemClock(),
            random=Random(1),
        )
        task = asyncio.ensure_future(worker.run())
        try:
            async with asyncio.timeout(30):
                while not diverting.has_met(*CALLS[venue]) and not task.done():  # noqa: ASYNC110  nobody announces it
                    await asyncio.sleep(0.02)
        finally:
            task.cancel()
            await asyncio.wait([task])
    assert task.cancelled()
    assert elsewhere.asked == []
    # They were asked with what is secret, so that it would have been seen.
    assert any(SECRETS.get(venue, "") in asked.text for asked in here.asked)


ADDRESSES = {
    "fmfw": 'symbols = ["*"]\nrest_url = "{0}/api/3"\nws_url = "{0}/ws"',
    "fmex": 'symbols = ["*"]\nrest_url = "{0}"\nws_url = "{0}/ws"',
    "metaapi": 'token = "secret"\nbase_url = "{0}"\n[venues.metaapi.accounts.demo]\nid = "1"\nsymbols = ["*"]',
    "finam": 'secret = "secret"\nsymbols = ["SBER@MISX"]\nrest_url = "{0}/v1"\nws_url = "{0}/ws"',
}


@pytest.mark.parametrize("venue", ADDRESSES)
async def test_the_check_tells_where_a_redirect_points_and_does_not_go_there(venue: str, tmp_path: Path) -> None:
    async with door() as here, door() as elsewhere:
        here.status, here.headers = 308, {"Location": elsewhere.url + "/new"}
        file = tmp_path / "collector.toml"
        address = ADDRESSES[venue].format(here.url).replace('ws_url = "http', 'ws_url = "ws')
        file.write_text(f'data_dir = "{tmp_path}"\n[http]\nlisten = "127.0.0.1:0"\n[venues.{venue}]\n{address}\n')
        config = load(file, {})
        [found] = await look_at_venue(venue, config)
        assert (found.subject, found.verdict) == (f"venues.{venue}", Verdict.FAILURE)
        assert f"points to {elsewhere.url}/new" in found.text
        assert f"set it in [venues.{venue}]" in found.text
        assert len(here.asked) == 1
        assert elsewhere.asked == []


async def test_the_check_does_not_follow_a_handshake_either(tmp_path: Path) -> None:
    async with simulator.serve(["fmfw"]) as running, door() as here, door() as elsewhere:
        here.status, here.headers = 307, {"Location": elsewhere.url.replace("http", "ws") + "/new"}
        file, address = tmp_path / "collector.toml", running["fmfw"].address
        file.write_text(running.config().replace(address["ws_url"], here.url.replace("http", "ws")))
        found = {one.subject: one for one in await look_at_venue("fmfw", load(file, {}))}["venues.fmfw.ws_url"]
        assert found.verdict is Verdict.FAILURE
        assert "/new; no redirect is followed" in found.text
        assert elsewhere.asked == []


async def ask_for_the_past(venue: Venue[Any], network: Diverting) -> None:
    """Ask for what the venue lists, and for the last minutes of each stream that has a past."""
    rest = RestClient(venue, venue.limits(), network, SystemClock(), FakeSession(session_header({})))
    plan = await rest.drive(venue.discover())
    now_us = SystemClock().now_ns() // 1000
    for stream in venue.adapter.historic:
        [symbol, *_] = [one.symbols[0] for line in plan.lines for one in line.subscriptions if one.stream == stream]
        past = venue.history(Instrument(venue.name, symbol), stream, now_us - 60_000_000, now_us)
        with contextlib.suppress(VenueError):  # it may keep none; it was asked
            await rest.drive(past)


# -- messages beyond the bound ----------------------------------------------------------------------------------------


def frame(opcode: int, payload: bytes, *, last: bool = True, packed: bool = False) -> bytes:
    """Lay a message of the peer's out, or a part of one."""
    head = bytes([last << 7 | packed << 6 | opcode])
    size = len(payload)
    if size < 126:
        return head + bytes([size]) + payload
    if size < 65536:
        return head + b"\x7e" + size.to_bytes(2) + payload
    return head + b"\x7f" + size.to_bytes(8) + payload


@asynccontextmanager
async def socket(*frames: bytes, again: bytes = b"", extensions: str = "") -> AsyncIterator[str]:
    """Serve a socket that sends these, and the last of them for ever."""

    async def answer(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(handshake(head, extensions) + b"".join(frames))
        await writer.drain()
        while again and not writer.is_closing():
            writer.write(again)
            await writer.drain()
        await asyncio.sleep(0.05)

    async with raw(answer) as url:
        yield url


async def end_of(url: str) -> str:
    """Read a socket to its end; returns why it ended."""
    async with AiohttpNetwork.open() as network, asyncio.timeout(30):
        line = await connect(network, url)
        while (message := await line.receive()).type in (WSMsgType.TEXT, WSMsgType.BINARY):
            assert len(message.data) <= MIB
        reason = str(line.ended(message))
        await line.close()
        return reason


async def test_message_up_to_the_bound_is_taken_and_one_beyond_it_ends_the_line() -> None:
    async with socket(frame(1, bytes(MIB)), frame(1, bytes(MIB + 1))) as url:
        assert "exceeds limit 1048576" in await end_of(url)


async def test_message_that_is_announced_beyond_the_bound_is_not_waited_for() -> None:
    async with socket(b"\x81\x7f" + (10**15).to_bytes(8)) as url:
        assert "exceeds limit" in await end_of(url)


async def test_message_of_endless_parts_ends_the_line_at_the_bound() -> None:
    part = frame(0, bytes(1000), last=False)
    async with socket(frame(1, bytes(1000), last=False), again=part * 50) as url:
        assert "exceeds limit" in await end_of(url)


async def test_message_of_endless_empty_parts_costs_no_memory() -> None:
    tracemalloc.start()
    try:
        async with socket(frame(1, b"", last=False), again=frame(0, b"", last=False) * 50_000) as url:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await end_of(url)
        assert tracemalloc.get_traced_memory()[1] < 20 * MIB
    finally:
        tracemalloc.stop()


async def test_packed_message_ends_the_line_since_none_was_asked_for() -> None:
    payload = zlib.compress(bytes(300 * MIB), 1, -zlib.MAX_WBITS)
    async with socket(frame(1, payload, packed=True), extensions="permessage-deflate") as url:
        assert "reserved bits" in await end_of(url)

"""Whoever holds connections to the page takes nothing from the recording, and little from others who look."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

import aiohttp
import pytest
from structlog.testing import capture_logs

from collector.web import connections
from collector.web import server as http
from collector.web.connections import Connections, raise_limit
from tests.kit.stage import until
from tests.kit.watched import WatchedDaemon, serving, watched

MOST = 4


@pytest.fixture
def held_by(monkeypatch: pytest.MonkeyPatch) -> list[Connections]:
    """What holds the page's connections, once it is served."""
    made: list[Connections] = []

    def make() -> Connections:
        made.append(Connections(most=MOST))
        return made[-1]

    monkeypatch.setattr(http, "Connections", make)
    return made


@pytest.fixture
async def daemon(tmp_path: Path, held_by: list[Connections]) -> AsyncIterator[WatchedDaemon]:
    async with watched(tmp_path) as one:
        one.add_connection(one.add_venue(), "A")
        yield one


@pytest.fixture
async def address(daemon: WatchedDaemon) -> AsyncIterator[str]:
    async with serving(daemon) as at:
        yield at


class Visitor:
    """A connection to the page."""

    def __init__(self, address: str) -> None:
        self._port = int(address.rpartition(":")[2])
        self.reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def __aenter__(self) -> Visitor:
        self.reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    def say(self, text: str) -> None:
        self._writer.write(text.encode())

    async def ask(self, path: str = "/healthz") -> int:
        """Ask for a path and return the status; 0 where the line was cut instead."""
        self.say(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return await self.status()

    async def status(self) -> int:
        async with asyncio.timeout(30):
            try:
                head = await self.reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                return 0
        return int(head.split()[1])

    async def cut(self) -> bool:
        """Wait until the daemon has let go."""
        async with asyncio.timeout(30):
            try:
                return not await self.reader.read(1)
            except ConnectionError:
                return True


# -- how many ----------------------------------------------------------------------------------------------------------


async def test_who_asks_nothing_gives_way_to_who_comes(address: str) -> None:
    async with Visitor(address) as first, Visitor(address) as busy:
        assert await busy.ask("/api/events") == 200
        async with AsyncExitStack() as stack:
            for _ in range(MOST + 3):
                one = await stack.enter_async_context(Visitor(address))
                assert await one.ask() == 200
            assert await first.cut()
            assert await busy.reader.readline()


async def test_when_all_are_being_answered_the_next_one_is_turned_away(address: str) -> None:
    async with Visitor(address) as a, Visitor(address) as b, Visitor(address) as c, Visitor(address) as d:
        for one in (a, b, c, d):
            assert await one.ask("/api/events") == 200
        async with Visitor(address) as late:
            assert await late.status() == 503
            assert await late.reader.read() == b"all connections of this page are in use\n"


async def test_the_last_descriptors_are_not_given_to_visitors(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as probe:
        lowest_free = probe.fileno()
    monkeypatch.setattr(connections, "_limit", lambda: lowest_free + 4)
    with capture_logs() as logs:
        for _ in range(3):
            async with Visitor(address) as one:
                assert await one.status() == 503
    assert [one["event"] for one in logs] == ["page_refuses"]
    monkeypatch.setattr(connections, "_limit", lambda: 1 << 20)
    async with Visitor(address) as one:
        assert await one.ask() == 200


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    """A limit that is not far, taken back at the end."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.usefixtures("few_descriptors")
async def test_no_descriptor_at_all_is_waited_for(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "ACCEPT_PAUSE_SECONDS", 0.01)
    with ExitStack() as stack, socket.socket() as visitor, capture_logs() as logs:
        visitor.setblocking(False)
        try:
            while True:
                stack.callback(os.close, os.open(os.devnull, os.O_RDONLY))
        except OSError:
            pass
        await asyncio.get_running_loop().sock_connect(visitor, ("127.0.0.1", int(address.rpartition(":")[2])))
        await until(lambda: len(logs) > 0, "the page is out of descriptors")
        stack.close()
        await asyncio.get_running_loop().sock_sendall(visitor, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with asyncio.timeout(30):
            answer = await asyncio.get_running_loop().sock_recv(visitor, 100)
    assert answer.startswith(b"HTTP/1.1 200")
    assert [one["event"] for one in logs] == ["page_refuses"]


# -- how long ----------------------------------------------------------------------------------------------------------


async def test_who_asks_nothing_or_only_half_is_let_go(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "FIRST_REQUEST_TIMEOUT_SECONDS", 0.2)
    async with Visitor(address) as silent, Visitor(address) as slow:
        slow.say("GET /healthz HTTP/1.1\r\nHost: local")
        assert await silent.cut()
        assert await slow.cut()


async def test_who_asked_is_kept_for_a_while_and_who_watches_for_as_long_as_he_likes(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "IDLE_TIMEOUT_SECONDS", 0.2)
    async with Visitor(address) as asked, Visitor(address) as watching:
        assert await watching.ask("/api/events") == 200
        assert await asked.ask() == 200
        while await asked.reader.read(1):
            pass
        assert await watching.reader.readline()
        assert not watching.reader.at_eof()


async def test_an_answer_that_nobody_takes_is_given_up(
    daemon: WatchedDaemon, address: str, held_by: list[Connections], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "IDLE_TIMEOUT_SECONDS", 0.2)
    daemon.add_connection(daemon.workers["fake"].worker, *[f"SYMBOL{n}" for n in range(20_000)])
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    narrow.connect(("127.0.0.1", int(address.rpartition(":")[2])))
    reader, writer = await asyncio.open_connection(sock=narrow, limit=1024)
    writer.write(b"GET /api/status HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (await reader.read(15)) == b"HTTP/1.1 200 OK"
    [held] = held_by[0]._held.values()
    await until(held.transport.is_closing, "the daemon lets go")
    writer.close()


async def test_clients_that_reuse_their_connection_are_served(address: str) -> None:
    async with aiohttp.ClientSession(address, connector=aiohttp.TCPConnector(limit=2)) as client:
        for _ in range(20):
            async with client.get("/readyz") as answer:
                assert answer.status == 200


# -- the limit ---------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("few_descriptors")
def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    raise_limit()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft == hard

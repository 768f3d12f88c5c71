"""A simulated FMex that moves only when a test says so, and independent clients: `websockets`, and plain aiohttp."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest
import websockets

from collector import simulator
from collector.simulator.fmex import FmexVenue

Json = dict[str, Any]
TIMEOUT_SECONDS = 10.0


class SocketClient:
    """A client over the `websockets` package; keeps every message it has read."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self.socket = socket
        self.messages: list[Json] = []
        self._numbers = iter(range(1, 1_000_000))

    async def receive(self) -> Json:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            message: Json = json.loads(await self.socket.recv())
        self.messages.append(message)
        return message

    async def until(self, found: Callable[[Json], bool]) -> Json:
        while not found(message := await self.receive()):
            pass
        return message

    async def of_type(self, kind: str) -> Json:
        return await self.until(lambda message: message.get("type") == kind)

    async def send(self, cmd: str, *args: object, **more: object) -> None:
        await self.socket.send(json.dumps({"cmd": cmd, "args": args, **more}))

    async def ask(self, cmd: str, *args: object) -> Json:
        """Send one command and give its answer; what comes before it is kept in `messages`."""
        number = f"n{next(self._numbers)}"
        await self.send(cmd, *args, id=number)
        return await self.until(lambda message: message.get("id") == number)

    async def drain(self) -> list[Json]:
        """Give all messages that are on their way: up to the answer to one more ping."""
        begin = len(self.messages)
        await self.ask("ping", 1)
        return self.messages[begin:-1]

    async def closed(self) -> None:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await self.socket.wait_closed()


class RestClient:
    def __init__(self, session: aiohttp.ClientSession, base: str) -> None:
        self._session = session
        self._base = base

    async def ask(self, path: str, **query: object) -> tuple[int, str]:
        """Give status and body of a path below /v2/, or of any path that begins with a slash."""
        url = self._base + (path if path.startswith("/") else f"/v2/{path}")
        async with self._session.get(url, params={key: str(value) for key, value in query.items()}) as answer:
            return answer.status, await answer.text()

    async def get(self, path: str, **query: object) -> Any:
        status, body = await self.ask(path, **query)
        assert status == 200, body
        answer = json.loads(body)
        return answer["data"] if answer.get("status") == 0 else answer

    async def post(self, path: str, **body: object) -> tuple[int, Any]:
        async with self._session.post(self._base + path, json=body) as answer:
            return answer.status, await answer.json()


Start = Callable[..., Awaitable[FmexVenue]]
Connect = Callable[[], Awaitable[SocketClient]]


@pytest.fixture
def settings() -> Json:
    """The venue's switches; a test names its own by `pytest.mark.parametrize("settings", [..])`."""
    return {}


@pytest.fixture
async def venue(settings: Json) -> AsyncIterator[FmexVenue]:
    chosen = {"running": False, "rest_limit": 1000, **settings}
    async with simulator.serve(("fmex",), seed=7, settings={"fmex": chosen}) as running:
        yield running["fmex"]


@pytest.fixture
async def connect(venue: FmexVenue) -> AsyncIterator[Connect]:
    """Open one more socket to the venue."""
    async with AsyncExitStack() as stack:

        async def begin() -> SocketClient:
            socket = await stack.enter_async_context(
                websockets.connect(venue.address["ws_url"], max_size=None, close_timeout=1, ping_interval=None)
            )
            return SocketClient(socket)

        yield begin


@pytest.fixture
async def client(connect: Connect) -> SocketClient:
    client = await connect()
    await client.receive()
    return client


@pytest.fixture
async def rest(venue: FmexVenue) -> AsyncIterator[RestClient]:
    async with aiohttp.ClientSession() as session:
        yield RestClient(session, venue.address["rest_url"])

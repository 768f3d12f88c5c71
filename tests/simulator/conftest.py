"""A simulated venue that moves only when a test says so, and two independent clients of it."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest
import websockets

from collector import simulator
from collector.simulator.fmfw import FmfwVenue

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

    async def send(self, **request: object) -> None:
        await self.socket.send(json.dumps(request))

    async def until(self, found: Callable[[Json], bool]) -> Json:
        while not found(message := await self.receive()):
            pass
        return message

    async def ask(self, method: str, ch: str, **params: object) -> Json:
        """Send one request and give its answer; what comes before it is kept in `messages`."""
        number = next(self._numbers)
        await self.send(method=method, ch=ch, params=params, id=number)
        return await self.until(lambda message: message.get("id") == number)

    async def drain(self) -> list[Json]:
        """Give all messages that are on their way: up to the answer to one more request."""
        begin = len(self.messages)
        await self.ask("subscriptions", "trades")
        return self.messages[begin:-1]

    async def closed(self) -> None:
        """Wait until the connection has ended."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await self.socket.wait_closed()


class RestClient:
    def __init__(self, session: aiohttp.ClientSession, base: str) -> None:
        self._session = session
        self._base = base

    async def get(self, path: str, **query: object) -> Any:
        status, answer = await self.ask(path, **query)
        assert status == 200, answer
        return answer

    async def ask(self, path: str, **query: object) -> tuple[int, Any]:
        """Give status and body of a public path, or of any path that begins with a slash."""
        base = self._base.removesuffix("/api/3") if path.startswith("/") else f"{self._base}/public/"
        async with self._session.get(base + path, params={key: str(value) for key, value in query.items()}) as answer:
            return answer.status, await answer.json()

    async def post(self, path: str, **body: object) -> tuple[int, Any]:
        async with self._session.post(self._base.removesuffix("/api/3") + path, json=body) as answer:
            return answer.status, await answer.json()

    async def delete(self, path: str) -> Any:
        async with self._session.delete(self._base.removesuffix("/api/3") + path) as answer:
            return await answer.json()


async def eventually(holds: Callable[[], bool]) -> None:
    """Wait until something that no client can see has happened in the venue."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not holds():  # noqa: ASYNC110  the venue has no events for what only tests watch
            await asyncio.sleep(0.005)


Start = Callable[..., Awaitable[FmfwVenue]]
Connect = Callable[[], Awaitable[SocketClient]]
Eventually = Callable[[Callable[[], bool]], Awaitable[None]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Start a venue with the settings given; it stands still unless `running=True` is among them."""
    async with AsyncExitStack() as stack:

        async def begin(*, rate: float = 50.0, symbols: int | None = None, **settings: object) -> FmfwVenue:
            chosen = {"running": False, "history_events": 3000, "socket_limit": 1000, "rest_limit": 1000} | settings
            running = await stack.enter_async_context(
                simulator.serve(("fmfw",), seed=7, rate=rate, symbols=symbols, settings={"fmfw": chosen})
            )
            venue: FmfwVenue = running["fmfw"]
            return venue

        yield begin


@pytest.fixture(name="eventually")
def _eventually() -> Callable[[Callable[[], bool]], Awaitable[None]]:
    return eventually


@pytest.fixture
def settings() -> Json:
    """The venue's switches; a test names its own by `pytest.mark.parametrize("settings", [..])`."""
    return {}


@pytest.fixture
async def venue(start: Start, settings: Json) -> FmfwVenue:
    return await start(**settings)


@pytest.fixture
async def connect(venue: FmfwVenue) -> AsyncIterator[Connect]:
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
    return await connect()


@pytest.fixture
async def rest(venue: FmfwVenue) -> AsyncIterator[RestClient]:
    async with aiohttp.ClientSession() as session:
        yield RestClient(session, venue.address["rest_url"])

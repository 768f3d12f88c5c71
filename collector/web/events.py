"""The page's live line: `/api/events`, server-sent events.

The newest state is encoded once for all who watch, and only while somebody does. Who reads too slowly misses states in
between, never memory of ours: a client holds no queue, only the numbers of what it was last sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from aiohttp import web

from collector.logs import KNOWN_SECRETS
from collector.supervise.looks import Looks, encoded

if TYPE_CHECKING:
    from collector.clock import Clock
    from collector.status.facts import Status
    from collector.web.day import LastDay

# How often a page is sent the state.
STATE_INTERVAL_SECONDS: Final = 2.0
# After this long without a state, a comment keeps the line open.
HEARTBEAT_SECONDS: Final = 10.0
# A client that has not taken what was sent for this long is cut off.
SEND_TIMEOUT_SECONDS: Final = 30.0
# Pages that may be open at the same time.
CLIENTS_MAX: Final = 32
# After this long a browser connects again.
RETRY_MS: Final = 2000

_HEADERS: Final = {"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}


class _Client:
    def __init__(self) -> None:
        self.news = asyncio.Event()
        self.sent: dict[str, int] = {}


class Events:
    """Sends `status` every two seconds and `day` when it is new to all who watch; `look` takes a snapshot."""

    def __init__(self, look: Callable[[], Status], day: LastDay, clock: Clock, looks: Looks) -> None:
        self._look = look
        self._looks = looks
        self._day = day
        self._clock = clock
        self._clients: set[_Client] = set()
        self._newest: dict[str, tuple[int, bytes]] = {}
        self._looked: float | None = None
        self._somebody = asyncio.Event()
        self._ended = False

    def __repr__(self) -> str:
        return f"<Events clients={len(self._clients)}>"

    async def run(self) -> None:
        """Look and tell until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow_status())
            group.create_task(self._follow_day())

    def end(self) -> None:
        """Let everybody go, because the daemon stops."""
        self._ended = True
        self._wake()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Serve one who watches, until either side ends."""
        if self._ended or len(self._clients) >= CLIENTS_MAX:
            text = "the daemon is stopping\n" if self._ended else f"{CLIENTS_MAX} pages are open already: "
            "close one and try again\n"
            return web.Response(status=503, text=text, headers={"Retry-After": "5"})
        response = web.StreamResponse(headers=_HEADERS)
        if request.method == "HEAD":
            await response.prepare(request)
            return response
        client = _Client()
        self._clients.add(client)
        self._somebody.set()
        self._look_again()
        client.news.set()
        try:
            await response.prepare(request)
            await self._send(response, b"retry: %d\n\n" % RETRY_MS)
            await self._serve(client, response)
        except (ConnectionError, TimeoutError):
            pass  # it has gone, or does not read: it comes again by itself
        finally:
            self._clients.discard(client)
            if not self._clients:
                self._somebody.clear()
        return response

    async def _serve(self, client: _Client, response: web.StreamResponse) -> None:
        while not self._ended:
            try:
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    await client.news.wait()
            except TimeoutError:
                await self._send(response, b": alive\n\n")
                continue
            client.news.clear()
            for kind, (number, event) in list(self._newest.items()):
                if client.sent.get(kind) != number:
                    client.sent[kind] = number
                    await self._send(response, event)
        await self._send(response, b"event: end\ndata: the daemon is stopping\n\n")

    async def _send(self, response: web.StreamResponse, event: bytes) -> None:
        async with asyncio.timeout(SEND_TIMEOUT_SECONDS):
            await response.write(event)

    # -- what is sent --------------------------------------------------------------------------------------------------

    async def _follow_status(self) -> None:
        while True:
            await self._somebody.wait()
            self._look_again()
            await self._clock.sleep(STATE_INTERVAL_SECONDS)

    async def _follow_day(self) -> None:
        while True:
            await self._somebody.wait()
            if self._day.due:
                try:
                    await self._day.refresh()
                except Exception as error:  # noqa: BLE001  told by `failed`
                    self._looks.failed("last 24 hours", error)
                else:
                    self._looks.succeeded("last 24 hours")
            if self._newest.get("day", (0,))[0] != self._day.number:
                self._put("day", self._day.number, self._day.body)
            await self._clock.sleep(STATE_INTERVAL_SECONDS)

    def _look_again(self) -> None:
        """Encode the newest status, unless that was done a moment ago for somebody else."""
        now = self._clock.monotonic()
        if self._looked is not None and now - self._looked < STATE_INTERVAL_SECONDS / 2:
            return
        self._looked = now
        body = self._looks.take("status", lambda: KNOWN_SECRETS.hide_in_json(encoded(self._look())), None)
        if body is not None:
            self._put("status", self._newest.get("status", (0,))[0] + 1, body)

    def _put(self, kind: str, number: int, body: bytes) -> None:
        # JSON holds no line breaks, so it is one line of data.
        self._newest[kind] = number, b"event: %s\ndata: %s\n\n" % (kind.encode(), body)
        self._wake()

    def _wake(self) -> None:
        for client in self._clients:
            client.news.set()

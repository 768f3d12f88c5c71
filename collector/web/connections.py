"""The connections to the status page: bounded in number and in patience, so that whoever only looks takes nothing away.

Each connection costs a descriptor, and the journal needs one for its next segment, a venue one for its next line. So
the page holds few connections, never the last descriptors, and lets go of those that ask nothing. They are accepted
here and not by the event loop, which takes all that come, and gives up or spins when there are no descriptors left.
"""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn

import structlog
from aiohttp import web

log = structlog.get_logger()

# 32 open pages, a few more connections of each browser, and scrapes of metrics.
CONNECTIONS_MAX: Final = 128
# File descriptors that the page leaves for journal, venues and database; a quarter where the limit is below 256.
RESERVED_DESCRIPTORS: Final = 64
# From the connection to the end of the first request's head.
FIRST_REQUEST_TIMEOUT_SECONDS: Final = 10.0
# From an answer to the end of the next request's head, so that the answer has to be read within it too.
IDLE_TIMEOUT_SECONDS: Final = 60.0
# After the system could not accept a connection, mostly for want of file descriptors.
ACCEPT_PAUSE_SECONDS: Final = 1.0

_REFUSAL_HEAD: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nServer: collector\r\nRetry-After: 5\r\nContent-Type: text/plain\r\n"
    b"Content-Length: %d\r\nConnection: close\r\n\r\n%b"
)
_FULL_TEXT: Final = b"all connections of this page are in use\n"
_SCARCE_TEXT: Final = b"the daemon has no descriptors to spare\n"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Held:
    """One connection: what it does, and until when it may do nothing."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.requests = 0
        self.idle_since = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def wait(self, seconds: float) -> None:
        """Give it so long for its next request."""
        self.rest()
        loop = asyncio.get_running_loop()
        self.idle_since = loop.time()
        self._timer = loop.call_later(seconds, self.transport.abort)

    def rest(self) -> None:
        """Stop counting."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Connections:
    """Holds what `accept` takes; `follow` is the middleware by which it knows who is being answered."""

    def __init__(self, *, most: int = CONNECTIONS_MAX) -> None:
        self.refused = 0
        """Connections that were turned away since the start."""
        self._most = most
        self._held: dict[object, _Held] = {}
        self._scarce = False

    def __repr__(self) -> str:
        return f"<Connections {len(self._held)} of {self._most}, refused={self.refused}>"

    async def accept(self, listening: socket.socket, server: web.Server) -> NoReturn:
        """Take connections from a listening socket until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listening)
            except ConnectionError:
                continue  # it has gone while it waited
            except OSError as error:
                # No descriptors, or no memory for one: those who wait stay in the kernel's queue meanwhile.
                self._tell_scarce(error.strerror or str(error))
                await asyncio.sleep(ACCEPT_PAUSE_SECONDS)
                continue
            await self._take(connection, server)

    async def _take(self, connection: socket.socket, server: web.Server) -> None:
        self._forget_closed()
        # The kernel gives the lowest number that is free: a high one means that few are left.
        if connection.fileno() >= _limit() - _reserved(_limit()):
            self._tell_scarce("the last ones are kept for journal, venues and database")
            self._refuse(connection, _SCARCE_TEXT)
            return
        self._scarce = False
        if len(self._held) >= self._most and not self._let_one_go():
            self._refuse(connection, _FULL_TEXT)
            return
        try:
            transport, protocol = await asyncio.get_running_loop().connect_accepted_socket(server, connection)
        except OSError:
            connection.close()
            return
        held = self._held[protocol] = _Held(transport)
        held.wait(FIRST_REQUEST_TIMEOUT_SECONDS)

    @web.middleware
    async def follow(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer a request, and count the connection's patience from then on."""
        held = self._held.get(request.protocol)
        if held is None:
            return await handler(request)
        held.rest()
        held.requests += 1
        try:
            return await handler(request)
        finally:
            held.requests -= 1
            if not held.requests:
                held.wait(IDLE_TIMEOUT_SECONDS)

    def _forget_closed(self) -> None:
        for protocol in [protocol for protocol, held in self._held.items() if held.transport.is_closing()]:
            self._held.pop(protocol).rest()

    def _let_one_go(self) -> bool:
        """Close the connection that has asked nothing for the longest; False where all are being answered."""
        idle = [protocol for protocol, held in self._held.items() if not held.requests]
        if not idle:
            return False
        held = self._held.pop(min(idle, key=lambda protocol: self._held[protocol].idle_since))
        held.rest()
        held.transport.abort()
        return True

    def _refuse(self, connection: socket.socket, text: bytes) -> None:
        self.refused += 1
        try:
            connection.send(_REFUSAL_HEAD % (len(text), text))
        except OSError:
            pass  # it does not listen
        finally:
            connection.close()

    def _tell_scarce(self, reason: str) -> None:
        if not self._scarce:
            log.warning(
                "page_refuses", reason=reason, remedy="raise LimitNOFILE, or find out what keeps so many files open"
            )
        self._scarce = True


def raise_limit() -> None:
    """Let this process open as many files as its account may at all: the soft limit is often far below that."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError) as error:
            log.warning("open_files_not_raised", limit=soft, reason=str(error))


def _limit() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 31 if soft == resource.RLIM_INFINITY else soft


def _reserved(limit: int) -> int:
    return min(RESERVED_DESCRIPTORS, limit // 4)

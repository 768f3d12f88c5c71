"""The venue's doors: HTTP and WebSocket on one port, over aiohttp.

Outgoing frames do not pass through aiohttp's writer: `connection` writes ready frames straight to the transport.
"""

import itertools
import time
from contextlib import AbstractAsyncContextManager
from typing import Final

import orjson
from aiohttp import WSMsgType, web

from collector.simulator.fmfw.connection import Connection
from collector.simulator.fmfw.control import FmfwControl, with_nulls
from collector.simulator.fmfw.errors import NothingFound, OutOfService, TooManyRequests, VenueError
from collector.simulator.fmfw.text import iso_time
from collector.simulator.fmfw.venue import FmfwVenue
from collector.simulator.kit.server import opened, served
from collector.simulator.kit.sockets import pong_frame
from collector.simulator.options import Options

_BASE: Final = "/api/3"
# The largest message that a client may send.
_MESSAGE_MAX_BYTES: Final = 1024 * 1024


class Doors:
    """The request handlers."""

    def __init__(self, venue: FmfwVenue) -> None:
        self.venue = venue
        self._numbers = itertools.count(1)

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get(f"{_BASE}/ws/public", self.socket)
        app.router.add_get(f"{_BASE}/public/{{path:.*}}", self.public)
        FmfwControl(self.venue).add_to(app.router)
        app.router.add_route("*", "/{path:.*}", self.elsewhere)
        return app

    async def public(self, request: web.Request) -> web.Response:
        """Answer a public REST path."""
        venue = self.venue
        try:
            faults = venue.faults
            if not venue.rest_window.allow(request.remote or "", time.monotonic()) or faults.take(
                "429", channel="rest"
            ):
                raise TooManyRequests
            if (outage := faults.take("5xx", channel="rest")) is not None:
                raise OutOfService(int(outage.number("status", 503)))
            path = request.match_info["path"]
            answer = venue.rest.answer(path, request.query)
            if "null_fields" in faults.armed and path.split("/")[0] == "ticker":
                answer = with_nulls(answer, path, venue)
            return web.Response(body=orjson.dumps(answer), content_type="application/json")
        except VenueError as error:
            return self._error(request, error)

    async def elsewhere(self, request: web.Request) -> web.Response:
        return self._error(request, NothingFound(f"No such path: {request.path}"))

    async def socket(self, request: web.Request) -> web.StreamResponse:
        """Serve one client's socket from its opening to its end."""
        venue, address = self.venue, request.remote or ""
        if (refusal := venue.faults.take("refuse_connections")) is not None:
            return self._error(request, OutOfService(int(refusal.number("status", 503))))
        if venue.connections_of(address) >= venue.settings.most_connections:
            return self._error(request, TooManyRequests())
        socket, transport = await opened(request, _MESSAGE_MAX_BYTES)
        connection = Connection(transport, address, time.monotonic(), venue.settings.buffer_limit)
        async with venue.serving(connection):
            async for message in socket:
                if connection.frozen:
                    continue
                connection.heard(time.monotonic())
                if message.type == WSMsgType.PING:
                    connection.buffer.append(pong_frame(message.data))
                elif message.type == WSMsgType.TEXT:
                    venue.requests.handle(connection, message.data, time.monotonic())
                elif message.type == WSMsgType.BINARY:
                    venue.requests.handle(connection, "", time.monotonic())
                connection.flush()
        return socket

    def _error(self, request: web.Request, error: VenueError) -> web.Response:
        body = {
            "timestamp": iso_time(self.venue.now_ms()),
            "error": error.body(),
            "path": request.path,
            "requestId": f"sim-{next(self._numbers):08x}",
        }
        return web.Response(status=error.status, body=orjson.dumps(body), content_type="application/json")


def serve(options: Options) -> AbstractAsyncContextManager[FmfwVenue]:
    """Serve the venue on `options.host` and `options.port` until the context ends."""
    venue = FmfwVenue(options)
    return served(
        venue,
        Doors(venue).application(),
        options,
        lambda http, ws: {"rest_url": f"{http}{_BASE}", "ws_url": f"{ws}{_BASE}/ws/public"},
    )

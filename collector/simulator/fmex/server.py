"""The venue's doors: HTTP and WebSocket on one port, over aiohttp.

Outgoing frames do not pass through aiohttp's writer: `connection` writes ready frames straight to the transport.
"""

import time
from contextlib import AbstractAsyncContextManager
from typing import Final

from aiohttp import WSMsgType, web

from collector.simulator.fmex.connection import Connection
from collector.simulator.fmex.control import FmexControl
from collector.simulator.fmex.rest import RestError
from collector.simulator.fmex.venue import FmexVenue
from collector.simulator.kit.server import opened, served
from collector.simulator.kit.sockets import pong_frame
from collector.simulator.options import Options

# The largest message that a client may send.
_MESSAGE_MAX_BYTES: Final = 1024 * 1024
_PARKED_PAGE: Final = "<html><body><h1>This domain is parked.</h1></body></html>"

STATISTICS: Final = "/api/contracts/web/v3/public/statistics"


class Doors:
    """The request handlers."""

    def __init__(self, venue: FmexVenue) -> None:
        self.venue = venue

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/v2/ws", self.socket)
        app.router.add_get(STATISTICS, self.public)
        FmexControl(self.venue).add_to(app.router)
        app.router.add_route("*", "/{path:.*}", self.public)
        return app

    async def public(self, request: web.Request) -> web.Response:
        """Answer a REST path."""
        venue, faults = self.venue, self.venue.faults
        if (outage := faults.take("5xx")) is not None:
            return web.Response(status=int(outage.number("status", 503)), text=_PARKED_PAGE, content_type="text/html")
        if faults.take("html"):
            return web.Response(text=_PARKED_PAGE, content_type="text/html")
        try:
            if not venue.window.allow(request.remote or "", time.monotonic()) or faults.take("429"):
                raise RestError(429, "too many requests", http=429)  # noqa: TRY301  one way out for all errors
            if request.path == STATISTICS:
                text = venue.rest.interest()
            elif request.method == "GET" and request.path.startswith("/v2/"):
                text = f'{{"status":0,"data":{venue.rest.answer(request.path.removeprefix("/v2/"), request.query)}}}'
            else:
                raise RestError(40_400, "not found", http=404)  # noqa: TRY301
        except RestError as error:
            body = f'{{"status":{error.status},"msg":"{error.message}"}}'
            return web.Response(status=error.http, text=body, content_type="application/json")
        return web.Response(text=text, content_type="application/json")

    async def socket(self, request: web.Request) -> web.StreamResponse:
        """Serve one client's socket from its opening to its end."""
        venue = self.venue
        if (refusal := venue.faults.take("refuse_connections")) is not None:
            return web.Response(status=int(refusal.number("status", 503)), text=_PARKED_PAGE, content_type="text/html")
        socket, transport = await opened(request, _MESSAGE_MAX_BYTES)
        connection = Connection(transport, request.remote or "", time.monotonic(), venue.settings.buffer_limit)
        async with venue.serving(connection):
            async for message in socket:
                if connection.frozen:
                    continue
                if message.type == WSMsgType.PING:
                    connection.buffer.append(pong_frame(message.data))
                    connection.flush()
                elif message.type == WSMsgType.TEXT:
                    venue.handle(connection, message.data, time.monotonic())
        return socket


def serve(options: Options) -> AbstractAsyncContextManager[FmexVenue]:
    """Serve the venue on `options.host` and `options.port` until the context ends."""
    venue = FmexVenue(options)
    return served(
        venue, Doors(venue).application(), options, lambda http, ws: {"rest_url": http, "ws_url": f"{ws}/v2/ws"}
    )

"""The venue's doors: the REST services and the streaming socket on one port, over aiohttp."""

import asyncio
import time
from contextlib import AbstractAsyncContextManager

from aiohttp import WSMsgType, web

from collector.simulator.kit.server import served
from collector.simulator.metaapi import rest
from collector.simulator.metaapi.control import MetaapiControl
from collector.simulator.metaapi.engine import MESSAGE_MAX_BYTES, Session, decode_payload, opening
from collector.simulator.metaapi.venue import MetaapiVenue
from collector.simulator.options import Options

_CONNECTED = "40"


class Doors:
    """The handlers of `/ws/`."""

    def __init__(self, venue: MetaapiVenue) -> None:
        self.venue = venue

    def application(self) -> web.Application:
        app = web.Application(client_max_size=MESSAGE_MAX_BYTES)
        app.router.add_get("/ws/", self.get)
        app.router.add_post("/ws/", self.post)
        rest.add_routes(app.router, self.venue)
        MetaapiControl(self.venue).add_to(app.router)
        return app

    def _refusal(self, request: web.Request) -> web.Response | None:
        query = request.query
        if query.get("auth-token") != self.venue.settings.token or self.venue.faults.take("401") is not None:
            return rest.error(401, "UnauthorizedError", "Authorization token invalid")
        if query.get("EIO") != "3" or query.get("transport") not in ("polling", "websocket"):
            return web.json_response({"code": 0, "message": "Transport unknown"}, status=400)
        if query.get("clientId") is not None and query["clientId"] != request.headers.get("Client-Id"):
            return web.json_response({"message": "clientId and Client-Id differ"}, status=400)
        return None

    async def get(self, request: web.Request) -> web.StreamResponse:
        """Open a session, poll one, or carry one over a WebSocket."""
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        sid = request.query.get("sid")
        session = self.venue.sessions.get(sid) if sid else None
        if sid and session is None:
            return web.json_response({"code": 1, "message": "Session ID unknown"}, status=400)
        if request.query["transport"] == "websocket":
            return await self._socket(request, session)
        if session is not None:
            session.heard = time.monotonic()
            return _payload(await session.poll(self.venue.settings.ping_interval))
        session = self._open(["websocket"])
        return _payload(await session.poll(0.0))

    def _open(self, upgrades: list[str]) -> Session:
        settings = self.venue.settings
        session = self.venue.connected(time.monotonic())
        session.send(opening(session.sid, upgrades, settings.ping_interval, settings.ping_timeout))
        session.send(_CONNECTED)
        return session

    async def post(self, request: web.Request) -> web.Response:
        """Take packets of a client that polls."""
        refusal = self._refusal(request)
        session = self.venue.sessions.get(request.query.get("sid", ""))
        if refusal is not None or session is None:
            return refusal or web.json_response({"code": 1, "message": "Session ID unknown"}, status=400)
        try:
            packets = decode_payload(await request.read())
        except (ValueError, IndexError):
            return web.json_response({"code": 3, "message": "Bad request"}, status=400)
        for packet in packets:
            self._take(session, packet)
        return web.Response(text="ok")

    async def _socket(self, request: web.Request, session: Session | None) -> web.StreamResponse:
        socket = web.WebSocketResponse(compress=False, max_msg_size=MESSAGE_MAX_BYTES, timeout=1.0)
        await socket.prepare(request)
        if session is None:
            session = self._open([])
        elif not await _probed(socket, session):
            return socket
        session.carried_by(socket, request.transport)
        async with asyncio.TaskGroup() as group:
            writer = group.create_task(session.write())
            async for message in socket:
                if session.closed:
                    break
                if not session.frozen and message.type is WSMsgType.TEXT:
                    self._take(session, message.data)
            self.venue.disconnected(session)
            writer.cancel()
        return socket

    def _take(self, session: Session, packet: str) -> None:
        venue = self.venue
        session.heard = time.monotonic()
        if packet[:1] == "2":
            if venue.faults.take("no_pong") is None:
                session.send("3" + packet[1:])
        elif packet[:2] == "42":
            venue.requests.handle(session, packet[2:].lstrip("0123456789"), time.monotonic())
        elif packet[:1] == "1" or packet[:2] == "41":
            session.cut()


async def _probed(socket: web.WebSocketResponse, session: Session) -> bool:
    """Let a polling session move to this socket; False where the client does not want to after all."""
    async for message in socket:
        if message.data == "2probe":
            await socket.send_str("3probe")
            session.release_poll()
            continue
        return bool(message.data == "5")
    return False


def _payload(text: str) -> web.Response:
    return web.Response(body=text.encode(), content_type="text/plain", charset="utf-8")


def serve(options: Options) -> AbstractAsyncContextManager[MetaapiVenue]:
    """Serve the venue on `options.host` and `options.port` until the context ends."""
    venue = MetaapiVenue(options)
    account = venue.accounts[venue.settings.accounts[0]]
    return served(
        venue,
        Doors(venue).application(),
        options,
        lambda http, _: {"url": http, "token": venue.settings.token, "account": account.id},
    )

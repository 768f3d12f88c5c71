"""The venue's doors: HTTP and WebSocket on one port, over aiohttp."""

import asyncio
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, Final

import orjson
from aiohttp import WSMsgType, web
from aiohttp.typedefs import Handler

from collector.simulator.finam.control import FinamControl
from collector.simulator.finam.news import PATHS
from collector.simulator.finam.rest import ApiError, method_of
from collector.simulator.finam.socket import Client
from collector.simulator.finam.text import status
from collector.simulator.finam.venue import ACCOUNT, SECRET, FinamVenue
from collector.simulator.kit.server import served
from collector.simulator.options import Options

_MARKET_DATA: Final = ("LastQuote", "OrderBook", "LatestTrades", "Bars")
# How long a call for market data waits after the market has closed for the day, before it is refused.
_HELD_MAX_SECONDS: Final = 10.0


class Doors:
    """The request handlers."""

    def __init__(self, venue: FinamVenue) -> None:
        self.venue = venue

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self._refusals])
        app.router.add_post("/v1/sessions", self.sessions)
        app.router.add_post("/v1/sessions/details", self.details)
        app.router.add_get("/v1/{path:.*}", self.get)
        app.router.add_get("/ws", self.socket)
        app.router.add_get("/tradinginfo", self.socket)
        for source, path in PATHS.items():
            app.router.add_get(path, partial(self.news, source))
        FinamControl(self.venue).add_to(app.router)
        return app

    async def get(self, request: web.Request) -> web.StreamResponse:
        """Answer a GET path."""
        found = method_of(request.match_info["path"])
        if found is None:
            raise ApiError(404, 5, "Not Found")
        method, symbol = found
        venue = self.venue
        if not venue.sessions.valid(request.headers.get("Authorization")) or venue.faults.take(
            "401", symbol=symbol, channel=method
        ):
            raise ApiError(401, 16, "token is invalid or expired")
        spoilt = await self._guard(request, method, symbol)
        if spoilt is not None:
            return spoilt
        if method == "GetUsageMetrics":
            return _json(venue.quotas.as_json())
        return _json(venue.rest.answer(method, symbol, request.query))

    async def news(self, source: str, request: web.Request) -> web.StreamResponse:
        """Answer a feed of headlines, which is no part of the API: whoever shows a token there gives it away."""
        if "Authorization" in request.headers:
            raise ApiError(400, 3, "a token has no business here")
        if self.venue.faults.take("5xx", symbol=source, channel="news") is not None:
            raise ApiError(503, 14, "Service unavailable")
        return web.Response(body=self.venue.headlines(source), content_type="application/rss+xml")

    async def sessions(self, request: web.Request) -> web.StreamResponse:
        """Give a token for the secret."""
        body = await self._open(request, "Auth")
        token = self.venue.sessions.open(body.get("secret"))
        if token is None:
            raise ApiError(401, 16, "secret is not valid")
        return _json({"token": token})

    async def details(self, request: web.Request) -> web.StreamResponse:
        """Describe a token."""
        token = (await self._open(request, "TokenDetails")).get("token")
        if not isinstance(token, str) or not self.venue.sessions.valid(token):
            raise ApiError(401, 16, "token is invalid or expired")
        return _json(self.venue.sessions.details(token))

    async def _open(self, request: web.Request, method: str) -> dict[str, Any]:
        if "Authorization" in request.headers:
            raise ApiError(400, 3, "token is invalid or malformed")
        await self._guard(request, method, None)
        try:
            body = orjson.loads(await request.read())
        except orjson.JSONDecodeError as error:
            raise ApiError(400, 3, f"invalid JSON: {error}") from error
        if not isinstance(body, dict):
            raise ApiError(400, 3, "the body must be an object")
        return body

    async def _guard(self, request: web.Request, method: str, symbol: str | None) -> web.StreamResponse | None:
        """Count the call and let faults strike. Raises `ApiError`; gives a response that is none of the venue's."""
        venue, faults = self.venue, self.venue.faults
        if not venue.quotas.take(method) or faults.take("429", symbol=symbol, channel=method):
            raise ApiError(429, 8, "Too many requests")
        outage = faults.take("5xx", symbol=symbol, channel=method)
        if outage is not None:
            raise ApiError(int(outage.options.get("status", 503)), 14, "Service unavailable")
        if method in _MARKET_DATA and not await venue.answering(_HELD_MAX_SECONDS):
            raise ApiError(503, 14, "the simulated day is over")
        if faults.take("envoy", symbol=symbol, channel=method):
            return web.Response(status=500, text="Response not transcoded because the transcoder's buffer is full")
        if faults.take("garbage", symbol=symbol, channel=method):
            return web.Response(body=b'{"symbol":"SBER@MI', content_type="application/json")
        if faults.take("hang_up", symbol=symbol, channel=method) and request.transport is not None:
            request.transport.abort()
            await asyncio.sleep(0)
            raise ApiError(503, 14, "nobody reads this")
        return None

    @web.middleware
    async def _refusals(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except ApiError as error:
            return self._refuse(error)

    def _refuse(self, error: ApiError) -> web.Response:
        headers = {}
        if error.status == 429 and self.venue.settings.retry_after:
            headers["Retry-After"] = str(self.venue.quotas.seconds_left())
        return web.Response(
            status=error.status,
            body=orjson.dumps(status(error.code, error.message)),
            content_type="application/json",
            headers=headers,
        )

    async def socket(self, request: web.Request) -> web.StreamResponse:
        """Serve one client's socket from its opening to its end."""
        venue = self.venue
        authorization = request.headers.get("Authorization")
        if authorization is not None and not venue.sessions.valid(authorization):
            raise ApiError(401, 16, "token is invalid or expired")
        socket = web.WebSocketResponse(autoping=False, timeout=1.0)
        await socket.prepare(request)
        transport = request.transport
        client = Client(socket, transport if isinstance(transport, asyncio.Transport) else None)
        async with asyncio.TaskGroup() as group:
            writing = group.create_task(client.write(lambda: venue.faults.take("silence") is not None))
            venue.hub.greet(client)
            try:
                async for message in socket:
                    if client.frozen:
                        continue
                    if message.type is WSMsgType.PING:
                        await socket.pong(message.data)
                    elif message.type is WSMsgType.TEXT:
                        venue.hub.request(client, message.data, venue.sessions.valid)
            finally:
                venue.hub.clients.discard(client)
                writing.cancel()
        return socket


def _json(answer: object) -> web.Response:
    return web.Response(body=orjson.dumps(answer), content_type="application/json")


def serve(options: Options) -> AbstractAsyncContextManager[FinamVenue]:
    """Serve the venue on `options.host` and `options.port` until the context ends."""
    venue = FinamVenue(options)
    return served(
        venue,
        Doors(venue).application(),
        options,
        lambda http, ws: {
            "rest_url": f"{http}/v1",
            "ws_url": f"{ws}/ws",
            "news_url": http,
            "secret": SECRET,
            "account": ACCOUNT,
        },
    )

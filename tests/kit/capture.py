"""The captured venue: a socket that gives what was captured, and what the capture holds, read without the collector."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
from aiohttp import WSMsgType, web

from .rebuilt import Rebuilt, change

FOLDER = Path(os.environ.get("FMFW_CAPTURES") or Path(__file__).parents[3] / "shared" / "captures")
SOCKET = FOLDER / "fmfw-2021-10-09-socket.ndjson"
SYMBOLS = FOLDER / "fmfw-2021-10-09-symbol.json"
CHANNELS = frozenset({"ticker/1s", "trades", "orderbook/full", "candles/M1"})


def frames() -> Iterator[str]:
    """The texts that came, but for the acknowledgements."""
    for line in SOCKET.read_bytes().splitlines():
        frame = orjson.loads(line)
        if frame["dir"] == "in" and '"ch"' in frame["text"][:5]:
            yield frame["text"]


def items(channel: str) -> Iterator[tuple[str, str, Any]]:
    """Every item of a channel: the kind of its message, its symbol, the item."""
    for text in frames():
        message = orjson.loads(text)
        if message["ch"] == channel:
            for kind in ("snapshot", "update", "data"):
                for symbol, content in message.get(kind, {}).items():
                    for item in content if isinstance(content, list) else [content]:
                        yield kind, symbol, item


def symbols() -> list[str]:
    return sorted({symbol for channel in CHANNELS for _, symbol, _ in items(channel)})


def books() -> dict[str, Rebuilt]:
    """The books at the end of the capture."""
    found: dict[str, Rebuilt] = {}
    for kind, symbol, item in items("orderbook/full"):
        asks: dict[Decimal, Decimal] = {}
        bids: dict[Decimal, Decimal] = {}
        if kind == "update":
            before, asks, bids = found[symbol]
            assert item["s"] == before + 1
        change(asks, item["a"])
        change(bids, item["b"])
        found[symbol] = Rebuilt(item["s"], asks, bids)
    return found


class Captured:
    """The server's address, and `sent`: set once a client has been given everything."""

    def __init__(self) -> None:
        self.sent = asyncio.Event()
        self.rest_url = self.ws_url = ""

    async def symbol(self, _request: web.Request) -> web.Response:
        return web.Response(body=SYMBOLS.read_bytes(), content_type="application/json")

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        asked: dict[str, Any] = {}
        async for message in socket:
            assert message.type is WSMsgType.TEXT
            request_body = orjson.loads(message.data)
            asked[request_body["ch"]] = request_body
            if asked.keys() != CHANNELS:
                continue
            for one in asked.values():  # the set is in the venue's own order, as it was in the capture
                result = {"ch": one["ch"], "subscriptions": sorted(one["params"]["symbols"], reverse=True)}
                await socket.send_str(orjson.dumps({"result": result, "id": one["id"]}).decode())
            for text in frames():
                await socket.send_str(text)
            self.sent.set()
        return socket


@asynccontextmanager
async def captured() -> AsyncIterator[Captured]:
    """Serve the capture, as fast as it is read."""
    venue = Captured()
    app = web.Application()
    app.router.add_get("/api/3/public/symbol", venue.symbol)
    app.router.add_get("/api/3/ws/public", venue.socket)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        venue.rest_url = f"http://127.0.0.1:{port}/api/3"
        venue.ws_url = f"ws://127.0.0.1:{port}/api/3/ws/public"
        yield venue
    finally:
        await runner.cleanup()

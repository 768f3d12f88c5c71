"""The toy venue itself: a list of symbols, and a socket that tells of trades to those who subscribe."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
from aiohttp import WSMsgType, web

SYMBOLS = ("AB", "CD", "EF")


class ToyServer:
    """Serves; `told` holds the number of each trade that was told, by symbol."""

    def __init__(self) -> None:
        self.told: dict[str, list[int]] = {symbol: [] for symbol in SYMBOLS}
        self.address = ""
        self.running = True
        self._lines: dict[web.WebSocketResponse, set[str]] = {}

    async def symbols(self, _: web.Request) -> web.Response:
        return web.json_response([{"symbol": symbol, "tick": "0.01"} for symbol in SYMBOLS])

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        line = web.WebSocketResponse()
        await line.prepare(request)
        self._lines[line] = set()
        try:
            async for message in line:
                if message.type is WSMsgType.TEXT:
                    await self._asked(line, orjson.loads(message.data))
        finally:
            del self._lines[line]
        return line

    async def _asked(self, line: web.WebSocketResponse, request: dict[str, object]) -> None:
        symbols = [str(symbol) for symbol in request["symbols"]]  # type: ignore[attr-defined]
        if unknown := [symbol for symbol in symbols if symbol not in SYMBOLS]:
            answer = {"op": "error", "id": request["id"], "code": "404", "message": f"no symbol {unknown[0]}"}
        else:
            answer = {"op": "subscribed", "id": request["id"], "symbols": symbols}
            self._lines[line] |= set(symbols)
        await line.send_str(orjson.dumps(answer).decode())

    async def trade(self) -> None:
        """Tell of a trade of each symbol that somebody listens to, a hundred times a second."""
        number = 0
        while True:
            await asyncio.sleep(0.01)
            for line, symbols in list(self._lines.items()) if self.running else ():
                for symbol in sorted(symbols):
                    number += 1
                    said = {"op": "trade", "symbol": symbol, "id": number, "time": time.time_ns() // 1_000_000}
                    said |= {"price": f"{100 + number % 7}.50", "size": "2", "side": "buy" if number % 2 else "sell"}
                    await line.send_str(orjson.dumps(said).decode())
                    self.told[symbol].append(number)


@asynccontextmanager
async def serving() -> AsyncIterator[ToyServer]:
    """Serve the venue inside the block."""
    server, app = ToyServer(), web.Application()
    app.add_routes([web.get("/symbols", server.symbols), web.get("/ws", server.socket)])
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    server.address = f"{host}:{port}"
    trading = asyncio.ensure_future(server.trade())
    try:
        yield server
    finally:
        trading.cancel()
        await asyncio.wait([trading])
        await runner.cleanup()

"""A venue that sends what was made beforehand, as fast as it is taken, once it is told to.

    python -m benchmarks.venue --frames 1000000 --symbols 20

It speaks as much of FMFW as a recorder of trades needs. The first line on stdout is a JSON object with its addresses.
Frames are made before that, all of them different, and the same options give the same bytes, so that recorders can be
compared on them. `GET /bench/state` tells who waits and what was sent when; `POST /bench/go` starts the sending to
every socket that has subscribed to `trades`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import struct
import time

from aiohttp import WSMsgType, web

START_MS = 1_760_000_000_000
FIRST_ID = 1_400_000_000
TRADES_A_MILLISECOND = 20
CHUNK_FRAMES = 512
MOST_UNSENT_BYTES = 1 << 20
FULL_PAUSE_SECONDS = 0.001


def names(count: int) -> list[str]:
    """The symbols that are traded."""
    return [f"A{number:02d}USDT" for number in range(count)]


def texts(frames: int, symbols: int, trades: int = 1, seed: int = 1) -> list[bytes]:
    """The messages: trades of one symbol, `trades` of them in each."""
    chance = random.Random(seed)
    listed, made, number = names(symbols), [], 0
    for frame in range(frames):
        items = []
        for _ in range(trades):
            price = f"{50_000 + chance.randrange(100_000) / 100:.2f}"
            size = f"{chance.randrange(1, 100_000) / 100_000:.5f}"
            items.append(
                f'{{"t":{START_MS + number // TRADES_A_MILLISECOND},"i":{FIRST_ID + number},"p":"{price}",'
                f'"q":"{size}","s":"{"buy" if number & 1 else "sell"}"}}'
            )
            number += 1
        made.append(f'{{"ch":"trades","update":{{"{listed[frame % symbols]}":[{",".join(items)}]}}}}'.encode())
    return made


def on_the_wire(text: bytes) -> bytes:
    """One unmasked WebSocket text frame."""
    size = len(text)
    if size < 126:
        return struct.pack("!BB", 0x81, size) + text
    return struct.pack("!BBH", 0x81, 126, size) + text


class Venue:
    """The request handlers, and what has been sent."""

    def __init__(self, frames: int, symbols: int, trades: int) -> None:
        self.names = names(symbols)
        self.frames, self.trades = frames, trades
        wire = [on_the_wire(text) for text in texts(frames, symbols, trades)]
        # Whole frames in every chunk: an answer to a ping may be written between any two of them.
        self._chunks = [b"".join(wire[at : at + CHUNK_FRAMES]) for at in range(0, frames, CHUNK_FRAMES)]
        self._go = asyncio.Event()
        self.waiting = 0
        self.began_ns: int | None = None
        self.ended_ns: int | None = None

    async def symbol(self, _: web.Request) -> web.Response:
        """`GET /public/symbol`."""
        spec = {
            "type": "spot",
            "quote_currency": "USDT",
            "status": "working",
            "quantity_increment": "0.00001",
            "tick_size": "0.01",
            "take_rate": "0.001",
            "make_rate": "0.001",
            "fee_currency": "USDT",
        }
        return web.json_response({name: {**spec, "base_currency": name.removesuffix("USDT")} for name in self.names})

    async def state(self, _: web.Request) -> web.Response:
        """How many sockets wait to be sent the frames, and when sending began and ended."""
        return web.json_response({"waiting": self.waiting, "began_ns": self.began_ns, "ended_ns": self.ended_ns})

    async def go(self, request: web.Request) -> web.Response:
        """Begin."""
        self._go.set()
        return await self.state(request)

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        """The public socket: acknowledges, answers pings, and sends to those who want trades."""
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        transport = request.transport
        assert isinstance(transport, asyncio.Transport)
        async with asyncio.TaskGroup() as group:
            sending: asyncio.Task[None] | None = None
            async for message in socket:
                if message.type is not WSMsgType.TEXT:
                    continue
                asked = json.loads(message.data)
                result = {"ch": asked["ch"], "subscriptions": asked["params"]["symbols"]}
                await socket.send_json({"result": result, "id": asked.get("id")})
                if asked["ch"] == "trades" and sending is None:
                    sending = group.create_task(self._send(transport))
            if sending is not None:
                sending.cancel()
        return socket

    async def _send(self, transport: asyncio.Transport) -> None:
        self.waiting += 1
        await self._go.wait()
        self.began_ns = self.began_ns or time.time_ns()
        for chunk in self._chunks:
            # aiohttp has no public way to wait for a drained transport.
            while transport.get_write_buffer_size() > MOST_UNSENT_BYTES:  # noqa: ASYNC110  as said
                await asyncio.sleep(FULL_PAUSE_SECONDS)
            if transport.is_closing():
                return
            transport.write(chunk)
        while transport.get_write_buffer_size():  # noqa: ASYNC110  as above
            await asyncio.sleep(FULL_PAUSE_SECONDS)
        self.ended_ns = time.time_ns()


async def serve(options: argparse.Namespace) -> None:
    """Serve until killed."""
    venue = Venue(options.frames, options.symbols, options.trades)
    app = web.Application()
    app.router.add_get("/api/3/public/symbol", venue.symbol)
    app.router.add_get("/api/3/ws/public", venue.socket)
    app.router.add_get("/bench/state", venue.state)
    app.router.add_post("/bench/go", venue.go)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", options.port).start()
    place = f"127.0.0.1:{runner.addresses[0][1]}"
    addresses = {"rest_url": f"http://{place}/api/3", "ws_url": f"ws://{place}/api/3/ws/public"}
    print(json.dumps({**addresses, "control_url": f"http://{place}/bench"}), flush=True)
    await asyncio.Event().wait()


def main() -> None:
    """Read the options and serve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--symbols", type=int, default=20)
    parser.add_argument("--trades", type=int, default=1, help="trades in a frame")
    parser.add_argument("--port", type=int, default=0)
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()

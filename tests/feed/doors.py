"""Local servers for tests of the network: they note what comes to them and answer as they are told."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from aiohttp import web


class Asked(NamedTuple):
    """A request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """All of it that could hold something secret."""
        return f"{self.method} {self.path} {dict(self.headers)} {self.body!r}"


@dataclass
class Door:
    """Answers every request with `status` and `headers`."""

    url: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(Asked(request.method, request.raw_path, request.headers.copy(), await request.read()))
        return web.Response(status=self.status, headers=self.headers, body=b"{}")


@asynccontextmanager
async def door() -> AsyncIterator[Door]:
    """Serve a door at an address of its own."""
    served = Door()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", served.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        served.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield served
    finally:
        await runner.cleanup()


@asynccontextmanager
async def raw(answer: Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[str]:
    """Serve whatever `answer` writes once it was given a request's head; yields the address."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(await reader.readuntil(b"\r\n\r\n"), writer)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client has gone, as it may
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        yield f"http://{host}:{port}"


@asynccontextmanager
async def body(payload: bytes, encoding: str = "", *, length: int | None = None) -> AsyncIterator[str]:
    """Serve one body in chunks, or with a `Content-Length`; yields the address."""

    async def answer(_head: bytes, writer: asyncio.StreamWriter) -> None:
        how = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
        packed = f"Content-Encoding: {encoding}\r\n" if encoding else ""
        writer.write(f"HTTP/1.1 200 OK\r\n{packed}{how}\r\n\r\n".encode())
        for start in range(0, len(payload), 65536):
            part = payload[start : start + 65536]
            writer.write(part if length is not None else f"{len(part):x}\r\n".encode() + part + b"\r\n")
            await writer.drain()
        if length is None:
            writer.write(b"0\r\n\r\n")

    async with raw(answer) as url:
        yield url


def handshake(head: bytes, extensions: str = "") -> bytes:
    """Return the answer to a request that opens a WebSocket."""
    [key] = re.findall(rb"(?i)sec-websocket-key: *(\S+)", head)
    proof = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    more = f"Sec-WebSocket-Extensions: {extensions}\r\n".encode() if extensions else b""
    first = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    return first + b"Sec-WebSocket-Accept: " + proof + b"\r\n" + more + b"\r\n"


def bomb(mebibytes: int, wbits: int) -> bytes:
    """Return zeros as zlib packs them, a thousandth of their size, quickly: the same mebibyte again and again."""
    packer = zlib.compressobj(9, zlib.DEFLATED, wbits)
    first = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return first + again * (mebibytes - 1)

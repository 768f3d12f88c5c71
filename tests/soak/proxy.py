"""A line between the daemon and a venue that can be cut, fall silent, become slow, and say things twice or in disorder.

It carries TCP for everything and understands as much of WebSocket as it takes to tell the venue's messages apart.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random

TURN_BYTES = 64 * 1024
TURNS_A_SECOND = 20
TEXT = 0x81


class Proxy:
    """Listens on `port`; what is set here holds for the lines that are open, and for new ones."""

    def __init__(self, target_port: int) -> None:
        self.port = 0
        self._passing = asyncio.Event()
        self._passing.set()
        self.bytes_per_second: int | None = None
        """No more than this comes from the venue on a line."""
        self.alter: Callable[[list[bytes]], list[bytes]] | None = None
        """What becomes of the whole messages that came from the venue together."""
        self.open = 0
        self.opened = 0
        self._target_port = target_port
        self._lines: set[asyncio.StreamWriter] = set()

    def hold(self) -> None:
        """Let nothing pass any more, in either direction, and tell nobody."""
        self._passing.clear()

    def release(self) -> None:
        """Let everything pass again, and what was held first."""
        self._passing.set()

    def cut(self) -> None:
        """End every line without a goodbye."""
        for line in list(self._lines):
            line.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        venue_reader, venue_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        self.open += 1
        self.opened += 1
        self._lines |= {writer, venue_writer}
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._carry(reader, venue_writer, None))
                group.create_task(self._carry(venue_reader, writer, Messages()))
        except* (OSError, asyncio.IncompleteReadError):
            pass  # one side is gone, and so is the other
        finally:
            self.open -= 1
            for line in (writer, venue_writer):
                self._lines.discard(line)
                line.transport.abort()

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, messages: Messages | None
    ) -> None:
        while True:
            slow = self.bytes_per_second if messages else None
            data = await reader.read(TURN_BYTES if slow is None else max(1, slow // TURNS_A_SECOND))
            if not data:
                raise ConnectionResetError
            await self._passing.wait()
            if messages is not None:
                data = messages.whole(data, self.alter)
            writer.write(data)
            await writer.drain()
            if slow is not None:
                await asyncio.sleep(1 / TURNS_A_SECOND)


class Messages:
    """Takes a venue's bytes apart into messages once the line has become a WebSocket's; plain HTTP passes as it is."""

    def __init__(self) -> None:
        self._rest = b""
        self._socket = False

    def whole(self, data: bytes, alter: Callable[[list[bytes]], list[bytes]] | None) -> bytes:
        """Give what may be sent on now: whole messages only, altered where that is wanted."""
        if not self._socket:
            if not data.startswith(b"HTTP/1.1 101 "):
                return data
            self._socket = True
            head, _, self._rest = data.partition(b"\r\n\r\n")
            return head + b"\r\n\r\n" + self.whole(b"", alter)
        self._rest += data
        found: list[bytes] = []
        while (size := _size(self._rest)) is not None and size <= len(self._rest):
            found.append(self._rest[:size])
            self._rest = self._rest[size:]
        return b"".join(alter(found) if alter else found)


def _size(data: bytes) -> int | None:
    """How long the first frame is, head included; None while that cannot be told. Servers do not mask."""
    if len(data) < 2:
        return None
    length = data[1] & 127
    if length < 126:
        return 2 + length
    head = 4 if length == 126 else 10
    return None if len(data) < head else head + int.from_bytes(data[2:head])


def disorder(random: Random, *channels: bytes) -> Callable[[list[bytes]], list[bytes]]:
    """Say messages of these channels twice now and then, and let some change places with the next one of them."""

    def alter(messages: list[bytes]) -> list[bytes]:
        altered = list(messages)
        chosen = [at for at, one in enumerate(altered) if one[0] == TEXT and any(name in one[:60] for name in channels)]
        for one, other in zip(chosen[::2], chosen[1::2], strict=False):
            if random.random() < 0.2:
                altered[one], altered[other] = altered[other], altered[one]
        for at in reversed(chosen):
            if random.random() < 0.1:
                altered.insert(at, altered[at])
        return altered

    return alter


@asynccontextmanager
async def proxy(target_port: int) -> AsyncIterator[Proxy]:
    """A line to a port of this machine, without a fault at first."""
    line = Proxy(target_port)
    async with asyncio.TaskGroup() as lines:

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            lines.create_task(line.serve(reader, writer))

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        line.port = server.sockets[0].getsockname()[1]
        try:
            yield line
        finally:
            server.close()
            line.release()
            line.cut()

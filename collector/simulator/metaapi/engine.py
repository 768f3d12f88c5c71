"""Engine.IO 3 by hand: sessions over long polling, over WebSocket, and from the one to the other.

The client pings here. Packets are texts, whose first character is their type; a session keeps what it cannot send yet
up to `_UNSENT_MAX_BYTES` and is ended when a client leaves more than that unread.
"""

import asyncio
import contextlib
from collections import deque
from typing import Final

import orjson
from aiohttp import WSMsgType, web

# The largest message that a client may send.
MESSAGE_MAX_BYTES: Final = 64 * 1024 * 1024
# A client that leaves more unread is cut off.
_UNSENT_MAX_BYTES: Final = 32 * 1024 * 1024
# Clients refuse payloads of more than sixteen packets.
_PACKETS_PER_PAYLOAD_MAX: Final = 12


def encode_payload(packets: list[str]) -> str:
    """Write packets as one polling payload: length in characters, colon, packet."""
    return "".join(f"{len(packet)}:{packet}" for packet in packets)


def decode_payload(body: bytes) -> list[str]:
    """Read a polling payload, in its text or in its binary form. ValueError where it is neither."""
    packets = []
    place = 0
    if body[:1] in (b"\x00", b"\x01"):
        while place < len(body):
            end = body.index(b"\xff", place)
            length = int("".join(str(digit) for digit in body[place + 1 : end]))
            packets.append(body[end + 1 : end + 1 + length].decode())
            place = end + 1 + length
        return packets
    text = body.decode()
    while place < len(text):
        colon = text.index(":", place)
        length = int(text[place:colon])
        packets.append(text[colon + 1 : colon + 1 + length])
        place = colon + 1 + length
    return packets


class Session:
    """One client's session, whatever carries it. `handler(packet)` gets each of the client's messages."""

    def __init__(self, sid: str, now: float) -> None:
        self.sid = sid
        self.heard = now
        self.frozen_until: float | None = None
        self.closed = False
        self.sent_characters = 0
        self.socket: web.WebSocketResponse | None = None
        self._out: deque[str] = deque()
        self._bytes = 0
        self._wake = asyncio.Event()
        self._transport: asyncio.Transport | None = None

    def __repr__(self) -> str:
        carrier = "socket" if self.socket is not None else "polling"
        return f"<Session {self.sid} {carrier} {'closed' if self.closed else 'open'}>"

    @property
    def frozen(self) -> bool:
        return self.frozen_until is not None

    def send(self, packet: str) -> bool:
        """Queue a packet; False where it will never arrive."""
        if self.closed or self.frozen:
            return False
        self._out.append(packet)
        self._bytes += len(packet)
        self.sent_characters += len(packet)
        if self._bytes > _UNSENT_MAX_BYTES:
            self.cut()
            return False
        self._wake.set()
        return True

    def carried_by(self, socket: web.WebSocketResponse, transport: asyncio.BaseTransport | None) -> None:
        """From now on this WebSocket is the line."""
        self.socket = socket
        self._transport = transport if isinstance(transport, asyncio.Transport) else None
        self._wake.set()

    def cut(self) -> None:
        """End the session without a goodbye."""
        self.closed = True
        self._wake.set()
        if self._transport is not None:
            self._transport.abort()

    async def poll(self, seconds: float) -> str:
        """Wait for packets and return a payload; a no-op where there is none, or where a socket took over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self._out and self.socket is None and not self.closed:
                    self._wake.clear()
                    await self._wake.wait()
        if self.closed:
            return encode_payload(["1"])
        if self.socket is not None or not self._out:
            return encode_payload(["6"])
        return encode_payload([self._next() for _ in range(min(len(self._out), _PACKETS_PER_PAYLOAD_MAX))])

    def _next(self) -> str:
        packet = self._out.popleft()
        self._bytes -= len(packet)
        return packet

    def release_poll(self) -> None:
        """Let a poll that waits return, since a socket takes over."""
        self._wake.set()

    async def write(self) -> None:
        """Write what is queued to the socket until the session ends."""
        assert self.socket is not None
        while not self.closed:
            while self._out and not self.closed:
                packet = self._next()
                try:
                    await self.socket.send_str(packet)
                except (ConnectionError, RuntimeError):
                    self.closed = True
            self._wake.clear()
            if not self._out and not self.closed:
                await self._wake.wait()


def opening(sid: str, upgrades: list[str], ping_interval: float, ping_timeout: float) -> str:
    """Write the first packet of a session."""
    described = {
        "sid": sid,
        "upgrades": upgrades,
        "pingInterval": round(ping_interval * 1000),
        "pingTimeout": round(ping_timeout * 1000),
    }
    return "0" + orjson.dumps(described).decode()


def is_text(message: object) -> bool:
    return getattr(message, "type", None) is WSMsgType.TEXT

"""The sending half of one client's socket, the same for the simulated venues.

Frames are made once and written as bytes to every subscriber, a slice of the market at a time: that is what lets one
process serve thousands of events a second.  A client that does not read is disconnected, as the venues do; nothing is
kept for it beyond `buffer_limit` bytes.
"""

import asyncio
from typing import Final

_FROZEN_LOOK_SECONDS: Final = 0.02


class SimulatedSocket:
    """One client.  Times are monotonic seconds; `cause` says in a word why it was ended."""

    def __init__(self, transport: asyncio.Transport, address: str, buffer_limit: int) -> None:
        self.address = address
        self.cause = "client"
        self.frozen_until: float | None = None
        self.buffer: list[bytes] = []
        self._transport = transport
        self._buffer_limit = buffer_limit

    def __repr__(self) -> str:
        state = "closed" if self.closed else "frozen" if self.frozen else "open"
        return f"<Connection from {self.address} {state}, {self._transport.get_write_buffer_size()} bytes unread>"

    @property
    def closed(self) -> bool:
        return self._transport.is_closing()

    @property
    def frozen(self) -> bool:
        return self.frozen_until is not None

    def send(self, text: str) -> None:
        """Queue one text message for the next flush."""
        self.buffer.append(text_frame(text))

    def flush(self) -> None:
        """Write what is queued; disconnect a client that has left too much unread."""
        if not self.buffer:
            return
        if not self.frozen and not self.closed:
            self._transport.write(b"".join(self.buffer))
            if self._transport.get_write_buffer_size() > self._buffer_limit:
                self.cut("slow")
        self.buffer.clear()

    async def thawed_or_closed(self) -> None:
        """Wait while the connection is frozen: its answer to a close frame is held back for as long."""
        while self.frozen and not self.closed:  # noqa: ASYNC110  a fault that ends by time or by the client
            await asyncio.sleep(_FROZEN_LOOK_SECONDS)

    def cut(self, cause: str) -> None:
        """End the connection without a close frame."""
        if not self.closed:
            self.cause = cause
            self._transport.abort()


def text_frame(text: str) -> bytes:
    """Give the whole unmasked WebSocket frame of a text message, to be written to any number of sockets."""
    return _frame(0x81, text.encode())


def pong_frame(payload: bytes) -> bytes:
    """Give the answer to a client's ping."""
    return _frame(0x8A, payload)


def _frame(opcode: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes((opcode, size)) + payload
    if size < 65536:
        return bytes((opcode, 126)) + size.to_bytes(2) + payload
    return bytes((opcode, 127)) + size.to_bytes(8) + payload


PING_FRAME = _frame(0x89, b"")

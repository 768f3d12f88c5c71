"""The sending half of one client's socket: frames are made once and written as bytes to every subscriber."""

import asyncio
from typing import Literal

from collector.simulator.fmex.text import text_frame

Cause = Literal["client", "slow", "no_ping", "cut", "stopped"]


class Connection:
    """One client. Times are monotonic seconds; topics are in lower case, with what the client wrote for each."""

    def __init__(self, transport: asyncio.Transport, address: str, now: float, buffer_limit: int) -> None:
        self.address = address
        self.cause: Cause = "client"
        self.topics: dict[str, str] = {}
        self.frozen_until: float | None = None
        self.pinged = now
        self.buffer: list[bytes] = []
        self._transport = transport
        self._buffer_limit = buffer_limit

    def __repr__(self) -> str:
        state = "closed" if self.closed else "frozen" if self.frozen else "open"
        return f"<Connection from {self.address} {state}, {len(self.topics)} topics>"

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

    def cut(self, cause: Cause) -> None:
        """End the connection without a close frame."""
        if not self.closed:
            self.cause = cause
            self._transport.abort()

"""The sending half of one client's socket.

Frames are made once and written as bytes to every subscriber, a slice of the market at a time: that is what lets one
process serve thousands of events a second.  A client that does not read is disconnected, as the venue does; nothing is
kept for it beyond `buffer_limit` bytes.
"""

import asyncio
import heapq
from collections.abc import Callable
from itertools import count
from typing import Literal

from collector.simulator.fmfw.text import PING_FRAME, text_frame

Cause = Literal["client", "slow", "no_pong", "cut", "stopped"]


class Connection:
    """One client.  Times are monotonic seconds."""

    def __init__(self, transport: asyncio.Transport, address: str, now: float, buffer_limit: int) -> None:
        self.address = address
        self.cause: Cause = "client"
        self.frozen_until: float | None = None
        self.buffer: list[bytes] = []
        self._transport = transport
        self._buffer_limit = buffer_limit
        self._heard = now
        self._pinged = now
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()
        self._channel_due: dict[str, float] = {}

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

    def cut(self, cause: Cause) -> None:
        """End the connection without a close frame."""
        if not self.closed:
            self.cause = cause
            self._transport.abort()

    def heard(self, now: float) -> None:
        """Note that the client answered a ping, or asked."""
        self._heard = now

    def keep_alive(self, now: float, every: float, timeout: float) -> None:
        """Send the ping that is due; cut a client that has not been heard for `timeout` seconds of pings."""
        if self.frozen or self.closed:
            return
        if now - self._pinged >= every:
            self._pinged = now
            self.buffer.append(PING_FRAME)
        if now - self._heard >= every + timeout:
            self.cut("no_pong")

    def at(self, due: float, channel: str, action: Callable[[], None]) -> None:
        """Run an action when it is due, never before an earlier one of the same channel."""
        due = max(due, self._channel_due.get(channel, 0.0))
        self._channel_due[channel] = due
        heapq.heappush(self._later, (due, next(self._numbers), action))

    def run_due(self, now: float) -> None:
        """Run the actions whose time has come."""
        while self._later and self._later[0][0] <= now and not self.frozen:
            heapq.heappop(self._later)[2]()

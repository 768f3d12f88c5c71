"""The greeting and the pings by which a connection is known to be alive.

The venue speaks first (`hello`), and wants to be pinged in JSON with our time in milliseconds. Our wall clock is not
known here: it is told from the receipt of the greeting and what has passed since.
"""

from __future__ import annotations

from collections.abc import Sequence

from collector.venues.events import Action, Reconnect, Send
from collector.venues.fmex.requests import ping

HELLO_SECONDS = 15.0


class Pulse:
    """Pings when it is time, and gives a connection up that does not answer."""

    def __init__(self, ping_seconds: float, pong_seconds: float) -> None:
        self._ping_seconds = ping_seconds
        self._pong_seconds = pong_seconds
        self._opened = 0.0
        self._greeted: tuple[float, int] | None = None
        self._asked = 0.0
        self._waiting_since: float | None = None
        self._number = 0

    @property
    def greeted(self) -> bool:
        """Whether the venue has spoken; nothing may be sent before."""
        return self._greeted is not None

    def opened(self, now: float) -> None:
        self._opened = now

    def hello(self, now: float, received_ns: int) -> None:
        """The venue's greeting came."""
        if self._greeted is None:
            self._greeted = (now, received_ns // 1_000_000)
            self._asked = now

    def pong(self) -> None:
        """A ping was answered."""
        self._waiting_since = None

    def tick(self, now: float) -> Sequence[Action]:
        if self._greeted is None:
            if now - self._opened >= HELLO_SECONDS:
                return (Reconnect(f"no hello within {HELLO_SECONDS:.0f} s"),)
            return ()
        if self._waiting_since is not None and now - self._waiting_since >= self._pong_seconds:
            return (Reconnect(f"a ping was not answered within {self._pong_seconds:.0f} s"),)
        if now - self._asked < self._ping_seconds:
            return ()
        self._asked = now
        if self._waiting_since is None:
            self._waiting_since = now
        self._number += 1
        began, began_ms = self._greeted
        return (Send(ping(began_ms + round((now - began) * 1000), self._number)),)

"""One client of the simulated FMFW: pings, and what is to be done for it later."""

import asyncio
import heapq
from collections.abc import Callable
from itertools import count

from collector.simulator.kit.sockets import PING_FRAME, SimulatedSocket


class Connection(SimulatedSocket):
    """One client, which has to answer pings (cause `no_pong`)."""

    def __init__(self, transport: asyncio.Transport, address: str, now: float, buffer_limit: int) -> None:
        super().__init__(transport, address, buffer_limit)
        self._heard = now
        self._pinged = now
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()
        self._channel_due: dict[str, float] = {}

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

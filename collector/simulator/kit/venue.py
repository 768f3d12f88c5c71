"""A simulated venue with sockets that it writes to itself: its clients, its clock and its slices."""

from contextlib import suppress
from typing import Generic, TypeVar

from collector.simulator.kit.slices import Slices
from collector.simulator.kit.sockets import SimulatedSocket
from collector.simulator.options import Options

C = TypeVar("C", bound=SimulatedSocket)


class SocketVenue(Generic[C]):
    """Counts its clients as they come and go."""

    def __init__(self, options: Options) -> None:
        self.rate = options.rate
        self.address: dict[str, str] = {}
        self.connections: set[C] = set()
        self.closed: dict[str, int] = {}
        """How many have ended, by cause."""
        self.opened = 0
        self.slices = Slices()
        self._clock_ns = options.clock_ns

    def now_ms(self) -> int:
        """Give the venue's wall clock."""
        return self._clock_ns() // 1_000_000

    def flush(self) -> None:
        """Write what is queued on every connection."""
        for connection in self.connections:
            connection.flush()

    def connected(self, connection: C) -> None:
        self.connections.add(connection)
        self.opened += 1

    def disconnected(self, connection: C) -> None:
        self.connections.discard(connection)
        self.closed[connection.cause] = self.closed.get(connection.cause, 0) + 1

    async def stop(self) -> None:
        """Cut who is still connected."""
        for connection in list(self.connections):
            with suppress(RuntimeError):
                connection.cut("stopped")

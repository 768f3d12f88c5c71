"""A simulated venue with sockets that it writes to itself: its clients, its clock and its slices."""

from abc import abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Generic, TypeVar

from collector.simulator.kit.faults import Fault, FaultyVenue
from collector.simulator.kit.slices import Slices
from collector.simulator.kit.sockets import SimulatedSocket
from collector.simulator.options import Options

C = TypeVar("C", bound=SimulatedSocket)
S = TypeVar("S")


class SocketVenue(FaultyVenue, Generic[C, S]):
    """Counts its clients as they come and go, cuts and freezes them. `S`: what a client is subscribed to."""

    def __init__(self, options: Options) -> None:
        self.rate = options.rate
        self.address: dict[str, str] = {}
        self.connections: set[C] = set()
        self.closed: dict[str, int] = {}
        """How many have ended, by cause."""
        self.opened = 0
        self.frozen: dict[C, S] = {}
        """What frozen clients were subscribed to."""
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
        self.frozen.pop(connection, None)
        self.unsubscribed(connection)

    @asynccontextmanager
    async def serving(self, connection: C) -> AsyncIterator[None]:
        """Count a client in for the block, and out after it, once it is not frozen any more."""
        self.connected(connection)
        try:
            yield
            await connection.thawed_or_closed()
        finally:
            self.disconnected(connection)

    @abstractmethod
    def unsubscribed(self, connection: C) -> S:
        """End all subscriptions of a client; return what they were."""

    def fault(self, name: str, **asked: Any) -> dict[str, object]:
        answer = super().fault(name, **asked)
        self.flush()
        return answer

    def freeze(self, connection: C, until: float | None) -> None:
        """Send a client nothing more, not even answers, until a monotonic time, or for ever."""
        connection.flush()
        connection.frozen_until = until if until is not None else float("inf")
        self.frozen[connection] = self.unsubscribed(connection)

    def cut_or_freeze(self, chosen: Sequence[C], fault: Fault) -> int:
        """Cut these clients where the fault is a cut, else freeze them; return how many they are."""
        for connection in chosen:
            if fault.name == "cut":
                connection.cut("cut")
            else:
                self.freeze(connection, fault.until)
        return len(chosen)

    async def stop(self) -> None:
        """Cut who is still connected."""
        for connection in list(self.connections):
            with suppress(RuntimeError):
                connection.cut("stopped")

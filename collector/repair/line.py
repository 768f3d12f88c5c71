"""The queue of stretches to repair: trades first, other streams when they are done.

Venues allow few calls per second, and a missing minute of trades takes many calls in a busy market. Candles fetched at
the same time would delay them. But other streams do not wait for ever, since a gap of trades may be days long.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from collector.repair.stretches import Stretch

# Stretches that are repaired at the same time, by whether they are trades: enough to use the rate of calls while
# answers and commits are awaited.
LANES = {True: 16, False: 8}
# Other streams wait for missing trades for at most this long, so that a venue without trades does not block them.
TRADES_FIRST_MAX_SECONDS = 10.0


class Line:
    """Stretches of gaps in the order of their repair: short before long."""

    def __init__(self) -> None:
        # Bounded by the table: each gap is in one queue at most once.
        self._queues: dict[bool, asyncio.PriorityQueue[tuple[int, int, Stretch]]] = {
            True: asyncio.PriorityQueue(),
            False: asyncio.PriorityQueue(),
        }
        self._trades = 0
        self._at_work = 0
        self._since = 0.0
        self._through = asyncio.Event()
        self._through.set()
        self._idle = asyncio.Event()
        self._idle.set()

    def __repr__(self) -> str:
        return (
            f"<Line trades={self._queues[True].qsize()} others={self._queues[False].qsize()} at_work={self._at_work}>"
        )

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is worked."""
        return not self._at_work and all(queue.empty() for queue in self._queues.values())

    def put(self, stretch: Stretch) -> None:
        """Let a stretch wait for its turn."""
        trades = stretch.stream == "trades"
        self._idle.clear()
        if trades:
            if not self._trades:
                self._since = asyncio.get_running_loop().time()
            self._trades += 1
            self._through.clear()
        self._queues[trades].put_nowait((stretch.to_us - stretch.done_us, stretch.gaps[0].gap_id, stretch))

    async def take(self, *, trades: bool) -> Stretch:
        """Return the next stretch, of trades or of other streams; call `done` with it afterwards."""
        *_, stretch = await self._queues[trades].get()
        self._at_work += 1
        return stretch

    def done(self, stretch: Stretch) -> None:
        """Note that the work on a stretch has ended; what is left of it was put into the queue again."""
        self._at_work -= 1
        if stretch.stream == "trades":
            self._trades -= 1
            if not self._trades:
                self._through.set()
        self._note_idle()

    @contextmanager
    def busy(self) -> Iterator[None]:
        """A block in which something else asks for the venue's history."""
        self._at_work += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._at_work -= 1
            self._note_idle()

    def _note_idle(self) -> None:
        if self.idle:
            self._idle.set()

    async def is_idle(self, longest_seconds: float) -> None:
        """Return when nothing waits and nothing is being repaired, at the latest after these seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(longest_seconds):
                await self._idle.wait()

    async def trades_are_through(self) -> None:
        """Return when no trades are missing, or have been for a while."""
        try:
            async with asyncio.timeout_at(self._since + TRADES_FIRST_MAX_SECONDS):
                await self._through.wait()
        except TimeoutError:
            return

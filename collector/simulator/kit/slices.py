"""A market's life in slices of a few milliseconds: how many events are due in each."""

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Final

# After the machine stood still, events of this time are made up for; those of a longer time are only counted.
CATCH_UP_MAX_SECONDS: Final = 0.25
# The longest time that making events may keep clients from being answered.
BURST_MAX_SECONDS: Final = 0.05


class Slices:
    """Counts the events that are due."""

    def __init__(self) -> None:
        self.stalled_events = 0
        """Events that were due and left out."""
        self.last = 0.0
        """When the last slice was, in monotonic seconds."""
        self._credit = 0.0
        self.begin()

    def begin(self) -> None:
        """Count from now on."""
        self.last = time.monotonic()
        self._credit = 0.0

    def due(self, now: float, rate: float) -> int:
        """Return how many events are due since the last slice."""
        most = rate * CATCH_UP_MAX_SECONDS + 1
        self._credit += rate * (now - self.last)
        if self._credit > most:
            self.stalled_events += int(self._credit - most)
            self._credit = most
        count = int(self._credit)
        self._credit -= count
        return count

    def moments(self, now: float, rate: float, now_ms: int, *, not_before_ms: int = 0) -> Iterator[int]:
        """Yield the time of each event that is due, in milliseconds, spread over the time since the last slice.

        What the machine cannot do within `BURST_MAX_SECONDS` is left out, and counted.
        """
        count = self.due(now, rate)
        begin_ms = max(not_before_ms, now_ms - int((now - self.last) * 1000))
        give_up = time.perf_counter() + BURST_MAX_SECONDS
        for number in range(count):
            yield begin_ms + (now_ms - begin_ms) * (number + 1) // count
            if not number & 63 and time.perf_counter() > give_up:
                self.stalled_events += count - number - 1
                break

    async def run(self, live: Callable[[float], object], pause_seconds: Callable[[], float]) -> None:
        """Call `live` with the time, slice by slice, until cancelled."""
        self.last = time.monotonic()
        while True:
            live(time.monotonic())
            await asyncio.sleep(pause_seconds())

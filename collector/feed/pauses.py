"""Delays before the feed tries again: longer each time, but short while the venue is known to be up.

While all lines of a venue are down, each waits up to a minute, so that the venue is not flooded with tries. While
another line of the venue is live, a line waits a few seconds at most, since the fault is probably its own. When a line
of the venue comes back, the waiting ones are woken.
"""

from __future__ import annotations

import asyncio
from random import Random

from collector.backoff import BACKOFF_MAX_SECONDS
from collector.clock import Clock

# A session that has lasted this long was a good one: the next backoff starts from its shortest delay again.
STEADY_SECONDS = 60.0
# The longest delay of a line while other lines of its venue are live: the venue is up.
PAUSE_BESIDE_LIVE_MAX_SECONDS = 5.0
# The longest delay after a session that has received data: the venue is up and accepts us, and every second of delay is
# data lost. Where it cuts us off again and again, this makes about twenty tries a minute.
PAUSE_AFTER_LIVE_MAX_SECONDS = 5.0
# Lines that are woken together spread their tries over this time.
WAKE_SPREAD_SECONDS = 3.0


class Pauses:
    """What the lines of one venue know of each other: which of them are live, and when one becomes live."""

    def __init__(self, clock: Clock, random: Random) -> None:
        self._clock = clock
        self._random = random
        self._live: set[object] = set()
        self._came = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Pauses live={len(self._live)}>"

    def came(self, line: object) -> None:
        """A line is live: those that wait in `sleep` are woken."""
        if line not in self._live:
            self._live.add(line)
            self._came.set()
            self._came = asyncio.Event()

    def went(self, line: object) -> None:
        """A line is live no more."""
        self._live.discard(line)

    @property
    def longest(self) -> float:
        """The longest delay that makes sense now."""
        return PAUSE_BESIDE_LIVE_MAX_SECONDS if self._live else BACKOFF_MAX_SECONDS

    async def sleep(self, seconds: float, *others: asyncio.Event) -> None:
        """Sleep for these seconds, or until shortly after a line becomes live, or until one of `others` is set."""
        end = self._clock.monotonic() + seconds
        came = self._came
        await sleep_or(self._clock, seconds, came, *others)
        left = end - self._clock.monotonic()
        if came.is_set() and left > 0 and not any(event.is_set() for event in others):
            await sleep_or(self._clock, min(left, self._random.uniform(0.0, WAKE_SPREAD_SECONDS)), *others)


async def sleep_or(clock: Clock, seconds: float, *events: asyncio.Event) -> None:
    """Sleep for these seconds, or until one of the events is set."""
    waiting: list[asyncio.Future[object]] = [asyncio.ensure_future(clock.sleep(seconds))]
    waiting += [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()

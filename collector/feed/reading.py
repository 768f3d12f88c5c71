"""Measures up to when all data that arrived on a line was read: what is unread when the line ends is lost with it.

There is no direct way to see that a reader is behind. Data may be in the kernel's buffer, in aiohttp's queue, or on its
way from one to the other, and a reader that has just been woken looks like one that waits. But it can be found out: if
the kernel holds no more than the event loop takes at once, that data is in the queue a few turns of the loop later; and
a reader that then waits for the next message has read it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from collector.clock import Clock

# A line is late when data has waited this long to be read. Repairs fetch more than that beside a gap (`MARGIN_US`).
LAG_MAX_SECONDS = 2.0
# More than this unread in the socket means that we are behind; an event loop reads four times as much in one turn.
UNREAD_MAX_BYTES = 64 * 1024
# How soon the socket is checked again where it held more, or the reader had more to read.
RECHECK_SECONDS = 0.02
# Turns of the event loop that data needs from the socket to the reader: the selector reports it, the transport queues
# it and wakes the reader, the reader takes it.
LOOP_TURNS = 3

# Further turns for a reader that still has data, before the check is put off for `RECHECK_SECONDS`.
BUSY_LOOP_TURNS_MAX = 20


class Reading:
    """How far a line has been read. `look` is called every second; the reader maintains two flags.

    `unread` returns how many bytes the kernel holds for the line.
    """

    __slots__ = ("_looking", "_loop", "_monotonic", "_unread", "away", "read_to", "turning")

    def __init__(self, clock: Clock, unread: Callable[[], int]) -> None:
        self._monotonic = clock.monotonic
        self._unread = unread
        self._loop = asyncio.get_running_loop()
        self._looking = False
        self.read_to = clock.monotonic()
        """Up to when everything was read that had come; monotonic seconds."""
        self.turning = False
        """Whether the reader leaves others their turn, though there may be more to read;"""
        self.away = False
        """Whether the reader waits for something else than messages, or has ended."""

    @property
    def lag(self) -> float:
        """Seconds for which not everything may have been read that had come."""
        return self._monotonic() - self.read_to

    @property
    def behind(self) -> bool:
        """Whether data that arrived some time ago would be lost if the line ended now."""
        return self.lag > LAG_MAX_SECONDS

    def look(self) -> None:
        """Begin to find out whether everything is read; that takes some turns of the loop, or longer."""
        if not self._looking:
            self._looking = True
            self._begin()

    def _begin(self) -> None:
        mark = self._monotonic()
        if self.away:
            self._looking = False
        elif self._unread() > UNREAD_MAX_BYTES:
            self._loop.call_later(RECHECK_SECONDS, self._begin)
        else:
            self._loop.call_soon(self._turn, mark, LOOP_TURNS, False)

    def _turn(self, mark: float, left: int, waited: bool) -> None:
        if self.away:
            self._looking = False
        elif left > 0 or (self.turning and left > -BUSY_LOOP_TURNS_MAX):
            self._loop.call_soon(self._turn, mark, left - 1, waited)
        elif self.turning:
            self._loop.call_later(RECHECK_SECONDS, self._turn, mark, left, waited)
        elif not waited:
            # Perhaps the queue was full, so that the kernel's buffer was not read before the reader had emptied it.
            self._loop.call_soon(self._turn, mark, LOOP_TURNS, True)
        else:
            self.read_to = mark
            self._looking = False

"""Up to when everything was read that had come over a line: what has come and is unread when it ends is lost with it.

Nobody tells a reader that it is behind. What has come may lie in the system's buffer, in aiohttp's queue, or be on the
way from one to the other, and a reader that has just been woken looks like one that waits. But there are moments after
which one knows: when the system holds no more than the loop takes from it at one go, all that is in the queue a few
turns of the loop later; and a reader that waits for the next message then has read it.
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
    """How far a line was read, as somebody finds out who calls `look` every second; the reader keeps two flags true.

    `unread` gives how many bytes the system holds that nobody has taken yet.
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
        """and whether it waits for something else than messages, or is gone."""

    @property
    def lag(self) -> float:
        """Seconds for which not everything may have been read that had come."""
        return self._monotonic() - self.read_to

    @property
    def behind(self) -> bool:
        """Whether more may be missing, should the line end now, than what comes after the last message."""
        return self.lag > LAG_MAX_SECONDS

    def look(self) -> None:
        """Find out, in the next turns of the loop or as soon as that can be told, whether everything is read."""
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
            # The queue was full, perhaps, and the system's buffer not asked before the reader had emptied it.
            self._loop.call_soon(self._turn, mark, LOOP_TURNS, True)
        else:
            self.read_to = mark
            self._looking = False

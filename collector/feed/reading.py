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

# A line of which so long not everything was read that had come. Repairs ask for more than that on either side.
BEHIND_SECONDS = 2.0
# Event loops read four times as much in a turn, and more.
AT_ONE_GO_BYTES = 64 * 1024
# How soon it is looked again where the system held more, or the reader had more to read.
RETRY_SECONDS = 0.02
# Of the loop: the system is asked what there is, it goes into the queue and wakes the reader, the reader reads.
TURNS = 3

# So many more for a reader that has more to read, before it is left alone for a while.
BUSY_TURNS = 20


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
        return self.lag > BEHIND_SECONDS

    def look(self) -> None:
        """Find out, in the next turns of the loop or as soon as that can be told, whether everything is read."""
        if not self._looking:
            self._looking = True
            self._begin()

    def _begin(self) -> None:
        mark = self._monotonic()
        if self.away:
            self._looking = False
        elif self._unread() > AT_ONE_GO_BYTES:
            self._loop.call_later(RETRY_SECONDS, self._begin)
        else:
            self._loop.call_soon(self._turn, mark, TURNS, False)

    def _turn(self, mark: float, left: int, waited: bool) -> None:
        if self.away:
            self._looking = False
        elif left > 0 or (self.turning and left > -BUSY_TURNS):
            self._loop.call_soon(self._turn, mark, left - 1, waited)
        elif self.turning:
            self._loop.call_later(RETRY_SECONDS, self._turn, mark, left, waited)
        elif not waited:
            # The queue was full, perhaps, and the system's buffer not asked before the reader had emptied it.
            self._loop.call_soon(self._turn, mark, TURNS, True)
        else:
            self.read_to = mark
            self._looking = False

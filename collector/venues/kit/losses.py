"""How long to wait before asking again, and how often a book may lose messages."""

from __future__ import annotations

from collections import defaultdict, deque
from random import Random
from typing import Final

from collector.backoff import retry_seconds

FIRST_SECONDS: Final = 1.0
LONGEST_SECONDS: Final = 60.0
SPREAD: Final = (1.0, 1.5)

# So many within the window a book may have before its connection is made anew.
LOSSES_ALLOWED: Final = 5
LOSS_WINDOW_SECONDS: Final = 300.0


def backoff(attempt: int, random: Random) -> float:
    """Return the seconds before try number `attempt` (1 is the first retry): 1 s at least, doubling, 60 s at most."""
    seconds = retry_seconds(attempt, random, first=FIRST_SECONDS, longest=LONGEST_SECONDS, spread=SPREAD)
    return min(LONGEST_SECONDS, seconds)


class Losses:
    """The losses of each book in the last minutes."""

    def __init__(self) -> None:
        self._times: defaultdict[tuple[str, str], deque[float]] = defaultdict(lambda: deque(maxlen=LOSSES_ALLOWED + 1))

    def note(self, channel: str, symbol: str, now: float) -> int:
        """Count a loss and return how many there were in the window, this one included."""
        times = self._times[channel, symbol]
        times.append(now)
        while now - times[0] > LOSS_WINDOW_SECONDS:
            times.popleft()
        return len(times)

"""The venue's rate limit: at most so many requests of one address in any window of ten seconds."""

from collections import deque
from typing import Final

WINDOW_SECONDS: Final = 10.0
_MANY_ADDRESSES: Final = 1_000


class SlidingWindow:
    """Counts what was let through, per address; what was refused does not count."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.refused = 0
        self._served: dict[str, deque[float]] = {}

    def __repr__(self) -> str:
        return f"<SlidingWindow {self.limit} in {WINDOW_SECONDS:.0f} s, {self.refused} refused>"

    def allow(self, address: str, now: float) -> bool:
        """Let one request through if the last ten seconds (of a monotonic clock) have room for it."""
        served = self._served.get(address)
        if served is None:
            if len(self._served) > _MANY_ADDRESSES:
                self._served.clear()
            served = self._served[address] = deque()
        while served and served[0] <= now - WINDOW_SECONDS:
            served.popleft()
        if len(served) >= self.limit:
            self.refused += 1
            return False
        served.append(now)
        return True

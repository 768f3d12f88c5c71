"""A venue's rate limit: at most so many requests of one address in any window of some seconds."""

from collections import deque
from typing import Final

# With more addresses than this, all are forgotten, to bound the memory.
ADDRESSES_MAX: Final = 1_000


class SlidingWindow:
    """Counts what was let through, per address; what was refused does not count."""

    def __init__(self, limit: int, seconds: float) -> None:
        self.limit = limit
        self.seconds = seconds
        self.refused = 0
        self._served: dict[str, deque[float]] = {}

    def __repr__(self) -> str:
        return f"<SlidingWindow {self.limit} in {self.seconds:g} s, {self.refused} refused>"

    def allow(self, address: str, now: float) -> bool:
        """Let one request through if the window that ends now (monotonic seconds) has room for it."""
        served = self._served.get(address)
        if served is None:
            if len(self._served) > ADDRESSES_MAX:
                self._served.clear()
            served = self._served[address] = deque()
        while served and served[0] <= now - self.seconds:
            served.popleft()
        if len(served) >= self.limit:
            self.refused += 1
            return False
        served.append(now)
        return True

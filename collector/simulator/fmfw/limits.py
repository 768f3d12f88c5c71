"""The venue's rate limit: at most so many requests of one address in any window of one second."""

from collections import deque
from typing import Final

_WINDOW_NS: Final = 1_000_000_000
_MANY_ADDRESSES: Final = 1_000


class SlidingWindow:
    """Counts what was let through, per address; what was refused does not count."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.refused = 0
        self._served: dict[str, deque[int]] = {}

    def __repr__(self) -> str:
        return f"<SlidingWindow {self.limit}/s, {len(self._served)} addresses, {self.refused} refused>"

    def allow(self, address: str, now_ns: int) -> bool:
        """Let one request through if the last second (of a monotonic clock) has room for it."""
        served = self._served.get(address)
        if served is None:
            if len(self._served) > _MANY_ADDRESSES:
                self._served.clear()
            served = self._served[address] = deque()
        while served and served[0] <= now_ns - _WINDOW_NS:
            served.popleft()
        if len(served) >= self.limit:
            self.refused += 1
            return False
        served.append(now_ns)
        return True

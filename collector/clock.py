"""Time as the daemon sees it, passed in wherever it is needed so that tests can turn it."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol


class Clock(Protocol):
    def now_ns(self) -> int:
        """Wall time in nanoseconds since 1970-01-01 UTC."""

    def monotonic(self) -> float:
        """Seconds that only go forward."""

    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The machine's clock."""

    now_ns = staticmethod(time.time_ns)
    monotonic = staticmethod(time.monotonic)
    sleep = staticmethod(asyncio.sleep)


def iso(time_ns: int) -> str:
    """Return a time as ISO 8601 in UTC with milliseconds."""
    return _iso(time_ns // 1_000_000)


@lru_cache(maxsize=8192)  # most times of a snapshot are those of the one before
def _iso(time_ms: int) -> str:
    moment = datetime.fromtimestamp(time_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

"""Notices that somebody has set the machine's clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog

from collector.clock import Clock

log = structlog.get_logger()

LOOK_INTERVAL_SECONDS: Final = 1.0
# A larger change of the clock within a second is a step: drift, and the corrections of NTP's slewing, are far smaller.
STEP_MIN_NS: Final = 500_000_000


async def watch_clock(clock: Clock, was_set: Callable[[int], object]) -> None:
    """Tell `was_set` by how many nanoseconds the clock was set, whenever that happens; runs until cancelled."""
    offset_ns = _offset_ns(clock)
    while True:
        await clock.sleep(LOOK_INTERVAL_SECONDS)
        before_ns, offset_ns = offset_ns, _offset_ns(clock)
        if abs(by_ns := offset_ns - before_ns) > STEP_MIN_NS:
            log.warning("clock_was_set", by_seconds=round(by_ns / 1e9, 3))
            was_set(by_ns)


def _offset_ns(clock: Clock) -> int:
    return clock.now_ns() - int(clock.monotonic() * 1e9)

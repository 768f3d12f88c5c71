"""Minute candles on request: fetched for an audit by a process that is not the daemon, and stored like a backfill's.

Instruments are asked for one after the other in a few lanes, each for its whole span. A venue that does not answer
ends it, since somebody waits; what was stored by then stays, and the rest is told with the reason.
"""

from __future__ import annotations

import asyncio
import shutil
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from collector import venues
from collector.audit.minutes import MINUTE
from collector.clock import Clock
from collector.errors import VenueError
from collector.feed.intake import Forgetful
from collector.feed.network import Network
from collector.feed.rest import RestClient
from collector.journal import Journal, JournalOptions
from collector.model import Instrument
from collector.repair.recording import Recording
from collector.repair.repairer import bucket, history_header
from collector.store.writer import Writer
from collector.venues.adapter import Venue

# Calls that wait for an answer at the same time.
CALLS_AT_ONCE_MAX = 8


class Wanted(NamedTuple):
    """Minutes of an instrument whose candles are wanted; `until` does not belong to them."""

    instrument: Instrument
    since: datetime
    until: datetime


class MinutePast:
    """One venue's past minutes."""

    def __init__(
        self,
        venue: Venue[Any],
        *,
        rate_share: float,
        dsn: str,
        folder: Path,
        network: Network,
        clock: Clock,
    ) -> None:
        self._venue = venue
        self._dsn = dsn
        self._folder = folder
        self._clock = clock
        limits = venue.limits()
        self._limiter = bucket(limits.rest_per_second * rate_share)
        self._rest = RestClient(venue, limits, network, clock, Forgetful())
        self._trouble = ""

    async def fetch(self, wanted: Iterable[Wanted], progress: Callable[[], object]) -> dict[Instrument, str]:
        """Fetch and store them; `progress` is called for each instrument. Returns those that failed, and why.

        Raises `DatabaseError`, and `JournalError` or OSError where the answers cannot be kept.
        """
        waiting = deque(wanted)
        failed: dict[Instrument, str] = {}
        made = datetime.fromtimestamp(self._clock.now_ns() / 1e9, UTC)
        directory = self._folder / f"{made:%Y%m%dT%H%M%S.%f}Z-{self._venue.name}-audit"
        async with AsyncExitStack() as stack:
            journal = await Journal.open(directory, JournalOptions(), now_ns=self._clock.now_ns)
            stack.push_async_callback(journal.close)
            writer = Writer(lambda: self._dsn, None, sleep=self._clock.sleep)
            stack.push_async_callback(writer.close)
            header = history_header(self._venue, "audit")
            recording = Recording(header, journal, writer, self._clock, venues.find)
            async with asyncio.TaskGroup() as group:
                keeping = group.create_task(journal.run(), name="journal")
                async with asyncio.TaskGroup() as lanes:
                    for _ in range(min(CALLS_AT_ONCE_MAX, len(waiting))):
                        lanes.create_task(self._work(waiting, recording, failed, progress))
                recording.close("done")
                await recording.store()
                keeping.cancel()
        if not recording.answers:
            await asyncio.to_thread(shutil.rmtree, directory)
        return failed

    async def _work(
        self,
        waiting: deque[Wanted],
        recording: Recording,
        failed: dict[Instrument, str],
        progress: Callable[[], object],
    ) -> None:
        while waiting:
            one = waiting.popleft()
            if self._trouble:
                failed[one.instrument] = self._trouble
                continue
            try:
                await self._fetch(one, recording)
            except VenueError as error:
                failed[one.instrument] = error.reason
                if not error.permanent:
                    self._trouble = error.reason
            progress()

    async def _fetch(self, one: Wanted, recording: Recording) -> None:
        async def politely() -> None:
            if recording.full:
                await recording.store()
            await self._limiter.acquire()

        # Some venues count a trade at the edge in the minute beside it: their candles are needed, too.
        from_us, to_us = (int(time.timestamp()) * 1_000_000 for time in (one.since - MINUTE, one.until))
        calls = self._venue.minutes([one.instrument], from_us, to_us)
        await self._rest.of(recording).drive(calls, before=politely)
        await recording.store()

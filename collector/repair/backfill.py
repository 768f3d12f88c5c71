"""Runs a backfill: fetches its pieces, several at a time, and notes each one that is stored.

It can be ended at any time, even killed: pieces that are noted are stored, and the next run skips them. Storing a piece
twice changes nothing, because keys are natural. It uses only a part of the venue's rate, since a daemon may be running
too.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

import structlog
from aiolimiter import AsyncLimiter

from collector.backoff import Backoff
from collector.clock import Clock
from collector.errors import CollectorError, VenueError
from collector.feed.failures import AdapterError, Place
from collector.feed.rest import RestClient
from collector.model import Instrument
from collector.repair.chunks import Chunk, Span, detail
from collector.repair.ledger import GapTable, Missing
from collector.repair.recording import Recording
from collector.venues.adapter import Venue

log = structlog.get_logger()

# Calls that wait for an answer at the same time: enough to use the venue's rate while answers take a second.
CALLS_AT_ONCE_MAX = 8


@dataclass
class Done:
    """The progress of a backfill. `refused` names what the venue refuses to give, and why."""

    pieces: int = 0
    gaps: int = 0
    refused: dict[tuple[Instrument, str], str] = field(default_factory=dict)
    trouble: str = ""
    """Why the venue gives nothing at the moment; empty otherwise."""


class Backfill:
    """Fetches pieces of one venue's history into a recording."""

    def __init__(
        self,
        venue: Venue[Any],
        *,
        rest: RestClient,
        limiter: AsyncLimiter,
        recording: Recording,
        table: GapTable,
        clock: Clock,
        random: Random,
    ) -> None:
        self._venue = venue
        self._rest = rest.of(recording)
        self._limiter = limiter
        self._recording = recording
        self._table = table
        self._clock = clock
        self._random = random
        self.done = Done()

    async def run(self, chunks: Iterable[Chunk], progress: Callable[[Done], object] = lambda _: None) -> Done:
        """Fetch them all. What the venue refuses for good is left out, its trouble is waited out."""
        began_us = self._clock.now_ns() // 1000
        waiting = deque(chunks)
        spans: dict[tuple[Instrument, str], Span] = {}
        for chunk in waiting:
            from_us, until_us = spans.get(chunk[:2], (chunk.from_us, chunk.until_us))
            spans[chunk[:2]] = min(from_us, chunk.from_us), max(until_us, chunk.until_us)
        async with asyncio.TaskGroup() as group:
            for _ in range(min(CALLS_AT_ONCE_MAX, len(waiting))):
                group.create_task(self._work(waiting, progress))
        self._recording.close("done")
        await self._recording.store()
        for (instrument, stream), span in spans.items():
            whole_past = partial(self._venue.whole_past, instrument, stream)
            if self._rest.failures.ask(Place.HISTORY, whole_past) and (instrument, stream) not in self.done.refused:
                await self._close_gaps(instrument, stream, span, began_us)
        progress(self.done)
        return self.done

    async def _work(self, waiting: deque[Chunk], progress: Callable[[Done], object]) -> None:
        while waiting:
            chunk = waiting.popleft()
            if chunk[:2] not in self.done.refused:
                await self._insist(chunk, progress)
            self.done.pieces += 1
            progress(self.done)

    async def _insist(self, chunk: Chunk, progress: Callable[[Done], object]) -> None:
        backoff = Backoff(self._random, first=1.0)
        while True:
            try:
                await self._fetch(chunk)
            except VenueError as error:
                if error.permanent or isinstance(error, AdapterError):  # another run tries again
                    self.done.refused[chunk[:2]] = error.reason
                    return
                self.done.trouble = str(error)
                log.warning("backfill_waits", reason=str(error))
                progress(self.done)
                await self._clock.sleep(backoff.next())
            else:
                self.done.trouble = ""
                return

    async def _fetch(self, chunk: Chunk) -> None:
        instrument, stream, from_us, until_us = chunk
        await self._table.fetching(instrument, stream, from_us, until_us)
        with self._rest.failures.calling(Place.HISTORY, CollectorError):
            history = self._venue.history(instrument, stream, from_us, until_us - 1)
        await self._rest.drive(history, before=self._politely)
        await self._recording.store()
        await self._table.fetched(
            instrument, stream, detail(self._venue.settings, stream, instrument.symbol), from_us, until_us
        )

    async def _politely(self) -> None:
        if self._recording.full:
            await self._recording.store()
        await self._limiter.acquire()

    async def _close_gaps(self, instrument: Instrument, stream: str, span: Span, began_us: int) -> None:
        gaps: Sequence[Missing] = await self._table.within(instrument, stream, *span)
        for gap in gaps:
            await self._table.begin(gap, began_us)
            await self._table.settle(gap, self._clock.now_ns() // 1000, note="backfilled")
            self.done.gaps += 1

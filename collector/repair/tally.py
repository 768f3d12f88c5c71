"""How many gaps there are of each venue and cause, kept at hand for those who only look."""

from __future__ import annotations

import asyncio
import contextlib
from typing import NamedTuple

import structlog

from collector.clock import Clock
from collector.repair.ledger import GapTable
from collector.store.errors import DatabaseError

log = structlog.get_logger()

# The shortest pause between two counts of the gaps.
COUNT_PAUSE_SECONDS = 2.0
# How often gaps are counted without a signal that they changed.
COUNT_INTERVAL_SECONDS = 60.0


class GapCount(NamedTuple):
    """Numbers of gaps of one venue and cause: open ones, and all that were ever found."""

    venue: str
    cause: str
    open: int
    total: int


class GapTally:
    """Counts the gaps in the table, after changes and now and then."""

    def __init__(self, table: GapTable, clock: Clock) -> None:
        self._table = table
        self._clock = clock
        self._woken = asyncio.Event()
        self.counts: tuple[GapCount, ...] | None = None
        """What was found last; None until the database has answered."""

    def wake(self) -> None:
        """The table has changed."""
        self._woken.set()

    def of(self, venue: str) -> dict[str, int] | None:
        """Return the open gaps of a venue by cause; None until they are known."""
        if self.counts is None:
            return None
        return {count.cause: count.open for count in self.counts if count.venue == venue and count.open}

    def recorded(self, venue: str) -> dict[str, int] | None:
        """Return all gaps of a venue by cause, whatever became of them; None until they are known."""
        if self.counts is None:
            return None
        return {count.cause: count.total for count in self.counts if count.venue == venue}

    async def run(self) -> None:
        """Count until cancelled."""
        try:
            while True:
                self._woken.clear()
                try:
                    self.counts = tuple(GapCount(*row) for row in await self._table.tally())
                except DatabaseError as error:  # the parts that depend on the database log it
                    log.debug("gaps_not_counted", reason=str(error))
                await self._clock.sleep(COUNT_PAUSE_SECONDS)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(COUNT_INTERVAL_SECONDS):
                        await self._woken.wait()
        finally:
            await self._table.close()

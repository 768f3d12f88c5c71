"""What watches over the completeness of the tables while the daemon records: the audit of minutes, the count of gaps.

Both only read and keep books, wait for live work, and outlive every failure of their own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from random import Random
from typing import Any

import structlog

from collector.audit.auditor import AuditOptions, Auditor
from collector.audit.fetchers import Fetching
from collector.audit.terms import configured_terms
from collector.clock import Clock
from collector.config import Config
from collector.errors import VenueError
from collector.feed.intake import Intake
from collector.feed.rest import RestClient
from collector.model import Instrument
from collector.repair.ledger import GapTable
from collector.repair.repairer import Repairer
from collector.repair.tally import GapTally
from collector.venues.adapter import Venue

log = structlog.get_logger()

MINUTE_US = 60_000_000


class Auditing:
    """The daemon's auditor, where it is enabled, and its tally of gaps."""

    def __init__(
        self,
        config: Config,
        venues: Mapping[str, Venue[Any]],
        repairers: Mapping[str, Repairer],
        *,
        dsn: Callable[[], str],
        rest: Callable[[str], RestClient | None],
        intake: Intake,
        committed: Callable[[], Awaitable[None]],
        clock: Clock,
        random: Random,
    ) -> None:
        self.repairers = repairers
        self.tally = GapTally(GapTable(dsn), clock)
        self.auditor: Auditor | None = None
        self.fetching = Fetching(
            venues,
            repairers,
            rest=rest,
            intake=intake,
            committed=committed,
            wake=self._candles_fetched,
            clock=clock,
            random=random,
        )
        if config.audit.enabled:
            agreed = configured_terms(config)
            options = AuditOptions(config.audit.delay_seconds, config.audit.catch_up_hours)
            self.fetching.apply(config, agreed)
            self.auditor = Auditor(
                agreed,
                options,
                dsn=dsn,
                committed=committed,
                wake=self._gap_recorded,
                look_up=self._look_up,
                fetchers=self.fetching.fetchers,
                clock=clock,
            )

    def reconfigure(self, config: Config) -> None:
        """Go by what is configured now."""
        if self.auditor is not None:
            agreed = configured_terms(config)
            self.fetching.apply(config, agreed)
            self.auditor.reconfigure(agreed)

    async def run(self) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.tally.run(), name="tally of gaps")
            if self.auditor is not None:
                group.create_task(self.auditor.run(), name="audit")
                group.create_task(self.fetching.run(), name="audit's candles")

    def _candles_fetched(self) -> None:
        if self.auditor is not None:
            self.auditor.candles_fetched()

    def gaps_changed(self) -> None:
        """Some were opened, closed or repaired."""
        self.tally.wake()
        if self.auditor is not None:
            self.auditor.wake()

    def database_went_back(self) -> None:
        """What was read from it by now is not true any more."""
        self.tally.wake()
        if self.auditor is not None:
            self.auditor.start_over()

    def _gap_recorded(self, venue: str) -> None:
        self.tally.wake()
        repairer = self.repairers.get(venue)
        if repairer is not None:
            repairer.wake()

    async def _look_up(self, venue: str, symbol: str, minute: datetime) -> None:
        repairer = self.repairers.get(venue)
        if repairer is None:
            return
        start_us = int(minute.timestamp()) * 1_000_000
        try:
            await repairer.look_up(Instrument(venue, symbol), "candles", start_us, start_us + MINUTE_US - 1)
        except VenueError as error:  # the venue's other troubles are told by those who cannot do without it
            log.info("silence_not_looked_up", venue=venue, symbol=symbol, reason=str(error))

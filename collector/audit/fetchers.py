"""Who fetches the candles that an audit compares where none are recorded: a fetcher for each venue that allows it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from random import Random
from typing import Any

from collector.audit.fetching import CandleFetcher, FetchOptions
from collector.audit.subjects import Terms
from collector.clock import Clock
from collector.config import Config
from collector.feed.intake import Intake
from collector.feed.rest import RestClient
from collector.repair.repairer import Repairer
from collector.venues.adapter import Venue

# The longest that a call waits for running repairs: these may need just the calls that the audit would use up.
REPAIR_WAIT_MAX_SECONDS = 60.0


class Fetching:
    """The fetchers of a daemon.

    `venues` are those that run, `rest` gives a venue's client, `wake` is called when more was fetched.
    """

    def __init__(
        self,
        venues: Mapping[str, Venue[Any]],
        repairers: Mapping[str, Repairer],
        *,
        rest: Callable[[str], RestClient | None],
        intake: Intake,
        committed: Callable[[], Awaitable[None]],
        wake: Callable[[], object],
        clock: Clock,
        random: Random,
    ) -> None:
        self._venues = venues
        self._repairers = repairers
        self._rest = rest
        self._intake = intake
        self._committed = committed
        self._wake = wake
        self._clock = clock
        self._random = random
        self._group: asyncio.TaskGroup | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.fetchers: dict[str, CandleFetcher] = {}
        """By venue."""

    def __repr__(self) -> str:
        return f"<Fetching {', '.join(self.fetchers) or 'nothing'}>"

    def apply(self, config: Config, terms: Mapping[str, Terms]) -> None:
        """Have a fetcher for each venue whose candles may be fetched, and for no other."""
        wanted = {
            name: venue for name, venue in self._venues.items() if terms[name].fetched and terms[name].sums.comparable
        }
        for name in [name for name, fetcher in self.fetchers.items() if fetcher.venue is not wanted.get(name)]:
            del self.fetchers[name]
            if (task := self._tasks.pop(name, None)) is not None:
                task.cancel()
        for name, venue in wanted.items():
            if (fetcher := self.fetchers.get(name)) is not None:
                fetcher.settings_changed()
                continue
            self.fetchers[name] = CandleFetcher(
                venue,
                FetchOptions(config.audit.fetch_per_minute, config.audit.delay_seconds),
                rest=lambda name=name: self._rest(name),  # type: ignore[misc]
                intake=self._intake,
                committed=self._committed,
                behind=lambda name=name: self._behind(name),  # type: ignore[misc]
                wake=self._wake,
                clock=self._clock,
                random=self._random,
            )
            self._start(name)

    async def run(self) -> None:
        """Fetch until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                for name in self.fetchers:
                    self._start(name)
                await asyncio.Event().wait()
            finally:
                self._group = None
                self._tasks.clear()

    def _start(self, name: str) -> None:
        if self._group is not None:
            self._tasks[name] = self._group.create_task(self.fetchers[name].run(), name=f"audit's candles {name}")

    async def _behind(self, name: str) -> None:
        repairer = self._repairers.get(name)
        if repairer is not None:
            await repairer.idle(REPAIR_WAIT_MAX_SECONDS)

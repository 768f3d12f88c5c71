"""The venues of a running daemon: a worker and a repairer each, started, changed and ended while the others run on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from random import Random
from typing import NamedTuple

from collector import venues as adapters
from collector.clock import Clock
from collector.config import VenueConfig
from collector.config.models import Repair
from collector.feed.intake import Intake
from collector.feed.network import AiohttpNetwork
from collector.feed.rest import RestClient
from collector.feed.worker import VenueWorker
from collector.recording.changes import TableChanges
from collector.repair.ledger import Ledger
from collector.repair.repairer import Repairer, RepairOptions
from collector.supervise.parts import Parts, Supervised


class Changes(NamedTuple):
    """What another configuration did to the venues, by their names."""

    started: tuple[str, ...] = ()
    ended: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    """Their workers look for a new plan; connections that it leaves as they were are not touched."""
    restarted: tuple[str, ...] = ()
    """Another adapter or other limits: ended and started anew."""


class Venues:
    """Holds the task of each enabled venue; `committed` returns when all received until now is in the tables."""

    def __init__(
        self,
        repair: Repair,
        *,
        intake: Intake,
        parts: Parts,
        changes: TableChanges,
        ledger: Ledger,
        committed: Callable[[], Awaitable[None]],
        clock: Clock,
        random: Random,
    ) -> None:
        self.workers: dict[str, Supervised] = {}
        self.repairers: dict[str, Repairer] = {}
        self._repair = repair
        self._intake = intake
        self._parts = parts
        self._changes = changes
        self._ledger = ledger
        self._committed = committed
        self._clock = clock
        self._random = random
        self._group: asyncio.TaskGroup | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._configured: dict[str, VenueConfig] = {}

    def __repr__(self) -> str:
        return f"<Venues {', '.join(self._configured) or 'none'}>"

    def rest_of(self, name: str) -> RestClient | None:
        """Return the client of a venue's calls; None while there is none."""
        supervised = self.workers.get(name)
        return None if supervised is None else supervised.worker.rest

    async def run(self, configured: Mapping[str, VenueConfig]) -> None:
        """Run these venues, and those that are applied later, until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            for name, venue in _enabled(configured).items():
                self._start(name, venue)
            await asyncio.Event().wait()

    async def apply(self, wanted: Mapping[str, VenueConfig]) -> Changes:
        """Start, end and change venues so that they are as configured."""
        wanted = _enabled(wanted)
        known = self._configured
        ended = [name for name in known if name not in wanted]
        started = [name for name in wanted if name not in known]
        others = [name for name in wanted if name in known and wanted[name] != known[name]]
        restarted = [name for name in others if not _alike(known[name], wanted[name])]
        changed = [name for name in others if name not in restarted]
        for name in (*ended, *restarted):
            await self._end(name)
        for name in (*started, *restarted):
            self._start(name, wanted[name])
        for name in changed:
            known[name] = wanted[name]
            settings = wanted[name].settings
            if supervised := self.workers.get(name):
                supervised.worker.apply(settings)
            if repairer := self.repairers.get(name):
                repairer.settings = settings
        return Changes(tuple(started), tuple(ended), tuple(changed), tuple(restarted))

    def _start(self, name: str, venue: VenueConfig) -> None:
        assert self._group is not None
        self._configured[name] = venue
        part = self._parts.add(f"venue {name}", lambda: self._hold(name))
        self._tasks[name] = self._group.create_task(part.run(), name=part.name)

    async def _end(self, name: str) -> None:
        task = self._tasks.pop(name)
        task.cancel()
        await asyncio.wait([task])
        del self._configured[name]
        supervised = self.workers.pop(name, None)
        if supervised is not None:
            supervised.worker.wanting.nothing()
        for part in (f"venue {name}", f"repair {name}"):
            self._parts.forget(part)

    async def _hold(self, name: str) -> None:
        venue = self._configured[name]
        async with AiohttpNetwork.open() as network:
            worker = VenueWorker(
                name,
                adapters.find(venue.adapter),
                venue.settings,
                network=network,
                intake=self._intake,
                clock=self._clock,
                random=self._random,
            )
            supervised = self.workers[name] = Supervised(worker, self._clock, self._random)
            with self._changes.went_back.listening(worker.wanting.tell_again):
                async with asyncio.TaskGroup() as group:
                    group.create_task(supervised.run(), name=f"worker {name}")
                    if self._repair.enabled:
                        part = self._parts.add(f"repair {name}", lambda: self._keep_repaired(worker))
                        group.create_task(part.run(), name=part.name)

    async def _keep_repaired(self, worker: VenueWorker) -> None:
        repairer = self.repairers[worker.venue] = self._repairer(worker)
        try:
            with (
                self._changes.gaps.listening(repairer.wake),
                self._changes.went_back.listening(repairer.start_over),
            ):
                await repairer.run()
        finally:
            del self.repairers[worker.venue]

    def _repairer(self, worker: VenueWorker) -> Repairer:
        wanted = self._repair
        rate = worker.adapter.limits(worker.settings).rest_per_second * wanted.rate_share
        age = None if wanted.max_age_days is None else wanted.max_age_days * 86_400
        return Repairer(
            worker.venue,
            worker.adapter,
            worker.settings,
            RepairOptions(age, rate),
            rest=lambda: worker.rest,
            intake=self._intake,
            committed=self._committed,
            settled=self._changes.settled.tell,
            ledger=self._ledger,
            clock=self._clock,
            random=self._random,
        )


def _enabled(configured: Mapping[str, VenueConfig]) -> dict[str, VenueConfig]:
    return {name: venue for name, venue in configured.items() if venue.settings.enabled}


def _alike(one: VenueConfig, other: VenueConfig) -> bool:
    """Whether a running worker can take the other's settings: the same protocol and the same limits."""
    if one.adapter != other.adapter:
        return False
    adapter = adapters.find(one.adapter)
    try:
        return adapter.limits(one.settings) == adapter.limits(other.settings)
    except Exception:  # noqa: BLE001  started anew, the worker meets it again and tells it
        return False

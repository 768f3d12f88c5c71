"""The venues of a running daemon: a worker and a repairer each, started, changed and ended while the others run on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from random import Random
from typing import Any, NamedTuple

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
from collector.venues.adapter import Venue


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
        configured: Mapping[str, VenueConfig],
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
        self._configured = _enabled(configured)
        self.begun: dict[str, Venue[Any]] = {name: venue.begin() for name, venue in self._configured.items()}
        """Those that are enabled."""
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

    def __repr__(self) -> str:
        return f"<Venues {', '.join(self._configured) or 'none'}>"

    def rest_of(self, name: str) -> RestClient | None:
        """Return the client of a venue's calls; None while there is none."""
        supervised = self.workers.get(name)
        return None if supervised is None else supervised.worker.rest

    async def run(self) -> None:
        """Run the configured venues, and those that are applied later, until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            for name in self.begun:
                self._start(name)
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
            self._configured[name] = wanted[name]
            self.begun[name] = wanted[name].begin()
            self._start(name)
        for name in changed:
            known[name] = wanted[name]
            self.begun[name].apply(wanted[name].settings)
            if supervised := self.workers.get(name):
                supervised.worker.look_again()
        return Changes(tuple(started), tuple(ended), tuple(changed), tuple(restarted))

    def _start(self, name: str) -> None:
        assert self._group is not None
        part = self._parts.add(f"venue {name}", lambda: self._hold(name))
        self._tasks[name] = self._group.create_task(part.run(), name=part.name)

    async def _end(self, name: str) -> None:
        task = self._tasks.pop(name)
        task.cancel()
        await asyncio.wait([task])
        del self._configured[name], self.begun[name]
        supervised = self.workers.pop(name, None)
        if supervised is not None:
            supervised.worker.wanting.nothing()
        for part in (f"venue {name}", f"repair {name}"):
            self._parts.forget(part)

    async def _hold(self, name: str) -> None:
        venue = self.begun[name]
        async with AiohttpNetwork.open() as network:
            worker = VenueWorker(
                venue,
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
        repairer = self.repairers[worker.venue.name] = self._repairer(worker)
        try:
            with (
                self._changes.gaps.listening(repairer.wake),
                self._changes.went_back.listening(repairer.start_over),
            ):
                await repairer.run()
        finally:
            del self.repairers[worker.venue.name]

    def _repairer(self, worker: VenueWorker) -> Repairer:
        wanted = self._repair
        rate = worker.venue.limits().rest_per_second * wanted.rate_share
        age = None if wanted.max_age_days is None else wanted.max_age_days * 86_400
        return Repairer(
            worker.venue,
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
    try:
        return bool(one.begin().limits() == other.begin().limits())
    except Exception:  # noqa: BLE001  started anew, the worker meets it again and tells it
        return False

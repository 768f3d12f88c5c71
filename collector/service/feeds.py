"""The venues of a running daemon: a worker and a repairer each, started, changed and ended while the others run on."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from collector import venues as adapters
from collector.config import VenueConfig
from collector.feed.network import AiohttpNetwork
from collector.feed.worker import VenueWorker
from collector.repair.ledger import GapTable
from collector.repair.repairer import Repairer, RepairOptions
from collector.service.supervise import Supervised

if TYPE_CHECKING:
    from collector.service.daemon import Daemon


class Changes(NamedTuple):
    """What another configuration did to the venues, by their names."""

    started: tuple[str, ...] = ()
    ended: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    """Their workers look for a new plan; connections that it leaves as they were are not touched."""
    restarted: tuple[str, ...] = ()
    """Another adapter or other limits: ended and started anew."""


class Feeds:
    """Holds the task of each enabled venue."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._group: asyncio.TaskGroup | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._configured: dict[str, VenueConfig] = {}

    def __repr__(self) -> str:
        return f"<Feeds {', '.join(self._configured) or 'none'}>"

    async def run(self) -> None:
        """Run the venues of the daemon's configuration, and those of later ones, until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            for name, venue in _enabled(self._daemon.config.venues).items():
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
            if supervised := self._daemon.workers.get(name):
                supervised.worker.apply(settings)
            if repairer := self._daemon.repairers.get(name):
                repairer.settings = settings
        return Changes(tuple(started), tuple(ended), tuple(changed), tuple(restarted))

    def _start(self, name: str, venue: VenueConfig) -> None:
        assert self._group is not None
        self._configured[name] = venue
        part = self._daemon.part(f"venue {name}", lambda: self._hold(name))
        self._tasks[name] = self._group.create_task(part.run(), name=part.name)

    async def _end(self, name: str) -> None:
        task = self._tasks.pop(name)
        task.cancel()
        await asyncio.wait([task])
        del self._configured[name]
        supervised = self._daemon.workers.pop(name, None)
        if supervised is not None:
            supervised.worker.wanting.nothing()
        for part in (f"venue {name}", f"repair {name}"):
            self._daemon.parts.pop(part, None)

    async def _hold(self, name: str) -> None:
        daemon, venue = self._daemon, self._configured[name]
        async with AiohttpNetwork.open() as network:
            worker = VenueWorker(
                name,
                adapters.find(venue.adapter),
                venue.settings,
                network=network,
                intake=daemon.intake,
                clock=daemon.clock,
                random=daemon.random,
            )
            supervised = daemon.workers[name] = Supervised(worker, daemon.clock, daemon.random)
            daemon.recorder.when_database_went_back.append(worker.wanting.tell_again)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(supervised.run(), name=f"worker {name}")
                    if daemon.config.repair.enabled:
                        part = daemon.part(f"repair {name}", lambda: self._repair(worker))
                        group.create_task(part.run(), name=part.name)
            finally:
                daemon.recorder.when_database_went_back.remove(worker.wanting.tell_again)

    async def _repair(self, worker: VenueWorker) -> None:
        daemon = self._daemon
        repairer = daemon.repairers[worker.venue] = self._repairer(worker)
        daemon.recorder.when_gaps_change.append(repairer.wake)
        daemon.recorder.when_database_went_back.append(repairer.start_over)
        try:
            await repairer.run()
        finally:
            daemon.recorder.when_gaps_change.remove(repairer.wake)
            daemon.recorder.when_database_went_back.remove(repairer.start_over)
            del daemon.repairers[worker.venue]

    def _repairer(self, worker: VenueWorker) -> Repairer:
        daemon, wanted = self._daemon, self._daemon.config.repair
        rate = worker.adapter.limits(worker.settings).rest_per_second * wanted.rate_share
        age = None if wanted.max_age_days is None else wanted.max_age_days * 86_400
        repairer = Repairer(
            worker.venue,
            worker.adapter,
            worker.settings,
            RepairOptions(age, rate),
            rest=lambda: worker.rest,
            intake=daemon.intake,
            committed=daemon.all_committed,
            ledger=GapTable(daemon.database.dsn),
            clock=daemon.clock,
            random=daemon.random,
        )
        repairer.when_settled.append(daemon.auditing.gaps_changed)
        return repairer


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

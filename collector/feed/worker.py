"""One venue's worker: discovers, holds the planned connections, looks again from time to time.

A worker never ends by itself and never takes another with it: whatever its venue does ends in a retry and a visible
state.
"""

from __future__ import annotations

import asyncio
from enum import StrEnum
from random import Random
from typing import Any

import structlog
from aiolimiter import AsyncLimiter

from collector.clock import Clock
from collector.errors import VenueError
from collector.feed.connection import Backoff, ConnectionFeed
from collector.feed.intake import Intake
from collector.feed.network import Network
from collector.feed.polling import PollFeed
from collector.feed.rest import RestClient
from collector.venues.adapter import Adapter, ConnectionPlan, Plan, PollPlan, Problem

log = structlog.get_logger()

REFRESH_SECONDS = 3600.0
PERMANENT_SECONDS = 300.0


class WorkerState(StrEnum):
    DISCOVERING = "discovering"
    RUNNING = "running"
    WAITING = "waiting"  # discovery failed; it will be tried again


class VenueWorker:
    """Runs one configured venue."""

    def __init__(
        self,
        venue: str,
        adapter: Adapter,
        settings: Any,
        *,
        network: Network,
        intake: Intake,
        clock: Clock,
        random: Random,
        refresh_seconds: float = REFRESH_SECONDS,
    ) -> None:
        self.venue = venue
        self.adapter = adapter
        self._settings = settings
        self._limits = adapter.limits(settings)
        self._network = network
        self._intake = intake
        self._clock = clock
        self._random = random
        self._refresh_seconds = refresh_seconds
        self._backoff = Backoff(random)
        self._told = ""
        # One bucket of one message at the plain rate: what the venue allows beyond stays in reserve.
        self._sending = AsyncLimiter(1, 1 / self._limits.messages_per_second)
        self.connections: dict[str, ConnectionFeed | PollFeed] = {}
        self.rest: RestClient | None = None
        """The venue's one budget of REST calls; None until the worker runs."""
        self.problems: tuple[Problem, ...] = ()
        self.state = WorkerState.DISCOVERING
        self.since_ns = clock.now_ns()
        self.reason = ""

    def __repr__(self) -> str:
        return f"<VenueWorker {self.venue} {self.state} connections={len(self.connections)}>"

    def _become(self, state: WorkerState, reason: str = "") -> None:
        self.state, self.reason, self.since_ns = state, reason, self._clock.now_ns()

    async def run(self) -> None:
        """Work until cancelled. May be run again after it failed: nothing of the failed run remains."""
        self.connections.clear()
        header = {"venue": self.venue, "adapter": self.adapter.name, "worker": f"{self.venue}-rest", "url": "",
                  "symbols": None}  # fmt: skip
        session = self._intake.open(header)
        rest = RestClient(self.venue, self.adapter, self._limits, self._network, self._clock, session)
        self.rest = rest
        try:
            async with asyncio.TaskGroup() as group:
                holding: dict[str, asyncio.Task[None]] = {}
                while True:
                    plan = await self._discover(rest)
                    self._report(plan)
                    await self._hold(plan, holding, group, rest)
                    soon = plan.look_again_seconds
                    await self._clock.sleep(min(self._refresh_seconds, soon or self._refresh_seconds))
        finally:
            session.close("stopped")

    async def _discover(self, rest: RestClient) -> Plan:
        while True:
            if not self.connections:
                self._become(WorkerState.DISCOVERING, self._told)
            try:
                plan = await rest.drive(self.adapter.discover(self.venue, self._settings))
            except VenueError as error:
                # What a person has to put right (a token, a name) is not asked for every minute.
                pause = max(self._backoff.next(), PERMANENT_SECONDS if error.permanent else 0.0)
                tell = log.debug if str(error) == self._told else log.warning
                tell("discovery_failed", venue=self.venue, reason=str(error), next_try_s=round(pause, 1))
                self._told = str(error)
                if not self.connections:
                    self._become(WorkerState.WAITING, f"{error}; next try in {pause:.1f} s")
                await self._clock.sleep(pause)
            else:
                self._backoff.reset()
                self._told = ""
                return plan

    def _report(self, plan: Plan) -> None:
        for problem in plan.problems:
            if problem not in self.problems:
                log.warning("symbol_refused", venue=self.venue, symbol=problem.subject, reason=problem.reason)
        self.problems = plan.problems
        reason = "" if plan.lines else "none of the configured symbols can be recorded"
        self._become(WorkerState.RUNNING, reason)

    async def _hold(
        self, plan: Plan, holding: dict[str, asyncio.Task[None]], group: asyncio.TaskGroup, rest: RestClient
    ) -> None:
        """Start what is new in the plan, end what is no longer in it, leave the rest alone."""
        wanted = {one.name: one for one in plan.lines}
        for name, feed in list(self.connections.items()):
            if wanted.get(name) == feed.plan:
                continue
            task = holding.pop(name)
            task.cancel()
            await asyncio.wait([task])
            del self.connections[name]
        for name, one in wanted.items():
            if name not in self.connections:
                feed = self._feed_of(one, rest)
                self.connections[name] = feed
                holding[name] = group.create_task(feed.run(), name=name)

    def _feed_of(self, plan: ConnectionPlan | PollPlan, rest: RestClient) -> ConnectionFeed | PollFeed:
        if isinstance(plan, PollPlan):
            return PollFeed(
                plan, self.adapter, self._settings, rest=rest, intake=self._intake, clock=self._clock,
                random=self._random,
            )  # fmt: skip
        return ConnectionFeed(
            plan,
            self.adapter,
            self._limits,
            network=self._network,
            intake=self._intake,
            sending=self._sending,
            clock=self._clock,
            random=self._random,
        )

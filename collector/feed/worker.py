"""One venue's worker: discovers what to record, keeps the planned connections, and discovers again from time to time.

A worker never ends by itself, and never ends another one: whatever its venue does leads to a retry and a visible state.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from functools import partial
from random import Random
from typing import Any, NamedTuple

import structlog
from aiolimiter import AsyncLimiter

from collector.backoff import BACKOFF_MAX_SECONDS, Backoff
from collector.clock import Clock
from collector.errors import VenueError
from collector.feed.connection import ConnectionFeed, ConnectionState
from collector.feed.failures import AdapterFailures, Place
from collector.feed.intake import Intake
from collector.feed.line import BEAT_SECONDS
from collector.feed.network import Network
from collector.feed.pauses import Pauses, sleep_or
from collector.feed.polling import PollFeed
from collector.feed.rest import RestClient
from collector.feed.wanting import Wanting
from collector.venues.adapter import Venue
from collector.venues.header import SessionHeader
from collector.venues.plan import ConnectionPlan, Limits, Plan, PollPlan, Problem

log = structlog.get_logger()

# How often a venue's lists of symbols are fetched: new ones are recorded within an hour.
REFRESH_SECONDS = 3600.0
# A new connection has to be live for this long before the one that it replaces ends: only after a beat has journalled
# what it receives is there no gap between the two.
SETTLED_SECONDS = BEAT_SECONDS + 2.0
# Before discovery is tried again after a failure that a person has to correct, such as a wrong token.
PERMANENT_FAILURE_PAUSE_SECONDS = 300.0
# The longest delay after a failed discovery while there is no connection, since nothing is recorded until it succeeds.
UNDISCOVERED_PAUSE_MAX_SECONDS = 15.0

# How often new connections are checked while those that they replace are kept.
REPLACEMENT_POLL_SECONDS = 0.5
# Then the old connections end, whatever the state of the new ones: the venue may allow no more connections.
OVERLAP_MAX_SECONDS = 60.0


class WorkerState(StrEnum):
    DISCOVERING = "discovering"
    RUNNING = "running"
    WAITING = "waiting"  # discovery failed; it will be tried again


class _Budget(NamedTuple):
    """What one run of a worker may ask of its venue, shared by all of its connections."""

    limits: Limits
    rest: RestClient
    pauses: Pauses
    sending: AsyncLimiter


class VenueWorker:
    """Runs one configured venue."""

    def __init__(
        self,
        venue: Venue[Any],
        *,
        network: Network,
        intake: Intake,
        clock: Clock,
        random: Random,
        refresh_seconds: float = REFRESH_SECONDS,
    ) -> None:
        self.venue = venue
        self._network = network
        self._intake = intake
        self._clock = clock
        self._random = random
        self._refresh_seconds = refresh_seconds
        self._backoff = Backoff(random)
        self._told = ""
        self.failures = AdapterFailures(venue.name)
        """What the adapter raised."""
        self.connections: dict[str, ConnectionFeed | PollFeed] = {}
        self.leaving: dict[str, ConnectionFeed | PollFeed] = {}
        """Connections of a former plan that record on until those which replace them do."""
        self._seeing_off: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self.wanting = Wanting(venue, intake, clock)
        """What is asked of the venue."""
        self.rest: RestClient | None = None
        """The client that all REST calls of the venue share; None until the worker runs."""
        self.problems: tuple[Problem, ...] = ()
        self.state = WorkerState.DISCOVERING
        self.since_ns = clock.now_ns()
        self.reason = ""

    def __repr__(self) -> str:
        return f"<VenueWorker {self.venue.name} {self.state} connections={len(self.connections)}>"

    def _become(self, state: WorkerState, reason: str = "") -> None:
        self.state, self.reason, self.since_ns = state, reason, self._clock.now_ns()

    def look_again(self) -> None:
        """Look for a new plan at once: the venue has other settings."""
        self._ask_for(self.wanting.configured)
        self._changed.set()

    def _ask_for(self, tell: Callable[[], None]) -> None:
        """Journal the wanted streams; a bug of the adapter in that ends no connection."""
        self.failures.ask(Place.NAMED, tell)

    async def run(self) -> None:
        """Work until cancelled. After a failure it may be run again, and starts from nothing."""
        self.connections.clear()
        self.leaving.clear()
        self._seeing_off = None
        self._ask_for(self.wanting.configured)
        limits = self.venue.limits()
        header = SessionHeader(self.venue.name, self.venue.adapter.name, worker=f"{self.venue.name}-rest")
        session = self._intake.open(header)
        self.rest = RestClient(self.venue, limits, self._network, self._clock, session, self.failures)
        # One message at a time at the plain rate: the burst that the venue allows stays in reserve.
        sending = AsyncLimiter(1, 1 / limits.messages_per_second)
        budget = _Budget(limits, self.rest, Pauses(self._clock, self._random), sending)
        try:
            async with asyncio.TaskGroup() as group:
                holding: dict[str, asyncio.Task[None]] = {}
                while True:
                    self._changed.clear()
                    plan = await self._discover(budget)
                    self._report(plan)
                    self._ask_for(partial(self.wanting.planned, plan))
                    await self._hold(plan, holding, group, budget)
                    soon = plan.look_again_seconds
                    await self._rest_for(min(self._refresh_seconds, soon or self._refresh_seconds))
        finally:
            session.close("stopped")

    async def _rest_for(self, seconds: float) -> None:
        """Sleep, or until other settings come."""
        await sleep_or(self._clock, seconds, self._changed)

    async def _discover(self, budget: _Budget) -> Plan:
        while True:
            if not self.connections:
                self._become(WorkerState.DISCOVERING, self._told)
            try:
                with self.failures.calling(Place.DISCOVER, VenueError):
                    discovery = self.venue.discover()
                plan = await budget.rest.drive(discovery, place=Place.DISCOVER)
            except VenueError as error:
                longest = BACKOFF_MAX_SECONDS if self.connections else UNDISCOVERED_PAUSE_MAX_SECONDS
                # After a failure that a person has to correct (a token, a name) the next try is not within a minute.
                pause = max(self._backoff.next(longest), PERMANENT_FAILURE_PAUSE_SECONDS if error.permanent else 0.0)
                tell = log.debug if str(error) == self._told else log.warning
                tell("discovery_failed", venue=self.venue.name, reason=str(error), next_try_s=round(pause, 1))
                self._told = str(error)
                if not self.connections:
                    self._become(WorkerState.WAITING, f"{error}; next try in {pause:.1f} s")
                await (self._rest_for(pause) if error.permanent else budget.pauses.sleep(pause, self._changed))
                self._changed.clear()
            else:
                self._backoff.reset()
                self._told = ""
                return plan

    def _report(self, plan: Plan) -> None:
        for problem in plan.problems:
            if problem not in self.problems:
                log.warning("symbol_refused", venue=self.venue.name, symbol=problem.subject, reason=problem.reason)
        self.problems = plan.problems
        reason = "" if plan.lines else "none of the configured symbols can be recorded"
        self._become(WorkerState.RUNNING, reason)

    async def _hold(
        self, plan: Plan, holding: dict[str, asyncio.Task[None]], group: asyncio.TaskGroup, budget: _Budget
    ) -> None:
        """Start connections that are new in the plan, end those that it lacks, and leave the others alone.

        A connection whose subscriptions have changed is replaced by a new one; the old one records on until the new one
        is live. So a symbol that comes or goes causes no gap for the other symbols, on whichever connection they are
        then.
        """
        if self._seeing_off is not None:  # it still ends the connections of the change before
            await asyncio.wait([self._seeing_off])
        wanted = {one.name: one for one in plan.lines}
        old: dict[str, asyncio.Task[None]] = {}
        for name, feed in list(self.connections.items()):
            if wanted.get(name) != feed.plan:
                old[name] = holding.pop(name)
                if feed.state is ConnectionState.LIVE:
                    self.leaving[name] = feed
                del self.connections[name]
        new = {name: self._feed_of(one, budget) for name, one in wanted.items() if name not in self.connections}
        for name in old.keys() - self.leaving.keys():
            await _end(old.pop(name))
        for name, feed in new.items():
            self.connections[name] = feed
            holding[name] = group.create_task(feed.run(), name=name)
        if old:
            self._seeing_off = group.create_task(
                self._see_off(old, list(new.values())), name=f"{self.venue.name} leaving"
            )

    async def _see_off(self, old: Mapping[str, asyncio.Task[None]], new: Sequence[ConnectionFeed | PollFeed]) -> None:
        """End connections once those that take over from them have been live for a while."""
        began = settled_since = self._clock.monotonic()
        try:
            while (now := self._clock.monotonic()) - settled_since < SETTLED_SECONDS and new:
                if any(feed.state is not ConnectionState.LIVE for feed in new):
                    settled_since = now
                    if (
                        now - began >= OVERLAP_MAX_SECONDS
                    ):  # perhaps the venue allows no more connections than the old ones
                        log.warning("connections_replaced_early", venue=self.venue.name, connections=sorted(old))
                        break
                await self._clock.sleep(REPLACEMENT_POLL_SECONDS)
        finally:
            for task in old.values():
                await _end(task)
            self.leaving.clear()
        log.info("connections_replaced", venue=self.venue.name, connections=sorted(old))

    def _feed_of(self, plan: ConnectionPlan | PollPlan, budget: _Budget) -> ConnectionFeed | PollFeed:
        if isinstance(plan, PollPlan):
            return PollFeed(
                plan,
                self.venue,
                rest=budget.rest,
                intake=self._intake,
                clock=self._clock,
                random=self._random,
                failures=self.failures,
                pauses=budget.pauses,
            )
        return ConnectionFeed(
            plan,
            self.venue,
            budget.limits,
            network=self._network,
            intake=self._intake,
            sending=budget.sending,
            clock=self._clock,
            random=self._random,
            failures=self.failures,
            pauses=budget.pauses,
        )


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])

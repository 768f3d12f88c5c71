"""Records instruments by polling: makes the REST calls that a venue's polling asks for, in its order.

Each lane has a task of its own, so that a slow method does not hold up another. The venue decides what to call next,
how often, and what an answer means (`collector.venues.roles.Polling`); this module has the network, the clock and the
journal.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from functools import partial
from random import Random
from typing import Any

import structlog

from collector.backoff import Backoff
from collector.clock import Clock
from collector.errors import CollectorError, VenueError
from collector.feed.connection import ConnectionState
from collector.feed.failures import AdapterError, AdapterFailures, Place
from collector.feed.intake import Intake, LiveSession, NoRoom, end_without_room, told
from collector.feed.line import BEAT_SECONDS
from collector.feed.network import Loss
from collector.feed.pauses import STEADY_SECONDS, Pauses
from collector.feed.rest import RestClient
from collector.venues.adapter import Venue
from collector.venues.events import SubscriptionState, SubscriptionStatus
from collector.venues.plan import PollPlan
from collector.venues.roles import Polling

log = structlog.get_logger()

# The longest sleep of a lane before it asks again what to call next: the answer may have changed.
POLL_WAIT_MAX_SECONDS = 1.0


class PollFeed:
    """Runs one poll plan; to the status it looks like a connection."""

    def __init__(
        self,
        plan: PollPlan,
        venue: Venue[Any],
        *,
        rest: RestClient,
        intake: Intake,
        clock: Clock,
        random: Random,
        failures: AdapterFailures | None = None,
        pauses: Pauses | None = None,
    ) -> None:
        self.plan = plan
        self._venue = venue
        self._rest = rest
        self._intake = intake
        self._clock = clock
        self._random = random
        self._failures = failures or AdapterFailures(plan.header.venue)
        self._calling = partial(self._failures.calling, at=plan.name)
        self._pauses = pauses or Pauses(clock, random)
        self._backoff = Backoff(random)
        self._polling: Polling | None = None
        self._told: dict[str, str] = {}
        self._told_refused: set[tuple[str, str]] = set()
        self.state = ConnectionState.CONNECTING
        self.since_ns = clock.now_ns()
        self.reason = ""
        self.reconnects = 0
        self.losses: Counter[str] = Counter()
        """There is no line to lose: only bugs."""
        self.frames = 0
        self.bytes = 0
        self.last_frame_ns: int | None = None

    def __repr__(self) -> str:
        return f"<PollFeed {self.plan.name} {self.state} answers={self.frames}>"

    def statuses(self) -> Sequence[SubscriptionStatus]:
        """The state of each subscription."""
        return () if self._polling is None else self._failures.statuses(self._polling, self.plan)

    async def run(self) -> None:
        """Poll until cancelled."""
        while True:
            if self._intake.full:
                self._become(ConnectionState.CONNECTING, self.reason or "waits for room in the journal")
                await self._intake.room()
            started, pause = self._clock.monotonic(), 0.0
            try:
                await self._one_session()
            except Exception as error:  # noqa: BLE001  a bug costs this line, not the venue's others
                pause = self._pause_after(error, self._clock.monotonic() - started)
            self.reconnects += 1
            await self._clock.sleep(pause)

    def _pause_after(self, error: Exception, lived: float) -> float:
        while isinstance(error, ExceptionGroup):
            error = error.exceptions[0]
        if not isinstance(error, AdapterError):
            error = self._failures.note(Place.LINE, error, self.plan.name)
        self.losses[Loss.FAILED] += 1
        if lived >= STEADY_SECONDS:
            self._backoff.reset()
        pause = self._backoff.next()
        self._become(ConnectionState.WAITING, f"{error.reason}; next try in {pause:.1f} s")
        return pause

    async def _one_session(self) -> None:
        """Poll until answers cannot be recorded any more. Bugs are raised."""
        with self._calling(Place.PARSER, CollectorError):
            session = self._intake.open(self.plan.session_header())
        reason, cause = "stopped", None
        try:
            with self._calling(Place.POLLING):
                polling = self._venue.polling(self.plan, session.parser, self._random)
            self._polling = polling
            self._become(ConnectionState.SUBSCRIBING)
            async with asyncio.TaskGroup() as group:
                for lane in self.plan.lanes:
                    group.create_task(self._work(lane, polling, session), name=f"{self.plan.name} {lane}")
                group.create_task(self._beat(session))
                group.create_task(end_without_room(self._intake))
        except* NoRoom as full:
            reason, cause = told(full)
        except* Exception as bugs:
            reason = str(bugs.exceptions[0])
            raise
        finally:
            self._polling = None
            self._pauses.went(self)
            session.close(reason, cause)
            self._become(ConnectionState.STOPPED, "" if cause is None else reason)

    def _become(self, state: ConnectionState, reason: str = "") -> None:
        if (state, reason) != (self.state, self.reason):
            self.state, self.reason, self.since_ns = state, reason, self._clock.now_ns()

    async def _work(self, lane: str, polling: Polling, session: LiveSession) -> None:
        clock, calling = self._clock, self._calling
        while True:
            if self._intake.full:
                await self._intake.room()
            with calling(Place.NEXT):
                step = polling.next(lane, clock.monotonic(), clock.now_ns())
            if isinstance(step, (int, float)):
                await clock.sleep(min(max(step, 0.001), POLL_WAIT_MAX_SECONDS))
                continue
            try:
                answer, events = await self._rest.fetch_once(step, session)
            except VenueError as error:
                with calling(Place.FAILED):
                    polling.failed(lane, step, error, clock.monotonic())
                self._failed(lane, error, polling)
                continue
            self.frames += 1
            self.bytes += len(answer.body)
            self.last_frame_ns = answer.received_ns
            self._told.pop(lane, None)
            with calling(Place.ANSWERED):
                polling.answered(lane, step, answer, events, clock.monotonic())
            if self._failures.proved(polling, self.plan):
                self._become(ConnectionState.LIVE)
                self._pauses.came(self)

    def _failed(self, lane: str, error: VenueError, polling: Polling) -> None:
        # One trouble hits symbol after symbol: it is logged once in a lane, not once for each symbol.
        told = error.code or "not reached"
        tell = log.debug if self._told.get(lane) == told else log.warning
        tell("poll_failed", connection=self.plan.name, lane=lane, reason=str(error))
        self._told[lane] = told
        for status in self.statuses():
            name = status.channel, status.symbol
            if status.state is SubscriptionState.REFUSED and name not in self._told_refused:
                self._told_refused.add(name)
                log.warning(
                    "subscription_refused",
                    connection=self.plan.name,
                    channel=status.channel,
                    symbol=status.symbol,
                    reason=status.reason,
                )
        if not self._failures.proved(polling, self.plan):
            self._pauses.went(self)
            self._become(ConnectionState.SUBSCRIBING, str(error))

    async def _beat(self, session: LiveSession) -> None:
        # Without a socket only answers show that the venue is there, so that only they are followed by a beat.
        beaten_ns = self.last_frame_ns
        while True:
            await self._clock.sleep(BEAT_SECONDS)
            if self.last_frame_ns != beaten_ns:
                beaten_ns = self.last_frame_ns
                session.beat(self._clock.now_ns())

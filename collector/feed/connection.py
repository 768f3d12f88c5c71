"""Keeps one connection to a venue: connects, subscribes, watches, and connects again for ever.

Three kinds of silence are told apart. The *transport* is alive while any frame arrives, including pings and answers to
our pings. A *subscription* is alive once the venue has acknowledged it and, where data should follow at once, has sent
some; the venue's conversation checks that. A *market* may be quiet for any time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from functools import partial
from http import HTTPStatus
from random import Random
from typing import Any

import structlog
from aiolimiter import AsyncLimiter

from collector.backoff import Backoff
from collector.clock import Clock
from collector.errors import CollectorError
from collector.feed.failures import AdapterError, AdapterFailures, Place
from collector.feed.intake import Intake, LiveSession, NoRoom, told
from collector.feed.line import Heard, LiveConnection
from collector.feed.network import Line, LineError, Loss, MovedError, Network, shown
from collector.feed.pauses import PAUSE_AFTER_LIVE_MAX_SECONDS, STEADY_SECONDS, Pauses
from collector.venues.adapter import Venue
from collector.venues.events import SubscriptionStatus
from collector.venues.plan import ConnectionPlan, Limits

log = structlog.get_logger()

# Before the next try after a token was refused: a person has to correct it, and venues lock out clients that insist.
UNAUTHORIZED_PAUSE_SECONDS = 300.0
# Statuses of a refused handshake that mean that we may not connect, or do so too often. They keep the long backoff even
# while other lines of the venue are live.
_UNWANTED_STATUSES = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS})


class ConnectionState(StrEnum):
    CONNECTING = "connecting"
    SUBSCRIBING = "subscribing"
    LIVE = "live"
    WAITING = "waiting"  # for the next try
    STOPPED = "stopped"


class ConnectionFeed:
    """Keeps one connection of a plan."""

    def __init__(
        self,
        plan: ConnectionPlan,
        venue: Venue[Any],
        limits: Limits,
        *,
        network: Network,
        intake: Intake,
        sending: AsyncLimiter,
        clock: Clock,
        random: Random,
        failures: AdapterFailures | None = None,
        pauses: Pauses | None = None,
    ) -> None:
        self.plan = plan
        self._venue = venue
        self._limits = limits
        self._network = network
        self._intake = intake
        self._sending = sending
        self._clock = clock
        self._random = random
        self._failures = failures or AdapterFailures(plan.header.venue)
        self._calling = partial(self._failures.calling, at=plan.name)
        self._pauses = pauses or Pauses(clock, random)
        self._backoff = Backoff(random)
        self._flaps = Backoff(random, longest=PAUSE_AFTER_LIVE_MAX_SECONDS)
        self._pause_seconds = 0.0
        self._unwanted = self._was_proved = False
        self.living: LiveConnection | None = None
        """The connection while it is open; None between two."""
        self._told = ""
        self._told_refused: set[tuple[str, str]] = set()
        self.state = ConnectionState.CONNECTING
        self.since_ns = clock.now_ns()
        self.reason = ""
        self.reconnects = 0
        self.losses: Counter[str] = Counter()
        """The same by kind (`Loss`)."""
        self.heard = Heard()
        """What has come."""

    def __repr__(self) -> str:
        return f"<ConnectionFeed {self.plan.name} {self.state} frames={self.frames} reconnects={self.reconnects}>"

    @property
    def frames(self) -> int:
        """Messages that came, since the start."""
        return self.heard.frames

    @property
    def bytes(self) -> int:
        """Their bytes."""
        return self.heard.bytes

    @property
    def last_frame_ns(self) -> int | None:
        """When the last frame was received."""
        return self.heard.last_frame_ns

    def statuses(self) -> Sequence[SubscriptionStatus]:
        """The state of each subscription; empty while there is no connection."""
        return () if self.living is None else self.living.statuses()

    async def run(self) -> None:
        """Hold the connection until cancelled."""
        while True:
            if self._intake.full:  # a new connection would bring frames that there is no room for
                self._become(ConnectionState.CONNECTING, "waits for room in the journal")
                await self._intake.room()
            started = self._clock.monotonic()
            try:
                reason = await self._one_session()
            except Exception as error:  # noqa: BLE001  a bug costs this line, not the venue's others
                reason = self._failed(error)
                self._become(ConnectionState.STOPPED, reason)
            pause = self._next_pause(self._clock.monotonic() - started)
            self.reconnects += 1
            self._become(ConnectionState.WAITING, f"{reason}; next try in {pause:.1f} s")
            # A venue that has closed for good must not fill the log: a repeated reason is logged at debug level.
            tell = log.debug if reason == self._told else log.warning
            tell("connection_lost", connection=self.plan.name, reason=reason, next_try_s=round(pause, 2))
            self._told = reason
            await (self._clock.sleep(pause) if self._unwanted else self._pauses.sleep(pause))

    def _next_pause(self, lived: float) -> float:
        """Return the delay before the next try, after a session that took these seconds, connecting included."""
        if lived >= STEADY_SECONDS:
            self._flaps.reset()
        if self._was_proved or lived >= STEADY_SECONDS:
            self._backoff.reset()
        if self._unwanted:
            return max(self._backoff.next(), self._pause_seconds)
        return self._flaps.next() if self._was_proved else self._backoff.next(self._pauses.longest)

    def _failed(self, error: Exception) -> str:
        if not isinstance(error, AdapterError):
            error = self._failures.note(Place.LINE, error, self.plan.name)
        self.losses[Loss.FAILED] += 1
        return error.reason

    def _become(self, state: ConnectionState, reason: str = "") -> None:
        self.state, self.reason, self.since_ns = state, reason, self._clock.now_ns()

    async def _one_session(self) -> str:
        """Connect and receive until something ends the session; return the reason."""
        self._become(ConnectionState.CONNECTING)
        self._pause_seconds = 0.0
        self._unwanted = self._was_proved = False
        calling = self._calling
        with calling(Place.ADDRESS):
            url, headers = self._venue.address(self.plan, self._random)
        try:
            line = await self._network.connect(url, headers=headers, max_message_bytes=self._limits.max_message_bytes)
        except LineError as error:
            self._unwanted = error.status in _UNWANTED_STATUSES or not error.again
            if error.status == HTTPStatus.UNAUTHORIZED:
                self._pause_seconds = UNAUTHORIZED_PAUSE_SECONDS
            self.losses[error.kind] += 1
            return f"{error}; {error.advice(self._failures.venue)}" if isinstance(error, MovedError) else str(error)
        try:
            with calling(Place.STRIP):
                strip = self._venue.strip
            with calling(Place.PARSER, CollectorError):
                session = self._intake.open(self.plan.session_header(shown(url)), strip=strip)
        except Exception:
            await line.close()
            raise
        reason, cause = "stopped", None
        try:
            self.living = living = self._connected(line, session)
            await living.hold()
        except* LineError as lost:
            reason = "; ".join(dict.fromkeys(str(error) for error in lost.exceptions))
            first = lost.exceptions[0]
            self.losses[first.kind if isinstance(first, LineError) else Loss.CUT] += 1
        except* NoRoom as full:
            reason, cause = told(full)
            self.losses[Loss.NO_ROOM] += 1
        except* Exception as bugs:  # noqa: BLE001  as in `run`
            reason = self._failed(bugs.exceptions[0])
        finally:
            if self.living is not None:
                self.living.ended()
            self.living = None
            self._pauses.went(self)
            session.close(reason, cause)
            self._become(ConnectionState.STOPPED, reason)
            await line.close()
        return reason

    def _connected(self, line: Line, session: LiveSession) -> LiveConnection:
        with self._calling(Place.CONVERSATION):
            conversation = self._venue.conversation(self.plan, session.parser, self._random)
        self._become(ConnectionState.SUBSCRIBING)
        log.info("connection_opened", connection=self.plan.name, url=shown(self.plan.url))
        return LiveConnection(
            self.plan,
            line,
            session,
            conversation,
            limits=self._limits,
            intake=self._intake,
            sending=self._sending,
            clock=self._clock,
            failures=self._failures,
            heard=self.heard,
            refusals=self._told_refused,
            proved=self._proved,
        )

    def _proved(self) -> None:
        self._become(ConnectionState.LIVE)
        self._told = ""
        self._was_proved = True
        self._pauses.came(self)
        log.info("connection_live", connection=self.plan.name)

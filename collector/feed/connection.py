"""One connection to a venue: made, proved, watched, made again, for ever.

Three things are told apart. The *transport* is alive while any frame comes, pings and the answers to our own pings
included. A *subscription* is alive once the venue has acknowledged it and, where it sends data at once, has sent
some; the venue's conversation sees to that. A *market* may be quiet as long as it likes.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from functools import partial
from http import HTTPStatus
from random import Random
from typing import Any

import structlog
from aiolimiter import AsyncLimiter

from collector.clock import Clock
from collector.errors import CollectorError
from collector.feed.failures import AdapterError, AdapterFailures, Place
from collector.feed.intake import Intake, LiveSession, NoRoom, NotStrippedError, end_without_room, told
from collector.feed.network import BINARY, PING, PONG, TEXT, Line, LineError, Loss, MovedError, Network, shown
from collector.feed.pauses import FLAPPING_SECONDS, STEADY_SECONDS, Backoff, Pauses
from collector.feed.reading import Reading
from collector.venues.adapter import Venue
from collector.venues.events import Action, Event, Reconnect, Refused, Send, SubscriptionState, SubscriptionStatus
from collector.venues.plan import ConnectionPlan, Limits
from collector.venues.roles import Conversation

log = structlog.get_logger()

TICK_SECONDS = 1.0
BEAT_SECONDS = 5.0
UNAUTHORIZED_SECONDS = 300.0
"""A token that is refused is for a person to put right, and venues lock out those who insist."""
_UNWANTED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS})
"""Refusals of those who ask, or ask too much: that other lines live is no reason to ask again sooner."""
ROOM_EVERY = 64
"""Frames after which others get their turn, and the journal's buffer is looked at."""


class ConnectionState(StrEnum):
    CONNECTING = "connecting"
    SUBSCRIBING = "subscribing"
    LIVE = "live"
    WAITING = "waiting"  # for the next try
    STOPPED = "stopped"


class ConnectionFeed:
    """Holds one connection of a plan."""

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
        self._flaps = Backoff(random, longest=FLAPPING_SECONDS)
        self._pause_seconds = 0.0
        self._unwanted = self._was_proved = False
        self._conversation: Conversation | None = None
        self._reading: Reading
        self._last_heard = 0.0
        self._behind = False
        self._held_back = False
        self._told = ""
        self._told_refused: set[tuple[str, str]] = set()
        self.state = ConnectionState.CONNECTING
        self.since_ns = clock.now_ns()
        self.reason = ""
        self.reconnects = 0
        self.losses: Counter[str] = Counter()
        """The same by kind (`Loss`)."""
        self.frames = 0
        self.bytes = 0
        self.last_frame_ns: int | None = None

    def __repr__(self) -> str:
        return f"<ConnectionFeed {self.plan.name} {self.state} frames={self.frames} reconnects={self.reconnects}>"

    def statuses(self) -> Sequence[SubscriptionStatus]:
        """How each subscription stands; empty while there is no connection."""
        return () if self._conversation is None else self._failures.statuses(self._conversation, self.plan)

    async def run(self) -> None:
        """Hold the connection until cancelled."""
        while True:
            if self._intake.full:  # each new line would bring frames that there is no room for
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
            # A venue that is closed for good must not fill the log: the same reason again is for the curious only.
            tell = log.debug if reason == self._told else log.warning
            tell("connection_lost", connection=self.plan.name, reason=reason, next_try_s=round(pause, 2))
            self._told = reason
            await (self._clock.sleep(pause) if self._unwanted else self._pauses.sleep(pause))

    def _next_pause(self, lived: float) -> float:
        """Return how long to wait after a session of so many seconds, the time to connect included."""
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
        """Connect and stream until something ends it; returns why."""
        self._become(ConnectionState.CONNECTING)
        self._pause_seconds = 0.0
        self._unwanted = self._was_proved = False
        calling = self._calling
        with calling(Place.ADDRESS):
            url, headers = self._venue.address(self.plan, self._random)
        try:
            line = await self._network.connect(url, headers=headers, max_message_bytes=self._limits.max_message_bytes)
        except LineError as error:
            self._unwanted = error.status in _UNWANTED or not error.again
            if error.status == HTTPStatus.UNAUTHORIZED:
                self._pause_seconds = UNAUTHORIZED_SECONDS
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
        self._reading = Reading(self._clock, line.unread)
        self._last_heard = self._clock.monotonic()
        self._behind = self._held_back = False  # the line before may have ended while it was
        try:
            await self._hold(line, session)
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
            self._conversation = None
            self._reading.away = True
            self._pauses.went(self)
            self._tell_lag(session)
            session.close(reason, cause)
            self._become(ConnectionState.STOPPED, reason)
            await line.close()
        return reason

    async def _hold(self, line: Line, session: LiveSession) -> None:
        with self._calling(Place.CONVERSATION):
            self._conversation = self._venue.conversation(self.plan, session.parser, self._random)
        outbox: asyncio.Queue[bytes] = asyncio.Queue()  # bounded by the conversation: one request a chunk of symbols
        self._become(ConnectionState.SUBSCRIBING)
        log.info("connection_opened", connection=self.plan.name, url=shown(self.plan.url))
        with self._calling(Place.OPENED, LineError):
            self._act(self._conversation.opened(self._clock.monotonic()), outbox)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._receive(line, session, self._conversation, outbox))
            group.create_task(self._send(line, outbox))
            group.create_task(self._watch(line, session, self._conversation, outbox))
            group.create_task(end_without_room(self._intake))

    def _act(self, actions: Sequence[Action], outbox: asyncio.Queue[bytes]) -> None:
        for action in actions:
            match action:
                case Send(payload):
                    outbox.put_nowait(payload)
                case Reconnect(reason):
                    raise LineError(reason, kind=Loss.GIVEN_UP)

    async def _receive(
        self, line: Line, session: LiveSession, conversation: Conversation, outbox: asyncio.Queue[bytes]
    ) -> None:
        receive, frame, now_ns, monotonic = line.receive, session.frame, self._clock.now_ns, self._clock.monotonic
        intake, reading, handling = self._intake, self._reading, self._calling(Place.HANDLE, LineError)
        while True:
            for _ in range(ROOM_EVERY):
                message = await receive()
                kind = message.type
                self._last_heard = monotonic()
                if kind is TEXT or kind is BINARY:
                    payload = message.data
                    received_ns = now_ns()
                    try:
                        events = frame(payload, received_ns)
                    except NotStrippedError as error:
                        events = self._not_stripped(error)
                    self.frames += 1
                    self.bytes += len(payload)
                    self.last_frame_ns = received_ns
                    if events:
                        with handling:
                            self._act(conversation.handle(events, monotonic()), outbox)
                        if any(type(event) is Refused for event in events):
                            self._tell_refused()
                elif kind is PING:
                    reading.away = True
                    await line.pong(message.data)
                    reading.away = False
                elif kind is not PONG:
                    raise line.ended(message)
            # A flood leaves `receive` nothing to wait for; without this the writer's turn would not come.
            reading.turning = True
            await asyncio.sleep(0)
            reading.turning = False
            if intake.full:
                self._held_back = reading.away = True  # the line's silence is our own doing now
                await intake.room()
                self._held_back = reading.away = False
                self._last_heard = monotonic()

    def _tell_lag(self, session: LiveSession) -> None:
        """Have the journal know while what the venue has sent waits unread: an end now would lose that, too."""
        if self._reading.behind:
            self._behind = True
            session.behind(self._clock.now_ns() - int(self._reading.lag * 1e9))
        elif self._behind:
            self._behind = False
            session.behind(None)

    def _not_stripped(self, error: NotStrippedError) -> Sequence[Event]:
        assert isinstance(error.__cause__, Exception)
        self._failures.note(Place.STRIP, error.__cause__, self.plan.name)
        return ()

    def _tell_refused(self) -> None:
        """Report what the venue refused for good: once, however often the line is made anew."""
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

    async def _send(self, line: Line, outbox: asyncio.Queue[bytes]) -> None:
        while True:
            payload = await outbox.get()
            await self._sending.acquire()
            await line.send(payload)

    async def _watch(
        self, line: Line, session: LiveSession, conversation: Conversation, outbox: asyncio.Queue[bytes]
    ) -> None:
        limits, clock = self._limits, self._clock
        ticking = self._calling(Place.TICK, LineError)
        next_ping = next_beat = clock.monotonic()
        while True:
            now = clock.monotonic()
            self._tell_lag(session)
            self._reading.look()
            silent = now - self._last_heard
            if silent > limits.silence_seconds and not self._held_back:
                reason = f"nothing was heard for {silent:.0f} s, not even an answer to pings"
                raise LineError(reason, kind=Loss.SILENT)
            if now >= next_ping:
                next_ping = now + limits.ping_seconds
                await line.ping()
            # While nothing is read, what was sent may still be lost: that the line lives is not known then.
            if now >= next_beat and silent <= limits.ping_seconds and not self._held_back:
                next_beat = now + BEAT_SECONDS
                session.beat(clock.now_ns())
            with ticking:
                self._act(conversation.tick(now), outbox)
            if self.state is ConnectionState.SUBSCRIBING and self._failures.proved(conversation, self.plan):
                self._become(ConnectionState.LIVE)
                self._told = ""
                self._was_proved = True
                self._pauses.came(self)
                log.info("connection_live", connection=self.plan.name)
            await clock.sleep(TICK_SECONDS)

"""One open connection: receives, sends and watches until something ends it.

All that is known of the connection ends with it. Counts and delays, which outlive it, belong to `ConnectionFeed`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog
from aiolimiter import AsyncLimiter

from collector.clock import Clock
from collector.feed.failures import AdapterFailures, Place
from collector.feed.intake import Intake, LiveSession, NotStrippedError, end_without_room
from collector.feed.network import BINARY, PING, PONG, TEXT, Line, LineError, Loss
from collector.feed.reading import Reading
from collector.venues.events import Action, Event, Reconnect, Refused, Send, SubscriptionState, SubscriptionStatus
from collector.venues.plan import ConnectionPlan, Limits
from collector.venues.roles import Conversation

log = structlog.get_logger()

# How often a conversation is asked what is due: venues' time limits are given in whole seconds.
TICK_SECONDS: Final = 1.0
# How often a line journals that it is alive. After a kill, a gap begins at the last beat, so that it is at most this
# much longer than what was really missed.
BEAT_SECONDS: Final = 5.0
# Frames that are read before other tasks get their turn and the room in the journal is checked.
FRAMES_PER_TURN_MAX: Final = 64


@dataclass(slots=True)
class Heard:
    """What has come over all connections of a feed since the start."""

    frames: int = 0
    bytes: int = 0
    last_frame_ns: int | None = None


class LiveConnection:
    """An open connection with its session and its conversation.

    `proved` is called once every subscription flows; `refusals` are those that were logged before, on any connection.
    """

    def __init__(
        self,
        plan: ConnectionPlan,
        line: Line,
        session: LiveSession,
        conversation: Conversation,
        *,
        limits: Limits,
        intake: Intake,
        sending: AsyncLimiter,
        clock: Clock,
        failures: AdapterFailures,
        heard: Heard,
        refusals: set[tuple[str, str]],
        proved: Callable[[], object],
    ) -> None:
        self.conversation = conversation
        self.reading = Reading(clock, line.unread)
        self._plan = plan
        self._line = line
        self._session = session
        self._limits = limits
        self._intake = intake
        self._sending = sending
        self._clock = clock
        self._failures = failures
        self._calling = partial(failures.calling, at=plan.name)
        self._heard = heard
        self._refusals = refusals
        self._proved = proved
        self._is_proved = False
        # Bounded by the conversation, which makes one request for each chunk of symbols.
        self._outbox: asyncio.Queue[bytes] = asyncio.Queue()
        self._last_heard = clock.monotonic()
        self._behind = False
        self._held_back = False
        """Whether we have stopped reading, because there is no room for its frames."""

    def statuses(self) -> Sequence[SubscriptionStatus]:
        """The state of each subscription."""
        return self._failures.statuses(self.conversation, self._plan)

    async def hold(self) -> None:
        """Receive and send until something ends it; raise that as a group of `LineError`, `NoRoom` and bugs."""
        with self._calling(Place.OPENED, LineError):
            self._act(self.conversation.opened(self._clock.monotonic()))
        async with asyncio.TaskGroup() as group:
            group.create_task(self._receive())
            group.create_task(self._send())
            group.create_task(self._watch())
            group.create_task(end_without_room(self._intake))

    def ended(self) -> None:
        """Journal whether all that had arrived was read; nothing more will be."""
        self.reading.away = True
        self._tell_lag()

    def _act(self, actions: Sequence[Action]) -> None:
        for action in actions:
            match action:
                case Send(payload):
                    self._outbox.put_nowait(payload)
                case Reconnect(reason):
                    raise LineError(reason, kind=Loss.GIVEN_UP)

    async def _receive(self) -> None:
        line, conversation, intake, reading, heard = (
            *(self._line, self.conversation, self._intake),
            *(self.reading, self._heard),
        )
        receive, frame, now_ns, monotonic = line.receive, self._session.frame, self._clock.now_ns, self._clock.monotonic
        handling = self._calling(Place.HANDLE, LineError)
        while True:
            for _ in range(FRAMES_PER_TURN_MAX):
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
                    heard.frames += 1
                    heard.bytes += len(payload)
                    heard.last_frame_ns = received_ns
                    if events:
                        with handling:
                            self._act(conversation.handle(events, monotonic()))
                        if any(type(event) is Refused for event in events):
                            self._tell_refused()
                elif kind is PING:
                    reading.away = True
                    await line.pong(message.data)
                    reading.away = False
                elif kind is not PONG:
                    raise line.ended(message)
            # While frames flood in, `receive` never waits: without this, other tasks would get no turn.
            reading.turning = True
            await asyncio.sleep(0)
            reading.turning = False
            if intake.full:
                self._held_back = reading.away = True  # its silence does not mean that the line is dead
                await intake.room()
                self._held_back = reading.away = False
                self._last_heard = monotonic()

    def _tell_lag(self) -> None:
        """Journal that data of the venue waits unread: if the connection ended now, that would be lost too."""
        if self.reading.behind:
            self._behind = True
            self._session.behind(self._clock.now_ns() - int(self.reading.lag * 1e9))
        elif self._behind:
            self._behind = False
            self._session.behind(None)

    def _not_stripped(self, error: NotStrippedError) -> Sequence[Event]:
        assert isinstance(error.__cause__, Exception)
        self._failures.note(Place.STRIP, error.__cause__, self._plan.name)
        return ()

    def _tell_refused(self) -> None:
        """Log what the venue has refused for good: once, not for each new connection."""
        for status in self.statuses():
            name = status.channel, status.symbol
            if status.state is SubscriptionState.REFUSED and name not in self._refusals:
                self._refusals.add(name)
                log.warning(
                    "subscription_refused",
                    connection=self._plan.name,
                    channel=status.channel,
                    symbol=status.symbol,
                    reason=status.reason,
                )

    async def _send(self) -> None:
        while True:
            payload = await self._outbox.get()
            await self._sending.acquire()
            await self._line.send(payload)

    async def _watch(self) -> None:
        limits, clock, conversation = self._limits, self._clock, self.conversation
        ticking = self._calling(Place.TICK, LineError)
        next_ping = next_beat = clock.monotonic()
        while True:
            now = clock.monotonic()
            self._tell_lag()
            self.reading.look()
            silent = now - self._last_heard
            if silent > limits.silence_seconds and not self._held_back:
                reason = f"nothing was heard for {silent:.0f} s, not even an answer to pings"
                raise LineError(reason, kind=Loss.SILENT)
            if now >= next_ping:
                next_ping = now + limits.ping_seconds
                await self._line.ping()
            # No beat while nothing is read: what was sent meanwhile may still be lost.
            if now >= next_beat and silent <= limits.ping_seconds and not self._held_back:
                next_beat = now + BEAT_SECONDS
                self._session.beat(clock.now_ns())
            with ticking:
                self._act(conversation.tick(now))
            if not self._is_proved and self._failures.proved(conversation, self._plan):
                self._is_proved = True
                self._proved()
            await clock.sleep(TICK_SECONDS)

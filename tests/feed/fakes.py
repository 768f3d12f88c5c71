"""A venue, a network and a clock that do what a test says: small enough to be read at one go."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, ClassVar

from aiohttp import WSMessage, WSMsgType

from collector.errors import VenueError
from collector.feed.network import Line, LineError
from collector.model import GapOutcome, Records
from collector.normalise.wanted import Span
from collector.venues.adapter import Adapter, Venue, VenueSettings
from collector.venues.events import Acknowledged, Action, Event, Reconnect, Send, SubscriptionStatus
from collector.venues.header import SessionHeader
from collector.venues.plan import ConnectionPlan, Limits, Plan, Problem, Subscription
from collector.venues.rest import Discovery, RestAnswer, RestCall
from collector.venues.roles import Parser
from tests.kit.headers import session_header

Answer = tuple[int, Mapping[str, str], bytes]


class FakeClock:
    """Time that passes only when somebody sleeps: each sleep lets the others run and moves the clock on."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def now_ns(self) -> int:
        return int(self.now * 1e9)

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        for _ in range(10):
            await asyncio.sleep(0)
        self.now += seconds


class OrderlyClock(FakeClock):
    """Time that passes when nobody has anything else to do than to sleep, and no further than the first to wake."""

    def __init__(self) -> None:
        super().__init__()
        self._ends: list[float] = []
        self._changes = 0

    async def sleep(self, seconds: float) -> None:
        end = self.now + seconds
        self._ends.append(end)
        self._changes += 1
        try:
            while self.now < end:
                changes = self._changes
                for _ in range(10):
                    await asyncio.sleep(0)
                if changes == self._changes and end == min(self._ends):
                    self.now = end
                    self._changes += 1
        finally:
            self._ends.remove(end)


class FakeLine:
    """A socket whose peer is the test."""

    def __init__(self, *messages: bytes | WSMsgType | LineError) -> None:
        self.inbox: asyncio.Queue[bytes | WSMsgType | LineError] = asyncio.Queue()
        self.sent: list[bytes] = []
        self.pings = 0
        self.pongs: list[bytes] = []
        self.closed = False
        self.unread_bytes = 0
        for message in messages:
            self.inbox.put_nowait(message)

    async def receive(self) -> WSMessage:
        message = await self.inbox.get()
        if isinstance(message, LineError):
            raise message
        if isinstance(message, WSMsgType):
            return WSMessage(message, b"probe", None)
        return WSMessage(WSMsgType.TEXT, message, None)

    def unread(self) -> int:
        return self.unread_bytes

    def ended(self, message: object) -> LineError:
        return LineError(f"the peer sent {message!r}")

    async def send(self, payload: bytes) -> None:
        self.sent.append(payload)

    async def ping(self) -> None:
        self.pings += 1

    async def pong(self, payload: bytes) -> None:
        self.pongs.append(payload)

    async def close(self) -> None:
        self.closed = True


class LivingLine(FakeLine):
    """Acknowledges what is subscribed, and answers pings, until it is cut."""

    def __init__(self) -> None:
        super().__init__(b"ack")

    async def ping(self) -> None:
        self.inbox.put_nowait(WSMsgType.PONG)

    def cut(self) -> None:
        self.inbox.put_nowait(LineError("the line was cut"))


class FakeNetwork:
    """Gives out the lines and answers that it was given, in their order; then nothing more ever comes."""

    def __init__(self, *lines: FakeLine | LineError, answers: Sequence[Answer | LineError] = ()) -> None:
        self.lines = list(lines)
        self.answers = list(answers)
        self.connects = 0
        self.requests: list[str] = []

    async def connect(self, url: str, *, headers: Mapping[str, str], max_message_bytes: int) -> Line:
        self.connects += 1
        if not self.lines:
            await asyncio.Event().wait()
        line = self.lines.pop(0)
        if isinstance(line, LineError):
            raise line
        return line

    async def request(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str],
        headers: Mapping[str, str],
        body: bytes | None,
        max_answer_bytes: int,
    ) -> tuple[int, Mapping[str, str], bytes]:
        self.requests.append(url)
        if not self.answers:
            await asyncio.Event().wait()
        answer = self.answers.pop(0)
        if isinstance(answer, LineError):
            raise answer
        return answer


class FakeParser:
    """`ack` is an acknowledgement, `boom` a bug; everything else is one good item."""

    def __init__(self) -> None:
        self.last_seen: dict[str, dict[str, int]] = {}
        self.beats = 0

    def frame(self, payload: bytes, received_ns: int, out: Records) -> Sequence[Event]:
        if payload == b"ack":
            return [Acknowledged(1, "trades", frozenset({"A"}))]
        if payload == b"boom":
            raise ZeroDivisionError("a bug")
        return ()

    def rest(
        self, channel: str, params: Mapping[str, str], body: bytes, received_ns: int, out: Records
    ) -> Sequence[Event]:
        return ()

    def beat(self, received_ns: int, out: Records) -> None:
        self.beats += 1

    def fork(self) -> FakeParser:
        return FakeParser()


class FakeConversation:
    """Subscribes once, is proved by an acknowledgement, gives up when told so."""

    def __init__(self, give_up_after: float | None = None) -> None:
        self.proved = False
        self.events: list[Event] = []
        self.give_up_after = give_up_after
        self._opened = 0.0

    def opened(self, now: float) -> Sequence[Action]:
        self._opened = now
        return [Send(b"subscribe")]

    def handle(self, events: Sequence[Event], now: float) -> Sequence[Action]:
        self.events.extend(events)
        self.proved = True
        return ()

    def tick(self, now: float) -> Sequence[Action]:
        if self.give_up_after is not None and now - self._opened > self.give_up_after:
            return [Reconnect("no data came")]
        return ()

    def statuses(self) -> Sequence[SubscriptionStatus]:
        return ()


LIMITS = Limits(rest_per_second=1000, messages_per_second=1000, connections=10, silence_seconds=30, ping_seconds=10)


class FakeVenue(Venue[Any]):
    """A venue of one symbol."""

    protocol: ClassVar[type[FakeAdapter]]

    def __init__(
        self,
        *,
        plans: Sequence[Plan] = (),
        give_up_after: float | None = None,
        name: str = "fake",
        settings: Any = None,
    ) -> None:
        super().__init__(self.protocol(), name, settings)
        self.plans = list(plans)
        self.give_up_after = give_up_after
        self.conversations: list[FakeConversation] = []

    def limits(self) -> Limits:
        return LIMITS

    def discover(self) -> Discovery:
        yield RestCall("symbols", "http://fake/symbols")
        return self.plans.pop(0) if len(self.plans) > 1 else self.plans[0]

    def parser(self, header: SessionHeader) -> Parser:
        """Return a parser, as the adapter does."""
        return self.adapter.parser(header)

    def conversation(self, plan: ConnectionPlan, parser: Parser, random: Random) -> FakeConversation:
        self.conversations.append(FakeConversation(self.give_up_after))
        return self.conversations[-1]

    def failure(self, call: RestCall, answer: RestAnswer) -> VenueError | None:
        if answer.status == 200:
            return None
        return VenueError(self.name, f"status {answer.status}", permanent=answer.status == 400)


class FakeAdapter(Adapter[Any]):
    """The protocol of a venue of one symbol."""

    name: ClassVar[str] = "fake"
    settings: ClassVar[type[VenueSettings]] = VenueSettings
    venue: ClassVar[type[Venue[Any]]] = FakeVenue

    def parser(self, header: SessionHeader) -> Parser:
        return FakeParser()


FakeVenue.protocol = FakeAdapter


class FakeSession:
    """Remembers what it was handed."""

    def __init__(self, header: SessionHeader) -> None:
        self.header = header
        self.parser: Any = FakeParser()
        self.frames: list[bytes] = []
        self.answers: list[tuple[RestCall, RestAnswer]] = []
        self.beats = 0
        self.closed: str | None = None
        self.cause: str | None = None
        self.lags: list[int | None] = []

    def frame(self, payload: bytes, received_ns: int) -> Sequence[Event]:
        self.frames.append(payload)
        events: Sequence[Event] = self.parser.frame(payload, received_ns, Records())
        return events

    def rest(self, call: RestCall, answer: RestAnswer) -> Sequence[Event]:
        self.answers.append((call, answer))
        return ()

    def beat(self, received_ns: int) -> None:
        self.beats += 1

    def behind(self, read_to_ns: int | None) -> None:
        self.lags.append(read_to_ns)

    def close(self, reason: str, cause: str | None = None) -> None:
        self.closed, self.cause = reason, cause


class FakeIntake:
    """Opens fake sessions."""

    def __init__(self) -> None:
        self.sessions: list[FakeSession] = []
        self.full = False
        self.waited_for_room = 0
        self.roomy = asyncio.Event()
        self.outcomes: list[GapOutcome] = []
        self.asked: list[tuple[str, list[Span], bool]] = []
        self.refusal: asyncio.Future[tuple[str, str]] = asyncio.Future()

    async def room(self) -> None:
        self.waited_for_room += 1
        await self.roomy.wait()
        self.full = False

    def gaps_closed(self, outcomes: Sequence[GapOutcome]) -> None:
        self.outcomes += outcomes

    def wanted(self, venue: str, spans: Sequence[Span], *, whole: bool) -> None:
        self.asked.append((venue, list(spans), whole))

    async def refused(self) -> tuple[str, str]:
        return await asyncio.shield(self.refusal)

    def open(self, header: SessionHeader, *, strip: Any = None) -> FakeSession:
        self.sessions.append(FakeSession(header))
        return self.sessions[-1]


def connection_plan(name: str = "fake-1", *symbols: str) -> ConnectionPlan:
    subscription = Subscription("trades", "trades", symbols or ("A",))
    return ConnectionPlan(
        name, "ws://user:secret@fake/ws?token=secret", (subscription,), session_header({"venue": "fake"})
    )


def plan(*connections: ConnectionPlan, problems: Sequence[Problem] = ()) -> Plan:
    return Plan(connections, problems=tuple(problems))

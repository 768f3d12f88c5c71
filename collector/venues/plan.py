"""What to connect to and what to ask for: what discovery makes of the settings and of the venue's own lists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, Self

from collector.model import InstrumentSpec
from collector.venues.header import Covered, SessionHeader


class Paced(Protocol):
    """Settings that say how often a venue may be asked."""

    @property
    def rest_per_second(self) -> float: ...

    @property
    def messages_per_second(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Limits:
    """What the venue allows one client address, for all connections together."""

    rest_per_second: float = 5.0
    messages_per_second: float = 5.0
    connections: int = 10
    silence_seconds: float = 60.0
    """With no frame at all, pings included, for so long the connection counts as dead."""
    ping_seconds: float = 15.0
    """How often the feed sends a WebSocket ping of its own."""
    first_data_seconds: float = 30.0
    """A prompt subscription without data for so long is subscribed again."""
    max_message_bytes: int = 64 * 1024 * 1024
    """A socket message that is larger, unpacked, ends its connection."""
    max_answer_bytes: int = 32 * 1024 * 1024
    """A REST answer that is larger, packed or unpacked, is a failure. The largest that venues were seen to give, a
    week of minute bars or a page of all assets, are ten times smaller."""
    quotas: Mapping[str, float] = field(default_factory=dict)
    """Calls a second of each `RestCall.quota` that has a limit of its own, beside the venue's."""

    @classmethod
    def of(cls, settings: Paced, *, connections: int, silence_seconds: float, ping_seconds: float) -> Self:
        """Return the limits of a venue whose rates are settings; the others are the defaults."""
        return cls(
            rest_per_second=settings.rest_per_second,
            messages_per_second=settings.messages_per_second,
            connections=connections,
            silence_seconds=silence_seconds,
            ping_seconds=ping_seconds,
        )


@dataclass(frozen=True, slots=True)
class Subscription:
    """Symbols wanted on one of the venue's channels."""

    channel: str
    stream: str
    symbols: tuple[str, ...]
    params: Mapping[str, Any] = field(default_factory=dict)
    prompt: bool = True
    """The venue sends data straight after its acknowledgement, so that silence there means trouble and not quiet."""


@dataclass(frozen=True, slots=True)
class ConnectionPlan:
    """One connection. `header` is all that `Adapter.parser` needs, and opens the session in the journal."""

    name: str
    url: str = field(repr=False)  # some venues want a token in it
    subscriptions: tuple[Subscription, ...]
    header: SessionHeader

    def session_header(self, url: str = "") -> SessionHeader:
        """Return the header of a session of this line, on a connection to `url`."""
        return _session_header(self, url)


@dataclass(frozen=True, slots=True)
class PollPlan:
    """Instruments that are asked for again and again over REST. `header`: see `ConnectionPlan`.

    `lanes` are queues that do not wait for each other (a venue's methods with a quota each, say).
    """

    name: str
    subscriptions: tuple[Subscription, ...]
    header: SessionHeader
    lanes: tuple[str, ...] = ("rest",)

    def session_header(self, url: str = "") -> SessionHeader:
        """Return the header of a session of this line, on a connection to `url`."""
        return _session_header(self, url)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something asked for that the venue does not have; reported once, and the rest goes on."""

    subject: str
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What discovery found: the connections to hold and the polls to make."""

    connections: tuple[ConnectionPlan, ...] = ()
    polls: tuple[PollPlan, ...] = ()
    instruments: tuple[InstrumentSpec, ...] = ()
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    """What an operator may like to know of the plan, such as how often what is polled; `collector check` shows it."""
    look_again_seconds: float | None = None
    """Discover again so soon, since something is about to change; None: when the feed always does."""

    @property
    def lines(self) -> tuple[ConnectionPlan | PollPlan, ...]:
        """Connections and polls."""
        return (*self.connections, *self.polls)


def _session_header(line: ConnectionPlan | PollPlan, url: str) -> SessionHeader:
    covered = tuple(Covered(one.channel, one.stream, one.symbols) for one in line.subscriptions)
    return replace(line.header, worker=line.name, url=url, subscriptions=covered)

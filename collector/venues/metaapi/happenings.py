"""What the parser tells the conversation beyond the events that all venues share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from collector.venues.events import VenueEvent


@dataclass(frozen=True, slots=True)
class LineOpened(VenueEvent):
    """The server greeted, and says how it wants to be pinged."""

    ping_interval_seconds: float
    ping_timeout_seconds: float


@dataclass(frozen=True, slots=True)
class LineConnected(VenueEvent):
    """Requests may be sent."""


@dataclass(frozen=True, slots=True)
class LineClosed(VenueEvent):
    """The server ends the session, or has never let it begin."""

    reason: str


@dataclass(frozen=True, slots=True)
class PingAnswered(VenueEvent):
    """The server is there."""


@dataclass(frozen=True, slots=True)
class RequestAnswered(VenueEvent):
    """A request was understood and done."""

    request_id: str


@dataclass(frozen=True, slots=True)
class LimitReached(VenueEvent):
    """Why the request whose refusal follows was too much, and how long the venue asks to wait.

    `new_client_id`: this server takes no more accounts, but another client's identity leads to another server.
    """

    request_id: str | None
    wait_seconds: float | None
    limit: str
    new_client_id: bool


@dataclass(frozen=True, slots=True)
class AccountEvent(VenueEvent):
    """Something happened to one account; `account` is its name."""

    account: str


@dataclass(frozen=True, slots=True)
class TerminalAttached(AccountEvent):
    """The terminal answered a subscription: it runs on `host`. `at_iso` is our time as the venue writes times."""

    host: str
    session_id: object
    at_iso: str


@dataclass(frozen=True, slots=True)
class TerminalDetached(AccountEvent):
    """The terminal is gone."""


@dataclass(frozen=True, slots=True)
class BrokerStatus(AccountEvent):
    """The terminal's heartbeat, which says whether it has its broker."""

    connected: bool


@dataclass(frozen=True, slots=True)
class SynchronisationStarted(AccountEvent):
    """The account's packets begin anew."""


@dataclass(frozen=True, slots=True)
class SynchronisationAdvanced(AccountEvent):
    """A part of the account is synchronised."""


@dataclass(frozen=True, slots=True)
class SynchronisationFinished(AccountEvent):
    """The account is synchronised."""


@dataclass(frozen=True, slots=True)
class Downgraded(AccountEvent):
    """The venue sends less of a symbol: each kind with its new interval (None: not told), and kinds that ended."""

    symbol: str
    interval_ms: Mapping[str, int | None]
    removed: Sequence[str]

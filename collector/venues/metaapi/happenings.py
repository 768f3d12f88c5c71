"""Events from the parser to the conversation, besides those that all venues share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from collector.venues.events import VenueEvent


@dataclass(frozen=True, slots=True)
class LineOpened(VenueEvent):
    """The transport is open; the server says how often it wants to be pinged, and how soon it answers."""

    ping_interval_seconds: float
    ping_timeout_seconds: float


@dataclass(frozen=True, slots=True)
class LineConnected(VenueEvent):
    """The server has greeted: requests may be sent."""


@dataclass(frozen=True, slots=True)
class LineClosed(VenueEvent):
    """The server has ended the session, or refused to begin it."""

    reason: str


@dataclass(frozen=True, slots=True)
class PingAnswered(VenueEvent):
    """The server has answered a ping."""


@dataclass(frozen=True, slots=True)
class RequestAnswered(VenueEvent):
    """A request has succeeded."""

    request_id: str


@dataclass(frozen=True, slots=True)
class LimitReached(VenueEvent):
    """The limit that a request exceeded; the `Refused` of the same request follows.

    `wait_seconds`: how long the venue asks to wait, None where it does not say. `limit`: the venue's name of the limit.
    `new_client_id`: this server takes no more accounts, but a connection with a new client id reaches another server.
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
    """The terminal of the account is attached to the session.

    `host`: the server's node on which it runs. `session_id`: that of the `subscribe` it answers, None where the venue
    does not say. `at_iso`: when we received this, in the venue's format.
    """

    host: str
    session_id: object
    at_iso: str


@dataclass(frozen=True, slots=True)
class TerminalDetached(AccountEvent):
    """The terminal was detached from the session."""


@dataclass(frozen=True, slots=True)
class BrokerStatus(AccountEvent):
    """The terminal's heartbeat. `connected`: whether the terminal is connected to its broker."""

    connected: bool


@dataclass(frozen=True, slots=True)
class SynchronisationStarted(AccountEvent):
    """The server begins to send the account's whole state; sequence numbers start again."""


@dataclass(frozen=True, slots=True)
class SynchronisationAdvanced(AccountEvent):
    """A part of the account's state has arrived."""


@dataclass(frozen=True, slots=True)
class SynchronisationFinished(AccountEvent):
    """The account's whole state has arrived; from now on changes come."""


@dataclass(frozen=True, slots=True)
class Downgraded(AccountEvent):
    """The venue sends less data of a symbol, to save bandwidth.

    `interval_ms`: the new interval of each reduced kind, None where the venue does not say. `removed`: kinds that are
    no longer sent.
    """

    symbol: str
    interval_ms: Mapping[str, int | None]
    removed: Sequence[str]

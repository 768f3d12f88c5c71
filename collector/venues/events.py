"""What a parser tells a conversation, and what a conversation asks of the feed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Acknowledged(NamedTuple):
    """The venue says what is subscribed on `channel` now; `symbols` is the whole set.

    `since_us`: what came with it is a list that reaches back to there, and nothing that was to be had since then is
    missing. A polled list tells it each time: until the next one, what comes after is not known.
    """

    request_id: int | str | None
    channel: str
    symbols: frozenset[str]
    since_us: int | None = None


class Refused(NamedTuple):
    """The venue refused a request. `permanent`: the same request will always be refused."""

    request_id: int | str | None
    code: str
    message: str
    permanent: bool


class SequenceLost(NamedTuple):
    """Messages of this symbol were lost: its book is wrong until a new snapshot."""

    channel: str
    symbol: str
    expected: int
    got: int


class SnapshotTaken(NamedTuple):
    """A book is whole (again)."""

    channel: str
    symbol: str


class VenueEvent:
    """The base of events that only one venue has: its own conversation or polling acts on them, nobody else."""

    __slots__ = ()


Event = Acknowledged | Refused | SequenceLost | SnapshotTaken | VenueEvent


class Send(NamedTuple):
    """Send a text message; it counts against the venue's limit."""

    payload: bytes


class Reconnect(NamedTuple):
    """Give this connection up and make it anew."""

    reason: str


Action = Send | Reconnect


class SubscriptionState(StrEnum):
    WAITING = "waiting"  # not asked for yet
    REQUESTED = "requested"
    ACKNOWLEDGED = "acknowledged"  # no data yet
    FLOWING = "flowing"
    REFUSED = "refused"


@dataclass(slots=True)
class SubscriptionStatus:
    """How one symbol on one channel stands; `since` is the conversation's clock."""

    channel: str
    stream: str
    symbol: str
    state: SubscriptionState
    since: float
    reason: str = ""

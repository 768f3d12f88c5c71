"""The three that live as long as a session: its parser, and the client's side of its socket or of its calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, Self

from collector.errors import VenueError
from collector.model import Records
from collector.venues.events import Action, Event, SubscriptionStatus
from collector.venues.rest import RestAnswer, RestCall


class Parser(Protocol):
    """Turns what one session received into records and events.

    Deterministic: the same calls give the same records. No call raises for bad input: what is not understood goes to
    `out.quarantine` with the frame, and `out.items` counts every item, good or bad. (The normaliser guards against
    the bug that raises nevertheless.)
    """

    last_seen: dict[str, dict[str, int]]
    """Channel to symbol to `received_ns` of the newest good item."""

    def frame(self, payload: bytes, received_ns: int, out: Records) -> Sequence[Event]: ...

    def rest(
        self, channel: str, params: Mapping[str, str], body: bytes, received_ns: int, out: Records
    ) -> Sequence[Event]: ...

    def beat(self, received_ns: int, out: Records) -> None:
        """Time has passed on a living line: closes candles whose time is over."""

    def fork(self) -> Self:
        """Return an independent copy with the same state."""


class Conversation(Protocol):
    """The client's side of one connection. `now` is a monotonic time in seconds."""

    def opened(self, now: float) -> Sequence[Action]: ...

    def handle(self, events: Sequence[Event], now: float) -> Sequence[Action]: ...

    def tick(self, now: float) -> Sequence[Action]:
        """About once a second: time-outs, retries, proof by first data."""

    @property
    def proved(self) -> bool:
        """Every subscription flows, is acknowledged on a channel that may be quiet, or is refused for good."""

    def statuses(self) -> Sequence[SubscriptionStatus]: ...


class Polling(Protocol):
    """The client's side of a polled venue: logs in, spreads its calls over time, looks whether answers overlap.

    `now` is a monotonic time in seconds, `now_ns` the wall clock. Calls of one lane are made one after the other.
    Answers have been journalled (unless the call said not to) and parsed by the session's parser when `answered` is
    called; calls that failed are not repeated by the feed.
    """

    def next(self, lane: str, now: float, now_ns: int) -> RestCall | float:
        """Return the lane's next call, or how many seconds to wait before asking again."""

    def answered(self, lane: str, call: RestCall, answer: RestAnswer, events: Sequence[Event], now: float) -> None: ...

    def failed(self, lane: str, call: RestCall, error: VenueError, now: float) -> None: ...

    @property
    def proved(self) -> bool:
        """Every subscription flows, or is refused for good."""

    def statuses(self) -> Sequence[SubscriptionStatus]: ...

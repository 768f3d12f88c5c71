"""What an adapter raised that it should not have: a bug, which costs its line or its call and nothing else.

Each is counted by the place where the adapter was called, and told once with its traceback: the next one of the same
kind, from the same line of code, is for the curious only. Bugs of the feed itself that end a line are told with them.
"""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import structlog

from collector.errors import VenueError
from collector.venues.events import SubscriptionState, SubscriptionStatus
from collector.venues.plan import ConnectionPlan, PollPlan
from collector.venues.roles import Conversation, Polling

log = structlog.get_logger()
T = TypeVar("T")

# An adapter's exception may quote a whole frame; its beginning tells enough.
REASON_MAX_CHARACTERS = 500


class Place(StrEnum):
    """What was called; few, so that they can be counted by."""

    NAMED = "named"
    DISCOVER = "discover"
    HISTORY = "history"
    FAILURE = "failure"
    ADDRESS = "address"
    PARSER = "parser"  # its making: what it raises over a frame is the frame's quarantine
    STRIP = "strip"
    CONVERSATION = "conversation"  # its making
    OPENED = "conversation.opened"
    HANDLE = "conversation.handle"
    TICK = "conversation.tick"
    POLLING = "polling"  # its making
    NEXT = "polling.next"
    ANSWERED = "polling.answered"
    FAILED = "polling.failed"
    PROVED = "proved"
    STATUSES = "statuses"
    LINE = "line"  # none of the adapter's


class AdapterError(VenueError):
    """A bug; `__cause__` is what was raised. Trying again may help, since another answer may not meet it."""

    def __init__(self, venue: str, place: Place, error: BaseException) -> None:
        self.place = place
        text = "" if place is Place.STRIP else f": {error}"  # it may quote account data
        super().__init__(venue, f"a bug, in {place}: {type(error).__name__}{text}"[:REASON_MAX_CHARACTERS])
        self.__cause__ = error


class Calling:
    """A block in which an adapter is called: what it raises is noted and comes out as an `AdapterError`."""

    __slots__ = ("_at", "_failures", "_passing", "_place")

    def __init__(self, failures: AdapterFailures, place: Place, passing: tuple[type[Exception], ...], at: str) -> None:
        self._failures = failures
        self._place = place
        self._passing = passing
        self._at = at

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception) and not isinstance(error, (AdapterError, *self._passing)):
            raise self._failures.note(self._place, error, self._at)


class AdapterFailures:
    """Those of one venue since the start."""

    def __init__(self, venue: str) -> None:
        self.venue = venue
        self.counts: Counter[str] = Counter()
        """By `Place`."""
        self._told: set[tuple[str, str]] = set()

    def __repr__(self) -> str:
        return f"<AdapterFailures {self.venue} {dict(self.counts)}>"

    def calling(self, place: Place, *passing: type[Exception], at: str = "") -> Calling:
        """Return a block in which the adapter is called, to be entered as often as liked.

        What is of `passing` is no bug and comes out as it is. `at`: the connection or channel, for the log.
        """
        return Calling(self, place, passing, at)

    def ask(self, place: Place, question: Callable[[], T], at: str = "") -> T | None:
        """Return what the adapter answers; None where it raises, which is noted."""
        try:
            return question()
        except Exception as error:  # noqa: BLE001  whatever it is: a look must not end what is looked at
            self.note(place, error, at)
            return None

    def proved(self, talk: Conversation | Polling, plan: ConnectionPlan | PollPlan) -> bool:
        """Whether it says that every subscription is proved; a bug is no proof."""
        return self.ask(Place.PROVED, lambda: talk.proved, plan.name) or False

    def statuses(self, talk: Conversation | Polling, plan: ConnectionPlan | PollPlan) -> Sequence[SubscriptionStatus]:
        """Return what it says of the subscriptions; where it fails, that nobody knows."""
        known = self.ask(Place.STATUSES, lambda: tuple(talk.statuses()), plan.name)
        if known is not None:
            return known
        reason = "a bug: how it stands cannot be told; see adapter_failed in the log"
        return [
            SubscriptionStatus(one.channel, one.stream, symbol, SubscriptionState.WAITING, 0.0, reason)
            for one in plan.subscriptions
            for symbol in one.symbols
        ]

    def note(self, place: Place, error: Exception, at: str = "") -> AdapterError:
        """Count a bug, tell it if it is new, and return it, to be raised. To be called while it is handled."""
        bug = AdapterError(self.venue, place, error)
        self.counts[place] += 1
        where = _innermost(error)
        # Not by its text, which may be another each time.
        kind = f"{place} {type(error).__name__}", where
        tell = log.debug if kind in self._told else log.error if place is Place.STRIP else log.exception
        self._told.add(kind)
        tell("adapter_failed", venue=self.venue, place=place, at=at, where=where, reason=bug.reason)
        return bug


def _innermost(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno} {frames[-1].name}" if frames else "unknown"

"""Catches what an adapter should not have raised: a bug in it costs its connection or call, and nothing else.

Each bug is counted by the place where the adapter was called. It is logged with its traceback once; later ones of the
same kind, from the same line of code, are logged at debug level. Bugs of the feed itself that end a connection are
handled alike.
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
    PARSER = "parser"  # when it is made; what it raises over a frame puts the frame into quarantine
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
    LINE = "line"  # not the adapter's


class AdapterError(VenueError):
    """A bug in an adapter; `__cause__` is what it raised.

    Another try may succeed, since other data may not trigger it.
    """

    def __init__(self, venue: str, place: Place, error: BaseException) -> None:
        self.place = place
        text = "" if place is Place.STRIP else f": {error}"  # it may quote account data
        super().__init__(venue, f"a bug, in {place}: {type(error).__name__}{text}"[:REASON_MAX_CHARACTERS])
        self.__cause__ = error


class Calling:
    """A block in which an adapter is called: what it raises is noted and raised on as an `AdapterError`."""

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
    """The bugs of one venue's adapter since the start."""

    def __init__(self, venue: str) -> None:
        self.venue = venue
        self.counts: Counter[str] = Counter()
        """By `Place`."""
        self._told: set[tuple[str, str]] = set()

    def __repr__(self) -> str:
        return f"<AdapterFailures {self.venue} {dict(self.counts)}>"

    def calling(self, place: Place, *passing: type[Exception], at: str = "") -> Calling:
        """Return a block in which the adapter is called; it may be entered many times.

        Exceptions of the kinds `passing` are no bugs and are not changed. `at`: the connection or channel, for the log.
        """
        return Calling(self, place, passing, at)

    def ask(self, place: Place, question: Callable[[], T], at: str = "") -> T | None:
        """Return the adapter's answer; None where it raises, which is noted."""
        try:
            return question()
        except Exception as error:  # noqa: BLE001  whatever it is: a look must not end what is looked at
            self.note(place, error, at)
            return None

    def proved(self, talk: Conversation | Polling, plan: ConnectionPlan | PollPlan) -> bool:
        """Whether the conversation says that every subscription is proved; False where it raises."""
        return self.ask(Place.PROVED, lambda: talk.proved, plan.name) or False

    def statuses(self, talk: Conversation | Polling, plan: ConnectionPlan | PollPlan) -> Sequence[SubscriptionStatus]:
        """Return the states of the subscriptions; where the conversation raises, all of them as unknown."""
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
        """Count the exception that is being handled, log it if it is new, and return an error to be raised for it."""
        bug = AdapterError(self.venue, place, error)
        self.counts[place] += 1
        where = _innermost(error)
        # Without its text, which may differ each time.
        kind = f"{place} {type(error).__name__}", where
        tell = log.debug if kind in self._told else log.error if place is Place.STRIP else log.exception
        self._told.add(kind)
        tell("adapter_failed", venue=self.venue, place=place, at=at, where=where, reason=bug.reason)
        return bug


def _innermost(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno} {frames[-1].name}" if frames else "unknown"

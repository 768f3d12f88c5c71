"""The protocols by which the feed hands frames over; `collector.recording` implements them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from collector.model import GapOutcome
from collector.normalise.wanted import Span
from collector.venues.events import Event
from collector.venues.header import SessionHeader
from collector.venues.rest import RestAnswer, RestCall
from collector.venues.roles import Parser


class LiveSession(Protocol):
    """One open session. What is handed over is in the journal's buffer when the call returns."""

    @property
    def parser(self) -> Parser: ...

    def frame(self, payload: bytes, received_ns: int) -> Sequence[Event]:
        """Journal and parse a socket message; return the events for the conversation.

        Raises NotStrippedError where the adapter's `strip` raises; the loss of the message is in the journal by then.
        """

    def rest(self, call: RestCall, answer: RestAnswer) -> Sequence[Event]:
        """Journal and parse a REST answer."""

    def beat(self, received_ns: int) -> None:
        """The line was alive at this time."""

    def behind(self, read_to_ns: int | None) -> None:
        """What the venue has sent since then may still be unread; None: nothing is."""

    def close(self, reason: str, cause: str | None = None) -> None:
        """End the session; `cause` is the kind of gap that follows, where the reason does not tell it."""


class Intake(Protocol):
    @property
    def full(self) -> bool:
        """Whether the journal's buffer is over its limit, or there is no room: read no more until `room()` returns."""

    async def room(self) -> None: ...

    def gaps_closed(self, outcomes: Sequence[GapOutcome]) -> None:
        """Journal what became of gaps, from where it gets into the table."""

    def wanted(self, venue: str, spans: Sequence[Span], *, whole: bool) -> None:
        """Journal which streams the configuration wants of a venue, and whether the list is complete."""

    async def refused(self) -> tuple[str, str]:
        """Wait until there is no room for frames for an unknown time; return the kind of gap, and the reason in words.

        Sessions have to end then, so that a gap covers what they miss.
        """

    def open(self, header: SessionHeader, *, strip: Callable[[bytes], bytes | None] | None = None) -> LiveSession:
        """Begin a session; `strip` (see `Adapter.strip`) is applied to its messages before anything else."""


class NoRoom(Exception):  # noqa: N818  no error of the line that it ends
    """What comes cannot be recorded: the session ends."""

    def __init__(self, cause: str, reason: str) -> None:
        super().__init__(cause, reason)
        self.cause = cause
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class NotStrippedError(Exception):
    """A message was not kept, because stripping it failed and it may contain private data; `__cause__` says why."""


async def end_without_room(intake: Intake) -> None:
    """Wait until nothing can be recorded, for however long; then raise NoRoom."""
    raise NoRoom(*await intake.refused())


def told(group: ExceptionGroup[NoRoom]) -> tuple[str, str]:
    """Return the reason and the cause that a task group ended with."""
    [refusal] = [error for error in group.exceptions if isinstance(error, NoRoom)]
    return refusal.reason, refusal.cause


class Forgetful:
    """A session that records nothing, for those who only want to look."""

    @property
    def parser(self) -> Parser:
        raise AssertionError("nothing is parsed here")

    def frame(self, payload: bytes, received_ns: int) -> tuple[Event, ...]:
        return ()

    def rest(self, call: RestCall, answer: RestAnswer) -> tuple[Event, ...]:
        return ()

    def beat(self, received_ns: int) -> None: ...

    def behind(self, read_to_ns: int | None) -> None: ...

    def close(self, reason: str, cause: str | None = None) -> None: ...

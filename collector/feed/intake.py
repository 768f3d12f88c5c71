"""Where the feed hands over what it received. The service implements it with the journal and the normaliser."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from collector.venues.adapter import Event, Parser, RestAnswer, RestCall


class LiveSession(Protocol):
    """One open session. What is handed over is in the journal's buffer when the call returns."""

    @property
    def parser(self) -> Parser: ...

    def frame(self, payload: bytes, received_ns: int) -> Sequence[Event]:
        """Journal and parse a socket message; returns what the conversation should know."""

    def rest(self, call: RestCall, answer: RestAnswer) -> Sequence[Event]:
        """Journal and parse a REST answer."""

    def beat(self, received_ns: int) -> None:
        """The line was alive at this time."""

    def close(self, reason: str) -> None: ...


class Intake(Protocol):
    @property
    def full(self) -> bool:
        """Whether the journal's buffer is over its limit: read no more until `room()` returns."""

    async def room(self) -> None: ...

    def open(self, header: Mapping[str, Any], *, strip: Callable[[bytes], bytes | None] | None = None) -> LiveSession:
        """Begin a session; `strip` (see `Adapter.strip`) is applied to its messages before anything else."""


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

    def close(self, reason: str) -> None: ...

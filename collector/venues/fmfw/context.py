"""What the readers of one session share: its instruments, the quarantine, and when the next bar is over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, Self

from collector.model import Records
from collector.venues.events import Event
from collector.venues.kit.session import SessionState


class Context(SessionState):
    """The state that belongs to the session and to no single channel."""

    __slots__ = ("grace_us",)

    def __init__(self, venue: str, symbols: Sequence[str] | None, grace_us: int) -> None:
        super().__init__(venue, symbols)
        self.grace_us = grace_us

    def fork(self) -> Context:
        copy = Context(self.venue, None, self.grace_us)
        self.fork_into(copy)
        return copy


class Reader(Protocol):
    """Reads the messages of one channel. None means that the message has none of the channel's shapes."""

    def read(
        self, message: dict[str, Any], payload: bytes, received_ns: int, out: Records
    ) -> Sequence[Event] | None: ...

    def fork(self, context: Context) -> Self: ...

"""What the readers of one session share: its instruments, when data of each last came, and the quarantine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from collector.venues.finam.values import is_symbol
from collector.venues.kit.session import SessionState


class Context(SessionState):
    """The state that belongs to the whole session. `grace_us`: how long after its end a bar is not final yet."""

    __slots__ = ("grace_us",)

    def __init__(self, venue: str, symbols: Sequence[str] | None, grace_us: int) -> None:
        super().__init__(venue, symbols, is_symbol=is_symbol)
        self.grace_us = grace_us

    def fork(self) -> Self:
        copy = type(self)(self.venue, None, self.grace_us)
        self.fork_into(copy)
        return copy

    def note_seen(self, channel: str, symbol: str, received_us: int) -> None:
        """Note that well-formed data of this symbol came on this channel."""
        self.seen(channel)[symbol] = received_us * 1000

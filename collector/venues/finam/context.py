"""What the readers of one session share: its instruments, when each was last heard of, and the quarantine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from collector.venues.finam.values import is_symbol
from collector.venues.kit.session import SessionState


class Context(SessionState):
    """The state that belongs to the session and to no single method."""

    __slots__ = ("final_us",)

    def __init__(self, venue: str, symbols: Sequence[str] | None, final_us: int) -> None:
        super().__init__(venue, symbols, is_symbol=is_symbol)
        self.final_us = final_us

    def fork(self) -> Self:
        copy = type(self)(self.venue, None, self.final_us)
        self.fork_into(copy)
        return copy

    def saw(self, channel: str, symbol: str, received_us: int) -> None:
        """Note that a good item of this symbol came."""
        self.seen(channel)[symbol] = received_us * 1000

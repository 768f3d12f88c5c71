"""What the readers of one session share: its instruments, the venue's clock, the quarantine, when a bar is over."""

from __future__ import annotations

from collections.abc import Sequence

from collector.venues.kit.session import SessionState

# A greeting that is further than this from our clock tells nothing of the time.
LARGEST_OFFSET_US = 3_600_000_000


class Context(SessionState):
    """The state that belongs to the session and to no single channel."""

    __slots__ = ("delta_level", "grace_us", "offset_us")

    def __init__(self, venue: str, symbols: Sequence[str] | None, grace_us: int, delta_level: str = "") -> None:
        super().__init__(venue, symbols)
        self.grace_us = grace_us
        self.delta_level = delta_level
        """The level (`L20`) whose changes are subscribed, so that whole books of it begin a chain."""
        self.offset_us = 0
        """The venue's clock minus ours, as its greeting and its answers to pings tell."""

    def fork(self) -> Context:
        copy = Context(self.venue, None, self.grace_us, self.delta_level)
        self.fork_into(copy)
        copy.offset_us = self.offset_us
        return copy

    def set_clock(self, venue_us: int, received_us: int) -> None:
        """Take the venue's time from a message that was sent just now."""
        offset_us = venue_us - received_us
        if abs(offset_us) <= LARGEST_OFFSET_US:
            self.offset_us = offset_us

    def venue_us(self, received_us: int) -> int:
        """Return the venue's time at a moment of ours, as far as it is known."""
        return received_us + self.offset_us

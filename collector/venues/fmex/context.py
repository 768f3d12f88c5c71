"""What the readers of one session share: its instruments, the venue's clock, the quarantine, when a bar is over."""

from __future__ import annotations

from collections.abc import Sequence

from collector.model import LATEST_US, Instrument, Quarantined, Records
from collector.venues.fmex.checks import is_name

NEVER_US = LATEST_US * 10
LARGEST_OFFSET_US = 3_600_000_000
"""A greeting that is further than this from our clock tells nothing of the time."""


class Context:
    """The state that belongs to the session and to no single channel.

    With `symbols` None every well-formed symbol is taken (REST sessions, whose answers can hold any); otherwise one
    that was not asked for is a fault of the venue and goes to quarantine.
    """

    __slots__ = ("any_symbol", "delta_level", "due_ns", "grace_us", "instruments", "last_seen", "offset_us", "venue")

    def __init__(self, venue: str, symbols: Sequence[str] | None, grace_us: int, delta_level: str = "") -> None:
        self.venue = venue
        self.delta_level = delta_level
        """The level (`L20`) whose changes are subscribed, so that whole books of it begin a chain."""
        self.grace_us = grace_us
        self.any_symbol = symbols is None
        self.instruments = {symbol: Instrument(venue, symbol) for symbol in symbols or ()}
        self.last_seen: dict[str, dict[str, int]] = {}
        self.offset_us = 0
        """The venue's clock minus ours, as its greeting and its answers to pings tell."""
        self.due_ns = NEVER_US * 1000
        """When the next open bar is over by the clock."""

    def fork(self) -> Context:
        copy = Context(self.venue, None, self.grace_us, self.delta_level)
        copy.any_symbol = self.any_symbol
        copy.instruments = self.instruments.copy()
        copy.last_seen = {channel: symbols.copy() for channel, symbols in self.last_seen.items()}
        copy.offset_us = self.offset_us
        copy.due_ns = self.due_ns
        return copy

    def seen(self, channel: str) -> dict[str, int]:
        """Return the channel's part of `last_seen`, made when missing."""
        return self.last_seen.setdefault(channel, {})

    def admit(self, symbol: str) -> Instrument | None:
        """Return the instrument, or None where the symbol cannot belong to this session."""
        instrument = self.instruments.get(symbol)
        if instrument is None and self.any_symbol and is_name(symbol):
            instrument = self.instruments[symbol] = Instrument(self.venue, symbol)
        return instrument

    def set_clock(self, venue_us: int, received_us: int) -> None:
        """Take the venue's time from a message that was sent just now."""
        offset_us = venue_us - received_us
        if abs(offset_us) <= LARGEST_OFFSET_US:
            self.offset_us = offset_us

    def venue_us(self, received_us: int) -> int:
        """Return the venue's time at a moment of ours, as far as it is known."""
        return received_us + self.offset_us

    def reject(
        self, out: Records, stream: str | None, reason: str, payload: bytes, received_us: int, items: int = 1
    ) -> None:
        """Count items that were not understood and put them into quarantine.

        A frame goes there once, with its first reason, however many of its items are bad: its bytes may be many.
        """
        out.items += items
        held = out.quarantine
        if held and held[-1].payload is payload and held[-1].received_us == received_us:
            held[-1] = held[-1]._replace(items=held[-1].items + items)
        else:
            held.append(Quarantined(self.venue, stream, reason, payload, items, received_us))

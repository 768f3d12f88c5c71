"""What the readers of one session share: its instruments, the quarantine, and when the next bar is over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, Self

from collector.model import LATEST_US, Instrument, Quarantined, Records
from collector.venues.events import Event
from collector.venues.fmfw.checks import is_name, shorten

NEVER_US = LATEST_US * 10

_LISTED = ("trades", "candles")  # the streams whose messages hold lists of items, not one of each symbol


class Context:
    """The state that belongs to the session and to no single channel.

    With `symbols` None every well-formed symbol is taken (REST sessions, whose answers can hold any); otherwise one
    that was not asked for is a fault of the venue and goes to quarantine.
    """

    __slots__ = ("any_symbol", "due_ns", "grace_us", "instruments", "last_seen", "venue")

    def __init__(self, venue: str, symbols: Sequence[str] | None, grace_us: int) -> None:
        self.venue = venue
        self.grace_us = grace_us
        self.any_symbol = symbols is None
        self.instruments = {symbol: Instrument(venue, symbol) for symbol in symbols or ()}
        self.last_seen: dict[str, dict[str, int]] = {}
        self.due_ns = NEVER_US * 1000
        """When the next open bar is over by the clock; nanoseconds, because each frame's receipt is compared."""

    def fork(self) -> Context:
        copy = Context(self.venue, None, self.grace_us)
        copy.any_symbol = self.any_symbol
        copy.instruments = self.instruments.copy()
        copy.last_seen = {channel: symbols.copy() for channel, symbols in self.last_seen.items()}
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

    def reject_symbol(
        self, out: Records, stream: str, symbol: object, content: object, payload: bytes, received_us: int
    ) -> None:
        """Put into quarantine what came for a symbol that this session does not have."""
        items = len(content) if stream in _LISTED and type(content) is list and content else 1
        reason = f"symbol: {shorten(symbol)} is not one of this session"
        self.reject(out, stream, reason, payload, received_us, items)


class Reader(Protocol):
    """Reads the messages of one channel. None means that the message has none of the channel's shapes."""

    def read(
        self, message: dict[str, Any], payload: bytes, received_ns: int, out: Records
    ) -> Sequence[Event] | None: ...

    def fork(self, context: Context) -> Self: ...

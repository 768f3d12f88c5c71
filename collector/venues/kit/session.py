"""What every parser keeps of its session: the instruments it may speak of, when each was last seen, the quarantine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from collector.model import LATEST_US, Instrument, Quarantined, Records
from collector.venues.kit.values import is_name, shorten

# A time that does not come.
NEVER_US: Final = LATEST_US * 10

# Streams whose messages hold lists of items, not one of each symbol.
LISTED: Final = frozenset({"trades", "candles"})


class SessionState:
    """What belongs to the session and to no single channel.

    With `symbols` None every well-formed symbol is taken (REST sessions, whose answers can hold any); otherwise one
    that was not asked for is a fault of the venue and goes to quarantine.
    """

    __slots__ = ("any_symbol", "due_ns", "instruments", "is_symbol", "last_seen", "venue")

    def __init__(
        self, venue: str, symbols: Sequence[str] | None, *, is_symbol: Callable[[object], bool] = is_name
    ) -> None:
        self.venue = venue
        self.any_symbol = symbols is None
        self.is_symbol = is_symbol
        self.instruments = {symbol: Instrument(venue, symbol) for symbol in symbols or ()}
        self.last_seen: dict[str, dict[str, int]] = {}
        self.due_ns = NEVER_US * 1000
        """When the next open bar is over by the clock; nanoseconds, because each frame's receipt is compared."""

    def fork_into(self, copy: SessionState) -> None:
        """Give a copy the same state, and no part of it in common."""
        copy.any_symbol = self.any_symbol
        copy.instruments = self.instruments.copy()
        copy.last_seen = {channel: symbols.copy() for channel, symbols in self.last_seen.items()}
        copy.due_ns = self.due_ns

    def seen(self, channel: str) -> dict[str, int]:
        """Return the channel's part of `last_seen`, made when missing."""
        return self.last_seen.setdefault(channel, {})

    def admit(self, symbol: object) -> Instrument | None:
        """Return the instrument, or None where the symbol cannot belong to this session."""
        if type(symbol) is not str:
            return None
        instrument = self.instruments.get(symbol)
        if instrument is None and self.any_symbol and self.is_symbol(symbol):
            instrument = self.instruments[symbol] = Instrument(self.venue, symbol)
        return instrument

    def reject(
        self, out: Records, stream: str | None, reason: str, payload: bytes, received_us: int, items: int = 1
    ) -> None:
        """Count items that were not understood, and put their frame into quarantine."""
        reject(self.venue, out, stream, reason, payload, received_us, items)

    def reject_symbol(
        self, out: Records, stream: str | None, symbol: object, payload: bytes, received_us: int, content: object = None
    ) -> None:
        """Put into quarantine what came for a symbol that this session does not have."""
        items = len(content) if stream in LISTED and type(content) is list and content else 1
        reason = f"symbol: {shorten(symbol)} is not one of this session"
        self.reject(out, stream, reason, payload, received_us, items)


def reject(
    venue: str, out: Records, stream: str | None, reason: str, payload: bytes, received_us: int, items: int = 1
) -> None:
    """Count items that were not understood, and put their frame into quarantine.

    It goes there once, with its first reason, however many of its items are bad: its bytes may be many.
    """
    out.items += items
    held = out.quarantine
    if held and held[-1].payload is payload and held[-1].received_us == received_us:
        held[-1] = held[-1]._replace(items=held[-1].items + items)
    else:
        # A reason may quote half of a surrogate pair, which JSON can hold and a database cannot.
        text = reason.encode("utf-8", "backslashreplace").decode()
        held.append(Quarantined(venue, stream, text, payload, items, received_us))

"""What the readers of one session share: its instruments, when each was last heard of, and the quarantine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from collector.model import Instrument, Quarantined, Records
from collector.venues.finam.values import is_symbol, shorten


class Context:
    """The state that belongs to the session and to no single method.

    With `symbols` None every well-formed symbol is taken; otherwise one that was not asked for is a fault of the venue
    and goes to quarantine.
    """

    __slots__ = ("any_symbol", "final_us", "instruments", "last_seen", "venue")

    def __init__(self, venue: str, symbols: Sequence[str] | None, final_us: int) -> None:
        self.venue = venue
        self.final_us = final_us
        self.any_symbol = symbols is None
        self.instruments = {symbol: Instrument(venue, symbol) for symbol in symbols or ()}
        self.last_seen: dict[str, dict[str, int]] = {}

    def fork(self) -> Self:
        copy = type(self)(self.venue, None, self.final_us)
        copy.any_symbol = self.any_symbol
        copy.instruments = self.instruments.copy()
        copy.last_seen = {channel: symbols.copy() for channel, symbols in self.last_seen.items()}
        return copy

    def saw(self, channel: str, symbol: str, received_us: int) -> None:
        """Note that a good item of this symbol came."""
        self.last_seen.setdefault(channel, {})[symbol] = received_us * 1000

    def admit(self, symbol: object) -> Instrument | None:
        """Return the instrument, or None where the symbol cannot belong to this session."""
        if type(symbol) is not str:
            return None
        instrument = self.instruments.get(symbol)
        if instrument is None and self.any_symbol and is_symbol(symbol):
            instrument = self.instruments[symbol] = Instrument(self.venue, symbol)
        return instrument

    def reject(self, out: Records, stream: str | None, reason: str, payload: bytes, received_us: int) -> None:
        """Count an item that was not understood; its frame goes to quarantine once, with its first reason."""
        out.items += 1
        held = out.quarantine
        if held and held[-1].payload is payload and held[-1].received_us == received_us:
            held[-1] = held[-1]._replace(items=held[-1].items + 1)
        else:
            held.append(Quarantined(self.venue, stream, reason, payload, 1, received_us))

    def reject_symbol(self, out: Records, stream: str | None, symbol: object, payload: bytes, received_us: int) -> None:
        """Put into quarantine what came for a symbol that this session does not have."""
        self.reject(out, stream, f"symbol: {shorten(symbol)} is not one of this session", payload, received_us)

"""FMFW.io and the venues that speak the same protocol (HitBTC, Bequant, Changelly PRO): public market data, API v3."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, ClassVar

from collector.model import Instrument
from collector.venues.adapter import Adapter, Venue, VenueSettings
from collector.venues.audit import BookRows, CandleSums, MinuteCalls
from collector.venues.fmfw.conversation import FmfwConversation
from collector.venues.fmfw.discovery import ADAPTER_NAME, discover
from collector.venues.fmfw.failures import failure
from collector.venues.fmfw.history import PAGE, SYMBOLS_AT_ONCE, history, minutes
from collector.venues.fmfw.parser import FmfwParser
from collector.venues.fmfw.settings import FmfwSettings
from collector.venues.fmfw.symbols import named
from collector.venues.header import SessionHeader
from collector.venues.kit.bars import grace_entry
from collector.venues.plan import ConnectionPlan, Limits
from collector.venues.rest import Discovery, History
from collector.venues.roles import Conversation, Parser

__all__ = ["ADAPTER", "FmfwAdapter", "FmfwConversation", "FmfwParser", "FmfwSettings", "FmfwVenue"]


class FmfwVenue(Venue[FmfwSettings]):
    """A configured venue."""

    def limits(self) -> Limits:
        return Limits.of(
            self.settings,
            connections=self.settings.connections,
            silence_seconds=70.0,  # the venue pings every 30 s: two pings missed and some
            ping_seconds=10.0,
        )

    def named(self) -> Mapping[str, Sequence[str]]:
        return named(self.settings)

    def discover(self) -> Discovery:
        return discover(self.name, self.settings)

    def conversation(self, plan: ConnectionPlan, parser: Parser, random: Random) -> Conversation:
        return FmfwConversation(plan, parser, random)

    def history_header(self) -> Mapping[str, Any]:
        return grace_entry(self.settings)

    def history(self, instrument: Instrument, stream: str, from_us: int, to_us: int) -> History:
        return history(self.name, self.settings, instrument, stream, from_us, to_us)

    def minutes(self, instruments: Sequence[Instrument], from_us: int, to_us: int) -> History:
        return minutes(self.name, self.settings, instruments, from_us, to_us)

    judge = staticmethod(failure)


class FmfwAdapter(Adapter[FmfwSettings]):
    """The protocol."""

    name: ClassVar[str] = ADAPTER_NAME
    settings: ClassVar[type[VenueSettings]] = FmfwSettings
    venue: ClassVar[type[Venue[Any]]] = FmfwVenue
    historic: ClassVar[frozenset[str]] = frozenset({"trades", "candles"})
    partly_historic: ClassVar[frozenset[str]] = frozenset({"derivatives"})
    history_page: ClassVar[int] = PAGE
    candle_sums: ClassVar[CandleSums] = CandleSums(volume=True, prices=True)
    minute_calls: ClassVar[MinuteCalls] = MinuteCalls(SYMBOLS_AT_ONCE, PAGE)
    book_rows: ClassVar[BookRows] = BookRows.NUMBERED

    def parser(self, header: SessionHeader) -> Parser:
        return FmfwParser.begin(header)


ADAPTER = FmfwAdapter()

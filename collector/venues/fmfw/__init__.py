"""FMFW.io and the venues that speak the same protocol (HitBTC, Bequant, Changelly PRO): public market data, API v3."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, ClassVar

from collector.errors import VenueError
from collector.model import Instrument
from collector.venues.adapter import Adapter, AdapterDefaults, VenueSettings
from collector.venues.audit import BookRows, CandleSums, MinuteCalls
from collector.venues.fmfw.conversation import FIRST_DATA_SECONDS, FmfwConversation
from collector.venues.fmfw.discovery import ADAPTER_NAME, discover
from collector.venues.fmfw.failures import failure
from collector.venues.fmfw.history import PAGE, SYMBOLS_AT_ONCE, history, minutes
from collector.venues.fmfw.parser import FmfwParser
from collector.venues.fmfw.settings import FmfwSettings
from collector.venues.fmfw.symbols import named
from collector.venues.header import SessionHeader
from collector.venues.plan import ConnectionPlan, Limits
from collector.venues.rest import Discovery, History, RestAnswer, RestCall
from collector.venues.roles import Conversation, Parser

__all__ = ["ADAPTER", "FmfwAdapter", "FmfwConversation", "FmfwParser", "FmfwSettings"]


class FmfwAdapter(AdapterDefaults):
    """Meets `collector.venues.adapter.Adapter`."""

    name: ClassVar[str] = ADAPTER_NAME
    settings: ClassVar[type[VenueSettings]] = FmfwSettings
    historic: ClassVar[frozenset[str]] = frozenset({"trades", "candles"})
    partly_historic: ClassVar[frozenset[str]] = frozenset({"derivatives"})
    history_page: ClassVar[int] = PAGE
    candle_sums: ClassVar[CandleSums] = CandleSums(volume=True, prices=True)
    minute_calls: ClassVar[MinuteCalls] = MinuteCalls(SYMBOLS_AT_ONCE, PAGE)
    book_rows: ClassVar[BookRows] = BookRows.NUMBERED

    def limits(self, settings: FmfwSettings) -> Limits:
        return Limits(
            rest_per_second=settings.rest_per_second,
            messages_per_second=settings.messages_per_second,
            connections=settings.connections,
            silence_seconds=70.0,  # the venue pings every 30 s: two pings missed and some
            ping_seconds=10.0,
            first_data_seconds=FIRST_DATA_SECONDS,
        )

    def named(self, settings: FmfwSettings) -> Mapping[str, Sequence[str]]:
        return named(settings)

    def discover(self, venue: str, settings: FmfwSettings) -> Discovery:
        return discover(venue, settings)

    def parser(self, header: SessionHeader) -> Parser:
        return FmfwParser.begin(header)

    def conversation(self, plan: ConnectionPlan, parser: Parser, random: Random) -> Conversation:
        return FmfwConversation(plan, parser, random)

    def history_header(self, settings: FmfwSettings) -> Mapping[str, Any]:
        return {"candle_grace_us": round(settings.grace_seconds * 1_000_000)}

    def history(
        self, venue: str, settings: FmfwSettings, instrument: Instrument, stream: str, from_us: int, to_us: int
    ) -> History:
        return history(venue, settings, instrument, stream, from_us, to_us)

    def minutes(
        self, venue: str, settings: FmfwSettings, instruments: Sequence[Instrument], from_us: int, to_us: int
    ) -> History:
        return minutes(venue, settings, instruments, from_us, to_us)

    def failure(self, venue: str, call: RestCall, answer: RestAnswer) -> VenueError | None:
        return failure(venue, call, answer)


ADAPTER: Adapter = FmfwAdapter()

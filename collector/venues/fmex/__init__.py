"""FMex, FCoin's perpetual swaps (2019 to 2020): public market data over REST and the socket, API v2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, ClassVar

from collector.model import Instrument
from collector.venues.adapter import Adapter, Venue, VenueSettings
from collector.venues.audit import BookRows, CandleSums, MinuteCalls
from collector.venues.fmex.conversation import FmexConversation
from collector.venues.fmex.discovery import ADAPTER_NAME, discover
from collector.venues.fmex.failures import failure
from collector.venues.fmex.history import history, minutes
from collector.venues.fmex.parser import FmexParser
from collector.venues.fmex.polling import FmexPolling
from collector.venues.fmex.settings import HISTORY_PAGE, FmexSettings
from collector.venues.header import SessionHeader
from collector.venues.kit.bars import grace_entry
from collector.venues.kit.choose import is_pattern
from collector.venues.plan import ConnectionPlan, Limits, PollPlan
from collector.venues.rest import Discovery, History
from collector.venues.roles import Conversation, Parser, Polling

__all__ = ["ADAPTER", "FmexAdapter", "FmexConversation", "FmexParser", "FmexSettings", "FmexVenue"]


class FmexVenue(Venue[FmexSettings]):
    """A configured venue."""

    def limits(self) -> Limits:
        return Limits.of(
            self.settings,
            connections=self.settings.connections,
            # Two pings of ours without any word; they are answered in JSON, whatever becomes of the socket's own.
            silence_seconds=2 * self.settings.ping_seconds + self.settings.pong_seconds,
            ping_seconds=self.settings.ping_seconds + 5,
        )

    def named(self) -> Mapping[str, Sequence[str]]:
        names = [wish for wish in self.settings.symbols if not is_pattern(wish)]
        return dict.fromkeys(self.settings.streams, names)

    def discover(self) -> Discovery:
        return discover(self.name, self.settings)

    def conversation(self, plan: ConnectionPlan, parser: Parser, random: Random) -> Conversation:
        return FmexConversation(plan, parser, random)

    def polling(self, plan: PollPlan, parser: Parser, random: Random) -> Polling:
        return FmexPolling(plan, self.settings, parser, random)

    def history_header(self) -> Mapping[str, Any]:
        return grace_entry(self.settings)

    def history(self, instrument: Instrument, stream: str, from_us: int, to_us: int) -> History:
        return history(self.name, self.settings, instrument, stream, from_us, to_us)

    def minutes(self, instruments: Sequence[Instrument], from_us: int, to_us: int) -> History:
        return minutes(self.name, self.settings, instruments, from_us, to_us)

    judge = staticmethod(failure)


class FmexAdapter(Adapter[FmexSettings]):
    """The protocol."""

    name: ClassVar[str] = ADAPTER_NAME
    settings: ClassVar[type[VenueSettings]] = FmexSettings
    venue: ClassVar[type[Venue[Any]]] = FmexVenue
    historic: ClassVar[frozenset[str]] = frozenset({"trades", "candles"})
    history_page: ClassVar[int] = HISTORY_PAGE
    candle_sums: ClassVar[CandleSums] = CandleSums(volume=True, trades=True, prices=True)
    minute_calls: ClassVar[MinuteCalls] = MinuteCalls(1, HISTORY_PAGE)
    book_rows: ClassVar[BookRows] = BookRows.LINKED

    def parser(self, header: SessionHeader) -> Parser:
        return FmexParser.begin(header)


ADAPTER = FmexAdapter()

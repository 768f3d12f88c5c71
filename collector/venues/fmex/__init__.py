"""FMex, FCoin's perpetual swaps (2019 to 2020): public market data over REST and the socket, API v2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, ClassVar, cast

from collector.errors import VenueError
from collector.model import Instrument
from collector.venues.adapter import Adapter, AdapterDefaults, VenueSettings
from collector.venues.audit import BookRows, CandleSums, MinuteCalls
from collector.venues.fmex.conversation import FIRST_DATA_SECONDS, FmexConversation
from collector.venues.fmex.discovery import ADAPTER_NAME, discover
from collector.venues.fmex.failures import failure
from collector.venues.fmex.history import history, minutes
from collector.venues.fmex.parser import FmexParser
from collector.venues.fmex.polling import FmexPolling
from collector.venues.fmex.settings import HISTORY_PAGE, FmexSettings
from collector.venues.header import SessionHeader
from collector.venues.plan import ConnectionPlan, Limits, PollPlan
from collector.venues.rest import Discovery, History, RestAnswer, RestCall
from collector.venues.roles import Conversation, Parser, Polling
from collector.venues.wishes import is_pattern

__all__ = ["ADAPTER", "FmexAdapter", "FmexConversation", "FmexParser", "FmexSettings"]


class FmexAdapter(AdapterDefaults):
    """Meets `collector.venues.adapter.Adapter`."""

    name: ClassVar[str] = ADAPTER_NAME
    settings: ClassVar[type[VenueSettings]] = FmexSettings

    historic: ClassVar[frozenset[str]] = frozenset({"trades", "candles"})
    history_page: ClassVar[int] = HISTORY_PAGE
    candle_sums: ClassVar[CandleSums] = CandleSums(volume=True, trades=True, prices=True)
    minute_calls: ClassVar[MinuteCalls] = MinuteCalls(1, HISTORY_PAGE)
    book_rows: ClassVar[BookRows] = BookRows.LINKED

    def limits(self, settings: FmexSettings) -> Limits:
        return Limits(
            rest_per_second=settings.rest_per_second,
            messages_per_second=settings.messages_per_second,
            connections=settings.connections,
            # Two pings of ours without any word; they are answered in JSON, whatever becomes of the socket's own.
            silence_seconds=2 * settings.ping_seconds + settings.pong_seconds,
            ping_seconds=settings.ping_seconds + 5,
            first_data_seconds=FIRST_DATA_SECONDS,
        )

    def named(self, settings: FmexSettings) -> Mapping[str, Sequence[str]]:
        names = [wish for wish in settings.symbols if not is_pattern(wish)]
        return dict.fromkeys(settings.streams, names)

    def discover(self, venue: str, settings: FmexSettings) -> Discovery:
        return discover(venue, settings)

    def parser(self, header: SessionHeader) -> Parser:
        return FmexParser.begin(header)

    def conversation(self, plan: ConnectionPlan, parser: Parser, random: Random) -> Conversation:
        return FmexConversation(plan, cast(FmexParser, parser), random)

    def polling(self, plan: PollPlan, settings: FmexSettings, parser: Parser, random: Random) -> Polling:
        return FmexPolling(plan, settings, parser, random)

    def history_header(self, settings: FmexSettings) -> Mapping[str, Any]:
        return {"candle_grace_us": round(settings.grace_seconds * 1_000_000)}

    def history(
        self, venue: str, settings: FmexSettings, instrument: Instrument, stream: str, from_us: int, to_us: int
    ) -> History:
        return history(venue, settings, instrument, stream, from_us, to_us)

    def minutes(
        self, venue: str, settings: FmexSettings, instruments: Sequence[Instrument], from_us: int, to_us: int
    ) -> History:
        return minutes(venue, settings, instruments, from_us, to_us)

    def failure(self, venue: str, call: RestCall, answer: RestAnswer) -> VenueError | None:
        return failure(venue, call, answer)


ADAPTER: Adapter = FmexAdapter()

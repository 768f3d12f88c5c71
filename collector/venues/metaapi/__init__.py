"""MetaAPI (metaapi.cloud): MetaTrader 4 and 5 accounts as sources of quotes, ticks, candles and market depth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, ClassVar

from collector.errors import VenueError
from collector.model import Instrument
from collector.venues.adapter import Adapter, Venue, VenueSettings
from collector.venues.audit import CandleSums
from collector.venues.header import SessionHeader
from collector.venues.metaapi.conversation import MetaapiConversation
from collector.venues.metaapi.discovery import ADAPTER_NAME, Known, discover, named
from collector.venues.metaapi.failures import failure
from collector.venues.metaapi.history import PAGE, QUOTA, history
from collector.venues.metaapi.parser import MetaapiParser
from collector.venues.metaapi.settings import MetaapiSettings
from collector.venues.metaapi.strip import strip
from collector.venues.plan import ConnectionPlan, Limits
from collector.venues.rest import Discovery, History, RestAnswer, RestCall
from collector.venues.roles import Conversation, Parser

__all__ = ["ADAPTER", "MetaapiAdapter", "MetaapiConversation", "MetaapiParser", "MetaapiSettings", "MetaapiVenue"]


# Of the calls, so that what is to be recorded now can be looked up meanwhile.
PART_OF_THE_PAST = 0.75


class MetaapiVenue(Venue[MetaapiSettings]):
    """A configured venue."""

    def __init__(self, adapter: Adapter[MetaapiSettings], name: str, settings: MetaapiSettings) -> None:
        super().__init__(adapter, name, settings)
        self._known: Known = {}

    def limits(self) -> Limits:
        return Limits(
            rest_per_second=self.settings.rest_per_second,
            messages_per_second=self.settings.messages_per_second,
            connections=100,
            silence_seconds=60.0,  # the server answers our pings every 25 s, and terminals tell their status
            ping_seconds=10.0,
            quotas={QUOTA: self.settings.rest_per_second * PART_OF_THE_PAST},
        )

    @property
    def strip(self) -> Callable[[bytes], bytes | None]:
        return strip

    def address(self, plan: ConnectionPlan, random: Random) -> tuple[str, Mapping[str, str]]:
        """Add a new client id, by which the venue's balancer tells connections apart, and a number against caches."""
        client_id = f"0.{random.randrange(10**9, 10**10)}"
        return f"{plan.url}&clientId={client_id}&t={random.randrange(36**8):x}", {"Client-Id": client_id}

    def named(self) -> Mapping[str, Sequence[str]]:
        return named(self.settings)

    def discover(self) -> Discovery:
        return discover(self.name, self.settings, self._known)

    def conversation(self, plan: ConnectionPlan, parser: Parser, random: Random) -> Conversation:
        return MetaapiConversation(plan, parser, random)

    def whole_past(self, instrument: Instrument, stream: str) -> bool:
        # Quotes are no ticks, and nobody keeps them.
        return stream in self.adapter.historic and not (
            stream == "ticks" and self.settings.has_quotes(instrument.symbol)
        )

    def history(self, instrument: Instrument, stream: str, from_us: int, to_us: int) -> History:
        return history(self.name, self.settings, instrument, stream, from_us, to_us, self._known)

    def failure(self, call: RestCall, answer: RestAnswer) -> VenueError | None:
        return failure(self.name, call, answer)


class MetaapiAdapter(Adapter[MetaapiSettings]):
    """The protocol."""

    name: ClassVar[str] = ADAPTER_NAME
    settings: ClassVar[type[VenueSettings]] = MetaapiSettings
    venue: ClassVar[type[Venue[Any]]] = MetaapiVenue
    historic: ClassVar[frozenset[str]] = frozenset({"trades", "ticks", "candles"})
    history_page: ClassVar[int] = PAGE
    candle_sums: ClassVar[CandleSums] = CandleSums(reason="its candles sum up quotes, not trades")

    def parser(self, header: SessionHeader) -> Parser:
        return MetaapiParser(header)


ADAPTER = MetaapiAdapter()

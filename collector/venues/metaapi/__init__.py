"""MetaAPI (metaapi.cloud): records quotes, ticks, candles and market depth of MetaTrader 4 and 5 accounts.

`ADAPTER` is what `collector.venues.registry` finds; everything else here is reached through it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any, ClassVar

from collector.model import Instrument
from collector.venues.adapter import Adapter, Venue, VenueSettings
from collector.venues.audit import CandleSums
from collector.venues.header import SessionHeader
from collector.venues.metaapi.conversation import MetaapiConversation
from collector.venues.metaapi.discovery import ADAPTER_NAME, KnownAccounts, discover, named
from collector.venues.metaapi.failures import failure
from collector.venues.metaapi.history import HISTORY_QUOTA, PAGE_MAX_ITEMS, history
from collector.venues.metaapi.parser import MetaapiParser
from collector.venues.metaapi.settings import MetaapiSettings
from collector.venues.metaapi.strip import strip
from collector.venues.plan import ConnectionPlan, Limits
from collector.venues.rest import Discovery, History
from collector.venues.roles import Conversation, Parser

__all__ = ["ADAPTER", "MetaapiAdapter", "MetaapiConversation", "MetaapiParser", "MetaapiSettings", "MetaapiVenue"]


# The share of `rest_per_second` that calls for history may use. The rest is left for discovery, so that looking up
# accounts does not wait behind a long backfill. A larger share delays discovery, a smaller one delays repairs.
HISTORY_SHARE_OF_CALLS = 0.75

# The venue publishes no limit on sockets. One carries 100 accounts, as many as a user has by default (vendor's
# documentation, "Rate limits"), so a usual configuration needs one socket per region and never comes near this.
CONNECTIONS_MAX = 100

# A line on which nothing arrives for this long is made anew. The server answers our pings, every 25 s by default, and
# terminals send their status every few seconds, so a line that is silent for a minute is dead.
LINE_SILENCE_MAX_SECONDS = 60.0

# How often the WebSocket itself is pinged, beside the pings of Engine.IO. A line that has been silent for no longer
# than this counts as known to be alive, so the gap of a lost line begins at most this long too early.
WEBSOCKET_PING_INTERVAL_SECONDS = 10.0


class MetaapiVenue(Venue[MetaapiSettings]):
    """One configured venue: its settings, and the accounts that were looked up with them."""

    def __init__(self, adapter: Adapter[MetaapiSettings], name: str, settings: MetaapiSettings) -> None:
        super().__init__(adapter, name, settings)
        self._known: KnownAccounts = {}

    def limits(self) -> Limits:
        return replace(
            Limits.of(
                self.settings,
                connections=CONNECTIONS_MAX,
                silence_seconds=LINE_SILENCE_MAX_SECONDS,
                ping_seconds=WEBSOCKET_PING_INTERVAL_SECONDS,
            ),
            quotas={HISTORY_QUOTA: self.settings.rest_per_second * HISTORY_SHARE_OF_CALLS},
        )

    @property
    def strip(self) -> Callable[[bytes], bytes | None]:
        return strip

    def address(self, plan: ConnectionPlan, random: Random) -> tuple[str, Mapping[str, str]]:
        """Return the socket's address and headers, with a new client id and a number that defeats caches.

        The venue's load balancer routes a connection by its client id, which has to be the same in address and header.
        """
        client_id = f"0.{random.randrange(10**9, 10**10)}"
        return f"{plan.url}&clientId={client_id}&t={random.randrange(36**8):x}", {"Client-Id": client_id}

    def named(self) -> Mapping[str, Sequence[str]]:
        return named(self.settings)

    def discover(self) -> Discovery:
        return discover(self.name, self.settings, self._known)

    def conversation(self, plan: ConnectionPlan, parser: Parser, random: Random) -> Conversation:
        return MetaapiConversation(plan, parser, random)

    def whole_past(self, instrument: Instrument, stream: str) -> bool:
        # The venue keeps no history of quotes, so a stream of ticks that is made of them cannot be fetched in full.
        return stream in self.adapter.historic and not (
            stream == "ticks" and self.settings.has_quotes(instrument.symbol)
        )

    def history(self, instrument: Instrument, stream: str, from_us: int, to_us: int) -> History:
        return history(self.name, self.settings, instrument, stream, from_us, to_us, self._known)

    judge = staticmethod(failure)


class MetaapiAdapter(Adapter[MetaapiSettings]):
    """The protocol of MetaAPI: Socket.IO 2 for live data, REST for accounts, symbols and history."""

    name: ClassVar[str] = ADAPTER_NAME
    settings: ClassVar[type[VenueSettings]] = MetaapiSettings
    venue: ClassVar[type[Venue[Any]]] = MetaapiVenue
    historic: ClassVar[frozenset[str]] = frozenset({"trades", "ticks", "candles"})
    history_page: ClassVar[int] = PAGE_MAX_ITEMS
    candle_sums: ClassVar[CandleSums] = CandleSums(reason="its candles sum up quotes, not trades")

    def parser(self, header: SessionHeader) -> Parser:
        return MetaapiParser(header)


ADAPTER = MetaapiAdapter()

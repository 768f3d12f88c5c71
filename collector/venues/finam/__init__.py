"""Finam Trade API v1: market data of the Moscow Exchange and others, polled over REST or streamed over a socket.

`ADAPTER` is what `collector.venues.registry` finds; everything else here is reached through it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, ClassVar

from collector.model import Instrument
from collector.venues.adapter import Adapter, Venue, VenueSettings
from collector.venues.audit import CandleSums, MinuteCalls
from collector.venues.finam import requests
from collector.venues.finam.conversation import FinamConversation
from collector.venues.finam.discovery import ADAPTER_NAME, discover
from collector.venues.finam.failures import failure
from collector.venues.finam.history import BARS_PER_CALL_MAX, history, minutes
from collector.venues.finam.news import NewsPolling
from collector.venues.finam.parser import FinamParser
from collector.venues.finam.polling import FinamPolling
from collector.venues.finam.settings import FinamSettings
from collector.venues.finam.shared import SharedState
from collector.venues.header import SessionHeader
from collector.venues.kit.choose import is_pattern
from collector.venues.plan import ConnectionPlan, Limits, PollPlan
from collector.venues.rest import Discovery, History
from collector.venues.roles import Conversation, Parser, Polling

__all__ = ["ADAPTER", "FinamAdapter", "FinamConversation", "FinamParser", "FinamPolling", "FinamSettings", "FinamVenue"]


# The pace of the calls that describe instruments. Discovery makes at most `NAMED_LOOKUPS_MAX` of them, which is below
# the venue's 200 a minute even at this pace. At the pace of other calls every start would take 20 s longer.
LOOKUPS_PER_SECOND_MAX = 10.0

# The pace of all REST calls together: a bound against a fault of ours only, since each method has its own quota and
# pace. It is the larger of this and four times the pace of one method.
REST_CALLS_PER_SECOND_MIN = 50.0

# The venue documents no limit of sockets per user; at 50 symbols each a configuration needs a few.
CONNECTIONS_MAX = 100

# The socket itself is pinged this often, and a line without a pong or message for the longer time is made anew. Both
# follow the keepalive of the venue's documentation: a ping every 20 s, a reconnect after 60 s of silence.
WEBSOCKET_PING_INTERVAL_SECONDS = 20.0
LINE_SILENCE_MAX_SECONDS = 65.0


class FinamVenue(Venue[FinamSettings]):
    """One configured venue, with the state that its connections and polls share."""

    def __init__(self, adapter: Adapter[FinamSettings], name: str, settings: FinamSettings) -> None:
        super().__init__(adapter, name, settings)
        self.shared = SharedState(name, settings)

    def apply(self, settings: FinamSettings) -> None:
        """Take over changed settings; they need a new session, so the shared state begins anew."""
        if settings != self.settings:
            self.shared = SharedState(self.name, settings)
        super().apply(settings)

    def limits(self) -> Limits:
        per_second = self.settings.rest_per_minute / 60
        return Limits(
            rest_per_second=max(REST_CALLS_PER_SECOND_MIN, 4 * per_second),
            messages_per_second=self.settings.messages_per_second,
            connections=CONNECTIONS_MAX,
            silence_seconds=LINE_SILENCE_MAX_SECONDS,
            ping_seconds=WEBSOCKET_PING_INTERVAL_SECONDS,
            quotas={
                requests.ASSET: LOOKUPS_PER_SECOND_MAX,
                requests.ALL_ASSETS: per_second,
                f"{requests.TRADES}/{requests.HISTORY}": self.settings.backfill_per_minute / 60,
                f"{requests.BARS}/{requests.HISTORY}": self.settings.backfill_per_minute / 60,
            },
        )

    def named(self) -> Mapping[str, Sequence[str]]:
        names = [configured for configured in self.settings.symbols if not is_pattern(configured)]
        # Books are left out: whether the secret gives access to them is known only after the login.
        return {stream: names for stream in self.settings.streams if stream != "books"}

    def discover(self) -> Discovery:
        return discover(self.shared)

    def address(self, plan: ConnectionPlan, random: Random) -> tuple[str, Mapping[str, str]]:
        token = self.shared.token
        return plan.url, {} if token is None else {"Authorization": token}

    def conversation(self, plan: ConnectionPlan, parser: Parser, random: Random) -> Conversation:
        return FinamConversation(plan, self.shared, parser, random)

    def polling(self, plan: PollPlan, parser: Parser, random: Random) -> Polling:
        if plan.header.own.get("news"):
            return NewsPolling(plan, self.settings, random)
        return FinamPolling(plan, self.shared, random)

    def history_header(self) -> Mapping[str, Any]:
        return {"final_us": round(self.settings.grace_seconds * 1_000_000)}

    def history(self, instrument: Instrument, stream: str, from_us: int, to_us: int) -> History:
        return history(self.shared, instrument, stream, from_us, to_us)

    def minutes(self, instruments: Sequence[Instrument], from_us: int, to_us: int) -> History:
        return minutes(self.shared, instruments, from_us, to_us)

    judge = staticmethod(failure)


class FinamAdapter(Adapter[FinamSettings]):
    """The protocol of the Finam Trade API: REST, and a socket of JSON."""

    name: ClassVar[str] = ADAPTER_NAME
    settings: ClassVar[type[VenueSettings]] = FinamSettings
    venue: ClassVar[type[Venue[Any]]] = FinamVenue
    historic: ClassVar[frozenset[str]] = frozenset({"candles", "trades"})
    history_page: ClassVar[int] = BARS_PER_CALL_MAX
    candle_sums: ClassVar[CandleSums] = CandleSums(volume=True, prices=True)
    minute_calls: ClassVar[MinuteCalls] = MinuteCalls(1, BARS_PER_CALL_MAX, f"{requests.BARS}/{requests.HISTORY}")

    def parser(self, header: SessionHeader) -> Parser:
        return FinamParser.begin(header)


ADAPTER = FinamAdapter()

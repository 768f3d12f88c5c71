"""Finam Trade API v1: market data of the Moscow Exchange and others, polled over REST or streamed over a socket."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, ClassVar

from collector.model import Instrument
from collector.venues.adapter import Adapter, Venue, VenueSettings
from collector.venues.audit import CandleSums, MinuteCalls
from collector.venues.finam import requests
from collector.venues.finam.conversation import FinamConversation
from collector.venues.finam.desk import Desk
from collector.venues.finam.discovery import ADAPTER_NAME, discover
from collector.venues.finam.failures import failure
from collector.venues.finam.history import MOST_BARS, history, minutes
from collector.venues.finam.news import NewsPolling
from collector.venues.finam.parser import FinamParser
from collector.venues.finam.polling import FinamPolling
from collector.venues.finam.settings import FinamSettings
from collector.venues.header import SessionHeader
from collector.venues.kit.choose import is_pattern
from collector.venues.plan import ConnectionPlan, Limits, PollPlan
from collector.venues.rest import Discovery, History
from collector.venues.roles import Conversation, Parser, Polling

__all__ = ["ADAPTER", "FinamAdapter", "FinamConversation", "FinamParser", "FinamPolling", "FinamSettings", "FinamVenue"]


# A start asks for no more than a minute's share of them, so that recording need not wait for an even pace.
LOOK_UPS_PER_SECOND = 10.0


class FinamVenue(Venue[FinamSettings]):
    """A configured venue, with the desk that its lines share."""

    def __init__(self, adapter: Adapter[FinamSettings], name: str, settings: FinamSettings) -> None:
        super().__init__(adapter, name, settings)
        self.desk = Desk(name, settings)

    def apply(self, settings: FinamSettings) -> None:
        """Go by other settings from now on, with a new desk."""
        if settings != self.settings:
            self.desk = Desk(self.name, settings)
        super().apply(settings)

    def limits(self) -> Limits:
        per_second = self.settings.rest_per_minute / 60
        return Limits(
            rest_per_second=max(50.0, 4 * per_second),  # the methods are paced each by itself
            messages_per_second=self.settings.messages_per_second,
            connections=100,
            silence_seconds=65.0,
            ping_seconds=20.0,
            quotas={
                requests.ASSET: LOOK_UPS_PER_SECOND,
                requests.ALL_ASSETS: per_second,
                f"{requests.TRADES}/{requests.PAST}": self.settings.backfill_per_minute / 60,
                f"{requests.BARS}/{requests.PAST}": self.settings.backfill_per_minute / 60,
            },
        )

    def named(self) -> Mapping[str, Sequence[str]]:
        names = [wish for wish in self.settings.symbols if not is_pattern(wish)]
        # Whether the secret may see books is known once the venue has told.
        return {stream: names for stream in self.settings.streams if stream != "books"}

    def discover(self) -> Discovery:
        return discover(self.desk)

    def address(self, plan: ConnectionPlan, random: Random) -> tuple[str, Mapping[str, str]]:
        token = self.desk.token
        return plan.url, {} if token is None else {"Authorization": token}

    def conversation(self, plan: ConnectionPlan, parser: Parser, random: Random) -> Conversation:
        return FinamConversation(plan, self.desk, parser, random)

    def polling(self, plan: PollPlan, parser: Parser, random: Random) -> Polling:
        if plan.header.own.get("news"):
            return NewsPolling(plan, self.settings, random)
        return FinamPolling(plan, self.desk, random)

    def history_header(self) -> Mapping[str, Any]:
        return {"final_us": round(self.settings.grace_seconds * 1_000_000)}

    def history(self, instrument: Instrument, stream: str, from_us: int, to_us: int) -> History:
        return history(self.desk, instrument, stream, from_us, to_us)

    def minutes(self, instruments: Sequence[Instrument], from_us: int, to_us: int) -> History:
        return minutes(self.desk, instruments, from_us, to_us)

    judge = staticmethod(failure)


class FinamAdapter(Adapter[FinamSettings]):
    """The protocol."""

    name: ClassVar[str] = ADAPTER_NAME
    settings: ClassVar[type[VenueSettings]] = FinamSettings
    venue: ClassVar[type[Venue[Any]]] = FinamVenue
    historic: ClassVar[frozenset[str]] = frozenset({"candles", "trades"})
    history_page: ClassVar[int] = MOST_BARS
    candle_sums: ClassVar[CandleSums] = CandleSums(volume=True, prices=True)
    minute_calls: ClassVar[MinuteCalls] = MinuteCalls(1, MOST_BARS, f"{requests.BARS}/{requests.PAST}")

    def parser(self, header: SessionHeader) -> Parser:
        return FinamParser.begin(header)


ADAPTER = FinamAdapter()

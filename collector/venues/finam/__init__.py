"""Finam Trade API v1: market data of the Moscow Exchange and others, polled over REST or streamed over a socket."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, ClassVar

from collector.errors import VenueError
from collector.model import Instrument
from collector.venues.adapter import Adapter, AdapterDefaults, VenueSettings
from collector.venues.audit import CandleSums, MinuteCalls
from collector.venues.finam import calls
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
from collector.venues.plan import ConnectionPlan, Limits, PollPlan
from collector.venues.rest import Discovery, History, RestAnswer, RestCall
from collector.venues.roles import Conversation, Parser, Polling
from collector.venues.wishes import is_pattern

__all__ = ["ADAPTER", "FinamAdapter", "FinamConversation", "FinamParser", "FinamPolling", "FinamSettings"]


LOOK_UPS_PER_SECOND = 10.0
"""A start asks for no more than a minute's share of them, so that recording need not wait for an even pace."""


class FinamAdapter(AdapterDefaults):
    """Meets `collector.venues.adapter.Adapter`. Holds each venue's desk, which its lines share in memory."""

    name: ClassVar[str] = ADAPTER_NAME
    settings: ClassVar[type[VenueSettings]] = FinamSettings
    historic: ClassVar[frozenset[str]] = frozenset({"candles", "trades"})
    history_page: ClassVar[int] = MOST_BARS
    candle_sums: ClassVar[CandleSums] = CandleSums(volume=True, prices=True)
    minute_calls: ClassVar[MinuteCalls] = MinuteCalls(1, MOST_BARS, f"{calls.BARS}/{calls.PAST}")

    def __init__(self) -> None:
        self._desks: dict[str, Desk] = {}

    def desk(self, venue: str, settings: FinamSettings) -> Desk:
        """Return the venue's desk; a new one for new settings."""
        desk = self._desks.get(venue)
        if desk is None or desk.settings != settings:
            desk = self._desks[venue] = Desk(venue, settings)
        return desk

    def limits(self, settings: FinamSettings) -> Limits:
        per_second = settings.requests_per_minute / 60
        return Limits(
            rest_per_second=max(50.0, 4 * per_second),  # the methods are paced each by itself
            messages_per_second=settings.messages_per_second,
            connections=100,
            silence_seconds=65.0,
            ping_seconds=20.0,
            quotas={
                calls.ASSET: LOOK_UPS_PER_SECOND,
                calls.ALL_ASSETS: per_second,
                f"{calls.TRADES}/{calls.PAST}": settings.backfill_per_minute / 60,
                f"{calls.BARS}/{calls.PAST}": settings.backfill_per_minute / 60,
            },
        )

    def named(self, settings: FinamSettings) -> Mapping[str, Sequence[str]]:
        names = [wish for wish in settings.symbols if not is_pattern(wish)]
        # Whether the secret may see books is known once the venue has told.
        return {stream: names for stream in settings.streams if stream != "books"}

    def discover(self, venue: str, settings: FinamSettings) -> Discovery:
        return discover(self.desk(venue, settings))

    def parser(self, header: SessionHeader) -> Parser:
        return FinamParser.begin(header)

    def address(self, plan: ConnectionPlan, random: Random) -> tuple[str, Mapping[str, str]]:
        token = self._desks[plan.header.venue].token
        return plan.url, {} if token is None else {"Authorization": token}

    def conversation(self, plan: ConnectionPlan, parser: Parser, random: Random) -> Conversation:
        assert isinstance(parser, FinamParser)
        return FinamConversation(plan, self._desks[plan.header.venue], parser, random)

    def polling(self, plan: PollPlan, settings: FinamSettings, parser: Parser, random: Random) -> Polling:
        if plan.header.own.get("news"):
            return NewsPolling(plan, settings, random)
        assert isinstance(parser, FinamParser)
        return FinamPolling(plan, self.desk(plan.header.venue, settings), parser, random)

    def history_header(self, settings: FinamSettings) -> Mapping[str, Any]:
        return {"final_us": round(settings.final_seconds * 1_000_000)}

    def history(
        self, venue: str, settings: FinamSettings, instrument: Instrument, stream: str, from_us: int, to_us: int
    ) -> History:
        return history(self.desk(venue, settings), instrument, stream, from_us, to_us)

    def minutes(
        self, venue: str, settings: FinamSettings, instruments: Sequence[Instrument], from_us: int, to_us: int
    ) -> History:
        return minutes(self.desk(venue, settings), instruments, from_us, to_us)

    def failure(self, venue: str, call: RestCall, answer: RestAnswer) -> VenueError | None:
        return failure(venue, call, answer)


ADAPTER: Adapter = FinamAdapter()

"""The venue's news: RSS feeds of headlines, which need no token, count against no quota and belong to no instrument.

They have a line of their own, so that nothing that goes wrong here touches the market data. Only headlines are kept,
never the text behind them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from random import Random
from xml.etree.ElementTree import Element, ParseError

from defusedxml.ElementTree import fromstring

from collector.errors import VenueError
from collector.model import EARLIEST_US, LATEST_US, News, Records, content_key
from collector.venues.events import Event, SubscriptionState, SubscriptionStatus
from collector.venues.finam import requests
from collector.venues.finam.context import Context
from collector.venues.finam.settings import FinamSettings
from collector.venues.finam.values import BadValueError
from collector.venues.header import SessionHeader
from collector.venues.kit.values import shorten
from collector.venues.plan import PollPlan, Subscription
from collector.venues.rest import RestAnswer, RestCall

STREAM = LANE = "news"

# RFC 5322: the time is UTC, and says nothing of where the sender is.
_UTC_UNKNOWN_PLACE = "-0000"


# -- reading --------------------------------------------------------------------------------------------------------


def read_feed(context: Context, source: str, body: bytes, received_us: int, out: Records) -> int:
    """Read a feed; returns how many headlines were in it. Raises `BadValueError` for what is no RSS."""
    try:
        root = fromstring(body)
    except (ParseError, ValueError, LookupError) as error:  # not XML, entities (defusedxml), an unknown encoding
        raise BadValueError(f"not XML that can be read: {str(error)[:100]}") from error
    channel = root.find("channel") if root.tag == "rss" else None
    if channel is None:
        raise BadValueError(f"{shorten(root.tag)} is not an RSS feed")
    found = 0
    for item in channel.iterfind("item"):
        try:
            row = _headline(context.venue, source, item, received_us)
        except BadValueError as error:
            context.reject(out, STREAM, f"{source}: {error}", body, received_us)
            continue
        out.news.append(row)
        out.items += 1
        found += 1
    return found


def _headline(venue: str, source: str, item: Element, received_us: int) -> News:
    title, link, told = _text(item, "title"), _text(item, "link"), _text(item, "pubDate")
    if title is None:
        raise BadValueError("title: missing")
    if told is None:
        raise BadValueError("pubDate: missing")
    identity = _text(item, "guid") or link or f"{told}|{title}"
    return News(venue, _moment_us(told), content_key(f"{source}|{identity}"), source, title, link, received_us)


def _text(item: Element, name: str) -> str | None:
    return " ".join((item.findtext(name) or "").split()) or None


def _moment_us(told: str) -> int:
    try:
        moment = parsedate_to_datetime(told)
        if moment.tzinfo is None and told.endswith(_UTC_UNKNOWN_PLACE):
            moment = moment.replace(tzinfo=UTC)
        offset = moment.utcoffset()
        if offset is None:
            raise BadValueError(f"pubDate: {shorten(told)} names no time zone")  # noqa: TRY301  of the same field
        seconds = (moment.replace(tzinfo=UTC) - datetime.fromtimestamp(0, UTC) - offset).total_seconds()
    except BadValueError:
        raise
    except (ValueError, TypeError, IndexError, OverflowError) as error:  # all of them are seen for odd dates
        raise BadValueError(f"pubDate: {shorten(told)} is not a date") from error
    time_us = int(seconds) * 1_000_000
    if not EARLIEST_US <= time_us <= LATEST_US:
        raise BadValueError(f"pubDate: {shorten(told)} is not between the years 2000 and 2100")
    return time_us


# -- asking ---------------------------------------------------------------------------------------------------------


def plan(venue: str, settings: FinamSettings, header: SessionHeader) -> tuple[PollPlan, ...]:
    """Return the line that polls the feeds; none where news are not wanted."""
    if STREAM not in settings.streams:
        return ()
    wanted = tuple(
        Subscription(requests.news_channel(source), STREAM, (source,), prompt=False) for source in settings.news
    )
    return (PollPlan(f"{venue}-news", wanted, replace(header, symbols=(), own={**header.own, "news": True}), (LANE,)),)


class NewsPolling:
    """Meets `collector.venues.adapter.Polling`. A feed that fails is asked again in its next turn, no sooner."""

    def __init__(self, plan: PollPlan, settings: FinamSettings, random: Random) -> None:
        self._settings = settings
        self._random = random
        self._due = {one.symbols[0]: float("-inf") for one in plan.subscriptions}
        self._statuses = {
            one.channel: SubscriptionStatus(one.channel, one.stream, one.symbols[0], SubscriptionState.WAITING, 0.0)
            for one in plan.subscriptions
        }

    def __repr__(self) -> str:
        return f"<NewsPolling {', '.join(self._due)}>"

    def next(self, lane: str, now: float, now_ns: int) -> RestCall | float:
        """Return the call for the feed whose turn it is, or how many seconds to wait."""
        source = min(self._due, key=self._due.__getitem__)
        wait = self._due[source] - now
        if wait > 0:
            return wait
        self._due[source] = now + self._settings.news_seconds * self._random.uniform(1.0, 1.1)
        call = requests.news(self._settings, source)
        if self._statuses[call.channel].state is SubscriptionState.WAITING:
            self._turn(call, SubscriptionState.REQUESTED, now)
        return call

    def answered(self, lane: str, call: RestCall, answer: RestAnswer, events: Sequence[Event], now: float) -> None:
        """Take what came back; the parser has told what it was, so nothing but the state is left to keep."""
        self._turn(call, SubscriptionState.FLOWING, now)

    def failed(self, lane: str, call: RestCall, error: VenueError, now: float) -> None:
        """Leave the feed alone until its next turn, or as long as it says."""
        source = self._statuses[call.channel].symbol
        self._due[source] = max(self._due[source], now + (error.retry_after or 0.0))
        self._turn(call, SubscriptionState.REQUESTED, now, error.reason)

    @property
    def proved(self) -> bool:
        """Every feed was asked for: one that fails does not make the others look unready."""
        return all(status.state is not SubscriptionState.WAITING for status in self._statuses.values())

    def statuses(self) -> Sequence[SubscriptionStatus]:
        return list(self._statuses.values())

    def _turn(self, call: RestCall, state: SubscriptionState, now: float, reason: str = "") -> None:
        shown = self._statuses[call.channel]
        if (shown.state, shown.reason) != (state, reason):
            shown.state, shown.reason, shown.since = state, reason, now

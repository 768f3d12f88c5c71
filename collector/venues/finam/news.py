"""The venue's news: RSS feeds of headlines, which need no token, count against no quota and belong to no instrument.

They are polled separately, so that no failure here touches the market data. Only headlines are recorded, never the
articles.
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

# The zone of a time in UTC whose sender does not give its own zone (RFC 5322, section 3.3). `parsedate_to_datetime`
# returns a time without zone for it.
_UTC_OF_UNKNOWN_ZONE = "-0000"
# The pause between two readings of a feed is multiplied by a random number between these, so that several collectors do
# not read at the same moments.
_PERIOD_SPREAD = (1.0, 1.1)
# What of an XML parser's error is shown; it can quote the feed.
_ERROR_MAX_CHARACTERS = 100


# -- reading --------------------------------------------------------------------------------------------------------


def read_feed(context: Context, source: str, body: bytes, received_us: int, out: Records) -> int:
    """Read a feed, and return how many headlines became rows. Raises `BadValueError` where it is not RSS."""
    try:
        root = fromstring(body)
    except (ParseError, ValueError, LookupError) as error:  # not XML, entities (defusedxml), an unknown encoding
        raise BadValueError(f"not readable as XML: {str(error)[:_ERROR_MAX_CHARACTERS]}") from error
    channel = root.find("channel") if root.tag == "rss" else None
    if channel is None:
        raise BadValueError(f"{shorten(root.tag)} is not an RSS feed")
    headlines = 0
    for item in channel.iterfind("item"):
        try:
            row = _headline(context.venue, source, item, received_us)
        except BadValueError as error:
            context.reject(out, STREAM, f"{source}: {error}", body, received_us)
            continue
        out.news.append(row)
        out.items += 1
        headlines += 1
    return headlines


def _headline(venue: str, source: str, item: Element, received_us: int) -> News:
    title, link, published = _text(item, "title"), _text(item, "link"), _text(item, "pubDate")
    if title is None:
        raise BadValueError("title: missing")
    if published is None:
        raise BadValueError("pubDate: missing")
    identity = _text(item, "guid") or link or f"{published}|{title}"
    return News(venue, _published_us(published), content_key(f"{source}|{identity}"), source, title, link, received_us)


def _text(item: Element, name: str) -> str | None:
    return " ".join((item.findtext(name) or "").split()) or None


def _published_us(published: str) -> int:
    try:
        moment = parsedate_to_datetime(published)
        if moment.tzinfo is None and published.endswith(_UTC_OF_UNKNOWN_ZONE):
            moment = moment.replace(tzinfo=UTC)
        offset = moment.utcoffset()
        if offset is None:
            raise BadValueError(f"pubDate: {shorten(published)} names no time zone")  # noqa: TRY301  passed on below
        seconds = (moment.replace(tzinfo=UTC) - datetime.fromtimestamp(0, UTC) - offset).total_seconds()
    except BadValueError:
        raise
    except (ValueError, TypeError, IndexError, OverflowError) as error:  # malformed dates raise any of these
        raise BadValueError(f"pubDate: {shorten(published)} is not a date") from error
    time_us = int(seconds) * 1_000_000
    if not EARLIEST_US <= time_us <= LATEST_US:
        raise BadValueError(f"pubDate: {shorten(published)} is not between the years 2000 and 2100")
    return time_us


# -- polling --------------------------------------------------------------------------------------------------------


def plan(venue: str, settings: FinamSettings, header: SessionHeader) -> tuple[PollPlan, ...]:
    """Return the plan that polls the feeds; none where the streams do not have news."""
    if STREAM not in settings.streams:
        return ()
    subscriptions = tuple(
        Subscription(requests.news_channel(source), STREAM, (source,), prompt=False) for source in settings.news
    )
    return (
        PollPlan(
            f"{venue}-news", subscriptions, replace(header, symbols=(), own={**header.own, "news": True}), (LANE,)
        ),
    )


class NewsPolling:
    """Meets `collector.venues.roles.Polling`. A feed that fails is read again at its next turn, no sooner."""

    def __init__(self, plan: PollPlan, settings: FinamSettings, random: Random) -> None:
        self._settings = settings
        self._random = random
        self._due = {planned.symbols[0]: float("-inf") for planned in plan.subscriptions}
        self._statuses = {
            planned.channel: SubscriptionStatus(
                planned.channel, planned.stream, planned.symbols[0], SubscriptionState.WAITING, 0.0
            )
            for planned in plan.subscriptions
        }

    def __repr__(self) -> str:
        return f"<NewsPolling {', '.join(self._due)}>"

    def next(self, lane: str, now: float, now_ns: int) -> RestCall | float:
        """Return the call for the feed whose turn it is, or how many seconds to wait."""
        source = min(self._due, key=self._due.__getitem__)
        wait = self._due[source] - now
        if wait > 0:
            return wait
        self._due[source] = now + self._settings.news_seconds * self._random.uniform(*_PERIOD_SPREAD)
        call = requests.news(self._settings, source)
        if self._statuses[call.channel].state is SubscriptionState.WAITING:
            self._set_state(call, SubscriptionState.REQUESTED, now)
        return call

    def answered(self, lane: str, call: RestCall, answer: RestAnswer, events: Sequence[Event], now: float) -> None:
        """Mark the feed as flowing; the parser has read the answer already."""
        self._set_state(call, SubscriptionState.FLOWING, now)

    def failed(self, lane: str, call: RestCall, error: VenueError, now: float) -> None:
        """Leave the feed until its next turn, or for as long as its answer asks for."""
        source = self._statuses[call.channel].symbol
        self._due[source] = max(self._due[source], now + (error.retry_after or 0.0))
        self._set_state(call, SubscriptionState.REQUESTED, now, error.reason)

    @property
    def proved(self) -> bool:
        """Whether every feed was called: one that fails does not make the others look unready."""
        return all(status.state is not SubscriptionState.WAITING for status in self._statuses.values())

    def statuses(self) -> Sequence[SubscriptionStatus]:
        return list(self._statuses.values())

    def _set_state(self, call: RestCall, state: SubscriptionState, now: float, reason: str = "") -> None:
        shown = self._statuses[call.channel]
        if (shown.state, shown.reason) != (state, reason):
            shown.state, shown.reason, shown.since = state, reason, now

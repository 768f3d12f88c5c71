"""The settings of a section that speaks this protocol; every fault's text says what would be right."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field

from collector.venues.adapter import VenueSettings
from collector.venues.kit.settings import (
    GraceSeconds,
    RestUrl,
    SocketUrl,
    address,
    listed,
    once,
    something_to_record,
)

REST_URL = "https://api.fmex.com"
WS_URL = "wss://api.fmex.com/v2/ws"

HISTORY_PAGE = 500
# So many bars at once were asked for by clients, and given.
LONGEST_LIST = 1440

Stream = Literal["trades", "ticks", "books", "candles", "derivatives", "rates"]
Period = Literal["1m", "3m", "5m", "15m", "30m", "1h", "4h", "6h", "1d", "1w", "1mo"]

_listed = listed('btcusd_p,ethusd_p or ["btcusd_p", "ethusd_p"]')


def _lower(values: tuple[str, ...]) -> tuple[str, ...]:
    return once(tuple(value.lower() for value in values))


class FmexSettings(VenueSettings):
    """A section `[venues.fmex]`, or another one with `adapter = "fmex"`."""

    rest_url: RestUrl = Field(REST_URL, description="Where REST calls go, without /v2.")
    ws_url: SocketUrl = Field(WS_URL, description="The public socket.")
    statistics_url: Annotated[str, address("https", "http", optional=True)] = Field(
        "",
        description="Where open interest is asked for, with derivatives; the venue had it at "
        "https://fmex.com/api/contracts/web/v3/public/statistics, undocumented. Empty: not asked for.",
    )
    symbols: Annotated[tuple[str, ...], _listed, AfterValidator(_lower)] = Field(
        ("btcusd_p",), description='Names or patterns such as "btcusd_p", "*usd_p"; "*" means all.'
    )
    streams: Annotated[tuple[Stream, ...], _listed, AfterValidator(once)] = Field(
        ("trades", "ticks", "books", "candles"),
        description="What to record: any of trades, ticks, books, candles, derivatives, rates.",
    )
    candles: Annotated[tuple[Period, ...], _listed, AfterValidator(once)] = Field(
        ("1m",), description="Candle periods: any of 1m, 3m, 5m, 15m, 30m, 1h, 4h, 6h, 1d, 1w, 1mo."
    )
    ticks: Literal["ticker"] = Field("ticker", description="Where ticks come from; the venue has only the ticker.")
    books: Literal["L20", "L150", "delta/L20", "delta/L150"] = Field(
        "delta/L150",
        description="The best 20 or 150 levels a side: whole each time, or (delta) every change.",
    )
    snapshot: int = Field(
        200,
        ge=0,
        le=LONGEST_LIST,
        description="How many past trades and bars to ask for when subscribing, so that a cut line leaves no hole.",
    )
    index_topics: Annotated[tuple[str, ...], _listed, AfterValidator(_lower)] = Field(
        (), description='Indexes to subscribe on the socket for rates, such as ".btcusd_spot"; not documented.'
    )
    indexes_seconds: float = Field(5, ge=0.5, le=3600, description="How often indexes are asked for.")
    exchange_rates_seconds: float = Field(60, ge=1, le=86400, description="How often exchange rates are asked for.")
    statistics_seconds: float = Field(60, ge=1, le=86400, description="How often open interest is asked for.")
    ping_seconds: float = Field(10, ge=1, le=30, description="How often the server is pinged; it cuts who is silent.")
    pong_seconds: float = Field(15, ge=1, le=120, description="An unanswered ping of this age ends the connection.")
    topics_per_connection: int = Field(100, ge=1, le=1000, description="Raised where connections would not suffice.")
    connections: int = Field(10, ge=1, le=100, description="How many at most; the venue's own limit is not known.")
    messages_per_second: float = Field(5, gt=0, le=100, description="Sent by us, over all connections.")
    rest_per_second: float = Field(8, gt=0, le=9, description="REST calls; the venue serves 100 in ten seconds.")
    history_page: int = Field(
        HISTORY_PAGE, ge=1, le=LONGEST_LIST, description="How many past trades or bars to ask for at once."
    )
    grace_seconds: GraceSeconds = 5

    _something_to_record = something_to_record(has=get_args(Stream), example='["btcusd_p"], or "*" for all')

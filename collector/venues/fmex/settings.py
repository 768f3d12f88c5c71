"""The settings of a section that speaks this protocol; every fault's text says what would be right."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from collector.venues.adapter import VenueSettings

REST_URL = "https://api.fmex.com"
WS_URL = "wss://api.fmex.com/v2/ws"

HISTORY_PAGE = 500
LONGEST_LIST = 1440
"""So many bars at once were asked for by clients, and given."""

Stream = Literal["trades", "ticks", "books", "candles", "derivatives", "rates"]
Period = Literal["1m", "3m", "5m", "15m", "30m", "1h", "4h", "6h", "1d", "1w", "1mo"]


def _address(*schemes: str) -> AfterValidator:
    def check(value: str) -> str:
        parts = urlsplit(value)
        if value and (parts.scheme not in schemes or not parts.hostname):
            raise ValueError(f"{value!r} is not an address; write {schemes[0]}://host/path")
        return value.rstrip("/")

    return AfterValidator(check)


def _once(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))


def _lower(values: tuple[str, ...]) -> tuple[str, ...]:
    return _once(tuple(value.lower() for value in values))


class FmexSettings(VenueSettings):
    """A section `[venues.fmex]`, or another one with `adapter = "fmex"`."""

    rest_url: Annotated[str, _address("https", "http")] = Field(
        REST_URL, min_length=1, description="Where REST calls go, without /v2."
    )
    ws_url: Annotated[str, _address("wss", "ws")] = Field(WS_URL, min_length=1, description="The public socket.")
    statistics_url: Annotated[str, _address("https", "http")] = Field(
        "",
        description="Where open interest is asked for, with derivatives; the venue had it at "
        "https://fmex.com/api/contracts/web/v3/public/statistics, undocumented. Empty: not asked for.",
    )
    symbols: Annotated[tuple[str, ...], AfterValidator(_lower)] = Field(
        ("btcusd_p",), description='Names or patterns such as "btcusd_p", "*usd_p"; "*" means all.'
    )
    streams: Annotated[tuple[Stream, ...], AfterValidator(_once)] = Field(
        ("trades", "ticks", "books", "candles"),
        description="What to record: any of trades, ticks, books, candles, derivatives, rates.",
    )
    candles: Annotated[tuple[Period, ...], AfterValidator(_once)] = Field(
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
    index_topics: Annotated[tuple[str, ...], AfterValidator(_lower)] = Field(
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
    grace_seconds: float = Field(
        5, ge=0, le=3600, description="How long after a bar's end an update is awaited before the bar is closed."
    )

    @model_validator(mode="after")
    def _something_to_record(self) -> Self:
        if not self.streams:
            raise ValueError('streams: empty, so nothing would be recorded; name some, such as "trades"')
        if not self.symbols and set(self.streams) != {"rates"}:
            raise ValueError('symbols: none named; write for example symbols = ["btcusd_p"], or "*" for all')
        if "candles" in self.streams and not self.candles:
            raise ValueError('candles: none named, yet streams has "candles"; name some, such as "1m"')
        return self

"""The settings of a section that speaks this protocol; every fault's text says what would be right."""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from collector.tables import STREAMS
from collector.venues.adapter import VenueSettings
from collector.venues.fmfw.candles import VENUE_PERIODS
from collector.venues.kit.settings import GraceSeconds, RestUrl, SocketUrl, known, listed, once, something_to_record

REST_URL = "https://api.fmfw.io/api/3"
WS_URL = "wss://api.fmfw.io/api/3/ws/public"

# Socket connections that the venue allows one address.
MOST_CONNECTIONS = 100

_TICKS = re.compile(r"top/(100|500|1000)ms|ticker/(price/)?[13]s")
_BOOKS = re.compile(r"full|D(5|10|20)/(100|500|1000)ms")

_listed = listed('BTCUSDT,ETH* or ["BTCUSDT", "ETH*"]')


def _like(pattern: re.Pattern[str], examples: str) -> AfterValidator:
    def check(value: str) -> str:
        if not pattern.fullmatch(value):
            raise ValueError(f"{value!r} is not one of {examples}")
        return value

    return AfterValidator(check)


Names = Annotated[tuple[str, ...], _listed, AfterValidator(once)]


class FmfwSettings(VenueSettings):
    """A section `[venues.fmfw]`, or of a sister venue under its own name with `adapter = "fmfw"`."""

    rest_url: RestUrl = Field(REST_URL, description="Where REST calls go.")
    ws_url: SocketUrl = Field(WS_URL, description="The public socket.")
    symbols: Names = Field((), description='Names or patterns such as "BTCUSDT", "ETH*"; "*" means all.')
    streams: Annotated[tuple[str, ...], _listed, known("stream", STREAMS)] = Field(
        ("trades", "ticks", "books", "candles"), description="What to record: any of " + ", ".join(STREAMS) + "."
    )
    candles: Annotated[tuple[str, ...], _listed, known("candle period", tuple(VENUE_PERIODS.values()))] = Field(
        ("1m",), description="Candle periods: any of " + ", ".join(VENUE_PERIODS.values()) + "."
    )
    converted: Names = Field((), description="Currencies into which candles are converted as well, such as USDT.")
    ticks: Annotated[
        str,
        _like(_TICKS, "top/100ms, top/500ms, top/1000ms, ticker/1s, ticker/3s, ticker/price/1s, ticker/price/3s"),
    ] = Field("top/100ms", description="Where ticks come from: the top of the book or a ticker, and how often.")
    books: Annotated[
        str, _like(_BOOKS, "full, or D5, D10 or D20 with /100ms, /500ms or /1000ms, such as D10/500ms")
    ] = Field("full", description="The whole book with every change, or its first levels from time to time.")
    batch: bool = Field(False, description="Join the symbols changed in a period in one message where that exists.")
    rate_currencies: Names = Field(("*",), description='Currencies whose rate is recorded; "*" means all.')
    rate_target: str = Field("USDT", min_length=1, description="The currency in which rates are given.")
    rates: Annotated[str, _like(re.compile("[13]s"), "1s, 3s")] = Field("3s", description="How often rates come.")
    snapshot: int = Field(
        1000, ge=0, le=1000, description="How many past trades and candles to ask for when subscribing."
    )
    symbols_per_connection: int = Field(50, ge=1, le=2000, description="Raised where connections would not suffice.")
    connections: int = Field(MOST_CONNECTIONS, ge=1, le=MOST_CONNECTIONS, description="How many at most.")
    messages_per_second: float = Field(10, gt=0, le=20, description="Sent by us, over all connections.")
    rest_per_second: float = Field(30, gt=0, le=80, description="REST calls; the venue serves 30 and a burst of 50.")
    grace_seconds: GraceSeconds = 5

    _something_to_record = something_to_record(has=STREAMS, example='["BTCUSDT", "ETH*"], or "*" for all')

    @model_validator(mode="after")
    def _rates_have_currencies(self) -> Self:
        if "rates" in self.streams and not self.rate_currencies:
            raise ValueError('rate_currencies: none named, yet streams has "rates"; name some, or "*" for all')
        return self

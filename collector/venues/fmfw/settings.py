"""The settings of a section that speaks this protocol; every fault's text says what would be right."""

from __future__ import annotations

import re
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

import orjson
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from collector.model import STREAMS
from collector.venues.adapter import VenueSettings
from collector.venues.fmfw.candles import VENUE_PERIODS

REST_URL = "https://api.fmfw.io/api/3"
WS_URL = "wss://api.fmfw.io/api/3/ws/public"

MOST_CONNECTIONS = 100
"""Socket connections that the venue allows one address."""

_TICKS = re.compile(r"top/(100|500|1000)ms|ticker/(price/)?[13]s")
_BOOKS = re.compile(r"full|D(5|10|20)/(100|500|1000)ms")


def _listed(value: Any) -> Any:
    # From the environment a list comes as text: `BTCUSDT, ETH*` or `["BTCUSDT", "ETH*"]`.
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text.startswith("[") and '"' in text:
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise ValueError(f'is not a list: {error}; write BTCUSDT,ETH* or ["BTCUSDT", "ETH*"]') from error
    return [part.strip() for part in text.split(",") if part.strip()]


def _once(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))


def _address(*schemes: str) -> AfterValidator:
    def check(value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in schemes or not parts.hostname:
            raise ValueError(f"{value!r} is not an address; write {schemes[0]}://host/path")
        return value.rstrip("/")

    return AfterValidator(check)


def _known(what: str, known: tuple[str, ...]) -> AfterValidator:
    def check(values: tuple[str, ...]) -> tuple[str, ...]:
        for value in values:
            if value not in known:
                raise ValueError(f"{value!r} is not a {what} of this venue; it has {', '.join(known)}")
        return _once(values)

    return AfterValidator(check)


def _like(pattern: re.Pattern[str], examples: str) -> AfterValidator:
    def check(value: str) -> str:
        if not pattern.fullmatch(value):
            raise ValueError(f"{value!r} is not one of {examples}")
        return value

    return AfterValidator(check)


Names = Annotated[tuple[str, ...], BeforeValidator(_listed), AfterValidator(_once)]


class FmfwSettings(VenueSettings):
    """A section `[venues.fmfw]`, or of a sister venue under its own name with `adapter = "fmfw"`."""

    rest_url: Annotated[str, _address("https", "http")] = Field(REST_URL, description="Where REST calls go.")
    ws_url: Annotated[str, _address("wss", "ws")] = Field(WS_URL, description="The public socket.")
    symbols: Names = Field((), description='Names or patterns such as "BTCUSDT", "ETH*"; "*" means all.')
    streams: Annotated[tuple[str, ...], BeforeValidator(_listed), _known("stream", STREAMS)] = Field(
        ("trades", "ticks", "books", "candles"), description="What to record: any of " + ", ".join(STREAMS) + "."
    )
    candles: Annotated[
        tuple[str, ...], BeforeValidator(_listed), _known("candle period", tuple(VENUE_PERIODS.values()))
    ] = Field(("1m",), description="Candle periods: any of " + ", ".join(VENUE_PERIODS.values()) + ".")
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
    grace_seconds: float = Field(
        5, ge=0, le=3600, description="How long after a bar's end an update is awaited before the bar is closed."
    )

    @model_validator(mode="after")
    def _something_to_record(self) -> Self:
        if not self.streams:
            raise ValueError("streams: empty, so nothing would be recorded; name some of " + ", ".join(STREAMS))
        if not self.symbols and set(self.streams) != {"rates"}:
            raise ValueError('symbols: none named; write for example symbols = ["BTCUSDT", "ETH*"], or "*" for all')
        if "rates" in self.streams and not self.rate_currencies:
            raise ValueError('rate_currencies: none named, yet streams has "rates"; name some, or "*" for all')
        if "candles" in self.streams and not self.candles:
            raise ValueError('candles: none named, yet streams has "candles"; name some, such as "1m"')
        return self

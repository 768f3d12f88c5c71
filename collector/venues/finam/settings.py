"""The settings of a section with `adapter = "finam"`. Each error's text says what would be right."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

import orjson
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, field_validator, model_validator

from collector.venues.adapter import VenueSettings
from collector.venues.finam.periods import FRAMES
from collector.venues.finam.values import is_symbol
from collector.venues.kit.choose import is_pattern
from collector.venues.kit.settings import RestUrl, SocketUrl, address, check_recorded, known, listed, once

REST_URL = "https://api.finam.ru/v1"
WS_URL = "wss://api.finam.ru/ws"
STREAMS = ("trades", "ticks", "books", "candles")
KNOWN_STREAMS = (*STREAMS, "news")
# The venue's feeds of headlines: the Russian and the American market.
NEWS_FEEDS = {
    "ru": "https://www.finam.ru/analysis/conews/rsspoint/",
    "us": "https://www.finam.ru/international/advanced/rsspoint/",
}

_WINDOW = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")

_listed = listed('SBER@MISX,GAZP@MISX or ["SBER@MISX", "GAZP@MISX"]')


def _tabled(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise ValueError(f'is not a table: {error}; write {{"SBER@MISX": 3}}') from error


def _symbols(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if not is_pattern(value) and not is_symbol(value):
            raise ValueError(f"{value!r} is not a symbol; write TICKER@MIC, such as SBER@MISX, SiZ6@RTSX, AAPL@XNGS")
    return once(values)


_FeedName = Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,32}$")]


class FinamSettings(VenueSettings):
    """A section `[venues.finam]`."""

    old_keys: ClassVar[Mapping[str, str]] = {
        "requests_per_minute": "rest_per_minute",
        "final_seconds": "grace_seconds",
        "audit_seconds": "rest_check_seconds",
    }

    secret: SecretStr | None = Field(
        None, description="The API secret, from the venue's page of tokens; better in a file than here (secret_file)."
    )
    account_id: str = Field(
        "", description="The account whose instruments are described. Left out: the first one of the secret."
    )
    symbols: Annotated[tuple[str, ...], _listed, AfterValidator(_symbols)] = Field(
        (), description='Names such as "SBER@MISX", or patterns such as "Si*@RTSX", for which all assets are listed.'
    )
    streams: Annotated[tuple[str, ...], _listed, known("stream", KNOWN_STREAMS)] = Field(
        STREAMS, description="What to record: any of " + ", ".join(KNOWN_STREAMS) + "."
    )
    candles: Annotated[tuple[str, ...], _listed, known("candle period", tuple(FRAMES))] = Field(
        ("1m",), description="Candle periods: any of " + ", ".join(FRAMES) + "."
    )
    transport: Literal["poll", "stream"] = Field(
        "poll", description="poll: REST calls at a steady pace; stream: the socket, with REST for what it missed."
    )
    priorities: Annotated[dict[str, Annotated[float, Field(gt=0, le=1000)]], BeforeValidator(_tabled)] = Field(
        {},
        description='How much more often than others a symbol is polled, by name or pattern: {"SBER@MISX" = 3}.',
    )
    rest_url: RestUrl = Field(REST_URL, description="Where REST calls go.")
    ws_url: SocketUrl = Field(WS_URL, description="The JSON socket.")
    rest_per_minute: int = Field(
        180, ge=1, le=100_000, description="Calls of each method; the venue allows 200 to all programs of one user."
    )
    backfill_per_minute: int = Field(
        10, ge=1, le=100_000, description="Calls of each method for history, in addition to rest_per_minute."
    )
    in_flight: int = Field(2, ge=1, le=4, description="Calls of one method that may wait for an answer at a time.")
    shortest_seconds: float = Field(1, ge=0.05, le=60, description="No symbol is polled more often than this.")
    closed_seconds: float = Field(60, ge=1, le=3600, description="How often a symbol whose market is closed is polled.")
    grace_seconds: float = Field(
        5, ge=0, le=600, description="How long after a bar's end an update is awaited before the bar is closed."
    )
    maintenance: str = Field(
        "02:00-03:15", description='The daily maintenance, UTC, during which nothing is called; "" for none.'
    )
    news: Annotated[dict[_FeedName, Annotated[str, address("https", "http", bare=False)]], BeforeValidator(_tabled)] = (
        Field(NEWS_FEEDS, description='The RSS feeds of the stream "news", each by a name of your choice.')
    )
    news_seconds: float = Field(300, ge=1, le=86_400, description="How often each feed of news is read.")
    rest_check_seconds: float = Field(
        300, ge=5, le=86_400, description="stream: how often each symbol is also polled over REST."
    )
    symbols_per_connection: int = Field(50, ge=1, le=1000, description="stream: symbols on one socket.")
    messages_per_second: float = Field(10, gt=0, le=100, description="stream: requests sent on sockets.")

    @field_validator("maintenance")
    @classmethod
    def _is_a_window(cls, value: str) -> str:
        if value and not _WINDOW.fullmatch(value):
            raise ValueError(f'{value!r} is not a span of hours; write "02:00-03:15", or "" for none')
        return value

    @property
    def polled_per_minute(self) -> float:
        """The calls for trades in a minute, each of one symbol."""
        return float(self.rest_per_minute) if self.transport == "poll" else 0.0

    @property
    def maintenance_minutes(self) -> tuple[int, int] | None:
        """Return the begin and end of the maintenance in minutes of the UTC day; None where it is empty."""
        match = _WINDOW.fullmatch(self.maintenance)
        if match is None:
            return None
        begin_hour, begin_minute, end_hour, end_minute = (int(part) for part in match.groups())
        return begin_hour * 60 + begin_minute, end_hour * 60 + end_minute

    @model_validator(mode="after")
    def _something_to_record(self) -> Self:
        if not self.enabled:
            return self
        if self.secret is None or not self.secret.get_secret_value():
            raise ValueError("secret: none given; make one on the venue's page of tokens, and give it as secret_file")
        check_recorded(self.streams, self.symbols, self.candles, has=KNOWN_STREAMS, example='["SBER@MISX"]')
        if "news" in self.streams and not self.news:
            raise ValueError('news: no feed named, yet streams has "news"; name some, or leave news out')
        return self

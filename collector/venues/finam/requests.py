"""The REST calls, and the names under which their answers are journalled.

A channel is the venue's method, then the symbol, then for bars the frame, or for trades how the list is to be read
(see `parser`): `LatestTrades/SBER@MISX`. Symbol and account stand in the address, which is not journalled.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import quote

import orjson

from collector.venues.finam.settings import FinamSettings
from collector.venues.rest import RestCall

AUTH, DETAILS = "Auth", "TokenDetails"
EXCHANGES, ALL_ASSETS, CLOCK = "Exchanges", "AllAssets", "Clock"
ASSET, PARAMS, SCHEDULE = "GetAsset", "GetAssetParams", "Schedule"
QUOTE, BOOK, TRADES, BARS = "LastQuote", "OrderBook", "LatestTrades", "Bars"

MARKET_DATA = (QUOTE, BOOK, TRADES, BARS)
METHODS = (EXCHANGES, ALL_ASSETS, CLOCK, ASSET, PARAMS, SCHEDULE, *MARKET_DATA)

_INSTRUMENT = {QUOTE: "quotes/latest", BOOK: "orderbook", TRADES: "trades/latest", BARS: "bars"}
_OF_ASSET = {ASSET: "", PARAMS: "/params", SCHEDULE: "/schedule"}

# Begins the channel of a feed of headlines; our name of the feed follows.
NEWS = "news:"

# Stands at the end of the channel of an answer that is told whole, and of the quota of calls for the past.
PAST = "history"


def method_of(channel: str) -> str:
    """Return the method that a channel begins with."""
    return channel.partition("/")[0]


def symbol_of(channel: str) -> str | None:
    """Return the symbol that a channel names."""
    parts = channel.split("/", 2)
    return parts[1] if len(parts) > 1 else None


def login(settings: FinamSettings) -> RestCall:
    """Ask for a token. The venue refuses this call when it carries an Authorization header."""
    assert settings.secret is not None
    body = {"secret": settings.secret.get_secret_value(), "source_app_id": "collector"}
    return _post(AUTH, f"{settings.rest_url}/sessions", body)


def details(settings: FinamSettings, token: str) -> RestCall:
    """Ask what a token may do and how long; without an Authorization header, like `login`."""
    return _post(DETAILS, f"{settings.rest_url}/sessions/details", {"token": token})


def _post(channel: str, url: str, body: dict[str, str]) -> RestCall:
    headers = {"Content-Type": "application/json"}
    return RestCall(channel, url, method="POST", headers=headers, body=orjson.dumps(body), record=False, quota=channel)


def plain(settings: FinamSettings, method: str, token: str, **query: str) -> RestCall:
    """Call a method of the whole venue."""
    path = {EXCHANGES: "exchanges", ALL_ASSETS: "assets/all", CLOCK: "assets/clock"}[method]
    return RestCall(
        method, f"{settings.rest_url}/{path}", query, headers=_authorised(token), record=False, quota=method
    )


def recorded(call: RestCall) -> RestCall:
    """Return the same call with its answer journalled."""
    return replace(call, record=True)


def of_asset(
    settings: FinamSettings, method: str, symbol: str, token: str, account: str, *, record: bool = True
) -> RestCall:
    """Ask for what describes an instrument."""
    url = f"{settings.rest_url}/assets/{quote(symbol, safe='@')}{_OF_ASSET[method]}"
    if method != SCHEDULE and account:
        url += f"?account_id={quote(account, safe='')}"
    return RestCall(f"{method}/{symbol}", url, headers=_authorised(token), record=record, quota=method)


def of_instrument(
    settings: FinamSettings, method: str, symbol: str, token: str, *, reading: str = "", past: bool = False
) -> RestCall:
    """Ask for a quote, a book or the latest trades. `reading`: see `parser`."""
    channel = f"{method}/{symbol}" + (f"/{reading}" if reading else "")
    quota = f"{method}/{PAST}" if past else method
    return RestCall(channel, _address(settings, method, symbol), headers=_authorised(token), quota=quota)


def bars(
    settings: FinamSettings, symbol: str, frame: str, token: str, from_us: int, to_us: int, *, past: bool = False
) -> RestCall:
    """Ask for the bars that open from `from_us` on and before `to_us`."""
    query = {"timeframe": frame, "interval.start_time": iso(from_us), "interval.end_time": iso(to_us)}
    url = _address(settings, BARS, symbol)
    channel = f"{BARS}/{symbol}/{frame}" + (f"/{PAST}" if past else "")
    return RestCall(channel, url, query, headers=_authorised(token), quota=f"{BARS}/{PAST}" if past else BARS)


def news_channel(source: str) -> str:
    """Return the channel of a feed of headlines."""
    return NEWS + source


def news(settings: FinamSettings, source: str) -> RestCall:
    """Ask for a feed of headlines. It is no part of the API: no token goes there, and its 429 holds nothing else."""
    return RestCall(news_channel(source), settings.news[source], quota=NEWS)


def _address(settings: FinamSettings, method: str, symbol: str) -> str:
    return f"{settings.rest_url}/instruments/{quote(symbol, safe='@')}/{_INSTRUMENT[method]}"


def _authorised(token: str) -> dict[str, str]:
    return {"Authorization": token}


def iso(time_us: int) -> str:
    """Write a time as the venue reads it."""
    whole = datetime.fromtimestamp(time_us // 1_000_000, UTC)
    return f"{whole:%Y-%m-%dT%H:%M:%S}.{time_us % 1_000_000:06d}Z"

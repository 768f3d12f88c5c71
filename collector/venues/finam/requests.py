"""The REST calls, and the channels under which their answers are journalled.

A channel is the venue's method, the symbol, and for bars the frame, such as `LatestTrades/SBER@MISX`. The answer to a
call for history has `/history` at the end, see `parser`. The address holds symbol and account and is not journalled.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import quote

import orjson

from collector.venues.finam.settings import FinamSettings
from collector.venues.rest import RestCall

# The venue's names of its methods: of the session, of the whole venue, of an instrument's description, of market data.
AUTH, DETAILS = "Auth", "TokenDetails"
EXCHANGES, ALL_ASSETS, CLOCK = "Exchanges", "AllAssets", "Clock"
ASSET, PARAMS, SCHEDULE = "GetAsset", "GetAssetParams", "Schedule"
QUOTE, BOOK, TRADES, BARS = "LastQuote", "OrderBook", "LatestTrades", "Bars"

MARKET_DATA = (QUOTE, BOOK, TRADES, BARS)

# The ends of the addresses, behind the symbol.
_INSTRUMENT_PATHS = {QUOTE: "quotes/latest", BOOK: "orderbook", TRADES: "trades/latest", BARS: "bars"}
_ASSET_PATHS = {ASSET: "", PARAMS: "/params", SCHEDULE: "/schedule"}

# The start of the channel of a feed of headlines; our name of the feed follows.
NEWS = "news:"

# The end of the channel of an answer of which every item becomes a row, and of the quota of calls for history.
HISTORY = "history"


def method_of(channel: str) -> str:
    """Return the method that a channel begins with."""
    return channel.partition("/")[0]


def symbol_of(channel: str) -> str | None:
    """Return the symbol that a channel names."""
    parts = channel.split("/", 2)
    return parts[1] if len(parts) > 1 else None


def login(settings: FinamSettings) -> RestCall:
    """Return the call for a new token. The venue refuses it if it carries an Authorization header."""
    assert settings.secret is not None
    body = {"secret": settings.secret.get_secret_value(), "source_app_id": "collector"}
    return _post(AUTH, f"{settings.rest_url}/sessions", body)


def details(settings: FinamSettings, token: str) -> RestCall:
    """Return the call for a token's life and permissions; without an Authorization header, like `login`."""
    return _post(DETAILS, f"{settings.rest_url}/sessions/details", {"token": token})


def _post(channel: str, url: str, body: dict[str, str]) -> RestCall:
    headers = {"Content-Type": "application/json"}
    return RestCall(channel, url, method="POST", headers=headers, body=orjson.dumps(body), record=False, quota=channel)


def plain(settings: FinamSettings, method: str, token: str, **query: str) -> RestCall:
    """Return the call of a method of the whole venue; its answer is not journalled."""
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
    """Return a call for a part of an instrument's description (`ASSET`, `PARAMS` or `SCHEDULE`)."""
    url = f"{settings.rest_url}/assets/{quote(symbol, safe='@')}{_ASSET_PATHS[method]}"
    if method != SCHEDULE and account:
        url += f"?account_id={quote(account, safe='')}"
    return RestCall(f"{method}/{symbol}", url, headers=_authorised(token), record=record, quota=method)


def of_instrument(
    settings: FinamSettings, method: str, symbol: str, token: str, *, reading: str = "", history: bool = False
) -> RestCall:
    """Return a call for a quote, a book or the latest trades.

    `reading`: empty, or `HISTORY` where every item is to become a row. `history`: it counts under history's quota.
    """
    channel = f"{method}/{symbol}" + (f"/{reading}" if reading else "")
    quota = f"{method}/{HISTORY}" if history else method
    return RestCall(channel, _address(settings, method, symbol), headers=_authorised(token), quota=quota)


def bars(
    settings: FinamSettings, symbol: str, frame: str, token: str, from_us: int, to_us: int, *, history: bool = False
) -> RestCall:
    """Return a call for the bars that open from `from_us` on and before `to_us`; `history`: see `of_instrument`."""
    query = {"timeframe": frame, "interval.start_time": iso(from_us), "interval.end_time": iso(to_us)}
    url = _address(settings, BARS, symbol)
    channel = f"{BARS}/{symbol}/{frame}" + (f"/{HISTORY}" if history else "")
    return RestCall(channel, url, query, headers=_authorised(token), quota=f"{BARS}/{HISTORY}" if history else BARS)


def news_channel(source: str) -> str:
    """Return the channel of a feed of headlines."""
    return NEWS + source


def news(settings: FinamSettings, source: str) -> RestCall:
    """Return the call for a feed of headlines. It is not part of the API: it has no token, and a quota of its own."""
    return RestCall(news_channel(source), settings.news[source], quota=NEWS)


def _address(settings: FinamSettings, method: str, symbol: str) -> str:
    return f"{settings.rest_url}/instruments/{quote(symbol, safe='@')}/{_INSTRUMENT_PATHS[method]}"


def _authorised(token: str) -> dict[str, str]:
    return {"Authorization": token}


def iso(time_us: int) -> str:
    """Write a time in microseconds in the venue's format."""
    whole = datetime.fromtimestamp(time_us // 1_000_000, UTC)
    return f"{whole:%Y-%m-%dT%H:%M:%S}.{time_us % 1_000_000:06d}Z"

"""Discovery: logs in, looks up the assets that names and patterns mean, and plans connections and polls."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from collector.errors import VenueError
from collector.model import Instrument, InstrumentSpec
from collector.venues.finam import news, requests
from collector.venues.finam.envelopes import BARS, INSTRUMENT_TRADES, ORDER_BOOK, QUOTES
from collector.venues.finam.failures import status_of
from collector.venues.finam.periods import FRAMES
from collector.venues.finam.planner import METHOD_OF, notes, periods, weights
from collector.venues.finam.settings import FinamSettings
from collector.venues.finam.shared import LISTING_AGE_MAX_SECONDS, SharedState
from collector.venues.finam.symbols import choose, make_spec
from collector.venues.finam.values import BadValueError
from collector.venues.finam.worklist import REFERENCE, SESSIONS, lanes
from collector.venues.header import SessionHeader
from collector.venues.kit.choose import is_pattern
from collector.venues.plan import ConnectionPlan, Plan, PollPlan, Problem, Subscription
from collector.venues.rest import Discovery, RestAnswer, RestCall

ADAPTER_NAME = "finam"

# How many of the named symbols are looked up in discovery, at `LOOKUPS_PER_SECOND_MAX`: with more, `collector check`
# and a start would take longer. The others are described by polling, some minutes later.
NAMED_LOOKUPS_MAX = 60

# How many pages of the list of all assets are read. There were about 100 in 2026; it bounds a server whose cursor never
# ends.
ASSET_PAGES_MAX = 1000

# Quotes and books without an answer for this many polling periods, and this time on top, have a gap. A single late or
# failed answer is no gap; a smaller bound would report one for each.
PERIODS_MISSED_MAX = 3
ANSWER_GRACE_SECONDS = 5.0

# The socket's subscription types by stream.
_SOCKET_OF = {"ticks": QUOTES, "books": ORDER_BOOK, "trades": INSTRUMENT_TRADES, "candles": BARS}


def discover(shared: SharedState) -> Discovery:
    """Log in, look up the assets and plan. Raises `VenueError`, which is permanent for a wrong secret."""
    settings = shared.settings
    token = yield from log_in(shared)
    problems: list[Problem] = []
    if any(is_pattern(configured) for configured in settings.symbols):
        yield from _list(shared, token)
    symbols, unmatched = choose(settings.symbols, list(shared.listing))
    problems += unmatched
    names = [configured for configured in settings.symbols if not is_pattern(configured)]
    specs = yield from _look_up(shared, names, token, problems)
    specs += [
        make_spec(Instrument(shared.venue, symbol), shared.listing[symbol], {}, shared.since_ns // 1000)
        for symbol in symbols
        if symbol in shared.listing
    ]
    by_stream = _permitted(shared, symbols, problems)
    header = _header(shared, symbols)
    feeds = news.plan(shared.venue, settings, header)
    if not any(by_stream.values()):
        return Plan(polls=feeds, instruments=tuple(specs), problems=tuple(problems))
    make_plan = _polled if settings.transport == "poll" else _streamed
    connections, polls = make_plan(shared, by_stream, header)
    period_notes = notes(by_stream, settings) if settings.transport == "poll" else ()
    return Plan(connections, polls + feeds, tuple(specs), tuple(problems), notes=period_notes)


def log_in(shared: SharedState) -> Generator[RestCall, RestAnswer, str]:
    """Log in and ask what the token permits; both are kept in `shared`. Returns the token."""
    token = shared.log_in((yield requests.login(shared.settings)))
    shared.learn((yield requests.details(shared.settings, token)))
    return token


def _list(shared: SharedState, token: str) -> Generator[RestCall, RestAnswer, None]:
    """Page through all active assets into `shared.listing`, unless that was done within a day."""
    if shared.listing and shared.since_ns - shared.listed_ns < LISTING_AGE_MAX_SECONDS * 1e9:
        return
    listing: dict[str, dict[str, Any]] = {}
    cursors = {"0"}
    query = {"only_active": "true"}
    for _ in range(ASSET_PAGES_MAX):
        answer = yield requests.plain(shared.settings, requests.ALL_ASSETS, token, **query)
        content = _object(shared.venue, answer.body)
        for item in content.get("assets", ()):
            if type(item) is dict and type(item.get("symbol")) is str:
                listing[item["symbol"]] = item
        cursor = str(content.get("next_cursor") or "0")
        if cursor in cursors:  # 0 or a repeated cursor ends the list
            break
        cursors.add(cursor)
        query["cursor"] = cursor
    shared.listing, shared.listed_ns = listing, shared.since_ns


def _object(venue: str, body: bytes) -> dict[str, Any]:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise VenueError(venue, f"the list of assets is not JSON ({error}); check rest_url") from error
    if type(content) is not dict or type(content.get("assets", [])) is not list:
        raise VenueError(venue, "the list of assets has no assets; check rest_url")
    return content


def _look_up(
    shared: SharedState, names: Sequence[str], token: str, problems: list[Problem]
) -> Generator[RestCall, RestAnswer, list[InstrumentSpec]]:
    """Ask for the descriptions of the first `NAMED_LOOKUPS_MAX` named symbols.

    A symbol that the venue refuses is a problem, but stays in the plan: it may be known later.
    """
    specs = []
    for symbol in names[:NAMED_LOOKUPS_MAX]:
        try:
            answer = yield requests.of_asset(
                shared.settings, requests.ASSET, symbol, token, shared.account, record=False
            )
            content = orjson.loads(answer.body)
            if type(content) is not dict:
                raise BadValueError("not an object")  # noqa: TRY301  becomes a problem below
            specs.append(make_spec(Instrument(shared.venue, symbol), content, {}, answer.received_ns // 1000))
        except VenueError as error:
            if status_of(error) not in (400, 403, 404):
                raise
            problems.append(Problem(symbol, f"{error.reason} (code {error.code}); it is tried again from time to time"))
        except (orjson.JSONDecodeError, BadValueError) as error:
            problems.append(Problem(symbol, f"its description cannot be read: {error}"))
    return specs


def _permitted(shared: SharedState, symbols: Sequence[str], problems: list[Problem]) -> dict[str, tuple[str, ...]]:
    """Return the symbols that the token may see, by stream; what is left out is a problem per exchange."""
    allowed = {symbol: shared.permission(symbol) for symbol in symbols}
    for mic in sorted({symbol.rpartition("@")[2] for symbol in symbols}):
        permission = shared.permission(f"@{mic}")
        if permission is not None and not permission.anything:
            problems.append(Problem(f"@{mic}", "the secret has no right to data of this exchange"))
        elif permission is not None and not permission.books and "books" in shared.settings.streams:
            problems.append(Problem(f"@{mic}", f"books are left out: the secret's right is {permission.level}"))
    by_stream = {}
    for stream in shared.settings.streams:
        if stream not in METHOD_OF:  # news have no symbols and need no permission
            continue
        by_stream[stream] = tuple(
            symbol
            for symbol, permission in allowed.items()
            if permission is None or (permission.anything and (stream != "books" or permission.books))
        )
    return by_stream


def _header(shared: SharedState, symbols: Sequence[str]) -> SessionHeader:
    mics = sorted({symbol.rpartition("@")[2] for symbol in symbols})
    permissions = {mic: shared.permission(f"@{mic}") for mic in mics}
    own = {
        "final_us": round(shared.settings.grace_seconds * 1_000_000),
        "delays": {
            mic: {"delay_minutes": permission.delay_minutes, "quote_level": permission.level}
            for mic, permission in permissions.items()
            if permission is not None
        },
    }
    return SessionHeader(shared.venue, ADAPTER_NAME, tuple(symbols), own)


def _channels(
    by_stream: dict[str, tuple[str, ...]], settings: FinamSettings, names: dict[str, str]
) -> list[tuple[str, str, tuple[str, ...]]]:
    """Return (channel, stream, symbols) of everything to record; bars have a channel for each frame.

    `names` are the channels' names by stream: methods where it is polled, subscription types on the socket.
    """
    channels: list[tuple[str, str, tuple[str, ...]]] = []
    for stream, symbols in by_stream.items():
        if not symbols:
            continue
        if stream == "candles":
            channels += [(f"{names[stream]}/{FRAMES[name]}", stream, symbols) for name in settings.candles]
        else:
            channels.append((names[stream], stream, symbols))
    return channels


def _polled(
    shared: SharedState, by_stream: dict[str, tuple[str, ...]], header: SessionHeader
) -> tuple[tuple[ConnectionPlan, ...], tuple[PollPlan, ...]]:
    settings = shared.settings
    own = {"patience_us": _patience(by_stream, settings), "maintenance": settings.maintenance_minutes}
    subscriptions = tuple(
        Subscription(channel, stream, symbols, prompt=False)
        for channel, stream, symbols in _channels(by_stream, settings, METHOD_OF)
    )
    streams = [stream for stream, symbols in by_stream.items() if symbols]
    return (), (PollPlan(f"{shared.venue}-poll", subscriptions, _with_own(header, own), lanes(streams, settings)),)


def _with_own(header: SessionHeader, own: Mapping[str, Any]) -> SessionHeader:
    return replace(header, own={**header.own, **own})


def _patience(by_stream: dict[str, tuple[str, ...]], settings: FinamSettings) -> dict[str, int]:
    """Return how long, in microseconds, streams without history may go without an answer before that is a gap."""
    patience_us = {}
    for stream in ("ticks", "books"):
        symbols = by_stream.get(stream)
        if symbols:
            longest = max(periods(weights(symbols, settings.priorities), settings).values())
            patience_us[stream] = round((PERIODS_MISSED_MAX * longest + ANSWER_GRACE_SECONDS) * 1_000_000)
    return patience_us


def _streamed(
    shared: SharedState, by_stream: dict[str, tuple[str, ...]], header: SessionHeader
) -> tuple[tuple[ConnectionPlan, ...], tuple[PollPlan, ...]]:
    settings = shared.settings
    size = settings.symbols_per_connection
    symbols = header.symbols or ()
    connections = []
    for number, start in enumerate(range(0, len(symbols), size), start=1):
        part = symbols[start : start + size]
        part_by_stream = {
            stream: tuple(symbol for symbol in part if symbol in permitted) for stream, permitted in by_stream.items()
        }
        connections.append(
            ConnectionPlan(
                f"{shared.venue}-{number}",
                settings.ws_url,
                tuple(
                    Subscription(channel, stream, channel_symbols)
                    for channel, stream, channel_symbols in _channels(part_by_stream, settings, _SOCKET_OF)
                ),
                replace(header, symbols=part),
            )
        )
    # Beside the socket REST checks all streams but ticks: a quote only says the present state, so it adds nothing.
    audited = {stream: permitted for stream, permitted in by_stream.items() if stream != "ticks"}
    audits = [
        [channel, list(channel_symbols)] for channel, _, channel_symbols in _channels(audited, settings, METHOD_OF)
    ]
    poll = PollPlan(
        f"{shared.venue}-rest-audit",
        (),
        _with_own(header, {"audits": audits}),
        lanes([stream for stream, permitted in audited.items() if permitted], settings) or (SESSIONS, REFERENCE),
    )
    return tuple(connections), (poll,)

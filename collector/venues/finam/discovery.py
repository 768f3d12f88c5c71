"""What to record: a session, the assets that names and patterns mean, and the plan of connections and polls."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from collector.errors import VenueError
from collector.model import Instrument, InstrumentSpec
from collector.venues.finam import news, requests
from collector.venues.finam.desk import LISTING_SECONDS, Desk
from collector.venues.finam.envelopes import BARS, INSTRUMENT_TRADES, ORDER_BOOK, QUOTES
from collector.venues.finam.failures import status_of
from collector.venues.finam.periods import FRAMES
from collector.venues.finam.planner import METHOD_OF, notes, periods, weights
from collector.venues.finam.settings import FinamSettings
from collector.venues.finam.symbols import choose, make_spec
from collector.venues.finam.values import BadValueError
from collector.venues.finam.worklist import REFERENCE, SESSIONS, lanes
from collector.venues.header import SessionHeader
from collector.venues.kit.choose import is_pattern
from collector.venues.plan import ConnectionPlan, Plan, PollPlan, Problem, Subscription
from collector.venues.rest import Discovery, RestAnswer, RestCall

ADAPTER_NAME = "finam"

# So many named symbols are looked up at once; more would take longer than anybody waits for a check.
LOOKED_AT = 60
MOST_PAGES = 1000
PERIODS_MISSED = 3
# Quotes and books that were not answered for three periods and this are told as a gap.
PATIENCE_SECONDS = 5.0

_SOCKET_OF = {"ticks": QUOTES, "books": ORDER_BOOK, "trades": INSTRUMENT_TRADES, "candles": BARS}


def discover(desk: Desk) -> Discovery:
    """Log in and plan. Raises `VenueError`, a permanent one for a wrong secret."""
    settings = desk.settings
    token = yield from log_in(desk)
    problems: list[Problem] = []
    if any(is_pattern(wish) for wish in settings.symbols):
        yield from _list(desk, token)
    symbols, wrong = choose(settings.symbols, list(desk.listing))
    problems += wrong
    specs = yield from _look_up(desk, [wish for wish in settings.symbols if not is_pattern(wish)], token, problems)
    specs += [
        make_spec(Instrument(desk.venue, symbol), desk.listing[symbol], {}, desk.since_ns // 1000)
        for symbol in symbols
        if symbol in desk.listing
    ]
    by_stream = _rights(desk, symbols, problems)
    header = _header(desk, symbols)
    feeds = news.plan(desk.venue, settings, header)
    if not any(by_stream.values()):
        return Plan(polls=feeds, instruments=tuple(specs), problems=tuple(problems))
    make = _polled if settings.transport == "poll" else _streamed
    connections, polls = make(desk, by_stream, header)
    told = notes(by_stream, settings) if settings.transport == "poll" else ()
    return Plan(connections, polls + feeds, tuple(specs), tuple(problems), notes=told)


def log_in(desk: Desk) -> Generator[RestCall, RestAnswer, str]:
    """Get a token and learn what it may do."""
    token = desk.log_in((yield requests.login(desk.settings)))
    desk.learn((yield requests.details(desk.settings, token)))
    return token


def _list(desk: Desk, token: str) -> Generator[RestCall, RestAnswer, None]:
    """Page through all active assets, unless that was done within a day."""
    if desk.listing and desk.since_ns - desk.listed_ns < LISTING_SECONDS * 1e9:
        return
    listing: dict[str, dict[str, Any]] = {}
    cursors = {"0"}
    query = {"only_active": "true"}
    for _ in range(MOST_PAGES):
        answer = yield requests.plain(desk.settings, requests.ALL_ASSETS, token, **query)
        content = _object(desk.venue, answer.body)
        for item in content.get("assets", ()):
            if type(item) is dict and type(item.get("symbol")) is str:
                listing[item["symbol"]] = item
        cursor = str(content.get("next_cursor") or "0")
        if cursor in cursors:
            break
        cursors.add(cursor)
        query["cursor"] = cursor
    desk.listing, desk.listed_ns = listing, desk.since_ns


def _object(venue: str, body: bytes) -> dict[str, Any]:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise VenueError(venue, f"the list of assets is not JSON ({error}); is rest_url right?") from error
    if type(content) is not dict or type(content.get("assets", [])) is not list:
        raise VenueError(venue, "the list of assets has no assets; is rest_url right?")
    return content


def _look_up(
    desk: Desk, names: Sequence[str], token: str, problems: list[Problem]
) -> Generator[RestCall, RestAnswer, list[InstrumentSpec]]:
    """Ask what the first of the named symbols are; one that is not known stays planned, since that may change."""
    specs = []
    for symbol in names[:LOOKED_AT]:
        try:
            answer = yield requests.of_asset(desk.settings, requests.ASSET, symbol, token, desk.account, record=False)
            content = orjson.loads(answer.body)
            if type(content) is not dict:
                raise BadValueError("not an object")  # noqa: TRY301  told below
            specs.append(make_spec(Instrument(desk.venue, symbol), content, {}, answer.received_ns // 1000))
        except VenueError as error:
            if status_of(error) not in (400, 403, 404):
                raise
            problems.append(Problem(symbol, f"{error.reason} (code {error.code}); it is asked for from time to time"))
        except (orjson.JSONDecodeError, BadValueError) as error:
            problems.append(Problem(symbol, f"its description is not understood: {error}"))
    return specs


def _rights(desk: Desk, symbols: Sequence[str], problems: list[Problem]) -> dict[str, tuple[str, ...]]:
    """Leave out what the token may not see; returns the streams with their symbols."""
    allowed = {symbol: desk.permission(symbol) for symbol in symbols}
    for mic in sorted({symbol.rpartition("@")[2] for symbol in symbols}):
        right = desk.permission(f"@{mic}")
        if right is not None and not right.anything:
            problems.append(Problem(f"@{mic}", "the secret has no right to data of this exchange"))
        elif right is not None and not right.books and "books" in desk.settings.streams:
            problems.append(Problem(f"@{mic}", f"books are left out: the secret's right is {right.level}"))
    by_stream = {}
    for stream in desk.settings.streams:
        if stream not in METHOD_OF:  # news are free to all
            continue
        by_stream[stream] = tuple(
            symbol
            for symbol, right in allowed.items()
            if right is None or (right.anything and (stream != "books" or right.books))
        )
    return by_stream


def _header(desk: Desk, symbols: Sequence[str]) -> SessionHeader:
    mics = sorted({symbol.rpartition("@")[2] for symbol in symbols})
    rights = {mic: desk.permission(f"@{mic}") for mic in mics}
    own = {
        "final_us": round(desk.settings.grace_seconds * 1_000_000),
        "delays": {
            mic: {"delay_minutes": right.delay_minutes, "quote_level": right.level}
            for mic, right in rights.items()
            if right is not None
        },
    }
    return SessionHeader(desk.venue, ADAPTER_NAME, tuple(symbols), own)


def _channels(
    by_stream: dict[str, tuple[str, ...]], settings: FinamSettings, names: dict[str, str]
) -> list[tuple[str, str, tuple[str, ...]]]:
    """Return channel, stream and symbols of everything wanted; bars have a channel for each frame."""
    found = []
    for stream, symbols in by_stream.items():
        if not symbols:
            continue
        if stream == "candles":
            found += [(f"{names[stream]}/{FRAMES[name]}", stream, symbols) for name in settings.candles]
        else:
            found.append((names[stream], stream, symbols))
    return found


def _polled(
    desk: Desk, by_stream: dict[str, tuple[str, ...]], header: SessionHeader
) -> tuple[tuple[ConnectionPlan, ...], tuple[PollPlan, ...]]:
    settings = desk.settings
    own = {"patience_us": _patience(by_stream, settings), "maintenance": settings.maintenance_minutes}
    wanted = tuple(
        Subscription(channel, stream, symbols, prompt=False)
        for channel, stream, symbols in _channels(by_stream, settings, METHOD_OF)
    )
    streams = [stream for stream, symbols in by_stream.items() if symbols]
    return (), (PollPlan(f"{desk.venue}-poll", wanted, _with(header, own), lanes(streams, settings)),)


def _with(header: SessionHeader, own: Mapping[str, Any]) -> SessionHeader:
    return replace(header, own={**header.own, **own})


def _patience(by_stream: dict[str, tuple[str, ...]], settings: FinamSettings) -> dict[str, int]:
    """Return how long the streams that have no past may go without an answer before that is a gap."""
    found = {}
    for stream in ("ticks", "books"):
        symbols = by_stream.get(stream)
        if symbols:
            longest = max(periods(weights(symbols, settings.priorities), settings).values())
            found[stream] = round((PERIODS_MISSED * longest + PATIENCE_SECONDS) * 1_000_000)
    return found


def _streamed(
    desk: Desk, by_stream: dict[str, tuple[str, ...]], header: SessionHeader
) -> tuple[tuple[ConnectionPlan, ...], tuple[PollPlan, ...]]:
    settings = desk.settings
    size = settings.symbols_per_connection
    symbols = header.symbols or ()
    connections = []
    for number, start in enumerate(range(0, len(symbols), size), start=1):
        part = symbols[start : start + size]
        mine = {stream: tuple(s for s in part if s in wanted) for stream, wanted in by_stream.items()}
        connections.append(
            ConnectionPlan(
                f"{desk.venue}-{number}",
                settings.ws_url,
                tuple(
                    Subscription(channel, stream, wanted)
                    for channel, stream, wanted in _channels(mine, settings, _SOCKET_OF)
                ),
                replace(header, symbols=part),
            )
        )
    audited = {stream: wanted for stream, wanted in by_stream.items() if stream != "ticks"}
    audits = [[channel, list(wanted)] for channel, _, wanted in _channels(audited, settings, METHOD_OF)]
    poll = PollPlan(
        f"{desk.venue}-rest-audit",
        (),
        _with(header, {"audits": audits}),
        lanes([stream for stream, wanted in audited.items() if wanted], settings) or (SESSIONS, REFERENCE),
    )
    return tuple(connections), (poll,)

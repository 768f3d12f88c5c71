"""What to connect to: the venue's list of contracts, the wishes matched against it, and the spread over connections."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from collector.errors import VenueError
from collector.venues.fmex.derivatives import ALL, EXCHANGE_SEEN, INDEXES_SEEN, STATES_SEEN
from collector.venues.fmex.rest import PREFIX, SYMBOLS
from collector.venues.fmex.settings import FmexSettings
from collector.venues.fmex.symbols import choose, read_specs
from collector.venues.fmex.topics import CANDLE, DELTA, DEPTH, INDEX, TICKER, TRADE, period_code
from collector.venues.header import SessionHeader
from collector.venues.kit.bars import grace_entry
from collector.venues.plan import ConnectionPlan, Plan, PollPlan, Problem, Subscription
from collector.venues.rest import Discovery, RestCall

ADAPTER_NAME = "fmex"


def discover(venue: str, settings: FmexSettings) -> Discovery:
    """Read the list of contracts and plan the connections. VenueError when the list cannot be understood at all."""
    answer = yield RestCall(f"{PREFIX}{SYMBOLS}", f"{settings.rest_url}/v2/public/contracts/symbols")
    try:
        specs, problems = read_specs(venue, answer.body, answer.received_ns // 1000)
    except ValueError as error:
        raise VenueError(venue, f"{error}; is rest_url right?", permanent=True) from error
    chosen, wrong = choose(settings.symbols, specs)
    symbols = [spec.instrument.symbol for spec in chosen]
    connections = tuple(
        _connection(venue, settings, number, part) for number, part in enumerate(spread(symbols, settings), start=1)
    )
    return Plan(
        connections=tuple(connection for connection in connections if connection.subscriptions),
        polls=_polls(venue, settings, symbols),
        instruments=tuple(specs),
        problems=(*(Problem(one.subject, one.reason) for one in problems), *wrong),
    )


def book_channel(settings: FmexSettings) -> str:
    """Return the channel that books come from."""
    kind, _, level = settings.books.rpartition("/")
    return f"{DELTA if kind else DEPTH}.{level}"


def subscriptions(settings: FmexSettings, symbols: Sequence[str], *, indexes: bool) -> Iterator[Subscription]:
    """Return what to ask for on one connection; `indexes` whether index topics go here.

    Only books are known to say something at once. The others may be silent in a quiet market, whatever was asked.
    """
    names, past = tuple(symbols), {"limit": settings.snapshot}
    if "trades" in settings.streams and names:
        yield Subscription(TRADE, "trades", names, past, prompt=False)
    if "books" in settings.streams and names:
        yield Subscription(book_channel(settings), "books", names)
    if "ticks" in settings.streams and names:
        yield Subscription(TICKER, "ticks", names, prompt=False)
    if "candles" in settings.streams and names:
        for period in settings.candles:
            yield Subscription(f"{CANDLE}.{period_code(period)}", "candles", names, past, prompt=False)
    if indexes and "rates" in settings.streams and settings.index_topics:
        yield Subscription(INDEX, "rates", settings.index_topics, prompt=False)


def spread(symbols: Sequence[str], settings: FmexSettings) -> list[Sequence[str]]:
    """Deal the symbols out to connections; all topics of a symbol share one.

    With more topics than the connections hold at the set number each, each holds more. At least one part comes back,
    for index topics need a connection too.
    """
    topics = sum(len(one.symbols) for one in subscriptions(settings, ("one",), indexes=False))
    count = min(math.ceil(len(symbols) * topics / settings.topics_per_connection), settings.connections, len(symbols))
    return [symbols[start::count] for start in range(count)] or [()]


def _connection(venue: str, settings: FmexSettings, number: int, symbols: Sequence[str]) -> ConnectionPlan:
    name = f"{venue}-{number}"
    wanted = tuple(subscriptions(settings, symbols, indexes=number == 1))
    indexes = [name for one in wanted if one.channel == INDEX for name in one.symbols]
    own: dict[str, Any] = {
        **grace_entry(settings),
        "ping_seconds": settings.ping_seconds,
        "pong_seconds": settings.pong_seconds,
        "book_numbering": "rising",
    }
    kind, _, level = book_channel(settings).partition(".")
    if kind == DELTA:
        own["delta_level"] = level
    header = SessionHeader(venue, ADAPTER_NAME, (*symbols, *indexes), own)
    return ConnectionPlan(name, settings.ws_url, wanted, header)


def _polls(venue: str, settings: FmexSettings, symbols: Sequence[str]) -> tuple[PollPlan, ...]:
    wanted: list[Subscription] = []
    if "derivatives" in settings.streams and symbols:
        wanted.append(Subscription(STATES_SEEN, "derivatives", tuple(symbols)))
    if "rates" in settings.streams:
        wanted.append(Subscription(INDEXES_SEEN, "rates", (ALL,)))
        wanted.append(Subscription(EXCHANGE_SEEN, "rates", (ALL,)))
    if not wanted:
        return ()
    header = SessionHeader(venue, ADAPTER_NAME, tuple(symbols), {"streams": [one.stream for one in wanted]})
    return (PollPlan(f"{venue}-poll", tuple(wanted), header),)

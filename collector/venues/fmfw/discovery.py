"""What to connect to: the venue's list of symbols, the wishes matched against it, and the spread over connections."""

from __future__ import annotations

import math
from collections.abc import Sequence

import orjson

from collector.errors import VenueError
from collector.model import InstrumentSpec
from collector.venues.fmfw.channels import subscriptions
from collector.venues.fmfw.rest import PREFIX
from collector.venues.fmfw.settings import FmfwSettings
from collector.venues.fmfw.symbols import choose, is_future, read_spec
from collector.venues.header import SessionHeader
from collector.venues.kit.bars import grace_entry
from collector.venues.plan import ConnectionPlan, Plan, Problem
from collector.venues.rest import Discovery, RestCall

ADAPTER_NAME = "fmfw"


def discover(venue: str, settings: FmfwSettings) -> Discovery:
    """Read the list of symbols and plan the connections. VenueError when the list cannot be understood at all."""
    answer = yield RestCall(f"{PREFIX}symbol", f"{settings.rest_url}/public/symbol")
    try:
        content = orjson.loads(answer.body)
    except orjson.JSONDecodeError as error:
        raise VenueError(venue, f"the list of symbols is not JSON ({error}); is rest_url right?") from error
    if type(content) is not dict:
        raise VenueError(venue, "the list of symbols is not an object keyed by symbol; is rest_url right?")
    specs: list[InstrumentSpec] = []
    problems: list[Problem] = []
    for code, item in content.items():
        spec = read_spec(venue, code, item, answer.received_ns // 1000)
        if isinstance(spec, str):
            problems.append(Problem(code, f"left out, its description is not understood: {spec}"))
        else:
            specs.append(spec)
    chosen, wrong = choose(settings.symbols, specs)
    futures = {spec.instrument.symbol for spec in chosen if is_future(spec)}
    if "derivatives" in settings.streams and not futures:
        wrong.append(Problem("derivatives", "none of the symbols is a future, so the stream stays empty"))
    connections = tuple(
        _connection(venue, settings, number, symbols, futures)
        for number, symbols in enumerate(spread([spec.instrument.symbol for spec in chosen], settings), start=1)
    )
    return Plan(
        connections=tuple(connection for connection in connections if connection.subscriptions),
        instruments=tuple(specs),
        problems=(*problems, *wrong),
    )


def spread(symbols: Sequence[str], settings: FmfwSettings) -> list[Sequence[str]]:
    """Deal the symbols out to connections, so that neighbours in a list, often alike busy, are apart.

    All streams of a symbol share a connection. With more symbols than the connections hold at the set number each,
    each holds more. At least one part comes back, for rates need a connection too.
    """
    count = min(math.ceil(len(symbols) / settings.symbols_per_connection), settings.connections)
    return [symbols[start::count] for start in range(count)] or [()]


def _connection(
    venue: str, settings: FmfwSettings, number: int, symbols: Sequence[str], futures: set[str]
) -> ConnectionPlan:
    name = f"{venue}-{number}"
    wanted = subscriptions(settings, symbols, [symbol for symbol in symbols if symbol in futures], rates=number == 1)
    own = grace_entry(settings)
    if settings.books == "full":
        own["book_numbering"] = "successive"
    header = SessionHeader(venue, ADAPTER_NAME, tuple(symbols), own)
    return ConnectionPlan(name, settings.ws_url, wanted, header)

"""What the commands know by name: from the configuration, the database, and, where these do not help, the journal."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import asyncpg

from collector.config import Config
from collector.journal import Kind, read
from collector.names import is_pattern, known_name, matching
from collector.proof.frames import journals, venue_of
from collector.repair.listing import like_any
from collector.store.connection import connected
from collector.store.named import queries
from collector.tables import NAMES as TABLES

_SQL = queries("names")


class Filter(NamedTuple):
    """What a command was asked for; an empty list means everything. Symbols are patterns with * and ?."""

    venues: Sequence[str] = ()
    symbols: Sequence[str] = ()
    streams: Sequence[str] = ()


async def check_names(config: Config, dsn: str, asked: Filter) -> None:
    """Raise `UnknownNameError` for a name, or a pattern of symbols, that means nothing. Raises `DatabaseError`.

    Known is what the configuration names, and what the tables hold or once were to hold.
    """
    if not any(asked):
        return
    async with connected(dsn) as connection:
        venues_known = await _venues(config, connection)
        for venue in asked.venues:
            known_name("venue", venue, venues_known)
        symbols_known = await _symbols(config, connection, asked.venues)
        for pattern in asked.symbols:
            # Only * and ? mean something here, as in the question that the database is asked.
            if pattern != "*":
                matching("symbol", pattern.replace("[", "[[]"), symbols_known, where=_where(asked.venues))
        streams_known = await _streams(config, connection)
        for stream in asked.streams:
            known_name("stream", stream, streams_known)


async def check_instrument(config: Config, dsn: str, venue: str, symbol: str) -> None:
    """Raise `UnknownNameError` where nobody knows such a venue, or no such symbol of it. Raises `DatabaseError`."""
    async with connected(dsn) as connection:
        known_name("venue", venue, await _venues(config, connection))
        known_name("symbol", symbol, await _symbols(config, connection, [venue]), where=_where([venue]))


async def check_rate(config: Config, dsn: str, venue: str, name: str) -> None:
    """Raise `UnknownNameError` where nobody knows such a venue, or the tables no such rate of it."""
    async with connected(dsn) as connection:
        known_name("venue", venue, await _venues(config, connection))
        rates = [row[0] for row in await connection.fetch(_SQL["rate_names"], venue)]
        known_name("symbol", name, rates, where=f"among the rates of {venue}")


async def check_quarantined(config: Config, dsn: str, of_venues: Sequence[str], streams: Sequence[str]) -> None:
    """Raise `UnknownNameError` for a venue or stream of which nothing is in quarantine, nor could be."""
    if not of_venues and not streams:
        return
    async with connected(dsn) as connection:
        rows = await connection.fetch(_SQL["quarantined"])
        venues_known = [*await _venues(config, connection), *(row[0] for row in rows if row[0] is not None)]
        for venue in of_venues:
            known_name("venue", venue, venues_known)
        streams_known = [*await _streams(config, connection), *(row[1] for row in rows if row[1] is not None)]
        for stream in streams:
            known_name("stream", stream, streams_known)


async def check_journalled(config: Config, dsn: str, names: Sequence[str]) -> None:
    """Raise `UnknownNameError` for a venue that neither the configuration nor the tables nor a journal knows."""
    async with connected(dsn) as connection:
        known = await _venues(config, connection)
    if any(name not in known for name in names):
        known += sorted(await asyncio.to_thread(_journalled_venues, config.data_dir))
    for name in names:
        known_name("venue", name, known)


async def was_recorded(dsn: str, asked: Filter) -> bool:
    """Whether anything of a choice was ever to be recorded. Raises `DatabaseError`."""
    async with connected(dsn) as connection:
        recorded: bool = await connection.fetchval(
            _SQL["recorded"], asked.venues or None, like_any(asked.symbols), asked.streams or None
        )
        return recorded


async def _venues(config: Config, connection: asyncpg.Connection) -> list[str]:
    return [*config.venues, *(row[0] for row in await connection.fetch(_SQL["venues"]))]


async def _symbols(config: Config, connection: asyncpg.Connection, of_venues: Sequence[str]) -> list[str]:
    rows = await connection.fetch(_SQL["symbols"], of_venues or None)
    return [*(row[0] for row in rows), *_configured_symbols(config, of_venues)]


async def _streams(config: Config, connection: asyncpg.Connection) -> list[str]:
    return [*TABLES, *(row[0] for row in await connection.fetch(_SQL["streams"])), *_configured_streams(config)]


def _configured_symbols(config: Config, of_venues: Sequence[str]) -> Iterator[str]:
    """Yield the symbols that the configuration names, as far as it names them and no patterns."""
    for name, configured in config.venues.items():
        if not of_venues or name in of_venues:
            named = configured.begin().named()
            yield from (symbol for symbols in named.values() for symbol in symbols if not is_pattern(symbol))


def _configured_streams(config: Config) -> Iterable[str]:
    for configured in config.venues.values():
        yield from configured.begin().named()
        yield from getattr(configured.settings, "streams", ())


def _where(of_venues: Sequence[str]) -> str:
    return f"of {', '.join(of_venues)}" if of_venues else "here"


def _journalled_venues(data_dir: Path) -> set[str]:
    """Return the venues of which the journals hold sessions. All of them are read, which takes its time."""
    return {
        venue_of(record)
        for directory in journals(data_dir)
        for record in read(directory, on_corrupt=lambda _: None)
        if record.kind in (Kind.OPEN, Kind.CARRY)
    }

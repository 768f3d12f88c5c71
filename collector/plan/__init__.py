"""What a day of recording takes, and how long the disk lasts.

Rates come from what was recorded; where nothing was, from assumptions that are written down (`assumptions`), so that a
plan exists before the first start. Nothing is changed, and every question to the database is bounded: the newest
thousand rows of an instrument and stream, and what the catalogues know of sizes.
"""

from __future__ import annotations

__all__ = ["Flow", "Plan", "plan"]

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from collector.config import Config, VenueConfig
from collector.errors import CollectorError
from collector.feed.discovery import discover
from collector.feed.network import AiohttpNetwork
from collector.plan.assumptions import PACKED_FRAME_BYTES, ROW_BYTES, ROWS_PER_DAY
from collector.plan.recorded import Recorded, journal_bytes_a_day, journal_bytes_now, look

# For all answers that discovery needs from one venue; without them the plan counts the symbols of the settings.
VENUE_TIMEOUT_SECONDS = 20.0
GIB = 1 << 30


class Flow(NamedTuple):
    """A day of one instrument and stream; `source` is `recorded` or `assumed`. `table_bytes` counts indexes in."""

    venue: str
    symbol: str
    stream: str
    rows: float
    table_bytes: float
    journal_bytes: float
    source: str


class Plan(NamedTuple):
    """Bytes are a day's where the name says so; None is "not known", for days also "never full at this rate"."""

    flows: list[Flow]
    table_bytes_a_day: float
    journal_bytes_a_day: float
    journal_source: str
    journal_most_bytes: float | None
    """What it grows to while the database keeps up, by keep_days and keep_gb; None without either limit."""
    journal_free_bytes: int
    """What is free for the journal, journal.min_free_gb left alone."""
    outage_days: float | None
    """How long the database may be away before the journal's room is used up."""
    database_on_this_disk: bool | None
    """Whether tables and journal share a disk; None where that cannot be known."""
    database_free_bytes: int | None
    days_until_full: float | None
    notes: list[str]


async def plan(config: Config) -> Plan:
    """Make the plan. Venues and database may be away: what they would have told is assumed, and a note says so."""
    notes: list[str] = []
    wanted, recorded = await asyncio.gather(_wanted(config, notes), look(config, notes))
    flows = [_flow(*one, recorded) for one in wanted]
    tables = sum(one.table_bytes for one in flows)
    folder = config.data_dir / "journal"
    measured = await asyncio.to_thread(journal_bytes_a_day, folder)
    journal = sum(one.journal_bytes for one in flows) if measured is None else measured
    free = max(0, shutil.disk_usage(_existing(config.data_dir)).free - int(config.journal.min_free_gb * GIB))
    now = await asyncio.to_thread(journal_bytes_now, folder)
    most = _most(config, journal)
    shared = recorded.shares_disk
    room = recorded.free_bytes if shared is False else free if shared else None
    days = None
    if room is not None and tables > 0:
        # On one disk a bounded journal takes its share first and then stays; an unbounded one grows beside the tables.
        taken = max(0.0, most - now) if shared and most is not None else 0.0
        days = max(0.0, room - taken) / (tables + (journal if shared and most is None else 0.0))
    own = None if config.journal.max_gb is None else max(0.0, config.journal.max_gb * GIB - now)
    outage = None if journal <= 0 else (free if own is None else min(free, own)) / journal
    return Plan(
        flows,
        tables,
        journal,
        "assumed" if measured is None else "recorded",
        most,
        free,
        outage,
        shared,
        room,
        days,
        notes,
    )


def _most(config: Config, journal_a_day: float) -> float | None:
    by_days = None if config.journal.keep_days is None else config.journal.keep_days * journal_a_day
    by_size = None if config.journal.keep_gb is None else config.journal.keep_gb * GIB
    limits = [one for one in (by_days, by_size) if one is not None]
    return min(limits) if limits else None


async def _wanted(config: Config, notes: list[str]) -> list[tuple[str, str, str]]:
    """Every (venue, symbol, stream) that the configuration asks for, as the venues tell it."""
    names = [name for name, venue in config.venues.items() if venue.enabled]
    found = await asyncio.gather(*(_of_venue(name, config.venues[name], notes) for name in names))
    return [one for of_venue in found for one in of_venue]


async def _of_venue(name: str, venue: VenueConfig, notes: list[str]) -> list[tuple[str, str, str]]:
    try:
        async with asyncio.timeout(VENUE_TIMEOUT_SECONDS), AiohttpNetwork.open() as network:
            found = await discover(venue.begin(), network)
    except (CollectorError, TimeoutError) as error:
        plain = list(dict.fromkeys(_named(name, venue)))
        notes.append(f"{name} was not asked ({str(error) or 'no answer'}): only symbols without a pattern are planned")
        return plain
    told = ((name, symbol, one.stream) for line in found.lines for one in line.subscriptions for symbol in one.symbols)
    return sorted(dict.fromkeys(told))


def _named(name: str, venue: VenueConfig) -> Iterator[tuple[str, str, str]]:
    sections = [venue.settings, *getattr(venue.settings, "accounts", {}).values()]
    for section in sections:
        streams = getattr(section, "streams", None) or getattr(venue.settings, "streams", None) or ()
        for symbol in getattr(section, "symbols", None) or ():
            if not set(symbol) & set("*?["):
                for stream in streams:
                    yield name, symbol, str(stream)


def _flow(venue: str, symbol: str, stream: str, recorded: Recorded) -> Flow:
    rows = recorded.rows_a_day.get((venue, symbol, stream))
    source = "assumed" if rows is None else "recorded"
    if rows is None:
        rows = ROWS_PER_DAY.get(stream, 0.0)
    row_bytes = recorded.row_bytes.get(stream) or ROW_BYTES.get(stream, 0.0)
    return Flow(venue, symbol, stream, rows, rows * row_bytes, rows * PACKED_FRAME_BYTES.get(stream, 0.0), source)


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path

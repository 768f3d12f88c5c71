"""From a row to the frame it was made of: found by its receipt, parsed again, and compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import asyncpg

from collector.errors import CollectorError
from collector.journal import DamagedJournal, Record
from collector.model import Records
from collector.proof.frames import Chosen, breathing, journals, received_at, rerun
from collector.proof.place import Where, microseconds, where
from collector.store.connection import connected
from collector.store.named import queries
from collector.tables import STREAMS, TABLES

if TYPE_CHECKING:
    from asyncpg import Connection

_SQL = queries("explain")

# Rows of one moment that are explained; more are only counted.
ROWS_EXPLAINED_MAX = 5
# Frames that are listed for one row, beside the one that made it.
SIGHTINGS_MAX = 20
# Gaps that begin or end within this time of the row are shown with it.
GAPS_AROUND_SECONDS = 60.0

# The fields that tell rows of one instrument apart, for each table that can be explained.
IDENTIFYING_FIELDS = {
    table.name: tuple(field for field in table.own_key if field != "name") for table in TABLES if table.name in STREAMS
}

_TIMES = {
    "time": "time_us",
    "received_at": "received_us",
    "next_funding_time": "next_funding_us",
    "expiry": "expiry_us",
}


class Key(NamedTuple):
    """How a row is asked for: a number, a text, a time; which of them a table uses is told by `explain.sql`."""

    number: int | None = None
    text: str | None = None
    time: datetime | None = None


class NoSuchRowError(CollectorError):
    """The tables hold nothing such."""


class Sighting(NamedTuple):
    """A record that yields the row, or a state of it."""

    place: Where
    made_it: bool
    """It is the one that the row in the table was made of."""


@dataclass
class Explained:
    """What is known of a row. `frame` None: the journal no longer holds it, and `missing` says so."""

    table: str
    row: dict[str, Any]
    lag_seconds: float
    """From the venue's time to our receipt."""
    frame: bytes | None = None
    place: Where | None = None
    differences: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    """Columns in which the row differs from what today's parser makes of the frame: (row, parser)."""
    missing: str | None = None
    sightings: list[Sighting] = field(default_factory=list)
    seen: int = 0
    """How many records within the searched time yield it."""
    segment: dict[str, int] | None = None
    """What became of the items of that segment and table."""
    transaction: str | None = None
    committed_at: datetime | None = None
    gaps: list[dict[str, Any]] = field(default_factory=list)
    damages: list[str] = field(default_factory=list)


async def explain(
    dsn: str, data_dir: Path, journal_name: str | None, table: str, venue: str, symbol: str, key: Key, *, within: float
) -> tuple[list[Explained], int]:
    """Explain the rows that a key means, `ROWS_EXPLAINED_MAX` at the most, and tell how many there are.

    `within`: for so many seconds after the receipt others that tell the same are looked for. Raises `NoSuchRowError`.
    """
    async with connected(dsn) as connection:
        rows = await connection.fetch(_SQL[table], venue, symbol, *key, 1000)
        if not rows:
            raise NoSuchRowError(
                f"{table} of {venue} {symbol} hold no such row; write the key, id or time as the tables show it"
            )
        told = []
        for row in rows[:ROWS_EXPLAINED_MAX]:
            explained = _about(table, dict(row))
            await _find(connection, data_dir, explained, venue, symbol, within)
            await _books(connection, explained, venue, symbol, journal_name, data_dir)
            told.append(explained)
        return told, len(rows)


def _about(table: str, row: dict[str, Any]) -> Explained:
    for name in ("instrument_id", "interval", "spread", "side_text"):
        row.pop(name, None)
    return Explained(table, row, (row["received_at"] - row["time"]).total_seconds())


async def _find(
    connection: Connection, data_dir: Path, told: Explained, venue: str, symbol: str, within: float
) -> None:
    received_us = microseconds(told.row["received_at"])
    wanted = tuple(_plain(told.row[_column(name)]) for name in IDENTIFYING_FIELDS[told.table])

    def damaged(damage: DamagedJournal) -> None:
        told.damages.append(str(damage))

    candidates: list[tuple[Path, Record]] = []
    for directory in journals(data_dir):
        here = await received_at(directory, {received_us}, damaged)
        candidates += [(directory, record) for record in here]
        if not here:
            continue
        last_ns = (received_us + int(within * 1e6)) * 1000
        await _run(connection, directory, here, told, venue, symbol, wanted, last_ns, damaged)
        if told.place is not None:
            return
    if not candidates:
        told.missing = "the journal no longer holds its frame"
        return
    directory, record = candidates[0]
    told.missing = (
        f"of what was received at that moment (segment {record.position.segment}, offset {record.position.offset}) "
        "this version's parser does not give this row"
    )


async def _run(
    connection: Connection,
    directory: Path,
    here: list[Record],
    told: Explained,
    venue: str,
    symbol: str,
    wanted: tuple[Any, ...],
    last_ns: int,
    damaged: Callable[[DamagedJournal], None],
) -> None:
    segment = min(record.position.segment for record in here)
    at_us = here[0].received_ns // 1000
    chosen = Chosen({venue})
    async for record, out in breathing(rerun(directory, segment, chosen.takes, damaged)):
        if record.received_ns > last_ns and record.position > here[-1].position:
            break
        made = _among(out, told.table, symbol, wanted)
        if made is None:
            continue
        told.seen += 1
        made_it = told.place is None and record.received_ns // 1000 == at_us
        if not made_it and len(told.sightings) >= SIGHTINGS_MAX:
            continue
        place = await where(connection, directory, record)
        told.sightings.append(Sighting(place, made_it))
        if made_it:
            told.place, told.frame = place, record.payload
            told.differences = compared(told.row, made)


def _among(out: Records, table: str, symbol: str, wanted: tuple[Any, ...]) -> Mapping[str, Any] | None:
    names = IDENTIFYING_FIELDS[table]
    found = None
    for row in getattr(out, table):
        name = row.name if table == "rates" else row.instrument.symbol
        if name == symbol and tuple(getattr(row, one) for one in names) == wanted:
            found = row  # the last state of a bar is the one that is kept
    return None if found is None else found._asdict()


def compared(row: Mapping[str, Any], made: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the columns in which a row of the tables differs from what a parser made, digit by digit."""
    found = {}
    for column, value in row.items():
        name = _column(column)
        if name not in made:
            continue
        held, parsed = _plain(value), made[name]
        if column.endswith(("_prices", "_sizes")) and isinstance(parsed, str):
            parsed = parsed.split(",") if parsed else []
        if held != parsed:
            found[column] = (held, parsed)
    return found


def _column(name: str) -> str:
    if name in _TIMES:
        return _TIMES[name]
    return {of: column for column, of in _TIMES.items()}.get(name, name)


def _plain(value: Any) -> Any:
    match value:
        case datetime():
            return microseconds(value)
        case Decimal():
            return f"{value:f}"
        case list():
            return [_plain(one) for one in value]
    return value


async def _books(
    connection: Connection, told: Explained, venue: str, symbol: str, journal_name: str | None, data_dir: Path
) -> None:
    """Add what the tables know around the row: its segment's counts, its transaction, gaps near it."""
    row = told.row
    of_daemon = told.place is not None and told.place.journal == str(data_dir / "journal")
    if told.place is not None and of_daemon and journal_name is not None:
        counts = await connection.fetchrow(_SQL["segment_counts"], journal_name, told.place.segment, told.table)
        told.segment = dict(counts) if counts else None
    if told.table != "rates":
        found = await connection.fetch(_SQL["gaps_around"], venue, symbol, told.table, row["time"], GAPS_AROUND_SECONDS)
        told.gaps = [dict(gap) for gap in found]
    try:
        told.transaction = await connection.fetchval(
            _SQL[f"transaction_{told.table}"], venue, symbol, row["time"], row["received_at"]
        )
        if told.transaction is not None and await connection.fetchval(_SQL["settings"]):
            told.committed_at = await connection.fetchval(_SQL["committed_at"], told.transaction)
    except asyncpg.PostgresError:  # compressed rows have lost it, and old transactions are forgotten
        told.committed_at = None

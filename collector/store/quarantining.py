"""Puts into quarantine what a batch could not store: frames that no parser understood, rows that the database refused.

The key of an entry is its payload and the time of receipt, and where several entries share both, their order. So frames
that are read from the journal again are quarantined once, and count as duplicates after that.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from collector.model import Gap, GapOutcome, Instrument, Quarantined, Records, Session, Wanted
from collector.store.batch import Batch, TableCount
from collector.store.named import queries
from collector.store.registry import BY_INSTRUMENT
from collector.tables import OF_VENUES

if TYPE_CHECKING:
    from asyncpg import Connection

T = TypeVar("T")

# The table name under which items are counted whose stream was not known yet.
FRAMES = "frames"

_ROW = b'{"row":'
_SQL = queries("write")


async def put_away(
    connection: Connection,
    batch: Batch,
    refused: Sequence[Quarantined],
    venues: Mapping[str, int],
    journal: str | None,
) -> dict[str, TableCount]:
    """Quarantine a batch's entries and its refused rows; return what became of them by stream.

    Refused rows are counted as quarantined by their own tables already. Here they count only where the same entry was
    in quarantine before: as duplicates instead.
    """
    entries = [*batch.records.quarantine, *refused]
    before: Counter[tuple[str, int, bytes]] = Counter()
    columns: list[tuple[Any, ...]] = []
    for entry in entries:
        same = entry.venue, entry.received_us, entry.payload
        columns.append(
            (
                entry.received_us,
                venues[entry.venue],
                clean(entry.stream),
                clean(entry.error),
                entry.payload,
                entry.items,
                "row" if entry.payload.startswith(_ROW) else "frame",
                before[same],
            )
        )
        before[same] += 1
    rows = await connection.fetch(
        _SQL["insert_quarantine"],
        *map(list, zip(*columns, strict=True)),
        *batch.position,
        journal,
    )
    new = {stream or FRAMES: items for stream, items in rows}
    parsed, all_items = Counter[str](), Counter[str]()
    for entry in entries:
        all_items[_stream(entry)] += entry.items
    for entry in batch.records.quarantine:
        parsed[_stream(entry)] += entry.items
    counts = {}
    for stream, items in all_items.items():
        there_already = items - new.get(stream, 0)
        count = TableCount(parsed[stream], 0, there_already, parsed[stream] - there_already)
        if any(count):
            counts[stream] = count
    return counts


def _stream(entry: Quarantined) -> str:
    return str(clean(entry.stream or FRAMES))


def refused_row(table: str, row: Any, error: Exception | str, *, items: int = 1) -> Quarantined:
    """Return an entry for a row that the database refused."""
    venue = row.venue if table in (*OF_VENUES, "sessions") else row.instrument.venue
    reason = error if isinstance(error, str) else f"the database refused the row: {error}"[:500]
    # Not orjson, which refuses a text that is not valid Unicode: exactly that may be what is wrong.
    text = json.dumps({"row": table, "values": row._asdict()}, default=list, separators=(",", ":"))
    return Quarantined(venue, table, reason, text.encode(), items, _moment_us(row))


def _moment_us(row: Any) -> int:
    match row:
        case Session():
            moment = row.opened_us if row.closed_us is None else row.closed_us
        case Gap() | GapOutcome() | Wanted():
            moment = row.from_us
        case _:
            moment = row.received_us
    return int(moment)


def clean(value: T) -> T | str:
    """Return a text that the server accepts: without NUL, in valid Unicode. Other values are returned unchanged."""
    if isinstance(value, str):
        return value.replace("\0", "�").encode("utf-8", "replace").decode()
    return value


def without(records: Records, unnamable: set[Instrument], facts: Sequence[str]) -> Records:
    """Move the rows of instruments whose names cannot be stored into quarantine; the number of items stays the same.

    `facts` are the tables whose rows count as items.
    """
    kept = Records()
    kept.items = records.items
    kept.sessions, kept.rates, kept.news = records.sessions, records.rates, records.news
    kept.quarantine = records.quarantine[:]
    for name in BY_INSTRUMENT:
        rows: list[Any] = getattr(records, name)
        setattr(kept, name, [row for row in rows if row.instrument not in unnamable])
        kept.quarantine += [
            refused_row(name, row, "no instrument can have such a name", items=int(name in facts))
            for row in rows
            if row.instrument in unnamable
        ]
    return kept

"""Entries of the quarantine that are stored after all.

An entry is parsed again by `collector.proof.parse_again`; here its rows, its counts and the entry itself change in one
transaction, so that the counts of a journal add up at every moment.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from collector.model import (
    Gap,
    GapOutcome,
    Instrument,
    InstrumentSpec,
    Quarantined,
    Records,
    Session,
    Wanted,
)
from collector.store.batch import TableCount
from collector.store.named import queries
from collector.store.quarantine import Entry
from collector.store.quarantining import FRAMES, clean
from collector.store.retrying import ATTEMPT_MAX_SECONDS, RETRY_MAX_SECONDS, RetryingConnection
from collector.store.rows import Rows
from collector.tables import TABLES

if TYPE_CHECKING:
    from asyncpg import Connection

_SQL = queries("quarantine")

_ROWS: dict[str, Any] = {
    **{table.name: table.record for table in TABLES},
    "instruments": InstrumentSpec,
    "gaps": Gap,
    "outcomes": GapOutcome,
    "sessions": Session,
    "wanted": Wanted,
}


def row_of(payload: bytes) -> Records | str:
    """Make a row that the database refused into one again, or say why that cannot be done."""
    try:
        told = json.loads(payload)
        values = dict(told["values"])
        if "instrument" in values:
            values["instrument"] = Instrument(*values["instrument"])
        row = _ROWS[told["row"]](**values)
    except (ValueError, KeyError, TypeError) as error:
        return f"the row's form is not that of today's program: {type(error).__name__}: {error}"
    out = Records()
    getattr(out, told["row"]).append(row)
    out.items = out.rows
    return out


@dataclass(frozen=True, slots=True)
class Again:
    """An entry that was parsed again: its rows, and what is still wrong with it in `records.quarantine`.

    `echoes` counts rows of later frames among them: equal trades that were numbered as if this frame had not come.
    """

    entry: Entry
    records: Records
    echoes: dict[str, int] = field(default_factory=dict)


class Resolved(NamedTuple):
    """What became of an entry's items by table; `error`: what is still wrong with it, None where nothing is."""

    counts: dict[str, TableCount]
    error: str | None

    @property
    def stored(self) -> int:
        """How many rows the database inserted or changed."""
        return sum(count.stored for count in self.counts.values())


class Resolver:
    """Stores entries of the quarantine after all: rows, counts and the entry itself in one transaction."""

    def __init__(
        self,
        dsn: Callable[[], str],
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        longest_wait_seconds: float = RETRY_MAX_SECONDS,
    ) -> None:
        self._rows = Rows()
        self._database = RetryingConnection(dsn, self._enter, sleep=sleep, longest_wait_seconds=longest_wait_seconds)

    async def _enter(self, _: Connection) -> None:
        self._rows.forget_numbers()

    async def resolve(self, again: Again) -> Resolved | None:
        """Store an entry, however long the database is away; None when somebody else has settled it meanwhile."""
        return await self._database.run(lambda connection: self._resolve(connection, again))

    async def close(self) -> None:
        """Let the connection go."""
        await self._database.close()

    async def _resolve(self, connection: Connection, again: Again) -> Resolved | None:
        numbered = replace(again, records=await self._rows.number(connection, again.records))
        return await self._rows.attempt(partial(self._transact, connection, numbered))

    async def _transact(self, connection: Connection, again: Again, *, careful: bool) -> Resolved | None:
        async with asyncio.timeout(ATTEMPT_MAX_SECONDS), connection.transaction():
            if await connection.fetchval(_SQL["lock_entry"], again.entry.quarantine_id) is None:
                return None
            return await self._store(connection, again, careful=careful)

    async def _store(self, connection: Connection, again: Again, *, careful: bool) -> Resolved:
        entry, records = again.entry, again.records
        refused: list[Quarantined] = []
        facts = await self._rows.store_facts(connection, records, refused, careful=careful)
        await self._rows.store_surroundings(connection, records, None, refused, careful=careful)
        remaining = [*records.quarantine, *(refused if entry.kind == "row" else [])]
        if remaining:
            first = remaining[0]
            items = sum(fault.items for fault in remaining)
            await connection.execute(
                _SQL["keep_entry"], entry.quarantine_id, clean(first.error), clean(first.stream), items
            )
            facts.setdefault(first.stream or FRAMES, TableCount())
        else:
            await connection.execute(_SQL["resolve_entry"], entry.quarantine_id)
        if entry.kind != "row":
            await self._keep_refused(connection, entry, refused)
        counts = became(again, facts, remaining)
        if entry.journal is not None:
            await _move_counts(connection, entry, entry.journal, counts)
        return Resolved(counts, next((fault.error for fault in (*remaining, *refused)), None))

    async def _keep_refused(self, connection: Connection, entry: Entry, refused: list[Quarantined]) -> None:
        for bad in refused:
            await connection.execute(
                _SQL["add_row"],
                bad.received_us,
                self._rows.venue_number(bad.venue),
                clean(bad.stream),
                clean(bad.error),
                bad.payload,
                bad.items,
                entry.segment,
                entry.journal,
            )


async def _move_counts(connection: Connection, entry: Entry, journal: str, counts: dict[str, TableCount]) -> None:
    """Count the entry's items where they are now, and no longer as quarantined."""
    status = await connection.execute(_SQL["withdraw_counts"], journal, entry.segment, entry.table, entry.items)
    if status.endswith(" 1") and counts:
        await connection.execute(
            _SQL["add_counts"],
            journal,
            entry.segment,
            list(counts),
            *(list(column) for column in zip(*counts.values(), strict=True)),
        )


def became(again: Again, facts: dict[str, TableCount], remaining: list[Quarantined]) -> dict[str, TableCount]:
    """Return by table what became of an entry's items; `facts` counts the rows that it gave.

    A frame that was not understood at all was one item, whatever it held; today's count takes its place. Of a frame of
    which some items were good, those are counted already: of its rows, only as many are the entry's as it had items.
    """
    entry = again.entry
    counts: dict[str, TableCount] = {}
    left = sum(fault.items for fault in remaining)
    for table, count in facts.items():
        rows = count.items - again.echoes.get(table, 0)
        lost = 0 if entry.kind == "row" else count.quarantined
        if entry.stream is not None:
            rows = max(0, entry.items - left) if table == entry.stream else 0
        stored = count.stored
        duplicates = max(0, rows - stored - lost)
        counts[table] = TableCount(stored + duplicates + lost, stored, duplicates, lost)
    if left:
        table = remaining[0].stream or FRAMES
        counts[table] = counts.get(table, TableCount()) + TableCount(left, 0, 0, left)
    return {table: count for table, count in counts.items() if count.items}

"""The quarantine as people work it: chosen, listed, discarded with a reason, and stored after all."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from collector.errors import CollectorError
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
from collector.store.batch import Batch, Committed, TableCount
from collector.store.connection import connected
from collector.store.named import queries
from collector.store.quarantining import clean
from collector.store.writer import Writer
from collector.tables import TABLES

if TYPE_CHECKING:
    from asyncpg import Connection

_SQL = queries("quarantine")

WAITING = "waiting"
STATES = (WAITING, "resolved", "discarded")
PAGE = 2000

_ROWS: dict[str, Any] = {
    **{table.name: table.record for table in TABLES},
    "instruments": InstrumentSpec,
    "gaps": Gap,
    "outcomes": GapOutcome,
    "sessions": Session,
    "wanted": Wanted,
}


class Choice(NamedTuple):
    """Which entries; None leaves a part open. `error` is a pattern of SQL's `like`."""

    ids: list[int] | None = None
    state: str | None = None
    venues: list[str] | None = None
    streams: list[str] | None = None
    kind: str | None = None
    error: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class Listed(NamedTuple):
    """An entry without its bytes; `segment` and `byte_offset`: the end of the batch that it was part of."""

    quarantine_id: int
    venue: str | None
    stream: str | None
    kind: str | None
    error: str
    items: int
    received_at: datetime
    bytes: int
    segment: int | None
    byte_offset: int | None
    state: str
    resolved_at: datetime | None
    discarded_reason: str | None


class Group(NamedTuple):
    """Entries with the same error but for the values that it names; `newest` is the id of one."""

    venue: str | None
    stream: str | None
    kind: str | None
    error: str
    entries: int
    items: int
    first: datetime
    last: datetime
    newest: int


class Entry(NamedTuple):
    """An entry that waits. `digest` is the SHA-256 of its bytes; `journal` counts its items, None: nobody does."""

    quarantine_id: int
    received_us: int
    venue: str | None
    stream: str | None
    kind: str | None
    error: str
    items: int
    digest: bytes
    segment: int | None
    journal: str | None

    @property
    def table(self) -> str:
        """Where its items are counted."""
        return self.stream or "frames"


class UnknownEntryError(CollectorError):
    """Something was asked of entries that are not there, or not waiting."""


async def listing(dsn: str, choice: Choice, limit: int | None) -> tuple[list[Listed], dict[str, int]]:
    """Return the newest entries of a choice, and how many there are of each state. Raises `DatabaseError`."""
    async with connected(dsn) as connection:
        rows = await connection.fetch(_SQL["list_entries"], *choice, limit)
        counts = await connection.fetchrow(_SQL["count_entries"], *choice)
    return [Listed(*row) for row in rows], dict(counts or {})


async def groups(dsn: str, choice: Choice, limit: int | None) -> list[Group]:
    """Return the errors of a choice, the most frequent first. Raises `DatabaseError`."""
    async with connected(dsn) as connection:
        return [Group(*row) for row in await connection.fetch(_SQL["group_entries"], *choice, limit)]


async def check_error(dsn: str, pattern: str | None) -> None:
    """Raise `UnknownEntryError` where entries are there, and none of them, of whatever state, has such an error."""
    if pattern is None:
        return
    _, counts = await listing(dsn, Choice(error=pattern), 0)
    if not counts["total"]:
        _, everything = await listing(dsn, Choice(), 0)
        if everything["total"]:
            raise UnknownEntryError(
                f"none of the {everything['total']:,} entries that were ever put into quarantine has such an error; "
                "`collector quarantine list --state all --group` lists the errors"
            )


async def whole(dsn: str, number: int) -> tuple[Listed, bytes]:
    """Return one entry with its bytes. Raises `UnknownEntryError`, `DatabaseError`."""
    async with connected(dsn) as connection:
        row = await connection.fetchrow(_SQL["get_entry"], number)
    if row is None:
        raise UnknownEntryError(f"there is no entry {number} in quarantine; `collector quarantine list` shows what is")
    *facts, payload = row
    return Listed(*facts), bytes(payload)


async def discard(dsn: str, choice: Choice, reason: str) -> int:
    """Set what waits of a choice aside, with a reason; returns how many. Raises as `settle_ids` does."""
    async with connected(dsn) as connection:
        await _check(connection, choice.ids)
        status = await connection.execute(_SQL["discard"], *choice, reason)
    return int(status.rpartition(" ")[2])


async def waiting(dsn: str, choice: Choice) -> list[Entry]:
    """Return what waits of a choice, oldest first. Raises `UnknownEntryError` for ids that do not, `DatabaseError`."""
    found: list[Entry] = []
    async with connected(dsn) as connection:
        await _check(connection, choice.ids)
        last = 0
        while rows := await connection.fetch(_SQL["work_list"], *choice, last, PAGE):
            found += [Entry(*row) for row in rows]
            last = found[-1].quarantine_id
    return found


async def _check(connection: Connection, ids: list[int] | None) -> None:
    """Name every id that does not wait, all of them at once."""
    if ids is None:
        return
    known = {number: (state, why) for number, state, why in await connection.fetch(_SQL["known_ids"], ids)}
    faults = []
    for number in dict.fromkeys(ids):
        state, why = known.get(number, (None, None))
        if state is None:
            faults.append(f"there is no entry {number}")
        elif state != WAITING:
            faults.append(f"entry {number} is {state} already" + (f" ({why})" if why else ""))
    if faults:
        raise UnknownEntryError("; ".join(faults) + "; `collector quarantine list` shows what waits")


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


@dataclass(slots=True)
class Again(Batch):
    """The rows of an entry that was parsed again, and what is still wrong with it in `records.quarantine`.

    `echoes` counts rows of later frames among them: equal trades that were numbered as if this frame had not come.
    """

    entry: Entry | None = None
    echoes: dict[str, int] = field(default_factory=dict)
    error: str | None = None
    """What is still wrong with it, once it was tried."""


class Resolver(Writer):
    """Stores entries of the quarantine after all: rows, counts and the entry itself in one transaction."""

    async def resolve(self, again: Again) -> Committed | None:
        """Store it, and return what became of its items; None when somebody else has settled the entry meanwhile."""
        committed = await self.commit(again)
        return committed if committed.counts or not again.records.rows else None

    async def _store(self, connection: Connection, batch: Batch, *, careful: bool) -> Committed:
        assert isinstance(batch, Again)
        entry = batch.entry
        assert entry is not None
        if await connection.fetchval(_SQL["lock_entry"], entry.quarantine_id) is None:
            return Committed()
        refused: list[Quarantined] = []
        facts = await self._facts(connection, batch.records, refused, careful=careful)
        await self._keep_books(connection, batch, refused, careful=careful)
        still = [*batch.records.quarantine, *(refused if entry.kind == "row" else [])]
        if still:
            first = still[0]
            left = sum(one.items for one in still)
            await connection.execute(
                _SQL["keep_entry"], entry.quarantine_id, clean(first.error), clean(first.stream), left
            )
            facts.setdefault(first.stream or "frames", TableCount())
        else:
            await connection.execute(_SQL["resolve_entry"], entry.quarantine_id)
        batch.error = next((one.error for one in (*still, *refused)), None)
        if entry.kind != "row":
            await self._keep_refused(connection, entry, refused)
        counts = became(entry, batch, facts, still)
        if entry.journal is not None:
            status = await connection.execute(
                _SQL["withdraw_counts"], entry.journal, entry.segment, entry.table, entry.items
            )
            if status.endswith(" 1") and counts:
                await connection.execute(
                    _SQL["add_counts"],
                    entry.journal,
                    entry.segment,
                    list(counts),
                    *(list(column) for column in zip(*counts.values(), strict=True)),
                )
        return Committed(counts)

    async def _keep_refused(self, connection: Connection, entry: Entry, refused: list[Quarantined]) -> None:
        for bad in refused:
            await connection.execute(
                _SQL["add_row"],
                bad.received_us,
                self._registry.venues[bad.venue],
                clean(bad.stream),
                clean(bad.error),
                bad.payload,
                bad.items,
                entry.segment,
                entry.journal,
            )


def became(entry: Entry, again: Again, facts: dict[str, TableCount], still: list[Quarantined]) -> dict[str, TableCount]:
    """Tell what became of an entry's items, by table.

    A frame that was not understood at all was one item, whatever it held; today's count takes its place. Of a frame of
    which some items were good, those are counted already: of its rows, only as many are the entry's as it had items.
    """
    counts: dict[str, TableCount] = {}
    left = sum(one.items for one in still)
    for table, count in facts.items():
        rows = count.items - again.echoes.get(table, 0)
        lost = 0 if entry.kind == "row" else count.quarantined
        if entry.stream is not None:
            rows = max(0, entry.items - left) if table == entry.stream else 0
        stored = count.stored
        duplicates = max(0, rows - stored - lost)
        counts[table] = TableCount(stored + duplicates + lost, stored, duplicates, lost)
    if left:
        table = still[0].stream or "frames"
        counts[table] = counts.get(table, TableCount()) + TableCount(left, 0, 0, left)
    return {table: count for table, count in counts.items() if count.items}

"""The quarantine as people work on it: entries are chosen, listed, grouped, and discarded with a reason."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from collector.errors import CollectorError
from collector.store.connection import connected
from collector.store.named import queries

if TYPE_CHECKING:
    from asyncpg import Connection

_SQL = queries("quarantine")


class EntryState(StrEnum):
    """What has become of an entry; the values are those of `quarantine.state`."""

    WAITING = "waiting"
    RESOLVED = "resolved"
    DISCARDED = "discarded"


# Entries that one query returns: their payloads are not among them, so that a page takes little memory.
WORK_LIST_PAGE_ROWS = 2000


class Choice(NamedTuple):
    """A selection of entries; None stands for any value. `error` is a pattern for SQL's `like`."""

    ids: list[int] | None = None
    state: EntryState | None = None
    venues: list[str] | None = None
    streams: list[str] | None = None
    kind: str | None = None
    error: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class Listed(NamedTuple):
    """An entry without its payload; `segment` and `byte_offset` are the end of the batch that it came with."""

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
    state: EntryState
    resolved_at: datetime | None
    discarded_reason: str | None


class Group(NamedTuple):
    """Entries whose errors differ only in the values they name; `newest` is the id of the newest of them."""

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
    """A waiting entry.

    `digest` is the SHA-256 of its payload; `journal` is the name under which its items are counted.
    """

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
        """The table under which its items are counted."""
        return self.stream or "frames"


class UnknownEntryError(CollectorError):
    """Entries were named that do not exist, or that do not wait any more."""


async def listing(dsn: str, choice: Choice, limit: int | None) -> tuple[list[Listed], dict[str, int]]:
    """Return the newest entries of a selection, and its number of entries by state. Raises `DatabaseError`."""
    async with connected(dsn) as connection:
        rows = await connection.fetch(_SQL["list_entries"], *choice, limit)
        counts = await connection.fetchrow(_SQL["count_entries"], *choice)
    return [Listed(*row) for row in rows], dict(counts or {})


async def groups(dsn: str, choice: Choice, limit: int | None) -> list[Group]:
    """Return the entries of a selection grouped by error, the most frequent first. Raises `DatabaseError`."""
    async with connected(dsn) as connection:
        return [Group(*row) for row in await connection.fetch(_SQL["group_entries"], *choice, limit)]


async def check_error(dsn: str, pattern: str | None) -> None:
    """Raise `UnknownEntryError` where there are entries, but none in any state has such an error."""
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
    """Return one entry and its payload. Raises `UnknownEntryError`, `DatabaseError`."""
    async with connected(dsn) as connection:
        row = await connection.fetchrow(_SQL["get_entry"], number)
    if row is None:
        raise UnknownEntryError(f"there is no entry {number} in quarantine; `collector quarantine list` shows what is")
    *facts, payload = row
    return Listed(*facts), bytes(payload)


async def discard(dsn: str, choice: Choice, reason: str) -> int:
    """Discard the waiting entries of a selection for a reason; return how many. Raises as `waiting` does."""
    async with connected(dsn) as connection:
        await _check(connection, choice.ids)
        status = await connection.execute(_SQL["discard"], *choice, reason)
    return int(status.rpartition(" ")[2])


async def waiting(dsn: str, choice: Choice) -> list[Entry]:
    """Return the waiting entries of a selection, oldest first.

    Raises `UnknownEntryError` where an id is named that does not wait, and `DatabaseError`.
    """
    entries: list[Entry] = []
    async with connected(dsn) as connection:
        await _check(connection, choice.ids)
        last = 0
        while rows := await connection.fetch(_SQL["work_list"], *choice, last, WORK_LIST_PAGE_ROWS):
            entries += [Entry(*row) for row in rows]
            last = entries[-1].quarantine_id
    return entries


async def _check(connection: Connection, ids: list[int] | None) -> None:
    """Raise an error that names every id that does not wait."""
    if ids is None:
        return
    known = {number: (state, why) for number, state, why in await connection.fetch(_SQL["known_ids"], ids)}
    faults = []
    for number in dict.fromkeys(ids):
        state, why = known.get(number, (None, None))
        if state is None:
            faults.append(f"there is no entry {number}")
        elif state != EntryState.WAITING:
            faults.append(f"entry {number} is {state} already" + (f" ({why})" if why else ""))
    if faults:
        raise UnknownEntryError("; ".join(faults) + "; `collector quarantine list` shows what waits")

"""The quarantine as people work on it: entries are chosen, listed, grouped, and discarded with a reason."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from collector.errors import CollectorError
from collector.store.connection import connected
from collector.store.named import queries

if TYPE_CHECKING:
    from asyncpg import Connection

_SQL = queries("quarantine")

WAITING = "waiting"
STATES = (WAITING, "resolved", "discarded")
PAGE = 2000


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

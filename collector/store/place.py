"""How far a journal is in the tables, and the right to say so.

The position moves in the transaction of the rows, from where this run left it and nowhere else (compare and set). One
run at a time may move it: the owner, which holds an advisory lock for as long as it is connected, and writes down
who and where it is. A data folder that was copied brings its journal's name along; without an owner both collectors
would move one position, each past the frames of the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import asyncpg

from collector.model import Position, content_key
from collector.store.errors import (
    DatabaseWentBackError,
    JournalNameGoneError,
    JournalNameInUseError,
    JournalNameTakenError,
)
from collector.store.named import queries

if TYPE_CHECKING:
    from datetime import datetime

    from asyncpg import Connection

    from collector.store.batch import Batch, TableCount

# An owner gives a sign of life every few seconds; after so long without one its connection is a dead one's.
SILENT_SECONDS = 60.0
# How often an owner with nothing to commit gives a sign of life.
ALIVE_EVERY_SECONDS = 5.0

_SQL = queries("write")


class Owner(Protocol):
    """The collector's own side of a journal's identity."""

    @property
    def name(self) -> str:
        """The journal's name in the database."""

    @property
    def token(self) -> str:
        """This run."""

    @property
    def former(self) -> frozenset[str]:
        """Runs of the same data folder before it, the last one at least."""

    @property
    def place(self) -> str:
        """Host and folder, for people."""


@dataclass(frozen=True, slots=True)
class AnyOwner:
    """For those who move a position that nobody owns."""

    name: str
    token: str | None = None
    former: frozenset[str] = frozenset()
    place: str | None = None


class Held(NamedTuple):
    """What the database holds of a journal's position."""

    position: Position
    received_us: int | None
    """What was received until then is in the tables, microseconds; None: not known."""
    updated_us: int
    """When it last moved, by the database's clock, microseconds."""
    owner: str | None
    place: str | None
    silent_seconds: float
    """For how long the owner has given no sign of life."""
    alive_at: datetime | None


class JournalPlace:
    """One journal's position in the database, as one writer knows and moves it."""

    def __init__(self, owner: Owner | AnyOwner) -> None:
        self._owner = owner
        self._known: Position | None = None
        self._asked: Position | None = None
        """Where it is if a commit was done whose answer never came."""
        self._entered = False
        """Whether this run has had the right to move it."""
        self._others: tuple[str | None, datetime | None] | None = None
        """The owner that stood in the way, and its last sign of life."""

    def __repr__(self) -> str:
        return f"<JournalPlace {self.journal} {self._known}>"

    def renamed(self) -> JournalPlace:
        """Return the same for a journal that has got another name."""
        return JournalPlace(self._owner)

    @property
    def journal(self) -> str:
        """The journal's name."""
        return self._owner.name

    @property
    def known(self) -> Position | None:
        """The position that the database acknowledged last."""
        return self._known

    def reached(self, batch: Batch) -> None:
        """Take note that the database holds a batch."""
        self._known, self._asked = batch.position, None

    def asked(self, batch: Batch) -> None:
        """Take note that the commit of a batch is asked for: until it is answered the position may be there already."""
        self._asked = batch.position

    async def load(self, connection: Connection) -> Held | None:
        """Return what the database holds; None for nothing. From there the next batch moves it on."""
        held = await self._load(connection)
        self._known, self._asked = (None if held is None else held.position), None
        return held

    async def _load(self, connection: Connection) -> Held | None:
        row = await connection.fetchrow(_SQL["load_position"], self.journal)
        return None if row is None else Held(Position(*row[:2]), *row[2:])

    async def enter(self, connection: Connection) -> None:
        """Take the right to move the position, on a connection that is new, and see what became of it meanwhile.

        Raises:
            DatabaseWentBackError: the database was restored, or is a replica that was behind.
            JournalNameTakenError: another collector owns the position; it may pass.
            JournalNameInUseError: the same, at the start of this run: the other one was seen to live.
            JournalNameGoneError: another collector has moved the position, and is gone.
        """
        if self._owner.token is not None:
            await self._lock(connection)
        held = await self._load(connection)
        if held is not None and self._owner.token is not None:
            self._check_owner(held)
            await connection.execute(_SQL["claim_position"], self.journal, self._owner.token, self._owner.place)
        if self._entered:
            self._check_way(held)
        else:
            self._known = None if held is None else held.position
            self._entered = True

    async def _lock(self, connection: Connection) -> None:
        key = content_key(f"journal {self.journal}")
        if await connection.fetchval(_SQL["lock_journal"], key):
            return
        held = await self._load(connection)
        own = held is not None and held.owner == self._owner.token
        if held is not None and (own or held.silent_seconds > SILENT_SECONDS):
            # The server has not noticed yet that the former connection is dead.
            try:
                await connection.execute(_SQL["journal_lock_holders"], key)
            except asyncpg.InsufficientPrivilegeError:
                raise self._taken(held) from None
            if await connection.fetchval(_SQL["lock_journal"], key):
                return
        raise self._taken(held)

    def _taken(self, held: Held | None) -> JournalNameTakenError:
        """Say who stands in the way; JournalNameInUseError once that one was seen to live, at the start of this run."""
        sign = (held.owner, held.alive_at) if held else (None, None)
        before, self._others = self._others, sign
        where = (held.place if held else None) or "another place"
        if not self._entered and before is not None and before[0] == sign[0] and before[1] != sign[1]:
            return JournalNameInUseError(self.journal, where)
        return JournalNameTakenError(self.journal, where)

    def _is_ours(self, held: Held) -> bool:
        return held.owner is None or held.owner == self._owner.token or held.owner in self._owner.former

    def _check_owner(self, held: Held) -> None:
        if self._is_ours(held):
            return
        if held.silent_seconds > SILENT_SECONDS:
            raise JournalNameGoneError(self.journal, held.place or "another place")
        raise self._taken(held)

    def _check_way(self, held: Held | None) -> None:
        """Raise DatabaseWentBackError where the position is not where this run has left it."""
        found = None if held is None else held.position
        if found == self._known or (found is not None and found == self._asked):
            return
        left, self._known, self._asked = self._known, found, None
        raise DatabaseWentBackError(found, left)

    async def move(self, connection: Connection, batch: Batch, counts: dict[str, TableCount]) -> None:
        """Move the position to a batch's end, within its transaction. Raises as `enter` does."""
        columns = list(zip(*counts.values(), strict=True)) or [()] * 4
        moved = await connection.fetchval(
            _SQL["move_on"],
            self.journal,
            *batch.position,
            list(counts),
            *map(list, columns),
            *(self._known or (None, None)),
            self._owner.token,
            self._owner.place,
            batch.newest_ns // 1000 or None,
        )
        if moved != 1:
            await self._explain(connection)

    async def stay(self, connection: Connection, received_ns: int) -> None:
        """Give a sign of life; what was received until then is in the tables. Raises as `enter` does."""
        status = await connection.execute(_SQL["stay_alive"], self.journal, self._owner.token, received_ns // 1000)
        if status.endswith(" 0") and self._known is not None:
            await self._explain(connection)

    async def _explain(self, connection: Connection) -> None:
        """Raise why the position is not where this run has left it."""
        held = await self._load(connection)
        if held is None or self._is_ours(held):
            self._check_way(held)
        raise self._taken(held)

    async def reached_by(self, connection: Connection, batch: Batch) -> bool:
        """Tell whether the position is at a batch's end, once a transaction that moves it just now has ended."""
        row = await connection.fetchrow(_SQL["lock_position"], self.journal)
        return row is not None and tuple(row) == batch.position

    async def set_aside(self, connection: Connection, segment: int, why: str) -> None:
        """Keep what was counted since a segment that the journal has lost under a name that tells why."""
        name = f"{self.journal} {why}"
        await connection.execute(_SQL["set_counts_aside"], self.journal, segment, name)
        await connection.execute(_SQL["set_quarantine_aside"], self.journal, segment, name)

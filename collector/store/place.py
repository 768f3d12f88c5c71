"""How far a journal is in the tables, and which collector may move that position.

The position moves in the same transaction as the rows, and only from where this run left it (compare and set). One run
at a time may move it: the owner. It holds an advisory lock while it is connected, and stores its token, host and folder
beside the position. This matters when a data folder is copied, because the copy has the same journal name: without an
owner, two collectors would move one position, and each would skip the frames of the other.
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

# An owner that has given no sign of life for longer is taken to be dead. It gives one every `SIGN_OF_LIFE_SECONDS`, so
# that twelve in a row have failed by then.
OWNER_SILENT_MAX_SECONDS = 60.0
# How often an owner with nothing to commit gives a sign of life.
SIGN_OF_LIFE_SECONDS = 5.0

_SQL = queries("write")


class Owner(Protocol):
    """A journal's identity as its collector knows it."""

    @property
    def name(self) -> str:
        """The journal's name in the database."""

    @property
    def token(self) -> str:
        """A random text that names this run."""

    @property
    def former(self) -> frozenset[str]:
        """The tokens of earlier runs on the same data folder, at least the last one."""

    @property
    def place(self) -> str:
        """Host and folder, for people."""


@dataclass(frozen=True, slots=True)
class AnyOwner:
    """An owner for programs that use a position without claiming it, such as a replay or a test."""

    name: str
    token: str | None = None
    former: frozenset[str] = frozenset()
    place: str | None = None


class StoredPlace(NamedTuple):
    """What the database holds about a journal: how far it is in the tables, and whose it is."""

    position: Position
    received_us: int | None
    """Everything received until then (microseconds) is in the tables; None: not known."""
    updated_us: int
    """When the position last moved, in microseconds by the database's clock."""
    owner: str | None
    place: str | None
    silent_seconds: float
    """How long ago the owner gave its last sign of life."""
    alive_at: datetime | None


class JournalPlace:
    """One journal's position in the database, as one writer reads and moves it."""

    def __init__(self, owner: Owner | AnyOwner) -> None:
        self._owner = owner
        self._known: Position | None = None
        self._perhaps: Position | None = None
        """Where the position is if the last commit, whose answer has not come, was made."""
        self._entered = False
        """Whether this run has been the owner."""
        self._others: tuple[str | None, datetime | None] | None = None
        """Another owner that was met, and its last sign of life."""

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

    def commit_answered(self, batch: Batch) -> None:
        """Note that the database has confirmed a batch."""
        self._known, self._perhaps = batch.position, None

    def commit_asked(self, batch: Batch) -> None:
        """Note that the commit of a batch was sent: until the answer comes, the position may be at its end already."""
        self._perhaps = batch.position

    async def load(self, connection: Connection) -> StoredPlace | None:
        """Return what the database holds, None where it knows nothing of the journal.

        The next batch moves on from there.
        """
        stored = await self._load(connection)
        self._known, self._perhaps = (None if stored is None else stored.position), None
        return stored

    async def _load(self, connection: Connection) -> StoredPlace | None:
        row = await connection.fetchrow(_SQL["load_position"], self.journal)
        return None if row is None else StoredPlace(Position(*row[:2]), *row[2:])

    async def enter(self, connection: Connection) -> None:
        """Become the position's owner on a new connection, and check that the position is where this run left it.

        Raises:
            DatabaseWentBackError: it is elsewhere: the database was restored, or is a replica that was behind.
            JournalNameTakenError: another collector is the owner; that may pass.
            JournalNameInUseError: the same at the start of this run, and the other one has given signs of life.
            JournalNameGoneError: another collector has moved the position, and is dead now.
        """
        if self._owner.token is not None:
            await self._lock(connection)
        stored = await self._load(connection)
        if stored is not None and self._owner.token is not None:
            self._check_owner(stored)
            await connection.execute(_SQL["claim_position"], self.journal, self._owner.token, self._owner.place)
        if self._entered:
            self._check_position(stored)
        else:
            self._known = None if stored is None else stored.position
            self._entered = True

    async def _lock(self, connection: Connection) -> None:
        key = content_key(f"journal {self.journal}")
        if await connection.fetchval(_SQL["lock_journal"], key):
            return
        stored = await self._load(connection)
        own = stored is not None and stored.owner == self._owner.token
        if stored is not None and (own or stored.silent_seconds > OWNER_SILENT_MAX_SECONDS):
            # The lock belongs to a connection that is dead, which the server has not noticed: end it.
            try:
                await connection.execute(_SQL["journal_lock_holders"], key)
            except asyncpg.InsufficientPrivilegeError:
                raise self._taken(stored) from None
            if await connection.fetchval(_SQL["lock_journal"], key):
                return
        raise self._taken(stored)

    def _taken(self, stored: StoredPlace | None) -> JournalNameTakenError:
        """Return an error that names the other owner.

        At the start of this run it is JournalNameInUseError, once the other one has given two signs of life.
        """
        sign = (stored.owner, stored.alive_at) if stored else (None, None)
        before, self._others = self._others, sign
        where = (stored.place if stored else None) or "another place"
        if not self._entered and before is not None and before[0] == sign[0] and before[1] != sign[1]:
            return JournalNameInUseError(self.journal, where)
        return JournalNameTakenError(self.journal, where)

    def _is_ours(self, stored: StoredPlace) -> bool:
        return stored.owner is None or stored.owner == self._owner.token or stored.owner in self._owner.former

    def _check_owner(self, stored: StoredPlace) -> None:
        if self._is_ours(stored):
            return
        if stored.silent_seconds > OWNER_SILENT_MAX_SECONDS:
            raise JournalNameGoneError(self.journal, stored.place or "another place")
        raise self._taken(stored)

    def _check_position(self, stored: StoredPlace | None) -> None:
        """Raise DatabaseWentBackError where the position is not where this run left it."""
        found = None if stored is None else stored.position
        if found == self._known or (found is not None and found == self._perhaps):
            return
        left, self._known, self._perhaps = self._known, found, None
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

    async def give_sign_of_life(self, connection: Connection, received_ns: int) -> None:
        """Store a sign of life, and that all received until then is in the tables. Raises as `enter` does."""
        status = await connection.execute(_SQL["stay_alive"], self.journal, self._owner.token, received_ns // 1000)
        if status.endswith(" 0") and self._known is not None:
            await self._explain(connection)

    async def _explain(self, connection: Connection) -> None:
        """Raise the reason why the position is not where this run left it."""
        stored = await self._load(connection)
        if stored is None or self._is_ours(stored):
            self._check_position(stored)
        raise self._taken(stored)

    async def reached_by(self, connection: Connection, batch: Batch) -> bool:
        """Return whether the position is at a batch's end; waits for a transaction that is moving it."""
        row = await connection.fetchrow(_SQL["lock_position"], self.journal)
        return row is not None and tuple(row) == batch.position

    async def set_aside(self, connection: Connection, segment: int, why: str) -> None:
        """Store the counts since a segment, which the journal has lost, under a name that says why."""
        name = f"{self.journal} {why}"
        await connection.execute(_SQL["set_counts_aside"], self.journal, segment, name)
        await connection.execute(_SQL["set_quarantine_aside"], self.journal, segment, name)

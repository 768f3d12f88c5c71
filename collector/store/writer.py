"""Commits batches: the rows, the journal's position and the counts in one transaction.

The writer never gives up on a batch. While the database is away it tries again for ever, which `Writer.database` shows.
Writing a batch twice changes nothing, because keys are natural and the position moves with the rows. If the line is cut
between the server's commit and its answer, the position shows whether the commit was made, so that nothing is counted
twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from collector.model import Gap, Instrument, Position, Session, Wanted
from collector.store.batch import Batch, Committed
from collector.store.named import queries
from collector.store.place import AnyOwner, JournalPlace, Owner, StoredPlace
from collector.store.retrying import ATTEMPT_MAX_SECONDS, RETRY_MAX_SECONDS, RetryingConnection
from collector.store.rows import Rows

if TYPE_CHECKING:
    from asyncpg import Connection

# For the transaction of a batch whose tables take one statement each. One that takes longer waits for a lock or for a
# server that is gone without a word: it is tried again on a new connection.
COMMIT_TIMEOUT_SECONDS: Final = 60.0

_SQL = queries("write")


class OpenSession(NamedTuple):
    """A session without an end in the tables: it is being recorded, or its collector died."""

    session: Session
    last_us: int
    """Everything received until about then is in the tables, microseconds by our clock."""
    exact: bool
    """Whether `last_us` is exact."""
    silent_seconds: float | None
    """How long ago its collector gave a sign of life; None where that is this one, or none owns it any more."""


class WantedStream(NamedTuple):
    """A stream that a collector is configured to record now."""

    wanted: Wanted
    silent_seconds: float | None
    """How long ago its collector gave a sign of life; None where that is this one."""


class Writer:
    """Commits batches on one connection.

    `journal` is the journal's name in the database, or its owner. With None, as for a replay, batches move no position
    and no counts.
    """

    def __init__(
        self,
        dsn: Callable[[], str],
        journal: str | Owner | None,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        longest_wait_seconds: float = RETRY_MAX_SECONDS,
    ) -> None:
        self._place = JournalPlace(AnyOwner(journal) if isinstance(journal, str) else journal) if journal else None
        self._rows = Rows()
        self.database = RetryingConnection(dsn, self._enter, sleep=sleep, longest_wait_seconds=longest_wait_seconds)
        """The connection, which tells whether the last commit or query succeeded."""
        self._unanswered: Committed | None = None
        """What became of a batch if its commit, whose answer has not come, was made."""

    def __repr__(self) -> str:
        return f"<Writer on {self.database!r}>"

    async def stored_place(self) -> StoredPlace | None:
        """Return how far the journal is in the tables; None where the database does not know the journal."""
        place = self._place
        assert place is not None, "a writer without a journal has no position"
        return await self.database.run(place.load)

    async def position(self) -> Position | None:
        """Return the position up to which the journal is in the tables; None where the database does not know it."""
        stored = await self.stored_place()
        return None if stored is None else stored.position

    async def give_sign_of_life(self, received_ns: int) -> None:
        """Store a sign of life when there is nothing to commit.

        `received_ns`: all received until then is in the tables.
        """
        place = self._place
        if place is not None:
            await self.database.run(lambda connection: place.give_sign_of_life(connection, received_ns))

    async def set_aside(self, segment: int, why: str) -> None:
        """Store the counts since a segment, which the journal has lost, under a name that says why."""
        place = self._place
        assert place is not None, "a writer without a journal has no counts"

        async def work(connection: Connection) -> None:
            async with connection.transaction():
                await place.set_aside(connection, segment, why)

        await self.database.run(work)

    def begin_anew(self) -> None:
        """Start over for a journal that has been given another name."""
        if self._place is not None:
            self._place = self._place.renamed()
        self._unanswered = None
        self.database.drop()

    async def open_gaps(self) -> list[Gap]:
        """Return the gaps that have no end yet."""
        rows = await self.database.run(lambda connection: connection.fetch(_SQL["open_gaps"]))
        return [
            Gap(Instrument(venue, symbol), stream, from_us, None, from_seq, None, cause, reason)
            for venue, symbol, stream, from_us, from_seq, cause, reason in rows
        ]

    async def open_sessions(self) -> list[OpenSession]:
        """Return the sessions without an end, of all journals in the database."""
        journal = None if self._place is None else self._place.journal
        rows = await self.database.run(lambda connection: connection.fetch(_SQL["abandoned"], journal))
        return [
            OpenSession(Session(session_id, venue, worker, url, opened_us, None, None, frames, details), *rest)
            for session_id, venue, worker, url, opened_us, frames, details, *rest in rows
        ]

    async def wanted_streams(self) -> list[WantedStream]:
        """Return the streams that are configured now, of all journals in the database."""
        journal = None if self._place is None else self._place.journal
        rows = await self.database.run(lambda connection: connection.fetch(_SQL["wanted_now"], journal))
        return [
            WantedStream(Wanted(Instrument(venue, symbol), stream, from_us, None), silent_seconds)
            for venue, symbol, stream, from_us, silent_seconds in rows
        ]

    async def known_sessions(self, numbers: Collection[int]) -> set[int]:
        """Return those of the sessions that have a row."""
        rows = await self.database.run(lambda connection: connection.fetch(_SQL["known_sessions"], list(numbers)))
        return {row[0] for row in rows}

    async def last_session(self) -> int:
        """Return the greatest number that a session has; 0 without any."""
        number: int = await self.database.run(lambda connection: connection.fetchval(_SQL["last_session"]))
        return number

    async def commit(self, batch: Batch) -> Committed:
        """Store a batch; returns once it is committed, however long the database is away."""
        return await self.database.run(lambda connection: self._commit(connection, batch))

    async def close(self) -> None:
        """Close the connection."""
        await self.database.close()

    async def _enter(self, connection: Connection) -> None:
        self._rows.forget_numbers()
        if self._place is not None:
            await self._place.enter(connection)

    # -- one batch ---------------------------------------------------------------------------------------------------

    async def _commit(self, connection: Connection, batch: Batch) -> Committed:
        unanswered, self._unanswered = self._unanswered, None
        if unanswered is not None and self._place is not None and await self._reached(connection, self._place, batch):
            return unanswered
        numbered = replace(batch, records=await self._rows.number(connection, batch.records))
        return await self._rows.attempt(partial(self._transact, connection, numbered))

    async def _reached(self, connection: Connection, place: JournalPlace, batch: Batch) -> bool:
        async with asyncio.timeout(COMMIT_TIMEOUT_SECONDS), connection.transaction():
            # Waits for the former transaction where the server is still busy with it.
            reached = await place.reached_by(connection, batch)
        if reached:
            place.commit_answered(batch)
        return reached

    async def _transact(self, connection: Connection, batch: Batch, *, careful: bool) -> Committed:
        async with asyncio.timeout(ATTEMPT_MAX_SECONDS if careful else COMMIT_TIMEOUT_SECONDS):
            async with connection.transaction():
                committed = await self._store(connection, batch, careful=careful)
                self._unanswered = committed
                if self._place is not None:
                    self._place.commit_asked(batch)
            self._unanswered = None
        if self._place is not None:
            self._place.commit_answered(batch)
        return committed

    async def _store(self, connection: Connection, batch: Batch, *, careful: bool) -> Committed:
        if self._place is None:
            return await self._rows.store(connection, batch, None, careful=careful)
        committed = await self._rows.store(connection, batch, self._place.journal, careful=careful)
        await self._place.move(connection, batch, committed.counts)
        return committed

"""Batches into tables: the rows, the journal's position and the counts in one transaction.

The writer never gives a batch up. While the database is away it tries again, for ever, and tells so in `database`.
Because keys are natural and the position moves with the rows, writing a batch again changes nothing. Where the line is
cut between the server's commit and its answer, the position tells which it was, so that nothing is counted twice.
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
from collector.store.place import AnyOwner, Held, JournalPlace, Owner
from collector.store.retrying import ATTEMPT_MAX_SECONDS, RETRY_MAX_SECONDS, RetryingConnection
from collector.store.rows import Rows

if TYPE_CHECKING:
    from asyncpg import Connection

# For the transaction of a batch whose tables take one statement each. One that takes longer waits for a lock or for a
# server that is gone without a word: it is tried again on a new connection.
COMMIT_TIMEOUT_SECONDS: Final = 60.0

_SQL = queries("write")


class Abandoned(NamedTuple):
    """A session that nobody has closed."""

    session: Session
    last_us: int
    """What was received until then is in the tables, microseconds by our clock, or shortly before."""
    exact: bool
    """Whether it is exactly so."""
    silent_seconds: float | None
    """For how long its collector has given no sign of life; None where it is our own, or nobody's any more."""


class Asked(NamedTuple):
    """A stream that is asked for."""

    wanted: Wanted
    silent_seconds: float | None
    """For how long its collector has given no sign of life; None where it is our own."""


class Writer:
    """Commits batches on one connection of its own.

    `journal` is the name under which the database remembers the position and the counts, or who owns it; None, as for
    a replay, leaves both alone.
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
        """How it is with the database, as the last commit or question found it."""
        self._unanswered: Committed | None = None
        """What became of a batch whose commit was asked for and never answered."""

    def __repr__(self) -> str:
        return f"<Writer on {self.database!r}>"

    async def held(self) -> Held | None:
        """Return how far the journal is in the tables; None for a database that knows nothing of it."""
        place = self._place
        assert place is not None, "a writer without a journal has no position"
        return await self.database.run(place.load)

    async def position(self) -> Position | None:
        """Return the segment and offset up to which the journal is in the tables; None for a database without any."""
        held = await self.held()
        return None if held is None else held.position

    async def stay(self, received_ns: int) -> None:
        """Give a sign of life where there is nothing to commit: what was received until then is in the tables."""
        place = self._place
        if place is not None:
            await self.database.run(lambda connection: place.stay(connection, received_ns))

    async def set_aside(self, segment: int, why: str) -> None:
        """Keep what was counted since a segment that the journal has lost under a name that tells why."""
        place = self._place
        assert place is not None, "a writer without a journal has no counts"

        async def work(connection: Connection) -> None:
            async with connection.transaction():
                await place.set_aside(connection, segment, why)

        await self.database.run(work)

    def begin_anew(self) -> None:
        """The journal has another name now: nothing is known of it."""
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

    async def abandoned(self) -> list[Abandoned]:
        """Return the sessions that were never closed, of every journal that the database knows."""
        journal = None if self._place is None else self._place.journal
        rows = await self.database.run(lambda connection: connection.fetch(_SQL["abandoned"], journal))
        return [
            Abandoned(Session(session_id, venue, worker, url, opened_us, None, None, frames, details), *rest)
            for session_id, venue, worker, url, opened_us, frames, details, *rest in rows
        ]

    async def wanted(self) -> list[Asked]:
        """Return what is asked for now, by every journal that the database knows."""
        journal = None if self._place is None else self._place.journal
        rows = await self.database.run(lambda connection: connection.fetch(_SQL["wanted_now"], journal))
        return [
            Asked(Wanted(Instrument(venue, symbol), stream, from_us, None), silent_seconds)
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
        """Let the connection go."""
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
            place.reached(batch)
        return reached

    async def _transact(self, connection: Connection, batch: Batch, *, careful: bool) -> Committed:
        async with asyncio.timeout(ATTEMPT_MAX_SECONDS if careful else COMMIT_TIMEOUT_SECONDS):
            async with connection.transaction():
                committed = await self._store(connection, batch, careful=careful)
                self._unanswered = committed
                if self._place is not None:
                    self._place.asked(batch)
            self._unanswered = None
        if self._place is not None:
            self._place.reached(batch)
        return committed

    async def _store(self, connection: Connection, batch: Batch, *, careful: bool) -> Committed:
        if self._place is None:
            return await self._rows.store(connection, batch, None, careful=careful)
        committed = await self._rows.store(connection, batch, self._place.journal, careful=careful)
        await self._place.move(connection, batch, committed.counts)
        return committed

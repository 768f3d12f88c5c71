"""Batches into tables: one statement a table, the journal position and the counts in the same transaction.

The writer never gives a batch up. While the database is away it tries again, for ever, and says so in `state`; a row
that the database refuses is found by bisection and quarantined, and the rest of its batch is stored. Because keys are
natural and the position moves with the rows, writing a batch again changes nothing. Where the line is cut between the
server's commit and its answer, the position tells which it was, so that nothing is counted twice.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import asyncpg
import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_exponential_jitter

from collector.model import Gap, Instrument, Position, Quarantined, Records, Session, Wanted
from collector.store import encode
from collector.store.batch import Batch, Committed, TableCount
from collector.store.connection import HeldConnection
from collector.store.dsn import DRIVER_ERRORS, refusals
from collector.store.errors import (
    DatabaseError,
    DatabaseWentBackError,
    JournalNameGoneError,
    JournalNameInUseError,
)
from collector.store.named import queries
from collector.store.place import AnyOwner, Held, JournalPlace, Owner
from collector.store.quarantining import clean, put_away, refused_row, without
from collector.store.registry import Registry
from collector.tables import NAMES, TABLES

if TYPE_CHECKING:
    from asyncpg import Connection

log = structlog.get_logger()

T = TypeVar("T")

COMMIT_TIMEOUT_SECONDS = 60.0
# For the end of the last connection: nothing is under way on it.
CLOSING_SECONDS = 2.0
# For a batch that is searched, row by row at the worst, for what the database refuses in it.
CAREFUL_TIMEOUT_SECONDS = 600.0
# A batch that conflicts with other writers so often is left to the slower retries, which tell.
CONFLICTS_ENDURED = 20
_SQL = queries("write")

# Classes of SQLSTATE that speak of the data and not of the server's state: data, integrity and limit errors, and
# (TimescaleDB, for times out of its range) unsupported features and internal errors.
_BAD_ROW = ("22", "23", "54", "0A", "XX")


class _Table(NamedTuple):
    name: str
    statement: str
    encode: encode.Encode
    key: Callable[[Any], Any]
    """What makes a row one of its table."""
    by_venue: bool


_TABLES = tuple(
    _Table(
        table.name,
        _SQL["upsert_candles" if table.name == "candles" else f"insert_{table.name}"],
        getattr(encode, table.name),
        table.key,
        by_venue=not table.of_instrument,
    )
    for table in TABLES
)


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
        longest_wait_seconds: float = 15.0,
    ) -> None:
        self._dsn = dsn
        self._place = JournalPlace(AnyOwner(journal) if isinstance(journal, str) else journal) if journal else None
        self._sleep = sleep
        self._wait = wait_exponential_jitter(multiplier=0.1, max=longest_wait_seconds, jitter=0.5)
        self._held = HeldConnection(dsn, self._enter)
        self._registry = Registry()
        self._unanswered: Committed | None = None
        """What became of a batch whose commit was asked for and never answered."""
        self._ordered = False
        """Whether rows go in the order of their keys: once another writer was met that writes the same ones."""
        self.state = "not connected yet"
        self.since = time.time()

    def __repr__(self) -> str:
        return f"<Writer {self.state}>"

    @property
    def connected(self) -> bool:
        """Whether the last thing that the writer tried worked."""
        return self.state == "connected"

    async def held(self) -> Held | None:
        """Return how far the journal is in the tables; None for a database that knows nothing of it."""
        place = self._place
        assert place is not None, "a writer without a journal has no position"
        return await self._for_ever(place.load)

    async def position(self) -> Position | None:
        """Return the segment and offset up to which the journal is in the tables; None for a database without any."""
        held = await self.held()
        return None if held is None else held.position

    async def stay(self, received_ns: int) -> None:
        """Give a sign of life where there is nothing to commit: what was received until then is in the tables."""
        place = self._place
        if place is not None:
            await self._for_ever(lambda connection: place.stay(connection, received_ns))

    async def set_aside(self, segment: int, why: str) -> None:
        """Keep what was counted since a segment that the journal has lost under a name that tells why."""
        place = self._place
        assert place is not None, "a writer without a journal has no counts"

        async def work(connection: Connection) -> None:
            async with connection.transaction():
                await place.set_aside(connection, segment, why)

        await self._for_ever(work)

    def begin_anew(self) -> None:
        """The journal has another name now: nothing is known of it."""
        if self._place is not None:
            self._place = self._place.renamed()
        self._unanswered = None
        self._held.drop()

    async def open_gaps(self) -> list[Gap]:
        """Return the gaps that have no end yet."""
        rows = await self._for_ever(lambda connection: connection.fetch(_SQL["open_gaps"]))
        return [
            Gap(Instrument(venue, symbol), stream, from_us, None, from_seq, None, cause, reason)
            for venue, symbol, stream, from_us, from_seq, cause, reason in rows
        ]

    async def abandoned(self) -> list[Abandoned]:
        """Return the sessions that were never closed, of every journal that the database knows."""
        journal = None if self._place is None else self._place.journal
        rows = await self._for_ever(lambda connection: connection.fetch(_SQL["abandoned"], journal))
        return [
            Abandoned(Session(session_id, venue, worker, url, opened_us, None, None, frames, details), *rest)
            for session_id, venue, worker, url, opened_us, frames, details, *rest in rows
        ]

    async def wanted(self) -> list[Asked]:
        """Return what is asked for now, by every journal that the database knows."""
        journal = None if self._place is None else self._place.journal
        rows = await self._for_ever(lambda connection: connection.fetch(_SQL["wanted_now"], journal))
        return [
            Asked(Wanted(Instrument(venue, symbol), stream, from_us, None), silent_seconds)
            for venue, symbol, stream, from_us, silent_seconds in rows
        ]

    async def known_sessions(self, numbers: Collection[int]) -> set[int]:
        """Return those of the sessions that have a row."""
        rows = await self._for_ever(lambda connection: connection.fetch(_SQL["known_sessions"], list(numbers)))
        return {row[0] for row in rows}

    async def last_session(self) -> int:
        """Return the greatest number that a session has; 0 without any."""
        number: int = await self._for_ever(lambda connection: connection.fetchval(_SQL["last_session"]))
        return number

    async def commit(self, batch: Batch) -> Committed:
        """Store a batch; returns once it is committed, however long the database is away."""
        return await self._for_ever(lambda connection: self._commit(connection, batch))

    async def close(self) -> None:
        """Let the connection go."""
        try:
            await self._held.close(CLOSING_SECONDS)
        except _MAY_PASS as error:
            log.warning("database_close_failed", error=str(error))

    async def _for_ever(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        async for attempt in AsyncRetrying(
            retry=retry_if_exception(_can_pass), wait=self._wait, sleep=self._sleep, before_sleep=self._note_failure
        ):
            with attempt, refusals(self._dsn):
                try:
                    async with asyncio.timeout(CAREFUL_TIMEOUT_SECONDS):
                        result = await work(await self._open())
                except BaseException:
                    # Cut, cancelled or refused in the middle: nobody knows the connection's state. A new one is cheap.
                    self._held.drop()
                    raise
                if not self.connected:
                    log.info("database_connected", after_seconds=round(time.time() - self.since, 1))
                    self.state, self.since = "connected", time.time()
                return result
        raise AssertionError("retries have no end")  # pragma: no cover

    async def _open(self) -> Connection:
        return await self._held.get()

    async def _enter(self, connection: Connection) -> None:
        self._registry.clear()
        if self._place is not None:
            await self._place.enter(connection)

    def _note_failure(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        reason = f"{type(error).__name__}: {error}"
        if self.state != reason:
            self.state, self.since = reason, time.time()
            log.warning("database_away", reason=reason)

    # -- one batch ---------------------------------------------------------------------------------------------------

    async def _commit(self, connection: Connection, batch: Batch) -> Committed:
        unanswered, self._unanswered = self._unanswered, None
        if unanswered is not None and self._place is not None and await self._reached(connection, self._place, batch):
            return unanswered
        unnamable = await self._registry.prepare(connection, batch.records)
        if unnamable:
            batch = replace(batch, records=without(batch.records, unnamable, NAMES))
        try:
            return await self._in_turn(connection, batch)
        except _REFUSALS as error:
            if not _speaks_of_data(error):
                raise
            log.warning("batch_refused", reason=str(error), sqlstate=getattr(error, "sqlstate", None))
        return await self._transact(connection, batch, careful=True)

    async def _in_turn(self, connection: Connection, batch: Batch) -> Committed:
        """Commit, at once again where another writer was in the way: it has got on by then."""
        for _ in range(CONFLICTS_ENDURED):
            try:
                return await self._transact(connection, batch, careful=False)
            except _CONFLICTS as error:
                self._ordered = True
                log.info("batch_conflicted", reason=str(error), sqlstate=error.sqlstate)
        return await self._transact(connection, batch, careful=False)

    async def _reached(self, connection: Connection, place: JournalPlace, batch: Batch) -> bool:
        async with asyncio.timeout(COMMIT_TIMEOUT_SECONDS), connection.transaction():
            # Waits for the former transaction where the server is still busy with it.
            reached = await place.reached_by(connection, batch)
        if reached:
            place.reached(batch)
        return reached

    async def _transact(self, connection: Connection, batch: Batch, *, careful: bool) -> Committed:
        async with asyncio.timeout(CAREFUL_TIMEOUT_SECONDS if careful else COMMIT_TIMEOUT_SECONDS):
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
        records = batch.records
        refused: list[Quarantined] = []
        committed = Committed(await self._facts(connection, records, refused, careful=careful))
        await self._keep_books(connection, batch, refused, careful=careful)
        if records.quarantine or refused:
            journal = None if self._place is None else self._place.journal
            away = await put_away(connection, batch, refused, self._registry.venues, journal)
            for name, count in away.items():
                committed.counts[name] = committed.counts.get(name, TableCount()) + count
        if self._place is not None:
            await self._place.move(connection, batch, committed.counts)
        return committed

    async def _facts(
        self, connection: Connection, records: Records, refused: list[Quarantined], *, careful: bool
    ) -> dict[str, TableCount]:
        """Write the rows of market data and count them by table; what is refused of them goes to `refused`."""
        counts: dict[str, TableCount] = {}
        for table in _TABLES:
            rows: list[Any] = getattr(records, table.name)
            if not rows:
                continue
            before = len(refused)
            once = encode.latest_candles(rows) if table.name == "candles" else rows
            if self._ordered:  # writers that take rows in one order wait for each other, and never in a circle
                once = sorted(once, key=table.key)
            if careful:
                stored = await self._bisect(connection, table, once, refused)
            else:
                stored = await self._insert(connection, table, once)
            lost = len(refused) - before
            counts[table.name] = TableCount(len(rows), stored, len(rows) - lost - stored, lost)
        return counts

    async def _insert(self, connection: Connection, table: _Table, rows: Sequence[Any]) -> int:
        ids: Any = self._registry.venues if table.by_venue else self._registry.instruments
        status = await connection.execute(table.statement, *table.encode(rows, ids))
        stored = int(status.rpartition(" ")[2])
        if stored and table.name == "trades":
            await connection.execute(_SQL["note_touched"], *encode.touched(rows, ids))
        return stored

    async def _bisect(
        self, connection: Connection, table: _Table, rows: Sequence[Any], refused: list[Quarantined]
    ) -> int:
        """Insert what can be inserted; the rows that cannot be go to `refused`."""
        try:
            async with connection.transaction():
                return await self._insert(connection, table, rows)
        except _REFUSALS as error:
            if not _speaks_of_data(error):
                raise
            if len(rows) == 1:
                refused.append(refused_row(table.name, rows[0], error))
                return 0
        middle = len(rows) // 2
        return await self._bisect(connection, table, rows[:middle], refused) + await self._bisect(
            connection, table, rows[middle:], refused
        )

    async def _keep_books(
        self, connection: Connection, batch: Batch, refused: list[Quarantined], *, careful: bool
    ) -> None:
        """Write what is told beside the market data; what is refused of it goes to `refused`, and is no item."""
        records, venues, instruments = batch.records, self._registry.venues, self._registry.instruments
        journal = None if self._place is None else self._place.journal
        tables = (
            (
                "instruments",
                "update_instrument",
                records.instruments,
                [(venues[spec.instrument.venue], spec.instrument.symbol, *spec[1:]) for spec in records.instruments],
            ),
            (
                "sessions",
                "upsert_session",
                records.sessions,
                [
                    (session.session_id, venues[session.venue], *map(clean, session[2:]), journal)
                    for session in records.sessions
                ],
            ),
            (
                "gaps",
                "upsert_gap",
                records.gaps,
                [(instruments[gap.instrument], *map(clean, gap[1:])) for gap in records.gaps],
            ),
            (
                "outcomes",
                "close_gap",
                records.outcomes,
                [(instruments[one.instrument], *map(clean, one[1:])) for one in records.outcomes],
            ),
            (
                "wanted",
                "upsert_wanted",
                records.wanted,
                [(instruments[one.instrument], *map(clean, one[1:]), journal) for one in records.wanted],
            ),
        )
        for name, statement, told, rows in tables:
            if not careful:
                if rows:
                    await connection.executemany(_SQL[statement], rows)
                continue
            for one, row in zip(told, rows, strict=True):
                try:
                    async with connection.transaction():
                        await connection.execute(_SQL[statement], *row)
                except _REFUSALS as error:
                    if not _speaks_of_data(error):
                        raise
                    refused.append(refused_row(name, one, error, items=0))


_MAY_PASS = (DatabaseError, *DRIVER_ERRORS, OSError, TimeoutError)


_FOR_THE_CALLER = (DatabaseWentBackError, JournalNameGoneError, JournalNameInUseError)

_CONFLICTS = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)

_REFUSALS = (asyncpg.PostgresError, asyncpg.InterfaceError)


def _speaks_of_data(error: Exception) -> bool:
    if isinstance(error, asyncpg.PostgresError):
        return (error.sqlstate or "")[:2] in _BAD_ROW
    # What the driver could not even send: a number too large for its column, a text that is not valid Unicode.
    return isinstance(error, ValueError)


def _can_pass(error: BaseException) -> bool:
    """Whether trying again makes sense: everything about the database does, a bug of ours does not."""
    return isinstance(error, _MAY_PASS) and not isinstance(error, _FOR_THE_CALLER)

"""The rows of a batch, written inside a transaction: one statement a table, and what is refused set apart.

Whoever commits rows (the writer, the resolver of quarantined entries, the shadow of a comparison) has one `Rows` and
brings the connection and the transaction. A first attempt writes each table with one statement; where the database
refuses the data, the attempt after that is careful: it finds the refused rows by bisection and stores all others.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeVar

import asyncpg
import structlog

from collector.model import Quarantined, Records
from collector.store import encode
from collector.store.batch import Batch, Committed, TableCount
from collector.store.named import queries
from collector.store.quarantining import clean, put_away, refused_row, without
from collector.store.registry import Registry
from collector.tables import NAMES, TABLES

if TYPE_CHECKING:
    from asyncpg import Connection

log = structlog.get_logger()

# How often a batch that conflicts with other writers is tried again at once. After that the caller's slower retries
# take over, which are visible as a database that is away.
CONFLICT_RETRIES_MAX: Final = 20

_SQL = queries("write")

# Classes of SQLSTATE that speak of the data and not of the server's state: data, integrity and limit errors, and
# (TimescaleDB, for times out of its range) unsupported features and internal errors.
_DATA_CLASSES: Final = ("22", "23", "54", "0A", "XX")
_CONFLICTS: Final = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
_REFUSALS: Final = (asyncpg.PostgresError, asyncpg.InterfaceError)

T_co = TypeVar("T_co", covariant=True)


class Transact(Protocol[T_co]):
    """One transaction from its begin to its commit; `careful`: whether refused rows are searched for one by one."""

    def __call__(self, *, careful: bool) -> Awaitable[T_co]: ...


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


class Rows:
    """Writes rows under the numbers that the database gave to their venues and instruments."""

    def __init__(self) -> None:
        self._registry = Registry()
        self.ordered = False
        """Whether rows go in the order of their keys: once another writer was met that writes the same ones."""

    def forget_numbers(self) -> None:
        """Forget the numbers of venues and instruments: a new connection may lead to another database."""
        self._registry.clear()

    async def number(self, connection: Connection, records: Records) -> Records:
        """Give numbers to all venues and instruments of `records`, before the transaction that writes them.

        Returns records in which the rows of instruments that can have no number are quarantined.
        """
        unnamable = await self._registry.prepare(connection, records)
        return without(records, unnamable, NAMES) if unnamable else records

    async def attempt(self, transact: Transact[T_co]) -> T_co:
        """Make a transaction: at once again after conflicts with other writers, careful where data was refused."""
        try:
            return await self._in_turn(transact)
        except _REFUSALS as error:
            if not _speaks_of_data(error):
                raise
            log.warning("batch_refused", reason=str(error), sqlstate=getattr(error, "sqlstate", None))
        return await transact(careful=True)

    async def _in_turn(self, transact: Transact[T_co]) -> T_co:
        for _ in range(CONFLICT_RETRIES_MAX):
            try:
                return await transact(careful=False)
            except _CONFLICTS as error:  # by the next attempt the other writer has got on
                self.ordered = True
                log.info("batch_conflicted", reason=str(error), sqlstate=error.sqlstate)
        return await transact(careful=False)

    async def store(self, connection: Connection, batch: Batch, journal: str | None, *, careful: bool) -> Committed:
        """Write everything that a batch holds, its quarantine too; return what became of it by table.

        `journal` is the name that sessions, wanted streams and quarantined entries are written under.
        """
        refused: list[Quarantined] = []
        committed = Committed(await self.store_facts(connection, batch.records, refused, careful=careful))
        await self.store_surroundings(connection, batch.records, journal, refused, careful=careful)
        if batch.records.quarantine or refused:
            away = await put_away(connection, batch, refused, self._registry.venues, journal)
            for name, count in away.items():
                committed.counts[name] = committed.counts.get(name, TableCount()) + count
        return committed

    async def store_facts(
        self, connection: Connection, records: Records, refused: list[Quarantined], *, careful: bool
    ) -> dict[str, TableCount]:
        """Write the rows of market data and count them by table; refused rows are appended to `refused`."""
        counts: dict[str, TableCount] = {}
        for table in _TABLES:
            rows: list[Any] = getattr(records, table.name)
            if not rows:
                continue
            refused_before = len(refused)
            once = encode.latest_candles(rows) if table.name == "candles" else rows
            if self.ordered:  # writers that take rows in one order wait for each other, and never in a circle
                once = sorted(once, key=table.key)
            if careful:
                stored = await self._bisect(connection, table, once, refused)
            else:
                stored = await self._insert(connection, table, once)
            lost = len(refused) - refused_before
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
        """Insert what can be inserted, and return how many rows that changed; append the others to `refused`."""
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

    async def store_surroundings(
        self,
        connection: Connection,
        records: Records,
        journal: str | None,
        refused: list[Quarantined],
        *,
        careful: bool,
    ) -> None:
        """Write what surrounds the market data: instruments, sessions, gaps, wanted streams.

        Refused rows are appended to `refused`; they are no items, because no frame was counted as one of them.
        """
        for name, statement, facts, rows in self._surroundings(records, journal):
            if not careful:
                if rows:
                    await connection.executemany(_SQL[statement], rows)
                continue
            for fact, row in zip(facts, rows, strict=True):
                try:
                    async with connection.transaction():
                        await connection.execute(_SQL[statement], *row)
                except _REFUSALS as error:
                    if not _speaks_of_data(error):
                        raise
                    refused.append(refused_row(name, fact, error, items=0))

    def _surroundings(
        self, records: Records, journal: str | None
    ) -> tuple[tuple[str, str, Sequence[Any], list[tuple[Any, ...]]], ...]:
        """Return by table: its name, its statement's name, the facts, and their columns."""
        venues, instruments = self._registry.venues, self._registry.instruments
        return (
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
                [(instruments[outcome.instrument], *map(clean, outcome[1:])) for outcome in records.outcomes],
            ),
            (
                "wanted",
                "upsert_wanted",
                records.wanted,
                [(instruments[wanted.instrument], *map(clean, wanted[1:]), journal) for wanted in records.wanted],
            ),
        )

    def venue_number(self, venue: str) -> int:
        """Return the number of a venue that `number` has seen."""
        return self._registry.venues[venue]


def _speaks_of_data(error: Exception) -> bool:
    if isinstance(error, asyncpg.PostgresError):
        return (error.sqlstate or "")[:2] in _DATA_CLASSES
    # What the driver could not even send: a number too large for its column, a text that is not valid Unicode.
    return isinstance(error, ValueError)

"""A replay beside the tables: written by the same statements into temporary tables, and compared there.

The session is made read-only once the temporary tables are there, so the server itself sees to it that nothing else is
written. They are gone with the connection: a comparison that loses it has to be started again.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from collector.errors import CollectorError
from collector.store.batch import Batch, Committed
from collector.store.connection import HeldConnection
from collector.store.dsn import refusals
from collector.store.named import queries
from collector.store.retrying import ATTEMPT_MAX_SECONDS, DATABASE_FAILURES
from collector.store.rows import Rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncpg import Connection

_SQL = queries("difference")

KINDS = ("missing", "extra", "differs")
# For comparing one table, which may hold years of rows.
COMPARE_TIMEOUT_SECONDS = 3600.0


class ComparisonError(CollectorError):
    """A comparison could not be made, or not be finished; the tables are untouched."""


class Example(NamedTuple):
    """A row that differs: as it is in the tables, and as the replay gives it; None where it is not."""

    kind: str
    venue: str | None
    symbol: str | None
    time: datetime
    live: dict[str, Any] | None
    replayed: dict[str, Any] | None


@dataclass
class TableDifference:
    """One table: rows that the replay gave, and how many are missing in the tables, extra there, or differ."""

    rows: int = 0
    missing: int = 0
    extra: int = 0
    differs: int = 0
    columns: dict[str, int] = field(default_factory=dict)
    """How many rows differ in which column."""
    examples: list[Example] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return not (self.missing or self.extra or self.differs)


class Shadow:
    """Takes batches as a writer does, but into temporary tables beside the real ones; then `compare`.

    Nothing is tried again: the temporary tables are gone with their connection. Each method raises `ComparisonError`
    where they cannot be made or are lost.
    """

    def __init__(self, dsn: Callable[[], str]) -> None:
        self._dsn = dsn
        self._rows = Rows()
        self._held = HeldConnection(dsn, self._enter)
        self._begun = False
        self._lost = ""
        """Why the temporary tables are gone."""

    async def _enter(self, connection: Connection) -> None:
        self._rows.forget_numbers()
        await connection.execute(_SQL["open"])

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        if self._begun and not self._held.is_open:
            raise ComparisonError(f"the comparison was cut short ({self._lost}); nothing was changed, start it again")
        try:
            with refusals(self._dsn):
                connection = await self._held.get()
        except DATABASE_FAILURES as error:
            raise ComparisonError(f"no temporary tables to compare with: {error}") from error
        self._begun = True
        try:
            with refusals(self._dsn):
                yield connection
        except DATABASE_FAILURES as error:
            self._held.drop()
            self._lost = f"{type(error).__name__}: {error}"
            raise ComparisonError(
                f"the comparison was cut short ({self._lost}); nothing was changed, start it again"
            ) from error
        except BaseException:
            self._held.drop()
            raise

    async def commit(self, batch: Batch) -> Committed:
        """Store a batch in the temporary tables; return what became of it by table."""
        async with self._connection() as connection:
            numbered = replace(batch, records=await self._rows.number(connection, batch.records))
            return await self._rows.attempt(partial(self._transact, connection, numbered))

    async def _transact(self, connection: Connection, batch: Batch, *, careful: bool) -> Committed:
        async with asyncio.timeout(ATTEMPT_MAX_SECONDS), connection.transaction():
            return await self._rows.store(connection, batch, None, careful=careful)

    async def close(self) -> None:
        """Let the connection and its temporary tables go."""
        with suppress(*DATABASE_FAILURES):
            await self._held.close()

    async def compare(
        self,
        tables: Sequence[str],
        venues: Collection[str],
        received: tuple[datetime, datetime],
        examples: int,
        contested: tuple[datetime, datetime] | None = None,
    ) -> tuple[dict[str, TableDifference], dict[str, int]]:
        """Compare what was received in a span; return it by table, and items that the replay put into quarantine.

        In the span `contested` several processes received at once: which of two that told the same row was first to
        commit it is not to be known, so that `received_at` and `trade_id` may be the other's there.
        """
        differences = {table: TableDifference() for table in tables}
        async with self._connection() as connection:
            for table in tables:
                rows, first, last = await connection.fetchrow(_SQL[f"span_{table}"], *received) or (0, None, None)
                differences[table].rows = rows
                times = (first or received[0], last or received[1])
                await connection.execute(
                    _SQL[f"compare_{table}"],
                    *received,
                    list(venues),
                    *times,
                    *(contested or (None, None)),
                    timeout=COMPARE_TIMEOUT_SECONDS,
                )
            for table, kind, count in await connection.fetch(_SQL["counts"]):
                setattr(differences[table], kind, count)
            for table, column, count in await connection.fetch(_SQL["columns"]):
                differences[table].columns[column] = count
            for table, kind, venue, symbol, time, live, replayed in await connection.fetch(_SQL["examples"], examples):
                differences[table].examples.append(Example(kind, venue, symbol, time, _row(live), _row(replayed)))
            refused = {row["error"]: row["items"] for row in await connection.fetch(_SQL["quarantined"])}
        return differences, refused


def _row(text: str | None) -> dict[str, Any] | None:
    """Read a row with the digits of its numbers as they are."""
    if text is None:
        return None
    row: dict[str, Any] = json.loads(text, parse_float=str)
    return {name: value for name, value in row.items() if name not in ("instrument_id", "venue_id")}

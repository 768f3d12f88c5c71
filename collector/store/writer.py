"""Batches into tables: one statement a table, the journal position and the counts in the same transaction.

The writer never gives a batch up. While the database is away it tries again, for ever, and says so in `state`; a row
that the database refuses is found by bisection and quarantined, and the rest of its batch is stored. Because keys are
natural and the position moves with the rows, writing a batch again changes nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import asyncpg
import orjson
import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_exponential_jitter

from collector.model import Gap, Instrument, Quarantined
from collector.store import encode
from collector.store.batch import Batch, Committed, TableCount
from collector.store.dsn import connect, refusals
from collector.store.errors import DatabaseError
from collector.store.named import queries
from collector.store.registry import Registry

if TYPE_CHECKING:
    from asyncpg import Connection

log = structlog.get_logger()

T = TypeVar("T")

COMMIT_TIMEOUT_SECONDS = 60.0
_SQL = queries("write")

_BAD_ROW = ("22", "23", "54", "0A", "XX")
"""Classes of SQLSTATE that speak of the data and not of the server's state: data, integrity and limit errors, and
(TimescaleDB, for times out of its range) unsupported features and internal errors."""


class _Table(NamedTuple):
    name: str
    statement: str
    encode: encode.Encode
    by_venue: bool = False


_TABLES = (
    _Table("trades", _SQL["insert_trades"], encode.trades),
    _Table("ticks", _SQL["insert_ticks"], encode.ticks),
    _Table("books", _SQL["insert_books"], encode.books),
    _Table("candles", _SQL["upsert_candles"], encode.candles),
    _Table("derivatives", _SQL["insert_derivatives"], encode.derivatives),
    _Table("rates", _SQL["insert_rates"], encode.rates, by_venue=True),
)


class Writer:
    """Commits batches on one connection of its own.

    `journal` is the name under which the database remembers the position and the counts; None, as for a replay, leaves
    both alone and does not quarantine twice what is in quarantine already.
    """

    def __init__(
        self,
        dsn: Callable[[], str],
        journal: str | None,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        longest_wait_seconds: float = 15.0,
    ) -> None:
        self._dsn = dsn
        self._journal = journal
        self._sleep = sleep
        self._wait = wait_exponential_jitter(multiplier=0.1, max=longest_wait_seconds, jitter=0.5)
        self._connection: Connection | None = None
        self._registry = Registry()
        self.state = "not connected yet"
        self.since = time.time()

    def __repr__(self) -> str:
        return f"<Writer {self.state}>"

    @property
    def connected(self) -> bool:
        """Whether the last thing that the writer tried worked."""
        return self.state == "connected"

    async def position(self) -> tuple[int, int] | None:
        """Return the segment and offset up to which the journal is in the tables; None for a database without any."""
        row = await self._for_ever(lambda connection: connection.fetchrow(_SQL["load_position"], self._journal))
        return None if row is None else (row["segment"], row["byte_offset"])

    async def open_gaps(self) -> list[Gap]:
        """Return the gaps that have no end yet."""
        rows = await self._for_ever(lambda connection: connection.fetch(_SQL["open_gaps"]))
        return [
            Gap(Instrument(venue, symbol), stream, from_us, None, from_seq, None, cause, reason)
            for venue, symbol, stream, from_us, from_seq, cause, reason in rows
        ]

    async def commit(self, batch: Batch) -> Committed:
        """Store a batch; returns once it is committed, however long the database is away."""
        return await self._for_ever(lambda connection: self._commit(connection, batch))

    async def close(self) -> None:
        """Let the connection go."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            try:
                await connection.close(timeout=2.0)
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                log.warning("database_close_failed", error=str(error))
                connection.terminate()

    async def _for_ever(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        async for attempt in AsyncRetrying(
            retry=retry_if_exception(_can_pass), wait=self._wait, sleep=self._sleep, before_sleep=self._note_failure
        ):
            with attempt, refusals(self._dsn()):
                try:
                    result = await work(await self._open())
                except BaseException:
                    # Cut, cancelled or refused in the middle: nobody knows the connection's state. A new one is cheap.
                    self._drop_connection()
                    raise
                if not self.connected:
                    log.info("database_connected", after_seconds=round(time.time() - self.since, 1))
                    self.state, self.since = "connected", time.time()
                return result
        raise AssertionError("retries have no end")  # pragma: no cover

    def _drop_connection(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def _open(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(self._dsn())
            self._registry.clear()
        return self._connection

    def _note_failure(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        reason = f"{type(error).__name__}: {error}"
        if self.state != reason:
            self.state, self.since = reason, time.time()
            log.warning("database_away", reason=reason)

    # -- one batch ---------------------------------------------------------------------------------------------------

    async def _commit(self, connection: Connection, batch: Batch) -> Committed:
        await self._registry.prepare(connection, batch.records)
        try:
            async with asyncio.timeout(COMMIT_TIMEOUT_SECONDS), connection.transaction():
                return await self._store(connection, batch, careful=False)
        except asyncpg.PostgresError as error:
            if not _speaks_of_data(error):
                raise
            log.warning("batch_refused", reason=str(error), sqlstate=error.sqlstate)
        async with connection.transaction():
            return await self._store(connection, batch, careful=True)

    async def _store(self, connection: Connection, batch: Batch, *, careful: bool) -> Committed:
        records = batch.records
        refused: list[Quarantined] = []
        committed = Committed()
        parsed_away: dict[str, int] = {}
        for bad in records.quarantine:
            stream = bad.stream or "frames"
            parsed_away[stream] = parsed_away.get(stream, 0) + bad.items
        for table in _TABLES:
            rows: list[Any] = getattr(records, table.name)
            before = len(refused)
            stored = 0
            if rows:
                once = encode.latest_candles(rows) if table.name == "candles" else rows
                if careful:
                    stored = await self._bisect(connection, table, once, refused)
                else:
                    stored = await self._insert(connection, table, once)
            lost = len(refused) - before
            away = parsed_away.pop(table.name, 0)
            if rows or away:
                committed.counts[table.name] = TableCount(
                    len(rows) + away, stored, len(rows) - lost - stored, lost + away
                )
        for name, away in parsed_away.items():
            committed.counts[name] = TableCount(away, 0, 0, away)
        await self._keep_books(connection, batch, [*records.quarantine, *refused], committed)
        return committed

    async def _insert(self, connection: Connection, table: _Table, rows: Sequence[Any]) -> int:
        ids: Any = self._registry.venues if table.by_venue else self._registry.instruments
        status = await connection.execute(table.statement, *table.encode(rows, ids))
        return int(status.rpartition(" ")[2])

    async def _bisect(
        self, connection: Connection, table: _Table, rows: Sequence[Any], refused: list[Quarantined]
    ) -> int:
        """Insert what can be inserted; the rows that cannot be go to `refused`."""
        try:
            async with connection.transaction():
                return await self._insert(connection, table, rows)
        except asyncpg.PostgresError as error:
            if not _speaks_of_data(error):
                raise
            if len(rows) == 1:
                refused.append(_refused_row(table.name, rows[0], error))
                return 0
        middle = len(rows) // 2
        return await self._bisect(connection, table, rows[:middle], refused) + await self._bisect(
            connection, table, rows[middle:], refused
        )

    async def _keep_books(
        self, connection: Connection, batch: Batch, quarantined: list[Quarantined], committed: Committed
    ) -> None:
        records, venues, instruments = batch.records, self._registry.venues, self._registry.instruments
        specs = [(venues[spec.instrument.venue], spec.instrument.symbol, *spec[1:]) for spec in records.instruments]
        sessions = [(session.session_id, venues[session.venue], *session[2:]) for session in records.sessions]
        gaps = [(instruments[gap.instrument], *gap[1:]) for gap in records.gaps]
        for statement, rows in (("update_instrument", specs), ("upsert_session", sessions), ("upsert_gap", gaps)):
            if rows:
                await connection.executemany(_SQL[statement], rows)
        if quarantined:
            await connection.executemany(
                _SQL["insert_quarantine" if self._journal else "insert_quarantine_once"],
                [
                    (
                        bad.received_us, venues[bad.venue], bad.stream, bad.error.replace("\0", "�"), bad.payload,
                        bad.items, "row" if bad.payload.startswith(_ROW) else "frame", batch.segment, batch.byte_offset,
                    )
                    for bad in quarantined
                ],
            )  # fmt: skip
        if self._journal is None:
            return
        counts = committed.counts
        if counts:
            await connection.execute(
                _SQL["add_counts"], self._journal, batch.segment, list(counts),
                *(list(column) for column in zip(*counts.values(), strict=True)),
            )  # fmt: skip
        await connection.execute(_SQL["save_position"], self._journal, batch.segment, batch.byte_offset)


_ROW = b'{"row":'


def _refused_row(table: str, row: Any, error: asyncpg.PostgresError) -> Quarantined:
    venue = row.venue if table == "rates" else row.instrument.venue
    payload = orjson.dumps({"row": table, "values": row._asdict()}, default=list)
    return Quarantined(venue, table, f"the database refused the row: {error}"[:500], payload, 1, row.received_us)


_MAY_PASS = (
    DatabaseError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError,
)  # fmt: skip


def _speaks_of_data(error: asyncpg.PostgresError) -> bool:
    return (error.sqlstate or "")[:2] in _BAD_ROW


def _can_pass(error: BaseException) -> bool:
    """Whether trying again makes sense: everything about the database does, a bug of ours does not."""
    return isinstance(error, _MAY_PASS)

"""Batches into tables: one statement a table, the journal position and the counts in the same transaction.

The writer never gives a batch up. While the database is away it tries again, for ever, and says so in `state`; a row
that the database refuses is found by bisection and quarantined, and the rest of its batch is stored. Because keys are
natural and the position moves with the rows, writing a batch again changes nothing. Where the line is cut between the
server's commit and its answer, the position tells which it was, so that nothing is counted twice.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import asyncpg
import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_exponential_jitter

from collector.model import Gap, GapOutcome, Instrument, Quarantined, Records, Session
from collector.store import encode
from collector.store.batch import Batch, Committed, TableCount
from collector.store.dsn import DRIVER_ERRORS, connect, refusals
from collector.store.errors import DatabaseError, DatabaseWentBackError
from collector.store.named import queries
from collector.store.registry import BY_INSTRUMENT, Registry

if TYPE_CHECKING:
    from asyncpg import Connection

log = structlog.get_logger()

T = TypeVar("T")

COMMIT_TIMEOUT_SECONDS = 60.0
CAREFUL_TIMEOUT_SECONDS = 600.0
"""For a batch that is searched, row by row at the worst, for what the database refuses in it."""
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
    _Table("news", _SQL["insert_news"], encode.news, by_venue=True),
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
        self._known: tuple[int, int] | None = None
        """The position that the database acknowledged last."""
        self._looked_at: Connection | None = None
        """The connection on which that was compared with what it holds."""
        self._unanswered: Committed | None = None
        """What became of a batch whose commit was asked for and never answered."""
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
        self._known = None if row is None else (row["segment"], row["byte_offset"])
        return self._known

    async def open_gaps(self) -> list[Gap]:
        """Return the gaps that have no end yet."""
        rows = await self._for_ever(lambda connection: connection.fetch(_SQL["open_gaps"]))
        return [
            Gap(Instrument(venue, symbol), stream, from_us, None, from_seq, None, cause, reason)
            for venue, symbol, stream, from_us, from_seq, cause, reason in rows
        ]

    async def abandoned(self, idle_seconds: float) -> list[tuple[Session, int]]:
        """Return the sessions that were never closed, each with the time of the last commit in microseconds.

        None where something was committed less than `idle_seconds` ago: they may be another daemon's.
        """
        rows = await self._for_ever(lambda connection: connection.fetch(_SQL["abandoned"], idle_seconds))
        return [
            (Session(session_id, venue, worker, url, opened_us, None, None, frames, details), last_us)
            for session_id, venue, worker, url, opened_us, frames, details, last_us in rows
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
            except _MAY_PASS as error:
                log.warning("database_close_failed", error=str(error))
                connection.terminate()

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

    async def _has_not_gone_back(self, connection: Connection) -> None:
        """Compare the position on a new connection with what was acknowledged on the one before.

        A server that was restored from a backup, or a replica that took over and was behind, has lost rows that it had
        said to hold. Raises `DatabaseWentBackError`.
        """
        if connection is self._looked_at or self._known is None:
            return
        row = await connection.fetchrow(_SQL["load_position"], self._journal)
        if row is None or tuple(row) < self._known:
            held = None if row is None else tuple(row)
            self._known, self._unanswered = held, None
            raise DatabaseWentBackError(
                f"it had acknowledged more than it holds; it stands at {held or 'the beginning'}"
            )
        self._looked_at = connection

    async def _commit(self, connection: Connection, batch: Batch) -> Committed:
        await self._has_not_gone_back(connection)
        unanswered, self._unanswered = self._unanswered, None
        if unanswered is not None and await self._reached(connection, batch):
            self._known = batch.segment, batch.byte_offset
            return unanswered
        unnamable = await self._registry.prepare(connection, batch.records)
        if unnamable:
            batch = replace(batch, records=_without(batch.records, unnamable))
        try:
            return await self._transact(connection, batch, careful=False)
        except _REFUSALS as error:
            if not _speaks_of_data(error):
                raise
            log.warning("batch_refused", reason=str(error), sqlstate=getattr(error, "sqlstate", None))
        return await self._transact(connection, batch, careful=True)

    async def _reached(self, connection: Connection, batch: Batch) -> bool:
        async with asyncio.timeout(COMMIT_TIMEOUT_SECONDS), connection.transaction():
            # Waits for the former transaction where the server is still busy with it.
            row = await connection.fetchrow(_SQL["lock_position"], self._journal)
        return row is not None and tuple(row) == (batch.segment, batch.byte_offset)

    async def _transact(self, connection: Connection, batch: Batch, *, careful: bool) -> Committed:
        async with asyncio.timeout(CAREFUL_TIMEOUT_SECONDS if careful else COMMIT_TIMEOUT_SECONDS):
            async with connection.transaction():
                committed = await self._store(connection, batch, careful=careful)
                self._unanswered = committed
            self._unanswered = None
        if self._journal is not None:
            self._known = batch.segment, batch.byte_offset
        return committed

    async def _store(self, connection: Connection, batch: Batch, *, careful: bool) -> Committed:
        records = batch.records
        refused: list[Quarantined] = []
        parsed_away: dict[str, int] = {}
        for bad in records.quarantine:
            stream = clean(bad.stream or "frames")
            parsed_away[stream] = parsed_away.get(stream, 0) + bad.items
        committed = Committed(await self._facts(connection, records, refused, careful=careful))
        for name, away in parsed_away.items():
            committed.counts[name] = committed.counts.get(name, TableCount()) + TableCount(away, 0, 0, away)
        await self._keep_books(connection, batch, refused, careful=careful)
        await self._quarantine(connection, batch, [*records.quarantine, *refused])
        await self._move_on(connection, batch, committed)
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
                refused.append(_refused_row(table.name, rows[0], error))
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
        tables = (
            ("instruments", "update_instrument", records.instruments,
             [(venues[spec.instrument.venue], spec.instrument.symbol, *spec[1:]) for spec in records.instruments]),
            ("sessions", "upsert_session", records.sessions,
             [(session.session_id, venues[session.venue], *map(clean, session[2:])) for session in records.sessions]),
            ("gaps", "upsert_gap", records.gaps,
             [(instruments[gap.instrument], *map(clean, gap[1:])) for gap in records.gaps]),
            ("outcomes", "close_gap", records.outcomes,
             [(instruments[one.instrument], *map(clean, one[1:])) for one in records.outcomes]),
        )  # fmt: skip
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
                    refused.append(_refused_row(name, one, error, items=0))

    async def _quarantine(self, connection: Connection, batch: Batch, quarantined: Sequence[Quarantined]) -> None:
        if quarantined:
            venues = self._registry.venues
            await connection.executemany(
                _SQL["insert_quarantine" if self._journal else "insert_quarantine_once"],
                [
                    (
                        bad.received_us, venues[bad.venue], clean(bad.stream), clean(bad.error), bad.payload,
                        bad.items, "row" if bad.payload.startswith(_ROW) else "frame", batch.segment,
                        batch.byte_offset, *([self._journal] if self._journal else []),
                    )
                    for bad in quarantined
                ],
            )  # fmt: skip

    async def _move_on(self, connection: Connection, batch: Batch, committed: Committed) -> None:
        if self._journal is None:
            return
        counts = committed.counts
        if not counts:
            await connection.execute(_SQL["save_position"], self._journal, batch.segment, batch.byte_offset)
            return
        await connection.execute(
            _SQL["move_on"], self._journal, batch.segment, batch.byte_offset, list(counts),
            *(list(column) for column in zip(*counts.values(), strict=True)),
        )  # fmt: skip


_ROW = b'{"row":'


def _refused_row(table: str, row: Any, error: Exception | str, *, items: int = 1) -> Quarantined:
    venue = row.venue if table in ("rates", "news", "sessions") else row.instrument.venue
    reason = error if isinstance(error, str) else f"the database refused the row: {error}"[:500]
    # Not orjson, which refuses a text that is not valid Unicode: exactly that may be what is wrong.
    text = json.dumps({"row": table, "values": row._asdict()}, default=list, separators=(",", ":"))
    return Quarantined(venue, table, reason, text.encode(), items, _moment_us(row))


def _moment_us(row: Any) -> int:
    match row:
        case Session():
            moment = row.opened_us if row.closed_us is None else row.closed_us
        case Gap() | GapOutcome():
            moment = row.from_us
        case _:
            moment = row.received_us
    return int(moment)


def clean(value: T) -> T | str:
    """Make a text one that the server takes: no NUL, valid Unicode."""
    if isinstance(value, str):
        return value.replace("\0", "�").encode("utf-8", "replace").decode()
    return value


def _without(records: Records, unnamable: set[Instrument]) -> Records:
    """Set rows of instruments that can have no number apart into quarantine; the sum of the items stays."""
    kept = Records()
    kept.items = records.items
    kept.sessions, kept.rates, kept.news = records.sessions, records.rates, records.news
    kept.quarantine = records.quarantine[:]
    facts = {table.name for table in _TABLES}
    for name in BY_INSTRUMENT:
        rows: list[Any] = getattr(records, name)
        setattr(kept, name, [row for row in rows if row.instrument not in unnamable])
        kept.quarantine += [
            _refused_row(name, row, "no instrument can have such a name", items=int(name in facts))
            for row in rows if row.instrument in unnamable
        ]  # fmt: skip
    return kept


_MAY_PASS = (DatabaseError, *DRIVER_ERRORS, OSError, TimeoutError)


_REFUSALS = (asyncpg.PostgresError, asyncpg.InterfaceError)


def _speaks_of_data(error: Exception) -> bool:
    if isinstance(error, asyncpg.PostgresError):
        return (error.sqlstate or "")[:2] in _BAD_ROW
    # What the driver could not even send: a number too large for its column, a text that is not valid Unicode.
    return isinstance(error, ValueError)


def _can_pass(error: BaseException) -> bool:
    """Whether trying again makes sense: everything about the database does, a bug of ours does not."""
    return isinstance(error, _MAY_PASS) and not isinstance(error, DatabaseWentBackError)

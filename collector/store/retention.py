"""Compresses old rows where the server can, and deletes them where the settings say so.

Rows are kept while a gap among them may still be repaired, trades until they are in the rollups, and rows that
`collector backfill` fetched when they were already older than the table's limit. TimescaleDB's own retention policy
knows none of this, so the daemon deletes rows itself. What is to be deleted is first noted in the table `retention`;
the view `coverage` shows it as expired.
"""

from __future__ import annotations

from collector.store.connection import connected

__all__ = ["Retention", "Rule"]

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from collector.store.dsn import DRIVER_ERRORS
from collector.store.errors import DatabaseUnreachableError
from collector.store.locks import RETENTION_LOCK
from collector.store.named import queries

if TYPE_CHECKING:
    from asyncpg import Connection

# Rows that one statement deletes where the table has no chunks: a longer transaction would hold up vacuum and replicas.
DELETED_ROWS_MAX = 10_000
# For one statement; compressing a chunk of a busy day takes minutes.
STATEMENT_TIMEOUT_SECONDS = 600.0

_SQL = queries("retention")
_ROLLED = queries("rollups")
_ROLLUPS = {
    "kept_trades_1m": "1 minute",
    "kept_trades_5m": "5 minutes",
    "kept_trades_1h": "1 hour",
    "kept_trades_1d": "1 day",
}


class Rule(NamedTuple):
    """After which age a table's rows are compressed and deleted; None: never."""

    table: str
    compress_after: timedelta | None
    keep: timedelta | None


class Retention:
    """Applies the rules, each time on a new connection, since that happens rarely."""

    def __init__(
        self, dsn: Callable[[], str], rules: Sequence[Rule], *, keep_backfills: bool, repaired_for: timedelta | None
    ) -> None:
        """`repaired_for` is the age up to which gaps are repaired; None: any age."""
        self._dsn = dsn
        self._rules = rules
        self._keep_backfills = keep_backfills
        self._repaired_for = None if repaired_for is None else repaired_for.total_seconds()
        self.uncompressed: set[str] = set()
        """Tables whose rule asks for compression, on a server that has none."""

    async def apply(self, now_us: int) -> dict[str, int]:
        """Compress and delete what is due; return how many chunks or rows were deleted, by table.

        Raises `DatabaseError`.
        """
        gone: dict[str, int] = {}
        try:
            async with connected(self._dsn()) as connection:
                await connection.execute(_SQL["set_timeouts"])
                if not await connection.fetchval(_SQL["lock"], RETENTION_LOCK):
                    return gone
                for rule in self._rules:
                    async with asyncio.timeout(STATEMENT_TIMEOUT_SECONDS):
                        can = await connection.fetchval(_SQL["compress"], rule.table, _seconds(rule.compress_after))
                    (self.uncompressed.discard if can else self.uncompressed.add)(rule.table)
                    if rule.keep is not None:
                        gone[rule.table] = await self._expire(connection, rule.table, rule.keep, now_us)
        except (*DRIVER_ERRORS, TimeoutError) as error:
            raise DatabaseUnreachableError(f"old rows stay for now: {error or 'no answer'}") from error
        return gone

    async def _expire(self, connection: Connection, table: str, keep: timedelta, now_us: int) -> int:
        await connection.execute(_SQL["note"], table, keep.total_seconds(), self._keep_backfills)
        cut = await connection.fetchval(_SQL["cut"], table, keep.total_seconds(), now_us, self._repaired_for)
        if cut is None:
            return 0
        if table == "trades":
            await self._hold_rollups(connection, keep, cut)
        gone = 0
        while True:
            async with asyncio.timeout(STATEMENT_TIMEOUT_SECONDS):
                some = int(await connection.fetchval(_SQL["expire"], table, cut, DELETED_ROWS_MAX))
            gone += some
            if not some:
                return gone

    async def _hold_rollups(self, connection: Connection, keep: timedelta, cut: object) -> None:
        """Where the server keeps the rollups: refresh them, and keep them when their trades are deleted."""
        if not await connection.fetchval(_ROLLED["kept_by_the_server"]):
            return
        reached = await connection.fetchval(_SQL["expired_to"], "trades")
        for name, width in _ROLLUPS.items():
            await connection.execute(_SQL["refresh"], name, reached, cut)
            await connection.execute(_SQL["hold_rollups"], name, keep.total_seconds(), width)


def _seconds(span: timedelta | None) -> float | None:
    return None if span is None else span.total_seconds()

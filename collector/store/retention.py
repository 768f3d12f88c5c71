"""Old rows: compressed where the server can, deleted where the settings say so, and never too soon.

Nothing goes while a gap in it may still be repaired, nor trades before they are in the rollups, nor what
`collector backfill` fetched when it was older than the table keeps already: a policy of the server's own would know
none of this, so the daemon deletes on every edition. What was deleted is in the table `retention` before it is gone;
the view `coverage` tells it as expired.
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
from collector.store.named import queries

if TYPE_CHECKING:
    from asyncpg import Connection

LOCK_KEY = 7_303_014_201_563_187_043  # any number that nobody else's lock uses
# Rows that one statement deletes at the most, where there are no chunks.
ROWS = 10_000
TIMEOUT_SECONDS = 600.0

_SQL = queries("retention")
_ROLLED = queries("rollups")
_ROLLUPS = {
    "kept_trades_1m": "1 minute",
    "kept_trades_5m": "5 minutes",
    "kept_trades_1h": "1 hour",
    "kept_trades_1d": "1 day",
}


class Rule(NamedTuple):
    """What is wanted of a table of facts; None: never."""

    table: str
    compress_after: timedelta | None
    keep: timedelta | None


class Retention:
    """Applies the rules on a connection of its own, which it makes each time: it is not often asked to."""

    def __init__(
        self, dsn: Callable[[], str], rules: Sequence[Rule], *, keep_backfills: bool, repaired_for: timedelta | None
    ) -> None:
        """`repaired_for`: the age up to which a gap is repaired; None for any."""
        self._dsn = dsn
        self._rules = rules
        self._keep_backfills = keep_backfills
        self._repaired_for = None if repaired_for is None else repaired_for.total_seconds()
        self.uncompressed: set[str] = set()
        """Tables that are to be compressed and that this server cannot compress."""

    async def apply(self, now_us: int) -> dict[str, int]:
        """Do all that is due; returns how many chunks or rows went, by table. Raises `DatabaseError`."""
        gone: dict[str, int] = {}
        try:
            async with connected(self._dsn()) as connection:
                await connection.execute(_SQL["set_timeouts"])
                if not await connection.fetchval(_SQL["lock"], LOCK_KEY):
                    return gone
                for rule in self._rules:
                    async with asyncio.timeout(TIMEOUT_SECONDS):
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
            async with asyncio.timeout(TIMEOUT_SECONDS):
                some = int(await connection.fetchval(_SQL["expire"], table, cut, ROWS))
            gone += some
            if not some:
                return gone

    async def _hold_rollups(self, connection: Connection, keep: timedelta, cut: object) -> None:
        """Where the server keeps the rollups: bring them up to date, and let them stay when their trades go."""
        if not await connection.fetchval(_ROLLED["kept_by_the_server"]):
            return
        reached = await connection.fetchval(_SQL["expired_to"], "trades")
        for name, width in _ROLLUPS.items():
            await connection.execute(_SQL["refresh"], name, reached, cut)
            await connection.execute(_SQL["hold_rollups"], name, keep.total_seconds(), width)


def _seconds(span: timedelta | None) -> float | None:
    return None if span is None else span.total_seconds()

"""Rollups: bars of a minute, five minutes, an hour and a day, made from trades where the server does not make them.

Each transaction that stores trades also notes their minutes in `trades_touched`. In one transaction, a pass deletes the
notes of past minutes and recomputes these minutes and the longer bars above them. If it sees a note, it also sees the
rows that the note belongs to; a note that it does not see yet is left for the next pass. So late trades, repairs and
backfills need no special care, from any number of processes. Trades that were stored before there were notes are built
once, a day of an instrument at a time.
"""

from __future__ import annotations

__all__ = ["Rollups"]

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from collector.store.connection import HeldConnection
from collector.store.dsn import DRIVER_ERRORS, refusals
from collector.store.errors import DatabaseError, DatabaseUnreachableError
from collector.store.locks import ROLLUP_LOCK
from collector.store.named import queries

if TYPE_CHECKING:
    from asyncpg import Connection

# Minutes that one transaction recomputes: more would make it long, fewer would make more of them.
NOTES_PER_PASS_MAX = 5000
# How long after its end a minute is left alone: most late trades have arrived by then, and each that arrives even later
# has the minute recomputed.
LATE_TRADES_GRACE_US = 2_000_000
# For one pass, the longest of which builds a day of an instrument from its trades.
PASS_TIMEOUT_SECONDS = 600.0

_SQL = queries("rollups")
_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)
_LEVELS = (("roll_5m", 300), ("roll_1h", 3600), ("roll_1d", 86_400))

# Instrument and opening.
Bar = tuple[int, datetime]


class Rollups:
    """Keeps the rollups on one connection, which is cut after any failure; `dsn` is called each time one is made."""

    def __init__(self, dsn: Callable[[], str]) -> None:
        self._dsn = dsn
        self._held = HeldConnection(dsn, self._set_up)
        self._by_the_server = False

    async def catch_up(self, now_us: int) -> int:
        """Recompute all past minutes that have new trades; return how many there were.

        Returns 0 where the server keeps the bars or another process is doing it. Raises `DatabaseError`.
        """
        done = 0
        try:
            with refusals(self._dsn()):
                connection = await self._held.get()
                more = not self._by_the_server
                while more:
                    async with asyncio.timeout(PASS_TIMEOUT_SECONDS):
                        made, more = await self._pass(connection, now_us - LATE_TRADES_GRACE_US)
                    done += made
        except (*DRIVER_ERRORS, TimeoutError) as error:
            self.close()
            raise DatabaseUnreachableError(f"the rollups cannot be kept: {error or 'no answer'}") from error
        except (DatabaseError, asyncio.CancelledError):
            self.close()
            raise
        return done

    def close(self) -> None:
        """Close the connection."""
        self._held.drop()

    async def _set_up(self, connection: Connection) -> None:
        # A generic plan would look into every chunk of the table.
        await connection.execute("set plan_cache_mode = force_custom_plan")
        self._by_the_server = await connection.fetchval(_SQL["kept_by_the_server"])

    async def _pass(self, connection: Connection, before_us: int) -> tuple[int, bool]:
        """Return how many minutes were recomputed, and whether there is more to do."""
        async with connection.transaction(isolation="read_committed"):
            if not await connection.fetchval(_SQL["lock"], ROLLUP_LOCK):
                return 0, False
            built = await self._build(connection)
            notes = await connection.fetch(_SQL["take"], before_us // 60_000_000 * 60_000_000, NOTES_PER_PASS_MAX)
            minutes = {(number, minute) for number, minute in notes}
            if minutes:
                first = min(minute for _, minute in minutes)
                last = max(minute for _, minute in minutes)
                await connection.execute(_SQL["roll_1m"], *_columns(minutes), first, last + _MINUTE)
                await self._roll(connection, minutes)
        return len(minutes) + built, bool(built) or len(notes) == NOTES_PER_PASS_MAX

    async def _build(self, connection: Connection) -> int:
        """Build a day of an instrument that has trades from before there were notes.

        Return its minutes, 0 at the end.
        """
        await connection.execute(_SQL["begin_empty"])
        while row := await connection.fetchrow(_SQL["unbuilt"]):
            number, moment = row
            if moment is None:
                await connection.execute(_SQL["note_progress"], number, None)
                continue
            day = _opening(moment, 86_400)
            minutes = {
                (number, minute) for (minute,) in await connection.fetch(_SQL["build_day"], number, day, day + _DAY)
            }
            await self._roll(connection, minutes)
            await connection.execute(_SQL["note_progress"], number, day + _DAY)
            return len(minutes)
        return 0

    async def _roll(self, connection: Connection, bars: set[Bar]) -> None:
        for statement, seconds in _LEVELS:
            bars = {(number, _opening(moment, seconds)) for number, moment in bars}
            await connection.execute(_SQL[statement], *_columns(bars))


def _opening(moment: datetime, seconds: int) -> datetime:
    whole = int(moment.timestamp())
    return datetime.fromtimestamp(whole - whole % seconds, UTC)


def _columns(bars: Iterable[Bar]) -> tuple[list[int], list[datetime]]:
    # Sorted, so that two processes lock the rows in the same order and cannot deadlock.
    ordered = sorted(bars)
    return [number for number, _ in ordered], [moment for _, moment in ordered]

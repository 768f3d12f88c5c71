"""Bars of a minute, five minutes, an hour and a day, kept from trades where the server does not keep them by itself.

Whoever stores trades notes their minutes (`trades_touched`) in the transaction of the rows. A pass takes notes of
minutes that are over away and makes those minutes anew, and the longer bars above them, in one transaction: a note that
it sees belongs to rows that it sees, in whatever order transactions commit, and a note that it does not see is left
for the next pass. So late trades, repairs and backfills, from any number of processes, need nothing special. What was
stored before notes were taken is built once, a day of an instrument at a time.
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
from collector.store.named import queries

if TYPE_CHECKING:
    from asyncpg import Connection

LOCK_KEY = 7_303_014_201_563_187_042  # any number that nobody else's lock uses
# Notes that one pass takes at the most: a transaction of a moment, whatever has piled up.
NOTES = 5000
# A minute is left to the trades themselves for so long after its end: most of what comes late has come by then.
GRACE_US = 2_000_000
TIMEOUT_SECONDS = 600.0

_SQL = queries("rollups")
_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)
_LEVELS = (("roll_5m", 300), ("roll_1h", 3600), ("roll_1d", 86_400))

# Instrument and opening.
Bar = tuple[int, datetime]


class Rollups:
    """One connection, made when it is needed and given up on any failure; `dsn` is asked each time."""

    def __init__(self, dsn: Callable[[], str]) -> None:
        self._dsn = dsn
        self._held = HeldConnection(dsn, self._set_up)
        self._by_the_server = False

    async def catch_up(self, now_us: int) -> int:
        """Make bars of all minutes that are over and were touched; returns how many minutes there were.

        Returns at once where the server keeps the bars, or another process is at it. Raises `DatabaseError`.
        """
        done = 0
        try:
            with refusals(self._dsn()):
                connection = await self._held.get()
                more = not self._by_the_server
                while more:
                    async with asyncio.timeout(TIMEOUT_SECONDS):
                        made, more = await self._pass(connection, now_us - GRACE_US)
                    done += made
        except (*DRIVER_ERRORS, TimeoutError) as error:
            self.close()
            raise DatabaseUnreachableError(f"the rollups cannot be kept: {error or 'no answer'}") from error
        except (DatabaseError, asyncio.CancelledError):
            self.close()
            raise
        return done

    def close(self) -> None:
        """Let the connection go."""
        self._held.drop()

    async def _set_up(self, connection: Connection) -> None:
        # A general plan would look into every chunk of the table.
        await connection.execute("set plan_cache_mode = force_custom_plan")
        self._by_the_server = await connection.fetchval(_SQL["kept_by_the_server"])

    async def _pass(self, connection: Connection, before_us: int) -> tuple[int, bool]:
        """Return how many minutes were made, and whether there is more to do."""
        async with connection.transaction(isolation="read_committed"):
            if not await connection.fetchval(_SQL["lock"], LOCK_KEY):
                return 0, False
            built = await self._build(connection)
            notes = await connection.fetch(_SQL["take"], before_us // 60_000_000 * 60_000_000, NOTES)
            minutes = {(number, minute) for number, minute in notes}
            if minutes:
                first = min(minute for _, minute in minutes)
                last = max(minute for _, minute in minutes)
                await connection.execute(_SQL["roll_1m"], *_columns(minutes), first, last + _MINUTE)
                await self._roll(connection, minutes)
        return len(minutes) + built, bool(built) or len(notes) == NOTES

    async def _build(self, connection: Connection) -> int:
        """Build a day of an instrument that had trades before notes were taken; returns its minutes, 0 for the end."""
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
    # In order, so that two processes would wait for each other and not for ever.
    ordered = sorted(bars)
    return [number for number, _ in ordered], [moment for _, moment in ordered]

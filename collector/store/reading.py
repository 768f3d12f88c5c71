"""Reading for people: one connection that cannot write, whose every question is bounded in time and in number.

A status page must never be what a database is slow for. So there is one question at a time, the server itself ends
those that take too long, and who comes when too many wait is sent away.
"""

from __future__ import annotations

__all__ = ["QUESTION_SECONDS", "WAITING_QUESTIONS", "Reader"]

import asyncio
from collections.abc import Callable
from typing import Any

import asyncpg

from collector.store.connection import HeldConnection
from collector.store.dsn import DRIVER_ERRORS, refusals
from collector.store.errors import DatabaseBusyError, DatabaseError, DatabaseUnreachableError

QUESTION_SECONDS = 5.0
# By then the server has ended a question itself; after it the connection is given up.
GRACE_SECONDS = 2.0
WAITING_QUESTIONS = 16

_SETTINGS = """
select set_config('default_transaction_read_only', 'on', false),
       set_config('statement_timeout', $1, false),
       set_config('jit', 'off', false),
       set_config('timezone', 'UTC', false),
       set_config('application_name', 'collector status page', false)
"""


class Reader:
    """Asks the database; `dsn` is asked each time that a connection is made."""

    def __init__(self, dsn: Callable[[], str], *, seconds: float = QUESTION_SECONDS) -> None:
        self._dsn = dsn
        self._seconds = seconds
        self._held = HeldConnection(dsn, self._set_up, timeout_seconds=seconds)
        self._lock = asyncio.Lock()
        self._waiting = 0

    def __repr__(self) -> str:
        return f"<Reader waiting={self._waiting}>"

    async def rows(self, statement: str, *parameters: Any) -> list[asyncpg.Record]:
        """Return a statement's rows.

        Raises:
            DatabaseBusyError: too many wait already, or the answer took too long.
            DatabaseError: the database is away or refuses.

        """
        if self._waiting >= WAITING_QUESTIONS:
            raise DatabaseBusyError(f"{self._waiting} questions wait for the database already: ask again later")
        self._waiting += 1
        try:
            async with self._lock:
                return await self._ask(statement, *parameters)
        finally:
            self._waiting -= 1

    async def _ask(self, statement: str, *parameters: Any) -> list[asyncpg.Record]:
        dsn = self._dsn()
        try:
            with refusals(dsn):
                connection = await self._held.get()
                return list(await connection.fetch(statement, *parameters, timeout=self._seconds + GRACE_SECONDS))
        except asyncpg.QueryCanceledError as error:
            raise DatabaseBusyError(f"the answer took longer than {self._seconds:g} s: ask for less") from error
        except DRIVER_ERRORS as error:
            self.close()
            raise DatabaseUnreachableError(f"the tables cannot be read: {error}") from error
        except (DatabaseError, asyncio.CancelledError):
            self.close()
            raise

    def close(self) -> None:
        """Let the connection go."""
        self._held.drop()

    async def _set_up(self, connection: asyncpg.Connection) -> None:
        await connection.fetch(_SETTINGS, f"{self._seconds * 1000:.0f}")

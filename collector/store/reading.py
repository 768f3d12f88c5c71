"""Queries for the status page: on one connection that cannot write, and bounded in time and number.

The status page must not slow the database down. So its queries run one at a time, the server ends those that take too
long, and queries are refused while too many wait.
"""

from __future__ import annotations

__all__ = ["QUERY_MAX_SECONDS", "WAITING_QUERIES_MAX", "Reader"]

import asyncio
from collections.abc import Callable
from typing import Any

import asyncpg

from collector.store.connection import HeldConnection
from collector.store.dsn import DRIVER_ERRORS, refusals
from collector.store.errors import DatabaseBusyError, DatabaseError, DatabaseUnreachableError

# The server ends a query that takes longer: nobody who looks at a page waits longer either.
QUERY_MAX_SECONDS = 5.0
# How much longer the server may take to report that, before the connection is cut.
CANCEL_GRACE_SECONDS = 2.0
# Queries that may wait for the running one. More are refused at once: they would wait for a minute or longer.
WAITING_QUERIES_MAX = 16

_SETTINGS = """
select set_config('default_transaction_read_only', 'on', false),
       set_config('statement_timeout', $1, false),
       set_config('jit', 'off', false),
       set_config('timezone', 'UTC', false),
       set_config('application_name', 'collector status page', false)
"""


class Reader:
    """Runs queries that cannot write; `dsn` is called each time a connection is made."""

    def __init__(self, dsn: Callable[[], str], *, seconds: float = QUERY_MAX_SECONDS) -> None:
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
        if self._waiting >= WAITING_QUERIES_MAX:
            raise DatabaseBusyError(f"{self._waiting} queries are waiting for the database already: try again later")
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
                return list(
                    await connection.fetch(statement, *parameters, timeout=self._seconds + CANCEL_GRACE_SECONDS)
                )
        except asyncpg.QueryCanceledError as error:
            raise DatabaseBusyError(f"the answer took longer than {self._seconds:g} s: ask for less") from error
        except DRIVER_ERRORS as error:
            self.close()
            raise DatabaseUnreachableError(f"the tables cannot be read: {error}") from error
        except (DatabaseError, asyncio.CancelledError):
            self.close()
            raise

    def close(self) -> None:
        """Close the connection."""
        self._held.drop()

    async def _set_up(self, connection: asyncpg.Connection) -> None:
        await connection.fetch(_SETTINGS, f"{self._seconds * 1000:.0f}")

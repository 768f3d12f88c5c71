"""Connections to the database: `connected` for a few queries, `HeldConnection` to keep one open.

A held connection asks for the address each time it connects: the embedded server may have another port after a restart.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import asyncpg

from collector.store.dsn import connect, refusals

# A connection that takes longer to close is cut: everything worth keeping is committed by then.
CLOSE_TIMEOUT_SECONDS: Final = 5.0

Prepare = Callable[[asyncpg.Connection], Awaitable[object]]


@asynccontextmanager
async def connected(
    dsn: str, *, timeout_seconds: float | None = None, closing_seconds: float = CLOSE_TIMEOUT_SECONDS
) -> AsyncIterator[asyncpg.Connection]:
    """Open a connection for the block. Failures to reach or enter the database are raised as `DatabaseError`.

    After any failure the connection is cut, not closed: a query may still be running on it.
    """
    with refusals(dsn):
        connection = await connect(dsn, timeout_seconds=timeout_seconds)
        try:
            yield connection
        except BaseException:
            connection.terminate()
            raise
        await connection.close(timeout=closing_seconds)


class HeldConnection:
    """One connection that is made when it is first needed, and again after `drop`.

    Its users call `drop` after a failure. `prepare` is awaited with each new connection before anybody gets it.
    """

    def __init__(
        self, dsn: Callable[[], str], prepare: Prepare | None = None, *, timeout_seconds: float | None = None
    ) -> None:
        self._dsn = dsn
        self._prepare = prepare
        self._timeout_seconds = timeout_seconds
        self._connection: asyncpg.Connection | None = None

    def __repr__(self) -> str:
        return f"<HeldConnection {'open' if self.is_open else 'not open'}>"

    @property
    def is_open(self) -> bool:
        """Whether there is a connection and it is not closed."""
        return self._connection is not None and not self._connection.is_closed()

    async def get(self) -> asyncpg.Connection:
        """Return the connection, a new one where none is open. Raises what `connect` and `prepare` raise."""
        if self._connection is None or self._connection.is_closed():
            self.drop()
            connection = await connect(self._dsn(), timeout_seconds=self._timeout_seconds)
            try:
                if self._prepare is not None:
                    await self._prepare(connection)
            except BaseException:
                connection.terminate()
                raise
            self._connection = connection
        return self._connection

    def drop(self) -> None:
        """Cut the connection: after a failure its state is unknown, and a new one is cheap."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def close(self, seconds: float = CLOSE_TIMEOUT_SECONDS) -> None:
        """Close the connection within so many seconds. Where the driver raises, it is cut and the error passed on."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            try:
                await connection.close(timeout=seconds)
            except BaseException:
                connection.terminate()
                raise

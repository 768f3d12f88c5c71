"""Connections to the database: one that is held for long, and one for a few questions.

Both ask for the address each time that they connect: the embedded server's port may change when it is started again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import asyncpg

from collector.store.dsn import connect, refusals

# A connection that does not close in so long is cut.
CLOSING_SECONDS: Final = 5.0

Prepare = Callable[[asyncpg.Connection], Awaitable[object]]


@asynccontextmanager
async def connected(
    dsn: str, *, timeout_seconds: float | None = None, closing_seconds: float = CLOSING_SECONDS
) -> AsyncIterator[asyncpg.Connection]:
    """Give a connection for the block. What the driver says of reaching and entering is told as `DatabaseError`.

    After a failure it is cut, whatever was under way.
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
    """One connection, made when it is needed; whoever meets a failure drops it.

    `prepare` is awaited with each new one before anybody gets it.
    """

    def __init__(
        self, dsn: Callable[[], str], prepare: Prepare | None = None, *, timeout_seconds: float | None = None
    ) -> None:
        self._dsn = dsn
        self._prepare = prepare
        self._timeout_seconds = timeout_seconds
        self._connection: asyncpg.Connection | None = None

    def __repr__(self) -> str:
        return f"<HeldConnection {'stands' if self.stands else 'is not made'}>"

    @property
    def stands(self) -> bool:
        """Whether there is one that is not closed."""
        return self._connection is not None and not self._connection.is_closed()

    async def get(self) -> asyncpg.Connection:
        """Return it, made anew where it does not stand. Raises what `connect` and `prepare` raise."""
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
        """Cut it: nobody knows its state, and a new one is cheap."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def close(self, seconds: float = CLOSING_SECONDS) -> None:
        """Let it go in an orderly way. Raises what the driver raises; it is gone all the same."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            try:
                await connection.close(timeout=seconds)
            except BaseException:
                connection.terminate()
                raise

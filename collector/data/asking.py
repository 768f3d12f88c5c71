"""One connection that is asked, one question after another; answers are tables of Arrow."""

from __future__ import annotations

from collector.store.connection import HeldConnection

__all__ = ["Asking"]

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import asyncpg

from collector.data.blocks import stream
from collector.data.columns import fitted, kinds_of, schema, table
from collector.data.errors import ClosedError, DataError, QueryError
from collector.data.extras import extra
from collector.data.source import Source, opened
from collector.store.dsn import DRIVER_ERRORS, refusals
from collector.store.named import queries

if TYPE_CHECKING:
    import pyarrow as pa

_SETTINGS = queries("export")["settings"]


class Asking:
    """Opens its source at the first question, and its connection again where it was lost."""

    def __init__(self, source: Source, *, floats: bool) -> None:
        self._source = source
        self._floats = floats
        self._turn = asyncio.Lock()
        self._open = AsyncExitStack()
        self._dsn: str | None = None
        self._held = HeldConnection(lambda: self._dsn or "")
        self._closed = False

    async def ask(self, query: str, arguments: tuple[Any, ...]) -> pa.Table:
        """Return a question's answer, in a transaction that can change nothing.

        Raises `DatabaseError` where the database is not to be had, and `QueryError` where it refuses the question.
        """
        extra("pyarrow", "export")
        async with self._turn:
            connection = await self._connected()
            assert self._dsn is not None
            try:
                with refusals(self._dsn):
                    async with connection.transaction(isolation="repeatable_read", readonly=True):
                        await connection.execute(_SETTINGS)
                        return await self._answer(connection, query, arguments)
            except asyncpg.InternalClientError as error:  # the line was cut between two steps of a question
                connection.terminate()
                raise QueryError(f"the connection was lost: {error}") from error
            except asyncpg.PostgresError as error:
                raise QueryError(f"the database refuses this: {error}") from error
            except (asyncpg.InterfaceError, ValueError, TypeError) as error:
                raise QueryError(f"this cannot be asked: {error}") from error

    async def _answer(self, connection: asyncpg.Connection, query: str, arguments: tuple[Any, ...]) -> pa.Table:
        statement = await connection.prepare(query)
        columns = kinds_of(statement.get_attributes())
        if not columns:
            raise QueryError("the statement gives no rows: only questions can be asked")
        wanted, parts = schema(columns), []
        await stream(connection, query, arguments, lambda block: parts.append(table(block, columns, wanted)))
        return await asyncio.to_thread(fitted, parts or [wanted.empty_table()], columns, floats=self._floats)

    async def _connected(self) -> asyncpg.Connection:
        if self._closed:
            raise ClosedError("this market was closed: make another one")
        if self._dsn is None:
            self._dsn = await self._open.enter_async_context(opened(self._source))
        return await self._held.get()

    async def close(self) -> None:
        """Close the connection, and stop the server if it was started for us."""
        self._closed = True
        async with self._turn:
            try:
                await self._held.close()
            except (*DRIVER_ERRORS, OSError, TimeoutError) as error:
                raise DataError(f"the connection did not close in order: {error}") from error
            finally:
                await self._open.aclose()

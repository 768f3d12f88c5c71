"""The database for commands that work beside a daemon or without one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from collector.config import Config
from collector.store.embedded import EmbeddedServer
from collector.store.errors import ServerBusyError
from collector.store.migrate import migrate


@asynccontextmanager
async def attached(config: Config, *, into: str | None = None) -> AsyncIterator[str]:
    """Give the DSN of `into`, of the configured database, or of the embedded one; its tables are up to date.

    The embedded server is entered where a daemon has it running, and else started for as long as the block lasts.
    Raises `DatabaseError`.
    """
    dsn = into or (config.database.dsn.get_secret_value() if config.database.dsn else None)
    if dsn is not None:
        await migrate(dsn)
        yield dsn
        return
    server = EmbeddedServer(config.data_dir)
    try:
        dsn = await server.start()
    except ServerBusyError:
        yield server.known_dsn
        return
    try:
        await migrate(dsn)
        yield dsn
    finally:
        await server.stop()


def running(config: Config) -> str | None:
    """Return the DSN of the embedded server as it ran last, without starting it; None where none ever ran.

    Raises OSError or ServerStartError where this account may not read its folder, or its password.
    """
    server = EmbeddedServer(config.data_dir)
    return None if server.cluster.port is None else server.known_dsn

"""The database for commands that work beside a daemon or without one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from collector.config import Config
from collector.store.embedded import EmbeddedServer
from collector.store.embedded.bootstrap import DATABASE, OWNER
from collector.store.embedded.cluster import HOST
from collector.store.errors import ServerBusyError, ServerStartError
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
        yield _running(server)
        return
    try:
        await migrate(dsn)
        yield dsn
    finally:
        await server.stop()


def running(config: Config) -> str | None:
    """Return the DSN of the embedded server as it ran last, without starting it; None where none ever ran.

    Raises OSError where this account may not read its password.
    """
    server = EmbeddedServer(config.data_dir)
    return None if server.cluster.port is None else _running(server)


def _running(server: EmbeddedServer) -> str:
    cluster = server.cluster
    if cluster.port is None:
        raise ServerStartError(f"the database server in {cluster.folder} is starting; try again in a moment")
    for line in cluster.password_file(OWNER).read_text().split():
        *_, login, password = line.split(":")
        if login == OWNER:
            return f"postgresql://{OWNER}:{password}@{HOST}:{cluster.port}/{DATABASE}"
    raise ServerStartError(f"{cluster.password_file(OWNER)} does not hold the password of {OWNER}")

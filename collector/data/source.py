"""Where data is: a database somewhere, or the one that a configuration keeps for itself."""

from __future__ import annotations

__all__ = ["Source", "opened"]

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from collector.config import Config, load
from collector.data.errors import DataError
from collector.store.embedded import EmbeddedServer
from collector.store.errors import ServerBusyError
from collector.store.migrate import migrate

# A `postgresql://` address, a configuration file or the folder that holds one, a `Config`; None for the usual one.
Source = str | os.PathLike[str] | Config | None

CONFIG_NAME = "collector.toml"


@asynccontextmanager
async def opened(source: Source) -> AsyncIterator[str]:
    """Give the DSN of a login that reads.

    The server of a configuration without `database.dsn` is entered where it runs, and else started for as long as the
    block lasts. Raises `ConfigError`, `DatabaseError`, and `DataError` for a path where nothing is.
    """
    if isinstance(source, str) and source.startswith(("postgresql://", "postgres://")):
        yield source
        return
    config = source if isinstance(source, Config) else load(_file(source))
    if config.database.dsn is not None:
        yield config.database.dsn.get_secret_value()
        return
    server = EmbeddedServer(config.data_dir)
    if server.describe() is None:
        raise DataError(f"nothing was recorded in {config.data_dir} yet: `collector run` or `collector demo` does it")
    try:
        with suppress(ServerBusyError):  # somebody has it running
            await migrate(await server.start())
        yield server.reader_dsn
    finally:
        await server.stop()


def _file(source: str | os.PathLike[str] | None) -> Path | None:
    if source is None:
        return None
    path = Path(source)
    path = path / CONFIG_NAME if path.is_dir() else path
    if not path.is_file():
        raise DataError(f"{path} is not there: name a configuration, the folder that holds one, or postgresql://..")
    return path

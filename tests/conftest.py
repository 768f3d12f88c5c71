"""Fixtures for every test: databases; see `tests/databases.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import structlog

from tests.databases import POSTGRES, TIMESCALEDB, DatabaseServer, DatabaseServers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@pytest.fixture(scope="session")
def database_servers() -> Iterator[DatabaseServers]:
    """The servers of this session; none runs before a test asks for it."""
    servers = DatabaseServers()
    yield servers
    servers.stop()


@pytest.fixture(params=[TIMESCALEDB, POSTGRES])
def database_server(request: pytest.FixtureRequest, database_servers: DatabaseServers) -> DatabaseServer:
    """A server of each kind in turn; `parametrize("database_server", ["timescaledb"], indirect=True)` takes one."""
    return database_servers.get(request.param)


@pytest.fixture
async def database(database_server: DatabaseServer) -> AsyncIterator[str]:
    """The DSN, as owner, of a fresh migrated database."""
    async with database_server.database() as dsn:
        yield dsn


@pytest.fixture
async def empty_database(database_server: DatabaseServer) -> AsyncIterator[str]:
    """The DSN, as owner, of a fresh database without tables."""
    async with database_server.database(migrated=False) as dsn:
        yield dsn


@pytest.fixture(scope="session", autouse=True)
def _loggers_are_not_kept() -> Iterator[None]:
    """A command that runs in this process sets the log up for a stream that its test closes: let no logger keep it."""
    configure = structlog.configure
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(structlog, "configure", lambda **how: configure(**{**how, "cache_logger_on_first_use": False}))
        yield


@pytest.fixture(autouse=True)
def _log_as_at_first() -> Iterator[None]:
    yield
    structlog.reset_defaults()

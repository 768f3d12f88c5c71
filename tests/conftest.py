"""Fixtures for every test: databases; see `tests/databases.py`."""

from __future__ import annotations

import ast
import functools
import gc
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from tests.databases import POSTGRES, TIMESCALEDB, DatabaseServer, DatabaseServers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence


TESTS = Path(__file__).parent

_parse = ast.parse


@functools.wraps(_parse)
def _parse_undisturbed(*source: Any, **options: Any) -> ast.AST:
    """Parse while no garbage is collected.

    CPython 3.11 ends `ast.parse` with a SystemError where it is called again from within, as by a finalizer whose
    exception is shown: a traceback is underlined with the help of `ast.parse`. Which test that hits is chance.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        tree: ast.AST = _parse(*source, **options)
        return tree
    finally:
        if collecting:
            gc.enable()


ast.parse = _parse_undisturbed  # type: ignore[assignment]


# A file that imports one of these starts a database, a browser, a daemon or another program.
SERVERS = (
    "benchmarks",
    "tests.databases",
    "tests.kit.browser",
    "tests.kit.stage",
    "tests.soak.servers",
    "tests.foreign",
)
SLOW_FOLDERS = frozenset({"deploy", "foreign", "soak", "toy"})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what `make quick` runs: whatever starts no server and is not said to be slow, a new test by itself."""
    for item in items:
        if is_quick(item):
            item.add_marker(pytest.mark.quick)


def is_quick(item: pytest.Item) -> bool:
    """Whether a test needs nothing but this process."""
    if SLOW_FOLDERS & set(item.path.relative_to(TESTS).parts[:-1]) or "database_servers" in _fixtures(item):
        return False
    return not any(item.get_closest_marker(name) for name in ("slow", "soak", "foreign")) and not _starts_servers(
        item.path
    )


def _fixtures(item: pytest.Item) -> Sequence[str]:
    return item.fixturenames if isinstance(item, pytest.Function) else ()


@functools.cache
def _starts_servers(path: Path) -> bool:
    source = path.read_text()
    return any(f"from {module}" in source for module in SERVERS)


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
def _umask_as_at_first() -> Iterator[None]:
    """A daemon in this process makes its files nobody else's, and so would the tests after it."""
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)


@pytest.fixture(autouse=True)
def _log_as_at_first() -> Iterator[None]:
    yield
    structlog.reset_defaults()

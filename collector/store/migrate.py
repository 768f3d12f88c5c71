"""Bring a database's tables to the state of this program, forward only.

The steps are in `migrations/`, numbered. All that are missing run in one transaction under an advisory lock: two
processes may start at once, and a step that fails leaves nothing behind. `collector.store.steps` runs them, and is
imported only when there are some: that costs a second and 30 MB, which a daemon with nothing to migrate saves.
"""

from __future__ import annotations

from collector.store.connection import connected

__all__ = ["known_steps", "migrate", "migrations_folder", "pending"]

import asyncio
from contextlib import asynccontextmanager, contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg

from collector.store.dsn import DRIVER_ERRORS, address, refusals
from collector.store.embedded.installation import POSTGRES_MIN_MAJOR
from collector.store.errors import DatabaseNewerError, DatabaseRefusedError, MigrationError
from collector.store.locks import MIGRATION_LOCK
from collector.store.named import queries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    Progress = Callable[[str], None]

# How long a migration waits for another one, or for the locks of a long query.
LOCK_TIMEOUT_SECONDS = 300.0

_SQL = queries("migrate")


def _quiet(_line: str) -> None:
    """Report progress to nobody."""


async def migrate(dsn: str, *, progress: Progress = _quiet) -> list[str]:
    """Apply the steps that the database lacks, grant the rights that its groups lack, and return the steps' numbers.

    `progress` is called with a line for each step and for each notice of the server. The login has to own the tables,
    or be allowed to create them.

    Raises:
        DatabaseUnreachableError, DatabaseRefusedError: see `collector.store.errors`.
        DatabaseNewerError: a newer program made the tables.
        MigrationError: a step failed; the database is as it was.

    """
    applied: list[str] = []
    if await pending(dsn):
        # In a thread: the import would hold up everything that is received meanwhile.
        steps = await asyncio.to_thread(import_module, "collector.store.steps")
        applied = await steps.apply(dsn, progress)
    async with locked(dsn, progress) as connection:
        await connection.execute((migrations_folder() / "roles.sql").read_text("utf-8"))
    return applied


async def pending(dsn: str) -> list[str]:
    """Return the numbers of the steps that `migrate` would apply; changes nothing. Raises as `migrate` does."""
    async with connected(dsn) as connection:
        with failures(dsn):
            return await missing_steps(connection)


def known_steps() -> list[str]:
    """Return the numbers of the steps that this program knows, in order."""
    return sorted(path.name.partition("_")[0] for path in (migrations_folder() / "versions").glob("[0-9]*_*.py"))


async def missing_steps(connection: asyncpg.Connection) -> list[str]:
    """Return the steps that a database lacks. Raises where its server is too old or its tables are too new."""
    major = connection.get_server_version().major
    if major < POSTGRES_MIN_MAJOR:
        raise DatabaseRefusedError(f"the server is PostgreSQL {major}; {POSTGRES_MIN_MAJOR} or newer is needed")
    steps = known_steps()
    if not await connection.fetchval(_SQL["was_migrated"]):
        return steps
    done = await connection.fetchval(_SQL["last_step"])
    if done is None:
        return steps
    if done not in steps:
        raise DatabaseNewerError(
            f"the database is at step {done} and this program knows steps up to {steps[-1]}: update the program"
        )
    return steps[steps.index(done) + 1 :]


def migrations_folder() -> Path:
    """Where the steps are: inside the installed package, or beside it in a source tree."""
    package = Path(__file__).parents[1]
    packaged = package / "migrations"
    return packaged if packaged.is_dir() else package.parent / "migrations"


async def prepare(connection: asyncpg.Connection) -> None:
    """Take the lock for the rest of the transaction, and lift the server's time limits for long steps."""
    await connection.execute(_SQL["set_timeouts"], f"{LOCK_TIMEOUT_SECONDS * 1000:.0f}ms")
    await connection.execute(_SQL["lock"], MIGRATION_LOCK)


@asynccontextmanager
async def locked(dsn: str, progress: Progress) -> AsyncIterator[asyncpg.Connection]:
    """A connection in a transaction that holds the lock; the server's notices go to `progress`."""
    async with connected(dsn) as connection:
        connection.add_log_listener(lambda _connection, remark: progress(f"the server says: {remark.message}"))
        with failures(dsn):
            async with connection.transaction():
                await prepare(connection)
                yield connection


@contextmanager
def failures(dsn: str) -> Iterator[None]:
    """Translate the driver's errors into ours."""
    try:
        with refusals(dsn):
            yield
    except asyncpg.LockNotAvailableError as error:
        raise MigrationError(
            f"{address(dsn)}: another migration, or a long query, held its locks for {LOCK_TIMEOUT_SECONDS:g} s; "
            "see pg_stat_activity, then try again"
        ) from error
    except DRIVER_ERRORS as error:
        raise MigrationError(f"{address(dsn)}: the migration failed and was rolled back: {error}") from error

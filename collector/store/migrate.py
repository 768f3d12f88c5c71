"""Bring a database's tables to the state of this program, forward only.

All steps run in one transaction under an advisory lock: two processes may start at once, and a step that fails leaves
nothing behind. The steps themselves are in `migrations/`.
"""

from __future__ import annotations

__all__ = ["migrate", "pending"]

from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import asyncpg
from alembic import command, op
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from collector.store.dsn import address, connect, refusals
from collector.store.embedded.installation import MINIMUM_MAJOR
from collector.store.errors import DatabaseNewerError, DatabaseRefusedError, MigrationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from sqlalchemy.engine import Connection

LOCK_KEY = 7_303_014_201_563_187_041  # any number that nobody else's lock uses
LOCK_TIMEOUT_SECONDS = 300

_PREPARE = "select set_config('lock_timeout', :wait, true), set_config('statement_timeout', '0', true)"


def _quiet(_line: str) -> None:
    """Tell nobody."""


async def migrate(dsn: str, *, progress: Callable[[str], None] = _quiet) -> list[str]:
    """Apply the steps that the database lacks, and return their numbers in order.

    `progress` is told of each step, and of what the server remarks. The login has to own the tables, or be allowed to
    create them.

    Raises:
        DatabaseUnreachableError, DatabaseRefusedError: see `collector.store.errors`.
        DatabaseNewerError: a newer program made the tables.
        MigrationError: a step failed; the database is as it was.

    """
    applied: list[str] = []

    def note(step: Any, **_context: object) -> None:
        applied.append(step.up_revision_id)
        progress(f"applied {step.up_revision_id}: {step.up_revision.doc}")

    async with _transaction(dsn, progress) as connection:
        with _failures(dsn):
            await connection.execute(text(_PREPARE), {"wait": f"{LOCK_TIMEOUT_SECONDS}s"})
            await connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
            await connection.run_sync(_known)
            await connection.run_sync(_upgrade, note)
    return applied


async def pending(dsn: str) -> list[str]:
    """Return the numbers of the steps that `migrate` would apply; changes nothing. Raises as `migrate` does."""
    async with _transaction(dsn, _quiet) as connection:
        with _failures(dsn):
            return await connection.run_sync(_known)


def run_sql_beside(file: str) -> None:
    """Run the .sql file of the same name as a step's .py file, in the transaction of the migration."""
    _run(op.get_bind(), Path(file).with_suffix(".sql").read_text("utf-8"))


def forward_only() -> NoReturn:
    """Refuse to go back."""
    raise MigrationError("migrations go forward only: to go back, restore a backup made before")


def _folder() -> Path:
    package = Path(__file__).parents[1]
    packaged = package / "migrations"
    return packaged if packaged.is_dir() else package.parent / "migrations"  # installed, or a source tree


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_folder()).replace("%", "%%"))
    return config


def _known(connection: Connection) -> list[str]:
    """Return the steps that are missing, after checking that the others are ours."""
    version = connection.dialect.server_version_info
    if version is not None and int(version[0]) < MINIMUM_MAJOR:
        raise DatabaseRefusedError(f"the server is PostgreSQL {version[0]}; {MINIMUM_MAJOR} or newer is needed")
    steps = [step.revision for step in ScriptDirectory.from_config(_config()).walk_revisions()][::-1]
    done = MigrationContext.configure(connection).get_current_heads()
    unknown = [step for step in done if step not in steps]
    if unknown:
        raise DatabaseNewerError(
            f"the database is at step {unknown[0]} and this program knows steps up to {steps[-1]}: update the program"
        )
    return steps[steps.index(done[0]) + 1 :] if done else steps


def _upgrade(connection: Connection, note: Callable[..., None]) -> None:
    config = _config()
    config.attributes.update(connection=connection, applied=note)
    command.upgrade(config, "head")
    _run(connection, (_folder() / "roles.sql").read_text("utf-8"))


def _run(connection: Connection, sql: str) -> None:
    """Run several statements at once, which the driver does and SQLAlchemy's own interface does not."""
    driver: Any = connection.connection.dbapi_connection
    driver.run_async(lambda asyncpg_connection: asyncpg_connection.execute(sql))


@asynccontextmanager
async def _transaction(dsn: str, progress: Callable[[str], None]) -> AsyncIterator[AsyncConnection]:
    def remark(_connection: object, message: asyncpg.PostgresLogMessage) -> None:
        progress(f"the server says: {message.message}")

    async def open_connection() -> asyncpg.Connection:
        connection = await connect(dsn)
        connection.add_log_listener(remark)
        return connection

    engine = create_async_engine("postgresql+asyncpg://", async_creator=open_connection, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            yield connection
    finally:
        await engine.dispose()


@contextmanager
def _failures(dsn: str) -> Iterator[None]:
    """Say in our errors what went wrong, without SQLAlchemy's wrapping."""
    try:
        with refusals(dsn):
            try:
                yield
            except DBAPIError as error:
                cause = error.orig.__cause__ if error.orig else None
                raise cause or error from None
    except asyncpg.LockNotAvailableError as error:
        raise MigrationError(
            f"{address(dsn)}: another migration, or a long query, held its locks for {LOCK_TIMEOUT_SECONDS} s; "
            "look into pg_stat_activity, then try again"
        ) from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, DBAPIError) as error:
        raise MigrationError(f"{address(dsn)}: the migration failed and nothing of it remains: {error}") from error

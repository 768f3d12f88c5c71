"""Runs migration steps with alembic: all in one transaction, under the lock of `collector.store.migrate`.

The functions that the steps call are here too. A step is a .py file that runs the .sql file of the same name: its work
is SQL, and the driver executes a whole file at once.
"""

from __future__ import annotations

__all__ = ["apply", "forward_only", "run_sql_beside"]

from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import asyncpg
from alembic import command, op
from alembic.config import Config
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from collector.store.dsn import connect
from collector.store.errors import MigrationError
from collector.store.migrate import failures, migrations_folder, missing_steps, prepare

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import Connection


async def apply(dsn: str, progress: Callable[[str], None]) -> list[str]:
    """Apply the missing steps and return their numbers. Raises as `collector.store.migrate.migrate` does."""
    applied: list[str] = []

    def note(step: Any, **_context: object) -> None:
        applied.append(step.up_revision_id)
        progress(f"applied {step.up_revision_id}: {step.up_revision.doc}")

    async def open_connection() -> asyncpg.Connection:
        connection = await connect(dsn)
        connection.add_log_listener(lambda _connection, remark: progress(f"the server says: {remark.message}"))
        return connection

    engine = create_async_engine("postgresql+asyncpg://", async_creator=open_connection, poolclass=NullPool)
    try:
        with failures(dsn):
            async with engine.begin() as connection:
                await connection.run_sync(_upgrade, note)
    except DBAPIError as error:
        # SQLAlchemy wraps the driver's error, and `failures` translates only the driver's.
        with failures(dsn):
            raise (error.orig and error.orig.__cause__) or error from None
    finally:
        await engine.dispose()
    return applied


def run_sql_beside(file: str) -> None:
    """Run the .sql file of the same name as a step's .py file, in the transaction of the migration."""
    sql = Path(file).with_suffix(".sql").read_text("utf-8")
    _driver(op.get_bind(), lambda connection: connection.execute(sql))


def forward_only() -> NoReturn:
    """Refuse to go back."""
    raise MigrationError("migrations go forward only: to go back, restore a backup made before")


def _upgrade(connection: Connection, note: Callable[..., None]) -> None:
    connection.exec_driver_sql("select 1")  # SQLAlchemy begins its transaction with the first statement it sees
    _driver(connection, prepare)
    if not _driver(connection, missing_steps):
        return  # another process was quicker
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    config.attributes.update(connection=connection, applied=note)
    command.upgrade(config, "head")


def _driver(connection: Connection, work: Callable[[asyncpg.Connection], Any]) -> Any:
    """Run a coroutine on the driver's own connection, within the transaction."""
    adapted: Any = connection.connection.dbapi_connection
    return adapted.run_async(work)

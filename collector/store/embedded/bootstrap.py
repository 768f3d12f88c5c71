"""Make the database and its roles in a server that has just started; a second time changes nothing."""

from __future__ import annotations

import contextlib

from collector.store.connection import connected

__all__ = ["ANALYST", "DATABASE", "OWNER", "SUPERUSER", "bootstrap"]

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import asyncpg

from collector.store.named import queries

if TYPE_CHECKING:
    from collections.abc import Mapping

DATABASE = "market"
SUPERUSER = "postgres"
OWNER = "collector"
ANALYST = "analyst"

_SQL = queries("bootstrap", "collector.store.embedded")


async def bootstrap(superuser_dsn: str, passwords: Mapping[str, str], *, timescaledb: bool) -> None:
    """Create what is missing of roles, groups and database, and bring TimescaleDB to the version of its programs.

    `superuser_dsn` leads to the database `postgres`; `passwords` has one for `OWNER` and `ANALYST`.
    """
    async with connected(superuser_dsn) as connection:
        await connection.execute(_SQL["create_groups"])
        for role, statement in ((OWNER, "create_owner"), (ANALYST, "create_analyst")):
            if not await connection.fetchval(_SQL["role_exists"], role):
                await connection.execute(_SQL["set_password"], passwords[role])
                await connection.execute(_SQL[statement])
        if not await connection.fetchval(_SQL["database_exists"], DATABASE):
            await connection.execute(_SQL["create_database"])
            await connection.execute(_SQL["close_database"])
            await connection.execute(_SQL["open_database"])
    if timescaledb:
        await _update_timescaledb(urlsplit(superuser_dsn)._replace(path=f"/{DATABASE}").geturl())


async def _update_timescaledb(dsn: str) -> None:
    async with connected(dsn) as connection:
        with contextlib.suppress(asyncpg.UndefinedObjectError):  # the migrations create it
            await connection.execute(_SQL["update_timescaledb"])

"""The database: version and edition, what the login may do, which steps wait. It asks the catalogues and no table."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import asyncpg

from collector.check.findings import Finding, Verdict
from collector.config import Config
from collector.errors import CollectorError
from collector.store.connection import CLOSE_TIMEOUT_SECONDS, connected
from collector.store.dsn import DRIVER_ERRORS, address
from collector.store.dsn_options import understand
from collector.store.embedded import EmbeddedServer, find
from collector.store.errors import DatabaseUnreachableError
from collector.store.migrate import missing_steps
from collector.store.named import queries

WRITER_GROUP = "collector_writer"
_EDITIONS = {"timescale": "Community edition", "apache": "Apache edition"}
_PLAIN_NAME = re.compile(r"[a-z_][a-z0-9_]*")
_SQL = queries("check")


async def look_at_database(config: Config, seconds: float) -> AsyncIterator[Finding]:
    """Look at the configured database within so many seconds, or at the server that would be started."""
    if config.database.dsn is None:
        yield _embedded(config)
        return
    dsn = config.database.dsn.get_secret_value()
    try:
        async with asyncio.timeout(seconds):
            findings = await _ask(dsn, seconds, config)
    except TimeoutError:
        findings = [_away(config, f"{address(dsn)}: no answer within {seconds:g} s")]
    except DatabaseUnreachableError as error:
        findings = [_away(config, str(error))]
    except (CollectorError, *DRIVER_ERRORS) as error:
        findings = [Finding("database", Verdict.FAILURE, str(error), _remedy(config))]
    for finding in findings:
        yield finding


def _embedded(config: Config) -> Finding:
    installation = find()
    if installation is None:
        return Finding(
            "database",
            Verdict.FAILURE,
            "database.dsn is not set, and no server is installed that could be started",
            "run `collector database install`, or set database.dsn",
        )
    server = EmbeddedServer(config.data_dir)
    if obstacle := server.obstacle(installation):
        return Finding("database", Verdict.FAILURE, obstacle)
    made = "" if server.describe() else ", not made yet"
    return Finding("database", Verdict.OK, f"embedded: {installation}{made}")


def _away(config: Config, text: str) -> Finding:
    return Finding(
        "database",
        Verdict.FAILURE,
        text,
        f"start the server, or {_remedy(config)}; until it answers, what is received is kept in the journal",
    )


def _remedy(config: Config) -> str:
    origin = config.source.get("database.dsn")
    return "correct database.dsn" + (f" ({origin})" if origin else "")


async def _ask(dsn: str, seconds: float, config: Config) -> list[Finding]:
    migrate = config.database.migrate
    async with connected(
        dsn, timeout_seconds=seconds, closing_seconds=min(seconds, CLOSE_TIMEOUT_SECONDS)
    ) as connection:
        [about] = await connection.fetch(_SQL["server"])
        lacking = await connection.fetch(_SQL["lacking_for_writing"])
        readable = all(row["name"] != "alembic_version" for row in lacking)
        waiting = await missing_steps(connection) if readable else []
        found = [Finding("database", Verdict.OK, f"{address(dsn)}: {_version(about)}"), *_writable(dsn, about)]
        found += await _rights(connection, about["login"], lacking, waiting if migrate else [])
        found += await _storage(connection, about["login"], config)
    if passed_over := understand(dsn).passed_over:
        text = f"{', '.join(passed_over)}: these options have no effect here, and are not needed"
        found.append(Finding("database options", Verdict.OK, text))
    if waiting:
        how = "`collector run` applies them, or `collector migrate` now" if migrate else "run `collector migrate`"
        found.append(Finding("migrations", Verdict.WARNING, f"{len(waiting)} to apply: {', '.join(waiting)}", how))
    return found


def _writable(dsn: str, about: asyncpg.Record) -> list[Finding]:
    if about["standby"]:
        why = "is a standby server and cannot be written to"
        remedy = "use the address of the primary server; target_session_attrs=read-write finds it among several hosts"
    elif about["read_only"]:
        why = "cannot be written to: its transactions are read-only"
        remedy = "check default_transaction_read_only of the server, the database and the login"
    else:
        return []
    return [Finding("database writes", Verdict.FAILURE, f"{address(dsn)} {why}", remedy)]


def _version(about: asyncpg.Record) -> str:
    text = f"PostgreSQL {about['version']}, "
    if about["installed"]:
        edition = _EDITIONS.get(about["licence"] or "", "edition not known")
        return f"{text}TimescaleDB {about['installed']} ({edition})"
    if about["available"]:
        return f"{text}TimescaleDB {about['available']} is available but not enabled: the tables are plain ones"
    return f"{text}without TimescaleDB: the tables are plain ones"


async def _rights(
    connection: asyncpg.Connection, login: str, lacking: list[asyncpg.Record], to_apply: list[str]
) -> list[Finding]:
    """Say which rights are missing for what the daemon does, each with the statement that grants it."""
    who, missing = quoted(login), []
    if to_apply:
        [strange] = await connection.fetch(_SQL["lacking_for_steps"])
        if strange["schema"] is not None:
            missing.append(
                (
                    f"may not create tables in schema {strange['schema']}",
                    f"GRANT USAGE, CREATE ON SCHEMA {quoted(strange['schema'])} TO {who}",
                )
            )
        elif strange["strangers"]:
            owner = quoted(strange["owner"])
            missing.append(
                (
                    f"does not own {_few(strange['strangers'])}, which the steps to apply may change",
                    f"GRANT {owner} TO {who}, or run `collector migrate` as {strange['owner']}",
                )
            )
    tables: dict[str, list[str]] = {}
    for row in lacking:
        tables.setdefault(row["privileges"], []).append(row["name"])
    for privileges, names in tables.items():
        grant = f"GRANT {privileges} ON {', '.join(names)} TO {who}"
        if await connection.fetchval(_SQL["can_join"], WRITER_GROUP):
            grant = f"GRANT {WRITER_GROUP} TO {who}, or {grant}"
        missing.append((f"may not {privileges.lower()} on {_few(names)}", grant))
    if not missing:
        told = "make its tables and write them" if to_apply else "write every table"
        return [Finding("database rights", Verdict.OK, f"{login} may {told}")]
    return [
        Finding("database rights", Verdict.FAILURE, f"{login} {what}", f"as the owner or a superuser: {grant};")
        for what, grant in missing
    ]


async def _storage(connection: asyncpg.Connection, login: str, config: Config) -> list[Finding]:
    """Say where rows are to be deleted or compressed by a login that may not: only a table's owner may."""
    aged = [name for name, kept in config.storage.tables.items() if kept.keep or kept.compress_after]
    lacking = await connection.fetch(_SQL["owned_by_others"], aged)
    if not lacking:
        return []
    owner = lacking[0]["owner"]
    return [
        Finding(
            "storage",
            Verdict.WARNING,
            f"{login} does not own {_few([row['name'] for row in lacking])}, and only {owner} may delete and compress",
            f"as a superuser: GRANT {quoted(owner)} TO {quoted(login)}; or leave keep and compress_after out",
        )
    ]


def _few(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def quoted(name: str) -> str:
    """Return a role's or schema's name as SQL wants it written."""
    return name if _PLAIN_NAME.fullmatch(name) else '"' + name.replace('"', '""') + '"'

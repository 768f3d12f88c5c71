"""The database that the daemon writes to: a configured one, or the embedded server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_random_exponential

from collector.clock import Clock
from collector.config import Config
from collector.store.dsn import DRIVER_ERRORS, address
from collector.store.dsn_options import understand
from collector.store.embedded import EmbeddedServer, Hint
from collector.store.errors import DatabaseError, DatabaseNewerError
from collector.store.migrate import migrate

log = structlog.get_logger()

# For an orderly stop of the embedded server; then it is stopped by force, which loses nothing that was committed.
SERVER_STOP_SECONDS = 2.5

# Failures after which the database is tried again: a server comes back, a standby is promoted, somebody corrects a
# password or installs a library. Meanwhile the journal grows.
PASSING_FAILURES = (DatabaseError, *DRIVER_ERRORS, OSError, TimeoutError)
# The longest delay between two tries.
RETRY_MAX_SECONDS = 15.0


class DatabaseState(StrEnum):
    STARTING = "starting"  # the server is started, or the tables are migrated
    AWAY = "away"  # the last try to prepare it failed
    READY = "ready"


class Database:
    """Prepared once at the start (`prepared`), and watched from then on (`watch`)."""

    def __init__(self, dsn: str | None, server: EmbeddedServer | None, clock: Clock, *, migrate_at_start: bool) -> None:
        self._dsn = dsn
        self.server = server
        self._clock = clock
        self._migrate = migrate_at_start
        self._started = asyncio.Event()
        self.ready = asyncio.Event()
        """Set once the tables are up to date."""
        self.state = DatabaseState.STARTING
        self.reason = ""
        """Why it is away."""

    def __repr__(self) -> str:
        return f"<Database {self.place} {self.state}>"

    @classmethod
    @asynccontextmanager
    async def of(cls, config: Config, clock: Clock) -> AsyncIterator[Database]:
        """Give the database of a configuration for the block.

        Starts nothing; an embedded server is stopped at the end.
        """
        secret = config.database.dsn
        server = None if secret else EmbeddedServer(config.data_dir)
        database = cls(
            secret.get_secret_value() if secret else None, server, clock, migrate_at_start=config.database.migrate
        )
        try:
            yield database
        finally:
            if server is not None:
                await server.stop(timeout_seconds=SERVER_STOP_SECONDS)

    def dsn(self) -> str:
        """Return the address, with the password. The embedded server may have another port after a restart."""
        return self.server.dsn if self.server else self._dsn or ""

    @property
    def place(self) -> str:
        """The address as people may see it, without the password."""
        return "embedded" if self.server else address(self.dsn())

    @property
    def embedded(self) -> bool:
        """Whether its server is ours."""
        return self.server is not None

    def hint(self) -> Hint | None:
        """How to connect with psql, where the server is ours."""
        return self.server.describe() if self.server else None

    async def prepared(self) -> None:
        """Start the embedded server, if that is used, and migrate the tables; tries again until it succeeds.

        Raises DatabaseNewerError, since waiting does not help there: the tables are those of a newer program.
        """
        if passed_over := understand(self.dsn()).passed_over if self._dsn else ():
            log.info("database_options_passed_over", database=self.place, options=sorted(passed_over))
        async for attempt in AsyncRetrying(
            retry=retry_if_exception(_can_pass),
            wait=wait_random_exponential(multiplier=0.2, max=RETRY_MAX_SECONDS),
            sleep=self._clock.sleep,
            before_sleep=self._note,
        ):
            with attempt:
                await self._prepare()
        self.state, self.reason = DatabaseState.READY, ""
        self.ready.set()

    async def _prepare(self) -> None:
        if self.server is not None and not self._started.is_set():
            await self.server.start()
            self._started.set()
        if self._migrate:
            applied = await migrate(self.dsn())
            if applied:
                log.info("database_migrated", versions=applied)

    def _note(self, state: RetryCallState) -> None:
        reason = str(state.outcome.exception()) if state.outcome else ""
        if reason != self.reason:
            self.state, self.reason = DatabaseState.AWAY, reason
            log.warning("database_away", database=self.place, reason=reason)

    async def watch(self) -> None:
        """Restart the embedded server whenever it dies; returns at once where a configured database is used."""
        if self.server is not None:
            await self._started.wait()
            await self.server.keep()


def _can_pass(error: BaseException) -> bool:
    return isinstance(error, PASSING_FAILURES) and not isinstance(error, DatabaseNewerError)

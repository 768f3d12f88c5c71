"""One connection to the database whose work is done again until it succeeds, and how it is with the database now."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import TYPE_CHECKING, Final, TypeVar

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_exponential_jitter

from collector.store.connection import HeldConnection, Prepare
from collector.store.dsn import DRIVER_ERRORS, refusals
from collector.store.errors import (
    DatabaseError,
    DatabaseWentBackError,
    JournalNameGoneError,
    JournalNameInUseError,
)

if TYPE_CHECKING:
    from asyncpg import Connection

log = structlog.get_logger()

T = TypeVar("T")

# The longest that one attempt may take: room for the slowest one, a batch that is stored row by row because the
# database refuses something in it. An attempt that takes longer is given up and made again on a new connection.
ATTEMPT_MAX_SECONDS: Final = 600.0
# Between two attempts while the database is away. Longer delays would leave more to catch up with once it is back.
RETRY_MAX_SECONDS: Final = 15.0
# Nothing is under way on a connection that is closed, so that its server has only to say goodbye.
CLOSE_TIMEOUT_SECONDS: Final = 2.0

# What the driver, the network and the server raise while the database is away.
DATABASE_FAILURES: Final = (DatabaseError, *DRIVER_ERRORS, OSError, TimeoutError)
# Trying again would not help against these: the caller has to decide.
_FOR_THE_CALLER: Final = (DatabaseWentBackError, JournalNameGoneError, JournalNameInUseError)


class Reach(Enum):
    """Whether the last attempt to use the database worked."""

    NOT_TRIED = "not tried"
    CONNECTED = "connected"
    AWAY = "away"


class RetryingConnection:
    """Does work on one connection, and again on a new one for as long as the database is away.

    `prepare` is awaited with each new connection before any work gets it.
    """

    def __init__(
        self,
        dsn: Callable[[], str],
        prepare: Prepare,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        longest_wait_seconds: float = RETRY_MAX_SECONDS,
    ) -> None:
        self._dsn = dsn
        self._sleep = sleep
        self._wait = wait_exponential_jitter(multiplier=0.1, max=longest_wait_seconds, jitter=0.5)
        self._held = HeldConnection(dsn, prepare)
        self.reach = Reach.NOT_TRIED
        self.reason = ""
        """Why the database is away; empty where it is not."""
        self.since = time.time()
        """When `reach` or `reason` became what it is, in seconds since 1970."""

    def __repr__(self) -> str:
        return f"<RetryingConnection {self.reach.value}{self.reason and f': {self.reason}'}>"

    @property
    def connected(self) -> bool:
        """Whether the last attempt worked."""
        return self.reach is Reach.CONNECTED

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Return the result of `work`, which is begun again after each failure of the database.

        Raises what `work` raises for other reasons than the database, and DatabaseWentBackError, JournalNameGoneError
        and JournalNameInUseError.
        """
        async for attempt in AsyncRetrying(
            retry=retry_if_exception(_is_passing), wait=self._wait, sleep=self._sleep, before_sleep=self._note_failure
        ):
            with attempt, refusals(self._dsn):
                try:
                    async with asyncio.timeout(ATTEMPT_MAX_SECONDS):
                        result = await work(await self._held.get())
                except BaseException:
                    # Cut, cancelled or refused in the middle: nobody knows the connection's state. A new one is cheap.
                    self.drop()
                    raise
                self._note_success()
                return result
        raise AssertionError("retries have no end")  # pragma: no cover

    def drop(self) -> None:
        """Cut the connection; the next work gets a new one."""
        self._held.drop()

    async def close(self) -> None:
        """Let the connection go, within `CLOSE_TIMEOUT_SECONDS`; a failure is only logged."""
        try:
            await self._held.close(CLOSE_TIMEOUT_SECONDS)
        except DATABASE_FAILURES as error:
            log.warning("database_close_failed", error=str(error))

    def note_away(self, reason: str) -> None:
        """Note why an attempt failed; each reason is logged once for as long as it stays the same."""
        if self.reach is not Reach.AWAY or self.reason != reason:
            self.reach, self.reason, self.since = Reach.AWAY, reason, time.time()
            log.warning("database_away", reason=reason)

    def _note_success(self) -> None:
        if not self.connected:
            log.info("database_connected", after_seconds=round(time.time() - self.since, 1))
            self.reach, self.reason, self.since = Reach.CONNECTED, "", time.time()

    def _note_failure(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        self.note_away(f"{type(error).__name__}: {error}")


def _is_passing(error: BaseException) -> bool:
    """Whether trying again makes sense: everything about the database does, a bug of ours does not."""
    return isinstance(error, DATABASE_FAILURES) and not isinstance(error, _FOR_THE_CALLER)

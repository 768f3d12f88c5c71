"""What is done to the tables beside the writer, from time to time: rollups, compression, retention.

Recording does not depend on it: whatever fails here is told, and tried again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

import structlog

from collector.clock import Clock
from collector.config import Config
from collector.store.errors import DatabaseError
from collector.store.retention import Retention, Rule
from collector.store.rollups import Rollups

log = structlog.get_logger()

# How often minutes that are over are rolled up.
ROLLUP_INTERVAL_SECONDS = 5.0
# How often old rows are compressed and deleted.
RETENTION_INTERVAL_SECONDS = 3600.0
# The longest delay after failures.
RETRY_MAX_SECONDS = 60.0


class Upkeep:
    """Runs beside the recorder once the tables are there."""

    def __init__(self, dsn: Callable[[], str], config: Config, clock: Clock) -> None:
        self._rollups = Rollups(dsn)
        self._retention = retention(dsn, config)
        self._clock = clock
        self._applied: float | None = None
        self.trouble = ""
        """Why the last try failed; empty while all is well."""

    async def run(self, ready: Callable[[], Awaitable[object]]) -> None:
        """Work until cancelled, from when `ready` returns."""
        await ready()
        pause = ROLLUP_INTERVAL_SECONDS
        try:
            while True:
                await self._clock.sleep(pause)
                pause = ROLLUP_INTERVAL_SECONDS if await self._tried() else min(pause * 2, RETRY_MAX_SECONDS)
        finally:
            self._rollups.close()

    async def _tried(self) -> bool:
        try:
            await self._rollups.catch_up(self._clock.now_ns() // 1000)
            await self._retain()
        except DatabaseError as error:
            if self.trouble != str(error):
                log.warning("upkeep_put_off", reason=str(error))
            self.trouble = str(error)
            return False
        except Exception as error:
            # A bug of ours: loud, and not the end of recording.
            self.trouble = f"{type(error).__name__}: {error}"
            log.exception("upkeep_failed", reason=self.trouble)
            self._rollups.close()
            return False
        self.trouble = ""
        return True

    async def _retain(self) -> None:
        if self._applied is not None and self._clock.monotonic() < self._applied + RETENTION_INTERVAL_SECONDS:
            return
        gone = await self._retention.apply(self._clock.now_ns() // 1000)
        if self._retention.uncompressed and self._applied is None:
            log.warning(
                "cannot_compress",
                tables=sorted(self._retention.uncompressed),
                remedy="only TimescaleDB's Community edition can compress; the rows stay uncompressed",
            )
        self._applied = self._clock.monotonic()
        if any(gone.values()):
            log.info("old_rows_deleted", **gone)


def retention(dsn: Callable[[], str], config: Config) -> Retention:
    """Return what keeps the tables as small as the configuration says."""
    age = config.repair.max_age_days
    rules = [Rule(name, kept.compress_after, kept.keep) for name, kept in config.storage.tables.items()]
    repaired_for = timedelta(days=age or 0) if age is not None or not config.repair.enabled else None
    return Retention(dsn, rules, keep_backfills=config.storage.keep_backfills, repaired_for=repaired_for)

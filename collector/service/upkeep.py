"""What is done to the tables beside the writer, from time to time: rollups.

Recording does not depend on it: whatever fails here is told, and tried again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from collector.clock import Clock
from collector.store.errors import DatabaseError
from collector.store.rollups import Rollups

log = structlog.get_logger()

ROLLUP_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 60.0


class Upkeep:
    """Runs beside the recorder once the tables are there."""

    def __init__(self, dsn: Callable[[], str], clock: Clock) -> None:
        self._rollups = Rollups(dsn)
        self._clock = clock
        self.trouble = ""
        """Why the last try failed; empty while all is well."""

    async def run(self, ready: Callable[[], Awaitable[object]]) -> None:
        """Work until cancelled, from when `ready` returns."""
        await ready()
        pause = ROLLUP_SECONDS
        try:
            while True:
                await self._clock.sleep(pause)
                pause = ROLLUP_SECONDS if await self._tried() else min(pause * 2, LONGEST_PAUSE_SECONDS)
        finally:
            self._rollups.close()

    async def _tried(self) -> bool:
        try:
            await self._rollups.catch_up(self._clock.now_ns() // 1000)
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

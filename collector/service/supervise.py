"""Keeps one venue's trouble from the others: a worker that fails is started again, and its failure is seen."""

from __future__ import annotations

from random import Random

import structlog

from collector.clock import Clock
from collector.feed.connection import STEADY_SECONDS, Backoff
from collector.feed.worker import VenueWorker

log = structlog.get_logger()


class Supervised:
    """A venue's worker with what is known of its failures."""

    def __init__(self, worker: VenueWorker, clock: Clock, random: Random) -> None:
        self.worker = worker
        self.failures = 0
        self.failed_ns: int | None = None
        self.failure = ""
        self._clock = clock
        self._backoff = Backoff(random)

    async def run(self) -> None:
        """Run the worker until cancelled."""
        while True:
            started = self._clock.monotonic()
            try:
                await self.worker.run()
            except Exception as error:
                # A bug of ours, since a worker handles what venues do: loud, and not the end of the other venues.
                if self._clock.monotonic() - started >= STEADY_SECONDS:
                    self._backoff.reset()
                self.failures += 1
                self.failed_ns = self._clock.now_ns()
                self.failure = _innermost(error)
                pause = self._backoff.next()
                log.exception("worker_failed", venue=self.worker.venue, reason=self.failure, next_try_s=round(pause, 1))
                await self._clock.sleep(pause)


def _innermost(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"

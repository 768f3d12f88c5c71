"""Keeps failures of one part of the daemon from the others: they are logged and counted, and the part is restarted.

A failed worker of one venue must not affect the other venues, and a failure in a part that only watches, repairs or
cleans up must not lose a frame. Only the journal and the recorder may end the daemon.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from random import Random
from typing import Final

import structlog

from collector.backoff import Backoff
from collector.clock import Clock
from collector.errors import CollectorError
from collector.feed.pauses import STEADY_SECONDS
from collector.feed.worker import VenueWorker

log = structlog.get_logger()

# The longest delay before a part that failed is started again.
RESTART_PAUSE_MAX_SECONDS: Final = 30.0


class Supervised:
    """A venue's worker and its failures."""

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
                # A bug of ours, since a worker handles all failures of venues: it is logged, and the other venues go
                # on.
                if self._clock.monotonic() - started >= STEADY_SECONDS:
                    self._backoff.reset()
                self.failures += 1
                self.failed_ns = self._clock.now_ns()
                self.failure = reason_of(error)
                pause = self._backoff.next()
                log.exception(
                    "worker_failed", venue=self.worker.venue.name, reason=self.failure, next_try_s=round(pause, 1)
                )
                await self._clock.sleep(pause)


class Part:
    """Work beside the recording, which is restarted whenever it fails; `work` runs until cancelled or done.

    A `CollectorError` means that something outside is not as the part needs it (its port is taken, for example): it is
    logged once, and tried again. Any other exception is a bug, and is logged each time.
    """

    def __init__(self, name: str, work: Callable[[], Awaitable[object]], clock: Clock, random: Random) -> None:
        self.name = name
        self.failures = 0
        """How often a bug has ended it since the start."""
        self.waiting = False
        """Whether it waits to be restarted."""
        self.when_troubled: Callable[[], object] | None = None
        """Called when `trouble` has changed."""
        self._trouble = ""
        self._work = work
        self._clock = clock
        self._started = clock.monotonic()
        self._backoff = Backoff(random, longest=RESTART_PAUSE_MAX_SECONDS)

    def __repr__(self) -> str:
        return f"<Part {self.name} failures={self.failures} trouble={self.trouble!r}>"

    @property
    def trouble(self) -> str:
        """Why it does not run, or did not run a moment ago; empty otherwise."""
        if not self.waiting and self._clock.monotonic() - self._started >= STEADY_SECONDS:
            return ""
        return self._trouble

    def well(self) -> None:
        """Forget the last failure, since the part works again."""
        self._trouble = ""

    async def run(self) -> None:
        """Do the work until it is done or cancelled."""
        while True:
            self._started = self._clock.monotonic()
            self.waiting = False
            try:
                await self._work()
            except Exception as error:  # noqa: BLE001  told by `_failed`
                if self._clock.monotonic() - self._started >= STEADY_SECONDS:
                    self._backoff.reset()
                pause = self._backoff.next()
                self._failed(_innermost(error), pause)
                await self._clock.sleep(pause)
            else:
                self.well()
                return

    def _failed(self, error: BaseException, pause: float) -> None:
        self.waiting = True
        before, next_try_s = self._trouble, round(pause, 1)
        if isinstance(error, CollectorError):
            self._trouble = str(error)
            if self._trouble != before:
                log.warning("part_waits", part=self.name, reason=self._trouble, next_try_s=next_try_s)
        else:
            self.failures += 1
            self._trouble = reason_of(error)
            log.error("part_failed", part=self.name, reason=self._trouble, next_try_s=next_try_s, exc_info=error)
        if self.when_troubled is not None and self._trouble != before:
            self.when_troubled()


class Parts(Mapping[str, Part]):
    """The parts of a daemon that run beside recording, by name."""

    def __init__(self, clock: Clock, random: Random) -> None:
        self._clock = clock
        self._random = random
        self._parts: dict[str, Part] = {}

    def add(self, name: str, work: Callable[[], Awaitable[object]]) -> Part:
        """Make a part, which replaces one of the same name; it is restarted whenever it fails."""
        part = self._parts[name] = Part(name, work, self._clock, self._random)
        return part

    def forget(self, name: str) -> None:
        """Leave a part out that has ended."""
        self._parts.pop(name, None)

    def __getitem__(self, name: str) -> Part:
        return self._parts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)


def reason_of(error: BaseException) -> str:
    """Return a bug's kind and words; of a group those of its first."""
    error = _innermost(error)
    return f"{type(error).__name__}: {error}"


def _innermost(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error

"""Writes appended records to the disk, many at a time, and wakes those who wait for that.

A separate thread writes and syncs, so that the event loop never waits for a disk. After a failure it tries again for
ever: the data stays in memory, and `Room` holds the feeds back.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Final

from collector.journal.budget import MEASURE_INTERVAL_SECONDS
from collector.journal.errors import JournalClosed, JournalUnwritable
from collector.journal.opening import Parts
from collector.journal.options import JournalOptions
from collector.journal.room import Room
from collector.model import Position

# Tries to write the rest at the end, where the disk refuses.
CLOSE_ATTEMPTS_MAX: Final = 3
# After that the rest is given up: service managers kill a process that takes much longer to stop.
CLOSE_TIMEOUT_SECONDS: Final = 15.0
# The longest that the event loop is blocked by a write that has to be on the disk before it goes on.
BLOCKING_FLUSH_MAX_SECONDS: Final = 2.0

_NO_ANSWER: Final = "the disk does not answer"


def retry_delays() -> Iterator[float]:
    """Return the pauses, in seconds, between attempts to write to a disk that refuses."""
    delay = 0.1
    while True:
        yield delay
        delay = min(delay * 2, 5.0)


class Flusher:
    """Used from the event loop's thread; it owns the thread that writes."""

    def __init__(
        self, directory: Path, options: JournalOptions, parts: Parts, delays: Callable[[], Iterator[float]]
    ) -> None:
        self.room = Room(options.buffer_bytes, parts.budget, parts.tail, parts.writer)
        self.tidy = asyncio.Event()
        """Set when closed segments should be compressed or deleted: there is a new one, or space is needed."""
        self.freed = asyncio.Event()
        """To be set when some have given way: a disk that had no space is tried again at once."""
        self._directory = directory
        self._options = options
        self._tail = parts.tail
        self._writer = parts.writer
        self._budget = parts.budget
        self._delays = delays
        self._running = False
        self._waiting: list[tuple[Position, asyncio.Future[None]]] = []
        self._thread = ThreadPoolExecutor(1, "journal")
        if parts.refused is None:
            self.room.judge()
        else:
            self._refused(parts.refused)

    @property
    def buffered(self) -> int:
        """How many bytes have been appended and not yet written."""
        return self._tail.total_bytes - self._writer.written_bytes

    async def sync(self, upto: Position) -> None:
        """See `Journal.sync`."""
        if not self._running:
            await self._attempt(self._writer.write_and_sync)
            return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((upto, done))
        await done

    async def flush(self) -> None:
        """See `Journal.flush`."""
        if self._tail.pending or self._writer.suspect:
            await self._attempt(self._writer.write)

    def flush_now(self) -> None:
        """See `Journal.flush_now`."""
        self._tail.seal()
        writing = self._thread.submit(self._writer.write)
        done, _ = wait([writing], BLOCKING_FLUSH_MAX_SECONDS)
        if not done:
            writing.cancel()
            raise JournalUnwritable(self._directory, self.buffered, _NO_ANSWER)
        try:
            writing.result()
        except OSError as error:
            self._refused(error)
            raise JournalUnwritable(self._directory, self.buffered, str(error)) from error

    async def run(self) -> None:
        """Write and sync until cancelled."""
        self._running = True
        try:
            await self._write_on()
        finally:
            self._running = False

    async def finish(self) -> None:
        """Write and sync the rest. Raises JournalUnwritable where the disk refuses or does not answer in time."""
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
                await self._try_to_finish()
        except TimeoutError as error:
            raise JournalUnwritable(self._directory, self.buffered, _NO_ANSWER) from error
        finally:
            self._settle()
            for _, done in self._waiting:
                if not done.done():
                    done.set_exception(JournalClosed())
            self._waiting.clear()

    def end(self, *, wait: bool) -> None:
        """End the thread after its current work."""
        self._thread.shutdown(wait=wait)

    async def _try_to_finish(self) -> None:
        delays = self._delays()
        for attempt in range(1, CLOSE_ATTEMPTS_MAX + 1):
            try:
                await self._attempt(self._writer.write_and_sync)
            except JournalUnwritable:
                if attempt == CLOSE_ATTEMPTS_MAX:
                    raise
                await asyncio.sleep(next(delays))
            else:
                return

    async def _write_on(self) -> None:
        loop = asyncio.get_running_loop()
        options = self._options
        age_ns = int(options.segment_seconds * 1e9)
        synced_at = measured_at = loop.time()
        while True:
            # A pause, not an event: it collects many records into one write.
            await asyncio.sleep(options.write_interval_s)
            self._tail.expire(age_ns)
            unsynced = self._tail.total_bytes - self._writer.durable_bytes
            due = loop.time() - synced_at >= options.sync_interval_s or unsynced >= options.buffer_bytes // 2
            if due and unsynced:
                await self._insist(self._writer.write_and_sync)
                synced_at = loop.time()
            elif self._tail.pending:
                await self._insist(self._writer.write)
            if loop.time() - measured_at >= MEASURE_INTERVAL_SECONDS:
                await self._measure()
                measured_at = loop.time()
            self.room.judge()

    async def _measure(self) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):  # the last measurement plus what was written since is good enough
            await loop.run_in_executor(self._thread, self._budget.measure, self._writer.written_bytes)
        if self._budget.pressing:
            self.tidy.set()

    async def _insist(self, work: Callable[[], None]) -> None:
        delays = self._delays()
        while True:
            before = self._writer.written_bytes
            self.freed.clear()
            with contextlib.suppress(JournalUnwritable):  # logged, and kept in `fault`
                await self._attempt(work)
                return
            if self._writer.written_bytes > before:  # a part was taken
                delays = self._delays()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(next(delays)):
                    await self.freed.wait()

    async def _attempt(self, work: Callable[[], None]) -> None:
        segment = self._writer.written.segment
        self._tail.seal()
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except OSError as error:
            self._refused(error)
            raise JournalUnwritable(self._directory, self.buffered, str(error)) from error
        finally:
            self._settle()
        self.room.disk_took()
        if self._writer.written.segment != segment:
            self.tidy.set()

    def _refused(self, error: OSError) -> None:
        self.room.disk_refused(error)
        if self._budget.refused:
            self.tidy.set()

    def _settle(self) -> None:
        self.room.progressed()
        durable = self._writer.durable
        still = []
        for upto, done in self._waiting:
            if done.done():
                continue
            if upto <= durable:
                done.set_result(None)
            else:
                still.append((upto, done))
        self._waiting = still

"""The journal as the rest of the collector uses it.

A frame is recorded before it is parsed. This module joins the parts: the tail in memory gives each record its position,
`Flusher` writes and syncs, `Archive` compresses and deletes closed segments. It knows nothing of venues, and never
looks into a payload.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import structlog

from collector.journal.budget import Refusal
from collector.journal.disk import RESERVED_DESCRIPTORS, Disk, RealDisk
from collector.journal.errors import JournalClosed, PositionBeyondEnd
from collector.journal.flusher import CLOSE_TIMEOUT_SECONDS, Flusher, retry_delays
from collector.journal.layout import Kind, Record
from collector.journal.opening import Parts, take
from collector.journal.options import JournalOptions
from collector.journal.reader import OnCorrupt, read_numbers
from collector.journal.recovery import Recovery
from collector.journal.segments import numbers
from collector.model import BEGINNING, Position

_log = structlog.get_logger()

# How often old segments are compressed and deleted without a new one being begun.
TIDY_INTERVAL_SECONDS: Final = 60.0
# Compressing must not take time from receiving; 19 would be the least.
ARCHIVE_NICENESS: Final = 15


class Journal:
    """An append-only record of everything received; made by `open`, run by `run`, ended by `close`.

    Its methods may be called only from the event loop's thread.
    """

    def __init__(
        self, directory: Path, options: JournalOptions, parts: Parts, delays: Callable[[], Iterator[float]]
    ) -> None:
        self.directory = directory
        self.last_session = parts.last_session
        """The highest number of a session that the journal knew before this process."""
        self.begin = Position(parts.tail.segment, 0)
        """Where this process began: nothing from here on was there before."""
        self._lock = parts.lock
        self._disk = parts.disk
        self._tail = parts.tail
        self._writer = parts.writer
        self._archive = parts.archive
        self._budget = parts.budget
        self._remains = parts.remains
        self._flusher = Flusher(directory, options, parts, delays)
        self._room = self._flusher.room
        self._committed = BEGINNING
        self._closed = False
        self._archive_thread = ThreadPoolExecutor(1, "journal-archive", _be_nice)

    @staticmethod
    async def open(
        directory: Path,
        options: JournalOptions,
        *,
        now_ns: Callable[[], int],
        disk: Disk | None = None,
        delays: Callable[[], Iterator[float]] = retry_delays,
    ) -> Journal:
        """Lock the directory, cut off an incomplete end, and begin a new segment.

        If the disk is full or fails at that, `refusal` says so, as it does later on, and `run` tries again.

        Raises:
            JournalLocked: another process writes there.
            OSError: the directory cannot be made, read or written.
        """

        if disk is None:
            disk = RealDisk(reserve=RESERVED_DESCRIPTORS)
        parts = await asyncio.to_thread(take, directory, options, now_ns, disk)
        journal = Journal(directory, options, parts, delays)
        _log.info("journal_opened", directory=str(directory), segment=journal.end.segment)
        return journal

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"fault: {self.fault}" if self.fault else "open"
        return f"<Journal {state} end={tuple(self.end)} durable={tuple(self.durable)} buffered={self.buffered}>"

    @property
    def recovery(self) -> Recovery | None:
        """What was cut off the incomplete end at the start; None where nothing was."""
        return self._remains.recovery if self._remains else None

    @property
    def fault(self) -> str | None:
        """Why the disk refuses at the moment, in words; None while it does not."""
        return self._room.fault

    def append(self, session: int, kind: Kind, received_ns: int, payload: bytes) -> None:
        """Record a payload. Never waits; ask `room` before taking more from a venue.

        Raises:
            PayloadTooLarge: nothing was recorded.
            JournalClosed: nothing was recorded.
        """
        self._tail.append(session, kind, received_ns, payload)

    def call_to_carry(self, callback: Callable[[int, bytes], bytes]) -> None:
        """Call `callback` for each open session when a segment begins; it returns the payload of the CARRY record.

        It gets the session and the payload of its OPEN record, and must not append.
        """
        self._tail.on_carry = callback

    def call_when_full(self, callback: Callable[[Position], None]) -> None:
        """Call `callback` with a segment's end just before a record begins the next segment. It must not append."""
        self._tail.on_full = callback

    @property
    def end(self) -> Position:
        """After the last record appended."""
        return self._tail.end

    def distance(self, position: Position) -> int:
        """Return how many bytes are between ``position`` and the end, without those of deleted segments."""
        end = self._tail.end
        if position.segment == end.segment:
            return end.offset - position.offset
        between = sum(size for number, size in self._tail.ends.items() if number >= position.segment)
        return between + end.offset - (position.offset if position.segment in self._tail.ends else 0)

    @property
    def full(self) -> bool:
        """Whether `room` would wait."""
        return self._room.full

    @property
    def refusal(self) -> Refusal | None:
        """Why nothing should be appended that can be missed; None while there is room.

        The disk budget is used up, or the disk refuses and the memory is full. A slow disk is no refusal.
        """
        return self._room.refusal

    @property
    def used_bytes(self) -> int:
        """What the journal's files take on the disk, as of a second ago."""
        return self._budget.used_bytes

    @property
    def free_bytes(self) -> int:
        """What is free on the disk, as of a second ago."""
        return self._budget.free_bytes

    @property
    def written(self) -> Position:
        """The position up to which a reader, or a restart after a kill, finds everything.

        After a failed sync it goes back: which of the data the disk holds is unknown until it is written again.
        """
        return self._writer.written

    @property
    def durable(self) -> Position:
        """Up to here everything survives a power cut."""
        return self._writer.durable

    @property
    def buffered(self) -> int:
        """How many bytes have been appended and not yet written."""
        return self._flusher.buffered

    @property
    def committed(self) -> Position:
        """The position up to which all rows are in the database. Segments after it are never deleted."""
        return self._committed

    @committed.setter
    def committed(self, position: Position) -> None:
        if position > self.end:
            raise PositionBeyondEnd(position, self.end)
        self._committed = position

    async def room(self) -> None:
        """Return when less than `buffer_bytes` are in memory and the disk budget is not used up.

        That is at once unless the disk is behind, refuses or is full.

        Written bytes count until they are synced: until then a copy is kept. Needs `run`.
        """
        while self.full:
            if self._closed:
                raise JournalClosed
            await self._room.change()

    async def refused(self) -> Refusal:
        """Return once there is a `refusal`. Needs `run`."""
        return await self._room.refused()

    async def sync(self, upto: Position) -> None:
        """Return when everything before ``upto`` survives a power cut: within a sync interval on a healthy disk.

        Raises:
            PositionBeyondEnd: nothing was appended there yet.
            JournalUnwritable: the disk refuses, and `run` is not there to try again.
            JournalClosed: the journal was closed before that could be had.
        """
        if upto <= self._writer.durable:
            return
        if upto > self.end:
            raise PositionBeyondEnd(upto, self.end)
        if self._closed:
            raise JournalClosed
        await self._flusher.sync(upto)

    async def flush(self) -> None:
        """Return when everything appended so far can be read; it may not be durable yet.

        If a sync fails afterwards, it cannot be read until it is written again: see `written`.

        Raises:
            JournalUnwritable: the disk refuses at the moment. Nothing is lost.
        """
        await self._flusher.flush()

    def flush_now(self) -> None:
        """Do the same as `flush`, but block the event loop, so that nothing can be appended meanwhile.

        Blocks for two seconds at most, while a write or sync is running.

        Raises:
            JournalUnwritable: the disk refuses at the moment, or does not answer. Nothing is lost.
        """
        self._flusher.flush_now()

    def read(
        self, start: Position | None = None, end: Position | None = None, *, on_corrupt: OnCorrupt | None = None
    ) -> Iterator[Record]:
        """Return the records from ``start`` up to ``end``, or to what has been written by now; see `reader.read`."""
        written = self._writer.written
        end = written if end is None else min(end, written)
        return read_numbers(self.directory, numbers(self.directory), start, end, on_corrupt)

    async def run(self) -> None:
        """Write, sync, compress and delete until cancelled; after failures tries again for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._tidy_up(), name="journal-tidy")
            await self._flusher.run()

    async def close(self) -> None:
        """Write and sync the rest, and unlock the directory. `run` must have ended.

        Raises:
            JournalUnwritable: after a few attempts the disk still refuses, or it does not answer. The unwritten data is
            lost.
        """
        if self._closed:
            return
        self._closed = True
        self._tail.close()
        self._archive.stop()
        try:
            await self._flusher.finish()
        finally:
            await self._release()
        _log.info("journal_closed", directory=str(self.directory), end=tuple(self.end))

    async def _release(self) -> None:
        """Unlock the directory. Threads that wait for a disk keep the lock, and end with the process."""
        self._flusher.end(wait=False)
        self._archive_thread.shutdown(wait=False)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
                await asyncio.to_thread(self._wait_for_threads)

    def _wait_for_threads(self) -> None:
        self._flusher.end(wait=True)
        self._archive_thread.shutdown()
        with contextlib.suppress(OSError):  # everything that could be synced was synced
            self._writer.close()
        self._disk.release()
        self._lock.release()

    async def _tidy_up(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            active, committed = self._writer.written.segment, self._committed
            if await loop.run_in_executor(self._archive_thread, self._archive.tidy, active, committed):
                self._flusher.freed.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TIDY_INTERVAL_SECONDS):
                    await self._flusher.tidy.wait()
            self._flusher.tidy.clear()


def _be_nice() -> None:
    with contextlib.suppress(OSError):  # only politeness, which some sandboxes forbid
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), ARCHIVE_NICENESS)

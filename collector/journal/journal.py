"""The journal as the rest of the collector sees it.

Facts first: a frame is recorded before anything is made of it. This module joins the parts: the tail in memory
gives every record its place, a thread writes and syncs in groups, a second one looks after closed segments. It
knows nothing of venues and never looks into a payload.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import structlog

from collector.journal.archive import Archive
from collector.journal.budget import DISK_FAULT, DISK_FULL, MEASURE_INTERVAL_S, Budget, Refusal
from collector.journal.disk import RESERVED_DESCRIPTORS, DirectoryLock, Disk, RealDisk, private_folder
from collector.journal.errors import JournalClosed, JournalUnwritable, PositionBeyondEnd
from collector.journal.layout import BEGINNING, Kind, Position, Record
from collector.journal.options import JournalOptions
from collector.journal.reader import OnCorrupt, read_numbers
from collector.journal.recovery import Recovery, prepare
from collector.journal.segments import ends, numbers
from collector.journal.tail import Tail
from collector.journal.writer import SegmentWriter

_log = structlog.get_logger()

TIDY_INTERVAL_S: Final = 60.0
CLOSE_ATTEMPTS: Final = 3
ARCHIVE_NICENESS: Final = 15
_NO_SPACE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def retry_delays() -> Iterator[float]:
    """Return the pauses, in seconds, between attempts to write to a disk that refuses."""
    delay = 0.1
    while True:
        yield delay
        delay = min(delay * 2, 5.0)


class Journal:
    """Append-only record of what was received; made by `open`, run by `run`, ended by `close`.

    Its methods belong to one event loop's thread.
    """

    def __init__(
        self,
        directory: Path,
        options: JournalOptions,
        *,
        lock: DirectoryLock,
        disk: Disk,
        tail: Tail,
        writer: SegmentWriter,
        archive: Archive,
        budget: Budget,
        recovery: Recovery | None,
        last_session: int,
        delays: Callable[[], Iterator[float]],
    ) -> None:
        self.directory = directory
        self.recovery = recovery
        """The torn tail that `open` cut, if there was one."""
        self.last_session = last_session
        """The highest number of a session that the end of the journal knew before this process."""
        self.begin = Position(tail.segment, 0)
        """Where this process began: nothing from here on was there before."""
        self.fault: str | None = None
        """Why the disk refuses at the moment; None while it does not."""
        self._options = options
        self._lock = lock
        self._disk = disk
        self._tail = tail
        self._writer = writer
        self._archive = archive
        self._budget = budget
        self._delays = delays
        self._committed = BEGINNING
        self._running = False
        self._closed = False
        self._progress = asyncio.Event()
        self._rolled = asyncio.Event()
        self._refusing = asyncio.Event()
        self._refusal: Refusal | None = None
        self._fault_cause = DISK_FAULT
        self._waiting: list[tuple[Position, asyncio.Future[None]]] = []
        self._disk_thread = ThreadPoolExecutor(1, "journal")
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
        """Take the directory, cut a torn tail, and begin a new segment.

        Raises:
            JournalLocked: another process writes there.
            OSError: the directory cannot be made, read or written.
        """

        if disk is None:
            disk = RealDisk(reserve=RESERVED_DESCRIPTORS)
        journal = await asyncio.to_thread(_begin, directory, options, now_ns, disk, delays)
        journal._judge()  # noqa: SLF001  one of its own makers
        _log.info("journal_opened", directory=str(directory), segment=journal.end.segment)
        return journal

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"fault: {self.fault}" if self.fault else "open"
        return f"<Journal {state} end={tuple(self.end)} durable={tuple(self.durable)} buffered={self.buffered}>"

    def append(self, session: int, kind: Kind, received_ns: int, payload: bytes) -> None:
        """Record a payload. Never waits; ask `room` before taking more from a venue.

        Raises:
            PayloadTooLarge: nothing was recorded.
            JournalClosed: nothing was recorded.
        """
        self._tail.append(session, kind, received_ns, payload)

    def call_to_carry(self, callback: Callable[[int, bytes], bytes]) -> None:
        """Have `callback` give what a new segment says of each session that is open; it must not append.

        It gets the session and the payload of its OPEN record.
        """
        self._tail.on_carry = callback

    def call_when_full(self, callback: Callable[[Position], None]) -> None:
        """Have `callback` called with a segment's end just before a record begins the next one. It must not append."""
        self._tail.on_full = callback

    @property
    def end(self) -> Position:
        """After the last record appended."""
        return self._tail.end

    def distance(self, position: Position) -> int:
        """Return how many bytes lie between ``position`` and the end, those of segments that are gone left out."""
        end = self._tail.end
        if position.segment == end.segment:
            return end.offset - position.offset
        between = sum(size for number, size in self._tail.ends.items() if number >= position.segment)
        return between + end.offset - (position.offset if position.segment in self._tail.ends else 0)

    @property
    def full(self) -> bool:
        """Whether `room` would wait."""
        return self._refusal is not None or self._buffer_full

    @property
    def _buffer_full(self) -> bool:
        return self._tail.total_bytes - self._writer.durable_bytes >= self._options.buffer_bytes

    @property
    def refusal(self) -> Refusal | None:
        """Why nothing should be appended that can be missed; None while there is room.

        The disk budget is used up, or the disk refuses and the memory is full. A slow disk is no refusal.
        """
        return self._refusal

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
        """Up to here a reader, or a restart after the process was killed, finds everything."""
        return self._writer.written

    @property
    def durable(self) -> Position:
        """Up to here everything survives a power cut."""
        return self._writer.durable

    @property
    def buffered(self) -> int:
        """How many bytes have been appended and not yet written."""
        return self._tail.total_bytes - self._writer.written_bytes

    @property
    def committed(self) -> Position:
        """Up to here the rows are in the database. No segment at or after it is ever deleted."""
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
            self._progress.clear()
            await self._progress.wait()

    async def refused(self) -> Refusal:
        """Return once there is a `refusal`. Needs `run`."""
        while self._refusal is None:
            await self._refusing.wait()
        return self._refusal

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
        if not self._running:
            await self._attempt(self._writer.write_and_sync)
            return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((upto, done))
        await done

    async def flush(self) -> None:
        """Return when everything appended so far can be read. Not when it is durable.

        Raises:
            JournalUnwritable: the disk refuses at the moment; nothing is lost.
        """
        if self._tail.pending:
            await self._attempt(self._writer.write)

    def flush_now(self) -> None:
        """Do what `flush` does without giving up control: for a little, where nothing may be appended meanwhile.

        Waits for a write or sync that is under way.

        Raises:
            JournalUnwritable: the disk refuses at the moment; nothing is lost.
        """
        self._tail.seal()
        try:
            self._writer.write()
        except OSError as error:
            self._found(error)
            raise JournalUnwritable(self.directory, self.buffered, str(error)) from error

    def read(
        self, start: Position | None = None, end: Position | None = None, *, on_corrupt: OnCorrupt | None = None
    ) -> Iterator[Record]:
        """Return the records from ``start`` up to ``end``, or to what has been written by now; see `reader.read`."""
        written = self._writer.written
        end = written if end is None else min(end, written)
        return read_numbers(self.directory, numbers(self.directory), start, end, on_corrupt)

    async def run(self) -> None:
        """Write, sync, compress and delete until cancelled. A disk that refuses is tried again for ever."""
        self._running = True
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._write_on(), name="journal-write")
                tasks.create_task(self._tidy_up(), name="journal-tidy")
        finally:
            self._running = False

    async def close(self) -> None:
        """Write and sync what is left, and give the directory back. `run` must have ended.

        Raises:
            JournalUnwritable: after a few attempts the disk still refuses; what could not be written is lost.
        """
        if self._closed:
            return
        self._closed = True
        self._tail.close()
        self._archive.stop()
        try:
            await self._write_the_rest()
        finally:
            self._settle()
            for _, done in self._waiting:
                if not done.done():
                    done.set_exception(JournalClosed())
            self._waiting.clear()
            await asyncio.to_thread(self._release)
        _log.info("journal_closed", directory=str(self.directory), end=tuple(self.end))

    async def _write_the_rest(self) -> None:
        delays = self._delays()
        for attempt in range(1, CLOSE_ATTEMPTS + 1):
            try:
                await self._attempt(self._writer.write_and_sync)
            except JournalUnwritable:
                if attempt == CLOSE_ATTEMPTS:
                    raise
                await asyncio.sleep(next(delays))
            else:
                return

    def _release(self) -> None:
        self._disk_thread.shutdown()
        self._archive_thread.shutdown()
        with contextlib.suppress(OSError):  # everything that could be synced has been
            self._writer.close()
        self._disk.release()
        self._lock.release()

    async def _write_on(self) -> None:
        loop = asyncio.get_running_loop()
        options = self._options
        age_ns = int(options.segment_seconds * 1e9)
        synced_at = measured_at = loop.time()
        while True:
            # Not an event: the pause is what gathers many records into one write.
            await asyncio.sleep(options.write_interval_s)
            self._tail.expire(age_ns)
            unsynced = self._tail.total_bytes - self._writer.durable_bytes
            due = loop.time() - synced_at >= options.sync_interval_s or unsynced >= options.buffer_bytes // 2
            if due and unsynced:
                await self._insist(self._writer.write_and_sync)
                synced_at = loop.time()
            elif self._tail.pending:
                await self._insist(self._writer.write)
            if loop.time() - measured_at >= MEASURE_INTERVAL_S:
                await self._measure()
                measured_at = loop.time()
            self._judge()

    async def _measure(self) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):  # what was measured before stands, and what was written since is known
            await loop.run_in_executor(self._disk_thread, self._budget.measure, self._writer.written_bytes)
        if self._budget.excess() > 0:
            self._rolled.set()

    def _judge(self) -> None:
        """Find out whether there is room, and tell those who wait when that changes."""
        if self._budget.judge(self._tail.total_bytes):
            if self._budget.spent is not None:
                _log.error("journal_disk_budget_reached", reason=self._budget.spent,
                           remedy="the venues are held until rows are committed or space is free")  # fmt: skip
            else:
                _log.warning("journal_has_room_again", used_bytes=self.used_bytes, free_bytes=self.free_bytes)
        if self._budget.spent is not None:
            refusal = Refusal(DISK_FULL, self._budget.spent)
        elif self.fault is not None and self._buffer_full:
            refusal = Refusal(self._fault_cause, f"the disk refuses the journal: {self.fault}")
        else:
            refusal = None
        if refusal == self._refusal:
            return
        self._refusal = refusal
        if refusal is None:
            self._refusing.clear()
            self._progress.set()
        else:
            self._refusing.set()

    async def _insist(self, work: Callable[[], None]) -> None:
        for delay in self._delays():
            with contextlib.suppress(JournalUnwritable):  # logged, and kept in `fault`
                await self._attempt(work)
                return
            await asyncio.sleep(delay)

    async def _attempt(self, work: Callable[[], None]) -> None:
        segment = self._writer.written.segment
        self._tail.seal()
        try:
            await asyncio.get_running_loop().run_in_executor(self._disk_thread, work)
        except OSError as error:
            self._found(error)
            raise JournalUnwritable(self.directory, self.buffered, str(error)) from error
        finally:
            self._settle()
        if self.fault:
            _log.warning("journal_disk_recovered", after=self.fault)
            self.fault = None
            self._budget.pressed_bytes = 0
            self._judge()
        if self._writer.written.segment != segment:
            self._rolled.set()

    def _found(self, error: OSError) -> None:
        fault = f"{error.strerror or error}"
        if fault != self.fault:
            self.fault = fault
            _log.error("journal_disk_fault", error=fault, errno=error.errno, buffered=self.buffered)
        self._fault_cause = DISK_FAULT
        if error.errno in _NO_SPACE:
            self._fault_cause = DISK_FULL
            self._budget.pressed_bytes = self._options.segment_bytes
            self._rolled.set()
        self._judge()

    def _settle(self) -> None:
        self._progress.set()
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

    async def _tidy_up(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            active, committed = self._writer.written.segment, self._committed
            await loop.run_in_executor(self._archive_thread, self._archive.tidy, active, committed)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TIDY_INTERVAL_S):
                    await self._rolled.wait()
            self._rolled.clear()


def _begin(
    directory: Path,
    options: JournalOptions,
    now_ns: Callable[[], int],
    disk: Disk,
    delays: Callable[[], Iterator[float]],
) -> Journal:
    private_folder(directory)
    budget = Budget(directory, options, disk)
    with contextlib.ExitStack() as undo:
        undo.callback(disk.release)
        lock = DirectoryLock(directory)
        undo.callback(lock.release)
        prepared = prepare(directory, now_ns(), disk)
        tail = Tail(prepared.next_segment, segment_bytes=options.segment_bytes, now_ns=now_ns)
        tail.last_ns.update(prepared.last_ns)
        tail.ends.update(ends(directory))
        tail.seal()
        writer = SegmentWriter(disk, directory, prepared.next_segment, tail.sealed)
        undo.callback(writer.close)
        writer.write_and_sync()
        budget.measure(writer.written_bytes)
        journal = Journal(
            directory,
            options,
            lock=lock,
            disk=disk,
            tail=tail,
            writer=writer,
            archive=Archive(directory, options, now_ns=now_ns, last_ns=tail.last_ns, disk=disk, budget=budget),
            budget=budget,
            recovery=prepared.recovery,
            last_session=prepared.last_session,
            delays=delays,
        )
        undo.pop_all()
        return journal


def _be_nice() -> None:
    with contextlib.suppress(OSError):  # a courtesy; some sandboxes forbid it
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), ARCHIVE_NICENESS)

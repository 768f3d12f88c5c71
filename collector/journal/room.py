"""Knows whether there is room for more frames, and wakes those who wait for it.

There is no room when the memory is full because the disk is slow, when the disk budget is used up, or when the disk
refuses. The first passes soon, and feeds are only held back. The other two are a refusal, which may last for any time.
"""

from __future__ import annotations

import asyncio
import errno
import os
from typing import Final

import structlog

from collector.journal.budget import DISK_FAULT, DISK_FULL, Budget, Refusal
from collector.journal.tail import Tail
from collector.journal.writer import SegmentWriter

_log = structlog.get_logger()

_REMEDIES: Final = {
    errno.ENOSPC: "free some space on it",
    errno.EDQUOT: "this account's quota is used up: raise the quota, or free some space",
    errno.EFBIG: "the limit for the size of a file is reached: set LimitFSIZE=infinity in the systemd "
    "unit, or run `ulimit -f unlimited`",
    errno.EROFS: "its file system is mounted read-only: find out why, and mount it for writing",
    errno.EMFILE: "too many files are open: raise LimitNOFILE in the systemd unit, or `ulimit -n`",
    errno.ENFILE: "the machine has too many open files: raise the sysctl setting fs.file-max",
    errno.EIO: "see the kernel's log; the disk may have to be replaced",
}


def in_words(error: OSError) -> str:
    """Return the system's text for a disk error, and a remedy where one is known."""
    words = error.strerror or (os.strerror(error.errno) if error.errno else str(error))
    remedy = _REMEDIES.get(error.errno or 0)
    return f"{words} ({remedy})" if remedy else words


class Room:
    """Belongs to the event loop's thread."""

    def __init__(self, buffer_bytes: int, budget: Budget, tail: Tail, writer: SegmentWriter) -> None:
        self.fault: str | None = None
        """Why the disk refuses at the moment, in words; None while it does not."""
        self.refusal: Refusal | None = None
        """Why nothing should be appended that can be missed; None while there is room."""
        self._buffer_bytes = buffer_bytes
        self._budget = budget
        self._tail = tail
        self._writer = writer
        self._cause = DISK_FAULT
        self._progress = asyncio.Event()
        self._refusing = asyncio.Event()

    @property
    def full(self) -> bool:
        """Whether nothing more should be read for now."""
        # Called every few frames, hence no calls in here.
        return self.refusal is not None or self._tail.total_bytes - self._writer.durable_bytes >= self._buffer_bytes

    @property
    def _buffer_full(self) -> bool:
        return self._tail.total_bytes - self._writer.durable_bytes >= self._buffer_bytes

    async def change(self) -> None:
        """Return when something was written, or room came."""
        self._progress.clear()
        await self._progress.wait()

    async def refused(self) -> Refusal:
        """Return once there is a refusal."""
        while self.refusal is None:
            await self._refusing.wait()
        return self.refusal

    def progressed(self) -> None:
        """Something was written, or the journal was closed."""
        self._progress.set()

    def disk_refused(self, error: OSError) -> None:
        """A write has failed. Where that was for want of space, committed segments have to give way."""
        fault = in_words(error)
        if fault != self.fault:
            self.fault = fault
            _log.error("journal_disk_fault", error=fault, errno=error.errno, buffered=self._waiting_bytes)
        self._cause = DISK_FAULT
        # Not for a quota or a limit on file sizes: deleting segments does not help there.
        if error.errno == errno.ENOSPC:
            self._cause = DISK_FULL
            self._budget.disk_refused(self._waiting_bytes + self._writer.rebuild_bytes)
        self.judge()

    def disk_took(self) -> None:
        """All that waited has been written."""
        if self.fault:
            _log.warning("journal_disk_recovered", after=self.fault)
            self.fault = None
            self._budget.disk_took()
            self.judge()

    @property
    def _waiting_bytes(self) -> int:
        return self._tail.total_bytes - self._writer.written_bytes

    def judge(self) -> None:
        """Decide whether there is room, and wake those who wait when that changes."""
        budget = self._budget
        if budget.judge(self._tail.total_bytes):
            if budget.spent is not None:
                _log.error(
                    "journal_disk_budget_reached",
                    reason=budget.spent,
                    remedy="the venues are disconnected until rows are committed or disk space is freed",
                )
            else:
                _log.warning("journal_has_room_again", used_bytes=budget.used_bytes, free_bytes=budget.free_bytes)
        self._become(self._judged())

    def _judged(self) -> Refusal | None:
        if self._budget.spent is not None:
            return Refusal(DISK_FULL, self._budget.spent)
        # Nothing may depend on this process's memory before its first segment is on the disk.
        if self.fault is not None and (self._buffer_full or not self._writer.begun):
            return Refusal(self._cause, f"the disk refuses the journal: {self.fault}")
        return None

    def _become(self, refusal: Refusal | None) -> None:
        if refusal == self.refusal:
            return
        self.refusal = refusal
        if refusal is None:
            self._refusing.clear()
            self._progress.set()
        else:
            self._refusing.set()

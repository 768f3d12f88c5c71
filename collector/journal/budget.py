"""Decides how much of the disk the journal may use, whether that is used up, and whether deleting segments helps.

Segments that are not committed are never deleted, so that the journal only grows while the database is away. A full
disk would stop more than the journal: an embedded database on it could not start again. So there are two limits: a size
that the journal must not exceed, and a space that must stay free. At either of them no more frames are taken in; gaps
cover what is missed, and the venue's history may fill them. Recording goes on only once a quarter of the limit is free
again, since each new connection brings snapshots and repairs, and connections should not come and go.

Where the disk itself is full, committed segments are deleted too, but only as many as the waiting data needs. Deleting
does not always free space: a snapshot of the file system or a hard link keeps the bytes, or a quota is the limit. So
the free space is measured after each deletion, and if it has not grown, no further segment is deleted for it until it
does.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Final, NamedTuple

from collector.journal.disk import Disk
from collector.journal.options import JournalOptions
from collector.journal.segments import UNFINISHED_SUFFIXES

# How often the free space is measured: less often than a full disk of ours could fill up unseen.
MEASURE_INTERVAL_SECONDS: Final = 1.0
DISK_FULL: Final = "disk full"
DISK_FAULT: Final = "disk fault"

_MIB: Final = 1 << 20
# A file system needs some space beside a file's bytes, for its name and its list of blocks.
_SPARE_BYTES: Final = 1 << 16
# A deletion has helped if at least one eighth of the file's size became free: on file systems that compress it is less
# than the size.
_FREED_SHARE: Final = 8


class Refusal(NamedTuple):
    """Nothing more may be recorded for now: the kind of cause, and in words why."""

    cause: str
    reason: str


class _Measured(NamedTuple):
    used: int
    free: int
    written: int


class _Doubt(NamedTuple):
    """A deletion that freed nothing, as far as could be seen."""

    size: int
    lowest_free: int
    """The least that was free since."""


class Budget:
    """The budget of one journal. `measure` may be called by one thread at a time, everything else by all threads."""

    def __init__(self, directory: Path, options: JournalOptions, disk: Disk) -> None:
        self._directory = directory
        self._disk = disk
        self._most = options.max_bytes
        self._floor = options.min_free_bytes
        self._measured = _Measured(0, 1 << 62, 0)
        self._lock = threading.Lock()
        self._deleted = 0
        self._needed = 0
        self._doubt: _Doubt | None = None
        self.spent: str | None = None
        """Why nothing more may be taken in; None while there is room."""

    @property
    def used_bytes(self) -> int:
        """What the journal's files took when they were last measured."""
        return self._measured.used

    @property
    def free_bytes(self) -> int:
        """What was free on the disk then, for this user."""
        return self._measured.free

    @property
    def refused(self) -> bool:
        """Whether the disk has no space for the data that waits to be written."""
        return self._needed > 0

    @property
    def pressing(self) -> bool:
        """Whether segments should be deleted, by the last measurement; meanwhile nothing else should use up space."""
        return self.refused or self.excess() > 0

    def measure(self, written: int) -> None:
        """Look at the disk; `written` are the bytes that have been written there by now. Raises OSError."""
        free = self._look()
        used = 0
        with os.scandir(self._directory) as entries:
            for entry in entries:
                if not entry.name.endswith(UNFINISHED_SUFFIXES):
                    try:
                        used += entry.stat().st_size
                    except FileNotFoundError:  # compressed or deleted meanwhile
                        continue
        with self._lock:
            self._measured = _Measured(used, free, written)
            self._deleted = 0

    # -- the disk has no space left ----------------------------------------------------------------------------------

    def disk_refused(self, needed: int) -> None:
        """Note that the disk has refused a write because it is full; these bytes wait to be written."""
        self._needed = needed + _SPARE_BYTES

    def disk_took(self) -> None:
        """What waited has been written."""
        with self._lock:
            self._needed = 0
            self._doubt = None

    # -- what gives way ----------------------------------------------------------------------------------------------

    def over_size(self) -> bool:
        """Whether the journal is so large that a committed segment should be deleted."""
        used, _ = self._now(0)
        return self._most is not None and used > self._most * (100 - self._percent) // 100

    def lacks_space(self) -> bool:
        """Whether so little is free that a committed segment should give way, and whether that may help.

        Looks at the disk. Raises OSError.
        """
        wanted = max(self._needed, self._floor * (100 + self._percent) // 100)
        return self._look() < wanted and self._doubt is None

    def has_room_for(self, size: int) -> bool:
        """Measure the disk; return whether it could take a file of that size and still keep its reserve free."""
        return self._look() - self._floor >= size

    def look(self) -> int:
        """Return how many bytes are free, to be given to `deleted`. Raises OSError."""
        return self._look()

    def deleted(self, size: int, free_before: int) -> None:
        """So much was deleted. Looks at the disk. Raises OSError."""
        free = self._look()
        with self._lock:
            self._deleted += size
            if free - free_before < max(1, size // _FREED_SHARE):
                self._doubt = _Doubt(size, free)

    def excess(self, written: int = 0) -> int:
        """Return how many bytes should be freed so that there is room, or stays so. 0 or less: none."""
        used, free = self._now(written)
        over = 0 if self._most is None else used - self._most * (100 - self._percent) // 100
        short = 0 if not self._floor else self._floor * (100 + self._percent) // 100 - free
        return max(over, short)

    def judge(self, written: int) -> bool:
        """Decide again whether there is room, after `written` bytes; return whether that has changed."""
        used, free = self._now(written)
        full = (self._most is not None and used >= self._most) or (self._floor > 0 and free < self._floor)
        if self.spent is None:
            if not full:
                return False
            self.spent = self._why(used, free)
            return True
        if full or self.excess(written) > 0:
            return False
        self.spent = None
        return True

    @property
    def _percent(self) -> int:
        return 10 if self.spent is None else 25

    def _look(self) -> int:
        free = self._disk.free_bytes(self._directory)
        with self._lock:
            if self._doubt is not None:
                size, lowest = self._doubt
                lowest = min(lowest, free)
                # Some file systems free space only later.
                helped = free - lowest >= max(1, size // _FREED_SHARE)
                self._doubt = None if helped else _Doubt(size, lowest)
        return free

    def _now(self, written: int) -> tuple[int, int]:
        with self._lock:
            used, free, before = self._measured
            since = max(0, written - before) - self._deleted
        return used + since, free - since

    def _why(self, used: int, free: int) -> str:
        if self._most is not None and used >= self._most:
            return f"the journal uses {used // _MIB} MiB, and journal.max_gb allows {self._most // _MIB}"
        there = f"{free // _MIB} MiB are free" if free > 0 else "no space is free, or no more files can be created,"
        return f"{there} and journal.min_free_gb is {self._floor // _MIB} MiB"

"""How much of the disk the journal may take, and whether that is used up.

What is not committed can never be deleted, so while the database is away the journal only grows. A disk that is full
stops more than the journal: an embedded database beside it would not start again. So there are two marks, a size that
the journal must not exceed and a space that must stay free. At either nothing more is taken in: what is missed then
is a gap, and the venue's history may give it back. There is room again a quarter before the mark: each line that is
made anew brings snapshots and repairs, and lines must not come and go.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Final, NamedTuple

from collector.journal.disk import Disk
from collector.journal.options import JournalOptions
from collector.journal.segments import UNFINISHED

MEASURE_INTERVAL_S: Final = 1.0
DISK_FULL: Final = "disk full"
DISK_FAULT: Final = "disk fault"

_MIB: Final = 1 << 20


class Refusal(NamedTuple):
    """Nothing more may be recorded for now: the kind of cause, and in words why."""

    cause: str
    reason: str


class _Measured(NamedTuple):
    used: int
    free: int
    written: int


class Budget:
    """What one journal may take. `measure` belongs to any one thread at a time, the rest may be asked from all."""

    def __init__(self, directory: Path, options: JournalOptions, disk: Disk) -> None:
        self._directory = directory
        self._disk = disk
        self._most = options.max_bytes
        self._floor = options.min_free_bytes
        self._measured = _Measured(0, 1 << 62, 0)
        self._lock = threading.Lock()
        self._deleted = 0
        self.pressed_bytes = 0
        """So much has to be freed whatever was measured: the disk has refused a write for want of space."""
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

    def measure(self, written: int) -> None:
        """Look at the disk; `written` are the bytes that have been written there by now. Raises OSError."""
        free = self._disk.free_bytes(self._directory)
        used = 0
        with os.scandir(self._directory) as entries:
            for entry in entries:
                if not entry.name.endswith(UNFINISHED):
                    try:
                        used += entry.stat().st_size
                    except FileNotFoundError:  # compressed or deleted meanwhile
                        continue
        with self._lock:
            self._measured = _Measured(used, free, written)
            self._deleted = 0

    def deleted(self, size: int) -> None:
        """So much was deleted since the last look."""
        with self._lock:
            self._deleted += size
            self.pressed_bytes = max(0, self.pressed_bytes - size)

    def excess(self, written: int = 0) -> int:
        """Return how many bytes should be freed so that there is room, or stays so. 0 or less: none."""
        used, free = self._now(written)
        percent = 10 if self.spent is None else 25
        over = 0 if self._most is None else used - self._most * (100 - percent) // 100
        return max(over, self._floor * (100 + percent) // 100 - free, self.pressed_bytes)

    def judge(self, written: int) -> bool:
        """Decide anew whether there is room, `written` bytes having been taken by now; tell whether that changed."""
        used, free = self._now(written)
        full = (self._most is not None and used >= self._most) or free < self._floor
        if self.spent is None:
            if not full:
                return False
            self.spent = self._why(used, free)
            return True
        if full or self.excess(written) > 0:
            return False
        self.spent = None
        return True

    def _now(self, written: int) -> tuple[int, int]:
        with self._lock:
            used, free, before = self._measured
            since = max(0, written - before) - self._deleted
        return used + since, free - since

    def _why(self, used: int, free: int) -> str:
        if self._most is not None and used >= self._most:
            return f"the journal takes {used // _MIB} MiB and may take {self._most // _MIB} (journal.max_gb)"
        return f"{free // _MIB} MiB are free and {self._floor // _MIB} must stay so (journal.min_free_gb)"

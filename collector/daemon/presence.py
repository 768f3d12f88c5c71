"""The note that a running daemon leaves in its data folder: its process, and where its page is or why there is none.

Others on this machine find the daemon by it, though it listens elsewhere than the file says by now, or not at all. The
note of a daemon that is no more tells nothing: a process is known by its number and the time of its start.
"""

from __future__ import annotations

__all__ = ["Note", "Presence", "read"]

import contextlib
import json
import os
from pathlib import Path
from typing import Final, NamedTuple

import structlog

from collector.data_dir import NOTE_FILE

log = structlog.get_logger()

# Of /proc/PID/stat, counted after the program's name, which may contain anything (proc(5), `starttime`).
_START_TIME_FIELD: Final = 19


class Presence(NamedTuple):
    """A daemon that runs; `page` None while it is not served, `trouble` why."""

    process: int
    page: str | None
    trouble: str


class Note:
    """The note of this process."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / NOTE_FILE
        self._told = ""

    def leave(self, page: str | None, trouble: str = "") -> None:
        """Write it. A refusal is told, once, and stops nothing: the note is a convenience."""
        note = {"process": os.getpid(), "started": _started(os.getpid()), "page": page, "trouble": trouble}
        unfinished = self._path.with_name(f"{NOTE_FILE}.new")
        try:
            unfinished.unlink(missing_ok=True)
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(json.dumps(note) + "\n")
            unfinished.replace(self._path)
        except OSError as error:
            reason = error.strerror or str(error)
            if reason != self._told:
                log.warning(
                    "note_not_left",
                    path=str(error.filename2 or error.filename or self._path),
                    reason=reason,
                    remedy="until it is written, commands look for this daemon at http.listen",
                )
            self._told = reason
        else:
            self._told = ""

    def remove(self) -> None:
        """Take the note away, at the daemon's end."""
        with contextlib.suppress(OSError):  # what cannot be removed tells nothing of a process that is no more
            self._path.unlink(missing_ok=True)


def read(data_dir: Path) -> Presence | None:
    """Return what the daemon of this folder has left; None where none runs, or this account may not look."""
    try:
        note = json.loads((data_dir / NOTE_FILE).read_text())
        presence = Presence(int(note["process"]), note["page"], str(note["trouble"]))
        alive = _started(presence.process) == note["started"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return presence if alive else None


def _started(process: int) -> str:
    """Return when a process was started, in the kernel's ticks; raises OSError where there is none."""
    about = Path("/proc", str(process), "stat").read_text(errors="replace")
    return about.rpartition(")")[2].split()[_START_TIME_FIELD]

"""Takes a directory for a process and puts the parts of its journal together."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from collector.journal.archive import Archive
from collector.journal.budget import Budget
from collector.journal.disk import DirectoryLock, Disk, private_folder
from collector.journal.options import JournalOptions
from collector.journal.recovery import Remains, prepare
from collector.journal.segments import ends
from collector.journal.tail import Tail
from collector.journal.writer import SegmentWriter
from collector.model import Position

# Errors that last until somebody corrects the folder. After any other one a start tries again, as a running journal
# does.
_LASTING_ERRORS: Final = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.EEXIST,
    errno.EISDIR,
    errno.ENOTDIR,
    errno.ELOOP,
)


class Parts(NamedTuple):
    """What a journal is made of; `refused` is why its segment could not begin yet."""

    lock: DirectoryLock
    disk: Disk
    tail: Tail
    writer: SegmentWriter
    archive: Archive
    budget: Budget
    remains: Remains | None
    last_session: int
    refused: OSError | None


def take(directory: Path, options: JournalOptions, now_ns: Callable[[], int], disk: Disk) -> Parts:
    """Lock the directory, repair what the last process left, and begin a segment, unless the disk refuses for now.

    Raises:
        JournalLocked: another process writes there.
        OSError: the directory cannot be made, read or written.
    """
    private_folder(directory)
    budget = Budget(directory, options, disk)
    with contextlib.ExitStack() as undo:
        undo.callback(disk.release)
        lock = DirectoryLock(directory)
        undo.callback(lock.release)
        prepared = prepare(directory, now_ns(), disk)
        tail = Tail(
            prepared.next_segment,
            segment_bytes=options.segment_bytes,
            now_ns=now_ns,
            last_session=prepared.last_session,
        )
        tail.last_ns.update(prepared.last_ns)
        tail.ends.update(_ends(directory, prepared.end))
        tail.seal()
        writer = SegmentWriter(
            disk, directory, prepared.next_segment, tail.sealed, end=prepared.end, remains=prepared.remains
        )
        undo.callback(writer.close)
        archive = Archive(directory, options, now_ns=now_ns, last_ns=tail.last_ns, disk=disk, budget=budget)
        refused = _begin(tail, writer, archive, budget)
        with contextlib.suppress(OSError):  # it is measured again in a second
            budget.measure(writer.written_bytes)
        undo.pop_all()
        return Parts(lock, disk, tail, writer, archive, budget, prepared.remains, prepared.last_session, refused)


def _ends(directory: Path, end: Position) -> dict[int, int]:
    """Return the end of each segment; for the last one, which may be incomplete, the end of its records."""
    known = {number: size for number, size in ends(directory).items() if number <= end.segment}
    return known | ({end.segment: end.offset} if end.segment in known else {})


def _begin(tail: Tail, writer: SegmentWriter, archive: Archive, budget: Budget) -> OSError | None:
    while True:
        try:
            writer.write_and_sync()
        except OSError as error:
            if error.errno in _LASTING_ERRORS:
                raise
            if error.errno != errno.ENOSPC:
                return error
            budget.disk_refused(tail.total_bytes + writer.rebuild_bytes)
            if not archive.make_room(writer.written.segment):
                return error
        else:
            budget.disk_took()
            return None

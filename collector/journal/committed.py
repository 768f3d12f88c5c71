"""How far the journal was in the tables when that was known last, in a small file beside the segments.

A process that begins learns it from the database, which may be away. Where the disk is full by then, segments that were
committed are what can give way, and this file knows of them. It is a lower bound, and no more than a hint: what it says
counts only while the disk has no space and the database has not answered. Nothing else is ever deleted on its word.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from collector.journal.disk import Disk, write_all
from collector.model import BEGINNING, Position

FILE_NAME: Final = "committed"


def remembered(directory: Path) -> Position:
    """Return what was noted last; the beginning where nothing was, or nothing that can be read."""
    try:
        segment, offset = map(int, (directory / FILE_NAME).read_text().split())
    except (OSError, ValueError):
        return BEGINNING
    return Position(segment, offset)


def remember(disk: Disk, directory: Path, position: Position) -> None:
    """Note it: after a crash there is the old file or the new one. Raises OSError."""
    path = directory / FILE_NAME
    unfinished = path.with_suffix(".new")
    disk.unlink(unfinished)
    fd = disk.create(unfinished)
    try:
        write_all(disk, fd, f"{position.segment} {position.offset}\n".encode(), 0)
        disk.sync(fd)
    finally:
        disk.close(fd)
    disk.replace(unfinished, path)

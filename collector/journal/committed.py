"""Remembers in a small file how far the journal was in the tables, as last known.

A process that starts asks the database for this position, but the database may be away. If the disk is full then, only
committed segments can be deleted, and this file tells which these are. It holds a lower bound, and is used only while
the disk is full and the database has not answered.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from collector.journal.disk import Disk, write_all
from collector.model import BEGINNING, Position

FILE_NAME: Final = "committed"


def remembered(directory: Path) -> Position:
    """Return the position in the file; the beginning where there is no file, or none that can be read."""
    try:
        segment, offset = map(int, (directory / FILE_NAME).read_text().split())
    except (OSError, ValueError):
        return BEGINNING
    return Position(segment, offset)


def remember(disk: Disk, directory: Path, position: Position) -> None:
    """Store the position; after a crash the file is the old one or the new one. Raises OSError."""
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

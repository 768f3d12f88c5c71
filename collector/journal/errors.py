# ruff: noqa: N818  names that say what happened read better where they are caught
"""The errors of the journal, with texts that tell an operator what to do.

JournalError
    JournalLocked        another process owns the directory
    JournalClosed        used after close
    JournalUnwritable    the disk refuses what has to be written now
    PayloadTooLarge      a record too large to be read back within bounded memory
    PositionBeyondEnd    a position after the end of the journal: it belongs to another journal
    DamagedJournal       the reader found damage
        CorruptRecord    bytes that are no record, or whose checksum is wrong
        MissingSegment   a file between two others, or the requested one, is missing
"""

from __future__ import annotations

from pathlib import Path

from collector.errors import CollectorError


class JournalError(CollectorError):
    """Anything the journal refuses or cannot do."""


class JournalLocked(JournalError):
    """Another process has the directory open for writing."""

    def __init__(self, directory: Path, owner: str) -> None:
        super().__init__(directory, owner)
        self.directory = directory
        self.owner = owner

    def __str__(self) -> str:
        return (
            f"{self.directory} is in use by {self.owner or 'another process'}: "
            "stop that collector first, or use another data_dir for this one"
        )


class JournalClosed(JournalError):
    """The journal has been closed; nothing more can be recorded through it."""

    def __str__(self) -> str:
        return "the journal is closed: what was appended after that has not been recorded"


class JournalUnwritable(JournalError):
    """The disk refused a write that the caller could not leave for later."""

    def __init__(self, directory: Path, unwritten: int, why: str) -> None:
        super().__init__(directory, unwritten, why)
        self.directory = directory
        self.unwritten = unwritten
        self.why = why

    def __str__(self) -> str:
        return (
            f"{self.unwritten} bytes could not be synced to {self.directory} ({self.why}): "
            "free space there or replace the disk"
        )


class PayloadTooLarge(JournalError):
    """A payload is larger than a record may be."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(size, limit)
        self.size = size
        self.limit = limit

    def __str__(self) -> str:
        return f"a payload of {self.size} bytes is over the journal's limit of {self.limit}: lower the message limit"


class PositionBeyondEnd(JournalError):
    """A position is after the end of this journal."""

    def __init__(self, position: tuple[int, int], end: tuple[int, int]) -> None:
        super().__init__(position, end)
        self.position = position
        self.end = end

    def __str__(self) -> str:
        return (
            f"position {self.position} is past the journal's end {self.end}: the journal directory was replaced by "
            "an older copy, or belongs to another database; restore the right one or reset the stored position"
        )


class DamagedJournal(JournalError):
    """The reader found damage; ``segment`` and ``offset`` say where."""

    def __init__(self, segment: int, offset: int, reason: str) -> None:
        super().__init__(segment, offset, reason)
        self.segment = segment
        self.offset = offset
        self.reason = reason

    def __str__(self) -> str:
        return f"segment {self.segment} at byte {self.offset}: {self.reason}"


class CorruptRecord(DamagedJournal):
    """Bytes that are no record; reading goes on at ``resumes_at``, where something readable follows.

    ``resumes_at`` is known only when the reader was asked to carry on (``on_corrupt``).
    """

    def __init__(self, segment: int, offset: int, reason: str, resumes_at: int | None = None) -> None:
        super().__init__(segment, offset, reason)
        self.resumes_at = resumes_at


class MissingSegment(DamagedJournal):
    """One or more segment files are gone: ``segment`` up to and including ``last``."""

    def __init__(self, segment: int, last: int) -> None:
        super().__init__(segment, 0, "the file is gone" if segment == last else f"the files up to {last} are gone")
        self.last = last

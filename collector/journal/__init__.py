"""The journal: every received frame, on disk before it is parsed.

This package uses nothing of the collector but its model and its base errors.
"""

from collector.journal.budget import Refusal
from collector.journal.disk import Disk, RealDisk
from collector.journal.errors import (
    CorruptRecord,
    DamagedJournal,
    JournalClosed,
    JournalError,
    JournalLocked,
    JournalUnwritable,
    MissingSegment,
    PayloadTooLarge,
    PositionBeyondEnd,
)
from collector.journal.flusher import retry_delays
from collector.journal.journal import Journal
from collector.journal.layout import PAYLOAD_MAX_BYTES, Kind, Record
from collector.journal.options import JournalOptions
from collector.journal.reader import OnCorrupt, SegmentCheck, read, verify
from collector.journal.recovery import Recovery
from collector.journal.segments import SegmentInfo, segments
from collector.model import BEGINNING, Position

__all__ = [
    "BEGINNING",
    "PAYLOAD_MAX_BYTES",
    "CorruptRecord",
    "DamagedJournal",
    "Disk",
    "Journal",
    "JournalClosed",
    "JournalError",
    "JournalLocked",
    "JournalOptions",
    "JournalUnwritable",
    "Kind",
    "MissingSegment",
    "OnCorrupt",
    "PayloadTooLarge",
    "Position",
    "PositionBeyondEnd",
    "RealDisk",
    "Record",
    "Recovery",
    "Refusal",
    "SegmentCheck",
    "SegmentInfo",
    "read",
    "retry_delays",
    "segments",
    "verify",
]

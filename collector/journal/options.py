"""How a journal behaves; the numbers an operator may turn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from collector.journal.layout import PAYLOAD_MAX_BYTES

# With fewer segments than this a journal would delete what it has just written.
SEGMENTS_MIN: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalOptions:
    """Settings of a `Journal`; the defaults suit one machine with an ordinary disk."""

    segment_bytes: int = 64 << 20
    """A segment is full at this size (uncompressed). A larger record gets a segment of its own."""
    segment_seconds: float = 3600
    """A segment is closed at this age, at the next record."""
    write_interval_s: float = 0.02
    """Appended records are handed to the operating system this often: they survive a kill of the process. Each
    time costs two changes of threads, which at a few hundred frames a second is more than the frames cost."""
    sync_interval_s: float = 0.1
    """Written records are forced to the disk this often: they survive a power cut."""
    buffer_bytes: int = 32 << 20
    """`Journal.room` holds the feeds back when this many bytes are in memory, not yet on the disk."""
    keep_days: float | None = None
    """Committed segments older than this are deleted; None keeps them whatever their age."""
    keep_bytes: int | None = None
    """The oldest committed segments are deleted while all together take more than this; None sets no limit."""
    keep_least_bytes: int = 0
    """So much of the newest segments stays whatever needs the space; 0: all that is committed may give way."""
    max_bytes: int | None = None
    """Nothing more is taken in while all segments together take so much; committed ones give way before that. None sets
    no limit."""
    min_free_bytes: int = 0
    """Nothing more is taken in while less than this is free on the disk; committed segments give way before that."""
    compress: bool = True
    """Compress closed segments (zstd)."""
    level: int = 3
    """The zstd level, 1 to 19."""

    def __post_init__(self) -> None:
        for name in ("segment_bytes", "segment_seconds", "write_interval_s", "sync_interval_s", "buffer_bytes"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be greater than 0, not {getattr(self, name)}")
        for name in ("keep_days", "keep_bytes", "keep_least_bytes", "min_free_bytes"):
            if getattr(self, name) is not None and getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative")
        # The segment that is being written cannot give way, nor can the one that readers are at.
        if self.max_bytes is not None and self.max_bytes < SEGMENTS_MIN * self.segment_bytes:
            raise ValueError(f"max_bytes must hold {SEGMENTS_MIN} segments of segment_bytes")
        if self.segment_bytes > PAYLOAD_MAX_BYTES:
            raise ValueError(f"segment_bytes must be at most {PAYLOAD_MAX_BYTES}, so that one fits into memory")
        if not 1 <= self.level <= 19:
            raise ValueError(f"level must be between 1 and 19, not {self.level}")

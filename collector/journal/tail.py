"""The end of the journal that is still in memory; here each record gets its position.

Appending happens for every frame and must not wait for a disk. So a record's position, and the change to a new segment,
are decided here at once, and the disk follows later. This module does no I/O and is used from the event loop's thread;
only the queue of sealed chunks is shared with the thread that writes.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from collector.journal.errors import JournalClosed, PayloadTooLarge
from collector.journal.layout import (
    LAST_SESSION_NOTE,
    PAYLOAD_MAX_BYTES,
    RECORD_BYTES,
    RECORD_HEAD,
    RECORD_REST,
    Header,
    Kind,
    encode_header,
    encode_record,
)
from collector.model import Position

_FRAME = Kind.FRAME
_crc32 = zlib.crc32
_pack_head = RECORD_HEAD.pack
_pack_rest = RECORD_REST.pack


class Chunk(NamedTuple):
    """Whole records that follow each other in one segment; the first chunk of a segment begins with its header."""

    segment: int
    data: bytearray


class Tail:
    """Records appended and not yet written, and the sessions that are open at the end."""

    def __init__(self, segment: int, *, segment_bytes: int, now_ns: Callable[[], int], last_session: int = 0) -> None:
        self.sealed: deque[Chunk] = deque()
        self.last_ns: dict[int, int] = {}
        """By full segment, when its last record was received."""
        self.ends: dict[int, int] = {}
        """By full segment, the offset of its end."""
        self._segment_bytes = segment_bytes
        self._now_ns = now_ns
        self.on_full: Callable[[Position], None] | None = None
        """Called with a segment's end before the record that begins the next segment gets its position."""
        self.on_carry: Callable[[int, bytes], bytes] | None = None
        """Called with each session that is open then and the payload of its OPEN; returns the payload of its CARRY."""
        self._open: dict[int, tuple[int, bytes]] = {}
        self._last_session = last_session
        self._sealed_bytes = 0
        self._closed = False
        self._last_ns = 0
        self._start(segment)

    def _start(self, segment: int) -> None:
        self.segment = segment
        self._filling_since_ns = self._now_ns()
        self._buffer = bytearray(encode_header(Header(segment, self._filling_since_ns)))
        for session, (opened_ns, description) in self._open.items():
            if self.on_carry is not None:
                description = self.on_carry(session, description)
            self._buffer += encode_record(session, Kind.CARRY, opened_ns, description)
        if self.ends and self._last_session:
            # That session may have ended, so that nothing else in this segment would hold its number.
            self._buffer += encode_record(self._last_session, Kind.NOTE, self._last_ns, LAST_SESSION_NOTE)
        self._offset = self._empty_offset = len(self._buffer)
        self._limit = self._segment_bytes - RECORD_BYTES
        self._last_ns = 0

    @property
    def end(self) -> Position:
        """After the last record appended."""
        return Position(self.segment, self._offset)

    @property
    def pending(self) -> bool:
        """Whether anything waits to be written."""
        return bool(self._buffer or self.sealed)

    @property
    def total_bytes(self) -> int:
        """All bytes ever put here, headers included."""
        return self._sealed_bytes + len(self._buffer)

    def append(self, session: int, kind: Kind, received_ns: int, payload: bytes) -> None:
        """Append a record; raises, and appends nothing, where the journal is closed or the payload too large."""
        size = len(payload)
        rest = _pack_rest(received_ns, session, kind) + payload  # joining is cheaper than two steps, up to many KB
        if self._offset + size > self._limit:
            self._make_way(size)
        buffer = self._buffer
        buffer += _pack_head(size, _crc32(rest, size))
        buffer += rest
        self._offset += RECORD_BYTES + size
        self._last_ns = received_ns
        if kind is not _FRAME:
            self._follow(session, kind, received_ns, payload)

    def _make_way(self, size: int) -> None:
        if self._closed:
            raise JournalClosed
        if size > PAYLOAD_MAX_BYTES:
            raise PayloadTooLarge(size, PAYLOAD_MAX_BYTES)
        if self._offset > self._empty_offset:
            self.seal()
            self.last_ns[self.segment] = self._last_ns
            self.ends[self.segment] = self._offset
            if self.on_full is not None:
                self.on_full(self.end)
            self._start(self.segment + 1)

    def _follow(self, session: int, kind: Kind, received_ns: int, payload: bytes) -> None:
        if kind == Kind.OPEN:
            self._open[session] = (received_ns, payload)
            self._last_session = max(self._last_session, session)
        elif kind == Kind.CLOSE:
            self._open.pop(session, None)

    def expire(self, age_ns: int) -> None:
        """Let the next record begin a new segment, if this one has held records for that long.

        The change waits for a record, so that the end of the journal is never in a file that was not written yet.
        """
        now_ns = self._now_ns()
        if self._offset == self._empty_offset:
            self._filling_since_ns = now_ns
        elif now_ns - self._filling_since_ns >= age_ns and not self._closed:
            self._limit = 0

    def seal(self) -> None:
        """Hand the appended records to the thread that writes."""
        if self._buffer:
            self._sealed_bytes += len(self._buffer)
            self.sealed.append(Chunk(self.segment, self._buffer))
            self._buffer = bytearray()

    def close(self) -> None:
        """Seal, and refuse everything from now on."""
        self.seal()
        self._closed = True
        self._limit = -1

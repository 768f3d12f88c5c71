"""Reads records back, plain or compressed, and tells what it cannot vouch for.

A record is returned only when its checksum is right. The reader never guesses: damage raises, or, when the caller
passes ``on_corrupt``, is reported there and reading goes on at the next bytes whose checksum is right, so that one
flipped bit costs one record and not a segment.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from collector.journal.errors import CorruptRecord, DamagedJournal, MissingSegment
from collector.journal.layout import (
    HEADER_BYTES,
    PAYLOAD_MAX_BYTES,
    RECORD,
    RECORD_BYTES,
    RECORD_HEAD,
    RECORD_REST,
    Kind,
    Record,
)
from collector.journal.segments import SegmentInfo, SegmentSource, numbers, segments
from collector.model import BEGINNING, Position

OnCorrupt = Callable[[DamagedJournal], None]

_READ_CHUNK_BYTES: Final = 1 << 18
# Records that are decoded at a time.
_RECORDS_PER_TAKE_MAX: Final = 128
_CHECKED: Final = RECORD_HEAD.size
_REST: Final = RECORD_REST.size
_KINDS: Final = tuple(Kind(value) if value in set(Kind) else None for value in range(256))
_crc32 = zlib.crc32
_unpack = RECORD.unpack_from
_new = tuple.__new__

# Matches where a record may begin: a length below the limit (its highest byte), and 20 bytes later a kind that exists.
_PLAUSIBLE_HEAD: Final = re.compile(rb"(?s)(?=...[\x00-\x0f].{20}[\x01-\x07])")

# To compute the checksum of so long a record at each plausible place in a segment of garbage would take minutes: such a
# record must also be followed by what looks like another one.
_LARGE_RECORD_BYTES: Final = 1 << 20


class SegmentCheck(NamedTuple):
    """What reading all of a segment found."""

    info: SegmentInfo
    records: int
    faults: tuple[DamagedJournal, ...]


def read(
    directory: Path,
    start: Position | None = None,
    end: Position | None = None,
    *,
    on_corrupt: OnCorrupt | None = None,
) -> Iterator[Record]:
    """Return the records from ``start`` up to ``end``, both places between records; without them all there are.

    Works beside a process that writes: an unfinished record at the very end is not there yet.

    Raises:
        CorruptRecord: bytes that are no record, at once and not after the records that follow.
        MissingSegment: a file in between is gone, or the one that ``start`` names.
    """
    return read_numbers(directory, numbers(directory), start, end, on_corrupt)


def read_numbers(
    directory: Path,
    present: list[int],
    start: Position | None,
    end: Position | None,
    on_corrupt: OnCorrupt | None,
) -> Iterator[Record]:
    """Do what `read` does with a list of segments that was made earlier."""
    start = start or BEGINNING
    if end is not None and start >= end:
        return
    wanted = [n for n in present if start.segment <= n and (end is None or (n, 0) < end)]
    expected = start.segment if start != BEGINNING else wanted[0] if wanted else 0
    for number in wanted:
        if number > expected:
            _report(MissingSegment(expected, number - 1), on_corrupt)
        first = start.offset if number == start.segment else HEADER_BYTES
        limit = end.offset if end and number == end.segment else None
        try:
            source = SegmentSource.find(directory, number)
        except MissingSegment as missing:
            _report(missing, on_corrupt)
        else:
            with source:
                live = limit is None and number == present[-1]
                yield from segment_records(source, max(first, HEADER_BYTES), limit, live=live, on_corrupt=on_corrupt)
        expected = number + 1


def verify(directory: Path) -> Iterator[SegmentCheck]:
    """Read every segment to its end and return what was found in each, one after the other."""
    found = segments(directory)
    for previous, info in zip([None, *found], found, strict=False):
        faults: list[DamagedJournal] = []
        if previous and previous.number + 1 < info.number:
            faults.append(MissingSegment(previous.number + 1, info.number - 1))
        with SegmentSource.find(directory, info.number) as source:
            live = info is found[-1]
            records = sum(1 for _ in segment_records(source, HEADER_BYTES, None, live=live, on_corrupt=faults.append))
        yield SegmentCheck(info, records, tuple(faults))


def segment_records(
    source: SegmentSource, first: int, limit: int | None, *, live: bool, on_corrupt: OnCorrupt | None
) -> Iterator[Record]:
    """Return the records of one segment from one offset up to another.

    ``live`` says that the file may be growing: an unfinished record at its end is no damage then.
    """
    number = source.number
    try:
        source.header()
    except ValueError as error:
        if source.damage:
            _report(CorruptRecord(number, 0, source.damage), on_corrupt)
            return
        _report(CorruptRecord(number, 0, str(error), HEADER_BYTES), on_corrupt)
    source.skip_to(first)
    window = _Window(source, first, limit)
    while True:
        if records := window.take():
            yield from records
            continue
        reason = window.reason
        if reason is None:
            if window.more():
                continue
            # The file ends here. Nothing further is read in this round: it may have grown by now.
            if window.empty and not source.damage:
                return
            reason = source.damage or (None if live else "the record is cut short")
        else:
            window.everything()
        place = window.place
        if window.resume():
            _report(CorruptRecord(number, place, reason or "the record's length is wrong", window.place), on_corrupt)
        else:
            if reason:
                _report(CorruptRecord(number, place, reason), on_corrupt)
            return


class _Window:
    """The part of a segment that is in memory, and how far it has been read."""

    def __init__(self, source: SegmentSource, first: int, limit: int | None) -> None:
        self.reason: str | None = None
        """Why what lies at `place` is no record; None where it may be one."""
        self._source = source
        self._left = None if limit is None else max(0, limit - first)
        self._buffer = b""
        self._base = first
        self._offset = 0
        self._needed = 0

    @property
    def place(self) -> int:
        """Where in the segment the next record begins."""
        return self._base + self._offset

    @property
    def empty(self) -> bool:
        return self._offset == len(self._buffer)

    def take(self) -> list[Record]:
        """Return the next whole records in memory, not too many; none when something else has to happen first."""
        buffer, offset, base, number = self._buffer, self._offset, self._base, self._source.number
        size = len(buffer)
        at = _new(Position, (number, base + offset))
        records: list[Record] = []
        add = records.append
        self._needed = 0
        self.reason = None
        while size - offset >= RECORD_BYTES and len(records) < _RECORDS_PER_TAKE_MAX:
            length, crc, received_ns, session, kind = _unpack(buffer, offset)
            stop = offset + RECORD_BYTES + length
            if stop > size:
                self._needed = stop - size
                break
            checked = buffer[offset + _CHECKED : stop]
            if _crc32(checked, length) != crc or _KINDS[kind] is None:
                self.reason = "the checksum does not match"
                break
            end = _new(Position, (number, base + stop))
            add(_new(Record, (at, end, received_ns, session, _KINDS[kind], checked[_REST:])))
            at = end
            offset = stop
        self._offset = offset
        if self._needed > PAYLOAD_MAX_BYTES:
            self.reason = "the record's length is wrong"
        return records

    def more(self) -> bool:
        """Read on, far enough for the next record; tell whether there was anything."""
        more = self._read(max(_READ_CHUNK_BYTES, self._needed))
        if more:
            self._base += self._offset
            self._buffer = self._buffer[self._offset :] + more
            self._offset = 0
        return bool(more)

    def everything(self) -> None:
        """Read the rest of the segment, which is bounded, to search it as one."""
        rest = [self._buffer]
        while block := self._read(_READ_CHUNK_BYTES):
            rest.append(block)
        self._buffer = b"".join(rest)

    def resume(self) -> bool:
        """Go to the next record in memory that is one; tell whether there is any."""
        found = next_record(self._buffer, self._offset + 1)
        if found is not None:
            self._offset = found
        return found is not None

    def _read(self, size: int) -> bytes:
        if self._left is None:
            return self._source.read(size)
        data = self._source.read(min(size, self._left))
        self._left -= len(data)
        return data


def next_record(buffer: bytes, offset: int) -> int | None:
    """Return where, at or after the offset, the next bytes lie that are a record beyond doubt; None without any."""
    with memoryview(buffer) as view:
        for match in _PLAUSIBLE_HEAD.finditer(buffer, offset):
            begin = match.start()
            length, crc, _, _, _ = _unpack(buffer, begin)
            stop = begin + RECORD_BYTES + length
            if stop > len(buffer):
                continue
            if length > _LARGE_RECORD_BYTES and stop < len(buffer) and not _PLAUSIBLE_HEAD.match(buffer, stop):
                continue
            if _crc32(view[begin + _CHECKED : stop], length) == crc:
                return begin
    return None


def _report(damage: DamagedJournal, on_corrupt: OnCorrupt | None) -> None:
    if on_corrupt is None:
        raise damage
    on_corrupt(damage)

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
    BEGINNING,
    HEADER_BYTES,
    MAX_PAYLOAD_BYTES,
    RECORD,
    RECORD_BYTES,
    Kind,
    Position,
    Record,
)
from collector.journal.segments import SegmentInfo, SegmentSource, numbers, segments

OnCorrupt = Callable[[DamagedJournal], None]

_CHUNK_BYTES: Final = 1 << 18
_KINDS: Final = tuple(Kind(value) if value in set(Kind) else None for value in range(256))
_crc32 = zlib.crc32
_unpack = RECORD.unpack_from
_new = tuple.__new__

# Where a record may begin: a length under the limit (its highest byte) and, 20 bytes on, a kind that exists.
_PLAUSIBLE: Final = re.compile(rb"(?s)(?=...[\x00-\x0f].{20}[\x01-\x07])")

# A checksum over so much, tried at every place in a segment of garbage, would take minutes: such a record must also
# be followed by what looks like another.
_LARGE_BYTES: Final = 1 << 20


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
    wanted = [n for n in present if start.segment <= n and (end is None or n <= end.segment)]
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
    base = first  # offset in the segment of buffer[0]
    left = None if limit is None else max(0, limit - first)
    buffer = b""
    offset = 0  # in the buffer, of the next record
    at = Position(number, first)
    while True:
        reason = None
        needed = 0
        size = len(buffer)
        view = memoryview(buffer)
        while size - offset >= RECORD_BYTES:
            length, crc, received_ns, session, kind = _unpack(buffer, offset)
            stop = offset + RECORD_BYTES + length
            if stop > size:
                needed = stop - size
                break
            if _crc32(view[offset + 8 : stop], length) != crc or _KINDS[kind] is None:
                reason = "the checksum does not match"
                break
            end = _new(Position, (number, base + stop))
            yield _new(Record, (at, end, received_ns, session, _KINDS[kind], buffer[offset + RECORD_BYTES : stop]))
            at = end
            offset = stop
        if reason is None and needed <= MAX_PAYLOAD_BYTES + RECORD_BYTES:
            wanted = max(_CHUNK_BYTES, needed)
            more = source.read(wanted if left is None else min(wanted, left))
            if more:
                left = None if left is None else left - len(more)
                base += offset
                buffer = buffer[offset:] + more
                offset = 0
                continue
            if offset == size:
                if source.damage:
                    _report(CorruptRecord(number, base + offset, source.damage), on_corrupt)
                return
        # From here on something is wrong with what lies at the offset. The rest of the segment is looked at as one.
        rest = [buffer]
        while block := source.read(_CHUNK_BYTES if left is None else min(_CHUNK_BYTES, left)):
            left = None if left is None else left - len(block)
            rest.append(block)
        buffer = b"".join(rest)
        resumes = next_record(buffer, offset + 1)
        if resumes is None:
            if reason or source.damage or not live:
                why = source.damage or reason or "the record is cut short"
                _report(CorruptRecord(number, base + offset, why), on_corrupt)
            return
        why = reason or "the record's length is wrong"
        _report(CorruptRecord(number, base + offset, why, base + resumes), on_corrupt)
        offset = resumes
        at = Position(number, base + offset)


def next_record(buffer: bytes, offset: int) -> int | None:
    """Return where, at or after the offset, the next bytes lie that are a record beyond doubt; None without any."""
    with memoryview(buffer) as view:
        for match in _PLAUSIBLE.finditer(buffer, offset):
            begin = match.start()
            length, crc, _, _, _ = _unpack(buffer, begin)
            stop = begin + RECORD_BYTES + length
            if stop > len(buffer):
                continue
            if length > _LARGE_BYTES and stop < len(buffer) and not _PLAUSIBLE.match(buffer, stop):
                continue
            if _crc32(view[begin + 8 : stop], length) == crc:
                return begin
    return None


def _report(damage: DamagedJournal, on_corrupt: OnCorrupt | None) -> None:
    if on_corrupt is None:
        raise damage
    on_corrupt(damage)

"""The format of segment files. No other module knows it.

A segment is a header of 32 bytes and then records, one after another:

    header   magic 8s, format version u32, segment number u64, created ns u64, crc32 of those u32
    record   payload length u32, crc32 u32, received ns u64, session u64, kind u8, payload

All integers are little-endian. A record's CRC covers its kind, session, time and payload and is seeded with its
length, so that it covers every bit of the record and takes one call. A run of zeros, which file systems may leave
after a power cut, is never a record: there is no kind 0.

The functions here use no files.
"""

from __future__ import annotations

import enum
import struct
import zlib
from typing import Final, NamedTuple

from collector.model import Position

MAGIC: Final = b"COLLJRNL"
FORMAT_VERSION: Final = 1

HEADER: Final = struct.Struct("<8sIQQI")
HEADER_BYTES: Final = HEADER.size

RECORD: Final = struct.Struct("<IIQQB")
RECORD_BYTES: Final = RECORD.size
RECORD_HEAD: Final = struct.Struct("<II")
RECORD_REST: Final = struct.Struct("<QQB")

# Larger than any venue's snapshot, small enough to hold in memory. A reader also tells a length from garbage by it.
PAYLOAD_MAX_BYTES: Final = (1 << 28) - 1


class Kind(enum.IntEnum):
    """What a record is."""

    OPEN = 1
    """A session begins; JSON that describes it."""
    CLOSE = 2
    """A session ends; JSON that says why."""
    FRAME = 3
    """One socket message, as received."""
    REST = 4
    """One line of JSON with the request, a newline, the body of the answer."""
    BEAT = 5
    """The line was known to be alive at this time."""
    NOTE = 6
    """Any other event; JSON."""
    CARRY = 7
    """Repeats the OPEN record of a session that is still open, at the beginning of a later segment.

    It has the time of the OPEN record. A session that is not carried into a segment had ended before it.
    """


# The payload of the NOTE after a segment's CARRY records; its session number is the highest that was used so far.
LAST_SESSION_NOTE: Final = b'{"event":"last session"}'


class Record(NamedTuple):
    """One record and its position."""

    position: Position
    end: Position
    received_ns: int
    session: int
    kind: Kind
    payload: bytes


class Header(NamedTuple):
    """The head of a segment file."""

    number: int
    created_ns: int


def encode_header(header: Header) -> bytes:
    """Return the 32 bytes that open a segment."""
    unchecked = HEADER.pack(MAGIC, FORMAT_VERSION, header.number, header.created_ns, 0)
    return unchecked[:-4] + zlib.crc32(unchecked[:-4]).to_bytes(4, "little")


def decode_header(raw: bytes) -> Header:
    """Read a segment's header; raise ValueError, with a text for the operator, where it cannot be read."""
    if len(raw) < HEADER_BYTES:
        raise ValueError("the header is cut short")
    magic, version, number, created_ns, crc = HEADER.unpack_from(raw)
    if magic != MAGIC:
        raise ValueError("not a journal segment")
    if crc != zlib.crc32(raw[: HEADER_BYTES - 4]):
        raise ValueError("the header's checksum does not match")
    if version != FORMAT_VERSION:
        raise ValueError(f"written in format {version}, this collector reads {FORMAT_VERSION}: use a newer collector")
    return Header(number, created_ns)


def encode_record(session: int, kind: int, received_ns: int, payload: bytes) -> bytes:
    """Return a record's bytes. The hot path in `tail` spells this out in place."""
    rest = RECORD_REST.pack(received_ns, session, kind)
    size = len(payload)
    return RECORD_HEAD.pack(size, zlib.crc32(payload, zlib.crc32(rest, size))) + rest + payload

"""The files of a journal directory: their names, facts about each, and opening one for reading.

A segment is stored plain or compressed; for a moment both files exist, with the same records.
"""

from __future__ import annotations

import contextlib
import io
import struct
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, NamedTuple, Self

import zstandard

from collector.journal.errors import MissingSegment
from collector.journal.layout import HEADER_BYTES, Header, decode_header

PLAIN_SUFFIX: Final = ".seg"
COMPRESSED_SUFFIX: Final = ".seg.zst"
# Files that a crash may leave; the complete file is beside each.
UNFINISHED_SUFFIXES: Final = (".seg.zst.tmp", ".seg.rebuilt")

# A compressed segment begins with a zstd skippable frame, which other zstd tools ignore. It holds facts of the segment
# that can be read without decompressing it: its header, plain size, and time of its last record (0: not known).
_SKIPPABLE_FRAME: Final = struct.Struct("<II")
_SKIPPABLE_MAGIC: Final = 0x184D2A5A
_SUMMARY: Final = struct.Struct(f"<{HEADER_BYTES}sQQ")


class SegmentInfo(NamedTuple):
    """Facts about a segment that are known without reading all of it."""

    number: int
    path: Path
    bytes: int
    """On the disk."""
    created_ns: int
    """0 when the header cannot be read."""
    compressed: bool
    last_received_ns: int | None
    """When its last record was received, where that is on record."""


class Summary(NamedTuple):
    """What a compressed segment says of itself."""

    header: bytes
    plain_bytes: int
    last_received_ns: int


def segment_path(directory: Path, number: int) -> Path:
    """Return the path of a segment's plain file."""
    return directory / f"{number:012d}{PLAIN_SUFFIX}"


def compressed_path(directory: Path, number: int) -> Path:
    """Return the path of a segment's compressed file."""
    return directory / f"{number:012d}{COMPRESSED_SUFFIX}"


def numbers(directory: Path) -> list[int]:
    """Return the numbers of all segments there, rising."""
    found = set()
    for path in directory.iterdir():
        number, dot, rest = path.name.partition(".")
        if len(number) == 12 and number.isdecimal() and dot + rest in (PLAIN_SUFFIX, COMPRESSED_SUFFIX):
            found.add(int(number))
    return sorted(found)


def segments(directory: Path) -> list[SegmentInfo]:
    """Return all segments of a directory, oldest first; one that is being deleted may be left out."""
    found = []
    for number in numbers(directory):
        with contextlib.suppress(MissingSegment), SegmentSource.find(directory, number) as source:
            found.append(source.info())
    return found


def ends(directory: Path) -> dict[int, int]:
    """Return where each segment there ends, as an offset into the uncompressed file."""
    found = {}
    for number in numbers(directory):
        with contextlib.suppress(MissingSegment), SegmentSource.find(directory, number) as source:
            found[number] = source.plain_bytes()
    return found


def encode_summary(summary: Summary) -> bytes:
    """Return the skippable frame that opens a compressed segment."""
    return _SKIPPABLE_FRAME.pack(_SKIPPABLE_MAGIC, _SUMMARY.size) + _SUMMARY.pack(*summary)


def _read_summary(file: BinaryIO) -> Summary | None:
    raw = file.read(_SKIPPABLE_FRAME.size + _SUMMARY.size)
    if len(raw) < _SKIPPABLE_FRAME.size + _SUMMARY.size:
        return None
    if _SKIPPABLE_FRAME.unpack_from(raw) != (_SKIPPABLE_MAGIC, _SUMMARY.size):
        return None
    return Summary(*_SUMMARY.unpack_from(raw, _SKIPPABLE_FRAME.size))


class SegmentSource:
    """A segment open for reading, plain or compressed.

    It stays readable while the file is compressed, rebuilt or deleted. Damage to the compression raises no exception:
    the bytes end and ``damage`` says why, so that the bytes before can be used.
    """

    def __init__(self, path: Path, file: BinaryIO, number: int) -> None:
        self.number = number
        self.damage: str | None = None
        self._path = path
        self._file = file
        self._summary: Summary | None = None
        self._produced = 0
        self._stream = file
        if path.suffix != PLAIN_SUFFIX:
            self._summary = _read_summary(file)
            if self._summary is None:
                self.damage = "the compressed file has no summary at its head"
                self._stream = io.BytesIO()
            else:
                self._stream = zstandard.ZstdDecompressor().stream_reader(file)

    @classmethod
    def find(cls, directory: Path, number: int) -> Self:
        """Open the segment of that number; raise MissingSegment when there is none."""
        # In this order: the compressed file exists before the plain one is deleted.
        for path in (segment_path(directory, number), compressed_path(directory, number)):
            with contextlib.suppress(FileNotFoundError):
                return cls.of(path, number)
        raise MissingSegment(number, number)

    @classmethod
    def of(cls, path: Path, number: int) -> Self:
        """Open that file."""
        return cls(path, path.open("rb", buffering=0), number)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def info(self) -> SegmentInfo:
        """Return the segment's facts; to be called before reading."""
        raw = self._summary.header if self._summary else self._file.read(HEADER_BYTES) if not self.damage else b""
        try:
            created_ns = decode_header(raw).created_ns
        except ValueError:
            created_ns = 0
        size = self._file.seek(0, io.SEEK_END)
        last_ns = self._summary.last_received_ns if self._summary else 0
        return SegmentInfo(self.number, self._path, size, created_ns, self._summary is not None, last_ns or None)

    def plain_bytes(self) -> int:
        """Return the uncompressed size; to be called before reading. 0 for a compressed file without a summary."""
        if self._summary is not None:
            return self._summary.plain_bytes
        return 0 if self.damage else self._file.seek(0, io.SEEK_END)

    def header(self) -> Header:
        """Read the header, the first bytes of the segment; raise ValueError where it is none, or of another segment."""
        header = decode_header(self.read(HEADER_BYTES))
        if header.number != self.number:
            raise ValueError(f"the file is segment {header.number} under another name")
        return header

    def skip_to(self, offset: int) -> None:
        """Skip forward to an offset."""
        if self._summary is None and not self.damage:
            self._file.seek(offset)
            self._produced = offset
        while self._produced < offset and self.read(min(1 << 20, offset - self._produced)):
            pass

    def read(self, size: int) -> bytes:
        """Return at most that many bytes more; none at the end."""
        try:
            data = self._stream.read(size)
        except zstandard.ZstdError as error:
            self.damage = f"the compressed data is damaged ({error})"
            return b""
        self._produced += len(data)
        if not data and size and self._summary and self._produced < self._summary.plain_bytes and not self.damage:
            self.damage = f"the compressed file ends after {self._produced} of {self._summary.plain_bytes} bytes"
        return data

"""The three formats of exported files. Each is written under a name of its own and read back before it counts.

The same rows give the same bytes: no file holds a time of its writing, and row groups end where blocks end.
"""

from __future__ import annotations

__all__ = ["FORMATS", "Output", "count_rows", "digest", "needs", "open_output"]

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from collector.data.columns import Column, Digits, schema, table
from collector.data.extras import extra

if TYPE_CHECKING:
    pass

FORMATS = ("parquet", "csv", "arrow")

_COMPRESSION = "zstd"
_READ_CHUNK_BYTES = 1 << 20


def needs(kind: str) -> None:
    """Raise `ExtraMissingError` now, and not later, where a format cannot be written for want of a package."""
    if kind != "csv":
        extra("pyarrow", "export")


class Output(Protocol):
    """A file that is being written."""

    def take(self, block: bytes) -> None:
        """Add a block of whole rows."""

    def close(self) -> None:
        """Finish the file and make it durable."""

    @property
    def types(self) -> dict[str, str]:
        """The columns' types, for the manifest."""


def open_output(
    path: Path, kind: str, columns: Sequence[Column], digits: Sequence[Digits], facts: Mapping[str, str]
) -> Output:
    """Begin a file of one of the `FORMATS`; `facts` are kept inside where the format has a place for them."""
    if kind == "csv":
        return _Csv(path, columns)
    return _Arrow(path, kind, columns, digits, facts)


class _Csv:
    """The server's own text: every number with the digits that the venue sent."""

    def __init__(self, path: Path, columns: Sequence[Column]) -> None:
        self._file = path.open("xb")
        self._columns = columns
        self._file.write((",".join(column.name for column in columns) + "\n").encode())

    def take(self, block: bytes) -> None:
        self._file.write(block)

    def close(self) -> None:
        _sync(self._file)
        self._file.close()

    @property
    def types(self) -> dict[str, str]:
        return {column.name: column.kind for column in self._columns}


class _Arrow:
    """Parquet, or Arrow's own file format: a row group for each block."""

    def __init__(
        self, path: Path, kind: str, columns: Sequence[Column], digits: Sequence[Digits], facts: Mapping[str, str]
    ) -> None:
        pa = extra("pyarrow", "export")
        self._columns = columns
        self._schema = schema(columns, digits).with_metadata(dict(facts))
        self._file = path.open("xb")
        self._writer: Any
        if kind == "parquet":
            parquet = extra("pyarrow.parquet", "export")
            self._writer = parquet.ParquetWriter(self._file, self._schema, compression=_COMPRESSION, version="2.6")
        else:
            options = pa.ipc.IpcWriteOptions(compression=_COMPRESSION)
            self._writer = pa.ipc.new_file(self._file, self._schema, options=options)

    def take(self, block: bytes) -> None:
        rows = table(block, self._columns, self._schema)
        self._writer.write_table(rows, max(rows.num_rows, 1))

    def close(self) -> None:
        self._writer.close()
        _sync(self._file)
        self._file.close()

    @property
    def types(self) -> dict[str, str]:
        return {field.name: str(field.type) for field in self._schema}


def _sync(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())


def digest(path: Path) -> str:
    """Return the SHA-256 of a file as it is on the disk."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(_READ_CHUNK_BYTES):
            found.update(part)
    return found.hexdigest()


def count_rows(path: Path) -> int:
    """Count a file's rows by reading it; raises ValueError or OSError where it cannot be read."""
    if path.suffix == ".csv":
        rows = quotes = 0
        with path.open("rb") as file:
            for line in file:
                quotes += line.count(b'"')
                rows += quotes % 2 == 0  # else it ends inside a quoted value
        return rows - 1
    if path.suffix == ".parquet":
        return int(extra("pyarrow.parquet", "export").read_metadata(path).num_rows)
    pa = extra("pyarrow", "export")
    with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as reader:
        return sum(reader.get_batch(place).num_rows for place in range(reader.num_record_batches))

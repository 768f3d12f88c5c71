"""The manifest of an export: what it holds, what it lacks, and how to tell later that nothing has changed.

It holds no time of the export and no name of a machine: the same data exported twice have the same manifest, and so the
same hash, which stands in `manifest.sha256` as `sha256sum -c` wants it.
"""

from __future__ import annotations

__all__ = ["MANIFEST", "SUM", "File", "load", "write"]

import hashlib
import os
from datetime import date, datetime
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from collector.data.errors import DataError

MANIFEST, SUM = "manifest.json", "manifest.sha256"
FORMAT_VERSION = 1


class File(NamedTuple):
    """A file of an export; `columns` are names and types, times those of its first and last row."""

    path: str
    table: str
    venue: str
    symbol: str | None
    date: date
    rows: int
    bytes: int
    sha256: str
    first: datetime
    last: datetime
    columns: dict[str, str]


def write(folder: Path, manifest: dict[str, Any]) -> str:
    """Write manifest and its hash, durably; returns the hash."""
    text = orjson.dumps(manifest, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE)
    found = hashlib.sha256(text).hexdigest()
    for name, content in ((MANIFEST, text), (SUM, f"{found}  {MANIFEST}\n".encode())):
        with (folder / name).open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    return found


def load(folder: Path) -> dict[str, Any]:
    """Read a manifest back; raises `DataError` where there is none, or one of a newer program."""
    path = folder / MANIFEST
    try:
        found = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        raise DataError(f"{folder} is no export: it has no {MANIFEST}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    except orjson.JSONDecodeError as error:
        raise DataError(f"{path} is no JSON ({error}): it was changed or cut short") from error
    if not isinstance(found, dict) or not isinstance(found.get("files"), list):
        raise DataError(f"{path} is not the manifest of an export")
    if found.get("format") != FORMAT_VERSION:
        raise DataError(f"{path} has format {found.get('format')!r}; this program knows {FORMAT_VERSION}: update it")
    return found

"""Whether an export is still what its manifest says: hashes, row counts, and no file too few or too many."""

from __future__ import annotations

__all__ = ["Trouble", "verify"]

import hashlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from collector.data.errors import ExtraMissingError
from collector.data.files import count_rows, digest
from collector.data.manifest import MANIFEST, SUM, load


class Trouble(NamedTuple):
    """What is wrong with one file of an export."""

    path: str
    what: str


def verify(
    folder: Path, show: Callable[[int, int], None] = lambda _done, _total: None
) -> tuple[dict[str, Any], list[Trouble]]:
    """Check everything; returns the manifest and what is wrong, in the order of the paths.

    `show` is told how many bytes are checked, and of how many. Raises `DataError` where there is no manifest.
    """
    manifest = load(folder)
    found = [*_of_the_manifest(folder)]
    expected = {str(one["path"]): one for one in manifest["files"]}
    total, done = sum(int(one["bytes"]) for one in expected.values()), 0
    for name, one in sorted(expected.items()):
        what = _of_a_file(folder, name, one)
        if what:
            found.append(Trouble(name, what))
        done += int(one["bytes"])
        show(done, total)
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    found += [Trouble(name, "is not in the manifest") for name in there - expected.keys() - {MANIFEST, SUM}]
    return manifest, sorted(found)


def _of_the_manifest(folder: Path) -> list[Trouble]:
    try:
        noted = (folder / SUM).read_text("utf-8").split()[:1]
    except FileNotFoundError:
        return [Trouble(SUM, "is missing")]
    except (OSError, UnicodeDecodeError) as error:
        return [Trouble(SUM, f"cannot be read: {error}")]
    if noted != [hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()]:
        return [Trouble(MANIFEST, f"is not the one whose hash is in {SUM}")]
    return []


def _of_a_file(folder: Path, name: str, expected: dict[str, Any]) -> str | None:
    if ".." in PurePosixPath(name).parts or PurePosixPath(name).is_absolute():
        return "is outside the export"
    path = folder / name
    if not path.is_file():
        return "is missing"
    try:
        if (size := path.stat().st_size) != expected["bytes"]:
            return f"has {size:,} bytes instead of {expected['bytes']:,}"
        if digest(path) != expected["sha256"]:
            return "was changed: its hash differs"
        rows = count_rows(path)
    except ExtraMissingError:
        raise
    except (OSError, ValueError) as error:
        return f"cannot be read: {error}"
    return None if rows == expected["rows"] else f"has {rows:,} rows instead of {expected['rows']:,}"

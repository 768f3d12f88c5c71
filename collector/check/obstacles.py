"""What in the data folder this account cannot use, and what to do about each.

One command that was once run as root leaves files that the service may not open. Each is told by its name, before a
start (`collector check`) and when a start fails.
"""

from __future__ import annotations

import os
import pwd
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from collector.data_dir import NOTE_FILE
from collector.errors import CollectorError
from collector.journal.segments import numbers, segment_path

READ, WRITE, ENTER = os.R_OK, os.W_OK, os.X_OK
_JOURNAL_FILES = ("lock", "name", "runs", "committed")
_SEGMENTS = (".seg", ".seg.zst")
_SERVER_FOLDERS = ("", "log", "socket")
_SERVER_FILES = {
    "lock": READ | WRITE,
    "port": READ | WRITE,
    "collector.pgpass": READ,
    "analyst.pgpass": READ,
    "log/start.log": WRITE,
}


class Obstacle(NamedTuple):
    """A file or folder, what is wrong with it, and what cures it."""

    path: Path
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.path} {self.problem}"


def obstacles(data_dir: Path, *, embedded: bool) -> Iterator[Obstacle]:
    """Look at everything that a daemon reads, writes or replaces there; `embedded`: with a database server of its own.

    What is not there yet is no obstacle. Nothing is changed.
    """
    folder = look(data_dir, READ | WRITE | ENTER, data_dir, folder=True)
    if folder is not None:
        yield folder
        return
    yield from _journal(data_dir / "journal", data_dir)
    backfills = data_dir / "backfill"
    if found := look(backfills, READ | WRITE | ENTER, data_dir, folder=True):
        yield found
    if found := look(data_dir / NOTE_FILE, READ, data_dir):
        yield found
    if embedded:
        yield from _server(data_dir / "postgres", data_dir)


def strangers(data_dir: Path) -> Iterator[Obstacle]:
    """For root, who may do anything: what in the journal belongs to another than the folder that it is in."""
    if os.geteuid() != 0 or not data_dir.is_dir():
        return
    owner = data_dir.stat().st_uid
    journal = data_dir / "journal"
    paths = [journal, *(sorted(journal.iterdir()) if journal.is_dir() else []), data_dir / "backfill"]
    for path in paths:
        if path.exists() and (other := path.stat().st_uid) != owner:
            yield Obstacle(
                path,
                f"belongs to {_account(other)}, and {data_dir} to {_account(owner)}, whose daemon may not use it",
                f"chown -R {_account(owner)} {shlex.quote(str(journal.parent))}",
            )


def unusable(error: OSError, data_dir: Path, *, embedded: bool) -> CollectorError:
    """Say in one line which file keeps the journal from being used, and what to do."""
    path = Path(error.filename) if isinstance(error.filename, str) else data_dir / "journal"
    for found in obstacles(data_dir, embedded=embedded):
        if found.path == path or found.path in path.parents:
            return CollectorError(f"the journal cannot be used: {found}: {found.remedy}")
    return CollectorError(f"the journal cannot be used: {path}: {error.strerror or error}")


def look(path: Path, mode: int, data_dir: Path, *, folder: bool = False) -> Obstacle | None:
    """Tell what keeps this account from using a path in this way; None where nothing does, or nothing is there."""
    try:
        about = path.stat()
    except FileNotFoundError:
        return Obstacle(path, "is a link that leads nowhere", "remove it") if path.is_symlink() else None
    except OSError as error:
        return Obstacle(path, f"cannot be looked at ({error.strerror})", _chown(data_dir))
    if stat.S_ISDIR(about.st_mode) != folder:
        kinds = ("file", "folder") if folder else ("folder", "file")
        return Obstacle(path, f"is a {kinds[0]} in the place of a {kinds[1]}", "move it away")
    return None if _may(path, mode) else _refused(path, about, mode, data_dir)


def _journal(journal: Path, data_dir: Path) -> Iterator[Obstacle]:
    found = look(journal, READ | WRITE | ENTER, data_dir, folder=True)
    if found is not None:
        yield found
        return
    if not journal.exists():
        return
    present = numbers(journal)
    newest = segment_path(journal, present[-1]) if present else None
    for path in sorted(journal.iterdir()):
        if path.name in _JOURNAL_FILES or path == newest:
            found = look(path, READ | WRITE, data_dir)
        elif path.name.endswith(_SEGMENTS):
            found = look(path, READ, data_dir) or _kept(path)
        else:
            continue
        if found is not None:
            yield found


def _server(folder: Path, data_dir: Path) -> Iterator[Obstacle]:
    for name in _SERVER_FOLDERS:
        if found := look(folder / name, READ | WRITE | ENTER, data_dir, folder=True):
            yield found
            if not name:
                return
    for name, mode in _SERVER_FILES.items():
        if found := look(folder / name, mode, data_dir):
            yield found
    data = folder / "data"
    if data.exists() and os.geteuid() not in (0, owner := data.stat().st_uid):
        yield Obstacle(data, f"belongs to {_account(owner)}: its server runs as nobody else", _chown(data_dir))


def _kept(path: Path) -> Obstacle | None:
    """Tell whether a file of ours cannot be deleted."""
    about = path.stat()
    return _immutable(path) if _ours(about) and about.st_mode & stat.S_IWUSR and not _may(path, WRITE) else None


def _refused(path: Path, about: os.stat_result, mode: int, data_dir: Path) -> Obstacle:
    if mode & WRITE and os.statvfs(path).f_flag & os.ST_RDONLY:
        return Obstacle(
            path,
            "is on a file system that is mounted for reading only",
            "mount it for writing, or set data_dir to a folder elsewhere",
        )
    if not _ours(about):
        doing = "written" if _may(path, mode & ~WRITE) else "read"
        account = _account(os.geteuid())
        return Obstacle(
            path, f"belongs to {_account(about.st_uid)} and cannot be {doing} by {account}", _chown(data_dir)
        )
    if about.st_mode & stat.S_IWUSR and _may(path, mode & ~WRITE):
        return _immutable(path)
    return Obstacle(
        path,
        f"has the mode {stat.S_IMODE(about.st_mode):04o}, which keeps its own account out",
        f"chmod -R u+rwX {shlex.quote(str(data_dir))}",
    )


def _immutable(path: Path) -> Obstacle:
    return Obstacle(path, "is immutable", f"chattr -i {shlex.quote(str(path))}")


def _ours(about: os.stat_result) -> bool:
    return os.geteuid() in (0, about.st_uid)


def _may(path: Path, mode: int) -> bool:
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def _chown(data_dir: Path) -> str:
    return f"chown -R {_account(os.geteuid())} {shlex.quote(str(data_dir))}"


def _account(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)

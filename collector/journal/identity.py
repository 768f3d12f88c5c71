"""The identity of a journal: its name in the database, and the runs of this data folder.

A copied data folder has the same name as the original. The runs tell the two apart: each start adds a random token
before it writes under the name, so that a copy knows only the runs from before it was made (`collector.store.place`).
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from pathlib import Path
from uuid import uuid4

from collector.journal.disk import new_file, sync_directory

# A database that is restored from a backup holds the token of an old run, which has to be recognised as ours.
REMEMBERED_RUNS_MAX = 10_000


class JournalIdentity:
    """The name of the journal in `folder`, and this run of it. The caller holds the folder's lock."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._token = uuid4().hex
        self._noted = False
        self.former = frozenset(_read(folder / "runs").split())
        self.name = journal_name(folder)
        self.place = f"{socket.gethostname()}:{folder.resolve()}"
        try:
            self._note_run()
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise

    def __repr__(self) -> str:
        return f"<JournalIdentity {self.name} {self._token}>"

    @property
    def token(self) -> str:
        """The token of this run. It is stored in the folder first, unless the disk has been full since the start."""
        if not self._noted:
            with contextlib.suppress(OSError):
                self._note_run()
        return self._token

    def _note_run(self) -> None:
        runs = [*_read(self._folder / "runs").split(), self._token]
        _write(self._folder / "runs", "\n".join(runs[-REMEMBERED_RUNS_MAX:]) + "\n")
        self._noted = True

    def rename(self) -> None:
        """Give the journal a new name, which the database does not know."""
        self.name = uuid4().hex
        _write(self._folder / "name", self.name + "\n")


def journal_name(folder: Path) -> str:
    """Return the name under which the database remembers the position of the journal in `folder`."""
    name = _read(folder / "name").strip()
    if not name:
        name = uuid4().hex
        _write(folder / "name", name + "\n")
    return name


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _write(path: Path, text: str) -> None:
    # The file has to be complete on the disk before anything is committed under the name: without it all would be
    # written again.
    unfinished = path.with_suffix(".new")
    with new_file(unfinished) as file:
        file.write(text.encode())
        os.fsync(file.fileno())
    unfinished.replace(path)
    sync_directory(path.parent)

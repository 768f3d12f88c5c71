"""The note by which others on this machine find a daemon."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from collector.daemon import presence
from collector.daemon.presence import Note, Presence
from collector.data_dir import NOTE_FILE


def test_what_is_left_is_read_until_it_is_taken_away(tmp_path: Path) -> None:
    note = Note(tmp_path)

    note.leave("http://127.0.0.1:8080")
    assert presence.read(tmp_path) == Presence(os.getpid(), "http://127.0.0.1:8080", "")
    note.leave(None, "its port is taken")
    assert presence.read(tmp_path) == Presence(os.getpid(), None, "its port is taken")
    assert [path.name for path in tmp_path.iterdir()] == [NOTE_FILE]

    note.remove()
    assert presence.read(tmp_path) is None


@pytest.mark.parametrize("name", [NOTE_FILE, f"{NOTE_FILE}.new"])
def test_a_folder_in_its_place_is_told_once_by_its_name(tmp_path: Path, name: str) -> None:
    note = Note(tmp_path)
    (tmp_path / name).mkdir()

    with capture_logs() as logs:
        note.leave("http://127.0.0.1:8080")
        note.leave(None, "its port is taken")
        note.remove()

    [line] = logs
    assert (line["event"], line["path"], line["reason"]) == (
        "note_not_left",
        str(tmp_path / name),
        os.strerror(errno.EISDIR),
    )
    assert presence.read(tmp_path) is None

    (tmp_path / name).rmdir()
    note.leave("http://127.0.0.1:8080")
    assert presence.read(tmp_path) == Presence(os.getpid(), "http://127.0.0.1:8080", "")

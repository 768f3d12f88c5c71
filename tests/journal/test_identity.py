"""Who writes a journal."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from collector.journal import identity
from collector.journal.identity import JournalIdentity, journal_name


def test_the_name_stays_and_the_runs_are_told_apart(tmp_path: Path) -> None:
    first = JournalIdentity(tmp_path)
    second = JournalIdentity(tmp_path)

    assert first.name == second.name == journal_name(tmp_path)
    assert first.token != second.token
    assert second.former == {first.token}


def test_a_disk_that_is_full_keeps_nobody_from_starting_who_has_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = journal_name(tmp_path)
    full = True
    write = identity._write

    def refuse(path: Path, text: str) -> None:
        if full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        write(path, text)

    monkeypatch.setattr(identity, "_write", refuse)
    run = JournalIdentity(tmp_path)
    assert (run.name, run.token) == (name, run.token)
    assert not (tmp_path / "runs").exists()

    full = False

    assert (tmp_path / "runs").exists() is False
    token = run.token
    assert (tmp_path / "runs").read_text().split() == [token] == [run.token]
    assert JournalIdentity(tmp_path).former == {token}


def test_a_folder_that_may_not_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal_name(tmp_path)

    def refuse(path: Path, text: str) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(identity, "_write", refuse)
    with pytest.raises(PermissionError, match="runs"):
        JournalIdentity(tmp_path)

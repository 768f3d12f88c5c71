"""An export goes where it was wanted, and nowhere that somebody else has put in its way."""

from __future__ import annotations

from pathlib import Path

import pytest

from collector.data.errors import ExportError
from collector.data.place import Place


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A folder elsewhere that an export must leave as it is."""
    made = tmp_path / "victim"
    (made / "inner").mkdir(parents=True)
    (made / "file").write_text("kept")
    (made / "inner").chmod(0o700)
    return made


def untouched(victim: Path) -> bool:
    return (victim / "file").read_text() == "kept" and (victim / "inner").stat().st_mode & 0o777 == 0o700


def test_a_link_in_the_lock_s_place_is_not_followed(tmp_path: Path, victim: Path) -> None:
    (tmp_path / ".out.lock").symlink_to(victim / "file")
    with pytest.raises(ExportError, match="symbolic links"), Place(tmp_path / "out").making():
        pass
    assert untouched(victim)


@pytest.mark.parametrize("name", [".out.partial", ".out.old"])
def test_a_link_in_the_place_of_what_a_killed_export_left_is_removed_and_its_target_stays(
    tmp_path: Path, victim: Path, name: str
) -> None:
    (tmp_path / name).symlink_to(victim)
    (tmp_path / "out").mkdir()
    with Place(tmp_path / "out").making() as folder:
        (folder / "x").write_text("new")
    assert untouched(victim)
    assert not (tmp_path / name).is_symlink()


def test_a_link_inside_what_a_killed_export_left_is_not_followed(tmp_path: Path, victim: Path) -> None:
    (tmp_path / ".out.partial").mkdir()
    (tmp_path / ".out.partial" / "link").symlink_to(victim / "inner")
    with Place(tmp_path / "out").making():
        pass
    assert untouched(victim)

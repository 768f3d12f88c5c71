"""What is known of the committed position before the database has answered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from collector.journal.committed import remember, remembered
from collector.journal.disk import RealDisk
from collector.model import BEGINNING, Position


def test_a_position_is_remembered(tmp_path: Path) -> None:
    assert remembered(tmp_path) == BEGINNING
    for position in (Position(1_700_000_000, 12), Position(7, 0)):  # a database may go back
        remember(RealDisk(), tmp_path, position)
        assert remembered(tmp_path) == position
    assert [path.name for path in tmp_path.iterdir()] == ["committed"]


@pytest.mark.parametrize("left", [b"", b"\0" * 20, b"17", b"seventeen 1\n", b"1 2 3"])
def test_a_file_that_says_nothing_is_no_knowledge(tmp_path: Path, left: bytes) -> None:
    (tmp_path / "committed").write_bytes(left)

    assert remembered(tmp_path) == BEGINNING


def test_a_folder_in_its_place_is_no_knowledge(tmp_path: Path) -> None:
    (tmp_path / "committed").mkdir()

    assert remembered(tmp_path) == BEGINNING


def test_a_write_that_fails_leaves_the_old_one(tmp_path: Path, disk: Any) -> None:
    remember(disk, tmp_path, Position(1, 2))
    disk.free = 3
    for _ in range(2):
        with pytest.raises(OSError, match="No space left"):
            remember(disk, tmp_path, Position(10, 20))

    assert remembered(tmp_path) == Position(1, 2)
    disk.free = None
    remember(disk, tmp_path, Position(10, 20))
    assert remembered(tmp_path) == Position(10, 20)

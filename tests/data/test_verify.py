"""Whether an export is still what it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from collector.data.errors import DataError
from collector.data.export import Choice, export
from collector.data.verify import verify
from tests.data.market import fill

on_timescaledb = pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)

NAME = "rates/venue=fmfw/name=BTC%2FUSDT/date=2026-11-10/rows.parquet"


@pytest.fixture
async def exported(database: str, tmp_path: Path) -> Path:
    await fill(database)
    await export(database, Choice(("rates", "trades"), symbols=("BTC*",)), tmp_path / "out", "parquet")
    return tmp_path / "out"


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def claim(folder: Path, key: str, value: object) -> None:
    """Change what the manifest says of the file, and its hash with it, as a forger would."""
    path = folder / "manifest.json"
    told = json.loads(path.read_text())
    for one in told["files"]:
        if one["path"] == NAME:
            one[key] = value
    path.write_text(json.dumps(told))
    (folder / "manifest.sha256").write_text(hashlib.sha256(path.read_bytes()).hexdigest())


@on_timescaledb
def test_what_was_not_touched_is_good(exported: Path) -> None:
    seen: list[tuple[int, int]] = []

    told, troubles = verify(exported, lambda done, total: seen.append((done, total)))

    assert troubles == []
    assert seen[-1] == (told["bytes"], told["bytes"])


@on_timescaledb
@pytest.mark.parametrize(
    ("harm", "path", "what"),
    [
        (lambda f: (f / NAME).unlink(), NAME, "is missing"),
        (lambda f: flip(f / NAME), NAME, "hash differs"),
        (lambda f: (f / NAME).write_bytes(b""), NAME, "has 0 bytes instead of"),
        (lambda f: claim(f, "rows", 7), NAME, "has 1 rows instead of 7"),
        (lambda f: claim(f, "path", "../x"), "../x", "outside"),
        (lambda f: (f / "trades" / "more.parquet").touch(), "trades/more.parquet", "is not in the manifest"),
        (lambda f: (f / "trades" / "link").symlink_to("/nowhere"), "trades/link", "is not in the manifest"),
        (lambda f: flip(f / "manifest.sha256"), "manifest.json", "is not the one whose hash"),
        (lambda f: (f / "manifest.sha256").unlink(), "manifest.sha256", "is missing"),
    ],
)
def test_every_change_is_found(exported: Path, harm: Callable[[Path], object], path: str, what: str) -> None:
    harm(exported)

    troubles = verify(exported)[1]

    assert any(one.path == path and what in one.what for one in troubles), troubles


@pytest.mark.parametrize("text", ["", "[]", '{"files": []}', '{"format": 99, "files": []}'])
def test_a_manifest_that_is_none_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(DataError, match=r"manifest\.json"):
        verify(tmp_path)


def test_a_folder_that_is_no_export_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is no export"):
        verify(tmp_path / "nowhere")

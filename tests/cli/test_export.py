"""`collector export`: what it asks for, says and ends with."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from collector.cli import main
from tests.data.market import fill

on_timescaledb = pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("collector.logs.configure", lambda *_, **__: None)
    for name, value in {"COLUMNS": "250", "NO_COLOR": "1", "TERM": "dumb"}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
async def configured(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(database)
    (tmp_path / "collector.toml").write_text(f'[database]\ndsn = "{database}"\n')
    monkeypatch.setenv("COLLECTOR_CONFIG", str(tmp_path / "collector.toml"))


def whole(folder: Path) -> bool:
    """Whether sha256sum, which others have, agrees with the manifest."""
    command = ["sha256sum", "--check", "manifest.sha256"]
    return subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def empty(pattern: str) -> None:
    [path] = Path("out").rglob(pattern)
    path.write_bytes(b"")


async def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = await asyncio.to_thread(main, arguments)
    told = capsys.readouterr()
    return status, told.out, told.err


@on_timescaledb
async def test_an_export_tells_what_it_wrote_and_verifies_until_it_is_changed(
    configured: None, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("export", "trades", "rates", "--symbol", "BTC*", "--from", "2026-11-10", "--to", "2026-11-11")
    status, told, _ = await run(capsys, *asked, "--out", "out")
    assert status == 0
    assert "out: 3,600 rows in 2 files" in told
    assert told.splitlines()[1].endswith("  manifest.json")
    assert whole(Path("out"))
    assert (await run(capsys, "export", "--verify", "out"))[:2] == (
        0,
        "out: 3,600 rows in 2 files match the manifest\n",
    )

    empty("name=BTC*/**/rows.parquet")
    status, told, error = await run(capsys, "export", "--verify", "out")
    assert (status, told) == (1, "")
    assert "has 0 bytes instead of" in error
    status, told, _ = await run(capsys, "export", "--verify", "out", "--json")
    assert (status, json.loads(told)["good"]) == (1, False)


@on_timescaledb
async def test_scripts_are_told_in_json(configured: None, capsys: pytest.CaptureFixture[str]) -> None:
    status, told, _ = await run(capsys, "export", "news", "--format", "csv", "--out", "out", "--json")
    answer = json.loads(told)
    assert status == 0
    assert (answer["rows"], answer["files"], answer["objections"]) == (1, 1, [])
    assert answer["folder"].endswith("/out")


@on_timescaledb
async def test_a_day_that_is_not_ready_is_a_failure_and_anyway_is_noted(
    configured: None, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, error = await run(capsys, "export", "--seal", "2026-11-13", "--out", "out")
    assert status == 1
    assert "error: 2026-11-13 is not sealed: not all that was received" in error
    assert "--anyway" in error
    status, told, error = await run(capsys, "export", "--seal", "2026-11-13", "--anyway", "--out", "out")
    assert (status, "1 rows in 1 files" in told) == (0, True)
    assert "sealed, although not all that was received" in error


@on_timescaledb
@pytest.mark.parametrize(
    ("arguments", "option"),
    [(("trades", "--venue", "nix"), "--venue"), (("trades", "--symbol", "BTCUSD"), "--symbol")],
)
async def test_names_that_the_database_lacks_are_wrong_usage(
    configured: None, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], option: str, tmp_path: Path
) -> None:
    status, _, error = await run(capsys, "export", *arguments, "--out", "out")
    assert status == 2
    assert option in error
    assert "out" not in names(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--out", "x"), "name one or more of trades, ticks, books"),
        (("trade", "--out", "x"), "did you mean trades"),
        (("trades",), "name the folder to create"),
        (("trades", "--out", "x", "--format", "xls"), "there is arrow, csv"),
        (("trades", "--out", "x", "--from", "soon"), "is not a time"),
        (("trades", "--out", "x", "--from", "2026-11-02", "--to", "2026-11-01"), "is not before --to"),
        (("trades", "--out", "x", "--anyway"), "is an option of --seal"),
        (("--seal", "x", "--out", "x"), "is not a date"),
        (("--seal", "2026-11-01", "--from", "2026-11-01", "--out", "x"), "leave out --from"),
        (("trades", "--verify", "x"), "cannot be combined with"),
    ],
)
async def test_wrong_usage_is_told_with_what_would_be_right(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], told: str
) -> None:
    status, out, error = await run(capsys, "export", *arguments)
    assert (status, out) == (2, "")
    assert told in " ".join(error.replace("│", "").split())


@pytest.mark.slow
def test_without_the_extra_the_remedy_is_told_before_anything_is_done(tmp_path: Path) -> None:
    script = "import sys; sys.modules['pyarrow'] = None; from collector.cli import main; sys.exit(main(sys.argv[1:]))"
    (tmp_path / "collector.toml").write_text('[database]\ndsn = "postgresql://nobody@127.0.0.1:1/none"\n')
    command = [sys.executable, "-c", script, "export", "trades", "--out", "out", "--config", "collector.toml"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert "pyarrow is not installed" in done.stderr
    assert "pip install 'collector[export]'" in done.stderr

"""`collector chart`: what it asks for, says and ends with."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from collector.cli import main
from tests.data.market import fill


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("collector.logs.configure", lambda *_, **__: None)
    for name, value in {"COLUMNS": "250", "NO_COLOR": "1", "TERM": "dumb"}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)
async def test_a_chart_is_written_under_the_market_s_name(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await fill(database)
    (tmp_path / "collector.toml").write_text(f'[database]\ndsn = "{database}"\n')

    status = await asyncio.to_thread(main, ["chart", "fmfw", "ETH/USDT"])

    assert (status, capsys.readouterr().out) == (0, "fmfw-ETH%2FUSDT.png: 1 bars of 1s\n")
    assert (tmp_path / "fmfw-ETH%2FUSDT.png").read_bytes().startswith(b"\x89PNG")
    assert await asyncio.to_thread(main, ["chart", "fmfw", "ETH/USDC"]) == 2
    assert "did you mean ETH/USDT?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--out", "x.jpg"), "ends with none of .png, .svg"),
        (("--style", "pink"), "there is dark, light"),
        (("--period", "1x"), "is not a length of time"),
        (("--from", "soon"), "is not a time"),
        (("--from", "2026-11-02", "--to", "2026-11-01"), "is not before --to"),
    ],
)
def test_wrong_usage_is_told_with_what_would_be_right(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], told: str
) -> None:
    assert main(["chart", "fmfw", "BTCUSDT", *arguments]) == 2
    assert told in " ".join(capsys.readouterr().err.replace("│", "").split())

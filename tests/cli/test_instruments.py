"""`collector instruments`: names that no venue knows are told, not answered with an empty list."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from collector.cli import main
from tests.kit.stage import stage


@pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)
async def test_names_that_mean_nothing_are_wrong_usage(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with stage(database, tmp_path, running=False) as on:
        for options, words in (
            (["--venue", "fmwf"], "--venue: there is no venue 'fmwf' in the configuration; did you mean fmfw?"),
            (["--symbol", "BTCUSD"], "--symbol: there is no symbol 'BTCUSD' here; did you mean BTCUSDT"),
            (["--symbol", "nosuch*"], "--symbol: no symbol here is like 'nosuch*'"),
        ):
            assert await asyncio.to_thread(main, ["instruments", *options, "--config", str(on.config)]) == 2
            told = capsys.readouterr()
            assert words in " ".join(told.err.replace("│", " ").split())
        assert (
            await asyncio.to_thread(main, ["instruments", "--symbol", "BTCUSDT", "--json", "--config", str(on.config)])
            == 0
        )
        out = capsys.readouterr().out
        assert [one["symbol"] for one in json.loads(out[out.index("[\n") :])] == ["BTCUSDT"]

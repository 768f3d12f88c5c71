"""`collector backfill`: what it accepts, what it estimates, what it says at the end."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import typer

from collector.cli import main
from collector.cli.backfill import duration, matching
from tests.kit.stage import Stage, stage

timescaledb = pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collector.logs.configure", lambda *_, **__: None)
    for name, value in {"COLUMNS": "250", "NO_COLOR": "1", "TERM": "dumb"}.items():
        monkeypatch.setenv(name, value)


def ago(**span: float) -> str:
    return (datetime.now(UTC) - timedelta(**span)).isoformat()


async def run(on: Stage, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = await asyncio.to_thread(main, ["backfill", *arguments, "--config", str(on.config)])
    said = capsys.readouterr()
    return status, said.out, " ".join(said.err.replace("│", " ").split())


def test_patterns_mean_symbols_and_a_slip_is_told_with_what_is_near() -> None:
    symbols = ["BTCUSDT", "ETHBTC", "ETHUSDT"]
    assert matching(["ETH*", "BTCUSDT", "*USDT"], symbols) == symbols
    with pytest.raises(typer.BadParameter, match="did you mean BTCUSDT"):
        matching(["BTCUSD"], symbols)


def test_lengths_of_time_are_for_people() -> None:
    assert [duration(seconds) for seconds in (0.04, 59.94, 3725.4, 200_000)] == [
        "0.0 s",
        "59.9 s",
        "1:02:05",
        "2 days, 7:33:20",
    ]


@timescaledb
async def test_wrong_usage_is_told_before_anything_is_asked(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with stage(database, tmp_path, running=False) as on:
        for arguments, said in [
            (["nix", "BTCUSDT", "--from", ago(hours=1)], "there is no venue 'nix' in the configuration; there is fmfw"),
            (
                ["fmfw", "BTCUSDT", "--from", ago(hours=1), "--stream", "books"],
                "there is no stream 'books' whose past fmfw keeps; there is candles, derivatives, trades",
            ),
            (["fmfw", "BTCUSDT", "--from", ago(hours=1), "--stream", ","], "names nothing"),
            (["fmfw", "BTCUSDT", "--from", ago(hours=1), "--to", ago(hours=2)], "is not before --to"),
            (["fmfw", "BTCUSDT", "--from", ago(hours=-1)], "in the future"),
            (["fmfw", "BTCUSDD", "--from", ago(hours=1)], "did you mean BTCUSDT"),
            (["fmfw", "BTCUSDT"], "--from"),
        ]:
            status, out, err = await run(on, capsys, *arguments)
            assert (status, out) == (2, "")
            assert said in err
        assert await on.rows("backfills") == 0


@timescaledb
async def test_dry_run_estimates_and_fetches_nothing(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with stage(database, tmp_path, running=False) as on:
        times = ["--from", "2026-01-01", "--to", "2026-01-11"]
        status, out, _ = await run(on, capsys, "fmfw", "BTC*", *times, "--dry-run", "--json")
        estimates = {(one["symbol"], one["stream"]): one for one in json.loads(out)["estimates"]}
        assert status == 0
        assert {symbol for symbol, _ in estimates} == {"BTCUSDT", "BTCUSDT_PERP"}
        assert estimates["BTCUSDT", "trades"]["calls"] == 40  # six hours each
        assert 15 <= estimates["BTCUSDT", "candles"]["calls"] <= 17  # 14,400 bars, 1,000 an answer
        assert estimates["BTCUSDT", "trades"]["seconds"] == pytest.approx(40 / 27, abs=0.1)
        status, out, _ = await run(on, capsys, "fmfw", "BTCUSDT", *times, "--dry-run")
        assert status == 0
        assert "requests or more" in out
        assert await on.rows("trades") + await on.rows("backfills") == 0
        assert not (tmp_path / "data" / "backfill").exists()


@timescaledb
async def test_end_tells_what_was_stored_and_where_the_answers_are(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with stage(database, tmp_path, running=False) as on:
        asked = ["fmfw", "ETH*", "--stream", "trades", "--from", ago(hours=1), "--to", ago(minutes=1)]
        status, out, _ = await run(on, capsys, *asked)
        assert status == 0
        assert f"{await on.rows('trades'):,}" in out
        [journal] = (tmp_path / "data" / "backfill").iterdir()
        assert str(journal) in out.replace("\n", "")
        assert await run(on, capsys, *asked) == (
            0,
            "an earlier backfill has fetched all of this; --again fetches it once more\n",
            "",
        )
        assert len(list((tmp_path / "data" / "backfill").iterdir())) == 1


@timescaledb
async def test_refusal_of_the_venue_is_told_with_status_1(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from collector.errors import VenueError
    from collector.venues.fmfw import FmfwVenue

    def refuse(*_: object) -> object:
        raise VenueError("fmfw", "its past reaches back to 2026-11-01", permanent=True)

    monkeypatch.setattr(FmfwVenue, "history", refuse)
    async with stage(database, tmp_path, running=False) as on:
        status, out, _ = await run(on, capsys, "fmfw", "BTCUSDT", "--stream", "trades", "--from", ago(hours=1))
        assert status == 1
        assert "refused: BTCUSDT trades: its past reaches back to 2026-11-01" in out
        assert await on.rows("backfills") == 0

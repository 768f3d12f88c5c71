"""A name that means nothing is wrong usage of every command, and never "nothing found"."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import asyncpg
import pytest

from collector.cli import main

pytestmark = pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)

RECORDED = """
insert into venues (code) values ('fmfw'), ('finam');
insert into instruments (venue_id, symbol)
select venue_id, symbol
from venues join (values ('fmfw', 'BTCUSDT'), ('fmfw', 'E[1]'), ('finam', 'SBER@MISX')) s (code, symbol) using (code);
insert into wanted (instrument_id, stream, from_time)
select instrument_id, stream, now() - interval '1 day' from instruments, unnest(array['trades', 'books']) as stream;
insert into quarantine (received_at, venue_id, stream, kind, error, items, payload)
select now(), venue_id, 'trades', 'frame', 'price: not a number', 1, '\\x00' from venues;
"""


@pytest.fixture
async def configured(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    connection = await asyncpg.connect(database)
    await connection.execute(RECORDED)
    await connection.close()
    path = tmp_path / "collector.toml"
    path.write_text(
        f"""
        data_dir = "{tmp_path / "data"}"
        [database]
        dsn = "{database}"
        [venues.later]
        adapter = "fmfw"
        symbols = ["XMRUSDT", "ET*"]
        streams = ["ticks"]
        rest_url = "http://127.0.0.1:1"
        ws_url = "ws://127.0.0.1:1"
        """
    )
    monkeypatch.setattr("collector.logs.configure", lambda *_, **__: None)
    for name, value in {"COLUMNS": "250", "NO_COLOR": "1", "TERM": "dumb"}.items():
        monkeypatch.setenv(name, value)
    return ["--config", str(path)]


async def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = await asyncio.to_thread(main, arguments)
    said = capsys.readouterr()
    return status, said.out, " ".join(said.err.replace("│", " ").split())


@pytest.mark.parametrize(
    "command",
    [
        "gaps --venue fmwf",
        "gaps --venue nosuch --json",
        "gaps --stream trads",
        "gaps --symbol BTCUSD",
        "gaps --venue finam --symbol BTC*",
        "gaps --state opn",
        "audit --venue nosuch",
        "audit --symbol BTCUST",
        "audit --only minute",
        "quarantine list --venue nosuch",
        "quarantine list --group --stream trads",
        "quarantine list --kind frames",
        "quarantine parse --all --venue nosuch",
        "quarantine discard --all --stream trads --reason x",
        "replay --venue nosuch",
        "replay --diff --venue later,nosuch",
        "replay --diff --table trads",
        "instruments --venue nosuch",
        "explain trads fmfw BTCUSDT 1",
        "backfill nosuch BTCUSDT --from 2026-01-01",
        "export trads --out x",
        "demo --venue fmwf",
    ],
)
async def test_a_misspelt_name_is_wrong_usage(
    configured: list[str], capsys: pytest.CaptureFixture[str], command: str
) -> None:
    words = command.split()
    status, out, err = await run(capsys, *words, *([] if words[0] == "demo" else configured))

    assert (status, out) == (2, ""), err
    assert re.search(r"there is no \w+ '|no symbol .* is like '", err)
    assert re.search(r"did you mean|; there is ", err)


@pytest.mark.parametrize(
    "command",
    [
        "gaps --venue fmfw --symbol BTC* --stream trades",
        "gaps --symbol E[1]",
        "quarantine list --venue finam --error price:*",
        "quarantine list --stream ticks",
        "quarantine parse --all --stream books",
    ],
)
async def test_names_of_tables_and_of_the_configuration_are_known(
    configured: list[str], capsys: pytest.CaptureFixture[str], command: str
) -> None:
    status, _, err = await run(capsys, *command.split(), *configured)

    assert (status, err) == (0, "")


@pytest.mark.parametrize(
    "command",
    [
        "gaps --venue later",
        "gaps --symbol XMRUSDT",
        "audit --venue fmfw --only minutes",
        "audit",
        "replay --diff --venue later",
        "replay",
    ],
)
async def test_nothing_that_was_looked_at_proves_nothing(
    configured: list[str], capsys: pytest.CaptureFixture[str], command: str
) -> None:
    status, out, err = await run(capsys, *command.split(), *configured)

    assert (status, err) == (1, "")
    assert "nothing" in out

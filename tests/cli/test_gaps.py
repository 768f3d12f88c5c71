"""`collector gaps`: which gaps it lists, how, and what it says of them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from collector.cli import main
from collector.repair.listing import like, listing

pytestmark = pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)

GAPS = """
insert into venues (code) values ('fmfw'), ('fmex');
insert into instruments (venue_id, symbol)
select venue_id, symbol from venues, unnest(array['BTCUSDT', 'BTC_X', 'ETHUSDT']) as symbol;
insert into gaps (instrument_id, stream, from_time, to_time, cause, reason, state, filled_rows, tries, trouble)
select instrument_id, stream, now() - back, now() - back + length, cause, 'the line was cut', state, rows, tries,
       trouble
from instruments join venues using (venue_id) join (values
  ('fmfw', 'BTCUSDT', 'trades', interval '1 hour', interval '90 s', 'disconnect', 'repaired', 1234, 0, null),
  ('fmfw', 'BTCUSDT', 'books', interval '1 hour', interval '1.5 s', 'disconnect', 'unrecoverable', null, 0, null),
  ('fmfw', 'ETHUSDT', 'trades', interval '30 days', interval '2 days', 'stopped', 'open', null, 0, null),
  ('fmfw', 'ETHUSDT', 'candles', interval '5 min', interval '9 s', 'killed', 'open', null, 3, 'HTTP status 503'),
  ('fmex', 'BTC_X', 'trades', interval '10 s', null, 'disconnect', 'open', null, 0, null)
) g (code, symbol, stream, back, length, cause, state, rows, tries, trouble) using (code, symbol)
"""

RECORDED = """
insert into venues (code) values ('fmfw'), ('fmex');
insert into instruments (venue_id, symbol)
select venue_id, symbol
from venues join (values ('fmfw', 'BTCUSDT'), ('fmfw', 'ETHUSDT'), ('fmex', 'BTC_X')) i (code, symbol) using (code);
insert into wanted (instrument_id, stream, from_time)
select instrument_id, 'trades', now() - interval '1 hour' from instruments where symbol = 'BTCUSDT'
"""


@pytest.fixture
def configured(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    path = tmp_path / "collector.toml"
    path.write_text(f'data_dir = "{tmp_path / "data"}"\n[database]\ndsn = "{database}"\n')
    monkeypatch.setattr("collector.logs.configure", lambda *_, **__: None)
    for name, value in {"COLUMNS": "250", "NO_COLOR": "1", "TERM": "dumb"}.items():
        monkeypatch.setenv(name, value)
    return ["gaps", "--config", str(path)]


async def fill(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute(GAPS)
    await connection.close()


async def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    status = await asyncio.to_thread(main, arguments)
    return status, capsys.readouterr().out


async def test_newest_come_first_with_their_lengths_and_causes(
    database: str, configured: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    await fill(database)
    status, told = await run(capsys, *configured)
    lines = [line for line in told.splitlines() if "│ fm" in line]
    assert status == 0
    assert [line.split("│")[2].strip() for line in lines] == ["BTC_X", "ETHUSDT", "BTCUSDT", "BTCUSDT", "ETHUSDT"]
    assert "now" in lines[0]
    assert "tried 3 times: HTTP status 503" in lines[1]
    assert "1.5 s" in lines[2]
    assert "0:01:30" in lines[3]
    assert "1,234" in lines[3]
    assert "2 days, 0:00:00" in lines[4]
    assert "5 gaps: 2 open, 1 repaired, 1 unrecoverable, 1 lasting" in told
    assert "1 open gaps are older than repair.max_age_days (7)" in told
    assert "collector backfill" in told


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (["--venue", "fmex"], 1),
        (["--symbol", "BTC*"], 3),
        (["--symbol", "BTC_?"], 1),
        (["--stream", "trades"], 3),
        (["--state", "open"], 3),
        (["--venue", "fmfw", "--state", "repaired"], 1),
        (["--limit", "2"], 2),
        (["--limit", "2", "--all"], 5),
    ],
)
async def test_only_what_is_asked_for_is_listed(
    database: str, configured: list[str], capsys: pytest.CaptureFixture[str], options: list[str], count: int
) -> None:
    await fill(database)
    status, told = await run(capsys, *configured, *options, "--json")
    answer: dict[str, Any] = json.loads(told)
    assert status == 0
    assert len(answer["gaps"]) == count


async def test_no_gaps_are_told_of_what_was_recorded_only(
    database: str, configured: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    unproved = (1, "nothing of this was ever recorded, so nothing is known about gaps\n")
    assert await run(capsys, *configured) == unproved
    connection = await asyncpg.connect(database)
    await connection.execute(RECORDED)
    await connection.close()

    options: list[str]
    for options in ([], ["--venue", "fmfw", "--symbol", "BTC*", "--stream", "trades"]):
        assert await run(capsys, *configured, *options) == (0, "no gaps\n")
    assert await run(capsys, *configured, "--venue", "fmfw", "--symbol", "ETHUSDT") == unproved
    assert await run(capsys, *configured, "--venue", "fmex") == unproved
    assert await run(capsys, *configured, "--stream", "books") == unproved
    status, told = await run(capsys, *configured, "--stream", "books", "--json")
    assert (status, json.loads(told)["recorded"]) == (1, False)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--venue", "nosuch"], "--venue: there is no venue 'nosuch' here; there is fmex, fmfw"),
        (["--venue", "FMFW"], "did you mean fmfw?"),
        (["--symbol", "BTCUSD"], "--symbol: there is no symbol 'BTCUSD' here; did you mean BTCUSDT"),
        (["--venue", "fmex", "--symbol", "ETH*"], "--symbol: no symbol of fmex is like 'ETH*'"),
        (["--stream", "trads"], "--stream: there is no stream 'trads' here; did you mean trades"),
        (["--state", "lost"], "--state: there is no state 'lost' to choose"),
    ],
)
async def test_a_name_that_means_nothing_is_wrong_usage(
    database: str, configured: list[str], capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    connection = await asyncpg.connect(database)
    await connection.execute(RECORDED)
    await connection.close()

    status = await asyncio.to_thread(main, [*configured, *options])

    told = capsys.readouterr()
    assert (status, told.out) == (2, "")
    assert said in " ".join(told.err.replace("│", " ").split())


async def test_pattern_means_what_file_names_mean(database: str) -> None:
    await fill(database)
    assert like("100%_*?") == "100\\%\\_%_"
    rows, summary = await listing(database, [], ["BTC_X"], [], None, limit=None)
    assert [row.symbol for row in rows] == ["BTC_X"]
    assert summary["total"] == 1

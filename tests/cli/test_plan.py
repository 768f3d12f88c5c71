"""`collector plan`: rates of what was recorded, written assumptions for the rest, and days until the disk is full."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import structlog

from collector import plan as planning
from collector import simulator
from collector.cli import main
from collector.config import load
from collector.journal.layout import Header, encode_header
from collector.journal.segments import segment_path
from collector.plan import GIB, plan
from collector.plan.assumptions import PACKED_FRAME_BYTES, ROW_BYTES, ROWS_PER_DAY
from collector.plan.recorded import journal_bytes_a_day

AWAY = "postgresql://collector@127.0.0.1:1/market"
RECORDED = """
insert into venues (code) values ('fmfw');
insert into instruments (venue_id, symbol) select venue_id, s from venues, unnest(array['BTCUSDT', 'QUIET']) as s;
insert into trades (time, instrument_id, trade_key, price, size, side, received_at)
select now() - n * interval '2 s', instrument_id, n, 1, 1, 1, now()
from instruments, generate_series(0, case symbol when 'QUIET' then 3 else 3999 end) n;
insert into derivatives (time, instrument_id, mark_price, received_at)
select now() - n * interval '12 hours', instrument_id, 1, now()
from instruments, generate_series(0, 2) n where symbol = 'QUIET';
analyze trades;
"""


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nobody tries for long to reach a venue that is not there; and a command sets the log up on its test's stream."""
    monkeypatch.setattr(planning, "VENUE_TIMEOUT_SECONDS", 3.0)
    yield
    structlog.reset_defaults()
    logging.getLogger().handlers.clear()


def written(folder: Path, dsn: str, rest_url: str = "http://127.0.0.1:1", more: str = "") -> Path:
    path = folder / "collector.toml"
    path.write_text(f"""
        data_dir = "{folder / "data"}"
        [database]
        dsn = "{dsn}"
        [journal]
        min_free_gb = 0
        {more}
        [venues.fmfw]
        symbols = ["BTCUSDT", "QUIET", "X*"]
        streams = ["trades", "books", "derivatives"]
        rest_url = "{rest_url}"
        ws_url = "ws://127.0.0.1:1"
    """)
    return path


async def test_what_was_recorded_tells_the_rate_and_the_rest_is_assumed(database: str, tmp_path: Path) -> None:
    connection = await asyncpg.connect(database)
    await connection.execute(RECORDED)
    await connection.close()

    made = await plan(load(written(tmp_path, database), {}))

    flows = {(one.symbol, one.stream): one for one in made.flows}
    busy, quiet, books = flows["BTCUSDT", "trades"], flows["QUIET", "trades"], flows["BTCUSDT", "books"]
    assert (busy.source, quiet.source, books.source) == ("recorded", "assumed", "assumed")
    assert busy.rows == pytest.approx(43_200, rel=0.01)
    assert 50 < busy.table_bytes / busy.rows < 1000
    assert busy.table_bytes / busy.rows != ROW_BYTES["trades"]
    assert quiet.rows == ROWS_PER_DAY["trades"], "four rows within eight seconds say nothing"
    assert flows["QUIET", "derivatives"].rows == pytest.approx(3, rel=0.01), "three in a day do"
    assert books.table_bytes == ROWS_PER_DAY["books"] * ROW_BYTES["books"]
    assert made.table_bytes_a_day == sum(one.table_bytes for one in made.flows)


@pytest.mark.slow
async def test_with_everything_away_a_plan_is_made_from_names_and_assumptions(tmp_path: Path) -> None:
    made = await plan(load(written(tmp_path, AWAY), {}))

    assert {(one.symbol, one.source) for one in made.flows} == {("BTCUSDT", "assumed"), ("QUIET", "assumed")}
    assert len(made.notes) == 2
    assert (made.days_until_full, made.database_on_this_disk) == (None, None)
    assert made.journal_source == "assumed"
    assert made.outage_days == pytest.approx(made.journal_free_bytes / made.journal_bytes_a_day)


@pytest.mark.slow
async def test_the_embedded_server_shares_the_disk_after_the_journal_took_its_share(tmp_path: Path) -> None:
    path = written(tmp_path, AWAY, more="keep_gb = 0.1")
    path.write_text(re.sub(r"dsn = .*", "", path.read_text()))

    made = await plan(load(path, {}))

    assert made.database_on_this_disk is True
    assert made.journal_most_bytes == GIB / 10
    assert made.days_until_full == pytest.approx((made.journal_free_bytes - GIB / 10) / made.table_bytes_a_day)


async def test_patterns_are_what_the_venue_says(tmp_path: Path) -> None:
    async with simulator.serve(["fmfw"], seed=3, rate=5) as running:
        path = written(tmp_path, AWAY, running["fmfw"].address["rest_url"])
        path.write_text(path.read_text().replace('["BTCUSDT", "QUIET", "X*"]', '["BTC*"]'))
        made = await plan(load(path, {}))

    assert len({one.symbol for one in made.flows}) > 1
    assert all(one.symbol.startswith("BTC") for one in made.flows)


@pytest.mark.slow
async def test_the_command_tells_it_and_json_has_the_documented_keys(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    path = str(written(tmp_path, AWAY))
    documented = (Path(__file__).parents[2] / "docs" / "plan.md").read_text()

    assert await asyncio.to_thread(main, ["plan", "--config", path]) == 0
    told = capsys.readouterr().out
    assert await asyncio.to_thread(main, ["plan", "--json", "--config", path]) == 0
    made: dict[str, Any] = json.loads(capsys.readouterr().out)

    assert "100,000" in told
    assert "database may be away" in told
    assert [key for key in (*made, *made["flows"][0]) if f"`{key}`" not in documented and key[0] not in "vs"] == []


def test_the_journals_rate_is_that_of_its_closed_segments(tmp_path: Path) -> None:
    assert journal_bytes_a_day(tmp_path / "none") is None
    began = 1_700_000_000_000_000_000
    for number, size in ((1, 1000), (2, 3000), (3, 50_000_000)):  # the newest is still being written
        header = encode_header(Header(number, began + number * 100 * 10**9))
        segment_path(tmp_path, number).write_bytes(header.ljust(size, b"\0"))
        if number < 3:
            assert journal_bytes_a_day(tmp_path) == (None if number == 1 else 1000 / 100 * 86_400)

    assert journal_bytes_a_day(tmp_path) == 4000 / 200 * 86_400


def test_the_assumptions_are_those_of_the_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "plan.md").read_text()
    rows = re.findall(r"^\| (\w+) \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \|$", page, re.MULTILINE)

    assert {name: [float(one.replace(",", "")) for one in numbers] for name, *numbers in rows} == {
        name: [ROWS_PER_DAY[name], ROW_BYTES[name], PACKED_FRAME_BYTES[name]] for name in ROWS_PER_DAY
    }

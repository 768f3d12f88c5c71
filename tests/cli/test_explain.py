"""`collector explain`: every row leads to its frame, and a row that is not what its frame says is found out."""

from __future__ import annotations

import asyncio
import json
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from collector.cli import main
from collector.cli.explain import understand
from collector.cli.frame import pointed, readable
from tests.daemon import test_finam as finam
from tests.kit.stage import Stage, live, stage, until

timescaledb = pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)

ROWS = """
select 'trades', symbol, trade_key::text, received_at from (select * from v_trades order by random() limit 3) x
union all select 'ticks', symbol, tick_key::text, received_at
from (select * from ticks join instruments using (instrument_id) order by random() limit 3) x
union all select 'books', symbol, seq::text, received_at
from (select * from v_books where seq > 0 order by random() limit 3) x
union all select 'books', symbol, time::text, received_at
from (select * from v_books where snapshot order by random() limit 2) x
union all select 'candles', symbol, period || '@' || (to_json(time)#>>'{}') || '@' || series, received_at
from (select * from v_candles order by random() limit 3) x
union all select 'derivatives', symbol, (to_json(time)#>>'{}'), received_at
from (select * from v_derivatives order by random() limit 2) x
union all select 'rates', name, (to_json(time)#>>'{}'), received_at
from (select * from v_rates where name <> '' order by random() limit 2) x
"""


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collector.logs.configure", lambda *_, **__: None)
    for name, value in {"COLUMNS": "250", "NO_COLOR": "1", "TERM": "dumb"}.items():
        monkeypatch.setenv(name, value)


async def run(on: Stage, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    capsys.readouterr()
    status = await asyncio.to_thread(main, ["explain", *arguments, "--config", str(on.config)])
    said = capsys.readouterr()
    return status, said.out, " ".join(said.err.replace("│", " ").split())


async def explained(on: Stage, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[Any]]:
    status, out, err = await run(on, capsys, *arguments, "--json")
    assert out, err
    return status, json.loads(out)["rows"]


async def every_kind_is_explained(on: Stage, capsys: pytest.CaptureFixture[str], venue: str) -> set[str]:
    kinds = set()
    for table, symbol, key, received_at in await on.query(ROWS):
        status, rows = await explained(on, capsys, table, venue, symbol, key)
        assert (status, rows[0]["missing"], rows[0]["differences"]) == (0, None, {}), (table, symbol, key)
        row = next(one for one in rows if datetime.fromisoformat(one["row"]["received_at"]) == received_at)
        assert row["frame"]
        assert row["place"]["session"]["venue"] == venue
        assert row["place"]["received_ns"] // 1000 == round(received_at.timestamp() * 1e6)
        assert row["seen"] >= 1
        assert [one["made_it"] for one in row["sightings"]].count(True) == 1
        kinds.add(table)
    return kinds


@timescaledb
async def test_each_kind_of_row_leads_to_its_frame(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with stage(database, tmp_path, rate=500) as on:
        on.config.write_text(on.config.read_text() + "\n[journal]\nsegment_mb = 1\n")
        async with on.daemon() as daemon:
            await until(lambda: live(daemon) and daemon.statistics.total.stored > 6000, "6,000 rows")
            await on.compare(daemon)
        assert len(list((tmp_path / "data" / "journal").glob("*.zst"))) > 0
        kinds = await every_kind_is_explained(on, capsys, "fmfw")
        assert kinds == {"trades", "ticks", "books", "candles", "derivatives", "rates"}

        [(symbol, key)] = await on.query("select symbol, trade_key from v_trades order by random() limit 1")
        status, out, _ = await run(on, capsys, "trades", "fmfw", symbol, str(key))
        assert status == 0
        assert "parsed again, the frame gives exactly this row" in out
        assert f"trade_key {key}" in out
        assert f'"{symbol}": [' in out
        assert "in transaction" in out


@timescaledb
async def test_rows_of_a_polled_venue_lead_to_its_answers(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with finam.stage(database, tmp_path) as on:
        async with on.daemon() as daemon:
            await until(lambda: finam.ready(daemon, 2000), "2,000 rows")
        assert await every_kind_is_explained(on, capsys, "finam") == {"trades", "ticks", "books", "candles"}


@timescaledb
async def test_row_that_is_not_what_its_frame_says_is_found_out(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with stage(database, tmp_path, rate=500) as on:
        async with on.daemon() as daemon:
            await until(lambda: live(daemon) and daemon.statistics.total.stored > 500, "500 rows")
        [(symbol, key, price, time)] = await on.query(
            "select symbol, trade_key, price::text, time from v_trades order by random() limit 1"
        )
        arguments = ("trades", "fmfw", symbol, str(key))
        await on.query("update trades set price = price + 1 where trade_key = $1", key)
        status, [told] = await explained(on, capsys, *arguments)
        assert status == 1
        assert told["differences"]["price"]["frame"] == price

        status, rows = await explained(on, capsys, "trades", "fmfw", symbol, time.isoformat())
        assert key in {row["row"]["trade_key"] for row in rows}

        await on.query("update trades set received_at = received_at + interval '1 microsecond'")
        status, [told] = await explained(on, capsys, *arguments)
        assert (status, told["missing"]) == (1, "the journal no longer holds its frame")
        shutil.rmtree(tmp_path / "data" / "journal")
        status, out, _ = await run(on, capsys, *arguments)
        assert status == 1
        assert "the journal no longer holds its frame" in out


@timescaledb
async def test_trade_that_a_repair_found_leads_to_the_venues_history_and_shows_the_gap(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with stage(database, tmp_path, rate=500, extra="snapshot = 0") as on:
        async with on.daemon() as daemon:
            await until(lambda: live(daemon) and daemon.statistics.total.stored > 500, "500 rows")
            feed = daemon.workers["fmfw"].worker.connections["fmfw-1"]
            on.venue.fault("refuse_connections", seconds=1)
            on.venue.fault("cut")
            await until(lambda: feed.reconnects > 0 and live(daemon), "the line back")
            query = "select from v_gaps where stream = 'trades' and cause = 'disconnect' and filled_rows > 0"
            for _ in range(400):
                if await on.query(query):
                    break
                await asyncio.sleep(0.05)
        [(symbol, key), *_] = await on.query(
            "select t.symbol, t.trade_key from v_trades t join v_gaps g using (venue, symbol) where g.stream = 'trades'"
            " and g.cause = 'disconnect' and g.state = 'repaired' and t.time between g.from_time and g.to_time"
            " and t.received_at >= g.to_time"
        )
        status, [told] = await explained(on, capsys, "trades", "fmfw", symbol, str(key))
        assert status == 0
        assert told["place"]["kind"] == "rest"
        assert {(gap["cause"], gap["state"]) for gap in told["gaps"]} >= {("disconnect", "repaired")}


@timescaledb
async def test_wrong_usage_names_what_would_be_right(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with stage(database, tmp_path, running=False) as on:
        await on.query("insert into venues (code) values ('fmfw')")
        await on.query("insert into instruments (venue_id, symbol) select venue_id, 'BTCUSDT' from venues")
        for status, arguments, said in [
            (2, ("nix", "fmfw", "BTCUSDT", "1"), "there is no table 'nix' to choose; there is books, candles"),
            (2, ("candles", "fmfw", "BTCUSDT", "1"), "write a period and the opening, such as 1m@"),
            (2, ("derivatives", "fmfw", "BTCUSDT", "soon"), "write a time"),
            (2, ("ticks", "fmfw", "BTCUSDT", "99999999999999999999"), "write a tick_key or a time"),
            (2, ("trades", "nix", "BTCUSDT", "1"), "there is no venue 'nix' here; there is fmfw"),
            (2, ("trades", "fmfw", "BTCUSD", "1"), "there is no symbol 'BTCUSD' of fmfw; did you mean BTCUSDT?"),
            (
                2,
                ("rates", "fmfw", "BTC", "2026-11-21"),
                "no symbol 'BTC' among the rates of fmfw; none is",
            ),
            (1, ("trades", "fmfw", "BTCUSDT", "-17"), "trades of fmfw BTCUSDT hold no such row"),
        ]:
            got, out, err = await run(on, capsys, *arguments)
            assert (got, out) == (status, "")
            assert said in err
        on.config.write_text(on.config.read_text().replace(database, "postgresql://me:hunter2@127.0.0.1:1/market"))
        status, out, err = await run(on, capsys, "trades", "fmfw", "BTCUSDT", "1")
        assert (status, out) == (1, "")
        assert err.startswith("error: me@127.0.0.1:1/market: nobody answers")


def test_keys_are_numbers_ids_and_times() -> None:
    assert understand("trades", "-8395011223346051172").number == -8395011223346051172
    assert understand("trades", "12").text == "12"
    assert understand("trades", "6d1f-x").text == "6d1f-x"
    assert understand("candles", "1h@2026-11-21T13:00@mark")[:2] == (3600, "mark")
    time = understand("ticks", "2026-11-21 13:20:11.123457+00").time
    assert time is not None
    assert time.isoformat() == "2026-11-21T13:20:11.123457+00:00"


def test_frames_are_laid_out_with_their_digits_as_they_came() -> None:
    long = {"ch": "trades", "update": {"BTCUSDT": [{"t": 1, "p": "1.50", "q": "0.30"}] * 4}}
    payload = orjson.dumps(long).replace(b'"1.50"', b"1.50000000000000000000000001")
    lines = readable(payload)
    assert len(lines) > 4
    assert '{"t": 1, "p": 1.50000000000000000000000001, "q": "0.30"},' in lines[4]
    assert readable(b'42["synchronization",{"a":1e5}]') == ["42", '["synchronization", {"a": 1e5}]']
    assert readable(b'{"channel":"x","params":{}}\n[1]') == ['{"channel": "x", "params": {}}', "[1]"]
    assert readable(b"not \x07 JSON {") == ["not \\x07 JSON {"]
    assert readable(b"\xff\x00ab") == ["00000000  ff 00 61 62                                      ..ab"]
    assert readable(b"[" * 100_000)[0].startswith("[[[")


def test_errors_point_into_the_frame() -> None:
    assert pointed(b'{"p":"NaN"}', "p: 'NaN' is no decimal")[1] == "      ^^^ character 6"
    assert pointed(b'{"p":', "not JSON: unexpected end: line 1 column 5 (char 4)")[1] == "    ^ character 4"
    assert pointed(b"{}", "something else") == []

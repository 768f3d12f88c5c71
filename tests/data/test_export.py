"""Exports: that files hold what the tables hold, exactly, and that they appear whole or not at all."""

from __future__ import annotations

import csv
import fcntl
import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from collector.data import export as module
from collector.data.catalogue import TABLES
from collector.data.errors import ExportError, SealRefusedError, UnknownError
from collector.data.export import Choice, Progress, Seal, export
from collector.data.verify import verify
from collector.store.named import queries
from tests.data.market import DAY, LONG_PRICE, LONGER_PRICE, LONGEST_PRICE, fill, run

EVERYTHING = Choice(TABLES)


def manifest(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return found


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
async def market(database: str) -> str:
    await fill(database)
    return database


async def test_a_dataset_of_parquet_holds_the_rows_of_the_table(market: str, tmp_path: Path) -> None:
    done = await export(market, Choice(("trades",), symbols=("BTC*",)), tmp_path / "out", "parquet")

    kept = ds.dataset(tmp_path / "out" / "trades", partitioning="hive").to_table().to_pylist()
    rows = await run(market, "select * from v_trades where symbol = 'BTCUSDT' order by time, trade_key")
    assert done.rows == len(rows) == 7200
    columns = ("time", "price", "size", "side", "trade_id", "trade_key", "received_at", "venue", "symbol")
    assert [tuple(row[name] for name in columns) for row in sorted(kept, key=lambda row: row["time"])] == [
        tuple(row[name] for name in columns) for row in rows
    ]
    assert {str(row["date"]) for row in kept} == {"2026-11-10", "2026-11-11"}


async def test_thirty_digits_come_back_the_same_and_eighty_as_well(market: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    await export(market, Choice(("trades",)), out, "parquet")

    def price(name: str) -> tuple[pa.DataType, Decimal]:
        column = pq.read_table(out / "trades" / name / "rows.parquet", partitioning=None)["price"]
        return column.type, Decimal(column[0].as_py())

    assert price("venue=fmfw/symbol=ETH%2FUSDT/date=2026-11-12") == (pa.decimal128(38, 18), Decimal(LONG_PRICE))
    assert price("venue=finam/symbol=SBER%40MISX/date=2026-11-12") == (pa.string(), Decimal(LONGEST_PRICE))
    assert price("venue=finam/symbol=SBER%40MISX/date=2026-11-13") == (pa.decimal256(76, 40), Decimal(LONGER_PRICE))


async def test_csv_has_the_digits_of_the_venue_and_texts_of_two_lines(market: str, tmp_path: Path) -> None:
    await export(market, EVERYTHING, tmp_path / "out", "csv")

    path = tmp_path / "out/trades/venue=fmfw/symbol=ETH%2FUSDT/date=2026-11-12/rows.csv"
    with path.open(newline="") as file:
        [row] = csv.DictReader(file)
    assert (row["price"], row["trade_id"]) == (LONG_PRICE, 'a "quoted", id\nof two lines')
    assert row["time"] == "2026-11-12 12:00:00+00"
    assert verify(tmp_path / "out")[1] == []


async def test_arrow_has_books_as_lists(market: str, tmp_path: Path) -> None:
    await export(market, Choice(("books",)), tmp_path / "out", "arrow")

    path = tmp_path / "out/books/venue=fmfw/symbol=BTCUSDT/date=2026-11-10/rows.arrow"
    rows = pa.ipc.open_file(path).read_all().to_pylist()
    assert [row["bid_prices"] for row in rows] == [[Decimal("60000.5") - n, Decimal(59999)] for n in (1, 2, 3)]
    assert [row["ask_sizes"] for row in rows] == [[], [], []]
    assert [row["snapshot"] for row in rows] == [True, False, False]


async def test_every_table_and_every_column_can_be_exported(market: str, tmp_path: Path) -> None:
    done = await export(market, EVERYTHING, tmp_path / "out", "parquet")

    told = manifest(tmp_path / "out")
    assert {one["table"] for one in told["files"]} == {"trades", "books", "candles", "rates", "news"}
    assert done.rows == 7200 + 3 + 3 + 20 + 1 + 1
    for table in TABLES:
        wanted = await run(
            market,
            "select column_name from information_schema.columns where table_name = $1 and table_schema = 'public'",
            table,
        )
        statement = queries("export")[f"rows_{table}"]
        lacking = {row["column_name"] for row in wanted} - {"instrument_id", "venue_id", "name"}
        assert not [name for name in lacking if name not in statement.split("from")[0]], table


async def test_only_the_span_is_exported(market: str, tmp_path: Path) -> None:
    since = DAY + timedelta(hours=23, minutes=30)
    choice = Choice(("trades",), from_time=since, to_time=since + timedelta(hours=1))
    await export(market, choice, tmp_path / "out", "parquet")

    told = manifest(tmp_path / "out")
    assert [(one["date"], one["rows"], one["first"], one["last"]) for one in told["files"]] == [
        ("2026-11-10", 1800, "2026-11-10T23:30:00Z", "2026-11-10T23:59:59Z"),
        ("2026-11-11", 1800, "2026-11-11T00:00:00Z", "2026-11-11T00:29:59Z"),
    ]
    assert [(one["from"], one["to"], one["state"]) for one in told["coverage"]] == [
        ("2026-11-10T23:30:00Z", "2026-11-11T00:30:00Z", "covered")
    ]
    assert told["gaps"] == []


async def test_the_manifest_tells_what_is_missing(market: str, tmp_path: Path) -> None:
    await export(market, Choice(("trades",), venues=("fmfw",)), tmp_path / "out", "csv")

    told = manifest(tmp_path / "out")
    assert [(one["symbol"], one["cause"], one["state"], one["filled_rows"]) for one in told["gaps"]] == [
        ("BTCUSDT", "disconnect", "repaired", 60)
    ]
    assert [one["state"] for one in told["coverage"]] == ["covered", "repaired", "covered"]
    assert [one["symbol"] for one in told["instruments"]] == ["BTCUSDT", "ETH/USDT"]
    assert told["instruments"][0]["price_step"] == "0.01"


@pytest.mark.parametrize("kind", ["parquet", "csv", "arrow"])
async def test_the_same_data_are_the_same_bytes(
    market: str, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.data.blocks.Cutter.__init__.__defaults__", (20_000,))
    for name in ("one", "two"):
        await export(market, EVERYTHING, tmp_path / name, kind)

    assert files(tmp_path / "one") == files(tmp_path / "two")
    if kind == "parquet":  # and there was more than one block
        path = "trades/venue=fmfw/symbol=BTCUSDT/date=2026-11-10/rows.parquet"
        assert pq.read_metadata(tmp_path / "one" / path).num_row_groups > 5


async def test_nothing_of_a_failed_export_remains(market: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "count_rows", lambda _path: 5)

    with pytest.raises(ExportError, match="holds 5 rows, 1 were sent and 1 were there"):
        await export(market, Choice(("trades",)), tmp_path / "out", "csv")

    assert names(tmp_path) == []


async def test_what_is_no_number_makes_its_column_text(market: str, tmp_path: Path) -> None:
    await run(market, "update rates set value = 'NaN'")

    await export(market, Choice(("rates",)), tmp_path / "out", "parquet")

    path = tmp_path / "out/rates/venue=fmfw/name=BTC%2FUSDT/date=2026-11-10/rows.parquet"
    assert pq.read_table(path, partitioning=None)["value"].to_pylist() == ["NaN"]


async def test_what_a_killed_export_left_is_removed_by_the_next(market: str, tmp_path: Path) -> None:
    left = tmp_path / ".out.partial" / "trades"
    left.mkdir(parents=True)
    (left / "half").write_text("x")

    await export(market, Choice(("rates",)), tmp_path / "out", "csv")

    assert names(tmp_path) == ["out"]


async def test_two_exports_to_one_place_are_refused(market: str, tmp_path: Path) -> None:
    with (tmp_path / ".out.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ExportError, match="another export to out is at work"):
            await export(market, Choice(("rates",)), tmp_path / "out", "csv")


async def test_what_is_there_is_replaced_only_when_asked_and_only_an_export(market: str, tmp_path: Path) -> None:
    out, mine = tmp_path / "out", tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis").write_text("years of work")
    choice = Choice(("rates",))
    await export(market, choice, out, "csv")

    with pytest.raises(ExportError, match="--replace"):
        await export(market, choice, out, "csv")
    with pytest.raises(ExportError, match="not an export"):
        await export(market, choice, mine, "csv", replace=True)
    await export(market, Choice(("news",)), out, "csv", replace=True)

    assert [one["table"] for one in manifest(out)["files"]] == ["news"]
    assert (mine / "thesis").read_text() == "years of work"
    assert names(tmp_path) == ["mine", "out"]


@pytest.mark.parametrize(
    ("choice", "what"),
    [
        (Choice(("trade",)), "table"),
        (Choice(("trades",), venues=("fmwf",)), "venue"),
        (Choice(("trades",), symbols=("BTCUSD",)), "symbol"),
        (Choice(("trades",), ("finam",), ("BTC*",)), "symbol"),
    ],
)
async def test_names_that_mean_nothing_are_told(market: str, tmp_path: Path, choice: Choice, what: str) -> None:
    with pytest.raises(UnknownError) as caught:
        await export(market, choice, tmp_path / "out", "csv")

    assert caught.value.what == what
    if what == "symbol" and not choice.venues:
        assert "did you mean BTCUSDT?" in str(caught.value)


async def test_progress_goes_from_nothing_to_all(market: str, tmp_path: Path) -> None:
    seen: list[Progress] = []
    await export(market, Choice(("trades",)), tmp_path / "out", "csv", show=seen.append)

    rows = [one for one in seen if one.phase == "rows"]
    assert rows[0].done == 0
    assert rows[-1].done == rows[-1].total == 7203
    assert [one.done for one in rows] == sorted(one.done for one in rows)


async def test_a_sealed_day_cannot_be_written_to_and_verifies(market: str, tmp_path: Path) -> None:
    out = tmp_path / "sealed"
    done = await export(market, EVERYTHING, out, "parquet", seal=Seal(date(2026, 11, 10)))

    assert done.objections == ()
    told = manifest(out)
    assert told["sealed"] == {"date": "2026-11-10", "objections": []}
    assert {one["date"] for one in told["files"]} == {"2026-11-10"}
    assert not [path for path in (out, *out.rglob("*")) if path.stat().st_mode & 0o222]
    assert verify(out)[1] == []
    with pytest.raises(ExportError, match="sealed day"):
        await export(market, Choice(("rates",)), out, "csv", replace=True)


@pytest.mark.parametrize(
    ("change", "day", "objection"),
    [
        ("update gaps set state = 'open'", date(2026, 11, 10), "1 gap is open and may still be repaired"),
        ("update gaps set state = 'open', to_time = null", date(2026, 11, 11), "1 gap is open"),
        ("select 1", datetime.now(UTC).date(), "the day is over at"),
        ("select 1", date(2026, 11, 12), "not all that was received may be in the tables"),
        (
            """insert into audits (time, instrument_id, verdict, trades) select '2026-11-10 23:00:00+00', instrument_id,
            'unexplained', 59 from instruments where symbol = 'BTCUSDT'""",
            date(2026, 11, 10),
            "trades differ from the venue's candles in 1 minutes",
        ),
        ("delete from journal_position", date(2026, 11, 10), "no daemon has ever written here"),
    ],
)
async def test_a_day_that_is_not_ready_is_sealed_only_anyway(
    market: str, tmp_path: Path, change: str, day: date, objection: str
) -> None:
    await run(market, change)
    with pytest.raises(SealRefusedError, match=objection):
        await export(market, EVERYTHING, tmp_path / "out", "csv", seal=Seal(day))
    assert names(tmp_path) == []

    done = await export(market, EVERYTHING, tmp_path / "out", "csv", seal=Seal(day, anyway=True))

    assert any(objection in one for one in done.objections)
    assert manifest(tmp_path / "out")["sealed"]["objections"] == list(done.objections)


async def test_an_unrecoverable_gap_does_not_hinder_a_seal(market: str, tmp_path: Path) -> None:
    await run(market, "update gaps set state = 'unrecoverable'")

    done = await export(market, EVERYTHING, tmp_path / "out", "csv", seal=Seal(date(2026, 11, 10)))

    assert done.objections == ()
    assert "lost" in {one["state"] for one in manifest(tmp_path / "out")["coverage"]}


async def test_a_place_that_cannot_be_written_is_told(market: str) -> None:
    with pytest.raises(ExportError, match="/proc/"):
        await export(market, Choice(("rates",)), Path("/proc/out"), "csv")


async def test_a_file_in_the_way_is_told(market: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ExportError, match="file"):
            await export(market, Choice(("rates",)), place, "csv")

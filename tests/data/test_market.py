"""The market in Python: that frames hold what the tables hold, exactly, wherever they are asked for."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from collector.config import load
from collector.data import AsyncMarket, DataError, Market, QueryError
from collector.data.errors import ClosedError
from collector.data.export import Choice, export
from collector.store.errors import DatabaseUnreachableError
from tests.data.market import DAY, LONG_PRICE, LONGER_PRICE, LONGEST_PRICE, fill, run
from tests.databases import DatabaseServer

BTC = ("fmfw", "BTCUSDT")
HOUR = DAY + timedelta(hours=23)


@pytest.fixture
async def recorded(database: str) -> str:
    await fill(database)
    return database


@pytest.fixture
def market(recorded: str) -> Any:
    with Market(recorded) as market:
        yield market


async def test_thirty_digits_are_the_same_from_sql_pandas_polars_and_parquet(recorded: str, tmp_path: Path) -> None:
    [row] = await run(recorded, "select price from v_trades where symbol = 'ETH/USDT'")
    with Market(recorded) as market, Market(recorded, frames="polars") as other:
        of_pandas = market.trades("fmfw", "ETH/USDT")["price"][0]
        of_polars = other.trades("fmfw", "ETH/USDT")["price"][0]
    await export(recorded, Choice(("trades",), symbols=("ETH*",)), tmp_path / "out", "parquet")
    of_parquet = pq.read_table(tmp_path / "out" / "trades")["price"][0].as_py()

    assert row["price"] == of_pandas == of_polars == of_parquet == Decimal(LONG_PRICE)
    assert {type(one) for one in (of_pandas, of_polars, of_parquet)} == {Decimal}
    assert str(of_pandas) == str(of_polars) == LONG_PRICE


async def test_numbers_too_long_for_a_frame_are_text_and_not_rounded(recorded: str) -> None:
    venue, symbol = "finam", "SBER@MISX"
    with Market(recorded) as market, Market(recorded, frames="polars") as other:
        assert list(market.trades(venue, symbol)["price"]) == [LONGEST_PRICE, LONGER_PRICE]
        assert market.trades(venue, symbol, "2026-11-13")["price"][0] == Decimal(LONGER_PRICE)
        found = other.trades(venue, symbol, "2026-11-13")["price"]
        assert found.dtype == pl.String
        assert Decimal(found[0]) == Decimal(LONGER_PRICE)


async def test_trades_of_a_span_come_in_order_with_keys_that_nulls_do_not_harm(market: Market[pd.DataFrame]) -> None:
    frame = market.trades(*BTC, HOUR, HOUR + timedelta(seconds=5))

    assert list(frame.columns) == ["time", "price", "size", "side", "trade_id", "trade_key", "received_at"]
    assert list(frame["trade_key"]) == [1, 2, 3, 4]
    assert str(frame["trade_key"].dtype) == "Int64"
    assert list(frame["price"]) == [Decimal("60000.10") + n for n in (1, 2, 3, 4)]
    assert frame["time"][0] == pd.Timestamp("2026-11-10T23:00:01Z")
    assert [None if pd.isna(side) else side for side in frame["side"]] == [1, -1, None, 1]
    assert pd.isna(frame["trade_id"][2])


@pytest.mark.parametrize(
    "given",
    [
        "2026-11-11T01:00+01:00",
        "2026-11-11",
        "2026-11-11T00:00",
        date(2026, 11, 11),
        datetime(2026, 11, 11),  # noqa: DTZ001
        pd.Timestamp("2026-11-11", tz="UTC"),
    ],
)
async def test_a_time_may_be_written_in_many_ways(recorded: str, given: Any) -> None:
    async with AsyncMarket(recorded) as market:
        frame = await market.trades(*BTC, given)
        assert frame["time"][0] == datetime(2026, 11, 11, tzinfo=UTC)


async def test_bars_are_made_of_trades(market: Market[pd.DataFrame]) -> None:
    frame = market.ohlcv(*BTC, "1h")

    assert list(frame["time"]) == [HOUR, HOUR + timedelta(hours=1), HOUR + timedelta(hours=2)]
    assert list(frame["trades"]) == [3599, 3600, 1]
    assert (frame["open"][0], frame["close"][0]) == (Decimal("60001.10"), Decimal("63599.10"))
    assert list(frame["partial"]) == [False, False, False]
    assert len(market.ohlcv(*BTC, timedelta(minutes=30), HOUR, HOUR + timedelta(hours=1))) == 2
    assert len(market.ohlcv(*BTC, "1d", "2026-11-09", "2026-11-13", fill=True)) == 4


async def test_every_question_is_answered(market: Market[pd.DataFrame]) -> None:
    answers = {
        "instruments": market.instruments("fmfw"),
        "instrument_at": market.instrument_at(*BTC),
        "ticks": market.ticks(*BTC),
        "candles": market.candles(*BTC, "1m", "2026-11-10", series="mark"),
        "spread": market.spread(*BTC, "1m", HOUR, HOUR + timedelta(minutes=2)),
        "trades_with_quotes": market.trades_with_quotes(*BTC, HOUR, HOUR + timedelta(minutes=1)),
        "book_at": market.book_at(*BTC, "2026-11-10T12:00:10Z"),
        "vwap": market.vwap(*BTC),
        "last": market.last_prices(),
        "coverage": market.coverage(*BTC),
        "gaps": market.gaps("fmfw", stream="trades"),
        "sql": market.sql("select $1::int + 1 as n", 41),
    }

    assert {name: len(frame) for name, frame in answers.items()} == {
        "instruments": 2,
        "instrument_at": 0,
        "ticks": 0,
        "candles": 10,
        "spread": 0,
        "trades_with_quotes": 59,
        "book_at": 3,
        "vwap": 1,
        "last": 3,
        "coverage": 3,
        "gaps": 1,
        "sql": 1,
    }
    assert answers["sql"]["n"][0] == 42
    assert answers["instruments"]["common_name"][0] == "BTC/USDT"
    assert answers["book_at"]["age"][0] == pd.Timedelta(seconds=7)
    assert answers["candles"]["close"][0] == Decimal("1.5")
    assert list(answers["coverage"]["state"]) == ["covered", "repaired", "covered"]


async def test_an_empty_answer_has_the_columns_and_types_of_a_full_one(recorded: str) -> None:
    with Market(recorded, frames="arrow") as market:
        empty = market.trades(*BTC, "2020-01-01", "2020-01-02")
        full = market.trades(*BTC)
    assert empty.num_rows == 0
    assert empty.column_names == full.column_names
    assert empty.schema.field("time").type == full.schema.field("time").type == pa.timestamp("us", "UTC")


async def test_floats_are_given_to_those_who_ask(recorded: str) -> None:
    with Market(recorded, floats=True) as market, Market(recorded, frames="polars", floats=True) as other:
        assert market.trades(*BTC)["price"].dtype == "float64"
        assert other.trades(*BTC)["price"].dtype == pl.Float64


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda m: m.trades("fmfw", "NIX"), "(?s)no instrument NIX at the venue fmfw.*v_instruments lists"),
        (lambda m: m.ohlcv(*BTC, "1x"), "not a length of time"),
        (lambda m: m.ohlcv(*BTC, "0m"), "not a length"),
        (lambda m: m.candles(*BTC, "7m"), "no period of candles; there is 1m"),
        (lambda m: m.trades(*BTC, "soon"), "'soon' is not a time"),
        (lambda m: m.sql("selec 1"), "syntax error"),
        (lambda m: m.sql("delete from trades returning 1"), "read-only|permission denied"),
        (lambda m: m.sql("create table x ()"), "gives no rows"),
        (lambda m: m.sql("select $1::int"), "no parameter"),
        (lambda m: m.sql("select $1::int", "x"), "invalid input for query argument"),
        (lambda m: m.sql("select interval '1 month'"), "months"),
    ],
)
async def test_a_wrong_question_is_told_and_the_next_one_answered(
    market: Market[pd.DataFrame], ask: Any, told: str
) -> None:
    with pytest.raises(QueryError, match=told):
        ask(market)
    assert market.vwap(*BTC)["vwap"][0] > 0


async def test_an_analyst_may_ask_everything_and_change_nothing(database_server: DatabaseServer, recorded: str) -> None:
    with Market(database_server.login("analyst", recorded)) as market:
        assert len(market.ohlcv(*BTC, "1h")) == 3
        assert len(market.coverage()) == 3
        with pytest.raises(QueryError):
            market.sql("with gone as (delete from gaps returning 1) select * from gone")


async def test_a_lost_connection_is_made_again(recorded: str) -> None:
    async with AsyncMarket(recorded) as market:
        await market.vwap(*BTC)
        [before] = (await market.sql("select pg_backend_pid() as pid"))["pid"]
        await run(recorded, "select pg_terminate_backend($1)", before)
        with suppress(DataError, DatabaseUnreachableError):  # the question that meets the end of the connection
            await market.vwap(*BTC)
        assert len(await market.vwap(*BTC)) == 1
        [now] = (await market.sql("select pg_backend_pid() as pid"))["pid"]
        assert now != before


async def test_many_may_ask_one_market_at_once(recorded: str) -> None:
    async with AsyncMarket(recorded) as market:
        frames = await asyncio.gather(*(market.trades(*BTC, HOUR, HOUR + timedelta(seconds=n)) for n in range(1, 20)))
    assert [len(frame) for frame in frames] == list(range(19))


async def test_a_closed_market_says_so(recorded: str) -> None:
    market = Market(recorded)
    market.vwap(*BTC)
    market.close()
    market.close()
    with pytest.raises(ClosedError):
        market.vwap(*BTC)


@pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)
async def test_a_configuration_is_a_source_and_so_is_its_folder(recorded: str, tmp_path: Path) -> None:
    path = tmp_path / "collector.toml"
    path.write_text(f'[database]\ndsn = "{recorded}"\n')
    for source in (path, str(path), tmp_path, load(path, {})):
        with Market(source) as market:
            assert len(market.vwap(*BTC)) == 1


def test_a_source_that_is_nowhere_is_told(tmp_path: Path) -> None:
    (tmp_path / "collector.toml").write_text(f'data_dir = "{tmp_path / "data"}"\n')
    with Market(tmp_path) as market, pytest.raises(DataError, match="nothing was recorded in"):
        market.instruments()
    with Market(tmp_path / "nix") as market, pytest.raises(DataError, match="is not there"):
        market.instruments()
    with Market("postgresql://me:hunter2@127.0.0.1:1/x") as market, pytest.raises(DatabaseUnreachableError) as caught:
        market.instruments()
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(("package", "frames"), [("pandas", "pandas"), ("polars", "polars"), ("pyarrow", "arrow")])
def test_a_package_that_is_missing_is_named_with_the_remedy(package: str, frames: str) -> None:
    script = (
        f"import sys; sys.modules[{package!r}] = None\nfrom collector.data import Market\n"
        f"try: Market('postgresql://x', frames={frames!r})\nexcept Exception as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert f"{package} is not installed; `make setup-analysts`" in done.stdout

"""`collector replay`: what it gives is what the tables hold, and whatever is not is told."""

from __future__ import annotations

import asyncio
import json
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from collector.cli import main
from collector.demo.demo import settled
from collector.venues.fmfw.parser import FmfwParser
from tests.databases import DatabaseServer
from tests.kit.stage import Stage, live, stage, until
from tests.normalise.test_determinism import content, differences

pytestmark = pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)

FACTS = ("trades", "ticks", "books", "candles", "derivatives", "rates")


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collector.logs.configure", lambda *_, **__: None)
    for name, value in {"COLUMNS": "250", "NO_COLOR": "1", "TERM": "dumb"}.items():
        monkeypatch.setenv(name, value)


async def run(on: Stage, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    capsys.readouterr()
    status = await asyncio.to_thread(main, [*arguments, "--config", str(on.config)])
    said = capsys.readouterr()
    return status, said.out, " ".join(said.err.replace("│", " ").split())


async def diff(on: Stage, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    status, out, err = await run(on, capsys, "replay", "--diff", "--json", *arguments)
    assert "{\n" in out, err
    return status, json.loads(out[out.index("{\n") :])


def found(answer: Any) -> dict[str, tuple[int, int, int]]:
    """Rows that are missing, extra and different, by table."""
    counts = {name: (one["missing"], one["extra"], one["differs"]) for name, one in answer["tables"].items()}
    return {name: count for name, count in counts.items() if any(count)}


async def some_rows(on: Stage, table: str, rows: int) -> None:
    for _ in range(600):
        if await on.rows(table) >= rows:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"not within 30 s: {rows} rows of {table}")


async def test_tables_are_what_the_journal_gives_after_a_kill_and_a_repair(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with stage(database, tmp_path, rate=300, extra="snapshot = 0") as on:
        on.config.write_text(on.config.read_text() + "\n[journal]\nsegment_mb = 1\n")
        async with on.process() as process:
            await some_rows(on, "trades", 300)
            process.send_signal(signal.SIGKILL)
            await process.wait()
        async with on.daemon() as daemon:
            await until(lambda: live(daemon) and daemon.statistics.total.stored > 500, "500 rows")
            feed = daemon.workers["fmfw"].worker.connections["fmfw-1"]
            on.venue.fault("cut")
            on.venue.fault("repeat_trades", count=5)
            await until(lambda: feed.reconnects > 0 and live(daemon), "the line back")
            status, answer = await diff(on, capsys)  # beside the daemon, which goes on
            assert (status, found(answer)) == (0, {}), json.dumps(answer["tables"])
            assert answer["tables"]["trades"]["rows"] > 300
            for _ in range(400):
                if await on.query("select from gaps where state = 'repaired' and filled_rows > 0"):
                    break
                await asyncio.sleep(0.05)
        status, answer = await diff(on, capsys)
        assert (status, found(answer)) == (0, {}), json.dumps(answer["tables"])
        for table in FACTS:
            assert answer["tables"][table]["rows"] == await on.rows(table)


async def test_rows_that_somebody_touched_are_found(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with stage(database, tmp_path, rate=300) as on:
        async with on.daemon() as daemon:
            await until(lambda: live(daemon) and daemon.statistics.total.stored > 1000, "1,000 rows")
            await on.ledger.pause()
            await settled(daemon.observed)
        books = await on.rows("books")
        await on.query(
            "update trades set price = price + 1, size = size * 2 where trade_key = (select min(trade_key) from trades)"
        )
        await on.query("delete from books where received_at = (select max(received_at) from books)")
        deleted = books - await on.rows("books")
        await on.query(
            "insert into ticks (time, instrument_id, tick_key, bid, received_at)"
            " select time, instrument_id, 42, 1, received_at from ticks order by time limit 1"
        )
        newest = "candles where time = (select max(time) from candles)"
        [(bars,)] = await on.query(f"select count(*) from {newest}")
        await on.query(f"update {newest}".replace(" where", " set close = close::text::numeric(40, 20) where"))
        counts = {table: await on.rows(table) for table in FACTS}
        status, answer = await diff(on, capsys)
        assert status == 1
        assert found(answer) == {
            "trades": (0, 0, 1),
            "books": (deleted, 0, 0),
            "ticks": (0, 1, 0),
            "candles": (0, 0, bars),
        }
        assert answer["tables"]["trades"]["columns"] == {"price": 1, "size": 1}
        [example] = answer["tables"]["ticks"]["examples"]
        assert (example["kind"], example["live"]["bid"], example["replayed"]) == ("extra", 1, None)
        assert counts == {table: await on.rows(table) for table in FACTS}

        status, out, _ = await run(on, capsys, "replay", "--diff", "--table", "trades")
        assert status == 1
        assert "trades differ: price in 1, size in 1" in out
        assert "ticks" not in out
        # Writing what is missing again, and taking away what was added, leaves what was changed.
        assert (await run(on, capsys, "replay"))[0] == 0
        await on.query("delete from ticks where tick_key = 42")
        assert found((await diff(on, capsys))[1]) == {"trades": (0, 0, 1), "candles": (0, 0, bars)}


async def test_change_of_a_parser_is_tried_before_it_ships(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(database, tmp_path, rate=500) as on:
        async with on.daemon() as daemon:
            await until(lambda: live(daemon) and daemon.statistics.total.stored > 1000, "1,000 rows")
            await on.ledger.pause()
            await settled(daemon.observed)
        before = await content(database)
        frame = FmfwParser.frame

        def changed(self: FmfwParser, payload: bytes, received_ns: int, out: Any) -> Any:
            known = len(out.trades)
            events = frame(self, payload, received_ns, out)
            out.trades[known:] = [one._replace(trade_id="x") for one in out.trades[known:]]
            if payload.startswith(b'{"ch":"price/rate'):
                raise RuntimeError("a new bug")
            return events

        monkeypatch.setattr(FmfwParser, "frame", changed)
        status, answer = await diff(on, capsys, "--examples", "2")
        assert status == 1
        assert answer["tables"]["trades"]["columns"] == {"trade_id": answer["tables"]["trades"]["differs"]}
        assert len(answer["tables"]["trades"]["examples"]) == 2
        assert answer["tables"]["trades"]["examples"][0]["replayed"]["trade_id"] == "x"
        assert list(answer["quarantined"]) == ["parser failed: RuntimeError: a new bug"]
        assert differences(before, await content(database)) == {}


async def test_backfills_are_replayed_in_between_and_give_the_same_rows(
    database: str, database_server: DatabaseServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with stage(database, tmp_path, rate=300) as on:
        async with on.daemon() as daemon:
            await until(lambda: live(daemon) and daemon.statistics.total.stored > 500, "500 rows")
            since = (datetime.now(UTC) - timedelta(hours=2)).isoformat()
            status, *_ = await run(
                on, capsys, "backfill", "fmfw", "BTC*", "ETHBTC", "--stream", "trades,candles", "--from", since
            )
            assert status == 0
            stored = daemon.statistics.total.stored
            await until(lambda: daemon.statistics.total.stored > stored + 300, "300 rows more")
            await on.ledger.pause()
            await settled(daemon.observed)
        status, answer = await diff(on, capsys)
        assert status == 1
        assert {kind for one in answer["tables"].values() for kind in ("missing",) if one[kind]} == set()
        assert answer["tables"]["trades"]["extra"] > 0
        status, out, _ = await run(on, capsys, "replay", "--diff")
        assert "1 journals of backfills were not read" in out
        assert found((await diff(on, capsys, "--backfills"))[1]) == {}
        async with database_server.database() as second:
            status, *_ = await run(on, capsys, "replay", "--into", second, "--backfills")
            assert status == 0
            # Who told first what both received in the same moment, the daemon or the backfill, no journal knows.
            before, after = [
                {table: sorted(map(of_both, rows)) for table, rows in (await content(dsn)).items()}
                for dsn in (database, second)
            ]
            assert {table for table in (*FACTS, "sessions") if before[table] != after[table]} == set()


async def test_a_part_is_compared_with_its_part_of_the_tables(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with stage(database, tmp_path, rate=800) as on:
        on.config.write_text(on.config.read_text() + "\n[journal]\nsegment_mb = 1\n")
        async with on.daemon() as daemon:
            await until(lambda: live(daemon) and daemon.journal.end.segment > first(tmp_path) + 3, "four segments")
            await on.ledger.pause()
            await settled(daemon.observed)
        start = first(tmp_path)
        begin, end = str(start + 1), str(start + 3)
        for places in (["--from", begin], ["--to", end], ["--from", begin, "--to", end]):
            status, answer = await diff(on, capsys, *places)
            assert (status, found(answer)) == (0, {}), places
            assert 0 < answer["tables"]["trades"]["rows"] < await on.rows("trades")
        [(middle,)] = await on.query("select min(received_at) + (max(received_at) - min(received_at)) / 2 from ticks")
        status, answer = await diff(on, capsys, "--from", middle.isoformat())
        assert (status, found(answer)) == (0, {})
        [(rows,)] = await on.query("select count(*) from ticks where received_at > $1", middle)
        assert abs(answer["tables"]["ticks"]["rows"] - rows) <= 20
        for arguments in (["--venue", "fmwf"], ["--venue", "fmfw,nosuch"], ["--diff", "--venue", "fmwf"]):
            status, out, err = await run(on, capsys, "replay", *arguments)
            assert (status, out) == (2, "")
            assert "there is no venue" in err
        await on.query("insert into venues (code) values ('finam')")
        status, answer = await diff(on, capsys, "--venue", "finam")
        assert (status, answer["proved"]) == (1, False)
        status, out, _ = await run(on, capsys, "replay", "--diff", "--table", "news")
        assert status == 1
        assert "neither the journal nor a table holds a row that matches" in out
        assert "digit by digit" not in out
        status, out, _ = await run(on, capsys, "replay", "--venue", "finam")
        assert status == 1
        assert "nothing was replayed" in out

        # The oldest segment went, as it does one day: what depends on it is not held against the tables.
        next((tmp_path / "data" / "journal").glob(f"*{start}.seg*")).unlink()
        status, answer = await diff(on, capsys)
        assert (status, found(answer)) == (0, {})
        assert "only give the parsers their state" in answer["notes"][0]


def of_both(row: str) -> str:
    """Leave out what tells who was first."""
    head, brace, rest = row.partition("{")
    values = json.loads(brace + rest)
    return head + str({name: value for name, value in values.items() if name not in ("received_at", "trade_id")})


def first(folder: Path) -> int:
    return min(int(path.name.partition(".")[0]) for path in (folder / "data" / "journal").glob("*.seg*"))


async def test_wrong_usage_names_what_would_be_right(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with stage(database, tmp_path, running=False) as on:
        for arguments, said in [
            (["--from", "x"], "'x' is not a time; write one such as 2026-11-01"),
            (["--from", "2026-01-01"], "the journal holds nothing that was received after"),
            (["--from", "9", "--to", "8"], "is not after --from"),
            (["--table", "trades"], "works with --diff only"),
            (["--diff", "--table", "quotes"], "there is no table 'quotes' to choose; there is books, candles"),
            (["--diff", "--venue", " , "], "names nothing"),
        ]:
            status, out, err = await run(on, capsys, "replay", *arguments)
            assert (status, out) == (2, "")
            assert said in err
        for arguments, said in ((["--diff"], "so nothing is proved"), ([], "so nothing was replayed")):
            status, out, _ = await run(on, capsys, "replay", *arguments)
            assert status == 1
            assert said in out
        on.config.write_text(on.config.read_text().replace(database, "postgresql://me:hunter2@127.0.0.1:1/market"))
        status, out, err = await run(on, capsys, "replay", "--diff")
        assert (status, out) == (1, "")
        assert err.startswith("error: me@127.0.0.1:1/market: nobody answers")

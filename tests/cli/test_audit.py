"""`collector audit` on what a daemon really recorded, as it is and after somebody has tampered with it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest

from collector.cli import main
from collector.demo.demo import settled
from collector.journal import read
from collector.journal.segments import SegmentSource, numbers, segment_path
from tests.audit.test_in_daemon import PATIENCE_SECONDS, SEVERAL_MINUTES, QuickClock, audited
from tests.kit.stage import Stage, live, stage, until
from tests.repair.truth import all_settled

# Several of them, too, the closed ones compressed.
SEGMENTS = f"{SEVERAL_MINUTES}\n[journal]\nsegment_minutes = 0.5"

Told = Callable[..., Awaitable[tuple[int, dict[str, Any]]]]


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """No log, and tables of one width."""
    monkeypatch.setattr("collector.logs.configure", lambda *_, **__: None)
    for name, value in {"COLUMNS": "250", "NO_COLOR": "1", "TERM": "dumb"}.items():
        monkeypatch.setenv(name, value)


def document(output: str) -> dict[str, Any]:
    """Return what a command printed behind the lines of its log, which a test does not have elsewhere."""
    found: dict[str, Any] = orjson.loads(output[output.index("{\n") :])
    return found


MINUTE_NS = 60 * 10**9


@pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)
async def test_what_was_recorded_is_proved_and_what_was_changed_is_found(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def told(*options: str) -> tuple[int, dict[str, Any]]:
        capsys.readouterr()
        status = await asyncio.to_thread(main, ["audit", "--config", str(on.config), "--json", *options])
        return status, document(capsys.readouterr().out)

    clock = QuickClock(behind_seconds=3600)
    async with stage(
        database,
        tmp_path,
        rate=150,
        extra=SEGMENTS,
        clock_ns=clock.now_ns,
    ) as on:
        await record_minutes(on, clock)
        await untouched_is_complete(told)
        await trades_are_watched(on, told)
        await books_are_watched(on, told)
        await journal_is_watched(on, told)
        status, found = await told()
        assert (status, found["unexplained"]) == (0, False)
        capsys.readouterr()
        assert await asyncio.to_thread(main, ["audit", "--config", str(on.config)]) == 0
        text = capsys.readouterr().out
        assert "everything is explained: " in text
        assert "BTCUSDT" in text


async def record_minutes(on: Stage, clock: QuickClock) -> None:
    """Some minutes, and a line that is cut while the books stand still: the next snapshots meet what was rebuilt."""
    async with on.daemon(clock) as daemon:
        await until(lambda: live(daemon), "a live daemon")
        enough = 2 * len(on.venue.exchange.markets)
        await until(lambda: audited(daemon)("complete") > enough, "audited minutes", 2 * PATIENCE_SECONDS)
        await on.ledger.pause()
        await settled(daemon.observed)
        feed = daemon.workers["fmfw"].worker.connections["fmfw-1"]
        before = feed.reconnects
        on.venue.fault("cut")
        await until(lambda: feed.reconnects > before, "a cut line")
        await until(lambda: live(daemon), "the line back")
        await all_settled(on, daemon, 4 * len(on.venue.exchange.markets), PATIENCE_SECONDS)
        await settled(daemon.observed)


async def untouched_is_complete(told: Told) -> None:
    status, found = await told()
    assert (status, found["unexplained"]) == (0, False), found
    assert all(one["complete"] > 0 and not one["unexplained"] for one in found["minutes"])
    assert sum(one["compared"] for one in found["books"]) > 0
    assert {one["verdict"] for one in found["books"]} == {"complete"}
    assert [one["verdict"] for one in found["journal"]] == ["complete"] * len(found["journal"])
    assert sum(one["items"] for one in found["journal"]) > 500


async def trades_are_watched(on: Stage, told: Told) -> None:
    [(key, symbol)] = await on.query(
        "select t.trade_key, i.symbol from trades t join audits a on a.instrument_id = t.instrument_id"
        " and t.time >= a.time and t.time < a.time + interval '1 minute' and a.verdict = 'complete'"
        " join instruments i on i.instrument_id = t.instrument_id"
        " where t.time >= a.time + interval '5 seconds' and t.time < a.time + interval '55 seconds'"
        " and not exists (select from gaps g where g.instrument_id = a.instrument_id and g.cause <> 'starting'"
        "  and g.from_time < a.time + interval '90 seconds') limit 1"
    )
    for change in ("delete from trades", "update trades set size = size * 1.000000001"):
        async with changed(on, "trades", change, "trade_key = $1", key):
            status, found = await told("--only", "minutes", "--symbol", symbol)
            assert status == 1, change
            assert [one["symbol"] for one in found["examples"]] == [symbol]
        status, found = await told("--only", "minutes")
        assert (status, found["examples"]) == (0, []), found


async def books_are_watched(on: Stage, told: Told) -> None:
    [(seq, symbol)] = await on.query(
        "select b.seq, b.symbol from v_books b where not snapshot and cardinality(bid_prices) > 0 and exists ("
        " select from v_books x where x.symbol = b.symbol and x.seq = b.seq + 1 and not x.snapshot"
        ") and not exists (select from v_gaps g where g.symbol = b.symbol and g.stream = 'books'"
        "  and b.received_at > g.from_time - interval '20 seconds'"
        "  and (g.cause <> 'starting' or b.received_at < g.to_time + interval '20 seconds'))"
        " order by received_at limit 1 offset 20"
    )
    async with changed(on, "books", "delete from books", "seq = $1 and not snapshot", seq):
        status, found = await told("--only", "books", "--symbol", symbol)
        assert status == 1
        assert f"1 changes after {seq - 1} are missing" in found["books"][0]["first"]
    # The last snapshot, the one that was compared.
    [(seq, symbol)] = await on.query("select seq, symbol from v_books where snapshot order by received_at desc limit 1")
    change = "update books set bid_sizes[1] = bid_sizes[1] + 0.5"
    async with changed(on, "books", change, "seq = $1 and snapshot", seq):
        status, found = await told("--only", "books", "--symbol", symbol)
        assert (status, found["books"][0]["divergences"]) == (1, 1)
        assert "in the snapshot" in found["books"][0]["first"]
    status, _ = await told("--only", "books")
    assert status == 0


async def journal_is_watched(on: Stage, told: Told) -> None:
    directory = on.folder / "data" / "journal"
    [(number, offset)] = await on.query("select segment, byte_offset from journal_position")
    with SegmentSource.find(directory, number) as source:
        path = source.info().path
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[min(offset, len(flipped)) // 2] ^= 1
    path.write_bytes(flipped)
    status, found = await told("--only", "journal")
    path.write_bytes(whole)
    assert status == 1
    assert f"segment {number}" in found["journal"][-1]["faults"]
    count = "update journal_counts set items = items + {0}, duplicates = duplicates + {0} where table_name = 'trades'"
    await on.query(count.format(1))
    status, found = await told("--only", "journal")
    await on.query(count.format(-1))
    assert status == 1
    assert any("trades: " in (one["faults"] or "") for one in found["journal"])
    status, _ = await told("--only", "journal")
    assert status == 0
    status, found = await told("--only", "journal")
    assert (status, found["journal"][0]["read"], found["journal"][-1]["read"]) == (0, False, True)
    await changed_archive_is_found(directory, told)


async def changed_archive_is_found(directory: Path, told: Told) -> None:
    """A segment that ends a record earlier is whole by every checksum."""
    number = numbers(directory)[0]
    with SegmentSource.find(directory, number) as source:
        path = source.info().path
    with SegmentSource.find(directory, number) as source:
        content = b"".join(iter(lambda: source.read(1 << 20), b""))
    [*_, last] = (record for record in read(directory) if record.position.segment == number)
    kept = path.read_bytes()
    path.unlink()
    shorter = segment_path(directory, number)
    shorter.write_bytes(content[: last.position.offset])
    status, found = await told("--only", "journal")
    shorter.unlink()
    path.write_bytes(kept)
    assert status == 1
    assert "the archive was changed" in found["journal"][0]["faults"]
    status, found = await told("--only", "journal", "--again")
    assert (status, {one["read"] for one in found["journal"]}) == (0, {True})


@pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)
async def test_minutes_whose_candles_nobody_recorded_are_fetched_and_judged(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def told(*options: str) -> tuple[int, dict[str, Any]]:
        capsys.readouterr()
        status = await asyncio.to_thread(main, ["audit", "--config", str(on.config), "--json", *options])
        return status, document(capsys.readouterr().out)

    clock = QuickClock(behind_seconds=3600, pace=12)
    off = f"{SEVERAL_MINUTES}\n[audit]\nenabled = false"
    async with stage(database, tmp_path, rate=150, extra=off, streams='["trades"]', clock_ns=clock.now_ns) as on:
        async with on.daemon(clock) as daemon:
            await until(lambda: live(daemon), "a live daemon")
            first = clock.now_ns() // MINUTE_NS  # of which not everything was received
            await until(
                lambda: clock.now_ns() // MINUTE_NS > first and clock.now_ns() % MINUTE_NS < MINUTE_NS // 2,
                "the first half of a whole minute",
                PATIENCE_SECONDS,
            )
            on.venue.fault("lose_trades", symbol="BTCUSDT", count=3)
            began = clock.now_ns()
            await until(lambda: clock.now_ns() - began > 200 * 10**9, "three minutes", PATIENCE_SECONDS)
            await on.ledger.pause()
            await settled(daemon.observed)

        status, found = await told("--no-fetch", "--only", "minutes")
        assert (status, found["proved"], found["looked_at"]) == (1, False, {"minutes": 0})
        assert all("--no-fetch leaves them out" in one["reason"] for one in found["minutes"])
        assert {(one["venue"], one["stream"]) for one in found["unjudged"]} == {("fmfw", "trades")}
        assert {one["symbol"] for one in found["unjudged"]} == {one["symbol"] for one in found["minutes"]}
        assert await on.query("select 1 from candles") == []

        status, found = await told("--only", "minutes")
        assert (status, found["unexplained"]) == (1, True)
        assert {one["symbol"] for one in found["examples"]} == {"BTCUSDT"}
        assert all(one["complete"] > 0 for one in found["minutes"])
        [folder] = (tmp_path / "data" / "backfill").iterdir()
        assert folder.name.endswith("-fmfw-audit")

        # What was judged before is not fetched again, and known with --no-fetch, too.
        status, found = await told("--no-fetch", "--only", "minutes", "--symbol", "ETHUSDT")
        assert (status, found["proved"]) == (0, True)
        on.venue.fault("5xx", seconds=600)
        status, found = await told("--only", "minutes", "--symbol", "ETHUSDT")
        assert (status, found["proved"]) == (0, True)


class changed:  # noqa: N801  a context, used like a function
    """Rows are changed within the block, and as they were after it."""

    def __init__(self, on: Stage, table: str, change: str, where: str, value: int) -> None:
        self._dsn = on.dsn
        self._keep = f"create table kept as select * from {table} where {where.replace('$1', str(value))}"
        self._change = f"{change} where {where.replace('$1', str(value))}"
        self._back = (
            f"delete from {table} where {where.replace('$1', str(value))}; insert into {table} select * from kept;"
            " drop table kept"
        )

    async def __aenter__(self) -> None:
        await self._run(f"{self._keep}; {self._change}")

    async def __aexit__(self, *_: object) -> None:
        await self._run(self._back)

    async def _run(self, statements: str) -> None:
        connection = await asyncpg.connect(self._dsn)
        try:
            await connection.execute(statements)
        finally:
            await connection.close()


@pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)
async def test_a_name_that_means_nothing_and_nothing_looked_at_are_no_proof(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with stage(database, tmp_path, running=False) as on:
        await on.query("insert into venues (code) values ('fmfw'), ('fmex')")
        await on.query(
            "insert into instruments (venue_id, symbol) select venue_id, 'BTCUSDT' from venues where code = 'fmfw'"
        )
        for options, words in (
            (["--venue", "fmwf"], "--venue: there is no venue 'fmwf' here; did you mean fmfw"),
            (["--symbol", "BTCUSD"], "--symbol: there is no symbol 'BTCUSD' here; did you mean BTCUSDT?"),
            (["--venue", "fmex", "--symbol", "BTC*"], "--symbol: no symbol of fmex is like 'BTC*'"),
        ):
            assert await asyncio.to_thread(main, ["audit", "--config", str(on.config), *options]) == 2
            told = capsys.readouterr()
            assert words in " ".join(told.err.replace("│", " ").split())
            assert "explained" not in told.out
        for options in ([], ["--venue", "fmfw"], ["--only", "journal"]):
            assert await asyncio.to_thread(main, ["audit", "--config", str(on.config), *options]) == 1
            told = capsys.readouterr()
            assert "there was nothing to compare for" in told.out
            assert "everything is explained" not in told.out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--only", "minuets"], "no part 'minuets' to choose; did you mean minutes?"),
        (["--only", ","], "names nothing; there is minutes, books, journal"),
        (["--from", "2101-01-01"], "not a time of this century"),
        (["--from", "2030-01-01", "--to", "2029-01-01"], "in the future"),
        (["--from", "2025-01-02", "--to", "2025-01-01"], "not before --to"),
    ],
)
def test_wrong_choice_is_told_with_what_there_is(
    options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", *options]) == 2
    told = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert words in told

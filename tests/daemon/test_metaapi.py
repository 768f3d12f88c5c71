"""The whole daemon between a simulated MetaAPI and a real database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest
import zstandard

from collector import simulator
from collector.daemon.daemon import Daemon
from collector.demo.compare import Ledger, verify
from collector.simulator.metaapi.accounts import SECRETS
from tests.kit.stage import Stage, all_equal, live, until

pytestmark = pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)


class MetaapiStage(Stage):
    """One simulated MetaAPI, with the configuration that it writes itself."""

    name = "metaapi"

    def __init__(
        self, venue: Any, folder: Path, dsn: str, http: aiohttp.ClientSession, extra: str, *, repair: bool = False
    ) -> None:
        self.venue = venue
        self.folder = folder
        self.dsn = dsn
        self.ledger = Ledger(http, venue.address["url"])
        self.config = folder / "collector.toml"
        head = f'data_dir = "{folder / "data"}"\n[database]\ndsn = "{dsn}"\n[http]\nlisten = "127.0.0.1:0"\n'
        # What a repair brings was not sent on the line, which most tests are about.
        head += f"[repair]\nenabled = {str(repair).lower()}\n"
        self.config.write_text(head + venue.config.replace("[venues.metaapi]", f"[venues.metaapi]\n{extra}", 1))


@asynccontextmanager
async def stage(
    dsn: str, folder: Path, *, rate: float = 200.0, extra: str = "", repair: bool = False, **settings: object
) -> AsyncIterator[MetaapiStage]:
    """Serve a simulated MetaAPI whose terminals and pings are quick; `extra`: more lines of `[venues.metaapi]`."""
    quick = {"ping_interval": 5.0, "ping_timeout": 0.5, "status_every": 3.0, **settings}
    async with (
        simulator.serve(["metaapi"], seed=5, rate=rate, settings={"metaapi": quick}) as running,
        aiohttp.ClientSession() as http,
    ):
        yield MetaapiStage(running["metaapi"], folder, dsn, http, extra, repair=repair)


def ready(daemon: Daemon, rows: int) -> bool:
    return live(daemon) and daemon.statistics.total.stored > rows


async def test_tables_equal_what_was_sent(database: str, tmp_path: Path) -> None:
    async with stage(database, tmp_path) as on, on.daemon() as daemon:
        await until(lambda: ready(daemon, 1500), "1,500 rows")
        verdicts = await on.compare(daemon)
        assert {verdict.table for verdict in verdicts} == {"trades", "ticks", "books", "candles", "rates"}
        assert all_equal(verdicts)
        assert daemon.statistics.total.quarantined == 0
        await on.counts_add_up()
        assert await on.query("select count(*) from gaps where cause <> 'starting'") == [(0,)]
        symbols = {row[0] for row in await on.query("select symbol from instruments")}
        assert {"demo:EURUSD", "old:EURUSD", "demo:#SBER/RUB"} <= symbols


def quick(**more: object) -> dict[str, Any]:
    """Switches of a simulator whose pings and terminals are quick; one account, so that names are plain."""
    return {"accounts": ("demo",), "ping_interval": 1.0, "ping_timeout": 0.3, "status_every": 0.3, **more}


async def flowing_again(on: MetaapiStage, daemon: Daemon, fault: str, **asked: Any) -> None:
    """Ask for a fault and wait until data flow after it."""
    assert (await on.ledger.tell("faults", {"fault": fault, **asked})).get("hit", 1)
    await resumed(on, daemon)


async def resumed(on: MetaapiStage, daemon: Daemon, rows: int = 300) -> None:
    before = daemon.statistics.total.stored
    await until(lambda: ready(daemon, before + rows), f"{rows} more rows, live")


async def gaps(on: MetaapiStage, cause: str) -> list[tuple[Any, ...]]:
    return await on.query(
        "select stream, count(*), bool_and(to_time is not null and to_time >= from_time)"
        " from gaps where cause = $1 group by stream order by stream",
        cause,
    )


async def surplus(on: MetaapiStage, tables: tuple[str, ...] = ("trades", "ticks", "books")) -> int:
    """How many rows are stored that were never sent."""
    return sum(verdict.surplus for verdict in await verify(on.dsn, "metaapi", on.ledger, tables))


@pytest.mark.parametrize("fault", ["cut", "freeze", "no_pong"])
async def test_line_that_is_cut_or_freezes_is_made_anew_and_the_loss_is_a_gap(
    database: str, tmp_path: Path, fault: str
) -> None:
    async with stage(database, tmp_path, **quick()) as on, on.daemon() as daemon:
        await until(lambda: ready(daemon, 300), "300 rows")
        opened = on.venue.opened
        seconds = {"no_pong": {"seconds": 3.0}, "freeze": {"seconds": 30.0}}.get(fault, {})
        await on.ledger.tell("faults", {"fault": fault, **seconds})
        await until(lambda: on.venue.opened > opened, "a new connection")
        await resumed(on, daemon)
        assert [row[0] for row in await gaps(on, "disconnect")] == ["books", "candles", "ticks", "trades"]
        assert await surplus(on) == 0


async def test_what_a_cut_line_has_cost_is_had_again_from_history(database: str, tmp_path: Path) -> None:
    market = {**quick(), "accounts": ("demo",)}
    async with stage(database, tmp_path, repair=True, extra="rest_per_second = 50", **market) as on:
        on.config.write_text(on.config.read_text().replace('ticks = "both"', 'ticks = "ticks"'))  # of quotes is no past
        async with on.daemon() as daemon:
            await until(lambda: ready(daemon, 300), "300 rows")
            since_ms = on.venue.now_ms()
            await on.ledger.tell("faults", {"fault": "cut"})
            opened = on.venue.opened
            await until(lambda: on.venue.opened > opened, "a new connection")
            await resumed(on, daemon)
            repairer = daemon.venues.repairers["metaapi"]
            await until(lambda: repairer.repaired > 0 and not repairer.waiting, "repairs")
            await on.ledger.pause()
            states = await on.query("select distinct stream, state from gaps where cause <> 'starting' order by stream")
            assert states == [
                ("books", "unrecoverable"),
                ("candles", "repaired"),
                ("ticks", "repaired"),
                ("trades", "repaired"),
            ]
            quoted = on.venue.accounts["demo"].broker.quoted
            # Of the tick that stands when a symbol is subscribed there may be several, so each counts once.
            happened = {
                (symbol, tick.time_ms)
                for symbol, one in quoted.items()
                for tick in one.ticks
                if tick.time_ms >= since_ms
            }
            for _ in range(100):
                stored = await on.query(
                    "select symbol, (extract(epoch from time) * 1000)::bigint from v_ticks"
                    " where time >= timestamptz 'epoch' + $1 * interval '1 ms'",
                    since_ms,
                )
                if set(stored) == happened:
                    break
                await asyncio.sleep(0.1)
            assert set(stored) == happened
            # What the history gave was sent, too.
            assert all_equal(await verify(on.dsn, "metaapi", on.ledger, ("trades", "candles")))
            assert await surplus(on) == 0


async def test_lost_packet_is_a_gap_and_holds_nothing_up(database: str, tmp_path: Path) -> None:
    async with stage(database, tmp_path, extra="reorder_seconds = 0.2", **quick()) as on, on.daemon() as daemon:
        await until(lambda: ready(daemon, 300), "300 rows")
        opened = on.venue.opened
        await flowing_again(on, daemon, "skip")
        [(count, numbers)] = await on.query(
            "select count(distinct (from_time, to_time)), min(to_seq - from_seq) from gaps where cause = 'lost packet'"
        )
        assert (count, numbers) == (1, 2)
        assert on.venue.opened == opened
        assert on.venue.requested["synchronize"] == 1


async def test_losses_that_repeat_bring_a_new_synchronisation(database: str, tmp_path: Path) -> None:
    async with stage(database, tmp_path, extra="reorder_seconds = 0", **quick()) as on, on.daemon() as daemon:
        await until(lambda: ready(daemon, 300), "300 rows")
        for _ in range(3):
            await flowing_again(on, daemon, "skip")
        await until(lambda: on.venue.requested["synchronize"] >= 2, "another synchronisation")
        await resumed(on, daemon)


@pytest.mark.parametrize("fault", ["duplicate", "reorder", "unknown_packet", "update", "burst", "as_text"])
async def test_what_is_odd_but_no_loss_costs_no_row(database: str, tmp_path: Path, fault: str) -> None:
    async with stage(database, tmp_path, accounts=("demo",)) as on, on.daemon() as daemon:
        await until(lambda: ready(daemon, 300), "300 rows")
        await flowing_again(on, daemon, fault, **({"count": 3} if fault in ("duplicate", "reorder") else {}))
        await on.ledger._http.delete(f"{on.ledger._base}/faults")
        assert all_equal(await on.compare(daemon))
        assert await on.query("select cause from gaps where cause <> 'starting'") == []
        assert daemon.statistics.total.quarantined == 0


async def test_garbage_is_quarantined_without_what_it_held(database: str, tmp_path: Path) -> None:
    async with stage(database, tmp_path, accounts=("demo",)) as on, on.daemon() as daemon:
        await until(lambda: ready(daemon, 300), "300 rows")
        await flowing_again(on, daemon, "garbage")
        assert all_equal(await on.compare(daemon))
        [(error, payload)] = await on.query("select error, payload from quarantine")
        assert "could not be read" in error
        assert b"73519" not in payload


@pytest.mark.parametrize("fault", ["disconnected", "broker_lost"])
async def test_terminal_or_broker_that_is_away_is_a_gap_with_both_ends(
    database: str, tmp_path: Path, fault: str
) -> None:
    async with stage(database, tmp_path, **quick()) as on, on.daemon() as daemon:
        await until(lambda: ready(daemon, 300), "300 rows")
        cause = {"disconnected": "terminal away", "broker_lost": "broker away"}[fault]
        await on.ledger.tell("faults", {"fault": fault})
        if fault == "broker_lost":
            [feed] = daemon.workers["metaapi"].worker.connections.values()
            await until(lambda: "broker not connected" in feed.statuses()[0].reason, "a visible state")
            await on.ledger.tell("faults", {"fault": "broker_back"})
        await resumed(on, daemon)
        found = await gaps(on, cause)
        assert [row[0] for row in found] == ["books", "candles", "ticks", "trades"]
        assert all(row[2] for row in found)


async def test_requests_that_are_refused_for_now_are_made_again_when_the_venue_says(
    database: str, tmp_path: Path
) -> None:
    async with stage(database, tmp_path, accounts=("demo",)) as on:
        await on.ledger.tell("faults", {"fault": "429", "count": 3, "seconds": 1})
        await on.ledger.tell("faults", {"fault": "rest_429", "count": 2, "seconds": 1})
        await on.ledger.tell("faults", {"fault": "refuse_subscribe", "count": 1})
        async with on.daemon() as daemon:
            await until(lambda: ready(daemon, 300), "300 rows")
            assert all_equal(await on.compare(daemon))


async def test_symbol_that_is_refused_leaves_the_others_alone(database: str, tmp_path: Path) -> None:
    async with stage(database, tmp_path, **quick()) as on:
        await on.ledger.tell("faults", {"fault": "refuse_symbol", "symbol": "GBPUSD", "count": 1000})
        async with on.daemon() as daemon:
            await until(lambda: ready(daemon, 300), "300 rows")
            [feed] = daemon.workers["metaapi"].worker.connections.values()
            refused = {one.symbol for one in feed.statuses() if one.state == "refused"}
            assert refused == {"GBPUSD"}


async def test_downgrade_is_kept_and_recorded(database: str, tmp_path: Path) -> None:
    async with stage(database, tmp_path, **quick()) as on, on.daemon() as daemon:
        await until(lambda: ready(daemon, 300), "300 rows")
        await flowing_again(on, daemon, "downgrade", symbol="Si-12.26", interval_ms=700)
        kinds = on.venue.accounts["demo"].subscriptions["Si-12.26"]
        await until(lambda: on.venue.requested["refreshMarketDataSubscriptions"] >= 2, "a refresh")
        assert on.venue.accounts["demo"].subscriptions["Si-12.26"] == kinds
        assert set(kinds.values()) == {700}
        assert "marketDepth" not in kinds
        found = await on.query("select stream, reason from gaps where cause = 'downgraded' order by stream")
        assert [row[0] for row in found] == ["books", "candles", "ticks", "trades"]
        assert "every 700 ms" in found[2][1]


async def test_slow_synchronisation_and_silent_terminal_end_in_data(database: str, tmp_path: Path) -> None:
    extra = "status_seconds = 2"
    async with stage(database, tmp_path, extra=extra, **quick()) as on:
        await on.ledger.tell("faults", {"fault": "slow_synchronization", "seconds": 0.2})
        async with on.daemon() as daemon:
            await until(lambda: ready(daemon, 200), "200 rows")
            await on.ledger.tell("faults", {"fault": "silent_status", "seconds": 4})
            await until(lambda: on.venue.requested["subscribe"] >= 2, "another subscribe")
            await resumed(on, daemon)


async def test_undeployed_account_is_told_and_looked_at_again(database: str, tmp_path: Path) -> None:
    async with stage(database, tmp_path, accounts=("idle",)) as on, on.daemon() as daemon:
        worker = daemon.workers["metaapi"].worker
        await until(lambda: "UNDEPLOYED" in worker.reason, "a reason")
        await on.ledger.tell("faults", {"fault": "deploy", "account": "idle"})
        await until(lambda: ready(daemon, 100), "100 rows")


async def test_bad_token_is_one_line_that_names_the_setting(database: str, tmp_path: Path) -> None:
    async with stage(database, tmp_path) as on:
        on.config.write_text(on.config.read_text().replace("simulated-token", "some-other-token"))
        async with on.daemon() as daemon:
            worker = daemon.workers["metaapi"].worker
            await until(lambda: bool(worker.reason), "a reason")
            assert "correct token in [venues.metaapi]" in worker.reason
            assert "next try in 300" in worker.reason
            assert "some-other-token" not in worker.reason


async def test_nothing_of_the_account_or_the_token_is_kept_anywhere(database: str, tmp_path: Path) -> None:
    async with stage(database, tmp_path, **quick()) as on:
        async with on.process() as process:
            for fault in ("update", "garbage", "unknown_packet", "disconnected", "cut"):
                await more_ticks(on)
                await on.ledger.tell("faults", {"fault": fault})
            await more_ticks(on)
            process.terminate()
            assert await process.wait() == 0
        kept = all_files(tmp_path, on.config)
        assert b"EURUSD" in kept
        for [table] in await on.query("select tablename from pg_tables where schemaname = 'public'"):
            rows = await on.query(f'select to_jsonb(t)::text from "{table}" t')
            kept += "\n".join(row[0] for row in rows).encode()
        secrets = [*SECRETS, on.venue.settings.token, "simulated-token-of-nobody"]
        assert [secret for secret in secrets if secret.encode() in kept] == []
        payloads = await on.query("select payload from quarantine")
        assert [secret for secret in secrets for (payload,) in payloads if secret.encode() in payload] == []


async def more_ticks(on: MetaapiStage, count: int = 150) -> None:
    """Wait until so many more are in the table, which may not be there yet."""
    wanted = -1
    async with asyncio.timeout(30):
        while True:
            try:
                rows = await on.rows("ticks")
            except asyncpg.PostgresError:
                rows = 0
            wanted = rows + count if wanted < 0 else wanted
            if rows >= wanted:
                return
            await asyncio.sleep(0.05)


def all_files(folder: Path, but: Path) -> bytes:
    """Everything that was written to the disk, unpacked."""
    contents = []
    for path in folder.rglob("*"):
        if path.is_file() and path != but:
            content = path.read_bytes()
            if path.suffix == ".zst":
                content = zstandard.ZstdDecompressor().decompressobj().decompress(content)
            contents.append(content)
    return b"".join(contents)

"""The daemon is killed while it records all venues: what each of them has a history of is there again."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import asyncpg
import pytest

from collector import simulator
from collector.demo.compare import _SQL, _TEXT_COLUMNS, Ledger, _book, _exact
from collector.demo.demo import _any_url
from collector.repair.repairer import MARGIN_US
from collector.tables import OF_VENUES
from tests.kit.stage import Stage

from .conftest import Measured
from .proof import Span
from .recording import recording

pytestmark = pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)

# Venues that have no more of trades than a list of the latest.
LISTS_ONLY = {"finam"}
# Events a second of each venue's market.
RATE = 60.0


class Everything(Stage):
    """All simulated venues, and a folder for the daemon that records them."""

    def __init__(self, running: simulator.Running, folder: Path, dsn: str, http: aiohttp.ClientSession) -> None:
        self.folder = folder
        self.dsn = dsn
        self.ledgers = {name: Ledger(http, _any_url(address)) for name, address in running.addresses.items()}
        self.config = folder / "collector.toml"
        self.config.write_text(
            f'data_dir = "{folder / "data"}"\n[database]\ndsn = "{dsn}"\n[http]\nlisten = "127.0.0.1:0"\n'
            + running.config()
            .replace("[venues.finam]", "[venues.finam]\nbackfill_per_minute = 600")
            .replace("[venues.metaapi]", "[venues.metaapi]\nrest_per_second = 50")
        )


@asynccontextmanager
async def everything(dsn: str, folder: Path) -> AsyncIterator[Everything]:
    async with simulator.serve(seed=11, rate=RATE) as running, aiohttp.ClientSession() as http:
        yield Everything(running, folder, dsn, http)


@pytest.mark.parametrize("kills", [3, pytest.param(30, marks=pytest.mark.soak)])
async def test_kills_at_any_moment_cost_no_venue_anything_but_a_gap(
    database: str, tmp_path: Path, kills: int, measured: Measured
) -> None:
    random = Random(kills)
    async with everything(database, tmp_path) as on:
        for _ in range(kills):
            async with recording(on) as daemon:
                await daemon.flows(random.randrange(50, 1500))
                daemon.process.kill()
                assert await daemon.process.wait() == -signal.SIGKILL
                await asyncio.sleep(random.uniform(0.0, 2.0))  # the market goes on meanwhile
        async with recording(on) as daemon:
            await daemon.flows(500)
            await daemon.repaired()
            for ledger in on.ledgers.values():
                await ledger.pause()
            await daemon.settled()
            await daemon.repaired()
            await daemon.settled()
            lost = Counter[str]()
            rows = Counter[str]()
            for venue, ledger in on.ledgers.items():
                await compared(on, venue, ledger, rows, lost)
        assert await on.query("select * from quarantine limit 3") == []
        await on.counts_add_up()
        measured(kills=kills, rows=rows.total(), **{f"lost {name}": count for name, count in sorted(lost.items())})
        for venue in on.ledgers:
            assert rows[f"{venue} trades"] > 0
            assert lost[f"{venue} candles"] == 0
            if venue not in LISTS_ONLY:
                assert lost[f"{venue} trades"] == 0


async def compared(on: Everything, venue: str, ledger: Ledger, rows: Counter[str], lost: Counter[str]) -> None:
    """Compare a venue's tables with what it sent: what is missing lies in a gap that was not repaired.

    What is more lies in any gap: the ledgers count what is sent as it happens, and not all of them what is asked for.
    """
    overview = await ledger.ask("expected")
    connection = await asyncpg.connect(on.dsn)
    try:
        for symbol in overview["symbols"]:
            expected = await ledger.ask("expected", symbol=symbol)
            for table in overview["columns"]:
                if table in OF_VENUES:
                    continue
                stored = await of_the_table(connection, venue, table, symbol)
                sent = Counter(
                    _exact(tuple(row), _TEXT_COLUMNS.get(table, frozenset())) for row in expected.get(table, [])
                )
                missing, surplus = sent - stored, stored - sent
                if table == "candles" and venue == "metaapi":
                    keys = {row[:3] for row in stored}  # what was sent of a bar that grew since
                    missing = Counter({row: count for row, count in missing.items() if row[:3] not in keys})
                repaired, others = await gaps_of(connection, venue, symbol, table)
                for row in surplus:
                    assert lies_in(repaired + others, row, table), (venue, symbol, table, "never sent", row, repaired)
                for row in missing:
                    assert lies_in(others, row, table), (
                        venue,
                        symbol,
                        table,
                        "outside of gaps",
                        [str(one) for one in row],
                        others,
                        repaired,
                    )
                rows[f"{venue} {table}"] += stored.total()
                if missing:
                    lost[f"{venue} {table}"] += missing.total()
    finally:
        await connection.close()


async def of_the_table(connection: asyncpg.Connection, venue: str, table: str, symbol: str) -> Counter[Any]:
    prepare: Any = _book if table == "books" else tuple
    found = await connection.fetch(_SQL[table], venue, symbol)
    return Counter(_exact(prepare(tuple(row)), _TEXT_COLUMNS.get(table, frozenset())) for row in found)


def lies_in(gaps: list[Span], row: tuple[Any, ...], table: str) -> bool:
    """Whether a row's time is within one of the gaps, or as near as is asked for: a bar, and the one after it."""
    time_us = int(row[0])
    lasts_us = 2 * int(row[1]) * 1_000_000 if table == "candles" else 0
    return any(gap.meets(Span(time_us - MARGIN_US, time_us + lasts_us + MARGIN_US)) for gap in gaps)


async def gaps_of(
    connection: asyncpg.Connection, venue: str, symbol: str, stream: str
) -> tuple[list[Span], list[Span]]:
    """The gaps of a stream that were repaired, and the others."""
    found = await connection.fetch(
        "select state, (extract(epoch from from_time) * 1000000)::bigint,"
        " (extract(epoch from coalesce(to_time, now())) * 1000000)::bigint"
        " from v_gaps where venue = $1 and symbol = $2 and stream = $3",
        venue,
        symbol,
        stream,
    )
    repaired = [Span(*row[1:]) for row in found if row[0] == "repaired"]
    return repaired, [Span(*row[1:]) for row in found if row[0] != "repaired"]
